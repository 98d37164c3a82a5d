//! What a page's form sends: small, url-encoded, and with a token that only our page can have put there.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use giftd_domain::limits;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use subtle::ConstantTimeEq as _;

use super::mac::mac;
use super::session::Session;
use crate::clock::Clock;
use crate::keys::SecretKey;

const PURPOSE: &str = "giftd recipient's form 1";
const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// What a form is for: its token is good for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Asks for a verification mail.
    Request,
    /// Uses the verification of this number.
    Verify(u32),
    /// Asks for a code under this redemption id.
    Redeem(u128),
}

impl Purpose {
    fn bytes(self) -> [u8; 17] {
        let (kind, number) = match self {
            Self::Request => (1, 0),
            Self::Verify(number) => (2, u128::from(number)),
            Self::Redeem(id) => (3, id),
        };
        let mut bytes = [kind; 17];
        bytes[1..].copy_from_slice(&number.to_be_bytes());
        bytes
    }
}

/// The token of a form on a page of the link `token`, and of the session, where there is one.
pub fn csrf(key: &SecretKey, token: &str, session: Option<&Session>, purpose: Purpose) -> String {
    let session = session.map_or(&[][..], |session| &session.nonce);
    URL_SAFE_NO_PAD.encode(mac(key, PURPOSE, &[token.as_bytes(), session, &purpose.bytes()]))
}

/// A form as it came.
#[derive(Debug)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form of at most [`limits::RECIPIENT_FORM_BYTES`]; else the status that says what is wrong with it.
    pub async fn read(clock: &Clock, headers: &HeaderMap, body: Body) -> Result<Self, StatusCode> {
        let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !media.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(MEDIA_TYPE)) {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let received = tokio::select! {
            received = Limited::new(body, limits::RECIPIENT_FORM_BYTES).collect() => received,
            () = clock.sleep(Duration::from_secs(limits::BODY_SECONDS)) => return Err(StatusCode::REQUEST_TIMEOUT),
        };
        match received {
            Ok(body) => Ok(Self(form_urlencoded::parse(&body.to_bytes()).into_owned().collect())),
            Err(error) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => Err(StatusCode::BAD_REQUEST),
        }
    }

    /// A field; none where it is missing or there twice.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// Whether its `csrf` is that of a form of ours.
    pub fn is_ours(&self, key: &SecretKey, token: &str, session: Option<&Session>, purpose: Purpose) -> bool {
        let expected = csrf(key, token, session, purpose);
        self.field("csrf").is_some_and(|csrf| bool::from(csrf.as_bytes().ct_eq(expected.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(media: &'static str, body: impl Into<Body>) -> Result<Form, StatusCode> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, media.parse().expect("a header"));
        Form::read(&Clock::system(), &headers, body.into()).await
    }

    #[tokio::test]
    async fn a_form_is_url_encoded_and_small() {
        let form = read(MEDIA_TYPE, "a=1&b=%E3%81%95+x&c=1&c=2&d").await.expect("a form");
        assert_eq!(form.field("a"), Some("1"));
        assert_eq!(form.field("b"), Some("さ x"));
        assert_eq!(form.field("c"), None, "twice");
        assert_eq!(form.field("d"), Some(""));
        assert_eq!(form.field("e"), None);
        assert!(read("Application/X-WWW-Form-urlencoded; charset=UTF-8", "").await.is_ok());
        assert_eq!(read("text/plain", "a=1").await.err(), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        assert!(read(MEDIA_TYPE, "a".repeat(limits::RECIPIENT_FORM_BYTES)).await.is_ok());
        let large = "a".repeat(limits::RECIPIENT_FORM_BYTES + 1);
        assert_eq!(read(MEDIA_TYPE, large).await.err(), Some(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[tokio::test]
    async fn a_token_is_good_for_its_gift_its_session_and_its_purpose() {
        let key = SecretKey::from_bytes([1; 32]);
        let (one, other) = (Session { nonce: [1; 16] }, Session { nonce: [2; 16] });
        let token = csrf(&key, "gift", Some(&one), Purpose::Redeem(7));
        let form = read(MEDIA_TYPE, format!("csrf={token}")).await.expect("a form");
        assert!(form.is_ours(&key, "gift", Some(&one), Purpose::Redeem(7)));
        assert!(!form.is_ours(&key, "other", Some(&one), Purpose::Redeem(7)));
        assert!(!form.is_ours(&key, "gift", Some(&other), Purpose::Redeem(7)));
        assert!(!form.is_ours(&key, "gift", None, Purpose::Redeem(7)));
        assert!(!form.is_ours(&key, "gift", Some(&one), Purpose::Redeem(8)));
        assert!(!form.is_ours(&key, "gift", Some(&one), Purpose::Verify(7)));
        assert!(!form.is_ours(&key, "gift", Some(&one), Purpose::Request));
        for body in ["", "csrf=", "csrf=AAAA", &format!("csrf={token}&csrf={token}")] {
            let form = read(MEDIA_TYPE, body.to_owned()).await.expect("a form");
            assert!(!form.is_ours(&key, "gift", Some(&one), Purpose::Redeem(7)), "{body}");
        }
    }
}
