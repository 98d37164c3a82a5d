//! Redeeming gifts: reserve, settle, ask again.

use giftd_domain::Timestamp;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::gifts::redemption::{
    AskAgain, NotRedeemable, Redemption, RedemptionId, RedemptionState, Reserve, Reserved, Sealed, Supplied,
    ask_again_at,
};
use giftd_domain::gifts::{Gift, MailKind, RedemptionStatus};
use giftd_domain::ids::{AccountId, GiftKey, TimeId};
use giftd_domain::limits;
use giftd_domain::money::{Currency, Money};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::codes;
use super::error::broken;
use super::events::record;
use super::group::Group;
use super::mails::drop_mail;
use super::orders::gift_and_order;
use super::rows::{Column, Named, instant, kept, name, signed, unsigned};
use super::turn::{post_refund, write_expiry};
use crate::{StoreError, Unanswered};

/// The columns that [`redemption`] reads, of `redemptions r`.
const REDEMPTION: &str =
    "r.redemption_id, r.product_id, r.product_name, r.currency, r.face, r.cost, r.state, r.code, r.key_id,
    r.asked_again, r.reserved_at, r.settled_at";

/// How many columns [`REDEMPTION`] has.
const REDEMPTION_COLUMNS: usize = 12;

/// A gift's redemptions, oldest first; of released ones the last that were.
pub(super) fn redemptions(connection: &Connection, gift: GiftKey) -> Result<Vec<Redemption>, StoreError> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {REDEMPTION} FROM (
                SELECT * FROM redemptions INDEXED BY redemptions_by_state
                WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 AND state = 'RESERVED'
                UNION ALL
                SELECT * FROM redemptions INDEXED BY redemptions_by_state
                WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 AND state = 'DONE'
                UNION ALL
                SELECT * FROM (SELECT * FROM redemptions INDEXED BY redemptions_by_state
                    WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 AND state = 'RELEASED'
                    ORDER BY settled_at DESC LIMIT ?4) released) r
             ORDER BY reserved_at, redemption_id"
        ))?
        .query_map(
            params![gift.account_id.0, Column(gift.order), gift.position, signed(limits::RELEASED_AT_HAND)],
            redemption,
        )?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

fn redemption_of(connection: &Connection, gift: GiftKey, id: RedemptionId) -> Result<Option<Redemption>, StoreError> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {REDEMPTION} FROM redemptions r
             WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 AND redemption_id = ?4"
        ))?
        .query_row(params![gift.account_id.0, Column(gift.order), gift.position, Column(id)], redemption)
        .optional()?;
    Ok(found)
}

/// Reserves a part of a gift, once for an id.
pub(super) fn reserve(group: &Group<'_>, command: Reserve) -> Result<Reserved, StoreError> {
    let gift_key = command.gift;
    if let Some(known) = redemption_of(group.connection(), gift_key, command.id)? {
        return Ok(Reserved::Known(known));
    }
    let Some((gift, order)) = gift_and_order(group.connection(), gift_key)? else {
        return Ok(Reserved::Refused(NotRedeemable::Unknown));
    };
    let at = kept(group.existing_account(gift_key.account_id)?.clock.time(command.now));
    if let Err(why) = gift.may_reserve(order.card_type, order.status, command.link_version, command.cost, at) {
        return Ok(Reserved::Refused(why));
    }
    group
        .connection()
        .prepare_cached(
            "INSERT INTO redemptions (account_id, order_id, position, redemption_id, product_id, product_name, currency,
                face, cost, state, reserved_at, ask_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'RESERVED', ?10, ?11)",
        )?
        .execute(params![
            gift_key.account_id.0,
            Column(gift_key.order),
            gift_key.position,
            Column(command.id),
            command.product_id,
            command.product_name,
            command.face.currency.code(),
            command.face.minor,
            command.cost,
            Column(at),
            Column(ask_again_at(command.now, 0))
        ])?;
    group
        .connection()
        .prepare_cached(
            "UPDATE gifts SET reserved = reserved + ?4 WHERE account_id = ?1 AND order_id = ?2 AND position = ?3",
        )?
        .execute(params![gift_key.account_id.0, Column(gift_key.order), gift_key.position, command.cost])?;
    Ok(Reserved::New(Redemption {
        id: command.id,
        product_id: command.product_id,
        product_name: command.product_name,
        face: command.face,
        cost: command.cost,
        state: RedemptionState::Reserved,
        code: None,
        asked_again: 0,
        reserved_at: at,
        settled_at: None,
    }))
}

