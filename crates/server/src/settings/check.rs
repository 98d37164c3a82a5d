//! What each setting may be.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Uri;
use giftd_domain::gifts::Reminders;
use giftd_domain::limits;
use giftd_domain::orders::erase::Retention;
use ipnet::IpNet;
use jiff::SignedDuration;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::read::Values;
use super::{Database, LogFormat, SECRETS, Secret, Settings};

impl Values {
    /// None if any was wrong; then [`Self::errors`] says what.
    pub(super) fn settings(&mut self) -> Option<Settings> {
        let data_dir =
            self.checked("data_dir", "the path of a folder", |text| (!text.is_empty()).then(|| PathBuf::from(text)));
        let data = data_dir.clone().unwrap_or_default();
        let listen = self.checked("listen", "an address and port such as 127.0.0.1:8080", |text| text.parse().ok());
        let public_url = self.optional("public_url", "a URL such as https://gifts.example.com", public_url);
        let trusted_proxies =
            self.checked("trusted_proxies", "addresses or networks such as 10.0.0.0/8, ::1", networks);
        let database = self
            .checked("database_url", "sqlite:PATH or postgres://user:password@host/name", |text| database(text, &data));
        let keys_dir = self.optional("keys_dir", "the path of a folder", |text| Some(PathBuf::from(text)));
        let smtp_url = self.optional("smtp_url", "smtp://user:password@host:port or smtps://…", smtp_url);
        let mail_from = self.checked("mail_from", "an email address such as gifts@example.com", |text| {
            // A name is legal and dropped: each order names its sender.
            text.parse::<lettre::message::Mailbox>().ok().map(|mailbox| mailbox.email.to_string())
        });
        let dkim_key = self.optional("dkim_key", "a private key in PEM", |text| {
            // What kind of key it is, and whether it is good, the mails' part knows.
            text.starts_with("-----BEGIN ").then(|| Secret::new(text))
        });
        let dkim_selector = self.checked("dkim_selector", "a name such as giftd", domain);
        let dkim_domain = self.optional("dkim_domain", "a domain such as example.com", domain);
        let mail_concurrency = self.number("mail_concurrency", 1, 256);
        let mail_rate = self.number("mail_rate", 0, 100_000);
        let mail_retry_base = self.duration("mail_retry_base", Duration::from_millis(1), Duration::from_hours(24));
        let delivery_lease = self.duration("delivery_lease", Duration::from_millis(500), Duration::from_hours(1));
        let reminders = self.checked("reminders", "durations up to 179d such as 7d,1d, or none", reminders);
        let rate_limit_production = self.number("rate_limit_production", 0, 1_000_000_000);
        let rate_limit_sandbox = self.number("rate_limit_sandbox", 0, 1_000_000_000);
        let pii_days = self.checked(
            "pii_days",
            &format!(
                "0 or a whole number from {} to {} (until {0} days after a gift's expiry its codes can be seen)",
                limits::RECIPIENTS_KEPT_DAYS_LEAST,
                limits::RECIPIENTS_KEPT_DAYS
            ),
            |text| if text == "0" { Some(None) } else { Retention::days(text.parse().ok()?).map(Some) },
        );
        let fx_max_age = self.duration("fx_max_age", Duration::from_millis(1), Duration::from_hours(24 * 3_660));
        let group_orders = self.number("group_orders", 1, 4_096);
        let log = self.checked(
            "log",
            "a level (error, warn, info, debug, trace) or a filter such as info,giftd=debug",
            |text| {
                (!text.is_empty() && text.parse::<tracing_subscriber::filter::Targets>().is_ok())
                    .then(|| text.to_owned())
            },
        );
        let log_format = self.checked("log_format", "text or json", |text| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        });
        let metrics_token = self.optional("metrics_token", "visible ASCII characters", |text| {
            text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Secret::new(text))
        });
        let not_zero = |number: u32| (number > 0).then_some(number);
        Some(Settings {
            listen: listen?,
            public_url: public_url?,
            trusted_proxies: trusted_proxies?,
            database: database?,
            keys_dir: keys_dir?.unwrap_or_else(|| data.join("keys")),
            data_dir: data_dir?,
            smtp_url: smtp_url?,
            mail_from: mail_from?,
            dkim_key: dkim_key?,
            dkim_selector: dkim_selector?,
            dkim_domain: dkim_domain?,
            mail_concurrency: mail_concurrency?,
            mail_rate: not_zero(mail_rate?),
            mail_retry_base: mail_retry_base?,
            delivery_lease: delivery_lease?,
            reminders: reminders?,
            rate_limit_production: not_zero(rate_limit_production?),
            rate_limit_sandbox: not_zero(rate_limit_sandbox?),
            pii_days: pii_days?,
            fx_max_age: fx_max_age?,
            group_orders: group_orders?,
            log: log?,
            log_format: log_format?,
            metrics_token: metrics_token?,
        })
    }

    /// The setting's value, or an error that says what would be right.
    fn checked<T>(&mut self, name: &str, right: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = read(self.text(name));
        if value.is_none() {
            let shown = if SECRETS.contains(&name) { "its value".to_owned() } else { format!("`{}`", self.text(name)) };
            self.errors.push(format!("{}: {shown} isn't {right}", self.as_written(name)));
        }
        value
    }

    /// The same for a setting that may be empty, which is none.
    fn optional<T>(&mut self, name: &str, right: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
        self.checked(name, right, |text| if text.is_empty() { Some(None) } else { read(text).map(Some) })
    }

    fn number(&mut self, name: &str, min: u32, max: u32) -> Option<u32> {
        let right = format!("a whole number from {min} to {max}");
        self.checked(name, &right, |text| text.parse().ok().filter(|number| (min..=max).contains(number)))
    }

    fn duration(&mut self, name: &str, min: Duration, max: Duration) -> Option<Duration> {
        let right = format!(
            "a duration from {} to {}: a number with ms, s, m, h or d, such as 30s",
            written(min),
            written(max)
        );
        self.checked(name, &right, |text| duration(text).filter(|duration| (min..=max).contains(duration)))
    }
}

