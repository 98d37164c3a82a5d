//! What happened to gifts.

use giftd_domain::Timestamp;
use giftd_domain::gifts::events::{self, GiftEvent, NewEvent};
use giftd_domain::history::{Page, PageRequest};
use giftd_domain::ids::{AccountId, GiftKey, OrderId};
use tokio_postgres::Row;

use super::batch::{Batch, parameters};
use super::error::Failure;
use super::gifts::Keys;
use super::operation::Connection;
use super::orders;
use super::rows::{Columns as _, clean, micros, name, signed, uuid};

/// New events, column by column.
#[derive(Default)]
pub(super) struct NewEvents {
    keys: Keys,
    at: Vec<i64>,
    numbers: Vec<i64>,
    types: Vec<&'static str>,
    details: Vec<Option<String>>,
}

impl NewEvents {
    /// The gift's event of this number, by the account's clock. Who adds it writes the number to the gift.
    pub(super) fn add(&mut self, gift: GiftKey, number: i64, at: Timestamp, event: NewEvent) {
        self.keys.push(gift);
        self.at.push(micros(at));
        self.numbers.push(number);
        self.types.push(name(event.event_type));
        self.details.push(event.detail.map(|detail| clean(&detail)));
    }

    pub(super) async fn write(self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let Keys { accounts, orders, positions } = self.keys;
        batch
            .add(
                "INSERT INTO gift_events (account_id, order_id, position, at, number, type, detail)
                 SELECT * FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::TEXT[],
                    $7::TEXT[])",
                parameters![accounts, orders, positions, self.at, self.numbers, self.types, self.details],
            )
            .await
    }
}

/// The events of an order's gifts, newest first. Inside a snapshot.
pub(super) async fn order_events(
    connection: &Connection,
    account: AccountId,
    order: OrderId,
    page: PageRequest,
) -> Result<Option<Page<GiftEvent>>, Failure> {
    let Some(summary) = orders::summary_of(connection, account, order).await? else { return Ok(None) };
    let count = connection
        .prepare_cached(
            "SELECT COALESCE(SUM(events), 0)::BIGINT AS events FROM gifts WHERE account_id = $1 AND order_id = $2",
        )
        .await?;
    let time = uuid(order.time);
    let rows = connection.query_one(&count, &[&account.0, &time]).await?.count("events")?;
    let page = events::page(&summary, rows, page);
    let mut items = Vec::new();
    if page.rows > 0 {
        let read = connection
            .prepare_cached(
                "SELECT position, number, type, at, detail FROM gift_events WHERE account_id = $1 AND order_id = $2
                 ORDER BY at DESC, position DESC, number DESC OFFSET $3 LIMIT $4",
            )
            .await?;
        let (skip, take) = (signed(page.skip)?, signed(page.rows)?);
        let rows = connection.query(&read, &[&account.0, &time, &skip, &take]).await?;
        items = rows.iter().map(event).collect::<Result<_, _>>()?;
    }
    items.extend(page.implied);
    Ok(Some(Page { items, total: page.total }))
}

fn event(row: &Row) -> Result<GiftEvent, Failure> {
    Ok(GiftEvent {
        position: row.count("position")?,
        number: row.count("number")?,
        event_type: row.named("type")?,
        at: row.instant("at")?,
        detail: row.value("detail")?,
    })
}
