//! One run: step by step, and at the end until everything is at rest.

mod drain;

use std::fmt;
use std::mem::discriminant;

use anyhow::{Result, anyhow};
use giftd_domain::Timestamp;
use giftd_domain::gifts::Reminders;
use giftd_domain::gifts::redemption::Reserved;
use giftd_domain::ids::{AccountId, OrderId, TimeId};
use giftd_domain::ledger::EntryType;
use giftd_store::OperatorEntry;
use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};

use crate::command::{Answer, Command};
use crate::explain::{Asked, explain, in_order};
use crate::generate::Generator;
use crate::laws;
use crate::model::{Contradiction, Model};
use crate::seen::{Scope, Seen, difference};
use crate::stand::{Misbehaved, Mishap, Outcome, PostgresStand, SqliteStand, Stand};

/// Which database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file in memory.
    Sqlite,
    /// A new database on a server.
    Postgres {
        /// The URL of any database of the server.
        server: String,
        /// Nodes on it.
        nodes: usize,
    },
}

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of all chance.
    pub seed: u64,
    /// Steps before everything is let come to rest.
    pub steps: u32,
    /// Where.
    pub database: Database,
    /// Whether each step is told on standard error.
    pub trace: bool,
}

/// What a run that went well did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Commands that were asked for.
    pub commands: u64,
    /// Processes, nodes or connections that died, operations that failed, disks that were full.
    pub mishaps: u64,
    /// Orders that were placed.
    pub orders: u64,
    /// SHA-256 of all commands, answers, and what the store held at the end.
    pub digest: String,
}

/// What went wrong, and where.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The step, from 1; one more than there are where it was on the way to rest.
    pub step: u32,
    /// What was asked for, if that is known.
    pub asked: String,
    /// What was expected and what was found.
    pub problem: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}\nasked {}\n\n{}", self.step, self.asked, self.problem)
    }
}

impl std::error::Error for Failure {}

/// Runs, and compares after each step.
pub fn run(options: &Options) -> Result<Report, Failure> {
    let at_start = |error: anyhow::Error| Failure { step: 0, asked: String::new(), problem: format!("{error:#}") };
    let mut run = Run::begin(options).map_err(at_start)?;
    let went = run.go(options.steps);
    went.map_err(|error| Failure { step: run.step, asked: run.last.clone(), problem: format!("{error:#}") })
}

/// Looks at everything each so many times, and where it isn't clear what has happened; else at what commands had to do
/// with.
const LOOK_AT_ALL: u64 = 6;

struct Run {
    stand: Stand,
    on_sqlite: bool,
    model: Model,
    generator: Generator,
    now: Timestamp,
    step: u32,
    /// What was asked for last.
    last: String,
    trace: bool,
    looks: u64,
    report: Report,
    digest: Sha256,
}

impl Run {
    fn begin(options: &Options) -> Result<Self> {
        let now: Timestamp = "2026-11-22T18:30:00Z".parse()?;
        let on_sqlite = options.database == Database::Sqlite;
        let (stand, organizations) = match &options.database {
            Database::Sqlite => {
                let (stand, organizations) = SqliteStand::new(now)?;
                (Stand::Sqlite(Box::new(stand)), organizations)
            }
            Database::Postgres { server, nodes } => {
                let (stand, organizations) = PostgresStand::new(server, *nodes, now)?;
                (Stand::Postgres(Box::new(stand)), organizations)
            }
        };
        let reminders = Reminders::new([7, 1].map(|days| SignedDuration::from_hours(24 * days)));
        let mut model = Model::new(reminders);
        organizations.iter().for_each(|created| model.add_organization(created, now));
        let mut run = Self {
            stand,
            on_sqlite,
            model,
            generator: Generator::new(options.seed),
            now,
            step: 0,
            last: String::new(),
            trace: options.trace,
            looks: 0,
            report: Report::default(),
            digest: Sha256::new(),
        };
        run.ask(vec![run.first_funds()], 1, Mishap::None)?;
        Ok(run)
    }

