//! The settings: the embedded `config.default.toml` (their manual), then `giftd.toml` in the working
//! directory, then `GIFTD_*` in the environment. A name that doesn't exist and a value that can't be are
//! errors that say what would be right, all of them at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;
use config::{Config, Environment, File, FileFormat, Value, ValueKind};
use giftd_domain::gifts::Reminders;
use giftd_domain::limits;
use ipnet::IpNet;
use jiff::SignedDuration;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

/// The defaults, and what each setting means.
pub const MANUAL: &str = include_str!("../config.default.toml");
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
    /// From the working directory's `giftd.toml` and this process's environment.
    pub fn load() -> Result<Self, SettingsError> {
        let file = match fs::read_to_string(FILE) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(SettingsError(vec![format!("{FILE} can't be read: {error}")])),
        };
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .map(|(name, value)| match value.into_string() {
                Ok(value) => Ok((name, value)),
                Err(_) => Err(SettingsError(vec![format!("{name} isn't valid UTF-8")])),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Self::from_layers(file.as_deref(), environment)
    }

    /// From a file's text and names and values of an environment.
    pub fn from_layers(
        file: Option<&str>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut errors = Vec::new();
        let mut environment: BTreeMap<String, String> = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX) && !name.starts_with(TEST_PREFIX))
            .collect();
        // `giftd_listen` would be taken for GIFTD_LISTEN by the library: names are exact.
        environment.retain(|name, _| {
            let exact = *name == name.to_ascii_uppercase();
            if !exact {
                errors.push(unknown(name, &name.to_ascii_lowercase()[PREFIX.len()..]));
            }
            exact
        });
        let mut layers = Config::builder().add_source(File::from_str(MANUAL, FileFormat::Toml));
        if let Some(text) = file {
            layers = layers.add_source(File::from_str(text, FileFormat::Toml));
        }
        let layers = layers
            .add_source(
                Environment::with_prefix("GIFTD")
                    .prefix_separator("_")
                    .source(Some(environment.clone().into_iter().collect())),
            )
            .build()
            .map_err(|error| SettingsError(vec![format!("{FILE} is not valid TOML: {error}")]))?;
        let from_environment = environment.keys().map(|name| name[PREFIX.len()..].to_ascii_lowercase()).collect();
        let mut values = Values { values: text_values(layers, &mut errors), from_environment, errors };
        values.refuse_unknown();
        values.read_secret_files();
        let settings = values.settings();
        match settings {
            Some(settings) if values.errors.is_empty() => Ok(settings),
            _ => Err(SettingsError(values.errors)),
        }
    }

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

/// What is wrong with the settings, a sentence each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(pub Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [error] => f.write_str(error),
            errors => {
                write!(f, "{} settings are wrong:", errors.len())?;
                errors.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
        }
    }
}

impl std::error::Error for SettingsError {}

/// The settings as texts, on their way to be checked.
struct Values {
    values: BTreeMap<String, String>,
    /// Names that the environment set, to name a setting as its author wrote it.
    from_environment: BTreeSet<String>,
    errors: Vec<String>,
}

impl Values {
    fn refuse_unknown(&mut self) {
        let known = known();
        let wrong = self.values.keys().filter(|name| !known.contains(name.as_str())).cloned().collect::<Vec<_>>();
        for name in wrong {
            let as_written = self.as_written(&name);
            self.errors.push(unknown(&as_written, &name));
            self.values.remove(&name);
        }
    }

    fn read_secret_files(&mut self) {
        for name in SECRETS {
            let from_file = format!("{name}_file");
            let path = self.values.remove(&from_file).unwrap_or_default();
            if path.is_empty() {
                continue;
            }
            let as_written = self.as_written(&from_file);
            if !self.text(name).is_empty() {
                self.errors.push(format!("{} and {as_written} are both set: set one of them", self.as_written(name)));
                continue;
            }
            match fs::read_to_string(&path) {
                Ok(text) if text.trim().is_empty() => self.errors.push(format!("{as_written}: {path} is empty")),
                Ok(text) => {
                    self.values.insert(name.to_owned(), text.trim_end_matches(['\r', '\n']).to_owned());
                }
                Err(error) => self.errors.push(format!("{as_written}: {path} can't be read: {error}")),
            }
        }
    }

