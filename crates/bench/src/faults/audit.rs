//! After a fault: what is in the database and in the mailboxes, beside what was acknowledged.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use giftd_domain::gifts::DeliveryStatus;
use giftd_domain::history::{OrderFilter, PageRequest};
use giftd_domain::ids::{AccountId, OrderId};
use giftd_store::Store;
use tokio::task::JoinSet;

use super::clients::{Order, Told};
use crate::shop::{self, Shop};
use crate::smtp_sink::Taken;

/// Orders that are looked at by one task.
const CHUNK: usize = 500;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// Orders, and gifts of theirs, that were acknowledged and aren't in the database, or weren't mailed.
    pub lost: u64,
    /// Orders and mails that are there twice: more orders than keys, other mails than one for each send.
    pub doubled: u64,
    /// Mails that were taken, copies included.
    pub mails: u64,
    /// Copies beyond the first, with the same `Message-ID`.
    pub twice: u64,
    /// Whether ledger, balances and counts agree with each other and with what was acknowledged.
    pub is_balanced: bool,
    /// All of the above that isn't right, in sentences.
    pub failures: Vec<String>,
}

/// Compares everything. All mail is delivered, and nobody else places orders.
pub async fn audit(store: &Arc<dyn Store>, shop: &Shop, told: &Told, taken: &Taken) -> Result<Audit> {
    let mut audit = Audit { mails: taken.count(), twice: taken.twice(), ..Audit::default() };
    audit.doubled += told.doubled.len() as u64;
    audit.failures.extend(told.doubled.iter().chain(&told.wrong).cloned());
    audit.failures.extend(told.unknown.iter().map(|key| format!("{key}: nothing could be learned of it")));
    let mut looking = JoinSet::new();
    for orders in told.orders.chunks(CHUNK) {
        let (store, account, orders) = (store.clone(), shop.account_id, orders.to_vec());
        looking.spawn(async move { look(store.as_ref(), account, &orders).await });
    }
    while let Some(found) = looking.join_next().await {
        let (lost, failures) = found??;
        audit.lost += lost;
        audit.failures.extend(failures);
    }
    audit.mails_of(told, taken);
    audit.books(store.as_ref(), shop, told).await?;
    Ok(audit)
}

/// How many of `orders` and their gifts are missing, in figures and sentences.
async fn look(store: &dyn Store, account: AccountId, orders: &[Order]) -> Result<(u64, Vec<String>)> {
    let (mut lost, mut failures) = (0, Vec::new());
    for order in orders {
        let known = store.order_by_key(account, &order.key).await?;
        let found = known.map(|known| known.order_id.to_string());
        if found.as_ref() != Some(&order.order_id) {
            lost += 1;
            failures.push(format!("{} was acknowledged as {}, and is {found:?}", order.key, order.order_id));
            continue;
        }
        if order.is_mailed {
            let order_id: OrderId = order.order_id.parse().ok().context("an order's id that is none")?;
            let gifts = store.order(account, order_id).await?.map(|order| order.gifts).unwrap_or_default();
            let sent = gifts.iter().filter(|gift| gift.delivery_status == DeliveryStatus::Sent).count() as u64;
            if sent != order.gifts {
                lost += order.gifts.abs_diff(sent);
                failures.push(format!("{}: {sent} of {} gifts are SENT", order.order_id, order.gifts));
            }
        }
    }
    Ok((lost, failures))
}

impl Audit {
    /// Each gift was mailed with one `Message-ID`, and nothing else was.
    fn mails_of(&mut self, told: &Told, taken: &Taken) {
        let mut mails: HashMap<_, _> = taken.recipients().collect();
        for order in told.orders.iter().filter(|order| order.is_mailed) {
            for email in (1..=order.gifts).map(|gift| order.email(gift)) {
                match mails.remove(email.as_str()).map_or(0, |mails| mails.len()) {
                    0 => {
                        self.lost += 1;
                        self.failures.push(format!("{email} got no mail"));
                    }
                    1 => {}
                    more => {
                        self.doubled += more as u64 - 1;
                        self.failures.push(format!("{email} got {more} different mails for one gift"));
                    }
                }
            }
        }
        self.failures.extend(mails.keys().map(|email| format!("{email} got a mail for no order")));
        self.doubled += mails.len() as u64;
    }

    async fn books(&mut self, store: &dyn Store, shop: &Shop, told: &Told) -> Result<()> {
        let (books, failures) = (store.verify_ledger().await?, self.failures.len());
        self.failures.extend(books.differences);
        let first_page = PageRequest { page: 1, page_size: 1 };
        let listed = store.orders_page(shop.account_id, &OrderFilter::default(), first_page).await?.total;
        let placed = told.orders.len() as u64;
        // The history's counts were compared with the rows just now.
        if listed != placed {
            self.doubled += listed.saturating_sub(placed);
            self.failures.push(format!("{placed} keys have {listed} orders"));
        }
        let cents = |orders: &mut dyn Iterator<Item = &Order>| {
            anyhow::Ok(i64::try_from(orders.map(|order| order.gifts).sum::<u64>())? * shop::GIFT)
        };
        let spent = cents(&mut told.orders.iter())?;
        let pending = cents(&mut told.orders.iter().filter(|order| !order.is_mailed))?;
        let balances = store.account(shop.account_id).await?.context("the account is gone")?.balances;
        if (balances.available, balances.pending) != (shop::CREDIT - spent, pending) {
            self.failures.push(format!(
                "{spent} cents were spent, {pending} of them for what is scheduled; but {} are available and {} pending",
                balances.available, balances.pending
            ));
        }
        self.is_balanced = self.failures.len() == failures;
        Ok(())
    }
}
