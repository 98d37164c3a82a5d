//! `giftd doctor`: what is wrong with this installation, and how to mend it. Changes nothing, except that opening a
//! database applies its migrations.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use giftd_domain::Timestamp;
use giftd_domain::limits;
use giftd_domain::schedule::Schedule;
use giftd_store::{Store, StoreError};
use jiff::SignedDuration;
use serde::Serialize;

use super::Context;
use super::codes::without_codes;
use super::output::{Failure, Output, few};
use super::schedule::{self, Comparison};
use crate::clock::Clock;
use crate::keys::{self, Keys};
use crate::serve;
use crate::settings::{Database, Settings};
use crate::workers::clock_check::clock_skew;

/// Orders that one finding names.
const ORDERS_LISTED: usize = 20;

#[derive(Args)]
#[command(after_help = "Exit code 1 when something is wrong; warnings alone are 0.")]
pub struct Doctor {}

#[derive(Serialize)]
struct Report {
    /// Whether nothing is wrong; there may be warnings.
    well: bool,
    findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Finding {
    /// What: `settings`, `database`, `keys`, `clock`, `mail`, `dkim`, `rates`, `catalog`, `codes`, `schedules`, `recipients`.
    check: &'static str,
    status: Status,
    /// What was found.
    message: String,
    /// How to mend it; none where it is well.
    mend: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// Collects findings.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: &'static str, message: impl ToString) {
        self.0.push(Finding { check, status: Status::Ok, message: message.to_string(), mend: None });
    }

    fn warn(&mut self, check: &'static str, message: impl ToString, mend: impl ToString) {
        self.0.push(Finding {
            check,
            status: Status::Warn,
            message: message.to_string(),
            mend: Some(mend.to_string()),
        });
    }

    fn fail(&mut self, check: &'static str, message: impl ToString, mend: impl ToString) {
        self.0.push(Finding {
            check,
            status: Status::Fail,
            message: message.to_string(),
            mend: Some(mend.to_string()),
        });
    }
}

impl Doctor {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        let mut findings = Findings::default();
        match Settings::load() {
            Ok(settings) => look(&settings, &context.clock, &mut findings).await,
            Err(error) => {
                for one in error.0 {
                    findings.fail("settings", one, "the manual of the settings is crates/server/config.default.toml");
                }
            }
        }
        let well = findings.0.iter().all(|finding| finding.status != Status::Fail);
        let report = Report { well, findings: findings.0 };
        let text = in_words(&report);
        Ok(Output::new(&report, text)?.exit_well_if(well))
    }
}

async fn look(settings: &Settings, clock: &Clock, findings: &mut Findings) {
    look_at_settings(settings, findings);
    if let Some(store) = look_at_database(settings, findings).await {
        look_at_clock(store.as_ref(), clock, findings).await;
        look_at_keys(settings, store.as_ref(), findings).await;
        look_at_mail(settings, Some(store.as_ref()), findings).await;
        look_at_reference(settings, store.as_ref(), clock.now(), findings).await;
        look_at_schedules(store.as_ref(), findings).await;
        look_at_codes(store.as_ref(), findings).await;
    } else {
        look_at_mail(settings, None, findings).await;
    }
}

fn look_at_settings(settings: &Settings, findings: &mut Findings) {
    let (refusals, warnings) = (settings.refusals(), settings.warnings());
    if refusals.is_empty() && warnings.is_empty() {
        findings.ok("settings", "they go together");
    }
    for refusal in refusals {
        findings.fail("settings", refusal, "`giftd serve` refuses to start until the settings go together");
    }
    for warning in warnings {
        findings.warn("settings", warning, "change the setting in giftd.toml or in the environment");
    }
    match settings.pii_days {
        Some(days) => findings.ok("recipients", format!("they are erased {days} days after their gifts' expiry")),
        None => findings.ok("recipients", "they are kept: GIFTD_PII_DAYS isn't set"),
    }
}

async fn look_at_database(settings: &Settings, findings: &mut Findings) -> Option<std::sync::Arc<dyn Store>> {
    if let Database::Sqlite(path) = &settings.database
        && !path.exists()
    {
        let message = format!("there is no database at {} yet", path.display());
        findings.warn("database", message, "`giftd serve` makes it; or set GIFTD_DATABASE_URL to where it is");
        return None;
    }
    let opened = serve::open_store(settings).await;
    let store = match opened {
        Ok(store) => store,
        Err(error) => {
            findings.fail("database", format!("{}: {error}", settings.database), mend_database(&settings.database));
            return None;
        }
    };
    match store.ready().await {
        Ok(()) => {
            findings.ok("database", format!("{} answers", settings.database));
            findings.ok("migrations", "all are applied");
            Some(store)
        }
        Err(error) => {
            findings.fail(
                "migrations",
                error,
                "run the version of giftd that this database was migrated with, or a later one",
            );
            None
        }
    }
}

