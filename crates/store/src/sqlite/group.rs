//! The synchronous core of the writer: operations that share one transaction and one commit.
//!
//! Each operation runs in a savepoint, so that one that fails takes nothing of the others with it. Account
//! rows are read once and written once for the whole group; so are the counts of the histories.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::AddAssign;

use giftd_domain::access::Environment;
use giftd_domain::account::{Account, AccountClock, ClockMove};
use giftd_domain::history::{OrderKind, Span};
use giftd_domain::ids::{AccountId, OrganizationId, TimeId};
use giftd_domain::ledger::{Entry, EntryType, Postings};
use giftd_domain::orders::OrderStatus;
use jiff::SignedDuration;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::error::broken;
use super::rows::{Column, Named, instant, name};
use crate::StoreError;
use crate::by_status::ByStatus;

/// Ids of order kinds that are committed; the rows never change.
pub(super) type Kinds = HashMap<(AccountId, OrderKind), i64>;

/// Kinds that are kept in memory before all are forgotten.
const KINDS: usize = 50_000;

/// Operations that share a commit.
pub(super) struct Group<'c> {
    connection: &'c Connection,
    kinds: &'c mut Kinds,
    /// By the operations that succeeded.
    done: Changes,
    /// By the operation that runs.
    changes: Changes,
}

/// What is written once for the whole group.
#[derive(Default)]
struct Changes {
    accounts: HashMap<AccountId, Account>,
    order_totals: HashMap<(AccountId, Span, OrderStatus), i64>,
    order_counts: HashMap<(AccountId, Span, i64), ByStatus>,
    ledger_counts: HashMap<(AccountId, Span, EntryType), i64>,
    kinds: Kinds,
}

impl Changes {
    fn absorb(&mut self, later: Self) {
        self.accounts.extend(later.accounts);
        self.kinds.extend(later.kinds);
        add(&mut self.order_totals, later.order_totals);
        add(&mut self.order_counts, later.order_counts);
        add(&mut self.ledger_counts, later.ledger_counts);
    }
}

fn add<K: Eq + Hash, N: AddAssign + Default>(counts: &mut HashMap<K, N>, later: HashMap<K, N>) {
    for (key, n) in later {
        *counts.entry(key).or_default() += n;
    }
}

impl<'c> Group<'c> {
    /// Begins the transaction.
    pub(super) fn begin(connection: &'c Connection, kinds: &'c mut Kinds) -> Result<Self, StoreError> {
        // First what rolls back: a BEGIN that fails late leaves a transaction, in which none could begin ever again.
        let group = Self { connection, kinds, done: Changes::default(), changes: Changes::default() };
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(group)
    }

    /// Runs one operation; when it fails, only what it did is undone.
    pub(super) fn run<T>(
        &mut self,
        operation: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check_open()?;
        self.connection.prepare_cached("SAVEPOINT operation")?.execute([])?;
        let result = operation(self).and_then(|done| {
            self.connection.prepare_cached("RELEASE operation")?.execute([])?;
            Ok(done)
        });
        let changes = std::mem::take(&mut self.changes);
        if result.is_ok() {
            self.done.absorb(changes);
        } else if self.check_open().is_ok() {
            self.undo()?;
        }
        result
    }

    /// Undoes what the operation did. What can't be undone by itself takes the whole group with it: its caller is told
    /// that it failed, so nothing of it may be committed.
    fn undo(&self) -> Result<(), StoreError> {
        if self.connection.execute_batch("ROLLBACK TO operation; RELEASE operation").is_err() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        Ok(())
    }

