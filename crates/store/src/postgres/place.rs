//! Placing a group of orders in one transaction of two round trips: hold the accounts and look at the
//! keys, decide, then write everything and commit.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use giftd_domain::account::Account;
use giftd_domain::history::OrderKind;
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::ledger::Entry;
use giftd_domain::orders::OrderStatus;
use giftd_domain::orders::place::{Decision, KnownKey, PlaceOrder};
use giftd_domain::schedule::SendTiming;

use super::accounts::{self, Held};
use super::batch::{Batch, parameters};
use super::counts::Counts;
use super::error::{Failure, broken};
use super::operation::Connection;
use super::rows::{Columns as _, Parameters, micros, name, signed, storable, uuid};
use super::{ledger, orders};
use crate::StoreError;

/// Kinds that are kept in memory before all are forgotten.
const KINDS: usize = 50_000;

/// What became of one order of the group.
#[derive(Clone, Debug)]
pub(super) enum Placing {
    /// Written under this id.
    New(OrderId),
    /// The key has an order.
    Known(KnownKey),
    /// Too little is available.
    Insufficient { required: i64, available: i64 },
    /// This one is impossible; the others are not concerned.
    Refused(StoreError),
}

/// A kind of orders of an account.
type Kind = (AccountId, OrderKind);
/// Orders by account and idempotency key.
type Known<'a> = HashMap<(AccountId, &'a str), KnownKey>;

/// Ids of order kinds that are committed; the rows never change.
#[derive(Default)]
pub(super) struct Kinds(Mutex<HashMap<Kind, i64>>);

impl Kinds {
    fn get(&self, kind: &Kind) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(kind).copied()
    }

    fn learn(&self, kinds: Vec<(Kind, i64)>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > KINDS {
            known.clear();
        }
        known.extend(kinds);
    }
}

/// An order that is to be written.
struct New<'a> {
    command: &'a PlaceOrder,
    order_id: OrderId,
    entries: Vec<Entry>,
}

/// Places what can be placed, in the order of the commands, and commits.
pub(super) async fn place_group(
    connection: &Connection,
    commands: &[PlaceOrder],
    kinds: &Kinds,
) -> Result<Vec<Placing>, Failure> {
    let (mut held, mut known) = begin(connection, commands).await?;
    let mut new = Vec::new();
    let placings = commands.iter().map(|command| decide(command, &mut held, &mut known, &mut new)).collect();
    let learnt = write(connection, &new, &held, kinds).await?;
    // Only now: what is remembered must be committed.
    kinds.learn(learnt);
    Ok(placings)
}

/// BEGIN, the account rows and the keys in one round trip. The keys are looked at in a statement of its
/// own behind the one that waits for the rows: it sees all that was committed before they were had.
async fn begin<'a>(connection: &Connection, commands: &'a [PlaceOrder]) -> Result<(Held, Known<'a>), Failure> {
    let hold = accounts::prepare_hold(connection).await?;
    let look = connection
        .prepare_cached(
            "SELECT w.n, k.order_type, o.order_id, o.fingerprint
             FROM unnest($1::BIGINT[], $2::TEXT[]) WITH ORDINALITY AS w (account_id, idempotency_key, n),
                LATERAL (SELECT order_id, fingerprint, kind_id FROM orders
                    WHERE account_id = w.account_id AND idempotency_key = w.idempotency_key LIMIT 1) o,
                LATERAL (SELECT order_type FROM order_kinds
                    WHERE account_id = w.account_id AND kind_id = o.kind_id LIMIT 1) k",
        )
        .await?;
    let ids = accounts::ids(commands.iter().map(|command| command.account_id));
    let keys: Vec<(AccountId, &str)> = commands
        .iter()
        .map(|command| (command.account_id, command.idempotency_key.as_str()))
        .filter(|(_, key)| storable(key))
        .collect();
    let accounts: Vec<i64> = keys.iter().map(|(account, _)| account.0).collect();
    let texts: Vec<&str> = keys.iter().map(|(_, key)| *key).collect();
    let wanted: Parameters<'_> = vec![&accounts, &texts];
    let (begun, held, found) = tokio::join!(
        biased;
        connection.batch_execute("BEGIN"),
        accounts::hold_prepared(connection, &hold, &ids),
        connection.query(&look, &wanted),
    );
    begun?;
    let held = held?;
    let mut known = Known::with_capacity(keys.len());
    for row in &found? {
        let place: usize = row.count("n")?;
        if let Some(key) = place.checked_sub(1).and_then(|index| keys.get(index)) {
            known.insert(*key, orders::known_key(row)?);
        }
    }
    Ok((held, known))
}

