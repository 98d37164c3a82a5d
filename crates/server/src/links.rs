//! The token of a gift's link: the gift, its link version and a MAC under a key that isn't in the
//! database. Nobody who reads the database can redeem, and the link can be made again at any time.
//! So is the token of a verification's link, which stands behind the gift's.

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
/// Bytes of the MAC in a verification's token: 136 bits, so that number and MAC fill their characters.
const VERIFICATION_MAC_BYTES: usize = 17;
/// Bytes of a verification's number.
const NUMBER_BYTES: usize = 4;
/// Characters of a verification's token: base64url of both.
const VERIFICATION_CHARACTERS: usize = (NUMBER_BYTES + VERIFICATION_MAC_BYTES) / 3 * 4;
/// What the key is used for, so that no MAC made for one purpose is ever good for another.
const GIFT_PURPOSE: &[u8] = b"giftd gift link 1";
/// See [`GIFT_PURPOSE`].
const VERIFICATION_PURPOSE: &[u8] = b"giftd verification 1";

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
    let fields = gift.to_bytes();
    URL_SAFE_NO_PAD.encode([fields.as_slice(), &mac_of::<MAC_BYTES>(key, &[GIFT_PURPOSE, &fields])].concat())
}

/// The address of a gift's page, where giftd is reached at `public_url`.
pub fn page(public_url: &str, key: &SecretKey, gift: GiftLink) -> String {
    format!("{public_url}/r/{}", token(key, gift))
}

/// What a token opens; none unless it was made by [`token`] with this key.
pub fn verify(key: &SecretKey, token: &str) -> Option<GiftLink> {
    if token.len() != TOKEN_CHARACTERS {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (fields, mac) = bytes.split_first_chunk::<GIFT_BYTES>()?;
    let made = mac_of::<MAC_BYTES>(key, &[GIFT_PURPOSE, fields]);
    bool::from(made.as_slice().ct_eq(mac)).then(|| GiftLink::from_bytes(fields)).flatten()
}

/// The 28 characters after `/r/{gift token}/verify/` of the link of the gift's verification `number`. It dies with the
/// gift's link.
pub fn verification_token(key: &SecretKey, gift: GiftLink, number: u32) -> String {
    let number = number.to_be_bytes();
    let mac = mac_of::<VERIFICATION_MAC_BYTES>(key, &[VERIFICATION_PURPOSE, &gift.to_bytes(), &number]);
    URL_SAFE_NO_PAD.encode([number.as_slice(), &mac].concat())
}

/// The number of the verification whose token this is; none unless it was made by [`verification_token`] with this
/// key for this gift and link version.
pub fn verify_verification(key: &SecretKey, gift: GiftLink, token: &str) -> Option<u32> {
    if token.len() != VERIFICATION_CHARACTERS {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (number, mac) = bytes.split_first_chunk::<NUMBER_BYTES>()?;
    let made = mac_of::<VERIFICATION_MAC_BYTES>(key, &[VERIFICATION_PURPOSE, &gift.to_bytes(), number]);
    bool::from(made.as_slice().ct_eq(mac)).then(|| u32::from_be_bytes(*number))
}

impl GiftLink {
    fn to_bytes(self) -> [u8; GIFT_BYTES] {
        let mut fields = [0; GIFT_BYTES];
        fields[..8].copy_from_slice(&self.account.0.to_be_bytes());
        fields[8..24].copy_from_slice(&self.order.to_bits().to_be_bytes());
        fields[24..28].copy_from_slice(&self.position.to_be_bytes());
        fields[28..].copy_from_slice(&self.link_version.to_be_bytes());
        fields
    }

    fn from_bytes(fields: &[u8; GIFT_BYTES]) -> Option<Self> {
        Some(Self {
            account: AccountId(i64::from_be_bytes(fields[..8].try_into().ok()?)),
            order: TimeId::from_bits(u128::from_be_bytes(fields[8..24].try_into().ok()?)),
            position: u32::from_be_bytes(fields[24..28].try_into().ok()?),
            link_version: u32::from_be_bytes(fields[28..].try_into().ok()?),
        })
    }
}

/// The first `N` bytes, up to 32, of the MAC of `parts`, which must tell themselves apart.
fn mac_of<const N: usize>(key: &SecretKey, parts: &[&[u8]]) -> [u8; N] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes()).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    let whole: [u8; 32] = mac.finalize().into_bytes().into();
    let mut start = [0; N];
    start.copy_from_slice(&whole[..N]);
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

    #[test]
    fn a_verification_reads_back_for_its_gift_version_and_key_only() {
        let key = SecretKey::from_bytes([1; 32]);
        let token = verification_token(&key, gift(), 3);
        assert_eq!(token.len(), 28);
        assert_eq!(verify_verification(&key, gift(), &token), Some(3));
        assert_ne!(token, verification_token(&key, gift(), 4));
        for other in [
            GiftLink { link_version: 3, ..gift() },
            GiftLink { position: 9_999, ..gift() },
            GiftLink { account: AccountId(8), ..gift() },
            GiftLink { order: TimeId::from_bits(1), ..gift() },
        ] {
            assert_eq!(verify_verification(&key, other, &token), None);
        }
        assert_eq!(verify_verification(&SecretKey::from_bytes([2; 32]), gift(), &token), None);
    }

    #[test]
    fn a_verification_with_any_character_changed_is_none() {
        let key = SecretKey::from_bytes([1; 32]);
        let token = verification_token(&key, gift(), u32::MAX);
        for position in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("ASCII");
            assert_eq!(verify_verification(&key, gift(), &forged), None, "character {position}");
        }
        for wrong in ["", &token[1..], &format!("{token}A"), &"A".repeat(28), &"ü".repeat(14)] {
            assert_eq!(verify_verification(&key, gift(), wrong), None, "{wrong}");
        }
    }
}
