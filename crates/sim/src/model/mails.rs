//! Claiming mails, and what became of them.

use std::collections::BTreeMap;

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::gifts::{ClaimedDelivery, DeliveryOutcome, DeliveryStatus, MailKind};
use giftd_domain::ids::{AccountId, GiftId, GiftKey, OrderId};
use giftd_domain::ledger::{EntryType, Postings};
use giftd_domain::money::Money;
use giftd_domain::orders::OrderStatus;
use giftd_store::{Mails, SettleDelivery, Settled, Work};
use jiff::SignedDuration;

use super::{Account, Contradiction, Heard, Model};
use crate::command::Answer;
use crate::rows::MailRow;

/// How long a gift lasts.
pub(super) fn lifetime(refund_option: bool) -> SignedDuration {
    SignedDuration::from_hours(24 * if refund_option { 30 } else { 180 })
}

impl Account {
    /// Up to when work is done for it; none where that isn't `work`'s.
    pub(super) fn works_until(&self, work: Work, now: Timestamp) -> Option<Timestamp> {
        match (work, self.clock.moving) {
            (Work::Everyone, None) => Some(now),
            (Work::Moving(account), Some(moving)) if account == self.id => Some(self.node_time(moving.target).min(now)),
            _ => None,
        }
    }
}

impl Model {
    /// Mails that may be claimed: verifications first, then those that are due longest.
    fn due(&self, mails: Mails, now: Timestamp) -> Vec<(bool, Timestamp, GiftKey, MailKind)> {
        let mut due = Vec::new();
        for (account, order, gift) in self.gifts() {
            let stays = account.sandbox || order.order.gifts[gift].recipient.email.is_none();
            let (work, is_meant) = match mails {
                Mails::All => (Work::Everyone, true),
                Mails::Outgoing => (Work::Everyone, !stays),
                Mails::Staying => (Work::Everyone, stays),
                Mails::Moving(account) => (Work::Moving(account), true),
            };
            let Some(until) = account.works_until(work, now).filter(|_| is_meant) else { continue };
            for (kind, mail) in order.gifts[gift].mails.iter().filter(|(_, mail)| mail.run_at <= until) {
                let waits = *kind != MailKind::Verification;
                due.push((waits, mail.run_at, order.key_of(account.id, gift), *kind));
            }
        }
        due.sort_unstable();
        due
    }

    pub(super) fn claim(
        &mut self,
        mails: Mails,
        now: Timestamp,
        lease: SignedDuration,
        limit: u32,
        heard: Heard<'_>,
    ) -> Result<(), Contradiction> {
        let due = self.due(mails, now);
        let claimed: Vec<(GiftKey, MailKind, Option<&ClaimedDelivery>)> = match (heard.answer, heard.rows) {
            (Some(Answer::Claimed(deliveries)), _) => deliveries
                .iter()
                .map(|claimed| {
                    let GiftId { order, position } = claimed.gift;
                    let key = GiftKey { account_id: claimed.account_id, order: order.time, position };
                    (key, claimed.kind, Some(claimed))
                })
                .collect(),
            // Nobody was told; their rows are held until the lease ends, or gone or due anew by what came right behind.
            (None, Some(rows)) => due
                .iter()
                .filter(|(_, run_at, gift, kind)| {
                    let is_taken = |row: &MailRow| row.run_at == now + lease || heard.alone && row.run_at != *run_at;
                    rows.mails.get(&(*gift, *kind)).map_or(heard.alone, is_taken)
                })
                .map(|(_, _, gift, kind)| (*gift, *kind, None))
                .take(usize::try_from(limit).expect("a limit"))
                .collect(),
            (answer, _) => return Err(Contradiction::of("deliveries", answer)),
        };
        let mut taken: Vec<(bool, Timestamp)> = Vec::new();
        for (gift, kind, delivery) in claimed {
            let Some((waits, run_at, ..)) = due.iter().find(|(_, _, due, of)| (*due, *of) == (gift, kind)) else {
                return Err(Contradiction::of("only what is due is claimed", (gift, kind)));
            };
            taken.push((*waits, *run_at));
            self.take(gift, kind, delivery, now, lease, heard.alone)?;
        }
        taken.sort_unstable();
        let mut longest: Vec<_> = due.iter().map(|(waits, run_at, ..)| (*waits, *run_at)).collect();
        longest.truncate(usize::try_from(limit).expect("a limit"));
        if taken.len() > longest.len() || heard.alone && taken != longest {
            return Err(Contradiction::of(longest, taken));
        }
        Ok(())
    }

