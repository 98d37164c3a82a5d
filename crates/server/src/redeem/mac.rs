//! MACs of the pages under the key of the links, each purpose its own, so that none is ever taken for another.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::keys::SecretKey;

/// Bytes of a MAC.
pub const MAC_BYTES: usize = 32;

/// The MAC of `parts`; no two lists of parts look alike.
pub fn mac(key: &SecretKey, purpose: &'static str, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes()).expect("HMAC takes keys of any length");
    mac.update(purpose.as_bytes());
    for part in parts {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_keys_and_parts_all_count() {
        let key = SecretKey::from_bytes([1; 32]);
        let one = mac(&key, "a", &[b"bc", b"d"]);
        assert_eq!(one, mac(&key, "a", &[b"bc", b"d"]));
        for other in [
            mac(&key, "b", &[b"bc", b"d"]),
            mac(&key, "a", &[b"b", b"cd"]),
            mac(&key, "a", &[b"bcd"]),
            mac(&key, "a", &[b"bc", b"d", b""]),
            mac(&SecretKey::from_bytes([2; 32]), "a", &[b"bc", b"d"]),
        ] {
            assert_ne!(one, other);
        }
    }
}
