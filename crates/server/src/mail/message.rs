//! A gift's mail: what it shows, and its bytes.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::SystemTime;

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::MailKind;
use giftd_domain::money::Money;
use lettre::Address;
use lettre::message::header::{
    ContentTransferEncoding, ContentType, Date, From, HeaderName, HeaderValue, Headers, MIME_VERSION_1_0, Subject,
};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart, SinglePartBuilder};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment as Templates, UndefinedBehavior, context};

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

/// What a gift's mail shows.
#[derive(Clone)]
pub struct GiftMail {
    /// See [`MailFrom::message_id`].
    pub message_id: String,
    /// The mail's date.
    pub date: Timestamp,
    /// Whom it comes from, with `sender_name` before it.
    pub mail_from: MailFrom,
    /// The recipient's address: ASCII, its domain in punycode.
    pub to: String,
    /// The recipient's first name, for the greeting.
    pub first_name: Option<String>,
    /// Who gives.
    pub sender_name: String,
    /// The subject.
    pub subject: String,
    /// The giver's words; may hold line breaks.
    pub message: Option<String>,
    /// The card's name.
    pub card_name: String,
    /// What the gift is worth.
    pub amount: Money,
    /// The absolute URL of the recipient's page.
    pub link: String,
    /// A sandbox's mail says that it is one.
    pub environment: Environment,
}

/// A mail that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The plain text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// The whole mail (RFC 5322), in ASCII with CRLF.
    pub bytes: Vec<u8>,
}

impl GiftMail {
    /// Renders both parts and the headers. Fails only when a template names what isn't there.
    pub fn render(&self) -> Result<Rendered, minijinja::Error> {
        let first_name = self.first_name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let message = self.message.as_deref().map(str::trim).filter(|message| !message.is_empty());
        let shown = context! {
            subject => one_line(&self.subject),
            greeting => first_name.unwrap_or("there"),
            sender_name => self.sender_name.trim(),
            message_lines => message.map(|message| message.lines().map(Value::from).collect::<Vec<_>>()),
            card_name => self.card_name.as_str(),
            amount => readable(self.amount),
            link => link_value(&self.link),
            sandbox => self.environment == Environment::Sandbox,
        };
        let text = TEMPLATES.get_template("gift.txt")?.render(&shown)?;
        let html = TEMPLATES.get_template("gift.html")?.render(&shown)?;
        let mut bytes = self.headers().to_string().into_bytes();
        bytes.extend(self.parts(&text, &html).formatted());
        Ok(Rendered { text, html, bytes })
    }

    fn headers(&self) -> Headers {
        let sender_name = one_line(&self.sender_name).trim().to_owned();
        let raw = |name, value: String| HeaderValue::new(HeaderName::new_from_ascii_str(name), value);
        let mut headers = Headers::new();
        headers.set(From::from(Mailboxes::from(Mailbox::new(Some(sender_name), self.mail_from.0.clone()))));
        headers.insert_raw(raw("To", one_line(&mailbox(&self.to))));
        headers.set(Subject::from(one_line(&self.subject).trim().to_owned()));
        headers.set(Date::new(SystemTime::from(self.date)));
        headers.insert_raw(raw("Message-ID", one_line(&self.message_id)));
        headers.insert_raw(raw("Auto-Submitted", "auto-generated".to_owned()));
        headers.set(MIME_VERSION_1_0);
        headers
    }