/// Decides one; an order that is placed is known to those behind it.
fn decide<'a>(command: &'a PlaceOrder, held: &mut Held, known: &mut Known<'a>, new: &mut Vec<New<'a>>) -> Placing {
    let account_id = command.account_id;
    let key = (account_id, command.idempotency_key.as_str());
    if !storable(key.1) {
        return Placing::Refused(broken("an idempotency key with U+0000"));
    }
    let Some(account) = held.get_mut(&account_id) else {
        return Placing::Refused(broken(format!("no account {account_id}")));
    };
    match command.decide(account, known.get(&key).copied()) {
        Decision::Known(known) => Placing::Known(known),
        Decision::Insufficient { required, available } => Placing::Insufficient { required, available },
        Decision::Impossible => Placing::Refused(broken(format!("account {account_id} can't take an order"))),
        Decision::Place { order_id, entries } => {
            known.insert(key, KnownKey { order_id, fingerprint: command.fingerprint });
            new.push(New { command, order_id, entries });
            Placing::New(order_id)
        }
    }
}

/// Everything in one round trip, with the COMMIT behind it. Returns the kinds that are to be remembered.
async fn write(
    connection: &Connection,
    new: &[New<'_>],
    held: &Held,
    kinds: &Kinds,
) -> Result<Vec<(Kind, i64)>, Failure> {
    let mut batch = Batch::new(connection);
    if new.is_empty() {
        batch.commit().await?;
        return Ok(Vec::new());
    }
    let (kind_ids, learnt) = kind_ids(connection, &mut batch, new, kinds).await?;
    let mut counts = Counts::default();
    for (New { command, order_id, entries }, kind) in new.iter().zip(&kind_ids) {
        counts.order(command.account_id, order_id.time, *kind, None, OrderStatus::Pending);
        entries.iter().for_each(|entry| counts.entry(command.account_id, entry));
    }
    add_orders(&mut batch, new, kind_ids).await?;
    add_gifts(&mut batch, new).await?;
    add_mails(&mut batch, new, held).await?;
    let mut entries = Vec::new();
    for order in new {
        entries.extend(order.entries.iter().map(|entry| (order.command.account_id, entry)));
    }
    ledger::add_entries(&mut batch, &entries).await?;
    let ids = accounts::ids(new.iter().map(|order| order.command.account_id));
    let changed: Vec<&Account> = ids.iter().filter_map(|id| held.get(&AccountId(*id))).collect();
    accounts::write(&mut batch, &changed).await?;
    counts.write(&mut batch).await?;
    batch.commit().await?;
    Ok(learnt)
}

/// The kind of each order; those that the account doesn't have yet are added. The account's row is held,
/// so nobody else gives out the next number.
async fn kind_ids<'a>(
    connection: &Connection,
    batch: &mut Batch<'a>,
    new: &[New<'_>],
    kinds: &Kinds,
) -> Result<(Vec<i64>, Vec<(Kind, i64)>), Failure> {
    let wanted: Vec<Kind> = new.iter().map(|order| (order.command.account_id, order.command.kind())).collect();
    let mut ids: HashMap<Kind, i64> = HashMap::new();
    let mut unknown: Vec<Kind> = Vec::new();
    for kind in &wanted {
        match kinds.get(kind) {
            Some(id) => drop(ids.insert(kind.clone(), id)),
            None if unknown.contains(kind) => {}
            None => unknown.push(kind.clone()),
        }
    }
    let mut learnt = Vec::new();
    if !unknown.is_empty() {
        let missing = look_kinds_up(connection, unknown, &mut learnt).await?;
        let added = number_kinds(connection, missing).await?;
        add_kinds(batch, &added).await?;
        learnt.extend(added);
        ids.extend(learnt.iter().cloned());
    }
    let all = wanted.iter().map(|kind| ids.get(kind).copied().ok_or_else(|| broken("an order without a kind")));
    Ok((all.collect::<Result<_, _>>()?, learnt))
}

/// Moves the kinds that exist to `found`; returns the rest.
async fn look_kinds_up(
    connection: &Connection,
    unknown: Vec<Kind>,
    found: &mut Vec<(Kind, i64)>,
) -> Result<Vec<Kind>, Failure> {
    let statement = connection
        .prepare_cached(
            "SELECT w.n, k.kind_id
             FROM unnest($1::BIGINT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[])
                WITH ORDINALITY AS w (account_id, order_type, card_type, card_name, creator, n),
                LATERAL (SELECT kind_id FROM order_kinds
                    WHERE account_id = w.account_id AND order_type = w.order_type AND card_type = w.card_type
                        AND card_name = w.card_name AND creator = w.creator LIMIT 1) k",
        )
        .await?;
    let rows = {
        let KindColumns { accounts, order_types, card_types, card_names, creators } = KindColumns::of(unknown.iter());
        connection.query(&statement, &[&accounts, &order_types, &card_types, &card_names, &creators]).await?
    };
    let mut ids = HashMap::new();
    for row in &rows {
        ids.insert(row.count::<usize>("n")?, row.value("kind_id")?);
    }
    let mut missing = Vec::new();
    for (place, kind) in (1_usize..).zip(unknown) {
        match ids.get(&place) {
            Some(id) => found.push((kind, *id)),
            None => missing.push(kind),
        }
    }
    Ok(missing)
}

/// Gives the next numbers of their accounts to new kinds.
async fn number_kinds(connection: &Connection, missing: Vec<Kind>) -> Result<Vec<(Kind, i64)>, Failure> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let statement = connection
        .prepare_cached(
            "SELECT w.account_id, COALESCE((SELECT MAX(kind_id) FROM order_kinds WHERE account_id = w.account_id), 0) AS last
             FROM unnest($1::BIGINT[]) AS w (account_id)",
        )
        .await?;
    let accounts = accounts::ids(missing.iter().map(|(account, _)| *account));
    let mut last: HashMap<AccountId, i64> = HashMap::new();
    for row in &connection.query(&statement, &[&accounts]).await? {
        last.insert(AccountId(row.value("account_id")?), row.value("last")?);
    }
    let numbered = missing.into_iter().map(|kind| {
        let last = last.entry(kind.0).or_default();
        *last += 1;
        (kind, *last)
    });
    Ok(numbered.collect())
}

