//! Redeeming gifts: reserve, settle, ask again.

use giftd_domain::Timestamp;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::gifts::redemption::{
    AskAgain, NotRedeemable, Redemption, RedemptionId, RedemptionState, Reserve, Reserved, Sealed, Supplied,
    ask_again_at,
};
use giftd_domain::gifts::{MailKind, RedemptionStatus};
use giftd_domain::ids::{AccountId, GiftKey};
use giftd_domain::limits;
use giftd_domain::money::Money;
use tokio_postgres::Row;
use uuid::Uuid;

use super::accounts::{self, Held};
use super::batch::{Batch, parameters};
use super::codes;
use super::error::{Failure, broken};
use super::events::NewEvents;
use super::gifts::{self, Keys};
use super::operation::Connection;
use super::rows::{Columns as _, kept, micros, name, signed, uuid};
use super::turn::{Refunds, add_refunds, expire};
use crate::Unanswered;

/// The columns that [`redemption`] reads.
const COLUMNS: &str = "redemption_id, product_id, product_name, currency, face, cost, state, code, key_id, asked_again,
    reserved_at, settled_at";

fn id_column(id: RedemptionId) -> Uuid {
    Uuid::from_u128(id.0)
}

/// A row of [`COLUMNS`].
fn redemption(row: &Row) -> Result<Redemption, Failure> {
    let code: Option<Vec<u8>> = row.value("code")?;
    let code = code.zip(row.value("key_id")?).map(|(bytes, key_id)| Sealed { key_id, bytes });
    Ok(Redemption {
        id: RedemptionId(row.value::<Uuid>("redemption_id")?.as_u128()),
        product_id: row.value("product_id")?,
        product_name: row.value("product_name")?,
        face: Money::new(row.value("face")?, row.currency("currency")?),
        cost: row.value("cost")?,
        state: row.named("state")?,
        code,
        asked_again: row.count("asked_again")?,
        reserved_at: row.instant("reserved_at")?,
        settled_at: row.optional_instant("settled_at")?,
    })
}

/// A gift's redemptions, oldest first; of released ones the last that were.
pub(super) async fn redemptions(connection: &Connection, gift: GiftKey) -> Result<Vec<Redemption>, Failure> {
    let statement = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM (
                SELECT * FROM redemptions
                WHERE account_id = $1 AND order_id = $2 AND position = $3 AND state = 'RESERVED'
                UNION ALL
                SELECT * FROM redemptions
                WHERE account_id = $1 AND order_id = $2 AND position = $3 AND state = 'DONE'
                UNION ALL
                SELECT * FROM (SELECT * FROM redemptions
                    WHERE account_id = $1 AND order_id = $2 AND position = $3 AND state = 'RELEASED'
                    ORDER BY settled_at DESC LIMIT $4) released) r
             ORDER BY reserved_at, redemption_id"
        ))
        .await?;
    let (order, position, released) = (uuid(gift.order), i64::from(gift.position), signed(limits::RELEASED_AT_HAND)?);
    let rows = connection.query(&statement, &[&gift.account_id.0, &order, &position, &released]).await?;
    rows.iter().map(redemption).collect()
}

/// Holds a redemption's row until the transaction ends, which holds its gift.
async fn hold_redemption(
    connection: &Connection,
    gift: GiftKey,
    id: RedemptionId,
) -> Result<Option<Redemption>, Failure> {
    let statement = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM redemptions
             WHERE account_id = $1 AND order_id = $2 AND position = $3 AND redemption_id = $4 FOR NO KEY UPDATE"
        ))
        .await?;
    let (order, position) = (uuid(gift.order), i64::from(gift.position));
    let found = connection.query_opt(&statement, &[&gift.account_id.0, &order, &position, &id_column(id)]).await?;
    found.as_ref().map(redemption).transpose()
}

