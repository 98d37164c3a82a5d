//! Sending gifts again.

use giftd_domain::Timestamp;
use giftd_domain::gifts::MailKind;
use giftd_domain::gifts::events::NewEvent;
use giftd_domain::orders::resend::{Resend, ResendDecision, Resendable};
use giftd_store::Resent;
use jiff::SignedDuration;

use super::{Model, Moved};
use crate::command::Answer;

impl Model {
    /// What `Resend::decide` decides, which has tests of its own, must be what happens.
    pub(super) fn resend(&mut self, command: &Resend) -> Answer {
        self.touch(command.account_id, command.order_id);
        let since = command.now - SignedDuration::from_hours(24);
        let moved_today = self.moved_since(&command.client_id, since);
        let account = self.account(command.account_id);
        let at = account.time(command.now);
        let found = account.orders.get_mut(&command.order_id.time);
        let Some(of) = found.filter(|of| of.order.summary.order_id == command.order_id) else {
            return Answer::Resent(Resent::Unknown);
        };
        let resendable: Vec<Resendable> = (of.order.gifts.iter().zip(&of.gifts))
            .map(|(gift, beside)| Resendable {
                gift: gift.clone(),
                send_number: beside.sends,
                resends_today: u32::try_from(beside.resends.iter().filter(|resend| resend.at > since).count())
                    .expect("few"),
                moves: (beside.resends.iter())
                    .filter_map(|resend| Some((resend.from.clone(), resend.to.clone()?)))
                    .collect(),
            })
            .collect();
        Answer::Resent(match command.decide(of.order.summary.status, &resendable, moved_today, at) {
            ResendDecision::NobodyKnown => Resent::NobodyKnown,
            ResendDecision::NotResendable => Resent::NotResendable,
            ResendDecision::TooManyMoves => Resent::TooManyMoves,
            ResendDecision::Resend { requeue, skipped } => {
                for requeued in &requeue {
                    let place = usize::try_from(requeued.position - 1).expect("a position");
                    let (gift, beside) = (&mut of.order.gifts[place], &mut of.gifts[place]);
                    beside.sends = requeued.send_number;
                    beside.mail(MailKind::Gift, requeued.send_number, command.now);
                    beside.tell(requeued.position, NewEvent::resent(&requeued.from, requeued.to.as_deref()), at);
                    if let Some(to) = &requeued.to {
                        gift.recipient.email = Some(to.clone());
                        gift.link_version += 1;
                        beside.mails.remove(&MailKind::Verification);
                    }
                    beside.resends.push(Moved {
                        at: command.now,
                        client_id: command.client_id.clone(),
                        from: requeued.from.clone(),
                        to: requeued.to.clone(),
                    });
                }
                Resent::Done { requeued: u32::try_from(requeue.len()).expect("few"), skipped }
            }
        })
    }

    fn moved_since(&self, client_id: &str, since: Timestamp) -> u32 {
        let resends = self.gifts().flat_map(|(_, order, gift)| &order.gifts[gift].resends);
        let moved = resends.filter(|resend| resend.client_id == client_id && resend.at > since && resend.to.is_some());
        u32::try_from(moved.count()).expect("few")
    }
}
