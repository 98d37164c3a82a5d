//! What happened to gifts.

use giftd_domain::Timestamp;
use giftd_domain::gifts::events::{self, GiftEvent, NewEvent};
use giftd_domain::history::{Page, PageRequest};
use giftd_domain::ids::{AccountId, GiftKey, OrderId};
use rusqlite::{Connection, params};

use super::group::Group;
use super::orders::summary_of;
use super::rows::{Column, Named, name, signed, unsigned};
use crate::StoreError;

/// Records an event of a gift at `at` of the account's clock.
pub(super) fn record(group: &Group<'_>, gift: GiftKey, at: Timestamp, event: &NewEvent) -> Result<(), StoreError> {
    let number = group
        .connection()
        .prepare_cached(
            "UPDATE gifts SET events = events + 1 WHERE account_id = ?1 AND order_id = ?2 AND position = ?3
             RETURNING events",
        )?
        .query_row(params![gift.account_id.0, Column(gift.order), gift.position], |row| row.get(0))?;
    insert(group, gift, number, at, event)
}

/// Adds an event that is counted in its gift already.
pub(super) fn insert(
    group: &Group<'_>,
    gift: GiftKey,
    number: u32,
    at: Timestamp,
    event: &NewEvent,
) -> Result<(), StoreError> {
    group
        .connection()
        .prepare_cached(
            "INSERT INTO gift_events (account_id, order_id, at, position, number, type, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            gift.account_id.0,
            Column(gift.order),
            Column(at),
            gift.position,
            number,
            name(event.event_type),
            event.detail
        ])?;
    Ok(())
}

/// The events of an order, newest first.
pub(super) fn order_events(
    connection: &Connection,
    account: AccountId,
    order: OrderId,
    page: PageRequest,
) -> Result<Option<Page<GiftEvent>>, StoreError> {
    let Some(summary) = summary_of(connection, account, order)? else { return Ok(None) };
    let rows = connection
        .prepare_cached("SELECT COUNT(*) FROM gift_events WHERE account_id = ?1 AND order_id = ?2")?
        .query_row(params![account.0, Column(order.time)], |row| row.get(0))?;
    let page = events::page(&summary, unsigned(rows)?, page);
    let mut items: Vec<GiftEvent> = connection
        .prepare_cached(
            "SELECT position, number, type, at, detail FROM gift_events WHERE account_id = ?1 AND order_id = ?2
             ORDER BY at DESC, position DESC, number DESC LIMIT ?3 OFFSET ?4",
        )?
        .query_map(params![account.0, Column(order.time), signed(page.rows), signed(page.skip)], |row| {
            Ok(GiftEvent {
                position: row.get(0)?,
                number: row.get(1)?,
                event_type: row.get::<_, Named<_>>(2)?.0,
                at: row.get::<_, Column<_>>(3)?.0,
                detail: row.get(4)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    items.extend(page.implied);
    Ok(Some(Page { items, total: page.total }))
}
