//! A recipient's session: a cookie that says, with a MAC and nothing in the database, that whoever has it
//! controls the gift's address. Good for one gift, one link version, twelve hours of real time.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use giftd_domain::{Timestamp, limits};
use subtle::ConstantTimeEq as _;

use super::mac::{MAC_BYTES, mac};
use crate::keys::SecretKey;

const COOKIE_NAME: &str = "giftd_gift";
const PURPOSE: &str = "giftd recipient's session 1";
/// Seconds that it lasts.
const SECONDS: i64 = limits::SESSION_HOURS * 3_600;
/// Bytes of the end, in seconds since 1970.
const END_BYTES: usize = 8;
/// Bytes that tell two sessions of a gift apart, so that their forms differ.
const NONCE_BYTES: usize = 16;

/// A session that is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// What tells it from other sessions of the gift.
    pub nonce: [u8; NONCE_BYTES],
}

impl Session {
    /// The cookie of a new session for the link `token`, as the value of `Set-Cookie`.
    pub fn cookie(key: &SecretKey, token: &str, nonce: [u8; NONCE_BYTES], now: Timestamp, is_https: bool) -> String {
        let end = now.as_second().saturating_add(SECONDS).to_be_bytes();
        let made = mac(key, PURPOSE, &[token.as_bytes(), &end, &nonce]);
        let value = URL_SAFE_NO_PAD.encode([end.as_slice(), &nonce, &made].concat());
        let secure = if is_https { "; Secure" } else { "" };
        format!("{COOKIE_NAME}={value}; Path=/r/{token}; Max-Age={SECONDS}; HttpOnly; SameSite=Lax{secure}")
    }

    /// The session of a request for the link `token`, if it has one that is still good.
    pub fn of(headers: &HeaderMap, key: &SecretKey, token: &str, now: Timestamp) -> Option<Self> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let cookies = lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        cookies.filter(|(name, _)| *name == COOKIE_NAME).find_map(|(_, value)| Self::read(value, key, token, now))
    }

    fn read(value: &str, key: &SecretKey, token: &str, now: Timestamp) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (end, rest) = bytes.split_first_chunk::<END_BYTES>()?;
        let (nonce, made) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let expected: [u8; MAC_BYTES] = mac(key, PURPOSE, &[token.as_bytes(), end, nonce]);
        let is_ours = bool::from(expected.as_slice().ct_eq(made));
        (is_ours && now.as_second() < i64::from_be_bytes(*end)).then_some(Self { nonce: *nonce })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T18:00:00Z".parse().expect("an instant")
    }

    fn key() -> SecretKey {
        SecretKey::from_bytes([1; 32])
    }

    /// What a browser sends back of a `Set-Cookie`.
    fn sent(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let pair = cookie.split(';').next().expect("a pair");
        headers.insert(COOKIE, format!("other=1; {pair};x").parse().expect("a header"));
        headers
    }

    #[test]
    fn a_session_is_good_for_its_gift_for_twelve_hours() {
        let cookie = Session::cookie(&key(), "token", [7; 16], now(), true);
        let good = Some(Session { nonce: [7; 16] });
        assert_eq!(Session::of(&sent(&cookie), &key(), "token", now()), good);
        let last = now() + Duration::from_secs(12 * 3_600 - 1);
        assert_eq!(Session::of(&sent(&cookie), &key(), "token", last), good);
        assert_eq!(Session::of(&sent(&cookie), &key(), "token", last + Duration::from_secs(1)), None);
        assert_eq!(Session::of(&sent(&cookie), &key(), "other", now()), None, "another gift");
        assert_eq!(Session::of(&sent(&cookie), &SecretKey::from_bytes([2; 32]), "token", now()), None);
        assert_eq!(Session::of(&HeaderMap::new(), &key(), "token", now()), None);
    }

    #[test]
    fn a_session_with_any_character_changed_is_none() {
        let cookie = Session::cookie(&key(), "token", [7; 16], now(), false);
        let pair = cookie.split(';').next().expect("a pair");
        for position in COOKIE_NAME.len() + 1..pair.len() {
            let mut forged = pair.to_owned().into_bytes();
            forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("ASCII");
            assert_eq!(Session::of(&sent(&forged), &key(), "token", now()), None, "character {position}");
        }
    }

    #[test]
    fn scripts_and_other_sites_and_plain_http_never_see_it() {
        let cookie = Session::cookie(&key(), "AbC-_9", [7; 16], now(), true);
        let (_, attributes) = cookie.split_once("; ").expect("attributes");
        assert_eq!(attributes, "Path=/r/AbC-_9; Max-Age=43200; HttpOnly; SameSite=Lax; Secure");
        assert!(!Session::cookie(&key(), "AbC-_9", [7; 16], now(), false).contains("Secure"));
    }
}
