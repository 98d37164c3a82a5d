//! The tokens of links. The input is a token; its bytes are also a gift, and a forgery of that gift's link. Only what
//! was made with the key opens anything, and what opens is written back the same.
#![no_main]

use giftd::keys::SecretKey;
use giftd::links::{GiftLink, page, token, verification_token, verify, verify_verification};
use giftd_domain::ids::{AccountId, OrderId, TimeId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (key, other_key) = (SecretKey::from_bytes([1; 32]), SecretKey::from_bytes([2; 32]));
    if let Ok(text) = std::str::from_utf8(data) {
        let opened = verify(&key, text);
        assert!(opened.is_none_or(|gift| token(&key, gift) == text), "{text:?} opens what is written in another way");
        assert!(opened.is_none() || verify(&other_key, text).is_none(), "{text:?} is good under two keys");
        if let Ok(order) = text.parse::<OrderId>() {
            assert_eq!(order.to_string(), text);
        }
    }

    let Some((fields, forging)) = data.split_first_chunk::<36>() else { return };
    let (gift, number) = of_bytes(fields);
    let link = token(&key, gift);
    assert_eq!(verify(&key, &link), Some(gift));
    assert_eq!(verify(&other_key, &link), None);
    assert_eq!(page("https://gifts.example.com", &key, gift), format!("https://gifts.example.com/r/{link}"));
    let verification = verification_token(&key, gift, number);
    assert_eq!(verify_verification(&key, gift, &verification), Some(number));
    assert_eq!(verify_verification(&other_key, gift, &verification), None);
    let moved = GiftLink { link_version: gift.link_version.wrapping_add(1), ..gift };
    assert_eq!(verify_verification(&key, moved, &verification), None);

    // The link with a few bytes changed, as the rest of the input says: place and new byte, in turn.
    let forged = |genuine: &str| {
        let mut forged = genuine.to_owned().into_bytes();
        for change in forging.chunks_exact(2) {
            let place = usize::from(change[0]) % forged.len();
            forged[place] = change[1];
        }
        String::from_utf8(forged).ok().filter(|forged| forged != genuine)
    };
    assert!(forged(&link).is_none_or(|forged| verify(&key, &forged).is_none()), "a forged link of {gift:?}");
    let opens = |forged: String| verify_verification(&key, gift, &forged).is_some();
    assert!(!forged(&verification).is_some_and(opens), "a forged verification of {gift:?}");
});

fn of_bytes(fields: &[u8; 36]) -> (GiftLink, u32) {
    let bits =
        |from: usize, to: usize| fields[from..to].iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let small = |from: usize| u32::try_from(bits(from, from + 4)).expect("four bytes");
    let account = u64::try_from(bits(0, 8)).expect("eight bytes").cast_signed();
    let gift = GiftLink {
        account: AccountId(account),
        order: TimeId::from_bits(bits(8, 24)),
        position: small(24),
        link_version: small(28),
    };
    (gift, small(32))
}
