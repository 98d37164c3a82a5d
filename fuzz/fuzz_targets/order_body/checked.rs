//! What holds for a request that went through the rules.

use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::orders::place::{Decision, PlaceOrder, Refusal, Request, RequestedGifts};
use giftd_domain::orders::{CardType, OrderType};
use giftd_domain::schedule::SendTiming;
use giftd_domain::text;
use jiff::SignedDuration;
use rust_decimal::Decimal;

use crate::world::{FUNDS, World, account, cents_of_a_unit, now};

pub fn holds(request: &Request, world: &World) {
    match request.check(&world.rules(), 5) {
        Ok(command) => {
            is_what_was_asked_for(&command, request, world);
            is_sent_in_time(&command, request);
            moves_what_it_costs(command);
        }
        Err(Refusal::Invalid(problems)) => {
            let problems = problems.into_vec();
            assert!((1..=limits::PROBLEMS).contains(&problems.len()));
            let known = ["productId", "sendTiming.", "emailSetting.", "recipients", "quantity", "amountPerLink"];
            for problem in problems {
                assert!(known.iter().any(|field| problem.field.starts_with(field)), "{problem:?}");
                assert!(!problem.code.is_empty() && !problem.message.is_empty(), "{problem:?}");
            }
        }
        // Without one, and one that is too old.
        Err(Refusal::NoRate(_)) => assert!(["40001", "50001"].contains(&&*request.product_id)),
    }
}

fn is_what_was_asked_for(command: &PlaceOrder, request: &Request, world: &World) {
    let (prices, currency) = world.prices(&request.product_id).expect("a product of the catalog");
    assert_eq!(command.fingerprint, request.fingerprint());
    assert_eq!((&command.idempotency_key, &command.product_id), (&request.idempotency_key, &request.product_id));
    assert_eq!((command.card_type, command.refund_option), (request.card_type, request.refund_option));
    assert!((1..=limits::IDEMPOTENCY_KEY_CHARACTERS).contains(&command.idempotency_key.chars().count()));
    assert_eq!(command.card_name, format!("Card {}", request.product_id));
    assert_eq!(
        command.card_type == CardType::ChoiceCard,
        request.product_id.starts_with('5') && request.product_id.len() == 2
    );
    assert_eq!(command.fx_rate.is_none(), currency.code() == "USD");

    assert!((1..=limits::RECIPIENTS).contains(&command.gifts.len()));
    assert_eq!(command.gifts.len(), request.gift_count());
    let (of_a_unit, parts) = cents_of_a_unit(currency);
    let (mut total_amount, mut total_cost) = (0, 0);
    for (gift, asked) in command.gifts.iter().zip(amounts(request)) {
        assert!(gift.amount > 0 && prices.contains(gift.amount), "{gift:?}");
        assert_eq!(currency.decimal(gift.amount), asked, "an amount counts by its value");
        let exact = i128::from(gift.amount) * of_a_unit;
        assert_eq!(i128::from(gift.cost), ((2 * exact + parts) / (2 * parts)).max(1), "{gift:?} in {currency}");
        total_amount += i128::from(gift.amount);
        total_cost += i128::from(gift.cost);
    }
    assert_eq!(i128::from(command.total_cost), total_cost, "an order costs what its gifts cost");
    assert_eq!(i128::from(command.total_amount.minor), total_amount);
    assert_eq!(command.total_amount, Money::new(command.total_amount.minor, currency));

    match &request.gifts {
        RequestedGifts::Mails(mails) => {
            assert_eq!(command.order_type, OrderType::OneTime);
            let setting = &command.email_setting;
            assert_eq!((&setting.sender_name, &setting.subject), (&mails.sender_name, &mails.subject));
            assert!(!text::has_control(&setting.sender_name) && !text::has_control(&setting.subject));
            for (gift, asked) in command.gifts.iter().zip(&mails.recipients) {
                let email = gift.recipient.email.as_deref().expect("an address");
                assert!(email.is_ascii() && email.len() <= limits::EMAIL_CHARACTERS, "{email:?}");
                assert!(
                    !email.contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;\"".contains(c)),
                    "{email:?}"
                );
                assert_eq!(text::email(email).as_deref(), Some(email), "an address stays what it is");
                assert_eq!(email.split('@').next(), asked.email.split('@').next());
                assert_eq!(
                    (&gift.recipient.first_name, &gift.recipient.last_name),
                    (&asked.first_name, &asked.last_name)
                );
                assert_eq!((&gift.recipient.company, &gift.recipient.department), (&asked.company, &asked.department));
            }
        }
        RequestedGifts::Links { .. } => {
            assert_eq!(command.order_type, OrderType::Link);
            assert!(command.gifts.iter().all(|gift| gift.recipient.email.is_none()));
        }
    }
}

fn amounts(request: &Request) -> Vec<Decimal> {
    match &request.gifts {
        RequestedGifts::Mails(mails) => mails.recipients.iter().map(|gift| gift.amount).collect(),
        RequestedGifts::Links { amount, .. } => vec![*amount; request.gift_count()],
    }
}

fn is_sent_in_time(command: &PlaceOrder, request: &Request) {
    let timing = &request.send_timing;
    match &command.timing {
        SendTiming::Immediate => {
            assert!(!timing.scheduled && timing.scheduled_at.is_none() && timing.timezone.is_none());
            assert_eq!(command.run_at(), now());
        }
        SendTiming::Scheduled(schedule) => {
            assert!(timing.scheduled && timing.timezone.as_ref() == Some(&schedule.timezone));
            let furthest = SignedDuration::from_hours(limits::SCHEDULE_AHEAD_DAYS * 24);
            assert!(schedule.send_at > now() && schedule.send_at.duration_since(now()) <= furthest);
            assert_eq!(command.run_at(), schedule.send_at);
            assert_eq!(schedule.resolve_again(), Ok(schedule.send_at));
        }
    }
}

/// Either the whole cost moves from available to pending, or nothing does.
fn moves_what_it_costs(command: PlaceOrder) {
    let mut account = account();
    let before = account.clone();
    match command.decide(&mut account, None) {
        Decision::Place { order_id, entries } => {
            let (paid, kept) = (command.total_cost, FUNDS - command.total_cost);
            assert!(kept >= 0);
            assert_eq!((account.balances.available, account.balances.pending), (kept, paid));
            assert_eq!(account.balances.sum(), Some(0), "the postings sum to zero");
            assert!(entries.iter().all(|entry| entry.postings.sum() == Some(0)));
            assert_eq!(entries.last().map(|entry| entry.available_after), Some(kept));
            assert_eq!(order_id.to_string().parse(), Ok(order_id));
            let (gifts, send_at) = (command.gifts.len(), command.run_at());
            let order = command.into_order(order_id);
            assert_eq!(order.gifts.iter().map(|gift| gift.cost).sum::<i64>(), paid);
            assert_eq!((order.gifts.len(), order.summary.send_at()), (gifts, send_at));
        }
        Decision::Insufficient { required, available } => {
            assert_eq!((required, available), (command.total_cost, FUNDS));
            assert!(required > available);
            assert_eq!(account, before, "nothing moved");
        }
        other => panic!("{other:?}"),
    }
}
