//! Listing orders without reading the history: see `giftd_domain::history`.

use std::ops::RangeInclusive;

use giftd_domain::history::{
    Days, IdRange, KindSet, OrderFilter, OrderKind, Page, PageRequest, Slice, Span, Way, counted_up_to, parts,
    rest_of_month, slices,
};
use giftd_domain::ids::{AccountId, TimeId};
use giftd_domain::limits;
use giftd_domain::orders::{OrderStatus, OrderSummary};
use rusqlite::{Connection, params};

use super::orders::{order_by_key, order_summary};
use super::rows::{Column, Named, name, unsigned};
use crate::StoreError;
use crate::by_status::{ByStatus, CLOSED_ORDERS, IS_CLOSED, IS_OPEN, orders_in};

/// What a filter comes to, once its words are looked up.
struct Selection<'c> {
    connection: &'c Connection,
    account: AccountId,
    days: Days,
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
    let selection = Selection { connection, account, days: filter.days, status: filter.status };
    let (ids, total) = match matching_kinds(connection, account, filter)? {
        Kinds::All => selection.page(page)?,
        Kinds::Some(kinds) => selection.page_of_kinds(&kinds, page)?,
        Kinds::None => (Vec::new(), 0),
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

/// Which of an account's kinds match.
enum Kinds {
    All,
    Some(KindSet),
    None,
}

fn matching_kinds(connection: &Connection, account: AccountId, filter: &OrderFilter) -> Result<Kinds, StoreError> {
    if filter.takes_all_kinds() {
        return Ok(Kinds::All);
    }
    let mut statement = connection.prepare_cached(
        "SELECT kind_id, order_type, card_type, card_name, creator FROM order_kinds WHERE account_id = ?1",
    )?;
    let mut rows = statement.query([account.0])?;
    let (mut kinds, mut matching, mut others) = (KindSet::default(), false, false);
    while let Some(row) = rows.next()? {
        let kind = OrderKind {
            order_type: row.get::<_, Named<_>>(1)?.0,
            card_type: row.get::<_, Named<_>>(2)?.0,
            card_name: row.get(3)?,
            creator: row.get(4)?,
        };
        if filter.takes(&kind) {
            kinds.insert(row.get(0)?);
            matching = true;
        } else {
            others = true;
        }
    }
    Ok(match (matching, others) {
        (false, _) => Kinds::None,
        (true, false) => Kinds::All,
        (true, true) => Kinds::Some(kinds),
    })
}

impl Selection<'_> {
    /// A page of orders of all kinds: its ids, and how many match.
    fn page(&self, page: PageRequest) -> Result<(Vec<TimeId>, u64), StoreError> {
        let mut total = 0;
        for spans in self.days.spans() {
            total += self.totals(self.status, spans)?.into_iter().map(|(_, n)| n).sum::<u64>();
        }
        if page.offset() >= total {
            return Ok((Vec::new(), total));
        }
        let size = u64::from(page.page_size);
        let slices = locate(self.days, page.offset(), size, |spans| self.totals(self.status, spans))?;
        Ok((self.walk(&slices, None)?, total))
    }

    /// A page of orders of some kinds: its ids, and how many match.
    fn page_of_kinds(&self, kinds: &KindSet, page: PageRequest) -> Result<(Vec<TimeId>, u64), StoreError> {
        let (matching, closed) = self.total_of_kinds(kinds)?;
        let of_all_kinds = self.by_status()?;
        let all = of_all_kinds.passed(self.status);
        let (counted, total) = if self.days == Days::default() {
            (None, matching)
        } else {
            let counted = self.counted(kinds, all)?;
            let total = counted.iter().map(|(_, n)| n).sum();
            (Some(counted), total)
        };
        let Some(slice) = page.slice(self.days.ids(), total) else { return Ok((Vec::new(), total)) };
        let way = Way::of(&slice, all, of_all_kinds.gathered(self.status, closed), total);
        if way == Way::Gather {
            return Ok((self.gather(kinds, page)?, total));
        }
        if way == Way::Pass {
            let found = self.pass(&slice, Some(kinds), limits::HISTORY_PASSED)?;
            if found.len() as u64 == slice.take {
                return Ok((found, total));
            }
        }
        let counted = match counted {
            Some(counted) => counted,
            None => counted_up_to(&slice, total, self.months(kinds, &Span::MONTHS, slice.newest_first, slice.end())?),
        };
        Ok((self.walk(&slices(&counted, page.offset(), u64::from(page.page_size)), Some(kinds))?, total))
    }

    /// Orders of all kinds in the wanted days.
    fn by_status(&self) -> Result<ByStatus, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT status, SUM(n) FROM order_totals WHERE account_id = ?1 AND span BETWEEN ?2 AND ?3 GROUP BY status",
        )?;
        let mut counted = ByStatus::default();
        for spans in self.days.spans() {
            let mut rows = statement.query(params![self.account.0, spans.start().0, spans.end().0])?;
            while let Some(row) = rows.next()? {
                *counted.of(row.get::<_, Named<_>>(0)?.0) += row.get::<_, i64>(1)?;
            }
        }
        Ok(counted)
    }

    /// Orders of all kinds in a state, in each span of a range, newest first.
    fn totals(&self, status: Option<OrderStatus>, spans: RangeInclusive<Span>) -> Result<Vec<(Span, u64)>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT span, SUM(n) FROM order_totals
             WHERE account_id = ?1 AND span BETWEEN ?2 AND ?3 AND (?4 IS NULL OR status = ?4)
             GROUP BY span ORDER BY span DESC",
        )?;
        read_counts(statement.query(params![self.account.0, spans.start().0, spans.end().0, status.map(name)])?)
    }

    /// Orders of some kinds, whenever they were placed: how many are in the wanted state, and how many closed.
    fn total_of_kinds(&self, kinds: &KindSet) -> Result<(u64, u64), StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT kind_id, {}, {CLOSED_ORDERS} FROM order_counts WHERE account_id = ?1 AND span = 0",
            orders_in(self.status)
        ))?;
        let mut rows = statement.query([self.account.0])?;
        let (mut matching, mut closed) = (0_u64, 0_u64);
        while let Some(row) = rows.next()? {
            if kinds.contains(row.get(0)?) {
                matching += unsigned::<u64>(row.get(1)?)?;
                closed += unsigned::<u64>(row.get(2)?)?;
            }
        }
        Ok((matching, closed))
    }

    /// The parts of the wanted days, newest first, with the orders of some kinds in each: months by their counts,
    /// and the days before and after them. Days of which `all` is little are read at once.
    fn counted(&self, kinds: &KindSet, all: u64) -> Result<Vec<(IdRange, u64)>, StoreError> {
        if all <= limits::HISTORY_PASSED {
            return Ok(vec![(self.days.ids(), self.read(kinds, self.days.ids())?)]);
        }
        let mut counted = Vec::new();
        for spans in self.days.walk() {
            if spans.start().is_day() {
                counted.push((Span::ids_of(&spans), self.of_days(kinds, &spans)?));
            } else {
                counted.extend(self.months(kinds, &spans, true, u64::MAX)?);
            }
        }
        Ok(counted)
    }

    /// Orders of some kinds in some days of a month, by reading these days, or the others.
    fn of_days(&self, kinds: &KindSet, days: &RangeInclusive<Span>) -> Result<u64, StoreError> {
        let Some(rest) = rest_of_month(days) else { return self.read(kinds, Span::ids_of(days)) };
        let month = days.start().month();
        let mut count = self.months(kinds, &(month..=month), true, u64::MAX)?.into_iter().map(|(_, n)| n).sum::<u64>();
        for ids in rest {
            count = count.saturating_sub(self.read(kinds, ids)?);
        }
        Ok(count)
    }

    /// Counts orders of some kinds by passing over all.
    fn read(&self, kinds: &KindSet, ids: IdRange) -> Result<u64, StoreError> {
        let slice = Slice { ids, skip: u64::MAX, take: 0, newest_first: true };
        self.passing(&slice, Some(kinds), u64::MAX, |_| ())
    }

    /// The months of a range with the orders of some kinds in each, from one end until there are `enough`.
    fn months(
        &self,
        kinds: &KindSet,
        months: &RangeInclusive<Span>,
        newest_first: bool,
        enough: u64,
    ) -> Result<Vec<(IdRange, u64)>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT span, kind_id, {} FROM order_counts WHERE account_id = ?1 AND span BETWEEN ?2 AND ?3 ORDER BY span {}",
            orders_in(self.status),
            direction(newest_first)
        ))?;
        let mut rows = statement.query(params![self.account.0, months.start().0, months.end().0])?;
        let mut counts: Vec<(Span, u64)> = Vec::new();
        let mut sum: u64 = 0;
        while let Some(row) = rows.next()? {
            let (span, kind, n) = (Span(row.get(0)?), row.get(1)?, unsigned::<u64>(row.get(2)?)?);
            if counts.last().is_none_or(|(last, _)| *last != span) {
                if sum >= enough {
                    break;
                }
                counts.push((span, 0));
            }
            if let Some((_, of_month)) = counts.last_mut().filter(|_| kinds.contains(kind)) {
                *of_month += n;
                sum += n;
            }
        }
        Ok(counts.into_iter().filter(|(_, n)| *n > 0).map(|(month, n)| (month.ids(), n)).collect())
    }

    /// A page's ids, from all orders of some kinds.
    fn gather(&self, kinds: &KindSet, page: PageRequest) -> Result<Vec<TimeId>, StoreError> {
        let ((first, end), status) = (self.days.ids(), self.status.map(name));
        let mut ids = Vec::new();
        let mut closed = self.connection.prepare_cached(&format!(
            "SELECT order_id FROM orders INDEXED BY orders_by_kind
             WHERE account_id = ?1 AND kind_id = ?2 AND order_id >= ?3 AND order_id < ?4 AND {IS_CLOSED}
                AND (?5 IS NULL OR status = ?5)"
        ))?;
        for kind in kinds.numbers() {
            let key = params![self.account.0, kind, Column(first), Column(end), status];
            for id in closed.query_map(key, |row| Ok(row.get::<_, Column<TimeId>>(0)?.0))? {
                ids.push(id?);
            }
        }
        if self.status.is_none_or(OrderStatus::is_open) {
            let mut open = self.connection.prepare_cached(&format!(
                "SELECT kind_id, order_id FROM orders INDEXED BY orders_by_open_status
                 WHERE account_id = ?1 AND {IS_OPEN} AND order_id >= ?2 AND order_id < ?3 AND (?4 IS NULL OR status = ?4)"
            ))?;
            let mut rows = open.query(params![self.account.0, Column(first), Column(end), status])?;
            while let Some(row) = rows.next()? {
                if kinds.contains(row.get(0)?) {
                    ids.push(row.get::<_, Column<TimeId>>(1)?.0);
                }
            }
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Ok(ids.into_iter().skip(count(page.offset())).take(count(page.page_size.into())).collect())
    }

    /// The ids of some slices, newest first.
    fn walk(&self, slices: &[Slice], kinds: Option<&KindSet>) -> Result<Vec<TimeId>, StoreError> {
        let mut ids = Vec::new();
        for slice in slices {
            ids.append(&mut self.pass(slice, kinds, u64::MAX)?);
        }
        Ok(ids)
    }

    /// The ids of a slice, newest first; too few where more than `most` rows would have to be passed over.
    fn pass(&self, slice: &Slice, kinds: Option<&KindSet>, most: u64) -> Result<Vec<TimeId>, StoreError> {
        let mut ids = Vec::new();
        self.passing(slice, kinds, most, |id| ids.push(id))?;
        if !slice.newest_first {
            ids.reverse();
        }
        Ok(ids)
    }

    /// Hands out the ids of a slice in its own direction, and counts the matching rows up to its end.
    fn passing(
        &self,
        slice: &Slice,
        kinds: Option<&KindSet>,
        most: u64,
        mut found: impl FnMut(TimeId),
    ) -> Result<u64, StoreError> {
        let (first, end) = slice.ids;
        let direction = direction(slice.newest_first);
        let (index, columns, condition) = match self.status {
            None => ("orders_by_time", "1", "?4 IS NULL"),
            Some(OrderStatus::Complete) => ("orders_by_time", "status = ?4", "1"),
            Some(_) => ("orders_by_open_status", "1", "status = ?4 AND status <> 'COMPLETE'"),
        };
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT kind_id, {columns}, order_id FROM orders INDEXED BY {index}
             WHERE account_id = ?1 AND order_id >= ?2 AND order_id < ?3 AND {condition} ORDER BY order_id {direction}"
        ))?;
        let mut rows = statement.query(params![self.account.0, Column(first), Column(end), self.status.map(name)])?;
        let is_wanted = |kind: i64| kinds.is_none_or(|kinds| kinds.contains(kind));
        let (mut passed, mut matching) = (0, 0);
        let until = slice.skip.saturating_add(slice.take);
        while passed < most && matching < until {
            let Some(row) = rows.next()? else { break };
            passed += 1;
            if row.get(1)? && is_wanted(row.get(0)?) {
                if matching >= slice.skip {
                    found(row.get::<_, Column<TimeId>>(2)?.0);
                }
                matching += 1;
            }
        }
        Ok(matching)
    }
}

/// How rows are walked.
fn direction(newest_first: bool) -> &'static str {
    if newest_first { "DESC" } else { "ASC" }
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
        let days: Vec<_> = days.into_iter().map(|(day, n)| (day.ids(), n)).collect();
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
