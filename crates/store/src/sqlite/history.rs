//! Listing orders without reading the history: see `giftd_domain::history`.

use std::ops::RangeInclusive;

use giftd_domain::history::{Days, OrderFilter, OrderKind, Page, PageRequest, Slice, Span, parts, slices};
use giftd_domain::ids::{AccountId, TimeId};
use giftd_domain::limits;
use giftd_domain::orders::{OrderStatus, OrderSummary};
use rusqlite::{Connection, params};

use super::orders::{order_by_key, order_summary};
use super::rows::{Column, Named, name, signed, unsigned};
use crate::StoreError;

/// What a filter comes to, once its words are looked up.
struct Selection {
    account: AccountId,
    days: Days,
    /// As a JSON array; none for all kinds.
    kinds: Option<String>,
    status: Option<OrderStatus>,
}

/// Orders that match, newest first.
pub(super) fn orders_page(
    connection: &Connection,
    account: AccountId,
    filter: &OrderFilter,
    page: PageRequest,
) -> Result<Page<OrderSummary>, StoreError> {
    if let Some(key) = &filter.client_order_id {
        return page_of_one(connection, account, filter, key, page);
    }
    let kinds = if filter.takes_all_kinds() {
        None
    } else {
        let kinds = matching_kinds(connection, account, filter)?;
        if kinds.is_empty() {
            return Ok(Page { items: Vec::new(), total: 0 });
        }
        Some(format!("{kinds:?}"))
    };
    let selection = Selection { account, days: filter.days, kinds, status: filter.status };
    let total = selection.total(connection, selection.kinds.as_deref(), selection.status)?;
    let (offset, size) = (page.offset(), u64::from(page.page_size));
    let ids = if offset >= total {
        Vec::new()
    } else if let Some(ids) = selection.gather(connection)? {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        ids.into_iter().skip(from).take(usize::try_from(size).unwrap_or(usize::MAX)).collect()
    } else {
        let slices = locate(selection.days, offset, size, |spans| selection.counts(connection, spans))?;
        selection.walk(connection, &slices)?
    };
    let items = ids
        .into_iter()
        .filter_map(|id| order_summary(connection, account, id).transpose())
        .collect::<Result<_, _>>()?;
    Ok(Page { items, total })
}

fn page_of_one(
    connection: &Connection,
    account: AccountId,
    filter: &OrderFilter,
    key: &str,
    page: PageRequest,
) -> Result<Page<OrderSummary>, StoreError> {
    let known = order_by_key(connection, account, key)?;
    let found = known.map(|known| order_summary(connection, account, known.order_id.time)).transpose()?.flatten();
    let (first, end) = filter.days.ids();
    let matching = found.filter(|order| {
        let kind = OrderKind {
            order_type: order.order_id.order_type,
            card_type: order.card_type,
            card_name: order.card_name.clone(),
            creator: order.creator.clone(),
        };
        filter.takes(&kind)
            && filter.status.is_none_or(|status| status == order.status)
            && (first..end).contains(&order.order_id.time)
    });
    let total = u64::from(matching.is_some());
    Ok(Page { items: matching.filter(|_| page.offset() == 0).into_iter().collect(), total })
}

fn matching_kinds(connection: &Connection, account: AccountId, filter: &OrderFilter) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT kind_id, order_type, card_type, card_name, creator FROM order_kinds WHERE account_id = ?1",
    )?;
    let mut rows = statement.query([account.0])?;
    let mut kinds = Vec::new();
    while let Some(row) = rows.next()? {
        let kind = OrderKind {
            order_type: row.get::<_, Named<_>>(1)?.0,
            card_type: row.get::<_, Named<_>>(2)?.0,
            card_name: row.get(3)?,
            creator: row.get(4)?,
        };
        if filter.takes(&kind) {
            kinds.push(row.get(0)?);
        }
    }
    Ok(kinds)
}

impl Selection {
    /// Orders of these kinds in this status, from the counts.
    fn total(
        &self,
        connection: &Connection,
        kinds: Option<&str>,
        status: Option<OrderStatus>,
    ) -> Result<u64, StoreError> {
        let mut total = 0;
        for spans in self.days.spans() {
            total += connection
                .prepare_cached(
                    "SELECT COALESCE(SUM(n), 0) FROM order_counts
                     WHERE account_id = ?1 AND span BETWEEN ?2 AND ?3 AND (?4 IS NULL OR status = ?4)
                        AND (?5 IS NULL OR kind_id IN (SELECT value FROM json_each(?5)))",
                )?
                .query_row(params![self.account.0, spans.start().0, spans.end().0, status.map(name), kinds], |row| {
                    row.get::<_, i64>(0)
                })?;
        }
        unsigned(total)
    }

