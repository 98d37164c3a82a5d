//! Access tokens: JWTs as RFC 9068 has them, signed with Ed25519. What they say is believed for as long
//! as they are good; that their app still exists, with the same secret, is looked up beside (`caller`).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use giftd_domain::Timestamp;
use giftd_domain::access::Scopes;
use giftd_domain::limits;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;
use crate::keys::Keys;

/// The `typ` of an access token (RFC 9068 section 2.1); nothing else signed with this key is one.
const TYPE: &str = "at+jwt";

/// What a token says (RFC 9068 section 2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it: the public URL.
    pub iss: String,
    /// For which API it is good.
    pub aud: String,
    /// Whose it is: the client id, as there is no person behind it.
    pub sub: String,
    /// The app it was issued to.
    pub client_id: String,
    /// What it allows, with single spaces.
    pub scope: String,
    /// Its own id.
    pub jti: String,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Good before this, in seconds since 1970.
    pub exp: i64,
    /// The version of the app's secret that it was issued for: a rotation ends it.
    pub secret_version: i64,
}

/// Issues and verifies access tokens.
pub struct Tokens {
    clock: Clock,
    issuer: String,
    audience: String,
    header: Header,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
    jwks: serde_json::Value,
    /// SHA-256 of a token whose signature was verified → what it says.
    verified: Cache<[u8; 32], Arc<Claims>>,
}

impl Tokens {
    /// Tokens of `issuer`, the public URL without a final slash.
    pub fn new(keys: &Keys, issuer: &str, clock: Clock) -> Self {
        let public = URL_SAFE_NO_PAD.encode(keys.token_signing().verifying_key());
        let key_id = thumbprint(&public);
        let audience = format!("{issuer}/api/v1");
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key_id.clone());
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[&audience]);
        // The library would read the machine's clock; `verify` compares with ours, at each use.
        validation.validate_exp = false;
        let jwks = serde_json::json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "x": &public, "kid": key_id, "use": "sig", "alg": "EdDSA"}
        ]});
        Self {
            clock,
            issuer: issuer.to_owned(),
            audience,
            header,
            signing: signing_key(keys.token_signing()),
            verifying: DecodingKey::from_ed_components(&public).expect("made from a key"),
            validation,
            jwks,
            verified: Cache::builder().max_capacity(limits::TOKENS_REMEMBERED).build(),
        }
    }

    /// A new token for an app, good for `seconds`.
    pub fn issue(&self, client_id: &str, scopes: &Scopes, secret_version: i64, seconds: i64) -> String {
        let now = self.clock.now().as_second();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: client_id.to_owned(),
            client_id: client_id.to_owned(),
            scope: scopes.to_string(),
            jti: URL_SAFE_NO_PAD.encode(self.clock.entropy().to_be_bytes()),
            iat: now,
            exp: now.saturating_add(seconds),
            secret_version,
        };
        jsonwebtoken::encode(&self.header, &claims, &self.signing).expect("claims are JSON and the key is ours")
    }

    /// What a token says, if it is ours and still good. The signature is computed on first use only;
    /// that it hasn't expired is checked each time.
    pub async fn verify(&self, token: &str) -> Result<Arc<Claims>, NotAToken> {
        if token.len() > limits::TOKEN_BYTES {
            return Err(NotAToken::Malformed);
        }
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(claims) = self.verified.get(&hash).await {
            return still_good(claims, self.clock.now());
        }
        let claims = still_good(Arc::new(self.decode(token)?), self.clock.now())?;
        self.verified.insert(hash, claims.clone()).await;
        Ok(claims)
    }

    /// The public keys, for `/.well-known/jwks.json` (RFC 7517).
    pub fn jwks(&self) -> &serde_json::Value {
        &self.jwks
    }

    /// The issuer, as tokens and the metadata document name it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    fn decode(&self, token: &str) -> Result<Claims, NotAToken> {
        let data = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation).map_err(|error| {
            use jsonwebtoken::errors::ErrorKind;
            match error.kind() {
                ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => NotAToken::ForAnotherServer,
                ErrorKind::InvalidSignature => NotAToken::BadSignature,
                _ => NotAToken::Malformed,
            }
        })?;
        let is_access_token = data
            .header
            .typ
            .as_deref()
            .is_some_and(|typ| typ.eq_ignore_ascii_case(TYPE) || typ.eq_ignore_ascii_case("application/at+jwt"));
        if is_access_token { Ok(data.claims) } else { Err(NotAToken::OtherType) }
    }
}

