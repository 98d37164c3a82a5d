//! Gifts whose time is long over: placed and sent months ago, the way gifts are placed and sent.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use giftd::clock::Clock;
use giftd_domain::Timestamp;
use giftd_domain::gifts::{ClaimedDelivery, DeliveryOutcome, Recipient, Reminders, Settlement};
use giftd_domain::ids::{AccountId, TemplateId};
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::place::{NewGift, PlaceOrder};
use giftd_domain::orders::{CardType, EmailSetting, OrderType};
use giftd_domain::schedule::SendTiming;
use giftd_store::{Mails, Placed, SettleDelivery, Store};
use indicatif::ProgressBar;
use jiff::SignedDuration;
use tokio::task::JoinSet;

use crate::databases::{Database, connect};
use crate::shop::{self, GIFT, PRODUCT, Shop};

/// How long ago they were sent: more than any gift lives.
const SENT_DAYS_AGO: i64 = 200;
/// Orders that wait for an answer at once.
const IN_FLIGHT: usize = 256;

/// A backlog of gifts that are due to expire.
#[derive(Clone, Copy)]
pub struct Backlog {
    /// How many, a multiple of `recipients`.
    pub gifts: u64,
    /// Gifts of each order.
    pub recipients: u64,
    /// Whether a part of them returns.
    pub refund_option: bool,
}

impl Backlog {
    /// Orders that they belong to.
    pub fn orders(&self) -> u64 {
        self.gifts / self.recipients
    }

    /// Writes it into an empty database, which nobody has open afterwards. Returns whose gifts they are.
    pub async fn write(&self, database: &Database, clock: &Clock, progress: &ProgressBar) -> Result<Shop> {
        let sent = clock.now() - SignedDuration::from_hours(24 * SENT_DAYS_AGO);
        let store = giftd_store::open(&database.url, limits::GROUP_ORDERS).await?;
        let shop = shop::open(store.as_ref(), sent - SignedDuration::from_hours(1), clock).await?;
        let mut placing = JoinSet::new();
        for number in 0..self.orders() {
            if placing.len() >= IN_FLIGHT {
                placed(placing.join_next().await.context("an order is in flight")??)?;
            }
            let (store, order) = (store.clone(), self.order(number, shop.account_id, sent, clock.entropy()));
            placing.spawn(async move { store.place_order(order).await });
        }
        while let Some(answer) = placing.join_next().await {
            placed(answer?)?;
        }
        deliver(&store, sent, clock, progress).await?;
        drop(store);
        if !database.url.starts_with("sqlite:") {
            // What autovacuum would do in the months that have passed.
            connect(&database.url).await?.batch_execute("VACUUM ANALYZE").await?;
        }
        Ok(shop)
    }

    fn order(&self, number: u64, account_id: AccountId, now: Timestamp, entropy: u128) -> PlaceOrder {
        let total = i64::try_from(self.recipients).unwrap_or(i64::MAX).saturating_mul(GIFT);
        let gift = |number| NewGift {
            recipient: Recipient {
                email: Some(shop::recipient(number)),
                first_name: Some("Alice".to_owned()),
                last_name: Some("Smith".to_owned()),
                company: None,
                department: None,
            },
            amount: GIFT,
            cost: GIFT,
        };
        PlaceOrder {
            account_id,
            idempotency_key: format!("expire-{number:012}"),
            fingerprint: [0; 32],
            order_type: OrderType::OneTime,
            card_type: CardType::BrandedCard,
            product_id: PRODUCT.to_owned(),
            card_name: "Sakura Books US".to_owned(),
            creator: "Payroll".to_owned(),
            timing: SendTiming::Immediate,
            email_setting: EmailSetting {
                sender_name: "Acme Corp".to_owned(),
                subject: "A gift for you!".to_owned(),
                message: None,
                template_id: TemplateId(limits::FIRST_TEMPLATE_ID),
            },
            refund_option: self.refund_option,
            total_amount: Money::usd(total),
            total_cost: total,
            fx_rate: None,
            gifts: (1..=self.recipients).map(gift).collect(),
            now,
            entropy,
        }
    }
}

fn placed(answer: Result<Placed, giftd_store::StoreError>) -> Result<()> {
    match answer? {
        Placed::New(_) => Ok(()),
        other => bail!("an order isn't placed: {other:?}"),
    }
}

/// Claims and settles everything that is due, at `sent`.
async fn deliver(store: &Arc<dyn Store>, sent: Timestamp, clock: &Clock, progress: &ProgressBar) -> Result<()> {
    let lease = SignedDuration::from_hours(1);
    let limit = u32::try_from(limits::SETTLE_DELIVERIES)?;
    loop {
        let claimed = store.claim_deliveries(Mails::All, sent, lease, limit).await?;
        if claimed.is_empty() {
            return Ok(());
        }
        let count = u64::try_from(claimed.len())?;
        let settlements = claimed.iter().map(|delivery| settlement(delivery, sent)).collect();
        // With no reminders: the next that happens to them is that they expire.
        let settled = store.settle_deliveries(settlements, &Reminders::default(), sent, clock.entropy()).await?;
        if settled.settled != count {
            bail!("{count} deliveries were claimed, {} could be settled", settled.settled);
        }
        progress.inc(count);
    }
}

fn settlement(delivery: &ClaimedDelivery, at: Timestamp) -> SettleDelivery {
    let ClaimedDelivery { account_id, gift, kind, claim, .. } = *delivery;
    let settlement = Settlement { account_id, gift, kind, claim, outcome: DeliveryOutcome::Sent { at } };
    SettleDelivery { settlement, retry_at: at }
}
