//! A year of orders, written the way orders are: 200 cards, 20 creators, most of them delivered.

use std::sync::Arc;

use anyhow::{Result, bail};
use giftd::clock::Clock;
use giftd_domain::Timestamp;
use giftd_domain::gifts::{ClaimedDelivery, DeliveryOutcome, Recipient, Settlement};
use giftd_domain::ids::{AccountId, TemplateId};
use giftd_domain::limits;
use giftd_domain::money::{Currency, Money};
use giftd_domain::orders::place::{NewGift, PlaceOrder};
use giftd_domain::orders::{CardType, EmailSetting, OrderType};
use giftd_domain::schedule::{Schedule, SendTiming};
use giftd_store::{Mails, Placed, SettleDelivery, Store, StoreError};
use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};
use tokio::task::JoinSet;

use crate::shop::GIFT;

const BRANDS: [&str; 20] = [
    "Sakura", "Nordic", "Atlas", "Bluebird", "Cedar", "Delta", "Ember", "Fjord", "Granite", "Harbor", "Indigo",
    "Juniper", "Kite", "Lumen", "Maple", "Nimbus", "Orchard", "Pebble", "Quartz", "River",
];
const GOODS: [&str; 10] =
    ["Books", "Coffee", "Toys", "Garden", "Music", "Outdoor", "Travel", "Tea", "Sports", "Kitchen"];
const CREATORS: [&str; 20] = [
    "Payroll",
    "People Team",
    "Sales West",
    "Sales East",
    "Support",
    "Research",
    "Marketing",
    "Events",
    "Legal",
    "Finance",
    "Office Lisbon",
    "Office Tokyo",
    "Office Berlin",
    "Office Austin",
    "Referrals",
    "Surveys",
    "Onboarding",
    "Anniversaries",
    "Sweepstakes",
    "Loyalty",
];
/// Cards of these numbers are choice cards, the rest branded.
const CHOICE_FROM: u64 = 150;
/// One of so many orders is scheduled ahead, and so still PENDING.
const SCHEDULED_ONE_IN: u64 = 200;
/// Orders of the card that hardly anybody buys.
const RARE_ORDERS: u64 = 25;
/// Orders that are IN_PROGRESS at the end.
const IN_PROGRESS: usize = 100;
/// Orders that wait for an answer at once; their groups fill, their ids stay close to their time.
const IN_FLIGHT: usize = 1_024;
/// Days that the orders are spread over.
const DAYS: i64 = 365;

/// Found in nearly every name.
pub const KEYWORD_MUCH: &str = "E";
/// Found in the names of a tenth of the orders.
pub const KEYWORD_TENTH: &str = "coffee";
/// Found in 25 orders, however many there are.
pub const KEYWORD_LITTLE: &str = "zephyr umb";
/// Found nowhere.
pub const KEYWORD_NOTHING: &str = "quagga";

/// The idempotency key of an order.
pub fn key(index: u64) -> String {
    format!("history-{index:012}")
}

/// The history to be written.
pub struct Seed {
    /// Whose orders.
    pub account: AccountId,
    /// How many.
    pub orders: u64,
    /// The last is placed now, the first a year before.
    pub now: Timestamp,
}

impl Seed {
    /// Before all of them.
    pub fn begin(now: Timestamp) -> Timestamp {
        now - SignedDuration::from_hours(24 * (DAYS + 1))
    }

    /// Places and delivers them.
    pub async fn write(self, store: &Arc<dyn Store>, clock: &Clock, progress: &ProgressBar) -> Result<()> {
        let mut placing = JoinSet::new();
        for index in 0..self.orders {
            if placing.len() >= IN_FLIGHT {
                placed(placing.join_next().await, progress)?;
            }
            let (store, command) = (store.clone(), self.order(index, clock.entropy()));
            placing.spawn(async move { store.place_order(command).await });
        }
        while let Some(answer) = placing.join_next().await {
            placed(Some(answer), progress)?;
        }
        self.deliver(store, clock, progress).await
    }

