//! Captured mails, and how many previews went out.

use giftd_domain::Timestamp;
use giftd_domain::history::Span;
use giftd_domain::ids::TimeId;
use giftd_domain::limits;
use giftd_store::CapturedMail;
use jiff::SignedDuration;

use super::{Account, Model};
use crate::command::Answer;

/// Mails are kept from this id on.
fn oldest(now: Timestamp) -> TimeId {
    TimeId::first_at(now - SignedDuration::from_hours(24 * limits::SANDBOX_MAIL_DAYS))
}

impl Model {
    pub(super) fn drop_old_mails(&mut self, now: Timestamp) -> Answer {
        let count = |of: &Self| of.accounts.values().map(|account| account.kept_mails.len()).sum::<usize>();
        let before = count(self);
        self.accounts.values_mut().for_each(|account| account.kept_mails.retain(|(id, _)| *id >= oldest(now)));
        Answer::Dropped(u64::try_from(before - count(self)).expect("a count"))
    }
}

impl Account {
    pub(super) fn keep_mails(&mut self, mails: &[CapturedMail], now: Timestamp, entropy: u128) -> Answer {
        let mut last = self.kept_mails.last().map(|(id, _)| *id);
        for mail in mails {
            let id = TimeId::next(last, now, entropy).expect("ids of this millisecond are left");
            last = Some(id);
            match self.kept_mails.iter_mut().find(|(_, kept)| kept.message_id == mail.message_id) {
                Some((_, kept)) => *kept = mail.clone(),
                None => self.kept_mails.push((id, mail.clone())),
            }
        }
        self.kept_mails.retain(|(id, _)| *id >= oldest(now));
        let too_many = self.kept_mails.len().saturating_sub(limits::SANDBOX_MAILS);
        self.kept_mails.drain(..too_many);
        Answer::Done
    }

    /// Newest first.
    pub fn kept_mails(&self, now: Timestamp) -> Vec<CapturedMail> {
        self.kept_mails.iter().rev().filter(|(id, _)| *id >= oldest(now)).map(|(_, mail)| mail.clone()).collect()
    }

    pub(super) fn count_test_mail(&mut self, now: Timestamp) -> Answer {
        let mailed = self.previews.entry(Span::day(now)).or_default();
        if *mailed >= limits::TEST_MAILS_A_DAY {
            return Answer::Left(None);
        }
        *mailed += 1;
        Answer::Left(Some(limits::TEST_MAILS_A_DAY - *mailed))
    }
}