/// Reserves a part of a gift, once for an id. Inside a transaction.
pub(super) async fn reserve(connection: &Connection, command: &Reserve) -> Result<Reserved, Failure> {
    let key = command.gift;
    let Some(mut of) = gifts::hold(connection, key).await? else {
        return Ok(Reserved::Refused(NotRedeemable::Unknown));
    };
    if let Some(known) = hold_redemption(connection, key, command.id).await? {
        return Ok(Reserved::Known(known));
    }
    let at = kept(of.clock.time(command.now))?;
    let gift = &mut of.held.gift;
    if let Err(why) = gift.may_reserve(of.card_type, of.order_status, command.link_version, command.cost, at) {
        return Ok(Reserved::Refused(why));
    }
    gift.reserved += command.cost;
    let mut batch = Batch::new(connection);
    batch
        .add(
            "INSERT INTO redemptions (account_id, order_id, position, redemption_id, product_id, product_name, currency,
                face, cost, state, reserved_at, ask_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'RESERVED', $10, $11)",
            parameters![
                key.account_id.0,
                uuid(key.order),
                i64::from(key.position),
                id_column(command.id),
                command.product_id.as_str(),
                command.product_name.as_str(),
                command.face.currency.code(),
                command.face.minor,
                command.cost,
                micros(at),
                micros(ask_again_at(command.now, 0)),
            ],
        )
        .await?;
    gifts::write_use(&mut batch, &[of.held]).await?;
    batch.send().await?;
    Ok(Reserved::New(Redemption {
        id: command.id,
        product_id: command.product_id.clone(),
        product_name: command.product_name.clone(),
        face: command.face,
        cost: command.cost,
        state: RedemptionState::Reserved,
        code: None,
        asked_again: 0,
        reserved_at: at,
        settled_at: None,
    }))
}

/// Settles a reserved redemption, once. Inside a transaction.
pub(super) async fn settle_redemption(
    connection: &Connection,
    key: GiftKey,
    id: RedemptionId,
    supplied: &Supplied,
    now: Timestamp,
    entropy: u128,
) -> Result<Option<Redemption>, Failure> {
    // What is refused may have to expire, and money to return: so the account comes first.
    let mut accounts = match supplied {
        Supplied::Code(_) => Held::new(),
        Supplied::Refused => accounts::hold(connection, &[key.account_id.0]).await?,
    };
    let Some(mut of) = gifts::hold(connection, key).await? else { return Ok(None) };
    let Some(mut redemption) = hold_redemption(connection, key, id).await? else { return Ok(None) };
    if redemption.state != RedemptionState::Reserved {
        if redemption.state == RedemptionState::Released && matches!(supplied, Supplied::Code(_)) {
            codes::put_back(connection, id).await?;
        }
        return Ok(Some(redemption));
    }
    let at = kept(of.clock.time(now))?;
    let (mut events, mut refunds) = (NewEvents::default(), Refunds::new());
    redemption.settled_at = Some(at);
    match supplied {
        Supplied::Code(code) => {
            redemption.state = RedemptionState::Done;
            redemption.code = Some(code.clone());
            of.held.gift.redeem_reserved(redemption.cost, at);
            if of.held.gift.redemption_status == RedemptionStatus::Redeemed {
                of.held.wake_at = None;
            }
            let number = of.held.next_event();
            events.add(key, number, at, NewEvent::redeemed(&redemption.product_name, redemption.face));
        }
        Supplied::Refused => {
            redemption.state = RedemptionState::Released;
            if of.held.gift.release_reserved(redemption.cost, at) {
                let expiry = of.held.gift.expire(of.refund_option);
                expire(&mut of.held, expiry, at, &mut events);
                refunds.insert((key.account_id, at, of.order_id), expiry.refund);
            } else if of.held.wake_at.is_none() {
                // It has turned while all of it was held: what is open again has to expire all the same.
                of.held.wake_at = of.held.gift.expires_at.map(|end| of.clock.node_time(end));
            }
        }
    }
    let mut batch = Batch::new(connection);
    if of.held.gift.redemption_status == RedemptionStatus::Redeemed {
        // Nobody is reminded of what is used up.
        let sql = "DELETE FROM mails WHERE account_id = $1 AND order_id = $2 AND position = $3 AND kind = $4";
        let (order, position) = (uuid(key.order), i64::from(key.position));
        batch.add(sql, parameters![key.account_id.0, order, position, name(MailKind::Reminder)]).await?;
    }
    gifts::write_use(&mut batch, &[of.held]).await?;
    events.write(&mut batch).await?;
    batch
        .add(
            "UPDATE redemptions SET state = $5, code = $6, key_id = $7, settled_at = $8, ask_at = NULL
             WHERE account_id = $1 AND order_id = $2 AND position = $3 AND redemption_id = $4",
            parameters![
                key.account_id.0,
                uuid(key.order),
                i64::from(key.position),
                id_column(id),
                name(redemption.state),
                redemption.code.as_ref().map(|code| code.bytes.clone()),
                redemption.code.as_ref().map(|code| code.key_id.clone()),
                micros(at),
            ],
        )
        .await?;
    add_refunds(&mut batch, refunds, &mut accounts, entropy).await?;
    batch.send().await?;
    Ok(Some(redemption))
}

