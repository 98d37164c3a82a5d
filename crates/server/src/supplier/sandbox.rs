//! The sandbox's supplier: makes codes that are worth nothing, and never runs out of them.

use async_trait::async_trait;
use giftd_domain::gifts::redemption::RedemptionId;
use giftd_domain::money::Money;

use super::sealed::mac;
use super::{Answer, Code, Supplier};
use crate::keys::SecretKey;

/// What the key is used for here.
const PURPOSE: &[u8] = b"giftd sandbox code 1";
/// Letters and digits that nobody mistakes for one another (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters between two dashes.
const GROUP: usize = 4;

/// Makes codes from a key and the redemption's id, so that asking again gives the same.
pub(super) struct Sandbox<'a>(pub(super) &'a SecretKey);

#[async_trait]
impl Supplier for Sandbox<'_> {
    async fn ask(&self, _: &str, _: Money, redemption: RedemptionId) -> Answer {
        Answer::Code(code(self.0, redemption))
    }
}

/// `TEST-…` and a PIN of four digits.
fn code(key: &SecretKey, redemption: RedemptionId) -> Code {
    let bytes = mac(key, PURPOSE, &[&redemption.0.to_be_bytes()]);
    let (code, pin) = bytes.split_at(3 * GROUP);
    let letters: Vec<char> = code.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    let groups: Vec<String> = letters.chunks(GROUP).map(|group| group.iter().collect()).collect();
    let pin = pin.iter().take(4).map(|byte| char::from(b'0' + byte % 10)).collect();
    Code { code: format!("TEST-{}", groups.join("-")), pin: Some(pin) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_again_gives_the_same_code_and_another_redemption_another() {
        let key = SecretKey::from_bytes([1; 32]);
        let (one, other) = (code(&key, RedemptionId(1)), code(&key, RedemptionId(2)));
        assert!(one == code(&key, RedemptionId(1)) && one != other);
        assert!(code(&SecretKey::from_bytes([2; 32]), RedemptionId(1)) != one, "nobody makes one without the key");
    }

    #[test]
    fn codes_say_that_they_are_for_tests_and_have_a_pin() {
        let Code { code, pin } = code(&SecretKey::from_bytes([1; 32]), RedemptionId(7));
        assert_eq!((code.len(), code.split('-').count()), (19, 4), "{code}");
        assert!(code.starts_with("TEST-") && pin.is_some_and(|pin| pin.len() == 4 && pin.parse::<u16>().is_ok()));
    }
}
