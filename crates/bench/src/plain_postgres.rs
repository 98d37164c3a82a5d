//! The plain way on PostgreSQL, as textbooks have it: a transaction for each order over one of 16
//! connections, the debit first, and a round trip for each statement. The same schema, the same
//! durability, no HTTP, and none of the counts that giftd keeps for its history.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use giftd::clock::Clock;
use giftd_domain::history::OrderKind;
use giftd_domain::ids::TimeId;
use giftd_domain::orders::{CardType, OrderType};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::databases::connect;
use crate::load::{Keys, Outcome, Pace};
use crate::shop::{GIFT, Shop};

/// Connections of a usual pool.
pub const CONNECTIONS: u32 = 16;

/// The connections that were measured. Kept until their CPU time is read: PostgreSQL has a process for
/// each, and what a process that ended has used can't be told from the work of others.
pub struct Connections(#[expect(dead_code, reason = "held open, not used")] Vec<Caller>);

/// Places orders of `recipients` gifts straight in the database of `url`, each time in another of `shops`.
pub async fn run(
    url: &str,
    shops: &[Shop],
    recipients: u64,
    pace: Pace,
    clock: &Clock,
) -> Result<(Outcome, Connections)> {
    let setup = connect(url).await?;
    let kind = kind();
    let names: [&'static str; 2] = [kind.order_type.into(), kind.card_type.into()];
    for shop in shops {
        setup
            .execute(
                "INSERT INTO order_kinds (account_id, kind_id, order_type, card_type, card_name, creator)
                 VALUES ($1, 1, $2, $3, $4, $5)",
                &[&shop.account_id.0, &names[0], &names[1], &kind.card_name, &kind.creator],
            )
            .await?;
    }
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        callers.push(Caller::connect(url).await?);
    }
    let (counts_from, until) = pace.from(Instant::now());
    let (shops, mut working) = (Arc::new(shops.to_vec()), JoinSet::new());
    for (first, mut caller) in callers.into_iter().enumerate() {
        let (shops, clock) = (shops.clone(), clock.clone());
        working.spawn(async move {
            let mut outcome = Outcome::empty()?;
            for shop in shops.iter().cycle().skip(first) {
                let sent = Instant::now();
                if sent >= until {
                    break;
                }
                let placed = caller.place(shop, &Keys::TimeOrdered.next(&clock), recipients, &clock).await?;
                if placed {
                    outcome.acknowledge(sent, Instant::now(), counts_from, until);
                } else {
                    *outcome.others.entry("not placed".to_owned()).or_default() += 1;
                }
            }
            anyhow::Ok((outcome, caller))
        });
    }
    let (mut total, mut callers) = (Outcome::empty()?, Vec::new());
    while let Some(ended) = working.join_next().await {
        let (outcome, caller) = ended??;
        total.add(outcome)?;
        callers.push(caller);
    }
    Ok((total, Connections(callers)))
}

fn kind() -> OrderKind {
    OrderKind {
        order_type: OrderType::OneTime,
        card_type: CardType::BrandedCard,
        card_name: "Sakura Books US".to_owned(),
        creator: "Payroll".to_owned(),
    }
}

struct Caller {
    client: Client,
    debit: Statement,
    find_key: Statement,
    insert_order: Statement,
    insert_gift: Statement,
    insert_entry: Statement,
    insert_delivery: Statement,
}

impl Caller {
    async fn connect(url: &str) -> Result<Self> {
        let client = connect(url).await?;
        Ok(Self {
            debit: client
                .prepare(
                    "UPDATE accounts SET available = available - $2, pending = pending + $2
                     WHERE account_id = $1 AND available >= $2 RETURNING available",
                )
                .await?,
            find_key: client
                .prepare("SELECT order_id FROM orders WHERE account_id = $1 AND idempotency_key = $2")
                .await?,
            insert_order: client
                .prepare(
                    "INSERT INTO orders (account_id, order_id, kind_id, status, idempotency_key, fingerprint, product_id,
                        scheduled_at, timezone, send_at, sender_name, subject, message, template_id, refund_option,
                        currency, total_amount, total_cost, recipient_count, open_gifts)
                     VALUES ($1, $2, 1, 'PENDING', $3, $4, '10042', '2026-12-24T09:00:00', 'America/New_York', $5,
                        'Acme Corp', 'A gift for you!', 'Thank you for your hard work.', 12, FALSE, 'USD', $6, $6, $7, $7)",
                )
                .await?,
            insert_gift: client
                .prepare(
                    "INSERT INTO gifts (account_id, order_id, position, email, first_name, last_name, company, department,
                        amount, cost, delivery_status, delivery_attempts, redemption_status)
                     VALUES ($1, $2, $3, $4, 'Alice', 'Smith', 'Acme', 'Engineering', $5, $5, 'PENDING', 0, 'UNREDEEMED')",
                )
                .await?,
            insert_entry: client
                .prepare(
                    "INSERT INTO ledger (account_id, entry_id, type, reference, funding, available, pending, issued,
                        available_after)
                     VALUES ($1, $2, 'USE', $3, 0, -$4::BIGINT, $4, 0, $5)",
                )
                .await?,
            insert_delivery: client
                .prepare(
                    "INSERT INTO mails (account_id, order_id, position, kind, run_at, due_at) VALUES ($1, $2, $3, 'GIFT', $4, $4)",
                )
                .await?,
            client,
        })
    }

    /// Whether it was placed: not where the money doesn't suffice or the key is known.
    async fn place(&mut self, shop: &Shop, key: &str, recipients: u64, clock: &Clock) -> Result<bool> {
        let (account, now, gifts) = (shop.account_id.0, clock.now(), i64::try_from(recipients)?);
        let id = |entropy| TimeId::next(None, now, entropy).map_or(Uuid::nil(), |id| Uuid::from_u128(id.to_bits()));
        let (order, entry, cost, run_at) = (id(clock.entropy()), id(clock.entropy()), gifts * GIFT, i64::MAX);
        let transaction = self.client.transaction().await?;
        let Some(debited) = transaction.query_opt(&self.debit, &[&account, &cost]).await? else { return Ok(false) };
        let available: i64 = debited.get(0);
        if transaction.query_opt(&self.find_key, &[&account, &key]).await?.is_some() {
            return Ok(false);
        }
        let fingerprint = [0_u8; 32];
        transaction
            .execute(&self.insert_order, &[&account, &order, &key, &fingerprint.as_slice(), &run_at, &cost, &gifts])
            .await?;
        for position in 1..=gifts {
            let email = format!("recipient{position}@example.com");
            transaction.execute(&self.insert_gift, &[&account, &order, &position, &email, &GIFT]).await?;
        }
        transaction.execute(&self.insert_entry, &[&account, &entry, &order.to_string(), &cost, &available]).await?;
        for position in 1..=gifts {
            transaction.execute(&self.insert_delivery, &[&account, &order, &position, &run_at]).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}
