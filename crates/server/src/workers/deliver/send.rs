//! A sender: takes jobs, mails them over its own connection, passes on what became of each.

use std::sync::Arc;
use std::time::Duration;

use giftd_domain::Timestamp;
use giftd_domain::gifts::verification::is_good;
use giftd_domain::gifts::{ClaimedDelivery, DeliveryOutcome, MailKind, expires_at};
use giftd_domain::templates::SenderLook;
use giftd_store::SettleDelivery;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Delivery, Job, Shared, retry};
use crate::links::{self, GiftLink};
use crate::mail::attempt::About;
use crate::mail::sandbox::Rehearsal;
use crate::mail::{self, GiftMail, MailFrom, Outcome, Post, Sender};
use crate::state::Giftd;

/// Mails to slow addresses that one sender lets wait at once; more are sent without a wait.
const SLOW_AT_ONCE: usize = 64;

/// Sends until no more jobs come.
pub(super) async fn run(
    shared: Arc<Shared>,
    jobs: Arc<Mutex<mpsc::UnboundedReceiver<Job>>>,
    outcomes: mpsc::Sender<SettleDelivery>,
) {
    let mut sender = Sender::new(shared.delivery.post.clone());
    let mut slow = JoinSet::new();
    loop {
        let job = jobs.lock().await.recv().await;
        let Some(Job { delivery, claimed, place }) = job else { break };
        let wait = rehearsed_wait(&delivery, &shared.delivery);
        if wait.is_zero() || slow.len() >= SLOW_AT_ONCE {
            if let Some(settlement) = send(&shared, &mut sender, &delivery, claimed).await {
                // Fails only when the settling task is gone, and then the lease runs out.
                drop(outcomes.send(settlement).await);
            }
            continue;
        }
        // It takes its time, but not that of others: neither a sender nor a place.
        drop(place);
        let (shared, outcomes) = (shared.clone(), outcomes.clone());
        slow.spawn(async move {
            let Delivery { giftd, post, mail_from } = &shared.delivery;
            giftd.clock.sleep(wait).await;
            let mut sender = Sender::new(Post { smtp: None, ..post.clone() });
            let settlement = attempt(giftd, &mut sender, mail_from, &delivery, giftd.clock.now()).await;
            drop(outcomes.send(settlement).await);
        });
        while slow.try_join_next().is_some() {}
    }
    while slow.join_next().await.is_some() {}
    sender.close().await;
}

/// How long a sandbox's slow address takes; well within what a send may take.
fn rehearsed_wait(delivery: &ClaimedDelivery, way: &Delivery) -> Duration {
    let to = delivery.recipient.email.as_deref().unwrap_or_default();
    let takes = Rehearsal::of(delivery.environment, to).map_or(Duration::ZERO, Rehearsal::takes);
    takes.min(way.send_deadline() / 2)
}

/// None when it is too late to begin: the lease runs out, and the gift is claimed again.
async fn send(
    shared: &Shared,
    sender: &mut Sender,
    delivery: &ClaimedDelivery,
    claimed: Duration,
) -> Option<SettleDelivery> {
    let Shared { delivery: way, .. } = shared;
    let clock = way.clock();
    if goes_out(way, delivery) {
        clock.sleep(shared.pace.wait(clock.elapsed())).await;
    }
    let begun = clock.elapsed();
    if begun.saturating_sub(claimed) > way.begin_within() {
        metrics::counter!("giftd_mails_let_go_total").increment(1);
        tracing::warn!(gift = %delivery.gift, "mails take longer than expected; this one is left to a later claim");
        return None;
    }
    let sending = make_and_send(&way.giftd, sender, &way.mail_from, delivery, clock.now());
    let outcome = match timeout(way.send_deadline(), sending).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Transient { text: format!("not sent within {:.1} s", way.send_deadline().as_secs_f64()) },
    };
    shared.in_hand.took(clock.elapsed().saturating_sub(begun));
    tell(shared, delivery, &outcome);
    Some(settlement(&way.giftd, delivery, outcome, clock.now()))
}

/// One attempt of a mail at `now`, by the node's clock: who moves a sandbox's clock gives instants that are still to
/// come.
pub async fn attempt(
    giftd: &Giftd,
    sender: &mut Sender,
    mail_from: &MailFrom,
    delivery: &ClaimedDelivery,
    now: Timestamp,
) -> SettleDelivery {
    let outcome = make_and_send(giftd, sender, mail_from, delivery, now).await;
    settlement(giftd, delivery, outcome, now)
}

/// Whether a mail goes to the relay: what is captured, or has nobody to be mailed to, doesn't.
fn goes_out(way: &Delivery, delivery: &ClaimedDelivery) -> bool {
    delivery.recipient.email.is_some() && !way.post.captures(delivery.environment)
}

/// Why a mail that is about to be sent is worth nothing any more.
fn too_late(giftd: &Giftd, delivery: &ClaimedDelivery, now: Timestamp) -> Option<&'static str> {
    match delivery.kind {
        // By real time, also where a sandbox's clock is moved.
        MailKind::Verification => (!is_good(delivery.due_at, giftd.clock.now()))
            .then_some("its link is no longer good; the recipient can ask for another"),
        MailKind::Gift | MailKind::Reminder => {
            let is_over = delivery.expires_at.is_some_and(|end| delivery.clock.shown_at(now) >= end);
            is_over.then_some("the gift expired before it could be sent")
        }
    }
}

