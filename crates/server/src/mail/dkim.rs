//! DKIM (RFC 6376): mail servers see by the signature, and a record in the DNS, that a mail is the domain's own.

use std::fmt;

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

/// By its name: never with the key.
impl fmt::Debug for Dkim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dkim({})", self.name)
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

#[cfg(test)]
mod tests {
    use ed25519_dalek::pkcs8::EncodePrivateKey as _;
    use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
    use lettre::message::{MultiPart, SinglePart};
    use rsa::pkcs8::DecodePublicKey as _;
    use rsa::{Pkcs1v15Sign, RsaPublicKey};
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::clock::Clock;

    /// Made for these tests: `openssl genrsa -traditional 2048`, the same as PKCS #8, and one of 768 bits.
    const RSA_PKCS1: &str = include_str!("test_keys/rsa-pkcs1.pem");
    const RSA_PKCS8: &str = include_str!("test_keys/rsa-pkcs8.pem");
    const RSA_SHORT: &str = include_str!("test_keys/rsa-short.pem");

    fn ed25519_pem() -> String {
        let key = SigningKey::from_bytes(&Clock::system().random_bytes());
        key.to_pkcs8_pem(LineEnding::LF).expect("a key has a PKCS #8 form").to_string()
    }

    fn signed(dkim: &Dkim) -> String {
        let mut mail = Message::builder()
            .from("Acme <gifts@example.com>".parse().expect("a mailbox"))
            .to("alice@example.org".parse().expect("a mailbox"))
            .subject("  A gift  for you, \u{e9}lan and a subject that is so long that it has to be folded somewhere ")
            .date(std::time::SystemTime::UNIX_EPOCH)
            .message_id(Some("<1@example.com>".to_owned()))
            .multipart(
                MultiPart::alternative()
                    .boundary("=_a")
                    .singlepart(SinglePart::plain("Line with  spaces \t\nand trailing   \n\n\n".to_owned()))
                    .singlepart(SinglePart::html("<p>.</p>\n.\n".to_owned())),
            )
            .expect("a mail");
        dkim.sign(&mut mail);
        String::from_utf8(mail.formatted()).expect("ASCII")
    }

    /// White space as RFC 6376 section 3.4.2 has it relaxed.
    fn relaxed(text: &str) -> String {
        text.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// What was signed and by what, found again in `mail` as a verifier does; none where the body isn't that one.
    fn opened(mail: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        let (head, body) = mail.split_once("\r\n\r\n").expect("a blank line");
        let mut headers: Vec<String> = Vec::new();
        for line in head.split("\r\n") {
            match headers.last_mut() {
                Some(header) if line.starts_with([' ', '\t']) => header.push_str(line),
                _ => headers.push(line.to_owned()),
            }
        }
        let header = |wanted: &str| {
            let found = headers
                .iter()
                .find_map(|header| header.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case(wanted)));
            found.map(|(name, value)| format!("{}:{}", name.to_ascii_lowercase(), relaxed(value)))
        };
        let signature = header("DKIM-Signature").expect("a signature");
        let tag = |wanted: &str| {
            let (_, tags) = signature.split_once(':').expect("a value");
            let tag = tags.split(';').find_map(|tag| tag.trim().strip_prefix(&format!("{wanted}=")));
            tag.unwrap_or_else(|| panic!("{wanted} in {signature}")).replace(' ', "")
        };
        assert_eq!(
            (tag("v").as_str(), tag("c").as_str(), tag("d").as_str(), tag("s").as_str()),
            ("1", "relaxed/relaxed", "example.com", "giftd")
        );
        let mut lines: Vec<String> = body
            .split("\r\n")
            .map(|line| {
                let indent = if line.starts_with([' ', '\t']) && !line.trim().is_empty() { " " } else { "" };
                format!("{indent}{}", relaxed(line))
            })
            .collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        let body: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        if tag("bh") != STANDARD.encode(Sha256::digest(body)) {
            return None;
        }
        let names = tag("h");
        assert!(names.contains("from") && names.contains("subject") && names.contains("to"), "{names}");
        let mut covered: String = names.split(':').filter_map(header).map(|header| format!("{header}\r\n")).collect();
        let (without, _) = signature.rsplit_once("b=").expect("a signature");
        covered.push_str(&format!("{without}b="));
        Some((covered.into_bytes(), STANDARD.decode(tag("b")).expect("base64")))
    }

    fn public(dkim: &Dkim) -> Vec<u8> {
        let (_, key) = dkim.record().split_once("p=").expect("a key");
        STANDARD.decode(key).expect("base64")
    }

    fn is_good(dkim: &Dkim, mail: &str) -> bool {
        let Some((covered, signature)) = opened(mail) else { return false };
        let hash = Sha256::digest(covered);
        if dkim.record().contains("k=ed25519") {
            let key = VerifyingKey::from_bytes(&public(dkim).try_into().expect("32 bytes")).expect("a key");
            return key.verify(&hash, &Signature::from_slice(&signature).expect("64 bytes")).is_ok();
        }
        let key = RsaPublicKey::from_public_key_der(&public(dkim)).expect("a key");
        key.verify(Pkcs1v15Sign { hash_len: Some(32), prefix: Box::new(SHA256_PREFIX) }, &hash, &signature).is_ok()
    }

    /// What PKCS #1 puts before a SHA-256 (RFC 8017 section 9.2).
    const SHA256_PREFIX: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
        0x20,
    ];

    #[test]
    fn a_signature_is_good_for_this_mail_and_the_published_key_only() {
        for pem in [RSA_PKCS1.to_owned(), RSA_PKCS8.to_owned(), ed25519_pem()] {
            let dkim = Dkim::new(&pem, "giftd", "example.com").expect("a key");
            let mail = signed(&dkim);
            assert!(is_good(&dkim, &mail), "{mail}");
            assert!(!is_good(&dkim, &mail.replace("and trailing", "and other")), "another body");
            assert!(!is_good(&dkim, &mail.replace("To: alice", "To: eve")), "another recipient");
            assert!(!is_good(&dkim, &mail.replace("From: Acme", "From: Evil")), "another sender");
            let other = Dkim::new(&ed25519_pem(), "giftd", "example.com").expect("a key");
            if dkim.record().contains("k=ed25519") {
                assert!(!is_good(&other, &mail), "another key");
            }
            assert_eq!(dkim.record_name(), "giftd._domainkey.example.com");
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_with_what_would_be_right() {
        let refused = |pem: &str| Dkim::new(pem, "giftd", "example.com").expect_err("refused").to_string();
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----";
        for pem in ["", "hunter2", public, &RSA_PKCS8[..200]] {
            let text = refused(pem);
            assert!(text.contains("openssl genpkey") && !text.contains("hunter2"), "{text}");
        }
        assert!(refused(RSA_SHORT).contains("768 bits"), "{}", refused(RSA_SHORT));
    }

    #[test]
    fn a_key_is_never_printed() {
        // lettre prints its key: whoever holds one must not be printed with it.
        let dkim = Dkim::new(RSA_PKCS1, "giftd", "example.com").expect("a key");
        let printed = format!("{dkim:?}");
        assert_eq!(printed, "Dkim(giftd._domainkey.example.com)");
    }
}
