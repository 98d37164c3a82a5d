//! Mails that are due about gifts.

use giftd_domain::Timestamp;
use giftd_domain::gifts::MailKind;
use giftd_domain::ids::GiftKey;

use super::batch::{Batch, parameters};
use super::error::Failure;
use super::gifts::Keys;
use super::rows::{micros, name};

/// Claims of one send that leave room for the next one's: an outcome of an earlier send, however late, has
/// a number that no claim of a later one gets.
const CLAIMS: i64 = 1 << 32;

/// New mails to gifts that have an address, column by column. Each replaces a waiting one of its kind, whose claim is over.
#[derive(Default)]
pub(super) struct NewMails {
    keys: Keys,
    kinds: Vec<&'static str>,
    run_at: Vec<i64>,
    numbers: Vec<i64>,
    claims: Vec<i64>,
}

impl NewMails {
    /// A mail that is due at an instant of the node's clock.
    pub(super) fn add(&mut self, gift: GiftKey, kind: MailKind, send_number: u32, due_at: Timestamp) {
        self.keys.push(gift);
        self.kinds.push(name(kind));
        self.run_at.push(micros(due_at));
        self.numbers.push(i64::from(send_number));
        self.claims.push(i64::from(send_number.saturating_sub(1)) * CLAIMS);
    }

    pub(super) async fn write(self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let Keys { accounts, orders, positions } = self.keys;
        batch
            .add(
                "INSERT INTO mails AS m (account_id, order_id, position, kind, run_at, due_at, send_number, claim, stays)
                 SELECT account_id, order_id, position, kind, run_at, run_at, send_number, claim,
                    (SELECT environment = 'SANDBOX' FROM accounts WHERE account_id = w.account_id)
                 FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[])
                    AS w (account_id, order_id, position, kind, run_at, send_number, claim)
                 ON CONFLICT (account_id, order_id, position, kind) DO UPDATE
                 SET run_at = excluded.run_at, due_at = excluded.due_at, tried_since = NULL, attempts = 0,
                    send_number = excluded.send_number, claim = GREATEST(m.claim + 1, excluded.claim)",
                parameters![accounts, orders, positions, self.kinds, self.run_at, self.numbers, self.claims],
            )
            .await
    }
}
