//! A mail's headers and parts, and its bytes (RFC 5322, MIME).

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::SystemTime;

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::MailKind;
use lettre::address::Envelope;
use lettre::message::header::{
    ContentTransferEncoding, ContentType, Date, From, HeaderName, HeaderValue, MIME_VERSION_1_0, Subject,
};
use lettre::message::{Attachment, Mailbox, Mailboxes, MessageBuilder, MultiPart, SinglePart, SinglePartBuilder};
use lettre::{Address, Message};

use super::dkim::Dkim;

/// The address that mails come from (`gifts@example.com`). ASCII, so that every server takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailFrom(Address);

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a mail address such as gifts@example.com")]
pub struct NotAMailFrom(String);

impl FromStr for MailFrom {
    type Err = NotAMailFrom;

    fn from_str(text: &str) -> Result<Self, NotAMailFrom> {
        match text.trim().parse::<Address>() {
            Ok(address) if text.is_ascii() => Ok(Self(address)),
            _ => Err(NotAMailFrom(text.to_owned())),
        }
    }
}

impl MailFrom {
    /// The whole address: also the envelope's sender, where bounces go.
    pub fn address(&self) -> &str {
        self.0.as_ref()
    }

    /// Its domain.
    pub fn host(&self) -> &str {
        self.0.domain()
    }

    /// The `Message-ID` of a mail about a gift. `send_number` counts its sends and not the attempts: a mail that
    /// a crash sends twice carries the same one.
    pub fn message_id(&self, gift_id: impl Display, kind: MailKind, send_number: u32) -> String {
        let kind = match kind {
            MailKind::Gift => "",
            MailKind::Reminder => "reminder.",
            MailKind::Verification => "verification.",
        };
        format!("<{gift_id}.{kind}{send_number}@{}>", self.host())
    }
}

/// What a mail is made of.
pub(super) struct Letter<'a> {
    /// See [`MailFrom::message_id`].
    pub message_id: &'a str,
    pub date: Timestamp,
    pub mail_from: &'a MailFrom,
    pub sender_name: &'a str,
    pub to: &'a str,
    pub subject: &'a str,
    pub text: String,
    pub html: String,
    /// The PNG that the HTML shows as [`logo_id`].
    pub logo: Option<Vec<u8>>,
    pub environment: Environment,
}

/// A mail that is ready to be sent.
#[derive(Clone)]
pub struct Rendered {
    /// Its `Message-ID`.
    pub message_id: String,
    /// The recipient's address.
    pub to: String,
    /// The subject, filled in.
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// A sandbox's mail is never sent outside.
    pub environment: Environment,
    /// The envelope's sender.
    pub(super) from: String,
    message: Message,
}

impl Rendered {
    /// The whole mail, in ASCII with CRLF; signed where there is a key.
    pub fn bytes(&self, dkim: Option<&Dkim>) -> Vec<u8> {
        match dkim {
            None => self.message.formatted(),
            Some(dkim) => {
                let mut signed = self.message.clone();
                dkim.sign(&mut signed);
                signed.formatted()
            }
        }
    }
}

/// By its id: a log never shows a live link.
impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mail {}", self.message_id)
    }
}

/// What the HTML calls the logo by (RFC 2392).
pub(super) fn logo_id(message_id: &str) -> String {
    let safe = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '@');
    format!("logo.{}", message_id.chars().filter(safe).collect::<String>())
}