async fn add_kinds(batch: &mut Batch<'_>, kinds: &[(Kind, i64)]) -> Result<(), Failure> {
    if kinds.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = kinds.iter().map(|(_, id)| *id).collect();
    let KindColumns { accounts, order_types, card_types, card_names, creators } =
        KindColumns::of(kinds.iter().map(|(kind, _)| kind));
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect::<Vec<_>>();
    batch
        .add(
            "INSERT INTO order_kinds (account_id, kind_id, order_type, card_type, card_name, creator)
             SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[])",
            parameters![accounts, ids, order_types, card_types, owned(card_names), owned(creators)],
        )
        .await
}

/// Kinds, column by column.
#[derive(Default)]
struct KindColumns<'a> {
    accounts: Vec<i64>,
    order_types: Vec<&'static str>,
    card_types: Vec<&'static str>,
    card_names: Vec<&'a str>,
    creators: Vec<&'a str>,
}

impl<'a> KindColumns<'a> {
    fn of(kinds: impl Iterator<Item = &'a Kind>) -> Self {
        let mut columns = Self::default();
        for (account, kind) in kinds {
            columns.accounts.push(account.0);
            columns.order_types.push(name(kind.order_type));
            columns.card_types.push(name(kind.card_type));
            columns.card_names.push(&kind.card_name);
            columns.creators.push(&kind.creator);
        }
        columns
    }
}

/// One column of the new orders.
fn column<'a, T>(new: &[New<'a>], value: impl Fn(&'a PlaceOrder, OrderId) -> T) -> Vec<T> {
    new.iter().map(|order| value(order.command, order.order_id)).collect()
}

