//! The queue of mails about gifts.

use giftd_domain::Timestamp;
use giftd_domain::gifts::MailKind;
use giftd_domain::ids::GiftKey;
use rusqlite::params;

use super::group::Group;
use super::rows::{Column, name};
use crate::StoreError;

/// Makes the mail of a kind, to a gift that has an address, due at `due_at` of the node's clock, in the place of one that waits.
///
/// Claims of each send count from a number of its own: whoever still has a claim of an earlier send, be its row
/// there or gone, can't settle this one.
pub(super) fn queue_mail(
    group: &Group<'_>,
    gift: GiftKey,
    kind: MailKind,
    send_number: u32,
    due_at: Timestamp,
) -> Result<(), StoreError> {
    group
        .connection()
        .prepare_cached(
            "INSERT INTO mails (account_id, order_id, position, kind, run_at, due_at, claim, send_number, stays)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6 << 32, ?6,
                (SELECT environment = 'SANDBOX' FROM accounts WHERE account_id = ?1))
             ON CONFLICT DO UPDATE SET run_at = excluded.run_at, due_at = excluded.due_at, tried_since = NULL,
                attempts = 0, claim = excluded.claim, send_number = excluded.send_number",
        )?
        .execute(params![
            gift.account_id.0,
            Column(gift.order),
            gift.position,
            name(kind),
            Column(due_at),
            send_number
        ])?;
    Ok(())
}

/// Takes back a gift's mail of a kind, if one waits; a claim of it can't be settled any more.
pub(super) fn drop_mail(group: &Group<'_>, gift: GiftKey, kind: MailKind) -> Result<(), StoreError> {
    group
        .connection()
        .prepare_cached("DELETE FROM mails WHERE account_id = ?1 AND order_id = ?2 AND position = ?3 AND kind = ?4")?
        .execute(params![gift.account_id.0, Column(gift.order), gift.position, name(kind)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use giftd_domain::gifts::{DeliveryOutcome, Reminders, Settlement};
    use jiff::SignedDuration;

    use super::*;
    use crate::sqlite::claim::claim_deliveries;
    use crate::sqlite::example::{at, database, done, in_group, place, sandbox};
    use crate::sqlite::settle::settle_deliveries;
    use crate::{Mails, SettleDelivery, Settled};

    #[test]
    fn a_claim_of_a_send_that_is_over_never_settles_the_next() {
        let connection = database();
        let account = sandbox(&connection);
        in_group(&connection, |group| {
            let order = place(group, account, "order", 1, at(0));
            let gift = GiftKey { account_id: account, order: order.time, position: 1 };
            let claim = |group: &mut Group<'_>, now| {
                let lease = SignedDuration::from_secs(60);
                let mut claimed = done(group, |group| claim_deliveries(group, Mails::All, now, lease, 10));
                claimed.remove(0)
            };
            let settle = |group: &mut Group<'_>, claim: i64| {
                let outcome = DeliveryOutcome::Failed { at: at(0), error: "late".to_owned() };
                let gift = giftd_domain::ids::GiftId { order, position: 1 };
                let settlement = Settlement { account_id: account, gift, kind: MailKind::Gift, claim, outcome };
                let settlements = vec![SettleDelivery { settlement, retry_at: at(0) }];
                done(group, |group| settle_deliveries(group, settlements, &Reminders::default(), at(0), 1))
            };
            let (slow, quick) = (claim(group, at(0)), claim(group, at(60)));
            assert_eq!(settle(group, quick.claim).settled, 1);
            // As many claims as before, of a row of the same key.
            done(group, |group| queue_mail(group, gift, MailKind::Gift, 2, at(60)));
            let (first, second) = (claim(group, at(60)), claim(group, at(120)));
            let dropped = Settled { dropped: 1, ..Settled::default() };
            for old in [slow.claim, quick.claim, first.claim] {
                assert_eq!(settle(group, old), dropped);
            }
            assert_eq!((second.send_number, settle(group, second.claim).settled), (2, 1));
        });
    }
}