    fn take(
        &mut self,
        gift: GiftKey,
        kind: MailKind,
        delivery: Option<&ClaimedDelivery>,
        now: Timestamp,
        lease: SignedDuration,
        alone: bool,
    ) -> Result<(), Contradiction> {
        let Some((account, place)) = self.find(gift) else { return Err(Contradiction::of("a gift", gift)) };
        let environment = if account.sandbox { Environment::Sandbox } else { Environment::Production };
        let (account_id, clock) = (account.id, account.clock);
        let Account { orders, templates, .. } = account;
        let of = orders.get_mut(&gift.order).expect("it was found");
        let (summary, is, beside) = (&mut of.order.summary, &of.order.gifts[place], &mut of.gifts[place]);
        let Some(mail) = beside.mails.get_mut(&kind) else { return Err(Contradiction::of("a mail", (gift, kind))) };
        let tried_since = *mail.tried_since.get_or_insert(now);
        mail.run_at = now + lease;
        mail.claim = delivery.map(|delivery| delivery.claim);
        if let Some(delivery) = delivery {
            let template = templates[&summary.email_setting.template_id.0].content.clone();
            let mut expected = ClaimedDelivery {
                account_id,
                environment,
                clock,
                gift: GiftId { order: summary.order_id, position: gift.position },
                kind,
                claim: delivery.claim,
                send_number: mail.send_number,
                attempts: mail.attempts,
                due_at: mail.due_at,
                tried_since,
                link_version: is.link_version,
                recipient: is.recipient.clone(),
                amount: Money::new(is.amount, summary.total_amount.currency),
                card_name: summary.card_name.clone(),
                sender_name: summary.email_setting.sender_name.clone(),
                subject: summary.email_setting.subject.clone(),
                message: summary.email_setting.message.clone().or_else(|| template.message.clone()),
                template,
                refund_option: summary.refund_option,
                expires_at: is.expires_at,
            };
            if !alone {
                // PostgreSQL reads these after it took the mail: a move that begins, a template that changes at the same
                // moment may show already, and neither matters to the mail.
                expected.clock.moving = delivery.clock.moving;
                (expected.template, expected.message) = (delivery.template.clone(), delivery.message.clone());
            }
            if expected != *delivery {
                return Err(Contradiction::of(expected, delivery));
            }
            let before = beside.claims.insert(kind, delivery.claim);
            if before.is_some_and(|before| before >= delivery.claim) {
                return Err(Contradiction::of("claims count up", (gift, kind, before, delivery.claim)));
            }
        }
        if kind == MailKind::Gift && summary.status == OrderStatus::Pending {
            summary.status = OrderStatus::InProgress;
        }
        let order_id = summary.order_id;
        self.touch(account_id, order_id);
        Ok(())
    }

    pub(super) fn settle(&mut self, settlements: &[SettleDelivery], now: Timestamp, entropy: u128) -> Answer {
        let mut settled = Settled::default();
        let mut closed: BTreeMap<(AccountId, OrderId), i64> = BTreeMap::new();
        for settlement in settlements {
            match self.record(settlement, now) {
                None => settled.dropped += 1,
                Some(cents) => {
                    settled.settled += 1;
                    let of = &settlement.settlement;
                    if let Some(cents) = cents {
                        *closed.entry((of.account_id, of.gift.order)).or_default() += cents;
                    }
                }
            }
        }
        for ((account, order), cents) in closed {
            settled.completed_orders += u64::from(self.close(account, order, cents, now, entropy));
        }
        Answer::Settled(settled)
    }