    /// So much that it may run out; the other accounts begin with what they have.
    fn first_funds(&self) -> Command {
        let account_id = self.model.accounts.values().find(|account| !account.sandbox).expect("an account").id;
        let reference = "the first transfer".to_owned();
        let (entry_type, cents, now, entropy) = (EntryType::Charge, 500_000, self.now, 1);
        Command::Operate(OperatorEntry { account_id, entry_type, cents, reference, now, entropy })
    }

    fn go(&mut self, steps: u32) -> Result<Report> {
        for step in 1..=steps {
            self.step = step;
            self.step()?;
        }
        self.step = steps + 1;
        self.come_to_rest()?;
        let seen = self.stand.look(&self.model.everything(self.now))?;
        self.digest.update(format!("{seen:?}"));
        self.report.orders =
            self.model.accounts.values().map(|account| u64::try_from(account.orders.len())).sum::<Result<_, _>>()?;
        self.report.digest = self.digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(self.report.clone())
    }

    fn step(&mut self) -> Result<()> {
        self.now = self.generator.tick(&self.model, self.now);
        if self.generator.dice.chance(1) {
            self.last = "a restart".to_owned();
            self.stand.reopen()?;
            return self.compare(true);
        }
        let mishap = self.mishap();
        let commands = self.commands(mishap);
        let together = usize::try_from(self.generator.dice.between(1, 5))?;
        self.ask(commands, together, mishap)?;
        Ok(())
    }

    fn mishap(&mut self) -> Mishap {
        let dice = &mut self.generator.dice;
        if dice.chance(if self.on_sqlite { 75 } else { 85 }) {
            return Mishap::None;
        }
        let mut number = |last| u32::try_from(dice.between(0, last)).expect("a small number");
        if !self.on_sqlite {
            let after = number(12);
            return if number(2) == 0 { Mishap::Killed { after } } else { Mishap::Cut { after } };
        }
        match number(13) {
            0 => Mishap::Killed { after: 0 },
            1 | 2 => Mishap::KilledInGroup { after: 1 + number(3) },
            3 | 4 => Mishap::KilledAfterCommit,
            5 => Mishap::Full { pages: number(2) },
            6..10 => Mishap::Refused { after: number(4) * number(5) },
            _ => {
                let (operation, most) = (number(2), number(8).pow(3));
                Mishap::Interrupted { operation, after: 1 + number(most.into()) }
            }
        }
    }

    /// What is asked for at once.
    fn commands(&mut self, mishap: Mishap) -> Vec<Command> {
        let most = if self.on_sqlite { 6 } else { 4 };
        let many = usize::try_from(self.generator.dice.between(1, most)).expect("few");
        let mut commands: Vec<Command> = Vec::new();
        while commands.len() < many {
            // Twins: a double tap, a client that asks on two nodes.
            let twin = commands.last().filter(|_| self.generator.dice.chance(20)).cloned();
            let next = twin.map(|twin| self.generator.twin(twin)).or_else(|| self.alike(!commands.is_empty()));
            let next = next.unwrap_or_else(|| self.generator.next(&self.model, self.now));
            if self.on_sqlite || commands.iter().all(|other| may_meet(&next, other, mishap)) {
                commands.push(next);
            }
        }
        commands
    }

    /// Nodes get in each other's way where they do alike at the same moment.
    fn alike(&mut self, is_beside: bool) -> Option<Command> {
        let is_wanted = is_beside && !self.on_sqlite && self.generator.dice.chance(35);
        is_wanted.then(|| self.generator.another(&self.model, self.now)).flatten()
    }