/// Production's redemptions whose supplier's answer isn't known.
pub(super) async fn unanswered(connection: &Connection) -> Result<Unanswered, Failure> {
    let statement = connection
        .prepare_cached(
            "SELECT COUNT(*) AS redemptions, MIN(reserved_at) AS since FROM redemptions r JOIN accounts a USING (account_id)
             WHERE r.ask_at IS NOT NULL AND a.environment = 'PRODUCTION'",
        )
        .await?;
    let row = connection.query_one(&statement, &[]).await?;
    Ok(Unanswered { redemptions: row.count("redemptions")?, since: row.optional_instant("since")? })
}

/// Takes reserved redemptions whose supplier is to be asked again, oldest first. Inside a transaction.
pub(super) async fn claim_redemptions(
    connection: &Connection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<AskAgain>, Failure> {
    let take = connection
        .prepare_cached(&format!(
            "SELECT account_id, order_id, position, {COLUMNS},
                (SELECT environment FROM accounts a WHERE a.account_id = r.account_id) AS environment
             FROM redemptions r WHERE ask_at <= $1 ORDER BY ask_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED"
        ))
        .await?;
    let mut due = Vec::new();
    for row in &connection.query(&take, &[&micros(now), &i64::from(limit)]).await? {
        let gift = GiftKey {
            account_id: AccountId(row.value("account_id")?),
            order: row.id("order_id")?,
            position: row.count("position")?,
        };
        let mut redemption = redemption(row)?;
        redemption.asked_again = redemption.asked_again.saturating_add(1);
        due.push(AskAgain { gift, environment: row.named("environment")?, redemption });
    }
    if due.is_empty() {
        return Ok(due);
    }
    let renew = connection
        .prepare_cached(
            "UPDATE redemptions r SET asked_again = w.asked_again, ask_at = w.ask_at
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::UUID[], $5::BIGINT[], $6::BIGINT[])
                AS w (account_id, order_id, position, redemption_id, asked_again, ask_at)
             WHERE r.account_id = w.account_id AND r.order_id = w.order_id AND r.position = w.position
                AND r.redemption_id = w.redemption_id",
        )
        .await?;
    let Keys { accounts, orders, positions } = due.iter().map(|ask| ask.gift).collect();
    let ids: Vec<Uuid> = due.iter().map(|ask| id_column(ask.redemption.id)).collect();
    let asked: Vec<i64> = due.iter().map(|ask| i64::from(ask.redemption.asked_again)).collect();
    let ask_at: Vec<i64> = due.iter().map(|ask| micros(ask_again_at(now, ask.redemption.asked_again))).collect();
    let renewed = connection.execute(&renew, &[&accounts, &orders, &positions, &ids, &asked, &ask_at]).await?;
    if usize::try_from(renewed) != Ok(due.len()) {
        return Err(broken("a claimed redemption vanished").into());
    }
    Ok(due)
}
