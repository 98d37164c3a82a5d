//! Where settings come from: the manual, the file, the environment, files of secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;

use config::{Config, Environment, File, FileFormat, Value, ValueKind};

use super::{FILE, MANUAL, PREFIX, SECRETS, Settings, TEST_PREFIX};

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
pub(super) struct Values {
    values: BTreeMap<String, String>,
    /// Names that the environment set, to name a setting as its author wrote it.
    from_environment: BTreeSet<String>,
    pub(super) errors: Vec<String>,
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

    pub(super) fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// A setting's name where its value comes from: `GIFTD_LISTEN`, or `listen` in giftd.toml.
    pub(super) fn as_written(&self, name: &str) -> String {
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

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use giftd_domain::orders::erase::Retention;

    use super::super::{Database, LogFormat};
    use super::*;

    pub(in super::super) fn from(file: &str, environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_layers(Some(file), environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())))
    }

    pub(in super::super) fn error(file: &str, environment: &[(&str, &str)]) -> String {
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
        assert_eq!(settings.pii_days, None, "nothing is erased that nobody asked to erase");
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
        assert_eq!(known().len(), 24 + SECRETS.len());
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
                ("GIFTD_PII_DAYS", "90"),
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
        assert_eq!(settings.pii_days, Retention::days(90));
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
}
