//! The token of a gift's link: the gift, its link version and a MAC under a key that isn't in the
//! database. Nobody who reads the database can redeem, and the link can be made again at any time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use giftd_domain::ids::{AccountId, TimeId};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::keys::SecretKey;

/// Bytes of the MAC in a token: 128 bits.
const MAC_BYTES: usize = 16;
/// Bytes of what the MAC protects: account 8, order 16, position 4, link version 4.
const GIFT_BYTES: usize = 32;
/// Characters of a token: base64url of both.
const TOKEN_CHARACTERS: usize = (GIFT_BYTES + MAC_BYTES) / 3 * 4;
/// What the key is used for here, so that no MAC made for another purpose is ever a link.
const PURPOSE: &[u8] = b"giftd gift link 1";

/// What a link opens: a gift, as long as the link has the gift's current version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GiftLink {
    /// The account that placed the order.
    pub account: AccountId,
    /// The order.
    pub order: TimeId,
    /// The recipient's position in it, from 1.
    pub position: u32,
    /// Counts how often the gift moved to another address; older links are dead.
    pub link_version: u32,
}

/// The 64 characters after `/r/` of a gift's link.
pub fn token(key: &SecretKey, gift: GiftLink) -> String {
    let mut bytes = [0; GIFT_BYTES + MAC_BYTES];
    let (fields, mac) = bytes.split_at_mut(GIFT_BYTES);
    fields[..8].copy_from_slice(&gift.account.0.to_be_bytes());
    fields[8..24].copy_from_slice(&gift.order.to_bits().to_be_bytes());
    fields[24..28].copy_from_slice(&gift.position.to_be_bytes());
    fields[28..].copy_from_slice(&gift.link_version.to_be_bytes());
    mac.copy_from_slice(&mac_of(key, fields));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What a token opens; none unless it was made by [`token`] with this key.
pub fn verify(key: &SecretKey, token: &str) -> Option<GiftLink> {
    if token.len() != TOKEN_CHARACTERS {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (fields, mac) = bytes.split_at_checked(GIFT_BYTES)?;
    if !bool::from(mac_of(key, fields).as_slice().ct_eq(mac)) {
        return None;
    }
    Some(GiftLink {
        account: AccountId(i64::from_be_bytes(fields[..8].try_into().ok()?)),
        order: TimeId::from_bits(u128::from_be_bytes(fields[8..24].try_into().ok()?)),
        position: u32::from_be_bytes(fields[24..28].try_into().ok()?),
        link_version: u32::from_be_bytes(fields[28..].try_into().ok()?),
    })
}

fn mac_of(key: &SecretKey, fields: &[u8]) -> [u8; MAC_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes()).expect("HMAC takes keys of any length");
    mac.update(PURPOSE);
    mac.update(fields);
    let whole: [u8; 32] = mac.finalize().into_bytes().into();
    let mut start = [0; MAC_BYTES];
    start.copy_from_slice(&whole[..MAC_BYTES]);
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gift() -> GiftLink {
        GiftLink { account: AccountId(7), order: TimeId::from_bits(u128::MAX / 3), position: 10_000, link_version: 2 }
    }

    #[test]
    fn a_link_reads_back_and_is_the_same_each_time() {
        let key = SecretKey::from_bytes([1; 32]);
        let link = token(&key, gift());
        assert_eq!(link, token(&key, gift()));
        assert_eq!(link.len(), 64);
        assert_eq!(verify(&key, &link), Some(gift()));
    }

    #[test]
    fn a_link_with_any_character_changed_opens_nothing() {
        let key = SecretKey::from_bytes([1; 32]);
        let link = token(&key, gift());
        for position in 0..link.len() {
            let mut forged = link.clone().into_bytes();
            forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(verify(&key, &String::from_utf8(forged).expect("ASCII")), None, "character {position}");
        }
        for wrong in
            ["", "A", &link[1..], &format!("{link}A"), &format!("{link}="), "ü", &"A".repeat(64), &"ü".repeat(32)]
        {
            assert_eq!(verify(&key, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_moved_gifts_old_link_and_another_keys_link_differ() {
        let key = SecretKey::from_bytes([1; 32]);
        let moved = GiftLink { link_version: 3, ..gift() };
        assert_ne!(token(&key, gift()), token(&key, moved));
        assert_eq!(verify(&SecretKey::from_bytes([2; 32]), &token(&key, gift())), None);
    }
}