    /// A full disk or a failed read makes SQLite roll the whole transaction back by itself. What follows
    /// must not be written then: it would be a transaction of its own, without what it stands on.
    fn check_open(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            return Err(StoreError::Unavailable("SQLite rolled the transaction back".into()));
        }
        Ok(())
    }

    /// Writes what the operations left to the end, and commits.
    pub(super) fn commit(mut self) -> Result<(), StoreError> {
        self.check_open()?;
        let done = std::mem::take(&mut self.done);
        for account in done.accounts.values() {
            self.write_account(account)?;
        }
        // A row to lower exists; the CHECK would refuse the negative one that an upsert begins with.
        for ((account, span, status), n) in done.order_totals.into_iter().filter(|(_, n)| *n != 0) {
            let sql = if n < 0 {
                "UPDATE order_totals SET n = n + ?4 WHERE account_id = ?1 AND span = ?2 AND status = ?3"
            } else {
                "INSERT INTO order_totals (account_id, span, status, n) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET n = n + excluded.n"
            };
            self.connection.prepare_cached(sql)?.execute(params![account.0, span.0, name(status), n])?;
        }
        for ((account, span, kind), n) in done.order_counts.into_iter().filter(|(_, n)| !n.is_nothing()) {
            let sql = if n.lowers() {
                "UPDATE order_counts SET pending = pending + ?4, in_progress = in_progress + ?5, complete = complete + ?6,
                    canceled = canceled + ?7
                 WHERE account_id = ?1 AND span = ?2 AND kind_id = ?3"
            } else {
                "INSERT INTO order_counts (account_id, span, kind_id, pending, in_progress, complete, canceled)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT DO UPDATE SET pending = pending + excluded.pending, in_progress = in_progress + excluded.in_progress,
                    complete = complete + excluded.complete, canceled = canceled + excluded.canceled"
            };
            let ByStatus { pending, in_progress, complete, canceled } = n;
            self.connection.prepare_cached(sql)?.execute(params![
                account.0,
                span.0,
                kind,
                pending,
                in_progress,
                complete,
                canceled
            ])?;
        }
        for ((account, span, entry_type), n) in done.ledger_counts {
            self.connection
                .prepare_cached(
                    "INSERT INTO ledger_counts (account_id, span, type, n) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET n = n + excluded.n",
                )?
                .execute(params![account.0, span.0, name(entry_type), n])?;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        if self.kinds.len() > KINDS {
            self.kinds.clear();
        }
        self.kinds.extend(done.kinds);
        Ok(())
    }

    /// The connection, inside the transaction.
    pub(super) fn connection(&self) -> &'c Connection {
        self.connection
    }

    /// An account as this group has left it so far.
    pub(super) fn account(&self, account: AccountId) -> Result<Option<Account>, StoreError> {
        match self.changes.accounts.get(&account).or_else(|| self.done.accounts.get(&account)) {
            Some(account) => Ok(Some(account.clone())),
            None => read_account(self.connection, account),
        }
    }

    /// An account that rows of others name.
    pub(super) fn existing_account(&self, account: AccountId) -> Result<Account, StoreError> {
        self.account(account)?.ok_or_else(|| broken(format!("no account {account}")))
    }

    /// Keeps a changed account, to be written with the commit; its clock is written by who changes it
    /// ([`super::clock`]), because queries look for clocks that move.
    pub(super) fn set_account(&mut self, account: Account) {
        self.changes.accounts.insert(account.account_id, account);
    }

    /// Adds an entry that `account` has made.
    pub(super) fn post(&mut self, account: AccountId, entry: &Entry) -> Result<(), StoreError> {
        let Postings { funding, available, pending, issued } = entry.postings;
        self.connection
            .prepare_cached(
                "INSERT INTO ledger (account_id, entry_id, type, reference, funding, available, pending, issued, available_after)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                account.0,
                Column(entry.id),
                name(entry.entry_type),
                entry.reference,
                funding,
                available,
                pending,
                issued,
                entry.available_after
            ])?;
        for span in Span::all_of(entry.id) {
            *self.changes.ledger_counts.entry((account, span, entry.entry_type)).or_default() += 1;
        }
        Ok(())
    }

    /// Counts an order as having come to `to` from `from`.
    pub(super) fn count_order(
        &mut self,
        account: AccountId,
        order: TimeId,
        kind: i64,
        from: Option<OrderStatus>,
        to: OrderStatus,
    ) {
        let Changes { order_totals, order_counts, .. } = &mut self.changes;
        for span in Span::all_of(order) {
            for (status, n) in from.map(|from| (from, -1)).into_iter().chain([(to, 1)]) {
                *order_totals.entry((account, span, status)).or_default() += n;
                if !span.is_day() {
                    *order_counts.entry((account, span, kind)).or_default().of(status) += n;
                }
            }
        }
    }

    /// The id of a kind of orders of an account, a new one where it is the first.
    pub(super) fn kind_id(&mut self, account: AccountId, kind: OrderKind) -> Result<i64, StoreError> {
        let key = (account, kind);
        if let Some(id) = self.kinds.get(&key).or_else(|| self.done.kinds.get(&key)) {
            return Ok(*id);
        }
        let OrderKind { order_type, card_type, card_name, creator } = &key.1;
        let id = self
            .connection
            .prepare_cached(
                "INSERT INTO order_kinds (account_id, kind_id, order_type, card_type, card_name, creator)
                 VALUES (?1, (SELECT COALESCE(MAX(kind_id), 0) + 1 FROM order_kinds WHERE account_id = ?1), ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET kind_id = kind_id RETURNING kind_id",
            )?
            .query_row(params![account.0, name(*order_type), name(*card_type), card_name, creator], |row| row.get(0))?;
        self.changes.kinds.insert(key, id);
        Ok(id)
    }

    fn write_account(&self, account: &Account) -> Result<(), StoreError> {
        let Postings { funding, available, pending, issued } = account.balances;
        self.connection
            .prepare_cached(
                "UPDATE accounts SET funding = ?2, available = ?3, pending = ?4, issued = ?5, last_id = ?6 WHERE account_id = ?1",
            )?
            .execute(params![account.account_id.0, funding, available, pending, issued, account.last_id.map(Column)])?;
        Ok(())
    }
}