/// Settles a reserved redemption, once.
pub(super) fn settle_redemption(
    group: &mut Group<'_>,
    gift_key: GiftKey,
    id: RedemptionId,
    supplied: Supplied,
    now: Timestamp,
    entropy: u128,
) -> Result<Option<Redemption>, StoreError> {
    let Some(mut redemption) = redemption_of(group.connection(), gift_key, id)? else { return Ok(None) };
    if redemption.state != RedemptionState::Reserved {
        if redemption.state == RedemptionState::Released && matches!(supplied, Supplied::Code(_)) {
            codes::put_back(group, id)?;
        }
        return Ok(Some(redemption));
    }
    let (mut gift, order) = gift_and_order(group.connection(), gift_key)?
        .ok_or_else(|| broken(format!("a redemption of no gift, {} of {}", gift_key.position, gift_key.order)))?;
    let clock = group.existing_account(gift_key.account_id)?.clock;
    let at = kept(clock.time(now));
    redemption.settled_at = Some(at);
    match supplied {
        Supplied::Code(code) => {
            redemption.state = RedemptionState::Done;
            redemption.code = Some(code);
            gift.redeem_reserved(redemption.cost, at);
            write_redeemed(group, gift_key, &gift)?;
            record(group, gift_key, at, &NewEvent::redeemed(&redemption.product_name, redemption.face))?;
        }
        Supplied::Refused => {
            redemption.state = RedemptionState::Released;
            let is_over = gift.release_reserved(redemption.cost, at);
            // It may have turned while all of it was held: what is open again has to expire all the same.
            let wake_at = gift.expires_at.map(|expires_at| Column(clock.node_time(expires_at)));
            write_released(group, gift_key, &gift, wake_at)?;
            if is_over {
                let expiry = gift.expire(order.refund_option);
                write_expiry(group, gift_key, expiry, at)?;
                if expiry.refund > 0 {
                    post_refund(group, gift_key.account_id, order.order_id, expiry.refund, at, entropy)?;
                }
            }
        }
    }
    write_settled(group, gift_key, &redemption)?;
    Ok(Some(redemption))
}

fn write_redeemed(group: &Group<'_>, key: GiftKey, gift: &Gift) -> Result<(), StoreError> {
    group
        .connection()
        .prepare_cached(
            "UPDATE gifts SET redeemed = ?4, reserved = ?5, redemption_status = ?6, redeemed_at = ?7,
                wake_at = CASE WHEN ?8 THEN NULL ELSE wake_at END
             WHERE account_id = ?1 AND order_id = ?2 AND position = ?3",
        )?
        .execute(params![
            key.account_id.0,
            Column(key.order),
            key.position,
            gift.redeemed,
            gift.reserved,
            name(gift.redemption_status),
            gift.redeemed_at.map(Column),
            gift.redemption_status == RedemptionStatus::Redeemed
        ])?;
    if gift.redemption_status == RedemptionStatus::Redeemed {
        drop_mail(group, key, MailKind::Reminder)?;
    }
    Ok(())
}

fn write_released(
    group: &Group<'_>,
    key: GiftKey,
    gift: &Gift,
    wake_at: Option<Column<Timestamp>>,
) -> Result<(), StoreError> {
    group
        .connection()
        .prepare_cached(
            "UPDATE gifts SET reserved = ?4, wake_at = COALESCE(wake_at, ?5)
             WHERE account_id = ?1 AND order_id = ?2 AND position = ?3",
        )?
        .execute(params![key.account_id.0, Column(key.order), key.position, gift.reserved, wake_at])?;
    Ok(())
}

fn write_settled(group: &Group<'_>, gift: GiftKey, redemption: &Redemption) -> Result<(), StoreError> {
    group
        .connection()
        .prepare_cached(
            "UPDATE redemptions SET state = ?5, code = ?6, key_id = ?7, settled_at = ?8, ask_at = NULL
             WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 AND redemption_id = ?4",
        )?
        .execute(params![
            gift.account_id.0,
            Column(gift.order),
            gift.position,
            Column(redemption.id),
            name(redemption.state),
            redemption.code.as_ref().map(|code| &code.bytes),
            redemption.code.as_ref().map(|code| &code.key_id),
            redemption.settled_at.map(Column)
        ])?;
    Ok(())
}

