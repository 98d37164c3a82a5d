//! Codes at rest: encrypted under a key that isn't in the database, each bound to where it belongs, so that
//! nobody who reads the database learns a code, and nobody who writes it can move one to another row.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use giftd_domain::gifts::redemption::{Redemption, Sealed};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::Code;
use crate::keys::SecretKey;

/// Bytes of a nonce: enough to choose each at random.
const NONCE_BYTES: usize = 24;
/// Bytes of a key's id.
const KEY_ID_BYTES: usize = 8;

/// Where a sealed code belongs. Opened anywhere else it is none.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// In stock, as what an operator imported.
    Stock {
        /// The branded card.
        product_id: &'a str,
        /// In minor units of its currency.
        face_value: i64,
    },
    /// At the redemption that it was handed out to.
    Redemption(&'a Redemption),
}

/// Why a sealed code can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotOpen {
    /// It was sealed under another key.
    #[error("it is encrypted under the key {of}, and codes.key is {ours}: bring that file back")]
    OtherKey {
        /// The id of its key.
        of: String,
        /// The id of ours.
        ours: String,
    },
    /// It was changed, or belongs elsewhere.
    #[error("it was changed in the database, or moved there from another row")]
    Changed,
}

/// Encrypts a code; `nonce` is random.
pub fn seal(key: &SecretKey, nonce: [u8; NONCE_BYTES], place: Place<'_>, code: &Code) -> Sealed {
    let plain = serde_json::to_vec(&(&code.code, &code.pin)).expect("texts are JSON");
    let payload = Payload { msg: &plain, aad: &place.bytes() };
    let encrypted = cipher(key).encrypt(&XNonce::from(nonce), payload).expect("a code is short");
    Sealed { key_id: key_id(key), bytes: [nonce.as_slice(), &encrypted].concat() }
}

/// Decrypts a code that was sealed under this key for this place.
pub fn open(key: &SecretKey, place: Place<'_>, sealed: &Sealed) -> Result<Code, CannotOpen> {
    let ours = key_id(key);
    if sealed.key_id != ours {
        return Err(CannotOpen::OtherKey { of: sealed.key_id.clone(), ours });
    }
    let (nonce, encrypted) = sealed.bytes.split_first_chunk::<NONCE_BYTES>().ok_or(CannotOpen::Changed)?;
    let payload = Payload { msg: encrypted, aad: &place.bytes() };
    let plain = cipher(key).decrypt(&XNonce::from(*nonce), payload).map_err(|_| CannotOpen::Changed)?;
    let (code, pin) = serde_json::from_slice(&plain).map_err(|_| CannotOpen::Changed)?;
    Ok(Code { code, pin })
}

/// What tells a product's code from all others and says nothing about it to who doesn't have the key: known
/// codes aren't imported again.
pub fn hash(key: &SecretKey, product_id: &str, code: &str) -> [u8; 32] {
    mac(key, b"giftd code hash 1", &[product_id.as_bytes(), code.as_bytes()])
}

/// Names a key.
pub fn key_id(key: &SecretKey) -> String {
    let id = mac(key, b"giftd code key id 1", &[]);
    id.iter().take(KEY_ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// A MAC of `parts`, in this order, for one purpose.
pub(super) fn mac(key: &SecretKey, purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes()).expect("HMAC takes keys of any length");
    mac.update(&joined(purpose, parts));
    mac.finalize().into_bytes().into()
}

impl Place<'_> {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Stock { product_id, face_value } => {
                joined(b"giftd code in stock 1", &[product_id.as_bytes(), &face_value.to_be_bytes()])
            }
            Self::Redemption(Redemption { id, product_id, face, .. }) => joined(
                b"giftd code of a redemption 1",
                &[&id.0.to_be_bytes(), product_id.as_bytes(), &face.minor.to_be_bytes()],
            ),
        }
    }
}