    /// Matching orders in each span of a range, newest first.
    fn counts(&self, connection: &Connection, spans: RangeInclusive<Span>) -> Result<Vec<(Span, u64)>, StoreError> {
        let mut statement = connection.prepare_cached(
            "SELECT span, SUM(n) FROM order_counts
             WHERE account_id = ?1 AND span BETWEEN ?2 AND ?3 AND (?4 IS NULL OR status = ?4)
                AND (?5 IS NULL OR kind_id IN (SELECT value FROM json_each(?5)))
             GROUP BY span ORDER BY span DESC",
        )?;
        let key = params![self.account.0, spans.start().0, spans.end().0, self.status.map(name), self.kinds];
        read_counts(statement.query(key)?)
    }

    /// All matching ids, newest first, by the index of the kinds or of the open states, where one of them
    /// holds few enough.
    fn gather(&self, connection: &Connection) -> Result<Option<Vec<TimeId>>, StoreError> {
        let (first, end) = self.days.ids();
        let by_kind = match &self.kinds {
            Some(kinds) => self.total(connection, Some(kinds), None)?,
            None => u64::MAX,
        };
        let by_status = match self.status {
            Some(OrderStatus::Complete) | None => u64::MAX,
            status => self.total(connection, None, status)?,
        };
        if by_kind.min(by_status) > limits::HISTORY_GATHERED {
            return Ok(None);
        }
        let sql = if by_kind <= by_status {
            "SELECT order_id FROM orders INDEXED BY orders_by_kind
             WHERE account_id = ?1 AND kind_id IN (SELECT value FROM json_each(?5))
                AND order_id >= ?2 AND order_id < ?3 AND (?4 IS NULL OR status = ?4)"
        } else {
            "SELECT order_id FROM orders INDEXED BY orders_by_open_status
             WHERE account_id = ?1 AND status = ?4 AND status <> 'COMPLETE' AND order_id >= ?2 AND order_id < ?3
                AND (?5 IS NULL OR kind_id IN (SELECT value FROM json_each(?5)))"
        };
        let key = params![self.account.0, Column(first), Column(end), self.status.map(name), self.kinds];
        let mut ids = connection
            .prepare_cached(sql)?
            .query_map(key, |row| Ok(row.get::<_, Column<TimeId>>(0)?.0))?
            .collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Some(ids))
    }

    /// The ids of some slices of days, newest first.
    fn walk(&self, connection: &Connection, slices: &[Slice]) -> Result<Vec<TimeId>, StoreError> {
        let mut ids = Vec::new();
        for slice in slices {
            let (first, end) = slice.day.ids_of_day();
            let direction = if slice.newest_first { "DESC" } else { "ASC" };
            let mut found = connection
                .prepare_cached(&format!(
                    "SELECT order_id FROM orders INDEXED BY orders_by_time
                     WHERE account_id = ?1 AND order_id >= ?2 AND order_id < ?3 AND (?4 IS NULL OR status = ?4)
                        AND (?5 IS NULL OR kind_id IN (SELECT value FROM json_each(?5)))
                     ORDER BY order_id {direction} LIMIT ?6 OFFSET ?7"
                ))?
                .query_map(
                    params![
                        self.account.0,
                        Column(first),
                        Column(end),
                        self.status.map(name),
                        self.kinds,
                        signed(slice.take),
                        signed(slice.skip)
                    ],
                    |row| Ok(row.get::<_, Column<TimeId>>(0)?.0),
                )?
                .collect::<Result<Vec<_>, _>>()?;
            if !slice.newest_first {
                found.reverse();
            }
            ids.append(&mut found);
        }
        Ok(ids)
    }
}

/// The slices of days that hold rows `offset` up to `offset + size`: by months first, then by days.
pub(super) fn locate(
    days: Days,
    offset: u64,
    size: u64,
    counts: impl Fn(RangeInclusive<Span>) -> Result<Vec<(Span, u64)>, StoreError>,
) -> Result<Vec<Slice>, StoreError> {
    let mut spans = Vec::new();
    for range in days.walk() {
        spans.extend(counts(range)?);
    }
    let mut found = Vec::new();
    for (span, before, count) in parts(&spans, offset, size) {
        let first = offset.saturating_sub(before);
        let end = (offset + size - before).min(count);
        let days = if span.is_day() { vec![(span, count)] } else { counts(span.days_of_month())? };
        found.extend(slices(&days, first, end - first));
    }
    Ok(found)
}

/// Rows of a span and a count.
pub(super) fn read_counts(mut rows: rusqlite::Rows<'_>) -> Result<Vec<(Span, u64)>, StoreError> {
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        counts.push((Span(row.get(0)?), unsigned(row.get(1)?)?));
    }
    Ok(counts)
}