/// A group that was not committed leaves nothing.
impl Drop for Group<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "rolling back failed");
        }
    }
}

/// An account's row.
pub(super) fn read_account(connection: &Connection, account: AccountId) -> Result<Option<Account>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT organization_id, environment, funding, available, pending, issued, last_id,
                clock_ahead, clock_at, clock_target, clock_claim, clock_lease_end
             FROM accounts WHERE account_id = ?1",
        )?
        .query_row([account.0], |row| {
            Ok(Account {
                account_id: account,
                organization_id: OrganizationId(row.get(0)?),
                environment: row.get::<_, Named<Environment>>(1)?.0,
                balances: Postings {
                    funding: row.get(2)?,
                    available: row.get(3)?,
                    pending: row.get(4)?,
                    issued: row.get(5)?,
                },
                last_id: row.get::<_, Option<Column<TimeId>>>(6)?.map(|id| id.0),
                clock: clock(row, 7)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// An account's clock: `clock_ahead, clock_at, clock_target, clock_claim, clock_lease_end`, from column `first`.
pub(super) fn clock(row: &Row<'_>, first: usize) -> rusqlite::Result<AccountClock> {
    let moving = match (instant(row, first + 1)?, instant(row, first + 2)?, instant(row, first + 4)?) {
        (Some(at), Some(target), Some(lease_end)) => {
            Some(ClockMove { at, target, claim: row.get(first + 3)?, lease_end })
        }
        _ => None,
    };
    Ok(AccountClock { ahead: SignedDuration::from_micros(row.get(first)?), moving })
}

#[cfg(test)]
mod tests {
    use giftd_domain::orders::{CardType, OrderType};

    use super::*;
    use crate::sqlite::example::database;

    /// Adds a row, or fails for want of room.
    fn keep(group: &mut Group<'_>, name: &str, bytes: usize) -> Result<(), StoreError> {
        let fingerprint = "x".repeat(bytes);
        group.connection().execute("INSERT INTO keys (name, fingerprint) VALUES (?1, ?2)", [name, &fingerprint])?;
        Ok(())
    }

    fn kind() -> OrderKind {
        OrderKind {
            order_type: OrderType::OneTime,
            card_type: CardType::BrandedCard,
            card_name: "Sakura Books JP".to_owned(),
            creator: "Payroll".to_owned(),
        }
    }

    fn kept(connection: &Connection) -> i64 {
        connection.query_row("SELECT COUNT(*) FROM keys", [], |row| row.get(0)).expect("a count")
    }

    #[test]
    fn an_operation_that_fails_takes_nothing_of_the_others_with_it() {
        let (connection, mut kinds) = (database(), Kinds::new());
        let mut group = Group::begin(&connection, &mut kinds).expect("a group");
        assert!(group.run(|group| keep(group, "before", 1)).is_ok());
        let failed = group.run(|group| {
            keep(group, "failing", 1)?;
            group.kind_id(AccountId(1), kind())?;
            Err::<(), _>(StoreError::Full)
        });
        assert!(failed.is_err());
        assert!(group.run(|group| keep(group, "after", 1)).is_ok());
        assert!(group.run(|group| group.kind_id(AccountId(1), kind())).is_ok());
        group.commit().expect("a commit");
        assert_eq!(kept(&connection), 2);
        let kinds: i64 =
            connection.query_row("SELECT COUNT(*) FROM order_kinds", [], |row| row.get(0)).expect("a count");
        assert_eq!(kinds, 1, "a kind that was undone is not remembered");
    }

    #[test]
    fn a_full_disk_in_the_midst_of_a_group_leaves_nothing_of_it() {
        let (connection, mut kinds) = (database(), Kinds::new());
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("a count");
        connection.pragma_update(None, "max_page_count", pages + 10).expect("a limit");
        let mut group = Group::begin(&connection, &mut kinds).expect("a group");
        assert!(group.run(|group| keep(group, "before", 1)).is_ok());
        let full = group.run(|group| keep(group, "too large", 1_000_000));
        assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
        assert!(connection.is_autocommit(), "SQLite has rolled all of it back");
        assert!(group.run(|group| keep(group, "after", 1)).is_err());
        assert!(group.commit().is_err());
        assert_eq!(kept(&connection), 0);
        let mut group = Group::begin(&connection, &mut kinds).expect("the next group");
        assert!(group.run(|group| keep(group, "next", 1)).is_ok());
        group.commit().expect("a commit");
        assert_eq!(kept(&connection), 1);
    }
}
