//! Listing orders without reading the history: see `giftd_domain::history`. Inside a snapshot.

use std::ops::RangeInclusive;

use giftd_domain::history::{
    Days, IdRange, KindSet, OrderFilter, OrderKind, Page, PageRequest, Slice, Span, Way, counted_up_to, rest_of_month,
    slices,
};
use giftd_domain::ids::{AccountId, TimeId};
use giftd_domain::limits;
use giftd_domain::orders::{OrderStatus, OrderSummary};
use uuid::Uuid;

use super::error::Failure;
use super::operation::Connection;
use super::orders::{SUMMARY, order_by_key, summary};
use super::rows::{Columns as _, Parameters, name, signed, time_id, uuid};
use super::walk::{Counted, SliceColumns, direction};
use crate::by_status::{ByStatus, CLOSED_ORDERS, IS_CLOSED, IS_OPEN, orders_in};

/// What a filter comes to, once its words are looked up.
struct Selection<'c> {
    connection: &'c Connection,
    account: i64,
    days: Days,
    status: Option<OrderStatus>,
    /// Its name.
    status_name: Option<&'static str>,
}

/// Orders that match, newest first.
pub(super) async fn orders_page(
    connection: &Connection,
    account: AccountId,
    filter: &OrderFilter,
    page: PageRequest,
) -> Result<Page<OrderSummary>, Failure> {
    if let Some(key) = &filter.client_order_id {
        return page_of_one(connection, account, filter, key, page).await;
    }
    let selection = Selection {
        connection,
        account: account.0,
        days: filter.days,
        status: filter.status,
        status_name: filter.status.map(name),
    };
    let (ids, total) = match matching_kinds(connection, account, filter).await? {
        Kinds::All => selection.page(page).await?,
        Kinds::Some(kinds) => selection.page_of_kinds(&kinds, page).await?,
        Kinds::None => (Vec::new(), 0),
    };
    Ok(Page { items: summaries(connection, account, &ids).await?, total })
}