/// Takes reserved redemptions whose supplier is to be asked again, oldest first.
pub(super) fn claim_redemptions(group: &Group<'_>, now: Timestamp, limit: u32) -> Result<Vec<AskAgain>, StoreError> {
    let mut due: Vec<AskAgain> = group
        .connection()
        .prepare_cached(&format!(
            "SELECT {REDEMPTION}, r.account_id, r.order_id, r.position, a.environment
             FROM redemptions r INDEXED BY redemptions_by_ask_at CROSS JOIN accounts a USING (account_id)
             WHERE r.ask_at <= ?1 ORDER BY r.ask_at LIMIT ?2"
        ))?
        .query_map(params![Column(now), limit], |row| {
            let gift = GiftKey {
                account_id: AccountId(row.get(REDEMPTION_COLUMNS)?),
                order: row.get::<_, Column<TimeId>>(REDEMPTION_COLUMNS + 1)?.0,
                position: row.get(REDEMPTION_COLUMNS + 2)?,
            };
            let environment = row.get::<_, Named<_>>(REDEMPTION_COLUMNS + 3)?.0;
            Ok(AskAgain { gift, environment, redemption: redemption(row)? })
        })?
        .collect::<Result<_, _>>()?;
    for AskAgain { gift, redemption, .. } in &mut due {
        redemption.asked_again = redemption.asked_again.saturating_add(1);
        group
            .connection()
            .prepare_cached(
                "UPDATE redemptions SET asked_again = ?5, ask_at = ?6
                 WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 AND redemption_id = ?4",
            )?
            .execute(params![
                gift.account_id.0,
                Column(gift.order),
                gift.position,
                Column(redemption.id),
                redemption.asked_again,
                Column(ask_again_at(now, redemption.asked_again))
            ])?;
    }
    Ok(due)
}

/// Production's redemptions whose supplier's answer isn't known.
pub(super) fn unanswered(connection: &Connection) -> Result<Unanswered, StoreError> {
    let (redemptions, since): (i64, Option<Column<Timestamp>>) = connection
        .prepare_cached(
            "SELECT COUNT(*), MIN(r.reserved_at)
             FROM redemptions r INDEXED BY redemptions_by_ask_at CROSS JOIN accounts a USING (account_id)
             WHERE r.ask_at IS NOT NULL AND a.environment = 'PRODUCTION'",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Unanswered { redemptions: unsigned(redemptions)?, since: since.map(|at| at.0) })
}

/// A row of [`REDEMPTION`].
fn redemption(row: &Row<'_>) -> rusqlite::Result<Redemption> {
    let code = row.get::<_, Option<Vec<u8>>>(7)?.zip(row.get(8)?).map(|(bytes, key_id)| Sealed { key_id, bytes });
    Ok(Redemption {
        id: row.get::<_, Column<RedemptionId>>(0)?.0,
        product_id: row.get(1)?,
        product_name: row.get(2)?,
        face: Money::new(row.get(4)?, row.get::<_, Column<Currency>>(3)?.0),
        cost: row.get(5)?,
        state: row.get::<_, Named<_>>(6)?.0,
        code,
        asked_again: row.get(9)?,
        reserved_at: row.get::<_, Column<_>>(10)?.0,
        settled_at: instant(row, 11)?,
    })
}

#[cfg(test)]
mod tests {
    use giftd_domain::gifts::Reminders;
    use jiff::SignedDuration;

    use super::*;
    use crate::sqlite::example::{at, database, done, in_group, place, sandbox, send_all};
    use crate::sqlite::turn::turn_gifts;
    use crate::{Mails, Work};

    #[test]
    fn what_is_released_expires_also_where_the_node_that_releases_it_is_behind() {
        let connection = database();
        let account = sandbox(&connection);
        let end = at(0) + SignedDuration::from_hours(24 * 30);
        let turned = in_group(&connection, |group| {
            let order = place(group, account, "order", 1, at(0)).time;
            send_all(group, Mails::All, at(0));
            let gift = GiftKey { account_id: account, order, position: 1 };
            let (id, face) = (RedemptionId(7), Money::usd(1_000));
            let (product_id, product_name) = ("10001".to_owned(), "Card".to_owned());
            let command =
                Reserve { gift, link_version: 1, id, product_id, product_name, face, cost: 1_000, now: at(1) };
            assert!(matches!(done(group, |group| reserve(group, command)), Reserved::New(_)));
            let turn = |group: &mut Group<'_>| {
                done(group, |group| turn_gifts(group, Work::Everyone, end, &Reminders::default(), 1))
            };
            let resting = turn(group);
            assert_eq!((resting.gifts, resting.expired), (1, 0), "all of it is held");
            let second = SignedDuration::from_secs(1);
            let released = done(group, |group| settle_redemption(group, gift, id, Supplied::Refused, end - second, 1));
            assert_eq!(released.map(|released| released.state), Some(RedemptionState::Released));
            turn(group)
        });
        assert_eq!((turned.expired, turned.refunded), (1, 700));
    }
}
