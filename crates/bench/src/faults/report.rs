//! What faults came to, as people and as machines read it.

use std::time::Duration;

use serde_json::{Value, json};

use super::bed::Outcome;
use crate::databases::StoreKind;
use crate::report::{Spread, number, rounded, table};

/// Failures that are shown of one fault; the rest is counted.
const FAILURES_SHOWN: usize = 10;

/// One fault on one database.
pub struct Row {
    fault: String,
    store: StoreKind,
    result: Result<(Outcome, String), String>,
}

impl Row {
    /// What came of it, and the last lines that the nodes logged.
    pub fn of(fault: String, store: StoreKind, outcome: Outcome, log: String) -> Self {
        Self { fault, store, result: Ok((outcome, log)) }
    }

    /// Why it didn't happen here.
    pub fn not_run(fault: String, store: StoreKind, why: String) -> Self {
        Self { fault, store, result: Err(why) }
    }

    /// Whether all is as it should be, as far as it was looked at.
    pub fn is_right(&self) -> bool {
        self.result.as_ref().map_or(true, |(outcome, _)| is_right(outcome))
    }

    fn cells(&self) -> Vec<String> {
        let name = format!("{}, {}", self.fault, self.store);
        let Ok((Outcome { times, told, audit, recovered, delivered, .. }, _)) = &self.result else {
            return [name, "not run".to_owned()].into_iter().chain((0..12).map(|_| "–".to_owned())).collect();
        };
        let count = |count: u64| number(count as f64, 0);
        vec![
            name,
            times.to_string(),
            count(told.orders.len() as u64),
            count(audit.lost),
            count(audit.doubled),
            count(told.unavailable),
            count(told.unanswered),
            format!("{} / {}", count(told.happened), count(told.did_not)),
            count(audit.mails),
            count(audit.twice),
            seconds(recovered).text(2),
            number(delivered.as_secs_f64(), 1),
            number(told.slowest.as_secs_f64(), 1),
            if audit.is_balanced { "yes" } else { "NO" }.to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let Ok((outcome, _)) = &self.result else {
            return json!({"fault": self.fault, "store": self.store.to_string(), "not_run": self.result.as_ref().err()});
        };
        let Outcome { times, told, audit, recovered, delivered, notes } = outcome;
        let recovered = seconds(recovered);
        json!({
            "fault": self.fault,
            "store": self.store.to_string(),
            "times": times,
            "acknowledged": told.orders.len(),
            "lost": audit.lost,
            "doubled": audit.doubled,
            "answered_503": told.unavailable,
            "unanswered": told.unanswered,
            "unanswered_that_happened": told.happened,
            "unanswered_that_did_not": told.did_not,
            "mails": audit.mails,
            "mails_twice": audit.twice,
            "recovered_seconds": {"median": rounded(recovered.median), "min": rounded(recovered.min), "max": rounded(recovered.max)},
            "delivered_seconds": rounded(delivered.as_secs_f64()),
            "slowest_answer_seconds": rounded(told.slowest.as_secs_f64()),
            "balanced": audit.is_balanced,
            "notes": notes,
            "failures": audit.failures,
        })
    }
}

fn is_right(Outcome { audit, .. }: &Outcome) -> bool {
    audit.lost == 0 && audit.doubled == 0 && audit.is_balanced && audit.failures.is_empty()
}

fn seconds(times: &[Duration]) -> Spread {
    Spread::of(times.iter().map(Duration::as_secs_f64)).unwrap_or(Spread { median: 0.0, min: 0.0, max: 0.0 })
}

/// A table, and under it what there is to say.
pub fn text(rows: &[Row]) -> String {
    let header = [
        "fault",
        "times",
        "acknowledged",
        "lost",
        "doubled",
        "503",
        "no answer",
        "done / not",
        "mails",
        "twice",
        "back after s",
        "delivered s",
        "slowest s",
        "balanced",
    ];
    let mut lines = vec![
        "\"done / not\": orders whose first try had 503 or no answer, by whether it had placed them; \"twice\": copies of a mail, \
         with the same Message-ID; \"back after\": from the end of a fault to the first order placed after it (median, \
         least–most); \"delivered\": from there until all mail was; \"slowest\": the longest wait for an answer"
            .to_owned(),
        String::new(),
        table(&header, rows.iter().map(Row::cells)).to_string(),
        String::new(),
    ];
    for row in rows {
        let name = format!("{}, {}", row.fault, row.store);
        match &row.result {
            Err(why) => lines.push(format!("{name}: not run: {why}")),
            Ok((outcome, log)) => {
                lines.extend(outcome.notes.iter().map(|note| format!("{name}: {note}")));
                let failures = &outcome.audit.failures;
                lines.extend(failures.iter().take(FAILURES_SHOWN).map(|failure| format!("{name}: FAILED: {failure}")));
                if failures.len() > FAILURES_SHOWN {
                    lines.push(format!("{name}: FAILED: and {} more", failures.len() - FAILURES_SHOWN));
                }
                if !is_right(outcome) {
                    lines.push(format!("{name}: the nodes logged last:\n{log}"));
                }
            }
        }
    }
    if rows.iter().all(Row::is_right) {
        lines.push("nothing acknowledged was lost, nothing is there twice, the books balance".to_owned());
    }
    lines.join("\n")
}

/// The same as JSON.
pub fn json(rows: &[Row]) -> Value {
    json!({"faults": rows.iter().map(Row::json).collect::<Vec<_>>(), "checks_passed": rows.iter().all(Row::is_right)})
}