/// Why a text isn't a good access token. For the log: clients learn `invalid_token` in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    /// No JWT, another algorithm or missing claims.
    #[error("not a token of ours")]
    Malformed,
    /// Signed with another key, or changed.
    #[error("the signature doesn't fit")]
    BadSignature,
    /// Another issuer or audience.
    #[error("issued by or for another server")]
    ForAnotherServer,
    /// A JWT that isn't an access token.
    #[error("not an access token")]
    OtherType,
    /// Its time is over.
    #[error("expired")]
    Expired,
}

fn still_good(claims: Arc<Claims>, now: Timestamp) -> Result<Arc<Claims>, NotAToken> {
    if now.as_second() < claims.exp { Ok(claims) } else { Err(NotAToken::Expired) }
}

fn signing_key(key: &SigningKey) -> EncodingKey {
    EncodingKey::from_ed_der(key.to_pkcs8_der().expect("an Ed25519 key has a PKCS #8 form").as_bytes())
}

/// The key's id: its thumbprint (RFC 7638, the members that RFC 8037 names).
fn thumbprint(public: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use giftd_domain::access::Scope;
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://gifts.example";

    fn keys() -> Keys {
        Keys::create(tempfile::tempdir().expect("a folder").path(), &Clock::system()).expect("keys")
    }

    fn clock() -> Clock {
        Clock::fixed("2026-11-22T12:00:00Z".parse().expect("an instant"))
    }

    fn scopes() -> Scopes {
        [Scope::OrdersRead, Scope::OrdersWrite].into_iter().collect()
    }

    fn issue(tokens: &Tokens) -> String {
        tokens.issue("app_1", &scopes(), 3, limits::TOKEN_SECONDS_PRODUCTION)
    }

    fn json_part(token: &str, part: usize) -> serde_json::Value {
        let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(part).expect("a part")).expect("base64url");
        serde_json::from_slice(&part).expect("JSON")
    }

    /// Signs anything with the right key.
    fn forge(keys: &Keys, header: &Header, claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(header, claims, &signing_key(keys.token_signing())).expect("signed")
    }

    #[tokio::test]
    async fn a_token_has_the_claims_of_rfc_9068_and_reads_back() {
        let tokens = Tokens::new(&keys(), ISSUER, clock());
        let token = issue(&tokens);
        let header = json_part(&token, 0);
        assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("EdDSA")));
        assert_eq!(header["kid"], tokens.jwks()["keys"][0]["kid"]);
        let claims = json_part(&token, 1);
        for (name, expected) in [
            ("iss", json!(ISSUER)),
            ("aud", json!("https://gifts.example/api/v1")),
            ("sub", json!("app_1")),
            ("client_id", json!("app_1")),
            ("scope", json!("orders.read orders.write")),
            ("iat", json!(1_795_348_800)),
            ("exp", json!(1_795_352_400)),
            ("secret_version", json!(3)),
        ] {
            assert_eq!(claims[name], expected, "{name}");
        }
        assert_ne!(claims["jti"], json_part(&issue(&tokens), 1)["jti"], "each has its own id");
        assert_eq!(tokens.verify(&token).await.expect("good").client_id, "app_1");
    }

    #[tokio::test]
    async fn typ_and_alg_are_pinned_when_verifying() {
        let keys = keys();
        let tokens = Tokens::new(&keys, ISSUER, clock());
        let claims = json_part(&issue(&tokens), 1);
        let mut header = Header::new(Algorithm::EdDSA);
        for typ in [None, Some("JWT".to_owned()), Some("id+jwt".to_owned())] {
            header.typ = typ;
            assert_eq!(tokens.verify(&forge(&keys, &header, &claims)).await, Err(NotAToken::OtherType));
        }
        header.typ = Some("application/at+jwt".to_owned());
        assert!(tokens.verify(&forge(&keys, &header, &claims)).await.is_ok());
        // The public key as an HMAC secret, the classic confusion, and no signature at all.
        let public = EncodingKey::from_secret(keys.token_signing().verifying_key().as_bytes());
        let mut hmac = Header::new(Algorithm::HS256);
        hmac.typ = Some(TYPE.to_owned());
        let confused = jsonwebtoken::encode(&hmac, &claims, &public).expect("signed");
        assert_eq!(tokens.verify(&confused).await, Err(NotAToken::Malformed));
        let none = URL_SAFE_NO_PAD.encode(json!({"typ": TYPE, "alg": "none"}).to_string());
        let unsigned = format!("{none}.{}.", URL_SAFE_NO_PAD.encode(claims.to_string()));
        assert_eq!(tokens.verify(&unsigned).await, Err(NotAToken::Malformed));
    }

    #[tokio::test]
    async fn issuer_audience_and_all_claims_are_needed() {
        let keys = keys();
        let tokens = Tokens::new(&keys, ISSUER, clock());
        let good = json_part(&issue(&tokens), 1);
        let header = tokens.header.clone();
        for name in ["iss", "aud"] {
            let mut claims = good.clone();
            claims[name] = json!("https://elsewhere.example");
            assert_eq!(
                tokens.verify(&forge(&keys, &header, &claims)).await,
                Err(NotAToken::ForAnotherServer),
                "{name}"
            );
        }
        for name in ["iss", "aud", "sub", "client_id", "scope", "jti", "iat", "exp", "secret_version"] {
            let mut claims = good.clone();
            claims.as_object_mut().expect("an object").remove(name);
            assert!(tokens.verify(&forge(&keys, &header, &claims)).await.is_err(), "without {name}");
        }
    }

    #[tokio::test]
    async fn another_key_and_a_changed_token_are_refused() {
        let tokens = Tokens::new(&keys(), ISSUER, clock());
        let other = Tokens::new(&keys(), ISSUER, clock());
        let token = issue(&tokens);
        assert_eq!(other.verify(&token).await, Err(NotAToken::BadSignature));
        let mut claims = json_part(&token, 1);
        claims["scope"] = json!("orders.read orders.write balance.write");
        let parts = token.split('.').collect::<Vec<_>>();
        let changed = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2]);
        assert_eq!(tokens.verify(&changed).await, Err(NotAToken::BadSignature));
        for text in ["", ".", "..", "a.b.c", "\0", &"a".repeat(limits::TOKEN_BYTES + 1)] {
            assert_eq!(tokens.verify(text).await, Err(NotAToken::Malformed));
        }
    }

    #[tokio::test]
    async fn a_remembered_token_expires_on_time_too() {
        let clock = clock();
        let tokens = Tokens::new(&keys(), ISSUER, clock.clone());
        let token = issue(&tokens);
        assert!(tokens.verify(&token).await.is_ok());
        clock.advance(Duration::from_secs(3_599));
        assert!(tokens.verify(&token).await.is_ok());
        clock.advance(Duration::from_secs(1));
        assert_eq!(tokens.verify(&token).await, Err(NotAToken::Expired));
    }

    #[tokio::test]
    async fn the_second_use_of_a_token_costs_a_look_up_not_a_signature() {
        let mut tokens = Tokens::new(&keys(), ISSUER, clock());
        let token = issue(&tokens);
        let first = tokens.verify(&token).await.expect("good");
        // With another key in place a signature computed again would not fit.
        tokens.verifying = DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode([7; 32])).expect("a key");
        assert!(Arc::ptr_eq(&first, &tokens.verify(&token).await.expect("remembered")));
        assert!(tokens.verify(&issue(&tokens)).await.is_err(), "a new one is verified");
    }

    #[test]
    fn the_published_key_holds_nothing_secret() {
        let tokens = Tokens::new(&keys(), ISSUER, clock());
        let key = tokens.jwks()["keys"][0].as_object().expect("a key").clone();
        assert_eq!(key.keys().collect::<Vec<_>>(), ["alg", "crv", "kid", "kty", "use", "x"]);
    }
}