/// Makes the mail and sends it. A gift that is a link has no address: it is sent once it was its turn.
async fn make_and_send(
    giftd: &Giftd,
    sender: &mut Sender,
    mail_from: &MailFrom,
    delivery: &ClaimedDelivery,
    now: Timestamp,
) -> Outcome {
    let Some(to) = &delivery.recipient.email else { return Outcome::Sent };
    if let Some(why) = too_late(giftd, delivery, now) {
        return Outcome::Refused { text: why.to_owned() };
    }
    let look = match giftd.sender_look(delivery.account_id).await {
        Ok(look) => look.unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, gift = %delivery.gift, "the sender of a mail can't be looked up");
            return Outcome::Transient { text: "the mail can't be made at the moment".to_owned() };
        }
    };
    let mail = gift_mail(giftd, mail_from, delivery, to, look, now);
    let about = About { account: delivery.account_id, order: Some(delivery.gift.order), attempts: delivery.attempts };
    mail::attempt::attempt(giftd, sender, &mail, about).await
}

fn gift_mail(
    giftd: &Giftd,
    mail_from: &MailFrom,
    delivery: &ClaimedDelivery,
    to: &str,
    look: Arc<SenderLook>,
    now: Timestamp,
) -> GiftMail {
    let at = delivery.clock.shown_at(now);
    GiftMail {
        kind: delivery.kind,
        message_id: mail_from.message_id(delivery.gift, delivery.kind, delivery.send_number),
        date: at,
        mail_from: mail_from.clone(),
        to: to.to_owned(),
        recipient: delivery.recipient.clone(),
        sender_name: delivery.sender_name.clone(),
        subject: delivery.subject.clone(),
        message: delivery.message.clone(),
        card_name: delivery.card_name.clone(),
        amount: delivery.amount,
        expires_at: delivery.expires_at.unwrap_or_else(|| expires_at(at, delivery.refund_option)),
        link: link(giftd, delivery),
        template: delivery.template.clone(),
        look,
        environment: delivery.environment,
        is_preview: false,
    }
}

/// Where the mail leads.
fn link(giftd: &Giftd, delivery: &ClaimedDelivery) -> String {
    let gift = GiftLink {
        account: delivery.account_id,
        order: delivery.gift.order.time,
        position: delivery.gift.position,
        link_version: delivery.link_version,
    };
    let (key, public_url) = (giftd.keys.links(), giftd.settings.public_url_at(giftd.settings.listen));
    let page = links::page(&public_url, key, gift);
    match delivery.kind {
        MailKind::Gift | MailKind::Reminder => page,
        MailKind::Verification => {
            format!("{page}/verify/{}", links::verification_token(key, gift, delivery.send_number))
        }
    }
}

fn settlement(giftd: &Giftd, delivery: &ClaimedDelivery, outcome: Outcome, now: Timestamp) -> SettleDelivery {
    let (base, random) = (giftd.settings.mail_retry_base, giftd.clock.entropy());
    let settlement = retry::settlement(delivery, outcome, now, base, random);
    count(delivery, &settlement.settlement.outcome);
    settlement
}

/// Tells the log, and the pause, how the relay does.
fn tell(shared: &Shared, delivery: &ClaimedDelivery, outcome: &Outcome) {
    let Shared { delivery: way @ Delivery { giftd, post, .. }, pause, .. } = shared;
    // What doesn't go to the relay says nothing about it, where there is one.
    let about_the_relay = goes_out(way, delivery) || post.smtp.is_none() && delivery.recipient.email.is_some();
    match outcome {
        Outcome::Sent | Outcome::Refused { .. } if about_the_relay => pause.works(),
        Outcome::Sent | Outcome::Refused { .. } => {}
        Outcome::Transient { text } => {
            tracing::info!(gift = %delivery.gift, attempt = delivery.attempts.saturating_add(1), error = text, "a mail is not sent yet");
        }
        Outcome::OurFault { text } => {
            metrics::counter!("giftd_mail_faults_total").increment(1);
            tracing::error!(
                gift = %delivery.gift,
                attempt = delivery.attempts.saturating_add(1),
                error = text,
                "a mail can't be sent for a fault of ours; `giftd doctor` tells more"
            );
            if about_the_relay && let Some(pause) = pause.fault(giftd.clock.elapsed()) {
                metrics::counter!("giftd_mail_pauses_total").increment(1);
                tracing::error!(
                    error = text,
                    "mail after mail fails for a fault of ours: sending pauses for {pause:?}"
                );
            }
        }
    }
}

fn count(delivery: &ClaimedDelivery, outcome: &DeliveryOutcome) {
    let result = match outcome {
        DeliveryOutcome::Sent { .. } => "sent",
        DeliveryOutcome::Retry { .. } => "retried",
        DeliveryOutcome::Failed { error, .. } => {
            tracing::warn!(gift = %delivery.gift, error, "a gift's mail failed for good");
            "failed"
        }
    };
    let environment: &str = delivery.environment.into();
    metrics::counter!("giftd_mails_total", "result" => result, "environment" => environment).increment(1);
}
