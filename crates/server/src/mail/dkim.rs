//! DKIM (RFC 6376): mail servers see by the signature, and a record in the DNS, that a mail is the domain's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use lettre::Message;
use lettre::message::dkim::{
    DkimCanonicalization, DkimCanonicalizationType, DkimConfig, DkimSigningAlgorithm, DkimSigningKey,
};
use lettre::message::header::HeaderName;
use rsa::RsaPrivateKey;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _, LineEnding};
use rsa::pkcs8::EncodePublicKey as _;
use rsa::traits::PublicKeyParts as _;

/// Bits that verifiers accept at least (RFC 8301).
const RSA_BITS: usize = 1_024;
/// What a signature covers.
const HEADERS: [&str; 7] = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version"];

/// A key, and under which name its other half is published.
#[derive(Debug)]
pub struct Dkim {
    config: DkimConfig,
    name: String,
    record: String,
}

/// What is wrong with a DKIM key. Never shows the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDkimKey {
    /// No private key of a kind that DKIM has.
    #[error(
        "is not an RSA (PKCS #1 or #8) or Ed25519 (PKCS #8) private key in PEM, without a password: make one with \
         `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`"
    )]
    NotAKey,
    /// An RSA key that verifiers don't accept.
    #[error("is an RSA key of {0} bits, and mail servers take none below {RSA_BITS}: make one of 2048")]
    TooShort(usize),
}

impl Dkim {
    /// Signs for `domain` with a private key in PEM, whose public half is published under `selector`.
    pub fn new(pem: &str, selector: &str, domain: &str) -> Result<Self, BadDkimKey> {
        let (key, record) = match SigningKey::from_pkcs8_pem(pem) {
            Ok(key) => ed25519(&key)?,
            Err(_) => rsa(pem)?,
        };
        let headers = HEADERS.map(HeaderName::new_from_ascii_str).to_vec();
        let relaxed = DkimCanonicalizationType::Relaxed;
        let canonicalization = DkimCanonicalization { header: relaxed, body: relaxed };
        let config = DkimConfig::new(selector.to_owned(), domain.to_owned(), key, headers, canonicalization);
        Ok(Self { config, name: format!("{selector}._domainkey.{domain}"), record })
    }

    /// Adds the signature.
    pub fn sign(&self, mail: &mut Message) {
        mail.sign(&self.config);
    }

    /// The name of the TXT record that has the key's public half.
    pub fn record_name(&self) -> &str {
        &self.name
    }

    /// What that record must hold.
    pub fn record(&self) -> &str {
        &self.record
    }
}

fn ed25519(key: &SigningKey) -> Result<(DkimSigningKey, String), BadDkimKey> {
    let secret = STANDARD.encode(key.as_bytes());
    let signing = DkimSigningKey::new(&secret, DkimSigningAlgorithm::Ed25519).map_err(|_| BadDkimKey::NotAKey)?;
    Ok((signing, format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(key.verifying_key().as_bytes()))))
}

fn rsa(pem: &str) -> Result<(DkimSigningKey, String), BadDkimKey> {
    let key = RsaPrivateKey::from_pkcs8_pem(pem).or_else(|_| RsaPrivateKey::from_pkcs1_pem(pem));
    let key = key.map_err(|_| BadDkimKey::NotAKey)?;
    let bits = key.n().bits();
    if bits < RSA_BITS {
        return Err(BadDkimKey::TooShort(bits));
    }
    let pkcs1 = key.to_pkcs1_pem(LineEnding::LF).map_err(|_| BadDkimKey::NotAKey)?;
    let signing = DkimSigningKey::new(&pkcs1, DkimSigningAlgorithm::Rsa).map_err(|_| BadDkimKey::NotAKey)?;
    let public = key.to_public_key().to_public_key_der().map_err(|_| BadDkimKey::NotAKey)?;
    Ok((signing, format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(public.as_bytes()))))
}