    /// None if any was wrong; then [`Self::errors`] says what.
    fn settings(&mut self) -> Option<Settings> {
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
            fx_max_age: fx_max_age?,
            group_orders: group_orders?,
            log: log?,
            log_format: log_format?,
            metrics_token: metrics_token?,
        })
    }

    fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
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

    /// A setting's name where its value comes from: `GIFTD_LISTEN`, or `listen` in giftd.toml.
    fn as_written(&self, name: &str) -> String {
        if self.from_environment.contains(name) {
            format!("{PREFIX}{}", name.to_ascii_uppercase())
        } else {
            format!("`{name}` in {FILE}")
        }
    }
}

/// The names of all settings: those of the manual and, for secrets, with `_file`.
fn known() -> BTreeSet<String> {
    MANUAL
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.starts_with('#'))
        .chain(SECRETS.map(|name| format!("{name}_file")))
        .collect()
}

fn unknown(as_written: &str, name: &str) -> String {
    let known = known();
    let mut nearest = known.iter().map(|known| (distance(known, name), known)).collect::<Vec<_>>();
    nearest.sort();
    let nearest = nearest
        .iter()
        .take(3)
        .map(|(_, known)| {
            if as_written.starts_with('`') {
                format!("`{known}`")
            } else {
                format!("{PREFIX}{}", known.to_ascii_uppercase())
            }
        })
        .collect::<Vec<_>>();
    format!("{as_written} is not a setting; the nearest are {}", nearest.join(", "))
}

/// How many letters have to be inserted, deleted or replaced (Levenshtein's distance).
fn distance(from: &str, to: &str) -> usize {
    let mut row = (0..=to.chars().count()).collect::<Vec<_>>();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.chars().count()]
}

