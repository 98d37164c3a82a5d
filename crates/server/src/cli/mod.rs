//! The command line. One file a noun; each command returns what it has to say, as one JSON document
//! and as text for people, and this file prints one of them. Commands work on the database, beside
//! running servers.

mod app;
mod arguments;
mod backup;
mod balance;
mod catalog;
mod catalog_file;
mod choice_range;
mod codes;
mod codes_file;
mod copy;
mod demo;
mod demo_data;
mod doctor;
mod fx;
mod http_client;
mod ledger;
mod openapi;
mod order;
mod org;
mod output;
mod schedule;
mod serve;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use giftd_store::Store;

use self::output::{Failure, Output};
use crate::clock::Clock;
use crate::settings::{LogFormat, Settings};

/// Sends gift cards: place an order over the API, and each recipient gets theirs by mail.
///
/// Settings come from giftd.toml in the working directory and GIFTD_… in the environment; their manual is
/// crates/server/config.default.toml. Commands work on the database beside running servers, which notice
/// within 5 seconds.
#[derive(Parser)]
#[command(name = "giftd", version, after_help = EXAMPLES)]
struct Arguments {
    /// Print one JSON document instead of text, errors too
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  giftd demo                                   everything at work, with invented data
  giftd serve                                  the server
  giftd org create 'Acme Corp'
  giftd app create --org 1 --environment sandbox --name Payroll --scopes 'orders.read orders.write'
  giftd balance credit --org 1 --amount 1000.00 --reference 'wire 4711'
  giftd doctor                                 what is wrong and how to mend it

Exit codes: 0 done, 1 not done, 2 called wrongly.";

#[derive(Subcommand)]
enum Command {
    /// Serve the API and deliver gifts; SIGTERM or Ctrl-C drains and stops
    Serve(serve::Serve),
    /// Show everything at work: data, server, two orders and their mails
    Demo(demo::Demo),
    /// Organizations: the customers of the platform
    #[command(subcommand)]
    Org(org::Org),
    /// Apps: OAuth 2.0 client credentials of an organization
    #[command(subcommand)]
    App(app::App),
    /// Money of an organization
    #[command(subcommand)]
    Balance(balance::Balance),
    /// Orders
    #[command(subcommand)]
    Order(order::Order),
    /// When waiting orders go out
    #[command(subcommand)]
    Schedule(schedule::Schedule),
    /// What can be ordered
    #[command(subcommand)]
    Catalog(catalog::Catalog),
    /// Codes that recipients get
    #[command(subcommand)]
    Codes(codes::Codes),
    /// The amounts that an organization's choice cards may hold
    #[command(subcommand)]
    ChoiceRange(choice_range::ChoiceRange),
    /// Exchange rates
    #[command(subcommand)]
    Fx(fx::Fx),
    /// The books
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Copy the SQLite database into a file, beside a running server
    Backup(backup::Backup),
    /// Copy everything into another, new database, SQLite or PostgreSQL
    Copy(copy::Copy),
    /// Say what is wrong with this installation and how to mend it
    Doctor(doctor::Doctor),
    /// Print the API's OpenAPI document
    Openapi(openapi::Openapi),
}

/// What every command is given.
struct Context {
    /// `--json`
    json: bool,
    clock: Clock,
}

impl Context {
    fn settings(&self) -> Result<Settings, Failure> {
        Ok(Settings::load()?)
    }

    async fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        Ok(crate::serve::open_store(&self.settings()?).await?)
    }
}

/// Runs the command of this process's arguments.
pub async fn main() -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    let arguments = match Arguments::command().try_get_matches().and_then(|found| Arguments::from_arg_matches(&found)) {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && wants_json => {
            return Failure::new("USAGE", error.to_string().trim()).print(true, 2);
        }
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // Nobody is there to be told.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let json = arguments.json;
    match run(arguments).await {
        Ok(output) => output.print(json),
        Err(failure) => failure.print(json, 1),
    }
}

async fn run(arguments: Arguments) -> Result<Output, Failure> {
    let context = Context { json: arguments.json, clock: Clock::system() };
    if !matches!(arguments.command, Command::Serve(_) | Command::Demo(_)) {
        crate::log::init("warn", LogFormat::Text);
    }
    match arguments.command {
        Command::Serve(command) => command.run(&context).await,
        Command::Demo(command) => command.run(&context).await,
        Command::Org(command) => command.run(&context).await,
        Command::App(command) => command.run(&context).await,
        Command::Balance(command) => command.run(&context).await,
        Command::Order(command) => command.run(&context).await,
        Command::Schedule(command) => command.run(&context).await,
        Command::Catalog(command) => command.run(&context).await,
        Command::Codes(command) => command.run(&context).await,
        Command::ChoiceRange(command) => command.run(&context).await,
        Command::Fx(command) => command.run(&context).await,
        Command::Ledger(command) => command.run(&context).await,
        Command::Backup(command) => command.run(&context).await,
        Command::Copy(command) => command.run(&context).await,
        Command::Doctor(command) => command.run(&context).await,
        Command::Openapi(command) => Ok(command.run()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_those_that_others_script_against() {
        Arguments::command().debug_assert();
        for line in [
            "serve",
            "serve --listen 127.0.0.1:8080",
            "demo",
            "org create NAME",
            "org list",
            "org logo --org 1 FILE.svg",
            "org logo --org 1 --remove",
            "org postal --org 1 LINE",
            "org postal --org 1 --remove",
            "app create --org 1 --environment production --name N --scopes orders.read",
            "app create --org 1 --environment sandbox --name N --scopes=orders.read --json",
            "app revoke ID",
            "app rotate ID",
            "app list --org 1",
            "balance credit --org 1 --amount 100.00 --reference R",
            "balance credit --org 1 --amount 100.00 --reference R --environment sandbox",
            "balance debit --org 1 --amount 100.00 --reference R --environment production",
            "balance show --org 1",
            "order show OT01",
            "schedule recompute",
            "schedule recompute --dry-run --json",
            "catalog import FILE.json",
            "catalog import FILE.json --dry-run",
            "codes import --product 20001 FILE.csv",
            "codes import --product 20001 -",
            "codes status",
            "choice-range set --org 1 --min 5 --max 500",
            "fx set JPY 0.006675",
            "fx import FILE.csv",
            "fx list",
            "ledger verify",
            "backup FILE",
            "copy --from sqlite:giftd.db --to postgres://giftd:secret@db/giftd --json",
            "doctor",
            "openapi",
            "--json doctor",
        ] {
            let words = std::iter::once("giftd").chain(line.split(' '));
            if let Err(error) = Arguments::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }
}