fn public_url(text: &str) -> Option<String> {
    let text = text.trim_end_matches('/');
    let url: Uri = text.parse().ok()?;
    let is_web = matches!(url.scheme_str(), Some("http" | "https"));
    let is_plain = url.query().is_none() && !text.contains(['#', '@', '"', '<', '>']) && url.path() == "/";
    (is_web && is_plain && url.host().is_some_and(|host| !host.is_empty())).then(|| text.to_owned())
}

fn smtp_url(text: &str) -> Option<Secret> {
    let url: Uri = text.parse().ok()?;
    let is_mail = matches!(url.scheme_str(), Some("smtp" | "smtps"));
    (is_mail && url.host().is_some_and(|host| !host.is_empty())).then(|| Secret::new(text))
}

/// Labels with dots between them, as in the DNS.
fn domain(text: &str) -> Option<String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.split('.').all(is_label).then(|| text.to_ascii_lowercase())
}

fn database(text: &str, data_dir: &Path) -> Option<Database> {
    if text.is_empty() {
        return Some(Database::Sqlite(data_dir.join("giftd.db")));
    }
    text.parse().ok()
}

fn networks(text: &str) -> Option<Vec<IpNet>> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| item.parse::<IpNet>().ok().or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from)))
        .collect()
}

/// A number with ms, s, m, h or d; whole milliseconds.
fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let total = Decimal::from_str_exact(number.trim_end()).ok()?.checked_mul(Decimal::from(milliseconds))?;
    if total.fract().is_zero() { total.to_u64().map(Duration::from_millis) } else { None }
}

/// A duration as [`duration`] reads it, in the largest unit that is whole.
pub(super) fn written(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
        .into_iter()
        .find(|(_, size)| milliseconds > 0 && milliseconds.is_multiple_of(*size))
        .map_or_else(|| format!("{milliseconds}ms"), |(unit, size)| format!("{}{unit}", milliseconds / size))
}