impl Letter<'_> {
    /// Puts it together.
    pub fn rendered(self) -> Result<Rendered, lettre::error::Error> {
        let subject = one_line(self.subject).trim().to_owned();
        let sender_name = one_line(self.sender_name).trim().to_owned();
        let from = self.mail_from.0.clone();
        let raw = |name, value: String| HeaderValue::new(HeaderName::new_from_ascii_str(name), value);
        // The envelope is ours to make: addresses that browsers allow are more than lettre's.
        let envelope = Envelope::new(Some(from.clone()), vec![from.clone()])?;
        let message = MessageBuilder::new()
            .envelope(envelope)
            .header(From::from(Mailboxes::from(Mailbox::new(Some(sender_name), from))))
            .raw_header(raw("To", one_line(&mailbox(self.to))))
            .header(Subject::from(subject.clone()))
            .header(Date::new(SystemTime::from(self.date)))
            .raw_header(raw("Message-ID", one_line(self.message_id)))
            .raw_header(raw("Auto-Submitted", "auto-generated".to_owned()))
            .header(MIME_VERSION_1_0)
            .multipart(self.parts())?;
        Ok(Rendered {
            message_id: self.message_id.to_owned(),
            to: self.to.to_owned(),
            subject,
            text: self.text,
            html: self.html,
            environment: self.environment,
            from: self.mail_from.address().to_owned(),
            message,
        })
    }

    fn parts(&self) -> MultiPart {
        // Derived and not drawn, so that a mail sent twice is the same to the byte. No message can imitate it:
        // neither base64 nor quoted-printable produces `=_`, and what would be sent as it is may not hold it.
        let id: String = self.message_id.chars().filter(char::is_ascii_alphanumeric).take(50).collect();
        let part = |kind, body: &str| {
            let builder = SinglePart::builder().header(kind);
            let encoded = body.contains("=_").then_some(ContentTransferEncoding::QuotedPrintable);
            encoded.into_iter().fold(builder, SinglePartBuilder::header).body(body.to_owned())
        };
        let both =
            MultiPart::alternative().boundary(format!("=_a{id}")).singlepart(part(ContentType::TEXT_PLAIN, &self.text));
        let html = part(ContentType::TEXT_HTML, &self.html);
        let Some(logo) = &self.logo else { return both.singlepart(html) };
        let png = ContentType::parse("image/png").expect("a media type");
        let logo =
            Attachment::new_inline_with_name(logo_id(self.message_id), "logo.png".to_owned()).body(logo.clone(), png);
        both.multipart(MultiPart::related().boundary(format!("=_r{id}")).singlepart(html).singlepart(logo))
    }
}