    fn parts(&self, text: &str, html: &str) -> MultiPart {
        // Derived and not drawn, so that a mail sent twice is the same to the byte. No message can imitate it:
        // neither base64 nor quoted-printable produces `=_`, and what would be sent as it is may not hold it.
        let boundary: String = self.message_id.chars().filter(char::is_ascii_alphanumeric).take(50).collect();
        let part = |kind, body: &str| {
            let builder = SinglePart::builder().header(kind);
            let encoded = body.contains("=_").then_some(ContentTransferEncoding::QuotedPrintable);
            encoded.into_iter().fold(builder, SinglePartBuilder::header).body(body.to_owned())
        };
        MultiPart::alternative()
            .boundary(format!("=_{boundary}"))
            .singlepart(part(ContentType::TEXT_PLAIN, text))
            .singlepart(part(ContentType::TEXT_HTML, html))
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

/// An amount for a person: `50.00 USD`, `5,000 JPY`.
fn readable(amount: Money) -> String {
    let number = amount.to_string();
    let (whole, decimals) = number.split_once('.').map_or((number.as_str(), None), |(w, d)| (w, Some(d)));
    let mut grouped = String::new();
    for (index, digit) in whole.char_indices() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match decimals {
        Some(decimals) => format!("{grouped}.{decimals} {}", amount.currency),
        None => format!("{grouped} {}", amount.currency),
    }
}

/// The link for the templates: unescaped when it has only characters that mean nothing in HTML, so
/// that it reads as a link in the source too.
fn link_value(link: &str) -> Value {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '.' | '-' | '_' | '~' | '%' | '[' | ']');
    if link.chars().all(plain) { Value::from_safe_string(link.to_owned()) } else { Value::from(link) }
}

/// The templates; HTML is escaped by its name.
static TEMPLATES: LazyLock<Templates<'static>> = LazyLock::new(|| {
    let mut templates = Templates::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    templates.set_syntax(syntax.expect("the default delimiters"));
    for (name, source) in [("gift.txt", include_str!("gift.txt")), ("gift.html", include_str!("gift.html"))] {
        templates.add_template(name, source).expect("the embedded templates parse: a test renders them");
    }
    templates
});

/// By its id: a log never shows a live link.
impl fmt::Debug for GiftMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mail {}", self.message_id)
    }
}

#[cfg(test)]
mod tests {
    use giftd_domain::money::Currency;

    use super::*;

    fn mail() -> GiftMail {
        let mail_from: MailFrom = "gifts@giftd.example".parse().expect("address");
        GiftMail {
            message_id: mail_from.message_id("OT01K3V9ABCDEFGHJKMNPQRSTVWX-00001", MailKind::Gift, 1),
            date: "2026-11-22T18:30:00Z".parse().expect("date"),
            mail_from,
            to: "alice@example.com".to_owned(),
            first_name: Some("Alice".to_owned()),
            sender_name: "Acme Corp".to_owned(),
            subject: "A gift for you!".to_owned(),
            message: Some("Thank you for your hard work.\n\nSee you soon.".to_owned()),
            card_name: "Cedar & Wrenfield".to_owned(),
            amount: Money::usd(5000),
            link: "https://gifts.example/r/AbC-123_xyz".to_owned(),
            environment: Environment::Production,
        }
    }

    fn source(mail: &GiftMail) -> String {
        String::from_utf8(mail.render().expect("rendered").bytes).expect("ASCII")
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
    fn a_mail_reads_well_as_it_is_sent() {
        insta::assert_snapshot!(source(&mail()).replace("\r\n", "\n"));
    }

    #[test]
    fn a_sandbox_says_so_in_both_parts() {
        let rendered = GiftMail { environment: Environment::Sandbox, ..mail() }.render().expect("rendered");
        assert!(rendered.text.contains("This is a test from a sandbox."), "{}", rendered.text);
        assert!(rendered.html.contains("This is a test from a sandbox."), "{}", rendered.html);
        assert!(!mail().render().expect("rendered").html.contains("sandbox"));
    }

    #[test]
    fn no_text_adds_a_header() {
        let injected = "x\r\nBcc: eve@example.com\nX-Evil: 1\r\n\r\nbody\u{0}\u{85}\u{2028}";
        for mail in [
            GiftMail { sender_name: injected.to_owned(), ..mail() },
            GiftMail { sender_name: format!("é{injected}"), ..mail() },
            GiftMail { subject: injected.to_owned(), ..mail() },
            GiftMail { subject: format!("贈り物 {injected}"), ..mail() },
            GiftMail { to: format!("alice@example.com{injected}"), ..mail() },
            GiftMail { message_id: format!("<{injected}@x>"), ..mail() },
        ] {
            let source = source(&mail);
            assert_eq!(header_names(&source), HEADERS, "{source}");
            assert!(source.is_ascii());
        }
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
            let source = source(&GiftMail { sender_name: name.to_owned(), ..mail() });
            assert!(source.starts_with(expected), "{name}: {source}");
            assert_eq!(source.matches("<gifts@giftd.example>").count(), 1, "{name}");
        }
    }

