//! Gift rows: what changes a gift holds its row first. Who holds several holds their accounts before, and
//! takes the rows by order and position.

use giftd_domain::Timestamp;
use giftd_domain::account::AccountClock;
use giftd_domain::gifts::{Gift, Recipient};
use giftd_domain::ids::{AccountId, GiftKey, OrderId};
use giftd_domain::orders::{CardType, OrderStatus};
use tokio_postgres::Row;
use uuid::Uuid;

use super::accounts;
use super::batch::{Batch, parameters};
use super::error::Failure;
use super::operation::Connection;
use super::rows::{Columns as _, Parameters, micros, name, uuid};

/// The columns that [`gift`] reads.
pub(super) const COLUMNS: &str = "position, email, first_name, last_name, company, department, amount, cost,
    delivery_status, delivery_attempts, delivery_error, sent_at, redemption_status, redeemed_at, expires_at, refunded,
    redeemed, reserved, voided, link_version";

/// A row of [`COLUMNS`].
pub(super) fn gift(row: &Row) -> Result<Gift, Failure> {
    Ok(Gift {
        position: row.count("position")?,
        recipient: recipient(row)?,
        amount: row.value("amount")?,
        cost: row.value("cost")?,
        delivery_status: row.named("delivery_status")?,
        delivery_attempts: row.count("delivery_attempts")?,
        delivery_error: row.value("delivery_error")?,
        sent_at: row.optional_instant("sent_at")?,
        redemption_status: row.named("redemption_status")?,
        redeemed_at: row.optional_instant("redeemed_at")?,
        expires_at: row.optional_instant("expires_at")?,
        redeemed: row.value("redeemed")?,
        reserved: row.value("reserved")?,
        voided: row.value("voided")?,
        refunded: row.value("refunded")?,
        link_version: row.count("link_version")?,
    })
}

/// Gifts, column by column.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) accounts: Vec<i64>,
    pub(super) orders: Vec<Uuid>,
    pub(super) positions: Vec<i64>,
}

impl Keys {
    pub(super) fn push(&mut self, gift: GiftKey) {
        self.accounts.push(gift.account_id.0);
        self.orders.push(uuid(gift.order));
        self.positions.push(i64::from(gift.position));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }
}

impl FromIterator<GiftKey> for Keys {
    fn from_iter<I: IntoIterator<Item = GiftKey>>(gifts: I) -> Self {
        let mut keys = Self::default();
        gifts.into_iter().for_each(|gift| keys.push(gift));
        keys
    }
}

/// A gift whose row the transaction holds.
pub(super) struct HeldGift {
    pub(super) key: GiftKey,
    pub(super) gift: Gift,
    /// How many events it has.
    pub(super) events: i64,
    /// When it turns next, by the node's clock.
    pub(super) wake_at: Option<Timestamp>,
}

impl HeldGift {
    /// A row with `events`, `wake_at` and [`COLUMNS`].
    pub(super) fn read(account_id: AccountId, order: giftd_domain::ids::TimeId, row: &Row) -> Result<Self, Failure> {
        let gift = gift(row)?;
        Ok(Self {
            key: GiftKey { account_id, order, position: gift.position },
            gift,
            events: row.value("events")?,
            wake_at: row.optional_instant("wake_at")?,
        })
    }

    /// The number of its next event.
    pub(super) fn next_event(&mut self) -> i64 {
        self.events += 1;
        self.events
    }
}

/// A held gift with what its order and account say.
pub(super) struct GiftInOrder {
    pub(super) held: HeldGift,
    pub(super) order_id: OrderId,
    pub(super) order_status: OrderStatus,
    pub(super) card_type: CardType,
    pub(super) refund_option: bool,
    pub(super) clock: AccountClock,
}

/// Holds a gift's row until the transaction ends.
pub(super) async fn hold(connection: &Connection, key: GiftKey) -> Result<Option<GiftInOrder>, Failure> {
    let hold = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, events, wake_at FROM gifts WHERE account_id = $1 AND order_id = $2 AND position = $3
             FOR NO KEY UPDATE"
        ))
        .await?;
    let of_order = connection
        .prepare_cached(&format!(
            "SELECT k.order_type, k.card_type, o.status, o.refund_option, {}
             FROM orders o
                JOIN order_kinds k ON k.account_id = o.account_id AND k.kind_id = o.kind_id
                JOIN accounts a ON a.account_id = o.account_id
             WHERE o.account_id = $1 AND o.order_id = $2",
            accounts::CLOCK
        ))
        .await?;
    let (account, order, position) = (key.account_id.0, uuid(key.order), i64::from(key.position));
    let wanted: Parameters<'_> = vec![&account, &order, &position];
    let (held, of_order) =
        tokio::join!(biased; connection.query_opt(&hold, &wanted), connection.query_opt(&of_order, &wanted[..2]));
    let (Some(held), Some(row)) = (held?, of_order?) else { return Ok(None) };
    Ok(Some(GiftInOrder {
        held: HeldGift::read(key.account_id, key.order, &held)?,
        order_id: OrderId { order_type: row.named("order_type")?, time: key.order },
        order_status: row.named("status")?,
        card_type: row.named("card_type")?,
        refund_option: row.value("refund_option")?,
        clock: accounts::clock(&row)?,
    }))
}

/// Writes back how much of gifts is used, when they turn next and how many events they have.
pub(super) async fn write_use(batch: &mut Batch<'_>, gifts: &[HeldGift]) -> Result<(), Failure> {
    if gifts.is_empty() {
        return Ok(());
    }
    let Keys { accounts, orders, positions } = gifts.iter().map(|held| held.key).collect();
    let statuses: Vec<&'static str> = gifts.iter().map(|held| name(held.gift.redemption_status)).collect();
    let of = |value: fn(&HeldGift) -> i64| gifts.iter().map(value).collect::<Vec<i64>>();
    let optional = |value: fn(&HeldGift) -> Option<i64>| gifts.iter().map(value).collect::<Vec<_>>();
    batch
        .add(
            "UPDATE gifts g
             SET redemption_status = w.status, redeemed_at = w.redeemed_at, redeemed = w.redeemed, reserved = w.reserved,
                voided = w.voided, refunded = w.refunded, wake_at = w.wake_at, events = w.events
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[],
                    $8::BIGINT[], $9::BIGINT[], $10::BIGINT[], $11::BIGINT[])
                AS w (account_id, order_id, position, status, redeemed_at, redeemed, reserved, voided, refunded, wake_at,
                    events)
             WHERE g.account_id = w.account_id AND g.order_id = w.order_id AND g.position = w.position",
            parameters![
                accounts,
                orders,
                positions,
                statuses,
                optional(|held| held.gift.redeemed_at.map(micros)),
                of(|held| held.gift.redeemed),
                of(|held| held.gift.reserved),
                of(|held| held.gift.voided),
                optional(|held| held.gift.refunded),
                optional(|held| held.wake_at.map(micros)),
                of(|held| held.events),
            ],
        )
        .await
}

/// The columns of a gift that say to whom it goes.
pub(super) fn recipient(row: &Row) -> Result<Recipient, Failure> {
    Ok(Recipient {
        email: row.value("email")?,
        first_name: row.value("first_name")?,
        last_name: row.value("last_name")?,
        company: row.value("company")?,
        department: row.value("department")?,
    })
}