/// `text` with a space for every control character: in a header it can't begin another one.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `address` as a mailbox of RFC 5321: browsers, and so the API, allow dots in a local part where only a
/// quoted one may have them.
pub(super) fn mailbox(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) if local.split('.').any(str::is_empty) && !local.starts_with('"') => {
            format!("\"{local}\"@{domain}")
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE_ID: &str = "<OT01K3V9ABCDEFGHJKMNPQRSTVWX-00001.1@giftd.example>";

    fn mail_from() -> MailFrom {
        "gifts@giftd.example".parse().expect("address")
    }

    fn letter(mail_from: &MailFrom) -> Letter<'_> {
        Letter {
            message_id: MESSAGE_ID,
            date: "2026-11-22T18:30:00Z".parse().expect("date"),
            mail_from,
            sender_name: "Acme Corp",
            to: "alice@example.com",
            subject: "A gift for you!",
            text: "Thank you.\n".to_owned(),
            html: "<p>Thank you.</p>\n".to_owned(),
            logo: None,
            environment: Environment::Production,
        }
    }

    fn source(letter: Letter<'_>) -> String {
        String::from_utf8(letter.rendered().expect("a mail").bytes(None)).expect("ASCII")
    }

    /// The names of the headers, in lower case, each as often as it is there.
    fn header_names(source: &str) -> Vec<String> {
        let (headers, _) = source.split_once("\r\n\r\n").expect("a blank line");
        let starts = headers.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        starts.map(|line| line.split_once(':').expect("a name").0.to_ascii_lowercase()).collect()
    }

    const HEADERS: [&str; 8] =
        ["from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version", "content-type"];

    #[test]
    fn no_text_adds_a_header() {
        let injected = "x\r\nBcc: eve@example.com\nX-Evil: 1\r\n\r\nbody\u{0}\u{85}\u{2028}";
        let (accented, foreign) = (format!("é{injected}"), format!("贈り物 {injected}"));
        let (to, id) = (format!("alice@example.com{injected}"), format!("<{injected}@x>"));
        let from = mail_from();
        for letter in [
            Letter { sender_name: injected, ..letter(&from) },
            Letter { sender_name: &accented, ..letter(&from) },
            Letter { subject: injected, ..letter(&from) },
            Letter { subject: &foreign, ..letter(&from) },
            Letter { to: &to, ..letter(&from) },
            Letter { message_id: &id, ..letter(&from) },
        ] {
            let source = source(letter);
            assert_eq!(header_names(&source), HEADERS, "{source}");
            assert!(source.is_ascii());
        }
        let with_logo = source(Letter { message_id: &id, logo: Some(vec![0x89]), ..letter(&from) });
        assert_eq!(header_names(&with_logo), HEADERS);
        assert!(!with_logo.contains("\nBcc"));
    }

    #[test]
    fn every_sender_name_stays_a_name() {
        for (name, expected) in [
            ("Acme", "From: Acme <gifts@giftd.example>"),
            ("Acme Corp", "From: \"Acme Corp\" <gifts@giftd.example>"),
            ("Bob \"B\" Jones", "From: \"Bob \\\"B\\\" Jones\" <gifts@giftd.example>"),
            ("Eve <eve@example.com>,", "From: =?utf-8?b?"),
            ("さくら", "From: =?utf-8?b?44GV44GP44KJ?= <gifts@giftd.example>"),
        ] {
            let source = source(Letter { sender_name: name, ..letter(&mail_from()) });
            assert!(source.starts_with(expected), "{name}: {source}");
            assert_eq!(source.matches("<gifts@giftd.example>").count(), 1, "{name}");
        }
    }

    #[test]
    fn a_text_cannot_imitate_a_boundary() {
        let from = mail_from();
        let honest = source(Letter { logo: Some(vec![0x89]), ..letter(&from) });
        let boundaries: Vec<_> =
            honest.split("boundary=\"").skip(1).map(|rest| rest.split('"').next().expect("a boundary")).collect();
        let [outer, inner] = boundaries.try_into().expect("two");
        assert!(outer.starts_with("=_a") && inner.starts_with("=_r"), "neither begins with the other");
        let forged = source(Letter {
            text: format!("a\n--{outer}\nb\n--{inner}--\n"),
            html: format!("a\n--{outer}--\nb"),
            logo: Some(vec![0x89]),
            ..letter(&from)
        });
        assert_eq!(forged.matches(&format!("\r\n--{outer}")).count(), 3, "{forged}");
        assert_eq!(forged.matches(&format!("\r\n--{inner}")).count(), 3, "{forged}");
    }

    #[test]
    fn no_line_is_longer_than_smtp_allows() {
        let long = "x".repeat(2_000);
        for text in [long.clone(), "é".repeat(2_000), format!("{long}\n{long}"), ".\n..\n.".to_owned()] {
            let source = source(Letter { text, subject: &"x".repeat(200), ..letter(&mail_from()) });
            assert!(source.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
        }
    }

    #[test]
    fn the_message_id_names_the_gift_its_send_and_what_for() {
        let id = |kind, number| mail_from().message_id("OT01-00001", kind, number);
        assert_eq!(id(MailKind::Gift, 1), "<OT01-00001.1@giftd.example>");
        assert_eq!(id(MailKind::Reminder, 2), "<OT01-00001.reminder.2@giftd.example>");
        assert_eq!(id(MailKind::Verification, 1), "<OT01-00001.verification.1@giftd.example>");
        assert!(source(letter(&mail_from())).contains(&format!("\r\nMessage-ID: {MESSAGE_ID}\r\n")));
    }

    #[test]
    fn local_parts_that_only_browsers_allow_are_quoted() {
        for (address, expected) in [
            ("alice@example.com", "alice@example.com"),
            ("a.b@example.com", "a.b@example.com"),
            ("a..b@example.com", "\"a..b\"@example.com"),
            (".a@example.com", "\".a\"@example.com"),
            ("a.@example.com", "\"a.\"@example.com"),
        ] {
            assert_eq!(mailbox(address), expected);
        }
    }

    #[test]
    fn mail_comes_from_an_address() {
        assert_eq!("gifts@example.com".parse::<MailFrom>().expect("address").host(), "example.com");
        assert!("gifts@localhost".parse::<MailFrom>().is_ok());
        for text in ["", "gifts", "gifts@", "gifts@exämple.com", "a@b\r\nX: y", "Gifts <gifts@example.com>"] {
            assert!(text.parse::<MailFrom>().is_err(), "{text:?}");
        }
    }
}