/// The layers as one flat list of texts.
fn text_values(layers: Config, errors: &mut Vec<String>) -> BTreeMap<String, String> {
    let ValueKind::Table(table) = layers.cache.kind else { return BTreeMap::new() };
    table
        .into_iter()
        .filter_map(|(name, value)| {
            let text = match value.kind {
                // A list may be written as one in TOML.
                ValueKind::Array(items) => items
                    .into_iter()
                    .map(Value::into_string)
                    .collect::<Result<Vec<_>, _>>()
                    .map(|items| items.join(",")),
                // A section: nothing is in sections, so this name is unknown.
                ValueKind::Table(_) => Ok(String::new()),
                _ => value.into_string(),
            };
            match text {
                Ok(text) => Some((name, text.trim().to_owned())),
                Err(error) => {
                    errors.push(format!("`{name}`: {error}"));
                    None
                }
            }
        })
        .collect()
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

/// Whether mail to this host stays on this machine.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
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
fn written(duration: Duration) -> String {
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

    fn from(file: &str, environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_layers(Some(file), environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())))
    }

    fn error(file: &str, environment: &[(&str, &str)]) -> String {
        from(file, environment).expect_err("refused").to_string()
    }

    #[test]
    fn the_manual_holds_every_default() {
        let settings = from("", &[]).expect("the defaults are legal");
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.database, Database::Sqlite("./giftd-data/giftd.db".into()));
        assert_eq!(settings.keys_dir, PathBuf::from("./giftd-data/keys"));
        assert_eq!(settings.maildir(), PathBuf::from("./giftd-data/mail"));
        assert_eq!(settings.mail_retry_base, Duration::from_secs(30));
        assert_eq!(settings.delivery_lease, Duration::from_secs(60));
        assert_eq!(settings.fx_max_age, Duration::from_hours(30 * 24));
        assert_eq!((settings.rate_limit_production, settings.rate_limit_sandbox), (Some(300), Some(60)));
        assert_eq!((settings.mail_rate, settings.mail_concurrency), (None, 8));
        assert_eq!(usize::try_from(settings.group_orders), Ok(giftd_domain::limits::GROUP_ORDERS));
        assert!(settings.trusted_proxies.is_empty() && settings.smtp_url.is_none() && settings.metrics_token.is_none());
        assert!(settings.refusals().is_empty() && settings.warnings().is_empty());
    }

    #[test]
    fn every_setting_is_explained_in_the_manual() {
        let lines = MANUAL.lines().collect::<Vec<_>>();
        for (before, line) in lines.iter().zip(&lines[1..]) {
            assert!(
                !line.contains(" = ") || line.starts_with('#') || before.starts_with("# "),
                "{line} has no comment"
            );
        }
        assert_eq!(known().len(), 23 + SECRETS.len());
    }

    #[test]
    fn the_environment_wins_over_giftd_toml_which_wins_over_the_defaults() {
        let file = "listen = \"127.0.0.1:1\"\nmail_concurrency = 3\nrate_limit_sandbox = 7";
        let settings = from(file, &[("GIFTD_LISTEN", "[::1]:2"), ("GIFTD_RATE_LIMIT_SANDBOX", "0"), ("HOME", "/")])
            .expect("legal");
        assert_eq!(settings.listen.to_string(), "[::1]:2");
        assert_eq!(settings.mail_concurrency, 3);
        assert_eq!(settings.rate_limit_sandbox, None);
        assert_eq!(settings.rate_limit_production, Some(300));
    }

    #[test]
    fn everything_fixed_by_name_can_be_set_from_the_environment() {
        let settings = from(
            "",
            &[
                ("GIFTD_DATABASE_URL", "postgres://u:hunter2@db/giftd"),
                ("GIFTD_DATA_DIR", "/var/lib/giftd"),
                ("GIFTD_LISTEN", "0.0.0.0:80"),
                ("GIFTD_PUBLIC_URL", "https://gifts.example/"),
                ("GIFTD_SMTP_URL", "smtps://u:hunter2@mail.example:465"),
                ("GIFTD_MAIL_FROM", "Gifts <gifts@example.com>"),
                ("GIFTD_MAIL_RETRY_BASE", "250ms"),
                ("GIFTD_MAIL_CONCURRENCY", "16"),
                ("GIFTD_MAIL_RATE", "50"),
                ("GIFTD_DELIVERY_LEASE", "2s"),
                ("GIFTD_RATE_LIMIT_PRODUCTION", "1000"),
                ("GIFTD_RATE_LIMIT_SANDBOX", "0"),
                ("GIFTD_KEYS_DIR", "/etc/giftd/keys"),
                ("GIFTD_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
                ("GIFTD_METRICS_TOKEN", "hunter2"),
                ("GIFTD_FX_MAX_AGE", "12h"),
                ("GIFTD_LOG", "info,giftd=debug"),
                ("GIFTD_LOG_FORMAT", "json"),
                ("GIFTD_GROUP_ORDERS", "1"),
                ("GIFTD_TEST_POSTGRES", "is not a setting, but ours"),
            ],
        );
        let settings = settings.expect("legal");
        assert_eq!(settings.public_url.as_deref(), Some("https://gifts.example"));
        assert_eq!(settings.smtp_host().as_deref(), Some("mail.example"));
        assert_eq!(settings.mail_from, "gifts@example.com");
        assert_eq!(settings.trusted_proxies.len(), 2);
        assert_eq!(settings.keys_dir, PathBuf::from("/etc/giftd/keys"));
        assert_eq!((settings.mail_retry_base, settings.group_orders), (Duration::from_millis(250), 1));
        assert_eq!(settings.log_format, LogFormat::Json);
        let printed = format!("{settings} {settings:?} {settings:#?}");
        assert!(!printed.contains("hunter2"), "secrets aren't printed: {printed}");
    }

    #[test]
    fn an_unknown_setting_is_an_error_that_names_it_and_the_nearest() {
        let text = error("", &[("GIFTD_SMPT_URL", "smtp://localhost")]);
        assert!(text.starts_with("GIFTD_SMPT_URL is not a setting; the nearest are GIFTD_SMTP_URL"), "{text}");
        let text = error("rate_limit_prod = 1", &[]);
        assert!(
            text.contains("`rate_limit_prod` in giftd.toml is not a setting")
                && text.contains("`rate_limit_production`"),
            "{text}"
        );
        assert!(error("", &[("GIFTD_listen", "x")]).contains("GIFTD_LISTEN"));
        assert!(error("[mail]\nfrom = \"a@b.co\"", &[]).contains("`mail` in giftd.toml"));
        assert!(error("listen = ", &[]).contains("giftd.toml is not valid TOML"));
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

    #[test]
    fn secrets_can_be_read_from_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("smtp");
        fs::write(&path, "smtp://u:p@localhost\n").expect("written");
        let path = path.to_str().expect("UTF-8");
        let settings = from("", &[("GIFTD_SMTP_URL_FILE", path)]).expect("legal");
        assert_eq!(settings.smtp_url.expect("read").expose(), "smtp://u:p@localhost");
        let both = error("", &[("GIFTD_SMTP_URL_FILE", path), ("GIFTD_SMTP_URL", "smtp://localhost")]);
        assert_eq!(both, "GIFTD_SMTP_URL and GIFTD_SMTP_URL_FILE are both set: set one of them");
        let missing = error("", &[("GIFTD_METRICS_TOKEN_FILE", "/nowhere")]);
        assert!(missing.contains("GIFTD_METRICS_TOKEN_FILE: /nowhere can't be read"), "{missing}");
    }

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
