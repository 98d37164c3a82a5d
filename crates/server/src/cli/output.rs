//! What a command says: one JSON document, or text for people.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use giftd_domain::problems::{Problem, Problems};
use giftd_store::StoreError;
use serde::Serialize;

use crate::serve::StartError;
use crate::settings::SettingsError;

/// What a command that came to its end has to say.
pub struct Output {
    json: String,
    text: String,
    done: bool,
}

impl Output {
    /// A document, and the same for a person.
    pub fn new(document: &impl Serialize, text: impl Into<String>) -> Result<Self, Failure> {
        let json = serde_json::to_string_pretty(document).map_err(|error| Failure::new("FAILED", error))?;
        Ok(Self { json, text: text.into(), done: true })
    }

    /// A document that is JSON already, for programs and people.
    pub fn document(json: String) -> Self {
        Self { text: json.clone(), json, done: true }
    }

    /// Nothing more: the command has said it all.
    pub fn silent() -> Self {
        Self { json: String::new(), text: String::new(), done: true }
    }

    /// Exit code 1 unless `well`.
    pub fn exit_well_if(self, well: bool) -> Self {
        Self { done: well, ..self }
    }

    /// Prints it.
    pub fn print(self, json: bool) -> ExitCode {
        print_line(if json { &self.json } else { &self.text });
        if self.done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Prints a document or a text that isn't empty; whoever closed the other end doesn't want it.
pub fn print_line(text: &str) {
    let text = text.trim_end();
    if !text.is_empty() {
        drop(writeln!(io::stdout().lock(), "{text}"));
    }
}

/// A table without lines: a row of names, then the rows.
pub fn table<const N: usize>(names: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(names);
    for row in rows {
        table.add_row(row);
    }
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n").collect()
}

/// The first few of many names.
pub fn few(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Why a command is not done. Nothing happened, unless it says otherwise.
#[derive(Debug)]
pub struct Failure {
    code: &'static str,
    message: String,
    details: Vec<Problem>,
}

/// `{"error": "NOT_FOUND", "message": "…", "details": […]}`, as the API's errors look.
#[derive(Serialize)]
struct FailureBody<'a> {
    error: &'static str,
    message: &'a str,
    details: Vec<DetailBody<'a>>,
}

#[derive(Serialize)]
struct DetailBody<'a> {
    field: &'a str,
    code: &'static str,
    message: &'a str,
}

impl Failure {
    /// A code for programs and a sentence that says what to do.
    pub fn new(code: &'static str, message: impl Display) -> Self {
        Self { code, message: message.to_string(), details: Vec::new() }
    }

    /// Several things are wrong with what was given.
    pub fn invalid(message: impl Display, problems: Problems) -> Self {
        Self { code: "VALIDATION_ERROR", message: message.to_string(), details: problems.into_vec() }
    }

    /// The same, with one more sentence.
    pub fn and(self, sentence: impl Display) -> Self {
        Self { message: format!("{}. {sentence}", self.message), ..self }
    }

    /// The fields of its details.
    #[cfg(test)]
    pub fn fields(self) -> Vec<String> {
        self.details.into_iter().map(|one| one.field).collect()
    }

    /// Prints it: as JSON to standard output, for people to standard error.
    pub fn print(self, json: bool, exit_code: u8) -> ExitCode {
        if json {
            let details = self.details.iter();
            let details = details.map(|one| DetailBody { field: &one.field, code: one.code, message: &one.message });
            let body = FailureBody { error: self.code, message: &self.message, details: details.collect() };
            print_line(&serde_json::to_string_pretty(&body).unwrap_or_default());
        } else {
            let details: String =
                self.details.iter().map(|one| format!("\n  {}: {}", one.field, one.message)).collect();
            drop(writeln!(io::stderr().lock(), "{}{details}", self.message));
        }
        ExitCode::from(exit_code)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Unavailable(_) | StoreError::Full => "UNAVAILABLE",
            StoreError::Schema(_) | StoreError::Broken(_) => "FAILED",
        };
        Self::new(code, format!("{error}. `giftd doctor` tells more"))
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::new("SETTINGS", error)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Store(error) => error.into(),
            StartError::Refused(_) | StartError::Smtp(_) | StartError::MailFrom(_) | StartError::Dkim(_) => {
                Self::new("SETTINGS", error)
            }
            StartError::Locked(_) | StartError::Listen { .. } => Self::new("IN_USE", error),
            StartError::Keys(_) => Self::new("KEYS", error),
            StartError::File { .. } => Self::new("FAILED", error),
        }
    }
}