    #[test]
    fn html_in_texts_is_shown_and_not_obeyed() {
        let evil = "<script>alert('x')</script>".to_owned();
        let rendered = GiftMail {
            first_name: Some(evil.clone()),
            sender_name: evil.clone(),
            subject: evil.clone(),
            message: Some(evil.clone()),
            card_name: evil.clone(),
            link: format!("https://gifts.example/r/\"{evil}"),
            ..mail()
        };
        let rendered = rendered.render().expect("rendered");
        assert!(!rendered.html.contains("<script"), "{}", rendered.html);
        assert!(rendered.html.contains("&lt;script&gt;"));
        assert!(rendered.text.contains(&evil), "plain text stays as it is");
    }

    #[test]
    fn a_template_in_a_text_is_not_evaluated() {
        let rendered = GiftMail { message: Some("{{ link }} {% raw %}".to_owned()), ..mail() }.render();
        assert!(rendered.expect("rendered").text.contains("{{ link }} {% raw %}"));
    }

    #[test]
    fn the_link_reads_as_one_in_the_html_too() {
        assert!(mail().render().expect("rendered").html.contains("href=\"https://gifts.example/r/AbC-123_xyz\""));
    }

    #[test]
    fn no_name_and_no_message_leave_no_hole() {
        for (first_name, message) in [(None, None), (Some(" ".to_owned()), Some("\n".to_owned()))] {
            let rendered = GiftMail { first_name, message, ..mail() }.render().expect("rendered");
            assert!(
                rendered.text.starts_with(
                    "Hi there,\n\nAcme Corp sent you a gift: Cedar & Wrenfield, 50.00 USD.\n\nOpen your gift:\n"
                ),
                "{}",
                rendered.text
            );
            assert!(rendered.html.contains("Hi there,"));
            assert!(!rendered.html.contains("class=\"words"));
        }
    }

    #[test]
    fn a_message_cannot_imitate_the_boundary() {
        let honest = source(&mail());
        let (_, rest) = honest.split_once("boundary=\"").expect("boundary");
        let boundary = rest.split('"').next().expect("boundary");
        assert!(boundary.starts_with("=_"), "{boundary}");
        let forged = source(&GiftMail { message: Some(format!("a\n--{boundary}\nb")), ..mail() });
        assert_eq!(forged.matches(&format!("\r\n--{boundary}\r\n")).count(), 2, "{forged}");
        assert_eq!(forged.matches(&format!("--{boundary}")).count(), 3, "{forged}");
    }

    #[test]
    fn no_line_is_longer_than_smtp_allows() {
        let long = "x".repeat(2_000);
        for message in [long.clone(), "é".repeat(2_000), format!("{long}\n{long}"), ".\n..\n.".to_owned()] {
            let source = source(&GiftMail { message: Some(message), subject: "x".repeat(200), ..mail() });
            assert!(source.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
        }
    }

    #[test]
    fn rendering_twice_gives_the_same_bytes() {
        assert_eq!(source(&mail()), source(&mail()));
    }

    #[test]
    fn the_message_id_names_the_gift_and_its_send() {
        assert_eq!(mail().message_id, "<OT01K3V9ABCDEFGHJKMNPQRSTVWX-00001.1@giftd.example>");
        assert!(source(&mail()).contains("\r\nMessage-ID: <OT01K3V9ABCDEFGHJKMNPQRSTVWX-00001.1@giftd.example>\r\n"));
    }

    #[test]
    fn amounts_are_readable() {
        for (code, minor, expected) in [
            ("USD", 5_000, "50.00 USD"),
            ("USD", 5, "0.05 USD"),
            ("USD", 123_456_789, "1,234,567.89 USD"),
            ("JPY", 5_000, "5,000 JPY"),
            ("JPY", 500, "500 JPY"),
            ("KRW", 100_000, "100,000 KRW"),
            ("KWD", 1_234_500, "1,234.500 KWD"),
            ("USD", -100_000, "-1,000.00 USD"),
            ("USD", -10_000, "-100.00 USD"),
        ] {
            let currency = Currency::from_code(code).expect(code);
            assert_eq!(readable(Money::new(minor, currency)), expected);
        }
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