fn mend_database(database: &Database) -> &'static str {
    match database {
        Database::Sqlite(_) => {
            "check that this user may read and write the file and its folder, and that the disk isn't full"
        }
        Database::Postgres(_) => {
            "check GIFTD_DATABASE_URL, and that the server runs and lets this user in: psql with the same URL"
        }
    }
}

async fn look_at_clock(store: &dyn Store, clock: &Clock, findings: &mut Findings) {
    match clock_skew(store, clock).await {
        Ok(skew) if skew.as_millis() <= i128::from(limits::CLOCK_SKEW_MILLISECONDS) => {
            findings.ok("clock", "it agrees with the database's");
        }
        Ok(skew) => findings.fail(
            "clock",
            format!(
                "this machine's clock and the database's differ by {} ms: this node delivers nothing",
                skew.as_millis()
            ),
            "set both clocks by NTP",
        ),
        Err(error) => findings.fail("clock", error, "see database"),
    }
}

async fn look_at_keys(settings: &Settings, store: &dyn Store, findings: &mut Findings) {
    let folder = &settings.keys_dir;
    let recorded = match store.key_fingerprints().await {
        Ok(recorded) => recorded,
        Err(error) => return findings.fail("keys", error, "see database"),
    };
    if recorded.is_empty() {
        return findings.ok("keys", format!("none yet: the first `giftd serve` makes them in {}", folder.display()));
    }
    match Keys::load(folder).and_then(|keys| keys.check(folder, &recorded)) {
        Ok(()) => findings.ok("keys", format!("those in {} are the database's", folder.display())),
        Err(error) => findings.fail(
            "keys",
            error,
            format!("bring the files back into {}, or set GIFTD_KEYS_DIR", folder.display()),
        ),
    }
    for exposed in keys::exposed(folder) {
        findings.warn(
            "keys",
            exposed,
            "whoever reads these keys can redeem every gift: change them back to their owner alone",
        );
    }
}

async fn look_at_mail(settings: &Settings, store: Option<&dyn Store>, findings: &mut Findings) {
    let post = match serve::mail(settings) {
        Ok((post, _)) => post,
        Err(error) => {
            let mend = "see smtp_url, mail_from and dkim_key in crates/server/config.default.toml";
            return findings.fail("mail", error, mend);
        }
    };
    if let Some(dkim) = &post.dkim {
        let record = format!("{} TXT \"{}\"", dkim.record_name(), dkim.record());
        findings.ok("dkim", format!("mails are signed; the DNS must have {record}"));
    }
    if let Some(smtp) = post.smtp {
        return match smtp.check().await {
            Ok(()) => findings.ok("mail", format!("{smtp} takes us")),
            Err(error) => findings.fail(
                "mail",
                format!("{smtp}: {error}"),
                "check GIFTD_SMTP_URL: host, port, user and password, and that this machine may connect to it",
            ),
        };
    }
    let captured = match store {
        Some(store) => serve::captured_production(settings, store).await,
        None => Ok(None),
    };
    match captured {
        Ok(None) => findings.ok("mail", format!("captured in {}", shown(&settings.maildir()))),
        Ok(Some(sentence)) => findings.fail("mail", sentence, "set GIFTD_SMTP_URL=smtp://user:password@host:587"),
        Err(error) => findings.fail("mail", error, "see database"),
    }
}

async fn look_at_reference(settings: &Settings, store: &dyn Store, now: Timestamp, findings: &mut Findings) {
    let reference = match store.reference().await {
        Ok(reference) => reference,
        Err(error) => return findings.fail("catalog", error, "see database"),
    };
    let catalog = &reference.catalog;
    if catalog.branded.is_empty() && catalog.choice.is_empty() {
        findings.warn("catalog", "it is empty: nothing can be ordered", "giftd catalog import FILE.json");
    } else {
        let listed = format!("{} branded and {} choice cards", catalog.branded.len(), catalog.choice.len());
        findings.ok("catalog", listed);
    }
    let mut currencies: Vec<&str> =
        catalog.branded.values().map(|card| card.currency.code()).filter(|&code| code != "USD").collect();
    currencies.sort_unstable();
    currencies.dedup();
    let before = findings.0.len();
    for code in currencies {
        let mend = format!("giftd fx set {code} RATE, or giftd fx import FILE.csv");
        let Some(rate) = reference.rates.get(code) else {
            findings.fail("rates", format!("there is no rate for {code}, and cards in it can't be ordered"), mend);
            continue;
        };
        let age = now.duration_since(rate.set_at);
        match rate_status(age, settings.fx_max_age) {
            Status::Ok => {}
            Status::Warn => findings.warn(
                "rates",
                format!("the rate for {code} is {} old; at {} it is no longer good", days(age), days(max(settings))),
                mend,
            ),
            Status::Fail => findings.fail(
                "rates",
                format!("the rate for {code} is {} old: cards in it can't be ordered", days(age)),
                mend,
            ),
        }
    }
    if findings.0.len() == before {
        findings.ok("rates", "there is a recent one for each currency of the catalog");
    }
}

