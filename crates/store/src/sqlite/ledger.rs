//! The ledger: an operator's entries, and listing.

use std::ops::RangeInclusive;

use giftd_domain::account::CannotPost;
use giftd_domain::history::{Days, Page, PageRequest, Slice, Span};
use giftd_domain::ids::AccountId;
use giftd_domain::ledger::{Entry, EntryType, Postings};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::error::broken;
use super::group::Group;
use super::history::{locate, read_counts};
use super::rows::{Column, Named, name, signed};
use crate::{OperatorEntry, OperatorOutcome, StoreError};

/// Moves money by an operator's word, once for a reference.
pub(super) fn operator_entry(group: &mut Group<'_>, entry: &OperatorEntry) -> Result<OperatorOutcome, StoreError> {
    let Some(mut account) = group.account(entry.account_id)? else { return Ok(OperatorOutcome::NoAccount) };
    let key = params![entry.account_id.0, name(entry.entry_type), entry.reference];
    let known: Option<i64> = group
        .connection()
        .prepare_cached("SELECT cents FROM operator_references WHERE account_id = ?1 AND type = ?2 AND reference = ?3")?
        .query_row(key, |row| row.get(0))
        .optional()?;
    match known {
        Some(cents) if cents == entry.cents => return Ok(OperatorOutcome::Known),
        Some(cents) => return Ok(OperatorOutcome::OtherAmount { cents }),
        None => {}
    }
    let at = account.clock.time(entry.now);
    let posted = match entry.entry_type {
        EntryType::Charge => account.charge(entry.cents, &entry.reference, at, entry.entropy),
        EntryType::Transfer => account.transfer(entry.cents, &entry.reference, at, entry.entropy),
        other => return Err(broken(format!("{} is no operator's entry", name(other)))),
    };
    let posted = match posted {
        Ok(posted) => posted,
        Err(CannotPost::Insufficient { available, .. }) => return Ok(OperatorOutcome::Insufficient { available }),
        Err(CannotPost::Impossible) => return Err(broken(format!("{} cents can't be posted", entry.cents))),
    };
    group
        .connection()
        .prepare_cached(
            "INSERT INTO operator_references (account_id, type, reference, cents, entry_id) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            entry.account_id.0,
            name(entry.entry_type),
            entry.reference,
            entry.cents,
            Column(posted.id)
        ])?;
    group.post(entry.account_id, &posted)?;
    if entry.entry_type == EntryType::Transfer
        && let Some(refill) = account.refill(at, entry.entropy).map_err(|_| broken("the sandbox can't be refilled"))?
    {
        group.post(entry.account_id, &refill)?;
    }
    group.set_account(account);
    Ok(OperatorOutcome::Posted(posted))
}

/// Listed entries, newest first.
pub(super) fn ledger_page(
    connection: &Connection,
    account: AccountId,
    entry_type: Option<EntryType>,
    days: Days,
    page: PageRequest,
) -> Result<Page<Entry>, StoreError> {
    let type_name = entry_type.map(name);
    let counts = |spans: RangeInclusive<Span>| {
        let mut statement = connection.prepare_cached(
            "SELECT span, SUM(n) FROM ledger_counts
             WHERE account_id = ?1 AND span BETWEEN ?2 AND ?3 AND type <> 'ISSUE' AND (?4 IS NULL OR type = ?4)
             GROUP BY span ORDER BY span DESC",
        )?;
        read_counts(statement.query(params![account.0, spans.start().0, spans.end().0, type_name])?)
    };
    let mut total = 0;
    for spans in days.spans() {
        total += counts(spans)?.into_iter().map(|(_, n)| n).sum::<u64>();
    }
    let mut items = Vec::new();
    if page.offset() < total {
        for slice in locate(days, page.offset(), u64::from(page.page_size), counts)? {
            items.append(&mut entries(connection, account, entry_type, slice)?);
        }
    }
    Ok(Page { items, total })
}

fn entries(
    connection: &Connection,
    account: AccountId,
    entry_type: Option<EntryType>,
    slice: Slice,
) -> Result<Vec<Entry>, StoreError> {
    let (first, end) = slice.ids;
    let direction = if slice.newest_first { "DESC" } else { "ASC" };
    // The index of rare types holds what is said in its own words.
    let condition = match entry_type {
        None => "type <> 'ISSUE' AND ?4 IS NULL",
        Some(common) if common.is_common() => "type = ?4",
        Some(_) => "type = ?4 AND type NOT IN ('USE', 'ISSUE')",
    };
    let mut found = connection
        .prepare_cached(&format!(
            "SELECT entry_id, type, reference, funding, available, pending, issued, available_after FROM ledger
             WHERE account_id = ?1 AND entry_id >= ?2 AND entry_id < ?3 AND {condition}
             ORDER BY entry_id {direction} LIMIT ?5 OFFSET ?6"
        ))?
        .query_map(
            params![
                account.0,
                Column(first),
                Column(end),
                entry_type.map(name),
                signed(slice.take),
                signed(slice.skip)
            ],
            entry,
        )?
        .collect::<Result<Vec<_>, _>>()?;
    if !slice.newest_first {
        found.reverse();
    }
    Ok(found)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: row.get::<_, Column<_>>(0)?.0,
        entry_type: row.get::<_, Named<_>>(1)?.0,
        reference: row.get(2)?,
        postings: Postings { funding: row.get(3)?, available: row.get(4)?, pending: row.get(5)?, issued: row.get(6)? },
        available_after: row.get(7)?,
    })
}
