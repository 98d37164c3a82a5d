//! `giftd order`

use clap::Subcommand;
use giftd_domain::ids::OrderId;
use giftd_domain::money::Money;

use super::Context;
use super::output::{Failure, Output, table};
use crate::api::orders::shape::OrderBody;

#[derive(Subcommand)]
pub enum Order {
    /// Show an order with all its recipients
    #[command(after_help = "Example:\n  giftd order show OT01KAPBQBY0000000000000000A")]
    Show {
        /// The order's id
        order_id: String,
    },
}

impl Order {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        let Self::Show { order_id } = self;
        let none = || Failure::new("ORDER_NOT_FOUND", format!("there is no order {order_id:?}"));
        let id: OrderId = order_id.parse().map_err(|_| none())?;
        let store = context.store().await?;
        let account_id = store.account_of_order(id).await?.ok_or_else(none)?;
        let account = store.account(account_id).await?.ok_or_else(none)?;
        let order = store.order(account_id, id).await?.ok_or_else(none)?;
        let summary = &order.summary;
        let status: &str = summary.status.into();
        let environment: &str = account.environment.into();
        let gifts = order.gifts.iter().map(|gift| {
            let delivery: &str = gift.delivery_status.into();
            [
                gift.position.to_string(),
                gift.recipient.email.clone().unwrap_or_default(),
                Money::new(gift.amount, summary.total_amount.currency).to_string(),
                delivery.to_owned(),
                gift.delivery_attempts.to_string(),
                gift.delivery_error.clone().unwrap_or_default(),
            ]
        });
        let text = format!(
            "{id}: {status}, {} × {}, {} {} ({} USD), placed by {} of organization {} ({environment}) at {:.3}, due {:.3}\n{}",
            summary.recipient_count,
            summary.card_name,
            summary.total_amount,
            summary.total_amount.currency,
            Money::usd(summary.total_cost),
            summary.creator,
            account.organization_id,
            summary.created_at(),
            summary.send_at(),
            table(["#", "EMAIL", "AMOUNT", "DELIVERY", "ATTEMPTS", "LAST FAILURE"], gifts)
        );
        // Without reward links: with one anyone can redeem.
        Output::new(&OrderBody::new(order, account.environment, None), text)
    }
}
