//! What was measured, for people and for machines.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Abuse, Arguments, KEPT, Measured, RISE_MIB};
use crate::machine;
use crate::report::{self, Spread, number, rounded};
use crate::shop::SCHEDULED_DAYS;

/// All rounds of all abuses.
pub struct Report<'a> {
    pub arguments: &'a Arguments,
    pub engine: String,
    pub machine: String,
    pub abuses: Vec<Abuse>,
    pub measured: Vec<Measured>,
}

impl Report<'_> {
    fn of(&self, abuse: Abuse) -> impl Iterator<Item = &Measured> {
        self.measured.iter().filter(move |measured| measured.abuse == abuse)
    }

    fn spread(&self, abuse: Abuse, figure: impl Fn(&Measured) -> f64) -> Spread {
        Spread::of(self.of(abuse).map(figure)).unwrap_or(Spread { median: 0.0, min: 0.0, max: 0.0 })
    }

    /// What went wrong, a sentence each.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = self.measured.iter().flat_map(|measured| measured.failures.clone()).collect::<Vec<_>>();
        for &abuse in &self.abuses {
            let kept = self.spread(abuse, Measured::kept).median;
            if kept < KEPT {
                failures.push(format!(
                    "{}: good clients kept {:.0} % of their rate, less than {:.0} %",
                    abuse.name(),
                    100.0 * kept,
                    100.0 * KEPT
                ));
            }
            let rise = self.spread(abuse, |measured| measured.most_mib() - measured.before_mib).max;
            if rise > RISE_MIB {
                failures.push(format!(
                    "{}: the server's memory rose by {rise:.0} MiB, more than {RISE_MIB:.0} MiB",
                    abuse.name()
                ));
            }
        }
        failures
    }

    /// What became of orders that weren't answered 201, by abuse.
    fn others(&self) -> BTreeMap<&'static str, BTreeMap<String, u64>> {
        let mut others = BTreeMap::<_, BTreeMap<String, u64>>::new();
        for measured in &self.measured {
            let (alone, beside) = (measured.alone.others.iter(), measured.beside.others.iter());
            for (text, count) in alone.chain(beside) {
                *others.entry(measured.abuse.name()).or_default().entry(text.clone()).or_default() += count;
            }
        }
        others
    }

    /// For people.
    pub fn text(&self) -> String {
        let Arguments { rate, connections, seconds, rounds, .. } = self.arguments;
        let rows = self.abuses.iter().map(|&abuse| {
            vec![
                abuse.name().to_owned(),
                self.did(abuse),
                self.spread(abuse, |measured| measured.alone.per_second).text(0),
                self.spread(abuse, |measured| measured.beside.per_second).text(0),
                format!("{:.0} %", 100.0 * self.spread(abuse, Measured::kept).median),
                format!(
                    "{} → {}",
                    number(self.spread(abuse, |measured| measured.alone.p99_ms).median, 1),
                    number(self.spread(abuse, |measured| measured.beside.p99_ms).median, 1)
                ),
                number(self.spread(abuse, |measured| measured.before_mib).median, 0),
                number(self.spread(abuse, Measured::most_mib).max, 0),
            ]
        });
        let header =
            ["", "what the abuser did", "alone, orders/s", "beside it", "kept", "p99 ms", "MiB before", "at most"];
        let mut lines = vec![
            format!("giftd-bench abuse: {}, {}", self.engine, self.machine),
            format!(
                "{connections} good clients place {} orders/s, a fixed pace far below what the server can do, so that what shows is \
                 interference and not who gets how much of the CPU, which server, good clients and abuser share; each \
                 opens its connection anew after 20 orders. {seconds} s alone, then {seconds} s beside the abuser, in \
                 turns on a fresh server, medians of {rounds} rounds (least–most); of the memory the most. All come \
                 from one address, as behind a proxy, but those who guess. Orders are SCHEDULED {SCHEDULED_DAYS} days ahead.",
                number(f64::from(*rate), 0),
            ),
            String::new(),
            report::table(&header, rows).to_string(),
            String::new(),
        ];
        for (abuse, others) in self.others() {
            let others = others.iter().map(|(text, count)| format!("{} × {text}", number(*count as f64, 0)));
            lines.push(format!("not answered 201, {abuse}: {}", others.collect::<Vec<_>>().join("; ")));
        }
        let noisy = self.noisy();
        if noisy > 0 {
            lines.push(format!(
                "NOISY: in {noisy} of {} measurements others took more than {:.0} % of the CPU",
                2 * self.measured.len(),
                100.0 * machine::NOISY
            ));
        }
        let failures = self.failures();
        if failures.is_empty() {
            lines.push(format!(
                "checks passed: good clients kept at least {:.0} % of their rate, memory rose by at most {RISE_MIB:.0} MiB, \
                 newcomers got a token",
                100.0 * KEPT
            ));
        }
        lines.extend(failures.into_iter().map(|failure| format!("CHECK FAILED: {failure}")));
        lines.join("\n")
    }

    fn did(&self, abuse: Abuse) -> String {
        let most_open = self.spread(abuse, |measured| measured.reached.most_open as f64).median;
        let mut did = if most_open > 0.0 { vec![format!("{} open", number(most_open, 0))] } else { Vec::new() };
        let mut counts = BTreeMap::<&str, u64>::new();
        for (what, count) in self.of(abuse).flat_map(|measured| &measured.reached.counts) {
            *counts.entry(what).or_default() += count;
        }
        let rounds = u64::from(self.arguments.rounds);
        did.extend(counts.iter().map(|(what, count)| format!("{} × {what}", number((count / rounds) as f64, 0))));
        did.join(", ")
    }

    fn noisy(&self) -> usize {
        let usages = self.measured.iter().flat_map(|measured| [measured.alone.usage, measured.beside.usage]);
        usages.filter(machine::Usage::is_noisy).count()
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let Arguments { store, rate, connections, seconds, rounds, .. } = self.arguments;
        let failures = self.failures();
        json!({
            "store": store.to_string(),
            "engine": self.engine,
            "machine": self.machine,
            "orders_per_second_offered": rate,
            "connections": connections,
            "seconds": seconds,
            "rounds": rounds,
            "kept_at_least": KEPT,
            "memory_rise_mib_at_most": RISE_MIB,
            "abuses": self.abuses.iter().map(|&abuse| self.abuse_json(abuse)).collect::<Vec<_>>(),
            "not_answered_201": self.others(),
            "noisy_measurements": self.noisy(),
            "checks_passed": failures.is_empty(),
            "failures": failures,
        })
    }

    fn abuse_json(&self, abuse: Abuse) -> Value {
        let rate = |rate: &super::Rate| {
            json!({
                "orders_per_second": rounded(rate.per_second),
                "p50_ms": rounded(rate.p50_ms),
                "p99_ms": rounded(rate.p99_ms),
                "server_cpu_cores": rounded(rate.usage.server_cores),
                "foreign_cpu_share": rate.usage.foreign_share.map(rounded),
            })
        };
        let round = |measured: &Measured| {
            json!({
                "alone": rate(&measured.alone),
                "beside": rate(&measured.beside),
                "kept": rounded(measured.kept()),
                "server_rss_before_mib": rounded(measured.before_mib),
                "server_rss_at_most_mib": rounded(measured.most_mib()),
                "connections_open_at_most": measured.reached.most_open,
                "counts": measured.reached.counts,
            })
        };
        json!({
            "name": abuse.name(),
            "kept": rounded(self.spread(abuse, Measured::kept).median),
            "server_rss_at_most_mib": rounded(self.spread(abuse, Measured::most_mib).max),
            "rounds": self.of(abuse).map(round).collect::<Vec<_>>(),
        })
    }
}