    fn order(&self, index: u64, entropy: u128) -> PlaceOrder {
        let (card, creator) = (mixed(index) % 200, mixed(index ^ u64::MAX) % 20);
        let (brand, good) = (BRANDS[pick(card % 20)], GOODS[pick(card / 20)]);
        let is_rare = index.is_multiple_of((self.orders / RARE_ORDERS).max(1));
        let card_name = if is_rare { "Zephyr Umbrellas".to_owned() } else { format!("{brand} {good}") };
        let email = format!("recipient{index}@example.com");
        PlaceOrder {
            account_id: self.account,
            idempotency_key: key(index),
            fingerprint: [0; 32],
            order_type: OrderType::OneTime,
            card_type: if card < CHOICE_FROM { CardType::BrandedCard } else { CardType::ChoiceCard },
            product_id: format!("{}", 10_000 + card),
            card_name,
            creator: CREATORS[pick(creator)].to_owned(),
            timing: if index % SCHEDULED_ONE_IN == 1 { self.ahead() } else { SendTiming::Immediate },
            email_setting: EmailSetting {
                sender_name: "Acme Corp".to_owned(),
                subject: "A gift for you!".to_owned(),
                message: Some("Thank you for your hard work.".to_owned()),
                template_id: TemplateId(limits::FIRST_TEMPLATE_ID),
            },
            refund_option: false,
            total_amount: Money::new(GIFT, Currency::USD),
            total_cost: GIFT,
            fx_rate: None,
            gifts: vec![NewGift {
                recipient: Recipient {
                    email: Some(email),
                    first_name: Some("Alice".to_owned()),
                    last_name: None,
                    company: None,
                    department: None,
                },
                amount: GIFT,
                cost: GIFT,
            }],
            now: self.placed_at(index),
            entropy,
        }
    }

    /// An order of now, scheduled ahead, under another key.
    pub fn ahead_of_now(&self, index: u64, key: String, entropy: u128) -> PlaceOrder {
        let order = self.order(index, entropy);
        PlaceOrder { idempotency_key: key, timing: self.ahead(), now: self.now, ..order }
    }

    fn placed_at(&self, index: u64) -> Timestamp {
        let year = SignedDuration::from_hours(24 * DAYS);
        let part = (index + 1) as f64 / self.orders as f64;
        self.now - year + year.mul_f64(part)
    }

    fn ahead(&self) -> SendTiming {
        let local = TimeZone::UTC.to_datetime(self.now).saturating_add(30.days());
        let send_at = self.now + SignedDuration::from_hours(24 * 30);
        SendTiming::Scheduled(Schedule { local, timezone: "Etc/UTC".to_owned(), send_at })
    }

    /// Claims everything that is due and settles all of it but a few.
    async fn deliver(&self, store: &Arc<dyn Store>, clock: &Clock, progress: &ProgressBar) -> Result<()> {
        let lease = SignedDuration::from_hours(24);
        let mut in_hand: Vec<ClaimedDelivery> = Vec::new();
        loop {
            let claimed = store.claim_deliveries(Mails::All, self.now, lease, limits::CLAIM_DELIVERIES * 4).await?;
            let is_last = claimed.is_empty();
            in_hand.extend(claimed);
            while in_hand.len() >= IN_PROGRESS + limits::SETTLE_DELIVERIES || is_last && in_hand.len() > IN_PROGRESS {
                let most = limits::SETTLE_DELIVERIES.min(in_hand.len() - IN_PROGRESS);
                let sent: Vec<_> = in_hand.drain(..most).map(|delivery| self.sent(&delivery)).collect();
                let count = u64::try_from(sent.len())?;
                let settled = store
                    .settle_deliveries(sent, &giftd_domain::gifts::Reminders::default(), self.now, clock.entropy())
                    .await?;
                if settled.settled != count {
                    bail!("{count} deliveries were claimed, {} could be settled", settled.settled);
                }
                progress.inc(count);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn sent(&self, delivery: &ClaimedDelivery) -> SettleDelivery {
        let settlement = Settlement {
            account_id: delivery.account_id,
            gift: delivery.gift,
            kind: delivery.kind,
            claim: delivery.claim,
            outcome: DeliveryOutcome::Sent { at: self.now },
        };
        SettleDelivery { settlement, retry_at: self.now }
    }
}

type Answer = Result<Result<Placed, StoreError>, tokio::task::JoinError>;

fn placed(answer: Option<Answer>, progress: &ProgressBar) -> Result<()> {
    match answer.transpose()?.transpose()? {
        Some(Placed::New(_)) | None => {
            progress.inc(1);
            Ok(())
        }
        Some(other) => bail!("an order isn't placed: {other:?}"),
    }
}

fn pick(number: u64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

/// Another number, which looks like chance and is the same in each run (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