    /// Writes an outcome down; none where it doesn't count, else the cents that it issues, if any.
    fn record(&mut self, settle: &SettleDelivery, now: Timestamp) -> Option<Option<i64>> {
        let reminders = self.reminders.clone();
        let of = &settle.settlement;
        let key = GiftKey { account_id: of.account_id, order: of.gift.order.time, position: of.gift.position };
        let (account, place) = self.find(key)?;
        let (ahead, shown_now) = (account.clock.ahead, account.shown_at(now));
        let order = account.orders.get_mut(&key.order).expect("it was found");
        let (summary, gift, beside) = (&order.order.summary, &mut order.order.gifts[place], &mut order.gifts[place]);
        let mail = beside.mails.get_mut(&of.kind).filter(|mail| mail.claim == Some(of.claim))?;
        if let DeliveryOutcome::Retry { .. } = &of.outcome {
            mail.attempts += 1;
            (mail.run_at, mail.claim) = (settle.retry_at, None);
        } else {
            beside.mails.remove(&of.kind);
        }
        let order_id = summary.order_id;
        if of.kind != MailKind::Gift {
            self.touch(key.account_id, order_id);
            return Some(None);
        }
        gift.delivery_attempts += 1;
        let is_first = gift.delivery_status == DeliveryStatus::Pending;
        let mut issued = is_first.then_some(gift.cost);
        match &of.outcome {
            DeliveryOutcome::Retry { error, .. } => {
                gift.delivery_error = (gift.delivery_status != DeliveryStatus::Sent).then(|| error.clone());
                issued = None;
            }
            DeliveryOutcome::Sent { at } => {
                let at = *at + ahead;
                gift.delivery_status = DeliveryStatus::Sent;
                gift.delivery_error = None;
                gift.sent_at = gift.sent_at.or(Some(at));
                if gift.expires_at.is_none() {
                    let expires_at = at + lifetime(summary.refund_option);
                    gift.expires_at = Some(expires_at);
                    beside.wake_at = Some(reminders.next(expires_at, shown_now) - ahead);
                }
                beside.tell(gift.position, NewEvent::sent(gift.recipient.email.as_deref()), at);
            }
            DeliveryOutcome::Failed { at, error } => {
                gift.delivery_status = DeliveryStatus::Failed;
                gift.delivery_error = Some(error.clone());
                beside.tell(gift.position, NewEvent::failed(error), *at + ahead);
            }
        }
        self.touch(key.account_id, order_id);
        Some(issued)
    }

    /// Issues cents of an order; whether that completes it.
    fn close(&mut self, account: AccountId, id: OrderId, cents: i64, now: Timestamp, entropy: u128) -> bool {
        let reminders = self.reminders.clone();
        let account = self.account(account);
        let (at, ahead) = (account.shown_at(now), account.clock.ahead);
        let postings = Postings { pending: -cents, issued: cents, ..Postings::default() };
        account.post(EntryType::Issue, &id.to_string(), postings, at, entropy);
        let of = account.orders.get_mut(&id.time).expect("a settled gift's order");
        if of.order.gifts.iter().any(|gift| gift.delivery_status == DeliveryStatus::Pending) {
            return false;
        }
        let summary = &mut of.order.summary;
        (summary.status, summary.completed_at) = (OrderStatus::Complete, Some(at));
        let expires_at = at + lifetime(summary.refund_option);
        for (gift, beside) in of.order.gifts.iter_mut().zip(&mut of.gifts) {
            if gift.expires_at.is_none() {
                gift.expires_at = Some(expires_at);
                beside.wake_at = Some(reminders.next(expires_at, at) - ahead);
            }
        }
        true
    }
}
