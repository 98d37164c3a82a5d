//! Where a run happens: a store on a database of its own, and what may befall it.

mod postgres;
mod sqlite;

use anyhow::{Context as _, Result};
use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::Reminders;
use giftd_domain::ids::{AccountId, OrganizationId};
use giftd_store::{Store, StoreError};

use crate::command::{Answer, Command};
use crate::seen::{Scope, Seen};

pub use self::postgres::PostgresStand;
pub use self::sqlite::SqliteStand;

/// What befalls a store while it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Nothing.
    None,
    /// The process dies before anything is written; on PostgreSQL one node does, after so many of the server's answers
    /// to somebody else.
    Killed {
        /// How long it lives.
        after: u32,
    },
    /// The process dies in the midst of a group, when so many operations have run. SQLite only.
    KilledInGroup {
        /// Operations, at least one.
        after: u32,
    },
    /// The process dies when a group is committed, before anybody is told. SQLite only.
    KilledAfterCommit,
    /// An operation of a group fails in its midst. SQLite only.
    Interrupted {
        /// Which, from 0.
        operation: u32,
        /// After so many instructions of SQLite's machine.
        after: u32,
    },
    /// The database refuses a write in the midst of an operation, which fails alone: what is interrupted while it writes
    /// takes its whole group with it. SQLite only.
    Refused {
        /// After so many rows.
        after: u32,
    },
    /// The disk is full, but for so many pages. SQLite only.
    Full {
        /// Pages of 4 KiB.
        pages: u32,
    },
    /// All connections of one node are cut, after so many of the server's answers to somebody else. PostgreSQL only.
    Cut {
        /// How long they last.
        after: u32,
    },
}

/// What is known of a command's end.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a handful is alive at once")]
pub enum Outcome {
    /// Its caller was told.
    Told(Answer),
    /// Surely nothing happened.
    NotDone,
    /// It is done for sure, but its caller wasn't told.
    Untold,
    /// It is done or not.
    Unknown,
}

/// An organization that is there from the start.
#[derive(Clone, Copy, Debug)]
pub struct Created {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    pub name: &'static str,
    /// Its accounts.
    pub accounts: [(AccountId, Environment); 2],
    /// With what its first entry's id was made.
    pub entropy: u128,
}

/// Two organizations with their accounts.
async fn create_organizations(store: &dyn Store, now: Timestamp) -> Result<Vec<Created>> {
    let mut organizations = Vec::new();
    for (name, entropy) in [("Acme", 1), ("Other", 2)] {
        let id = store.create_organization(name, now, entropy).await?;
        let mut accounts = Vec::new();
        for environment in [Environment::Production, Environment::Sandbox] {
            let account = store.account_of(id, environment).await?.context("no account")?;
            accounts.push((account.account_id, environment));
        }
        organizations.push(Created { id, name, accounts: [accounts[0], accounts[1]], entropy });
    }
    Ok(organizations)
}

/// What the database says where it refuses a write ([`Mishap::Refused`]).
const REFUSED: &str = "refused by the simulator";

/// A store that fails in a way that it must not.
#[derive(Clone, Debug)]
pub struct Misbehaved(pub String);

/// A store on its database.
pub enum Stand {
    /// In one process.
    Sqlite(Box<SqliteStand>),
    /// On some nodes.
    Postgres(Box<PostgresStand>),
}

impl Stand {
    /// Asks for all of these at once. On SQLite they happen in their order, in groups of up to `together`; on
    /// PostgreSQL on all nodes in turn.
    pub fn ask(
        &mut self,
        commands: &[Command],
        reminders: &Reminders,
        together: usize,
        mishap: Mishap,
    ) -> Result<Result<Vec<Outcome>, Misbehaved>> {
        match self {
            Self::Sqlite(stand) => stand.ask(commands, reminders, together, mishap),
            Self::Postgres(stand) => stand.ask(commands, reminders, mishap),
        }
    }

    /// Looks at what the store holds.
    pub fn look(&self, scope: &Scope) -> Result<Seen> {
        match self {
            Self::Sqlite(stand) => stand.look(scope),
            Self::Postgres(stand) => stand.look(scope),
        }
    }

    /// Stops the process in order and starts it again; on PostgreSQL a node.
    pub fn reopen(&mut self) -> Result<()> {
        match self {
            Self::Sqlite(stand) => stand.reopen(),
            Self::Postgres(stand) => stand.reopen(),
        }
    }
}

/// What an answer or an error means. A passing failure is told as such; anything else is a bug.
fn outcome(command: &Command, answer: Result<Answer, StoreError>, failed: Outcome) -> Result<Outcome, Misbehaved> {
    match answer {
        Ok(answer) => Ok(Outcome::Told(answer)),
        Err(StoreError::Unavailable(_)) => Ok(failed),
        Err(StoreError::Broken(why)) if why.to_string().contains(REFUSED) => Ok(failed),
        Err(error) => Err(Misbehaved(format!("{command:?}\nfailed: {error}"))),
    }
}