async fn add_orders<'a>(batch: &mut Batch<'a>, new: &[New<'a>], kind_ids: Vec<i64>) -> Result<(), Failure> {
    let recipient_counts: Vec<i64> =
        new.iter().map(|order| signed(order.command.gifts.len())).collect::<Result<_, _>>()?;
    batch
        .add(
            "INSERT INTO orders (account_id, order_id, kind_id, status, idempotency_key, fingerprint, product_id,
                scheduled_at, timezone, send_at, sender_name, subject, message, template_id, refund_option,
                currency, total_amount, total_cost, fx_rate, recipient_count, open_gifts)
             SELECT account_id, order_id, kind_id, 'PENDING', idempotency_key, fingerprint, product_id,
                scheduled_at, timezone, send_at, sender_name, subject, message, template_id, refund_option,
                currency, total_amount, total_cost, fx_rate, recipient_count, recipient_count
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::TEXT[], $5::BYTEA[], $6::TEXT[], $7::TEXT[],
                    $8::TEXT[], $9::BIGINT[], $10::TEXT[], $11::TEXT[], $12::TEXT[], $13::BIGINT[], $14::BOOLEAN[],
                    $15::TEXT[], $16::BIGINT[], $17::BIGINT[], $18::TEXT[], $19::BIGINT[])
                AS w (account_id, order_id, kind_id, idempotency_key, fingerprint, product_id, scheduled_at,
                    timezone, send_at, sender_name, subject, message, template_id, refund_option,
                    currency, total_amount, total_cost, fx_rate, recipient_count)",
            parameters![
                column(new, |order, _| order.account_id.0),
                column(new, |_, id| uuid(id.time)),
                kind_ids,
                column(new, |order, _| order.idempotency_key.as_str()),
                column(new, |order, _| order.fingerprint.as_slice()),
                column(new, |order, _| order.product_id.as_str()),
                column(new, |order, _| match &order.timing {
                    SendTiming::Immediate => None,
                    SendTiming::Scheduled(schedule) => Some(schedule.local.to_string()),
                }),
                column(new, |order, _| match &order.timing {
                    SendTiming::Immediate => None,
                    SendTiming::Scheduled(schedule) => Some(schedule.timezone.as_str()),
                }),
                column(new, |order, id| match &order.timing {
                    SendTiming::Immediate => micros(id.time.created_at()),
                    SendTiming::Scheduled(schedule) => micros(schedule.send_at),
                }),
                column(new, |order, _| order.email_setting.sender_name.as_str()),
                column(new, |order, _| order.email_setting.subject.as_str()),
                column(new, |order, _| order.email_setting.message.as_deref()),
                column(new, |order, _| order.email_setting.template_id.0),
                column(new, |order, _| order.refund_option),
                column(new, |order, _| order.total_amount.currency.code()),
                column(new, |order, _| order.total_amount.minor),
                column(new, |order, _| order.total_cost),
                column(new, |order, _| order.fx_rate.map(|rate| rate.to_string())),
                recipient_counts,
            ],
        )
        .await
}

async fn add_gifts<'a>(batch: &mut Batch<'a>, new: &[New<'a>]) -> Result<(), Failure> {
    let (mut accounts, mut ids, mut positions) = (Vec::new(), Vec::new(), Vec::new());
    let mut texts: [Vec<Option<&'a str>>; 5] = Default::default();
    let (mut amounts, mut costs) = (Vec::new(), Vec::new());
    for New { command, order_id, .. } in new {
        for (position, gift) in (1_i64..).zip(&command.gifts) {
            accounts.push(command.account_id.0);
            ids.push(uuid(order_id.time));
            positions.push(position);
            let recipient = &gift.recipient;
            let values = [
                &recipient.email,
                &recipient.first_name,
                &recipient.last_name,
                &recipient.company,
                &recipient.department,
            ];
            for (column, value) in texts.iter_mut().zip(values) {
                column.push(value.as_deref());
            }
            amounts.push(gift.amount);
            costs.push(gift.cost);
        }
    }
    let [emails, first_names, last_names, companies, departments] = texts;
    batch
        .add(
            "INSERT INTO gifts (account_id, order_id, position, email, first_name, last_name, company, department,
                amount, cost, delivery_status, delivery_attempts, redemption_status)
             SELECT *, 'PENDING', 0, 'UNREDEEMED'
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::TEXT[],
                $8::TEXT[], $9::BIGINT[], $10::BIGINT[])",
            parameters![
                accounts,
                ids,
                positions,
                emails,
                first_names,
                last_names,
                companies,
                departments,
                amounts,
                costs,
            ],
        )
        .await
}

async fn add_mails(batch: &mut Batch<'_>, new: &[New<'_>], held: &Held) -> Result<(), Failure> {
    // Work is due by the node's clock.
    let run_at = |order: &PlaceOrder, _: OrderId| {
        let clock = held.get(&order.account_id).map(|account| account.clock).unwrap_or_default();
        micros(clock.node_time(order.run_at()))
    };
    let stays = |order: &PlaceOrder, _: OrderId| {
        held.get(&order.account_id).is_some_and(|account| order.mails_stay(account.environment))
    };
    let gifts: Vec<i64> = new.iter().map(|order| signed(order.command.gifts.len())).collect::<Result<_, _>>()?;
    batch
        .add(
            "INSERT INTO mails (account_id, order_id, position, kind, run_at, due_at, stays)
             SELECT w.account_id, w.order_id, position, 'GIFT', w.run_at, w.run_at, w.stays
             FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::BIGINT[], $5::BOOLEAN[])
                    AS w (account_id, order_id, run_at, gifts, stays),
                generate_series(1, w.gifts) AS position",
            parameters![
                column(new, |order, _| order.account_id.0),
                column(new, |_, id| uuid(id.time)),
                column(new, run_at),
                gifts,
                column(new, stays),
            ],
        )
        .await
}
