//! The end of a run: nothing fails any more, time passes, and everything has to come to rest.

use anyhow::{Result, bail, ensure};
use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::redemption::{AskAgain, Supplied};
use giftd_domain::ids::AccountId;
use giftd_domain::orders::erase::Retention;
use giftd_store::{Mails, Work};
use jiff::SignedDuration;

use super::Run;
use crate::command::{Answer, Command};
use crate::laws;
use crate::mail_server::sent;
use crate::stand::{Mishap, Outcome};

/// How long a claim may take here.
const LEASE: SignedDuration = SignedDuration::from_secs(60);

impl Run {
    pub(super) fn come_to_rest(&mut self) -> Result<()> {
        self.compare(true)?;
        let gifts = self.model.gifts().count();
        // A gift turns three times, is mailed at most as often and once more, and its redemptions are asked for.
        let most = 200 + 40 * gifts;
        for _ in 0..most {
            let seen = self.stand.look(&self.model.scope([], self.now))?;
            let moving = self.model.accounts.values().find_map(|of| Some((of.id, of.clock.moving?)));
            if let Some((account, moving)) = moving {
                self.now = self.now.max(moving.lease_end);
                self.arrive(account)?;
            } else if let Some(next) = seen.rows.next() {
                self.now = self.now.max(next);
                self.work(Work::Everyone, self.now)?;
                self.redeem()?;
            } else {
                let seen = self.stand.look(&self.model.everything(self.now))?;
                return match laws::unrest(&seen) {
                    Some(unrest) => bail!("{unrest}"),
                    None => self.forget(),
                };
            }
        }
        let rows = self.stand.look(&self.model.scope([], self.now))?.rows;
        bail!("after {most} rounds of work there is still some: {rows:#?}")
    }

    /// Nobody is known any more once each order is over for long enough. A little at a time: what one call takes is
    /// limited.
    fn forget(&mut self) -> Result<()> {
        let retention = Retention::days(30).expect("a setting");
        for _ in 0..14 {
            self.now += SignedDuration::from_hours(24 * 16);
            self.tell(Command::Erase { retention, now: self.now })?;
        }
        self.compare(true)?;
        let seen = self.stand.look(&self.model.everything(self.now))?;
        match laws::remembered(&seen) {
            Some(remembered) => bail!("{remembered}"),
            None => Ok(()),
        }
    }

    /// The one answer of a command that nothing befalls.
    fn tell(&mut self, command: Command) -> Result<Answer> {
        let answers = self.ask(vec![command], 1, Mishap::None)?;
        match answers.into_iter().next() {
            Some(Outcome::Told(answer)) => Ok(answer),
            other => bail!("no answer, though nothing happened: {other:?}"),
        }
    }

    /// What is due at an instant.
    fn work(&mut self, work: Work, at: Timestamp) -> Result<()> {
        let mails = match work {
            Work::Everyone => Mails::All,
            Work::Moving(account) => Mails::Moving(account),
        };
        let entropy = self.generator.dice.bits();
        self.tell(Command::Turn { work, until: at, entropy })?;
        let claimed = self.tell(Command::Claim { mails, now: at, lease: LEASE, limit: 1_000 })?;
        let Answer::Claimed(deliveries) = claimed else { bail!("not deliveries: {claimed:?}") };
        if deliveries.is_empty() {
            return Ok(());
        }
        let settlements = deliveries.iter().map(|delivery| sent(delivery, at, &mut self.generator.dice)).collect();
        let entropy = self.generator.dice.bits();
        let settled = self.tell(Command::Settle { settlements, now: at, entropy })?;
        let all = u64::try_from(deliveries.len())?;
        ensure!(
            matches!(settled, Answer::Settled(settled) if settled.settled == all && settled.dropped == 0),
            "what was just claimed isn't settled: {settled:?} of {all}"
        );
        Ok(())
    }

    /// Takes over a clock's move whose lease has ended, and lets happen what is due on its way.
    fn arrive(&mut self, account: AccountId) -> Result<()> {
        let taken = self.tell(Command::TakeOverMoves { now: self.now })?;
        let Answer::Moves(taken) = taken else { bail!("not moves: {taken:?}") };
        let found = taken.iter().find_map(|(of, clock)| (*of == account).then_some((clock, clock.moving?)));
        let Some((clock, moving)) = found else { bail!("the move of account {account} isn't taken over: {taken:?}") };
        let end = clock.node_time(moving.target);
        loop {
            let due = self.stand.look(&self.model.scope([], end))?.accounts[&account].due;
            let next = [due.first_mail, due.first_turn].into_iter().flatten().min().filter(|at| *at <= end);
            let Some(next) = next else { break };
            let at = next.max(self.now).min(end.max(next));
            let stepped = Command::StepClock { account, claim: moving.claim, at: clock.shown_at(at), now: self.now };
            ensure!(self.tell(stepped)? == Answer::Was(true), "the move that was taken over isn't ours");
            self.work(Work::Moving(account), at)?;
        }
        let ended = self.tell(Command::EndMove { account, claim: moving.claim, now: self.now })?;
        ensure!(ended == Answer::Was(true), "the move that was taken over doesn't end");
        Ok(())
    }

    /// Asks suppliers again, who answer now.
    fn redeem(&mut self) -> Result<()> {
        let asks = self.tell(Command::ClaimRedemptions { now: self.now, limit: 1_000 })?;
        let Answer::AskAgain(asks) = asks else { bail!("not redemptions: {asks:?}") };
        for AskAgain { gift, environment, redemption } in asks {
            let id = redemption.id;
            let supplied = match environment {
                Environment::Sandbox => self.generator.supplier.answer_now(id),
                Environment::Production => {
                    let (product_id, face_value) = (redemption.product_id, redemption.face.minor);
                    match self.tell(Command::TakeCode { product_id, face_value, redemption: id, now: self.now })? {
                        Answer::Code(code) => code.map_or(Supplied::Refused, Supplied::Code),
                        other => bail!("not a code: {other:?}"),
                    }
                }
            };
            let entropy = self.generator.dice.bits();
            self.tell(Command::SettleRedemption { gift, id, supplied, now: self.now, entropy })?;
        }
        Ok(())
    }
}
