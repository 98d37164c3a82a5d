//! The counts that histories are paged by, summed up and written once for a whole transaction.

use std::collections::BTreeMap;

use giftd_domain::history::Span;
use giftd_domain::ids::{AccountId, TimeId};
use giftd_domain::ledger::Entry;
use giftd_domain::orders::OrderStatus;

use super::batch::{Batch, parameters};
use super::error::Failure;
use super::rows::name;
use crate::by_status::ByStatus;

/// By how much counts change.
#[derive(Default)]
pub(super) struct Counts {
    totals: BTreeMap<(AccountId, Span, &'static str), i64>,
    orders: BTreeMap<(AccountId, Span, i64), ByStatus>,
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
            for (status, n) in from.map(|from| (from, -1)).into_iter().chain([(to, 1)]) {
                *self.totals.entry((account, span, name(status))).or_default() += n;
                if !span.is_day() {
                    *self.orders.entry((account, span, kind)).or_default().of(status) += n;
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
            self.orders.into_iter().filter(|(_, n)| !n.is_nothing()).partition(|(_, n)| n.lowers());
        let insert =
            "INSERT INTO order_counts AS c (account_id, span, kind_id, pending, in_progress, complete, canceled)
             SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[],
                $7::BIGINT[])
             ON CONFLICT (account_id, span, kind_id) DO UPDATE SET pending = c.pending + excluded.pending,
                in_progress = c.in_progress + excluded.in_progress, complete = c.complete + excluded.complete,
                canceled = c.canceled + excluded.canceled";
        add_kinds(batch, insert, more).await?;
        let update = "UPDATE order_counts c SET pending = c.pending + w.pending, in_progress = c.in_progress + w.in_progress,
                complete = c.complete + w.complete, canceled = c.canceled + w.canceled
             FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[])
                AS w (account_id, span, kind_id, pending, in_progress, complete, canceled)
             WHERE (c.account_id, c.span, c.kind_id) = (w.account_id, w.span, w.kind_id)";
        add_kinds(batch, update, less).await?;
        let insert = "INSERT INTO ledger_counts AS c (account_id, span, type, n)
             SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[], $4::BIGINT[])
             ON CONFLICT (account_id, span, type) DO UPDATE SET n = c.n + excluded.n";
        add(batch, insert, self.entries.into_iter().collect()).await
    }
}

/// By account, span and a name, that of a status or a type.
type Count = ((AccountId, Span, &'static str), i64);
type KindCount = ((AccountId, Span, i64), ByStatus);

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
    let (mut pending, mut in_progress) = (Vec::new(), Vec::new());
    let (mut complete, mut canceled) = (Vec::new(), Vec::new());
    for ((account, span, kind), n) in counts {
        accounts.push(account.0);
        spans.push(span.0);
        kinds.push(kind);
        pending.push(n.pending);
        in_progress.push(n.in_progress);
        complete.push(n.complete);
        canceled.push(n.canceled);
    }
    batch.add(sql, parameters![accounts, spans, kinds, pending, in_progress, complete, canceled]).await
}
