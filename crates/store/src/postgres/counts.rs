//! The counts that histories are paged by, summed up and written once for a whole transaction.

use std::collections::BTreeMap;

use giftd_domain::history::Span;
use giftd_domain::ids::{AccountId, TimeId};
use giftd_domain::ledger::Entry;
use giftd_domain::orders::OrderStatus;

use super::batch::{Batch, parameters};
use super::error::Failure;
use super::rows::name;

/// By how much counts change.
#[derive(Default)]
pub(super) struct Counts {
    totals: BTreeMap<(AccountId, Span, &'static str), i64>,
    orders: BTreeMap<(AccountId, Span, i64, &'static str), i64>,
    entries: BTreeMap<(AccountId, Span, &'static str), i64>,
}

impl Counts {
    /// An order that has come to `to` from `from`, or is new.
    pub(super) fn order(
        &mut self,
        account: AccountId,
        order: TimeId,
        kind: i64,
        from: Option<OrderStatus>,
        to: OrderStatus,
    ) {
        for span in Span::all_of(order) {
            for (status, n) in from.map(|from| (name(from), -1)).into_iter().chain([(name(to), 1)]) {
                *self.totals.entry((account, span, status)).or_default() += n;
                if !span.is_day() {
                    *self.orders.entry((account, span, kind, status)).or_default() += n;
                }
            }
        }
    }

    /// A new entry of the ledger.
    pub(super) fn entry(&mut self, account: AccountId, entry: &Entry) {
        for span in Span::all_of(entry.id) {
            *self.entries.entry((account, span, name(entry.entry_type))).or_default() += 1;
        }
    }

    /// Adds them to the stored counts.
    pub(super) async fn write(self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        // To lower is no upsert: the row to be inserted would fail the CHECK before the conflict was seen.
        let (less, more): (Vec<_>, Vec<_>) =
            self.totals.into_iter().filter(|(_, n)| *n != 0).partition(|(_, n)| *n < 0);
        let insert = "INSERT INTO order_totals AS c (account_id, span, status, n)
             SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[], $4::BIGINT[])
             ON CONFLICT (account_id, span, status) DO UPDATE SET n = c.n + excluded.n";
        add(batch, insert, more).await?;
        let update = "UPDATE order_totals c SET n = c.n + w.n
             FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[], $4::BIGINT[]) AS w (account_id, span, status, n)
             WHERE (c.account_id, c.span, c.status) = (w.account_id, w.span, w.status)";
        add(batch, update, less).await?;
        let (less, more): (Vec<_>, Vec<_>) =
            self.orders.into_iter().filter(|(_, n)| *n != 0).partition(|(_, n)| *n < 0);
        let insert = "INSERT INTO order_counts AS c (account_id, span, kind_id, status, n)
             SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::TEXT[], $5::BIGINT[])
             ON CONFLICT (account_id, span, kind_id, status) DO UPDATE SET n = c.n + excluded.n";
        add_kinds(batch, insert, more).await?;
        let update = "UPDATE order_counts c SET n = c.n + w.n
             FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::TEXT[], $5::BIGINT[])
                AS w (account_id, span, kind_id, status, n)
             WHERE (c.account_id, c.span, c.kind_id, c.status) = (w.account_id, w.span, w.kind_id, w.status)";
        add_kinds(batch, update, less).await?;
        let insert = "INSERT INTO ledger_counts AS c (account_id, span, type, n)
             SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[], $4::BIGINT[])
             ON CONFLICT (account_id, span, type) DO UPDATE SET n = c.n + excluded.n";
        add(batch, insert, self.entries.into_iter().collect()).await
    }
}

/// By account, span and a name, that of a status or a type.
type Count = ((AccountId, Span, &'static str), i64);
type KindCount = ((AccountId, Span, i64, &'static str), i64);

async fn add(batch: &mut Batch<'_>, sql: &str, counts: Vec<Count>) -> Result<(), Failure> {
    if counts.is_empty() {
        return Ok(());
    }
    let (mut accounts, mut spans, mut names, mut changes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((account, span, name), n) in counts {
        accounts.push(account.0);
        spans.push(span.0);
        names.push(name);
        changes.push(n);
    }
    batch.add(sql, parameters![accounts, spans, names, changes]).await
}

async fn add_kinds(batch: &mut Batch<'_>, sql: &str, counts: Vec<KindCount>) -> Result<(), Failure> {
    if counts.is_empty() {
        return Ok(());
    }
    let (mut accounts, mut spans, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut statuses, mut changes) = (Vec::new(), Vec::new());
    for ((account, span, kind, status), n) in counts {
        accounts.push(account.0);
        spans.push(span.0);
        kinds.push(kind);
        statuses.push(status);
        changes.push(n);
    }
    batch.add(sql, parameters![accounts, spans, kinds, statuses, changes]).await
}