/// All parts, each after its length, so that no other parts make the same bytes.
fn joined(purpose: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in [purpose].iter().chain(parts) {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn cipher(key: &SecretKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.bytes().into())
}

#[cfg(test)]
mod tests {
    use giftd_domain::Timestamp;
    use giftd_domain::gifts::redemption::{RedemptionId, RedemptionState};
    use giftd_domain::money::Money;

    use super::*;

    const STOCK: Place<'_> = Place::Stock { product_id: "10042", face_value: 2_500 };

    fn key() -> SecretKey {
        SecretKey::from_bytes([7; 32])
    }

    fn code() -> Code {
        Code { code: "ABCD-1234-Ü".to_owned(), pin: Some("0042".to_owned()) }
    }

    fn redemption(id: u128) -> Redemption {
        Redemption {
            id: RedemptionId(id),
            product_id: "10042".to_owned(),
            product_name: "Sakura Books".to_owned(),
            face: Money::usd(2_500),
            cost: 2_500,
            state: RedemptionState::Reserved,
            code: None,
            asked_again: 0,
            reserved_at: Timestamp::UNIX_EPOCH,
            settled_at: None,
        }
    }

    #[test]
    fn a_code_reads_back_where_it_belongs() {
        for code in [code(), Code { pin: None, ..code() }] {
            assert!(open(&key(), STOCK, &seal(&key(), [1; 24], STOCK, &code)) == Ok(code.clone()));
            let (of, later) = (redemption(9), Redemption { state: RedemptionState::Done, ..redemption(9) });
            let sealed = seal(&key(), [1; 24], Place::Redemption(&of), &code);
            assert!(open(&key(), Place::Redemption(&later), &sealed) == Ok(code), "what changes later isn't bound");
        }
    }

    #[test]
    fn nothing_of_a_code_is_in_what_is_kept_or_printed() {
        let sealed = seal(&key(), [1; 24], STOCK, &code());
        let kept = String::from_utf8_lossy(&sealed.bytes).into_owned();
        for shown in [kept, format!("{:?} {:?}", sealed, code())] {
            assert!(!shown.contains("1234") && !shown.contains("0042"), "{shown}");
        }
    }

    #[test]
    fn a_code_of_which_any_byte_was_changed_cannot_be_read() {
        let sealed = seal(&key(), [1; 24], STOCK, &code());
        for position in 0..sealed.bytes.len() {
            let mut forged = sealed.clone();
            forged.bytes[position] ^= 1;
            assert_eq!(open(&key(), STOCK, &forged), Err(CannotOpen::Changed), "byte {position}");
        }
        for length in [0, 1, 24, sealed.bytes.len() - 1] {
            let cut = Sealed { bytes: sealed.bytes[..length].to_vec(), ..sealed.clone() };
            assert_eq!(open(&key(), STOCK, &cut), Err(CannotOpen::Changed), "{length} bytes");
        }
    }

    #[test]
    fn a_code_that_was_moved_to_another_row_cannot_be_read() {
        let (one, other) = (redemption(1), redemption(2));
        let dearer = Redemption { face: Money::usd(50_000), ..redemption(1) };
        let elsewhere = Redemption { product_id: "20001".to_owned(), ..redemption(1) };
        let places = [
            STOCK,
            Place::Stock { product_id: "20001", face_value: 2_500 },
            Place::Stock { product_id: "10042", face_value: 50_000 },
            Place::Redemption(&one),
            Place::Redemption(&other),
            Place::Redemption(&dearer),
            Place::Redemption(&elsewhere),
        ];
        for (from, place) in places.into_iter().enumerate() {
            let sealed = seal(&key(), [1; 24], place, &code());
            for (to, place) in places.into_iter().enumerate() {
                assert_eq!(open(&key(), place, &sealed).is_ok(), from == to, "{from} → {to}");
            }
        }
    }

    #[test]
    fn another_keys_code_cannot_be_read_and_the_error_names_both_keys() {
        let other = SecretKey::from_bytes([8; 32]);
        let sealed = seal(&other, [1; 24], STOCK, &code());
        let expected = CannotOpen::OtherKey { of: key_id(&other), ours: key_id(&key()) };
        assert_eq!(open(&key(), STOCK, &sealed), Err(expected));
        let renamed = Sealed { key_id: key_id(&key()), ..sealed };
        assert_eq!(open(&key(), STOCK, &renamed), Err(CannotOpen::Changed));
    }

    #[test]
    fn the_same_code_has_the_same_hash_in_one_product_and_under_one_key_only() {
        let known = hash(&key(), "10042", "ABCD");
        assert_eq!(known, hash(&key(), "10042", "ABCD"));
        for other in [
            hash(&key(), "10042", "ABCE"),
            hash(&key(), "1004", "2ABCD"),
            hash(&SecretKey::from_bytes([8; 32]), "10042", "ABCD"),
        ] {
            assert_ne!(known, other);
        }
    }
}
