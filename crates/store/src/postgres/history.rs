//! Listing orders without reading the history: see `giftd_domain::history`. Inside a snapshot.

use giftd_domain::history::{OrderFilter, OrderKind, Page, PageRequest};
use giftd_domain::ids::{AccountId, TimeId};
use giftd_domain::limits;
use giftd_domain::orders::{OrderStatus, OrderSummary};
use uuid::Uuid;

use super::error::Failure;
use super::operation::Connection;
use super::orders::{SUMMARY, order_by_key, summary};
use super::rows::{Columns as _, Parameters, name, signed, time_id, uuid};
use super::walk::{Counted, SliceColumns, direction};

/// What a filter comes to, once its words are looked up.
struct Selection {
    account: i64,
    first: Uuid,
    end: Uuid,
    /// None for all kinds.
    kinds: Option<Vec<i64>>,
    status: Option<&'static str>,
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
    let kinds = match filter.takes_all_kinds() {
        true => None,
        false => Some(matching_kinds(connection, account, filter).await?),
    };
    if kinds.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Page { items: Vec::new(), total: 0 });
    }
    let (first, end) = filter.days.ids();
    let selection =
        Selection { account: account.0, first: uuid(first), end: uuid(end), kinds, status: filter.status.map(name) };
    let counted = selection.counted(true, true);
    let total = counted.total(connection, filter.days).await?;
    let ids = if page.offset() >= total {
        Vec::new()
    } else if let Some(index) = selection.short_way(connection, filter, total).await? {
        selection.gather(connection, index, page).await?
    } else {
        let slices = counted.locate(connection, filter.days, page).await?;
        let mut ids = selection.walk(connection, &SliceColumns::of(&slices, true)?, true).await?;
        ids.extend(selection.walk(connection, &SliceColumns::of(&slices, false)?, false).await?);
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids
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

async fn matching_kinds(
    connection: &Connection,
    account: AccountId,
    filter: &OrderFilter,
) -> Result<Vec<i64>, Failure> {
    let statement = connection
        .prepare_cached(
            "SELECT kind_id, order_type, card_type, card_name, creator FROM order_kinds WHERE account_id = $1",
        )
        .await?;
    let mut kinds = Vec::new();
    for row in &connection.query(&statement, &[&account.0]).await? {
        let kind = OrderKind {
            order_type: row.named("order_type")?,
            card_type: row.named("card_type")?,
            card_name: row.value("card_name")?,
            creator: row.value("creator")?,
        };
        if filter.takes(&kind) {
            kinds.push(row.value("kind_id")?);
        }
    }
    Ok(kinds)
}

/// The index that finds all that match by reading few rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ShortWay {
    ByKind,
    ByOpenStatus,
}

