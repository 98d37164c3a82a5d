//! A sandbox's clock and its captured mails.

use giftd_domain::Timestamp;
use giftd_domain::ids::AccountId;
use giftd_store::CapturedMail;
use jiff::SignedDuration;

use super::{Account, Generator, Model};
use crate::command::Command;

impl Generator {
    /// Begins a move, goes on with one (also with one that somebody else has taken over), or takes over what is left.
    pub(super) fn clock(&mut self, model: &Model, now: Timestamp) -> Command {
        let is_moving = model.accounts.values().any(|account| account.clock.moving.is_some());
        let choice = if is_moving { self.dice.below(10) } else { self.dice.below(3) };
        let (account, claim) = if self.moves.is_empty() { (AccountId(1), 1) } else { self.a_move() };
        match choice {
            0 => Command::TakeOverMoves { now },
            1 | 2 => {
                let account = self.a_sandbox(model).id;
                let hours = if self.dice.chance(80) { self.dice.between(1, 100) } else { self.dice.between(400, 900) };
                let by = SignedDuration::from_hours(hours) + SignedDuration::from_millis(self.dice.between(0, 999));
                Command::BeginMove { account, by, now }
            }
            3..6 => {
                let at = model.accounts[&account].time(now) + SignedDuration::from_mins(self.dice.between(-60, 6_000));
                Command::StepClock { account, claim, at, now }
            }
            _ => Command::EndMove { account, claim, now },
        }
    }

    /// The latest more often.
    fn a_move(&mut self) -> (AccountId, i64) {
        let latest = self.moves[self.moves.len() - 1];
        if self.dice.chance(70) { latest } else { *self.dice.pick(&self.moves) }
    }

    fn a_sandbox<'m>(&mut self, model: &'m Model) -> &'m Account {
        let sandboxes: Vec<&Account> = model.accounts.values().filter(|account| account.sandbox).collect();
        sandboxes[self.dice.index(sandboxes.len())]
    }

    /// Captures mails; now and then somebody drops the old ones.
    pub(super) fn keep_mails(&mut self, model: &Model, now: Timestamp) -> Command {
        if self.dice.chance(25) {
            return Command::DropOldMails { now };
        }
        let account = self.a_sandbox(model);
        let created_at = account.time(now);
        let mut mails: Vec<CapturedMail> = Vec::new();
        for _ in 0..self.dice.between(1, 3) {
            // Some were kept before: a mail that is sent again after a crash.
            let number = if self.dice.chance(70) { self.made_up() } else { self.dice.below(60) };
            let message_id = format!("<{number}@giftd>");
            if mails.iter().any(|mail| mail.message_id == message_id) {
                continue;
            }
            let order_id = account.orders.values().last().map(|order| order.order.summary.order_id);
            let text = format!("text {}", self.dice.below(1_000));
            mails.push(CapturedMail {
                message_id,
                to: format!("r{}@example.com", self.dice.below(4)),
                order_id: order_id.filter(|_| number % 3 > 0),
                subject: "A gift for you!".to_owned(),
                html: format!("<p>{text}</p>"),
                text,
                created_at,
            });
        }
        Command::KeepMails { account: account.id, mails, now, entropy: self.dice.bits() }
    }
}
