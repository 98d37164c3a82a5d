//! The queue of mails about gifts.

use giftd_domain::Timestamp;
use giftd_domain::gifts::MailKind;
use giftd_domain::ids::GiftKey;
use rusqlite::params;

use super::group::Group;
use super::rows::{Column, name};
use crate::StoreError;

/// Makes a gift's mail of a kind due at `due_at` of the node's clock, in the place of one that waits.
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
            "INSERT INTO mails (account_id, order_id, position, kind, run_at, due_at, claim, send_number)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6 << 32, ?6)
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
