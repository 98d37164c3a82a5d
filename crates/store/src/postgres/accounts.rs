//! Account rows: what touches balances, ids or counts holds them first, in the order of their ids, so that
//! no two operations wait for each other.

use std::collections::{BTreeMap, BTreeSet};

use giftd_domain::account::{Account, AccountClock, ClockMove};
use giftd_domain::ids::{AccountId, OrganizationId};
use giftd_domain::ledger::Postings;
use jiff::SignedDuration;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::batch::{Batch, parameters};
use super::error::Failure;
use super::operation::Connection;
use super::rows::{Columns as _, time_id, uuid};

/// The columns that [`account`] reads.
pub(super) const COLUMNS: &str =
    "account_id, organization_id, environment, funding, available, pending, issued, last_id,
    clock_ahead, clock_at, clock_target, clock_claim, clock_lease_end";

/// Those of them that [`clock`] reads.
pub(super) const CLOCK: &str = "clock_ahead, clock_at, clock_target, clock_claim, clock_lease_end";

/// Accounts whose rows the transaction holds.
pub(super) type Held = BTreeMap<AccountId, Account>;

/// Holds the rows of these accounts until the transaction ends. Accounts that don't exist are missing.
pub(super) async fn hold(connection: &Connection, accounts: &[i64]) -> Result<Held, Failure> {
    let statement = prepare_hold(connection).await?;
    hold_prepared(connection, &statement, accounts).await
}

/// The statement for [`hold_prepared`].
pub(super) async fn prepare_hold(connection: &Connection) -> Result<Statement, Failure> {
    let sql =
        format!("SELECT {COLUMNS} FROM accounts WHERE account_id = ANY ($1) ORDER BY account_id FOR NO KEY UPDATE");
    Ok(connection.prepare_cached(&sql).await?)
}

/// Like [`hold`]; it is sent when first polled, so that it may be sent together with what follows it.
pub(super) async fn hold_prepared(
    connection: &Connection,
    statement: &Statement,
    accounts: &[i64],
) -> Result<Held, Failure> {
    let rows = connection.query(statement, &[&accounts]).await?;
    rows.iter().map(|row| account(row).map(|account| (account.account_id, account))).collect()
}

/// The ids to hold, each once.
pub(super) fn ids(accounts: impl IntoIterator<Item = AccountId>) -> Vec<i64> {
    accounts.into_iter().map(|account| account.0).collect::<BTreeSet<_>>().into_iter().collect()
}

/// An account with its balances.
pub(super) async fn read(connection: &Connection, id: AccountId) -> Result<Option<Account>, Failure> {
    let statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM accounts WHERE account_id = $1")).await?;
    connection.query_opt(&statement, &[&id.0]).await?.as_ref().map(account).transpose()
}

/// A row of [`COLUMNS`].
pub(super) fn account(row: &Row) -> Result<Account, Failure> {
    Ok(Account {
        account_id: AccountId(row.value("account_id")?),
        organization_id: OrganizationId(row.value("organization_id")?),
        environment: row.named("environment")?,
        balances: Postings {
            funding: row.value("funding")?,
            available: row.value("available")?,
            pending: row.value("pending")?,
            issued: row.value("issued")?,
        },
        last_id: row.value::<Option<Uuid>>("last_id")?.map(time_id),
        clock: clock(row)?,
    })
}

/// A row of [`CLOCK`].
pub(super) fn clock(row: &Row) -> Result<AccountClock, Failure> {
    let moving = match (
        row.optional_instant("clock_at")?,
        row.optional_instant("clock_target")?,
        row.optional_instant("clock_lease_end")?,
    ) {
        (Some(at), Some(target), Some(lease_end)) => {
            Some(ClockMove { at, target, claim: row.value("clock_claim")?, lease_end })
        }
        _ => None,
    };
    Ok(AccountClock { ahead: SignedDuration::from_micros(row.value("clock_ahead")?), moving })
}

/// Writes balances and last ids back.
pub(super) async fn write(batch: &mut Batch<'_>, accounts: &[&Account]) -> Result<(), Failure> {
    let (mut ids, mut last) = (Vec::new(), Vec::<Option<Uuid>>::new());
    let mut sides: [Vec<i64>; 4] = Default::default();
    for account in accounts {
        let Postings { funding, available, pending, issued } = account.balances;
        ids.push(account.account_id.0);
        last.push(account.last_id.map(uuid));
        for (side, cents) in sides.iter_mut().zip([funding, available, pending, issued]) {
            side.push(cents);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let [funding, available, pending, issued] = sides;
    batch
        .add(
            "UPDATE accounts a
             SET funding = w.funding, available = w.available, pending = w.pending, issued = w.issued, last_id = w.last_id
             FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::UUID[])
                AS w (account_id, funding, available, pending, issued, last_id)
             WHERE a.account_id = w.account_id",
            parameters![ids, funding, available, pending, issued, last],
        )
        .await
}
