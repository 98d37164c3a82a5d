//! What tests of single files stand on: a database in memory, an account, an order.

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::{DeliveryOutcome, Recipient, Reminders, Settlement};
use giftd_domain::ids::{AccountId, OrderId, TemplateId};
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::place::{NewGift, PlaceOrder};
use giftd_domain::orders::{CardType, EmailSetting, OrderType};
use giftd_domain::schedule::SendTiming;
use jiff::SignedDuration;
use rusqlite::Connection;

use super::claim::claim_deliveries;
use super::group::{Group, Kinds};
use super::organizations::{account_of, create_organization};
use super::place::place_order;
use super::settle::settle_deliveries;
use crate::{Mails, Placed, SettleDelivery, Settled, StoreError, migrations};

pub(super) fn database() -> Connection {
    let connection = Connection::open_in_memory().expect("a database");
    for migration in migrations::ALL {
        connection.execute_batch(migration.sqlite).expect("a schema");
    }
    connection
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).expect("an instant")
}

/// Runs operations in one group, and commits it.
pub(super) fn in_group<T>(connection: &Connection, operations: impl FnOnce(&mut Group<'_>) -> T) -> T {
    let mut kinds = Kinds::new();
    let mut group = Group::begin(connection, &mut kinds).expect("a group");
    let answer = operations(&mut group);
    group.commit().expect("a commit");
    answer
}

/// One operation of a group, which succeeds.
pub(super) fn done<T>(group: &mut Group<'_>, operation: impl FnOnce(&mut Group<'_>) -> Result<T, StoreError>) -> T {
    group.run(operation).expect("it is done")
}

/// A sandbox with its play money.
pub(super) fn sandbox(connection: &Connection) -> AccountId {
    let organization = in_group(connection, |group| done(group, |group| create_organization(group, "Acme", at(0), 1)));
    let account = account_of(connection, organization, Environment::Sandbox).expect("an answer");
    account.expect("a sandbox").account_id
}

/// Places an order of gifts of 10.00 with the refund option, at once.
pub(super) fn place(group: &mut Group<'_>, account_id: AccountId, key: &str, gifts: u32, now: Timestamp) -> OrderId {
    let cost = i64::from(gifts) * 1_000;
    let recipient = |position| Recipient {
        email: Some(format!("r{position}@example.com")),
        first_name: None,
        last_name: None,
        company: None,
        department: None,
    };
    let command = PlaceOrder {
        account_id,
        idempotency_key: key.to_owned(),
        fingerprint: [1; 32],
        order_type: OrderType::OneTime,
        card_type: CardType::ChoiceCard,
        product_id: "choice".to_owned(),
        card_name: "Choice".to_owned(),
        creator: "Payroll".to_owned(),
        timing: SendTiming::Immediate,
        email_setting: EmailSetting {
            sender_name: "Acme".to_owned(),
            subject: "A gift".to_owned(),
            message: None,
            template_id: TemplateId(limits::FIRST_TEMPLATE_ID),
        },
        refund_option: true,
        total_amount: Money::usd(cost),
        total_cost: cost,
        fx_rate: None,
        gifts: (1..=gifts)
            .map(|position| NewGift { recipient: recipient(position), amount: 1_000, cost: 1_000 })
            .collect(),
        now,
        entropy: 1,
    };
    match done(group, |group| place_order(group, command)) {
        Placed::New(order) => order.summary.order_id,
        other => panic!("not placed: {other:?}"),
    }
}

/// Claims and sends all mails that are due at `now`.
pub(super) fn send_all(group: &mut Group<'_>, mails: Mails, now: Timestamp) -> Settled {
    let lease = SignedDuration::from_secs(60);
    let claimed = done(group, |group| claim_deliveries(group, mails, now, lease, 1_000));
    let sent = claimed.into_iter().map(|mail| SettleDelivery {
        settlement: Settlement {
            account_id: mail.account_id,
            gift: mail.gift,
            kind: mail.kind,
            claim: mail.claim,
            outcome: DeliveryOutcome::Sent { at: now },
        },
        retry_at: now,
    });
    let sent = sent.collect();
    done(group, |group| settle_deliveries(group, sent, &Reminders::default(), now, 1))
}