impl Selection {
    /// The conditions on kind and status, as far as they are wanted and given. `status <> 'COMPLETE'`
    /// stands there as text, so that the index of the open ones is known to hold all that match.
    fn conditions<'a>(&'a self, kinds: bool, status: bool, parameters: &mut Parameters<'a>) -> String {
        let mut conditions = String::new();
        if let (true, Some(kinds)) = (kinds, &self.kinds) {
            parameters.push(kinds);
            conditions += &format!(" AND kind_id = ANY (${})", parameters.len());
        }
        if let (true, Some(status)) = (status, &self.status) {
            parameters.push(status);
            conditions += &format!(" AND status = ${}", parameters.len());
            if *status != name(OrderStatus::Complete) {
                conditions += " AND status <> 'COMPLETE'";
            }
        }
        conditions
    }

    /// How many orders of these kinds, in this status, there are in each span.
    fn counted(&self, kinds: bool, status: bool) -> Counted<'_> {
        // Two places for the spans, which come first.
        let mut parameters: Parameters<'_> = vec![&self.account, &self.account, &self.account];
        let conditions = self.conditions(kinds, status, &mut parameters);
        let sql = format!(
            "SELECT c.span, SUM(c.n)::BIGINT AS n FROM unnest($1::BIGINT[], $2::BIGINT[]) AS r (first, last),
                LATERAL (SELECT span, n FROM order_counts
                    WHERE account_id = $3 AND span BETWEEN r.first AND r.last{conditions}) c
             GROUP BY c.span HAVING SUM(c.n) > 0"
        );
        Counted { sql, parameters: parameters.split_off(2) }
    }

    /// An index that holds few enough rows of which the matching ones are a part.
    async fn short_way(
        &self,
        connection: &Connection,
        filter: &OrderFilter,
        total: u64,
    ) -> Result<Option<ShortWay>, Failure> {
        let is_open = self.status.is_some_and(|status| status != name(OrderStatus::Complete));
        let (mut of_kinds, mut of_status) = (total, total);
        if self.kinds.is_some() && self.status.is_some() {
            of_kinds = self.counted(true, false).total(connection, filter.days).await?;
            of_status = self.counted(false, true).total(connection, filter.days).await?;
        }
        let by_kind = self.kinds.is_some().then_some((of_kinds, ShortWay::ByKind));
        let by_status = is_open.then_some((of_status, ShortWay::ByOpenStatus));
        let best = by_kind.into_iter().chain(by_status).min_by_key(|(rows, _)| *rows);
        Ok(best.filter(|(rows, _)| *rows <= limits::HISTORY_GATHERED).map(|(_, index)| index))
    }

    /// The page's ids, from all that match.
    async fn gather(
        &self,
        connection: &Connection,
        index: ShortWay,
        page: PageRequest,
    ) -> Result<Vec<TimeId>, Failure> {
        let (offset, size) = (signed(page.offset())?, i64::from(page.page_size));
        let last = offset.saturating_add(size);
        let mut parameters: Parameters<'_> = vec![&self.account, &self.first, &self.end, &offset, &size];
        let sql = match (index, &self.kinds) {
            (ShortWay::ByKind, Some(kinds)) => {
                parameters.push(kinds);
                parameters.push(&last);
                let conditions = self.conditions(false, true, &mut parameters);
                // Kind by kind in the index's order, and of each no more than the page can need.
                format!(
                    "SELECT o.order_id FROM unnest($6::BIGINT[]) AS k (kind_id),
                        LATERAL (SELECT order_id FROM orders
                            WHERE account_id = $1 AND kind_id = k.kind_id AND order_id >= $2 AND order_id < $3{conditions}
                            ORDER BY order_id DESC LIMIT $7) o
                     ORDER BY o.order_id DESC OFFSET $4 LIMIT $5"
                )
            }
            _ => {
                let conditions = self.conditions(true, true, &mut parameters);
                format!(
                    "SELECT order_id FROM orders
                     WHERE account_id = $1 AND order_id >= $2 AND order_id < $3{conditions}
                     ORDER BY order_id DESC OFFSET $4 LIMIT $5"
                )
            }
        };
        ids(connection, &sql, &parameters).await
    }

    /// The ids of some slices of days, all in one direction, in no order.
    async fn walk(
        &self,
        connection: &Connection,
        slices: &SliceColumns,
        newest_first: bool,
    ) -> Result<Vec<TimeId>, Failure> {
        if slices.is_empty() {
            return Ok(Vec::new());
        }
        let mut parameters: Parameters<'_> =
            vec![&self.account, &slices.first, &slices.end, &slices.skip, &slices.take];
        let conditions = self.conditions(true, true, &mut parameters);
        let direction = direction(newest_first);
        let sql = format!(
            "SELECT o.order_id
             FROM unnest($2::UUID[], $3::UUID[], $4::BIGINT[], $5::BIGINT[]) AS s (first, past, skip, take),
                LATERAL (SELECT order_id FROM orders
                    WHERE account_id = $1 AND order_id >= s.first AND order_id < s.past{conditions}
                    ORDER BY order_id {direction} OFFSET s.skip LIMIT s.take) o"
        );
        ids(connection, &sql, &parameters).await
    }
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
