//! The ledger: an operator's entries, and listing.

use giftd_domain::account::CannotPost;
use giftd_domain::history::{Days, Page, PageRequest};
use giftd_domain::ids::AccountId;
use giftd_domain::ledger::{Entry, EntryType, Postings};
use tokio_postgres::Row;
use uuid::Uuid;

use super::accounts;
use super::batch::{Batch, parameters};
use super::counts::Counts;
use super::error::{Failure, broken};
use super::operation::Connection;
use super::rows::{Columns as _, Parameters, name, uuid};
use super::walk::{Counted, SliceColumns, direction};
use crate::{OperatorEntry, OperatorOutcome};

/// Writes entries that accounts have made.
pub(super) async fn add_entries(batch: &mut Batch<'_>, entries: &[(AccountId, &Entry)]) -> Result<(), Failure> {
    let (mut accounts, mut ids, mut types) = (Vec::new(), Vec::<Uuid>::new(), Vec::new());
    let (mut references, mut after) = (Vec::new(), Vec::new());
    let mut sides: [Vec<i64>; 4] = Default::default();
    for &(account, entry) in entries {
        let Postings { funding, available, pending, issued } = entry.postings;
        accounts.push(account.0);
        ids.push(uuid(entry.id));
        types.push(name(entry.entry_type));
        references.push(entry.reference.clone());
        for (side, cents) in sides.iter_mut().zip([funding, available, pending, issued]) {
            side.push(cents);
        }
        after.push(entry.available_after);
    }
    if accounts.is_empty() {
        return Ok(());
    }
    let [funding, available, pending, issued] = sides;
    batch
        .add(
            "INSERT INTO ledger
                (account_id, entry_id, type, reference, funding, available, pending, issued, available_after)
             SELECT * FROM unnest($1::BIGINT[], $2::UUID[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[],
                $7::BIGINT[], $8::BIGINT[], $9::BIGINT[])",
            parameters![accounts, ids, types, references, funding, available, pending, issued, after],
        )
        .await
}

/// Moves money by an operator's word, once for a reference. Inside a transaction.
pub(super) async fn operator_entry(connection: &Connection, entry: &OperatorEntry) -> Result<OperatorOutcome, Failure> {
    let OperatorEntry { account_id, entry_type, cents, ref reference, now, entropy } = *entry;
    let mut held = accounts::hold(connection, &[account_id.0]).await?;
    let Some(account) = held.get_mut(&account_id) else { return Ok(OperatorOutcome::NoAccount) };
    let now = account.clock.time(now);
    match posted_before(connection, entry).await? {
        Some(before) if before == cents => return Ok(OperatorOutcome::Known),
        Some(before) => return Ok(OperatorOutcome::OtherAmount { cents: before }),
        None => {}
    }
    let posted = match entry_type {
        EntryType::Charge => account.charge(cents, reference, now, entropy),
        EntryType::Transfer => account.transfer(cents, reference, now, entropy),
        other => return Err(broken(format!("{} is no operator's entry", name(other))).into()),
    };
    let posted = match posted {
        Ok(posted) => posted,
        Err(CannotPost::Insufficient { available, .. }) => return Ok(OperatorOutcome::Insufficient { available }),
        Err(CannotPost::Impossible) => return Err(broken(format!("{cents} cents can't be posted")).into()),
    };
    let mut entries = vec![posted.clone()];
    if entry_type == EntryType::Transfer {
        entries.extend(account.refill(now, entropy).map_err(|_| broken("the sandbox can't be refilled"))?);
    }
    let mut counts = Counts::default();
    entries.iter().for_each(|entry| counts.entry(account_id, entry));
    let mut batch = Batch::new(connection);
    batch
        .add(
            "INSERT INTO operator_references (account_id, type, reference, cents, entry_id) VALUES ($1, $2, $3, $4, $5)",
            parameters![account_id.0, name(entry_type), reference.clone(), cents, uuid(posted.id)],
        )
        .await?;
    add_entries(&mut batch, &entries.iter().map(|entry| (account_id, entry)).collect::<Vec<_>>()).await?;
    accounts::write(&mut batch, &held.values().collect::<Vec<_>>()).await?;
    counts.write(&mut batch).await?;
    batch.send().await?;
    Ok(OperatorOutcome::Posted(posted))
}

/// The cents that the reference was posted with before.
async fn posted_before(connection: &Connection, entry: &OperatorEntry) -> Result<Option<i64>, Failure> {
    let statement = connection
        .prepare_cached("SELECT cents FROM operator_references WHERE account_id = $1 AND type = $2 AND reference = $3")
        .await?;
    let key = (entry.account_id.0, name(entry.entry_type));
    let row = connection.query_opt(&statement, &[&key.0, &key.1, &entry.reference]).await?;
    row.map(|row| row.value("cents")).transpose()
}

/// Listed entries, newest first. Inside a snapshot.
pub(super) async fn ledger_page(
    connection: &Connection,
    account: AccountId,
    entry_type: Option<EntryType>,
    days: Days,
    page: PageRequest,
) -> Result<Page<Entry>, Failure> {
    let types: Vec<&str> = EntryType::LISTED
        .into_iter()
        .filter(|listed| entry_type.is_none_or(|wanted| wanted == *listed))
        .map(name)
        .collect();
    let sql = "SELECT span, n FROM ledger_counts
         WHERE account_id = $3 AND span BETWEEN r.first AND r.last AND type = ANY ($4)";
    let counted = Counted { sql: sql.to_owned(), parameters: vec![&account.0, &types] };
    let total = counted.total(connection, days).await?;
    let mut items = Vec::new();
    if page.offset() < total {
        let slices = counted.locate(connection, days, page).await?;
        for newest_first in [true, false] {
            let slices = SliceColumns::of(&slices, newest_first)?;
            items.extend(entries(connection, account, entry_type, &slices, newest_first).await?);
        }
        items.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.id));
    }
    Ok(Page { items, total })
}

