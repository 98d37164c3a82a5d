//! A gift for its recipient's page.

use giftd_domain::gifts::redemption::GiftAtHand;
use giftd_domain::ids::{GiftKey, OrganizationId};

use super::accounts;
use super::error::Failure;
use super::gifts::{self, gift};
use super::operation::Connection;
use super::orders::{SUMMARY, summary};
use super::redeem;
use super::rows::{Columns as _, Parameters, uuid};

/// All that the page needs. Inside a snapshot.
pub(super) async fn gift_at_hand(connection: &Connection, key: GiftKey) -> Result<Option<GiftAtHand>, Failure> {
    let of_order = connection
        .prepare_cached(&format!(
            "SELECT {SUMMARY}, a.environment, {clock}, a.organization_id, n.name AS organization,
                (SELECT t.message FROM templates t
                    WHERE t.account_id = o.account_id AND t.template_id = o.template_id) AS template_message
             FROM orders o
                JOIN order_kinds k ON k.account_id = o.account_id AND k.kind_id = o.kind_id
                JOIN accounts a ON a.account_id = o.account_id
                JOIN organizations n ON n.organization_id = a.organization_id
             WHERE o.account_id = $1 AND o.order_id = $2",
            clock = accounts::CLOCK,
        ))
        .await?;
    let of_gift = connection
        .prepare_cached(&format!(
            "SELECT {} FROM gifts WHERE account_id = $1 AND order_id = $2 AND position = $3",
            gifts::COLUMNS
        ))
        .await?;
    let (account, order, position) = (key.account_id.0, uuid(key.order), i64::from(key.position));
    let wanted: Parameters<'_> = vec![&account, &order, &position];
    let (of_order, of_gift, redemptions) = tokio::join!(
        biased;
        connection.query_opt(&of_order, &wanted[..2]),
        connection.query_opt(&of_gift, &wanted),
        redeem::redemptions(connection, key),
    );
    let (Some(row), Some(of_gift)) = (of_order?, of_gift?) else { return Ok(None) };
    let mut order = summary(&row)?;
    if order.email_setting.message.is_none() {
        order.email_setting.message = row.value("template_message")?;
    }
    Ok(Some(GiftAtHand {
        account_id: key.account_id,
        environment: row.named("environment")?,
        clock: accounts::clock(&row)?,
        organization_id: OrganizationId(row.value("organization_id")?),
        organization: row.value("organization")?,
        order,
        gift: gift(&of_gift)?,
        redemptions: redemptions?,
    }))
}