async fn page_of_one(
    connection: &Connection,
    account: AccountId,
    filter: &OrderFilter,
    key: &str,
    page: PageRequest,
) -> Result<Page<OrderSummary>, Failure> {
    let known = order_by_key(connection, account, key).await?;
    let ids: Vec<TimeId> = known.into_iter().map(|known| known.order_id.time).collect();
    let (first, end) = filter.days.ids();
    let mut items = summaries(connection, account, &ids).await?;
    items.retain(|order| {
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
    let total = items.len() as u64;
    if page.offset() > 0 {
        items.clear();
    }
    Ok(Page { items, total })
}

/// Which of an account's kinds match.
enum Kinds {
    All,
    Some(SomeKinds),
    None,
}

/// Some of an account's kinds.
#[derive(Default)]
struct SomeKinds {
    numbers: Vec<i64>,
    /// For `get_bit`, with a bit for each kind that there is.
    bits: Vec<u8>,
}

async fn matching_kinds(connection: &Connection, account: AccountId, filter: &OrderFilter) -> Result<Kinds, Failure> {
    if filter.takes_all_kinds() {
        return Ok(Kinds::All);
    }
    let statement = connection
        .prepare_cached(
            "SELECT kind_id, order_type, card_type, card_name, creator FROM order_kinds WHERE account_id = $1",
        )
        .await?;
    let rows = connection.query(&statement, &[&account.0]).await?;
    let (mut kinds, mut last) = (KindSet::default(), 0);
    for row in &rows {
        let kind = OrderKind {
            order_type: row.named("order_type")?,
            card_type: row.named("card_type")?,
            card_name: row.value("card_name")?,
            creator: row.value("creator")?,
        };
        let number: i64 = row.value("kind_id")?;
        last = number.max(last);
        if filter.takes(&kind) {
            kinds.insert(number);
        }
    }
    let numbers: Vec<i64> = kinds.numbers().collect();
    Ok(match numbers.len() {
        0 => Kinds::None,
        all if all == rows.len() => Kinds::All,
        _ => Kinds::Some(SomeKinds { numbers, bits: kinds.bits(last) }),
    })
}

impl Selection<'_> {
    /// A page of orders of all kinds: its ids, and how many match.
    async fn page(&self, page: PageRequest) -> Result<(Vec<TimeId>, u64), Failure> {
        let totals = self.totals(&self.status_name);
        let total = totals.total(self.connection, self.days).await?;
        if page.offset() >= total {
            return Ok((Vec::new(), total));
        }
        let slices = totals.locate(self.connection, self.days, page).await?;
        Ok((self.walk(&slices, None, None).await?, total))
    }

    /// A page of orders of some kinds: its ids, and how many match.
    async fn page_of_kinds(&self, kinds: &SomeKinds, page: PageRequest) -> Result<(Vec<TimeId>, u64), Failure> {
        let (matching, closed) = self.total_of_kinds(kinds).await?;
        let of_all_kinds = self.by_status().await?;
        let all = of_all_kinds.passed(self.status);
        let (counted, total) = if self.days == Days::default() {
            (None, matching)
        } else {
            let counted = self.counted(kinds, all).await?;
            let total = counted.iter().map(|(_, n)| n).sum();
            (Some(counted), total)
        };
        let Some(slice) = page.slice(self.days.ids(), total) else { return Ok((Vec::new(), total)) };
        let way = Way::of(&slice, all, of_all_kinds.gathered(self.status, closed), total);
        if way == Way::Gather {
            return Ok((self.gather(kinds, page).await?, total));
        }
        if way == Way::Pass {
            let found = self.walk(&[slice], Some(kinds), Some(limits::HISTORY_PASSED)).await?;
            if found.len() as u64 == slice.take {
                return Ok((found, total));
            }
        }
        let counted = match counted {
            Some(counted) => counted,
            None => counted_up_to(&slice, total, self.months(kinds, &slice).await?),
        };
        let slices = slices(&counted, page.offset(), u64::from(page.page_size));
        Ok((self.walk(&slices, Some(kinds), None).await?, total))
    }

    /// Orders of all kinds in the wanted days.
    async fn by_status(&self) -> Result<ByStatus, Failure> {
        let spans = self.days.spans();
        let first: Vec<i64> = spans.iter().map(|range| range.start().0).collect();
        let last: Vec<i64> = spans.iter().map(|range| range.end().0).collect();
        let statement = self
            .connection
            .prepare_cached(
                "SELECT c.status, c.n FROM unnest($2::BIGINT[], $3::BIGINT[]) AS r (first, last),
                    LATERAL (SELECT status, SUM(n)::BIGINT AS n FROM order_totals
                        WHERE account_id = $1 AND span BETWEEN r.first AND r.last GROUP BY status) c",
            )
            .await?;
        let mut counted = ByStatus::default();
        for row in self.connection.query(&statement, &[&self.account, &first, &last]).await? {
            *counted.of(row.named("status")?) += row.value::<i64>("n")?;
        }
        Ok(counted)
    }

    /// Orders of all kinds in a state, or in any.
    fn totals<'a>(&'a self, status: &'a Option<&'static str>) -> Counted<'a> {
        let sql = "SELECT span, n FROM order_totals
             WHERE account_id = $3 AND span BETWEEN r.first AND r.last AND ($4::TEXT IS NULL OR status = $4)";
        Counted { sql: sql.to_owned(), parameters: vec![&self.account, status] }
    }

    /// Orders of some kinds in a state, or in any.
    fn counts<'a>(&'a self, kinds: &'a SomeKinds) -> Counted<'a> {
        let sql = format!(
            "SELECT span, {} AS n FROM order_counts
             WHERE account_id = $3 AND span BETWEEN r.first AND r.last AND get_bit($4::BYTEA, kind_id) = 1",
            orders_in(self.status)
        );
        Counted { sql, parameters: vec![&self.account, &kinds.bits] }
    }

    /// Orders of some kinds, whenever they were placed: how many are in the wanted state, and how many closed.
    async fn total_of_kinds(&self, kinds: &SomeKinds) -> Result<(u64, u64), Failure> {
        let statement = self
            .connection
            .prepare_cached(&format!(
                "SELECT COALESCE(SUM({}), 0)::BIGINT AS matching, COALESCE(SUM({CLOSED_ORDERS}), 0)::BIGINT AS closed
                 FROM order_counts WHERE account_id = $1 AND span = 0 AND get_bit($2::BYTEA, kind_id) = 1",
                orders_in(self.status)
            ))
            .await?;
        let row = self.connection.query_one(&statement, &[&self.account, &kinds.bits]).await?;
        Ok((row.count("matching")?, row.count("closed")?))
    }

    /// The parts of the wanted days, newest first, with the orders of some kinds in each: months by their counts,
    /// and the days before and after them. Days of which `all` is little are read at once.
    async fn counted(&self, kinds: &SomeKinds, all: u64) -> Result<Vec<(IdRange, u64)>, Failure> {
        if all <= limits::HISTORY_PASSED {
            return Ok(vec![(self.days.ids(), self.read(kinds, self.days.ids()).await?)]);
        }
        let mut counted = Vec::new();
        for spans in self.days.walk() {
            if spans.start().is_day() {
                counted.push((Span::ids_of(&spans), self.of_days(kinds, &spans).await?));
            } else {
                let months = self.counts(kinds).newest_first(self.connection, &[spans]).await?;
                counted.extend(months.into_iter().map(|(month, n)| (month.ids(), n)));
            }
        }
        Ok(counted)
    }

    /// Orders of some kinds in some days of a month, by reading these days, or the others.
    async fn of_days(&self, kinds: &SomeKinds, days: &RangeInclusive<Span>) -> Result<u64, Failure> {
        let Some(rest) = rest_of_month(days) else { return self.read(kinds, Span::ids_of(days)).await };
        let month = days.start().month();
        let counted = self.counts(kinds).newest_first(self.connection, &[month..=month]).await?;
        let mut count = counted.into_iter().map(|(_, n)| n).sum::<u64>();
        for ids in rest {
            count = count.saturating_sub(self.read(kinds, ids).await?);
        }
        Ok(count)
    }

    /// The months of the history with the orders of some kinds in each, from the end where `page` begins until they hold
    /// it. Each question takes a round trip, so it is for twice as many months as the one before.
    async fn months(&self, kinds: &SomeKinds, page: &Slice) -> Result<Vec<(IdRange, u64)>, Failure> {
        let mut months = self.totals(&None).newest_first(self.connection, &[Span::MONTHS]).await?;
        if !page.newest_first {
            months.reverse();
        }
        let mut months = months.into_iter().map(|(month, _)| month..=month);
        let (mut counted, mut sum, mut at_once) = (Vec::new(), 0, 1);
        while sum < page.end() {
            let asked: Vec<_> = months.by_ref().take(at_once).collect();
            if asked.is_empty() {
                break;
            }
            let mut found = self.counts(kinds).newest_first(self.connection, &asked).await?;
            if !page.newest_first {
                found.reverse();
            }
            sum += found.iter().map(|(_, n)| n).sum::<u64>();
            counted.extend(found.into_iter().map(|(month, n)| (month.ids(), n)));
            at_once *= 2;
        }
        Ok(counted)
    }

    /// Counts orders of some kinds by reading all orders.
    async fn read(&self, kinds: &SomeKinds, ids: IdRange) -> Result<u64, Failure> {
        let (first, end) = (uuid(ids.0), uuid(ids.1));
        let mut parameters: Parameters<'_> = vec![&self.account, &first, &end];
        let conditions = self.of_status(&mut parameters) + &of_kinds(Some(kinds), &mut parameters);
        let sql = format!(
            "SELECT COUNT(*) AS n FROM orders WHERE account_id = $1 AND order_id >= $2 AND order_id < $3{conditions}"
        );
        let statement = self.connection.prepare_cached(&sql).await?;
        self.connection.query_one(&statement, &parameters).await?.count("n")
    }

    /// The condition on the status. `status <> 'COMPLETE'` stands there as text, so that the index of the open
    /// ones is known to hold all that match.
    fn of_status<'a>(&'a self, parameters: &mut Parameters<'a>) -> String {
        let Some(status) = &self.status_name else { return String::new() };
        parameters.push(status);
        let is_open = if self.status == Some(OrderStatus::Complete) { "" } else { " AND status <> 'COMPLETE'" };
        format!(" AND status = ${}{is_open}", parameters.len())
    }

    /// A page's ids, from all orders of some kinds.
    async fn gather(&self, kinds: &SomeKinds, page: PageRequest) -> Result<Vec<TimeId>, Failure> {
        let (offset, size) = (signed(page.offset())?, i64::from(page.page_size));
        let last = offset.saturating_add(size);
        let (first, end) = self.days.ids();
        let (first, end) = (uuid(first), uuid(end));
        let mut parameters: Parameters<'_> = vec![&self.account, &first, &end, &offset, &size, &kinds.numbers, &last];
        let of_status = self.of_status(&mut parameters);
        // The closed ones kind by kind in their index's order, and of each no more than the page can need.
        let mut sql = format!(
            "SELECT o.order_id FROM unnest($6::BIGINT[]) AS k (kind_id),
                LATERAL (SELECT order_id FROM orders
                    WHERE account_id = $1 AND kind_id = k.kind_id AND order_id >= $2 AND order_id < $3
                        AND {IS_CLOSED}{of_status}
                    ORDER BY order_id DESC LIMIT $7) o"
        );
        if self.status.is_none_or(OrderStatus::is_open) {
            let of_kinds = of_kinds(Some(kinds), &mut parameters);
            sql += &format!(
                " UNION ALL SELECT order_id FROM orders
                  WHERE account_id = $1 AND {IS_OPEN} AND order_id >= $2 AND order_id < $3{of_status}{of_kinds}"
            );
        }
        sql += " ORDER BY order_id DESC OFFSET $4 LIMIT $5";
        ids(self.connection, &sql, &parameters).await
    }

    /// The ids of some slices, newest first; too few where more than `most` rows of one would have to be passed
    /// over.
    async fn walk(
        &self,
        slices: &[Slice],
        kinds: Option<&SomeKinds>,
        most: Option<u64>,
    ) -> Result<Vec<TimeId>, Failure> {
        let most = most.map(signed).transpose()?;
        let mut found = Vec::new();
        for newest_first in [true, false] {
            let slices = SliceColumns::of(slices, newest_first)?;
            if slices.is_empty() {
                continue;
            }
            let mut parameters: Parameters<'_> =
                vec![&self.account, &slices.first, &slices.end, &slices.skip, &slices.take, &most];
            let of_status = self.of_status(&mut parameters);
            let of_kinds = of_kinds(kinds, &mut parameters);
            // The rows that are passed over are all that an index has in this range, or they would not be counted.
            let is_complete = self.status == Some(OrderStatus::Complete);
            let (inside, outside) = if is_complete { ("", &*of_status) } else { (&*of_status, "") };
            let direction = direction(newest_first);
            let sql = format!(
                "SELECT o.order_id
                 FROM unnest($2::UUID[], $3::UUID[], $4::BIGINT[], $5::BIGINT[]) AS s (first, past, skip, take),
                    LATERAL (SELECT order_id FROM (SELECT order_id, kind_id, status FROM orders
                            WHERE account_id = $1 AND order_id >= s.first AND order_id < s.past{inside}
                            ORDER BY order_id {direction} LIMIT $6) passed
                        WHERE TRUE{outside}{of_kinds}
                        ORDER BY order_id {direction} OFFSET s.skip LIMIT s.take) o"
            );
            found.extend(ids(self.connection, &sql, &parameters).await?);
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        Ok(found)
    }
}