    /// Asks, and follows.
    fn ask(&mut self, commands: Vec<Command>, together: usize, mishap: Mishap) -> Result<Vec<Outcome>> {
        let lines: Vec<String> = commands.iter().map(|command| format!("  {command:?}")).collect();
        self.last = format!("at {}, {mishap:?}, up to {together} in a group\n{}", self.now, lines.join("\n"));
        if self.trace {
            eprintln!("step {}: {}", self.step, self.last);
        }
        self.report.commands += u64::try_from(commands.len())?;
        self.report.mishaps += u64::from(mishap != Mishap::None);
        let reminders = self.model.reminders.clone();
        let asked = self.stand.ask(&commands, &reminders, together, mishap)?;
        let outcomes = asked.map_err(|Misbehaved(how)| anyhow!("{how}"))?;
        if self.trace {
            outcomes.iter().for_each(|outcome| eprintln!("  → {outcome:?}"));
        }
        self.digest.update(format!("{} {commands:?} {outcomes:?}", self.now));
        let asked: Vec<(Command, Outcome)> = commands.into_iter().zip(outcomes).collect();
        let seen = self.follow(&asked)?;
        for (command, outcome) in &asked {
            self.generator.hear(command, outcome, self.now);
            if let (Command::Reserve(reserve), Outcome::Told(Answer::Reserved(Reserved::New(_) | Reserved::Known(_)))) =
                (command, outcome)
            {
                self.generator.ask_supplier(&self.model, reserve);
            }
        }
        self.looks += 1;
        match seen {
            Some((scope, seen)) => self.check(&seen, difference(&self.model.expected(&scope), &seen))?,
            None => self.compare(self.looks.is_multiple_of(LOOK_AT_ALL))?,
        }
        Ok(asked.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// Moves the model on. Where it wasn't clear what had happened, what was looked at to find out.
    fn follow(&mut self, asked: &Asked) -> Result<Option<(Scope, Seen)>> {
        let is_lost = |outcome: &Outcome| matches!(outcome, Outcome::Untold | Outcome::Unknown);
        let lost = asked.iter().any(|(_, outcome)| is_lost(outcome));
        let is_clear = !lost && (self.on_sqlite || asked.len() == 1);
        let contradiction = |Contradiction(why)| anyhow!("{why}");
        if is_clear {
            self.model = in_order(&self.model, asked, None).map_err(contradiction)?;
            return Ok(None);
        }
        let beside = asked.iter().filter(|(command, _)| command.is_beside_orders()).count();
        let scope = if lost || beside > 1 || self.looks.is_multiple_of(LOOK_AT_ALL) {
            self.model.everything(self.now)
        } else {
            self.model.scope(self.told_about(asked), self.now)
        };
        let seen = self.stand.look(&scope)?;
        let rows = lost.then_some(&seen.rows);
        self.model = if self.on_sqlite {
            in_order(&self.model, asked, rows)
        } else {
            explain(&self.model, asked, rows, &|model| difference(&model.expected(&scope), &seen))
        }
        .map_err(contradiction)?;
        Ok(Some((scope, seen)))
    }

    /// The orders that commands name or were answered with: in these, and in the work that waits, it shows which of
    /// them happened first.
    fn told_about(&self, asked: &Asked) -> Vec<(AccountId, OrderId)> {
        let mut named: Vec<(AccountId, TimeId)> = Vec::new();
        for (command, outcome) in asked {
            named.extend(command.named());
            if let Outcome::Told(Answer::Claimed(claimed)) = outcome {
                named.extend(claimed.iter().map(|delivery| (delivery.account_id, delivery.gift.order.time)));
            }
        }
        let ids = named.iter().filter_map(|(account, time)| {
            let order = self.model.accounts.get(account)?.orders.get(time)?;
            Some((*account, order.order.summary.order_id))
        });
        ids.collect()
    }

    /// Compares the store with the model.
    fn compare(&mut self, everything: bool) -> Result<()> {
        let touched = self.model.take_touched();
        let scope = if everything { self.model.everything(self.now) } else { self.model.scope(touched, self.now) };
        let seen = self.stand.look(&scope)?;
        self.check(&seen, difference(&self.model.expected(&scope), &seen))
    }

    fn check(&self, seen: &Seen, difference: Option<String>) -> Result<()> {
        match laws::broken(seen).map(|law| format!("a law is broken: {law}")).or(difference) {
            Some(problem) => Err(anyhow!(problem)),
            None => Ok(()),
        }
    }
}

/// Whether the model can tell what came of two commands at once: of those that take work of all kinds of owners, one
/// kind at a time; and no outcome is settled that a claim takes over which then dies.
fn may_meet(one: &Command, other: &Command, mishap: Mishap) -> bool {
    let are_alike = discriminant(one) == discriminant(other);
    let is = |settles: &Command, claims: &Command| {
        matches!((settles, claims), (Command::Settle { .. }, Command::Claim { .. })) && mishap != Mishap::None
    };
    are_alike || !(one.sweeps() && other.sweeps() || is(one, other) || is(other, one))
}