async fn entries(
    connection: &Connection,
    account: AccountId,
    entry_type: Option<EntryType>,
    slices: &SliceColumns,
    newest_first: bool,
) -> Result<Vec<Entry>, Failure> {
    if slices.is_empty() {
        return Ok(Vec::new());
    }
    // The index of rare types holds what is said in its own words.
    let condition = match entry_type {
        None => "type <> 'ISSUE' AND $2::TEXT IS NULL",
        Some(common) if common.is_common() => "type = $2",
        Some(_) => "type = $2 AND type NOT IN ('USE', 'ISSUE')",
    };
    let statement = connection
        .prepare_cached(&format!(
            "SELECT e.entry_id, e.type, e.reference, e.funding, e.available, e.pending, e.issued, e.available_after
             FROM unnest($3::UUID[], $4::UUID[], $5::BIGINT[], $6::BIGINT[]) AS s (first, past, skip, take),
                LATERAL (SELECT * FROM ledger
                    WHERE account_id = $1 AND {condition} AND entry_id >= s.first AND entry_id < s.past
                    ORDER BY entry_id {} OFFSET s.skip LIMIT s.take) e",
            direction(newest_first)
        ))
        .await?;
    let type_name = entry_type.map(name);
    let parameters: Parameters<'_> =
        vec![&account.0, &type_name, &slices.first, &slices.end, &slices.skip, &slices.take];
    connection.query(&statement, &parameters).await?.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<Entry, Failure> {
    Ok(Entry {
        id: row.id("entry_id")?,
        entry_type: row.named("type")?,
        reference: row.value("reference")?,
        postings: Postings {
            funding: row.value("funding")?,
            available: row.value("available")?,
            pending: row.value("pending")?,
            issued: row.value("issued")?,
        },
        available_after: row.value("available_after")?,
    })
}
