//! The settings: the embedded `config.default.toml` (their manual), then `giftd.toml` in the working
//! directory, then `GIFTD_*` in the environment. A name that doesn't exist and a value that can't be are
//! errors that say what would be right, all of them at once.

mod check;
mod read;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;
use giftd_domain::gifts::Reminders;
use giftd_domain::orders::erase::Retention;
use ipnet::IpNet;

use self::check::written;
pub use self::read::SettingsError;

/// The defaults, and what each setting means.
pub const MANUAL: &str = include_str!("../../config.default.toml");
/// The file with what differs, in the working directory.
pub const FILE: &str = "giftd.toml";
/// What the names in the environment begin with.
const PREFIX: &str = "GIFTD_";
/// Names for the project's own test runs, which aren't settings.
const TEST_PREFIX: &str = "GIFTD_TEST_";
/// Settings that are never printed, and can be read from a file.
const SECRETS: [&str; 4] = ["database_url", "smtp_url", "dkim_key", "metrics_token"];

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The URL under which the server is reached, without a final slash, where one is set.
    pub public_url: Option<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Folder of what is kept beside a database server.
    pub data_dir: PathBuf,
    /// Where the state is.
    pub database: Database,
    /// Folder of the keys.
    pub keys_dir: PathBuf,
    /// The mail server; without one mail goes into the maildir.
    pub smtp_url: Option<Secret>,
    /// The address that mail comes from.
    pub mail_from: String,
    /// The private key that signs mails, in PEM, where they are signed.
    pub dkim_key: Option<Secret>,
    /// Under which name its public half is published.
    pub dkim_selector: String,
    /// For which domain it signs, where it isn't that of `mail_from`.
    pub dkim_domain: Option<String>,
    /// Mails under way at once.
    pub mail_concurrency: u32,
    /// Mails a second at most, where that is limited.
    pub mail_rate: Option<u32>,
    /// Wait before the first retry of a mail.
    pub mail_retry_base: Duration,
    /// How long a node may keep a delivery that it claimed.
    pub delivery_lease: Duration,
    /// How long before its expiry a gift's recipient is reminded.
    pub reminders: Reminders,
    /// Requests a minute of one production app, where that is limited.
    pub rate_limit_production: Option<u32>,
    /// Requests a minute of one sandbox app, where that is limited.
    pub rate_limit_sandbox: Option<u32>,
    /// How long to whom gifts went is known after they are over, where that is limited.
    pub pii_days: Option<Retention>,
    /// Age at which an exchange rate is no longer good.
    pub fx_max_age: Duration,
    /// Orders that share one commit at most.
    pub group_orders: u32,
    /// What is logged, as a filter of `tracing`.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// The bearer token of `/metrics`.
    pub metrics_token: Option<Secret>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where the state is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// The URL of a PostgreSQL server, which has a password.
    Postgres(Secret),
}

impl Database {
    /// Its URL, which of a server has a password.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(url) => url.expose().to_owned(),
        }
    }
}

impl FromStr for Database {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // A database in memory would lose acknowledged orders.
            if !path.is_empty() && !path.contains(":memory:") {
                return Ok(Self::Sqlite(PathBuf::from(path)));
            }
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(Secret::new(url)));
        }
        Err("a database is sqlite:PATH or postgres://user:password@host/name")
    }
}

/// Names the kind, and the file of SQLite: no secret.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(_) => f.write_str("postgres://(secret)"),
        }
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// The URL under which the server is reached: the one that is set, else made of the address it
    /// listens on (the real one, where the port was left to the system).
    pub fn public_url_at(&self, listening: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| {
            let host = match listening.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
                IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            };
            format!("http://{host}:{}", listening.port())
        })
    }

    /// The issuer of tokens: the public URL, or, where none is set, the same text on every node, so that
    /// nodes on different ports that share keys take each other's tokens.
    pub fn issuer(&self) -> &str {
        self.public_url.as_deref().unwrap_or("http://localhost")
    }

    /// Folder of captured mail.
    pub fn maildir(&self) -> PathBuf {
        self.data_dir.join("mail")
    }

    /// Why `serve` must not start with these settings, if so.
    pub fn refusals(&self) -> Vec<String> {
        let mut refusals = Vec::new();
        let is_https = self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
        if let Some(host) = self.smtp_host()
            && !is_loopback(&host)
            && !is_https
        {
            refusals.push(format!(
                "GIFTD_SMTP_URL sends mail to another machine ({host}), and GIFTD_PUBLIC_URL is {}: links in mails must \
                 be https, or whoever listens on the way takes the gifts; set GIFTD_PUBLIC_URL to the https:// URL of \
                 this server",
                self.public_url.as_deref().unwrap_or("not set"),
            ));
        }
        refusals
    }

    /// What is legal and probably not meant.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.public_url.is_none() && !self.listen.ip().is_loopback() {
            warnings.push(format!(
                "GIFTD_PUBLIC_URL isn't set while the server listens on {}: links will name {}",
                self.listen,
                self.public_url_at(self.listen),
            ));
        }
        if self.smtp_url.is_some() && self.mail_from.contains("@localhost") {
            warnings.push(format!(
                "GIFTD_MAIL_FROM is {}: mail servers refuse a sender like that; set it to an address of yours",
                self.mail_from
            ));
        }
        warnings
    }

    /// The host of the mail server.
    pub fn smtp_host(&self) -> Option<String> {
        self.smtp_url.as_ref().and_then(|url| url.expose().parse::<Uri>().ok()?.host().map(str::to_owned))
    }
}

