//! A gift for its recipient's page.

use giftd_domain::gifts::redemption::GiftAtHand;
use giftd_domain::ids::GiftKey;
use rusqlite::Connection;

use super::error::broken;
use super::group::read_account;
use super::orders::gift_and_order;
use super::redeem::redemptions;
use super::templates::content_of;
use crate::StoreError;

/// All that the page needs.
pub(super) fn gift_at_hand(connection: &Connection, key: GiftKey) -> Result<Option<GiftAtHand>, StoreError> {
    let Some((gift, mut order)) = gift_and_order(connection, key)? else { return Ok(None) };
    let setting = &mut order.email_setting;
    if setting.message.is_none() {
        let template = content_of(connection, key.account_id, setting.template_id)?;
        setting.message = template.and_then(|template| template.message);
    }
    let account = read_account(connection, key.account_id)?
        .ok_or_else(|| broken(format!("an order of no account, {}", key.account_id)))?;
    let organization = connection
        .prepare_cached("SELECT name FROM organizations WHERE organization_id = ?1")?
        .query_row([account.organization_id.0], |row| row.get(0))?;
    Ok(Some(GiftAtHand {
        account_id: key.account_id,
        environment: account.environment,
        clock: account.clock,
        organization_id: account.organization_id,
        organization,
        order,
        gift,
        redemptions: redemptions(connection, key)?,
    }))
}