async fn look_at_codes(store: &dyn Store, findings: &mut Findings) {
    match cards_without_codes(store).await {
        Ok(None) => {}
        Ok(Some(cards)) if cards.is_empty() => findings.ok("codes", "there are some of each listed branded card"),
        Ok(Some(cards)) => findings.warn(
            "codes",
            format!("recipients in production can't redeem gifts of cards without codes: {}", few(&cards)),
            "giftd codes import --product ID FILE.csv",
        ),
        Err(error) => findings.fail("codes", error, "see database"),
    }
}

/// Listed branded cards without a code. None where there is nothing to order, or nobody who could.
async fn cards_without_codes(store: &dyn Store) -> Result<Option<Vec<String>>, StoreError> {
    let catalog = store.reference().await?.catalog;
    if catalog.branded.is_empty() || store.organizations().await?.is_empty() {
        return Ok(None);
    }
    let stock = store.stock().await?;
    Ok(Some(without_codes(&catalog, &stock).into_iter().map(|card| card.product_id.clone()).collect()))
}

/// Whether waiting orders still go out at their local time: a new version of giftd may know other time zone rules.
async fn look_at_schedules(store: &dyn Store, findings: &mut Findings) {
    let Comparison { waiting, moving, unresolved } = match schedule::compare(store).await {
        Ok(comparison) => comparison,
        Err(error) => return findings.fail("schedules", error, "see database"),
    };
    if moving.is_empty() && unresolved.is_empty() {
        return match waiting {
            0 => findings.ok("schedules", "no scheduled order waits"),
            _ => findings.ok("schedules", format!("the {waiting} waiting orders go out at their local time")),
        };
    }
    if !moving.is_empty() {
        let orders = moving.iter().map(|(order, to)| {
            let Schedule { local, timezone, send_at } = &order.schedule;
            format!("{}, {local} {timezone}, at {send_at:.3} instead of {to:.3}", order.order_id)
        });
        let message = format!(
            "{} of {waiting} waiting orders don't go out at their local time, by this version's time zone rules:{}",
            moving.len(),
            listed(orders)
        );
        let mend = "giftd schedule recompute moves them, once all nodes have this version; first with --dry-run";
        findings.warn("schedules", message, mend);
    }
    if !unresolved.is_empty() {
        let orders = unresolved.iter().map(|(order, _)| {
            let Schedule { local, timezone, send_at } = &order.schedule;
            format!("{}, {local} {timezone}, at {send_at:.3}", order.order_id)
        });
        let message = format!(
            "{} of {waiting} waiting orders have a time zone that this version doesn't know:{}",
            unresolved.len(),
            listed(orders)
        );
        findings.warn("schedules", message, "they go out at that instant; `giftd order show` tells whose they are");
    }
}

/// The first of them, a line each, and how many more there are.
fn listed(orders: impl ExactSizeIterator<Item = String>) -> String {
    let more = orders.len().saturating_sub(ORDERS_LISTED);
    let mut text: String = orders.take(ORDERS_LISTED).map(|order| format!("\n{:<18}{order}", "")).collect();
    if more > 0 {
        text += &format!("\n{:<18}and {more} more", "");
    }
    text
}

fn max(settings: &Settings) -> SignedDuration {
    SignedDuration::try_from(settings.fx_max_age).unwrap_or(SignedDuration::MAX)
}

/// A warning from half the greatest age on.
fn rate_status(age: SignedDuration, max_age: Duration) -> Status {
    let max_age = SignedDuration::try_from(max_age).unwrap_or(SignedDuration::MAX);
    match age {
        age if age > max_age => Status::Fail,
        age if age >= max_age / 2 => Status::Warn,
        _ => Status::Ok,
    }
}

fn days(age: SignedDuration) -> String {
    match age.as_hours() {
        hours if hours >= 48 => format!("{} days", hours / 24),
        0 => format!("{} s", age.as_secs()),
        hours => format!("{hours} h"),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn in_words(report: &Report) -> String {
    let mut text = String::new();
    for Finding { check, status, message, mend } in &report.findings {
        let status: &str = status.into();
        text += &format!("{status:<5} {check:<11} {message}\n");
        if let Some(mend) = mend {
            text += &format!("{:<17} → {mend}\n", "");
        }
    }
    text + if report.well { "Nothing is wrong." } else { "Something is wrong: see the lines that begin with fail." }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doctor_warns_at_half_of_a_rates_greatest_age() {
        let thirty_days = Duration::from_hours(30 * 24);
        for (hours, expected) in [(0, "ok"), (359, "ok"), (360, "warn"), (720, "warn"), (721, "fail")] {
            let status: &str = rate_status(SignedDuration::from_hours(hours), thirty_days).into();
            assert_eq!(status, expected, "{hours}");
        }
    }
}