/// One setting a line, without secrets: for `doctor`.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = || "(not set)".to_owned();
        let proxies = self.trusted_proxies.iter().map(IpNet::to_string).collect::<Vec<_>>();
        let lines = [
            ("listen", self.listen.to_string()),
            ("public_url", self.public_url.clone().unwrap_or_else(none)),
            ("trusted_proxies", if proxies.is_empty() { none() } else { proxies.join(",") }),
            ("data_dir", self.data_dir.display().to_string()),
            ("database_url", self.database.to_string()),
            ("keys_dir", self.keys_dir.display().to_string()),
            ("smtp_url", self.smtp_host().map_or_else(none, |host| format!("(secret), host {host}"))),
            ("mail_from", self.mail_from.clone()),
            ("dkim_key", self.dkim_key.as_ref().map_or_else(none, Secret::to_string)),
            ("dkim_selector", self.dkim_selector.clone()),
            ("dkim_domain", self.dkim_domain.clone().unwrap_or_else(none)),
            ("mail_concurrency", self.mail_concurrency.to_string()),
            ("mail_rate", self.mail_rate.unwrap_or(0).to_string()),
            ("mail_retry_base", written(self.mail_retry_base)),
            ("delivery_lease", written(self.delivery_lease)),
            ("reminders", self.reminders.to_string()),
            ("rate_limit_production", self.rate_limit_production.unwrap_or(0).to_string()),
            ("rate_limit_sandbox", self.rate_limit_sandbox.unwrap_or(0).to_string()),
            ("pii_days", self.pii_days.map_or_else(|| "0".to_owned(), |retention| retention.to_string())),
            ("fx_max_age", written(self.fx_max_age)),
            ("group_orders", self.group_orders.to_string()),
            ("log", self.log.clone()),
            (
                "log_format",
                match self.log_format {
                    LogFormat::Text => "text",
                    LogFormat::Json => "json",
                }
                .to_owned(),
            ),
            ("metrics_token", self.metrics_token.as_ref().map_or_else(none, Secret::to_string)),
        ];
        for (name, value) in lines {
            writeln!(f, "{name} = {value}")?;
        }
        Ok(())
    }
}

/// Whether mail to this host stays on this machine.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::read::tests::from;

    #[test]
    fn smtp_to_another_host_needs_an_https_public_url() {
        let refusals = |smtp: &str, public: &str| {
            from("", &[("GIFTD_SMTP_URL", smtp), ("GIFTD_PUBLIC_URL", public)]).expect("legal").refusals()
        };
        for public in ["", "http://gifts.example"] {
            let refused = refusals("smtp://u:hunter2@mail.example", public).join(" ");
            assert!(
                refused.contains("GIFTD_PUBLIC_URL") && refused.contains("https") && !refused.contains("hunter2"),
                "{refused}"
            );
        }
        assert!(refusals("smtp://mail.example", "https://gifts.example").is_empty());
        for host in ["localhost", "127.0.0.1", "127.9.9.9:2525", "[::1]:25"] {
            assert!(refusals(&format!("smtp://{host}"), "http://gifts.example").is_empty(), "{host}");
        }
    }

    #[test]
    fn without_a_public_url_links_name_the_address_and_tokens_a_fixed_issuer() {
        let mut settings = from("", &[]).expect("legal");
        assert_eq!(settings.public_url_at("0.0.0.0:81".parse().expect("an address")), "http://127.0.0.1:81");
        assert_eq!(settings.public_url_at("[::1]:81".parse().expect("an address")), "http://[::1]:81");
        assert_eq!(settings.issuer(), "http://localhost");
        settings.public_url = Some("https://gifts.example".to_owned());
        assert_eq!(settings.public_url_at("0.0.0.0:81".parse().expect("an address")), "https://gifts.example");
        assert_eq!(settings.issuer(), "https://gifts.example");
    }
}
