//! The ledger: an operator's entries, listing, and proving the books.

use std::ops::RangeInclusive;

use giftd_domain::account::CannotPost;
use giftd_domain::history::{Days, Page, PageRequest, Slice, Span};
use giftd_domain::ids::AccountId;
use giftd_domain::ledger::{Entry, EntryType, Postings};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::error::broken;
use super::group::Group;
use super::history::{locate, read_counts};
use super::rows::{Column, Named, name, signed, unsigned};
use crate::{LedgerReport, OperatorEntry, OperatorOutcome, StoreError};

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
    let (first, end) = slice.day.ids_of_day();
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

/// Each promise of the books: a query whose rows are what breaks it, in words.
const PROOFS: [&str; 9] = [
    "SELECT 'account ' || account_id || ': entry ' || hex(entry_id) || ' does not sum to zero' FROM ledger
     WHERE funding + available + pending + issued <> 0",
    "SELECT 'account ' || a.account_id || ': its balances are not the sums of its postings'
     FROM accounts a LEFT JOIN (
        SELECT account_id, SUM(funding) f, SUM(available) v, SUM(pending) p, SUM(issued) i FROM ledger GROUP BY account_id
     ) l USING (account_id)
     WHERE (a.funding, a.available, a.pending, a.issued)
        IS NOT (COALESCE(f, 0), COALESCE(v, 0), COALESCE(p, 0), COALESCE(i, 0))",
    "SELECT 'account ' || account_id || ': available after entry ' || hex(entry_id) || ' is wrong' FROM (
        SELECT account_id, entry_id, available_after,
            SUM(available) OVER (PARTITION BY account_id ORDER BY entry_id) AS running FROM ledger
     ) WHERE available_after <> running",
    "SELECT 'account ' || a.account_id || ': pending is ' || a.pending || ', its waiting gifts cost ' || COALESCE(c, 0)
     FROM accounts a LEFT JOIN (
        SELECT account_id, SUM(cost) c FROM gifts WHERE delivery_status = 'PENDING' GROUP BY account_id
     ) USING (account_id) WHERE a.pending <> COALESCE(c, 0)",
    "SELECT 'account ' || account_id || ': order ' || hex(order_id) || ' does not agree with its gifts' FROM (
        SELECT o.account_id, o.order_id, o.total_cost, o.total_amount, o.recipient_count, o.open_gifts,
            SUM(g.cost) cost, SUM(g.amount) amount, COUNT(g.position) n, SUM(g.delivery_status = 'PENDING') open
        FROM orders o LEFT JOIN gifts g USING (account_id, order_id) GROUP BY o.account_id, o.order_id
     ) WHERE (total_cost, total_amount, recipient_count, open_gifts) IS NOT (cost, amount, n, open)",
    "SELECT 'account ' || account_id || ': ' || u.n || ' USE entries of ' || u.cents || ' cents, '
        || COALESCE(o.n, 0) || ' orders of ' || COALESCE(o.cents, 0)
     FROM (SELECT account_id, COUNT(*) FILTER (WHERE type = 'USE') n,
            -COALESCE(SUM(available) FILTER (WHERE type = 'USE'), 0) cents FROM ledger GROUP BY account_id) u
     LEFT JOIN (SELECT account_id, COUNT(*) n, SUM(total_cost) cents FROM orders GROUP BY account_id) o USING (account_id)
     WHERE (u.n, u.cents) IS NOT (COALESCE(o.n, 0), COALESCE(o.cents, 0))",
    "SELECT 'account ' || account_id || ': a waiting gift of order ' || hex(order_id) || ' has no delivery' FROM gifts g
     WHERE delivery_status = 'PENDING' AND NOT EXISTS (SELECT 1 FROM mails d
        WHERE (d.account_id, d.order_id, d.position) = (g.account_id, g.order_id, g.position))",
    "SELECT 'account ' || account_id || ': ' || COALESCE(c.n, 0) || ' orders counted in span ' || span || ', there are '
        || COALESCE(o.n, 0)
     FROM (SELECT account_id, span, kind_id, status, n FROM order_counts WHERE span = 0 AND n <> 0) c
     FULL JOIN (SELECT account_id, 0 AS span, kind_id, status, COUNT(*) n FROM orders GROUP BY 1, 2, 3, 4) o
        USING (account_id, span, kind_id, status)
     WHERE c.n IS NOT o.n",
    "SELECT 'account ' || account_id || ': ' || COALESCE(c.n, 0) || ' ' || type || ' entries counted, there are '
        || COALESCE(l.n, 0)
     FROM (SELECT account_id, type, n FROM ledger_counts WHERE span = 0 AND n <> 0) c
     FULL JOIN (SELECT account_id, type, COUNT(*) n FROM ledger GROUP BY 1, 2) l USING (account_id, type)
     WHERE c.n IS NOT l.n",
];

/// Counts by month and by day must add up to those of all time.
const SPANS_AGREE: [&str; 2] = [
    "SELECT 'account ' || account_id || ': orders counted by day, by month and in all differ' FROM order_counts
     GROUP BY account_id, kind_id, status
     HAVING SUM(n) FILTER (WHERE span = 0) IS NOT SUM(n) FILTER (WHERE span BETWEEN 1 AND 999912)
        OR SUM(n) FILTER (WHERE span = 0) IS NOT SUM(n) FILTER (WHERE span > 999912)",
    "SELECT 'account ' || account_id || ': entries counted by day, by month and in all differ' FROM ledger_counts
     GROUP BY account_id, type
     HAVING SUM(n) FILTER (WHERE span = 0) IS NOT SUM(n) FILTER (WHERE span BETWEEN 1 AND 999912)
        OR SUM(n) FILTER (WHERE span = 0) IS NOT SUM(n) FILTER (WHERE span > 999912)",
];

/// Differences told of, at most, for each promise.
const DIFFERENCES: usize = 20;

/// Proves the books, from one snapshot.
pub(super) fn verify_ledger(connection: &Connection) -> Result<LedgerReport, StoreError> {
    let count = |table: &str| -> Result<u64, StoreError> {
        unsigned(connection.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0))?)
    };
    let mut report = LedgerReport {
        accounts: count("accounts")?,
        entries: count("ledger")?,
        orders: count("orders")?,
        differences: Vec::new(),
    };
    for proof in PROOFS.iter().chain(&SPANS_AGREE) {
        let mut statement = connection.prepare(proof)?;
        let differences = statement.query_map([], |row| row.get(0))?;
        report.differences.extend(differences.take(DIFFERENCES).collect::<Result<Vec<String>, _>>()?);
    }
    Ok(report)
}
