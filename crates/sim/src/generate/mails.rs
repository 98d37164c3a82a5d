//! Workers that mail, that turn gifts, and that forget recipients.

use giftd_domain::Timestamp;
use giftd_domain::orders::erase::Retention;
use giftd_store::{Mails, Work};
use jiff::SignedDuration;

use super::{Generator, Model};
use crate::command::Command;

impl Generator {
    pub(super) fn claim(&mut self, model: &Model, now: Timestamp) -> Command {
        let work = self.work(model);
        let limit = *self.dice.pick(&[0, 1, 2, 3, 5, 200, 200, 200]);
        // Micros that nothing else has, so that a row tells whose lease it bears.
        let odd = SignedDuration::from_micros(self.dice.between(1, 999_999));
        let lease = SignedDuration::from_secs(self.dice.between(5, 90)) + odd;
        let mails = match work {
            Work::Everyone => *self.dice.pick(&[Mails::All, Mails::Outgoing, Mails::Staying]),
            Work::Moving(account) => Mails::Moving(account),
        };
        Command::Claim { mails, now: self.instant(work, model, now), lease, limit }
    }

    pub(super) fn settle(&mut self, now: Timestamp) -> Option<Command> {
        if !self.mail_server.has_news(now) {
            return None;
        }
        let most = usize::try_from(self.dice.between(1, 6)).expect("few");
        let settlements = self.mail_server.settlements(most, now, &mut self.dice);
        Some(Command::Settle { settlements, now, entropy: self.dice.bits() })
    }

    pub(super) fn turn(&mut self, model: &Model, now: Timestamp) -> Command {
        let work = self.work(model);
        Command::Turn { work, until: self.instant(work, model, now), entropy: self.dice.bits() }
    }

    pub(super) fn erase(&mut self, now: Timestamp) -> Command {
        let days = *self.dice.pick(&[30, 31, 60]);
        Command::Erase { retention: Retention::days(days).expect("a setting"), now }
    }

    /// Who moves a clock works with instants that are still to come.
    fn instant(&mut self, work: Work, model: &Model, now: Timestamp) -> Timestamp {
        let Work::Moving(account) = work else { return now };
        let Some(moving) = model.accounts[&account].clock.moving else { return now };
        let ahead = moving.target.duration_since(moving.at).as_secs().max(0);
        now + SignedDuration::from_secs(self.dice.between(0, ahead))
    }
}