/// The condition on the kind.
fn of_kinds<'a>(kinds: Option<&'a SomeKinds>, parameters: &mut Parameters<'a>) -> String {
    let Some(kinds) = kinds else { return String::new() };
    parameters.push(&kinds.bits);
    format!(" AND get_bit(${}::BYTEA, kind_id) = 1", parameters.len())
}

async fn ids(connection: &Connection, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<TimeId>, Failure> {
    let statement = connection.prepare_cached(sql).await?;
    let rows = connection.query(&statement, parameters).await?;
    rows.iter().map(|row| row.value("order_id").map(time_id)).collect()
}

/// The orders of these ids, in their order.
async fn summaries(connection: &Connection, account: AccountId, ids: &[TimeId]) -> Result<Vec<OrderSummary>, Failure> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let statement = connection
        .prepare_cached(&format!(
            "SELECT {SUMMARY} FROM unnest($2::UUID[]) WITH ORDINALITY AS w (order_id, n),
                LATERAL (SELECT * FROM orders WHERE account_id = $1 AND order_id = w.order_id LIMIT 1) o,
                LATERAL (SELECT * FROM order_kinds WHERE account_id = $1 AND kind_id = o.kind_id LIMIT 1) k
             ORDER BY w.n"
        ))
        .await?;
    let ids: Vec<Uuid> = ids.iter().map(|id| uuid(*id)).collect();
    connection.query(&statement, &[&account.0, &ids]).await?.iter().map(summary).collect()
}