/// Durations with commas between them; all before any gift that isn't refunded expires.
fn reminders(text: &str) -> Option<Reminders> {
    if text == "none" {
        return Some(Reminders::default());
    }
    let longest = Duration::from_hours(limits::EXPIRY_HOURS.unsigned_abs() - 24);
    let before = text.split(',').map(|one| {
        let before = duration(one.trim()).filter(|before| (Duration::from_secs(1)..=longest).contains(before))?;
        SignedDuration::try_from(before).ok()
    });
    before.collect::<Option<Vec<_>>>().map(Reminders::new)
}

#[cfg(test)]
mod tests {
    use super::super::read::tests::error;
    use super::*;

    #[test]
    fn reminders_are_durations_or_none() {
        for (text, written) in [("7d,1d", "7d,1d"), ("1h, 36h", "36h,1h"), ("none", "none"), ("1d,1d", "1d")] {
            assert_eq!(reminders(text).expect(text).to_string(), written);
        }
        for text in ["", "7", "7d,", "0s", "180d", "none,1d"] {
            assert_eq!(reminders(text), None, "{text}");
        }
    }

    #[test]
    fn a_bad_value_is_an_error_that_says_what_would_be_right_and_all_are_told_at_once() {
        let text = error("mail_concurrency = 0", &[("GIFTD_MAIL_RETRY_BASE", "30"), ("GIFTD_LISTEN", "8080")]);
        for part in [
            "3 settings are wrong",
            "`mail_concurrency` in giftd.toml: `0` isn't a whole number from 1 to 256",
            "GIFTD_MAIL_RETRY_BASE: `30` isn't a duration from 1ms to 1d: a number with ms, s, m, h or d, such as 30s",
            "GIFTD_LISTEN: `8080` isn't an address and port such as 127.0.0.1:8080",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        for (name, value) in [
            ("GIFTD_PUBLIC_URL", "gifts.example"),
            ("GIFTD_PUBLIC_URL", "ftp://gifts.example"),
            ("GIFTD_PUBLIC_URL", "https://gifts.example/?a=b"),
            ("GIFTD_TRUSTED_PROXIES", "10.0.0.0/33"),
            ("GIFTD_DKIM_SELECTOR", "a b"),
            ("GIFTD_DKIM_DOMAIN", "example..com"),
            ("GIFTD_MAIL_FROM", "nobody"),
            ("GIFTD_LOG_FORMAT", "xml"),
            ("GIFTD_LOG", ""),
            ("GIFTD_DATA_DIR", ""),
            ("GIFTD_RATE_LIMIT_SANDBOX", "-1"),
            ("GIFTD_RATE_LIMIT_SANDBOX", "1.5"),
            ("GIFTD_PII_DAYS", "29"),
            ("GIFTD_PII_DAYS", "36501"),
            ("GIFTD_PII_DAYS", "-1"),
            ("GIFTD_PII_DAYS", "30d"),
        ] {
            let text = error("", &[(name, value)]);
            assert!(text.contains(name) && text.contains(&format!("`{value}` isn't ")), "{text}");
        }
        for (name, value) in [
            ("GIFTD_DATABASE_URL", "mysql://hunter2"),
            ("GIFTD_DATABASE_URL", "sqlite::memory:"),
            ("GIFTD_SMTP_URL", "http://hunter2"),
            ("GIFTD_METRICS_TOKEN", "hunter2 hunter2"),
            ("GIFTD_DKIM_KEY", "hunter2"),
        ] {
            let text = error("", &[(name, value)]);
            assert!(text.contains(name) && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn durations_are_a_number_with_a_unit() {
        for (text, milliseconds) in
            [("1ms", 1), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("30d", 2_592_000_000), ("1.5s", 1_500)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1 week", "1w", "0.5ms", "1S", "1s1s", "1e3s"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(written(Duration::from_secs(90)), "90s");
        assert_eq!(written(Duration::from_secs(86_400)), "1d");
    }
}
