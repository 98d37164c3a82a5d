//! What a mail about a gift shows, by its kind; and the templates that it is made from.

use std::fmt;
use std::sync::{Arc, LazyLock};

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::{MailKind, Recipient};
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_domain::templates::{SenderLook, TemplateContent};
use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment as Templates, UndefinedBehavior, context};

use super::message::{self, Letter, MailFrom, Rendered};
use super::{amount, personal};

/// Pixels of the column that the logo stands in; its size is a percentage of it.
const COLUMN_PIXELS: u32 = 476;

/// What a mail about a gift shows.
#[derive(Clone)]
pub struct GiftMail {
    /// What it is for.
    pub kind: MailKind,
    /// See [`MailFrom::message_id`].
    pub message_id: String,
    /// The mail's date.
    pub date: Timestamp,
    /// Whom it comes from, with `sender_name` before it.
    pub mail_from: MailFrom,
    /// The recipient's address: ASCII, its domain in punycode.
    pub to: String,
    /// To whom: what the personal tokens stand for.
    pub recipient: Recipient,
    /// Who gives.
    pub sender_name: String,
    /// The order's subject, for the gift's own mail.
    pub subject: String,
    /// The order's words, else the template's count; may hold line breaks.
    pub message: Option<String>,
    /// The card's name.
    pub card_name: String,
    /// What the gift is worth.
    pub amount: Money,
    /// When it expires, by the account's clock.
    pub expires_at: Timestamp,
    /// Where the button leads: an absolute URL.
    pub link: String,
    /// Colors, and how the logo stands.
    pub template: TemplateContent,
    /// The organization: its name, logo and postal line.
    pub look: Arc<SenderLook>,
    /// A sandbox's mail says that it is one.
    pub environment: Environment,
    /// A preview says that it is one.
    pub is_preview: bool,
}

/// Why a mail can't be rendered: a fault of ours. Shows nothing of the mail.
#[derive(Debug, thiserror::Error)]
pub enum CannotRender {
    /// A template names what isn't there.
    #[error("the mail can't be rendered: {0}")]
    Template(#[from] minijinja::Error),
    /// It makes no mail.
    #[error("the mail can't be put together: {0}")]
    Message(#[from] lettre::error::Error),
}

impl GiftMail {
    /// Renders both parts and the headers.
    pub fn render(&self) -> Result<Rendered, CannotRender> {
        let subject = self.subject();
        let (text, html) = self.parts(&subject)?;
        let letter = Letter {
            message_id: &self.message_id,
            date: self.date,
            mail_from: &self.mail_from,
            sender_name: &self.sender_name,
            to: &self.to,
            subject: &subject,
            text,
            html,
            logo: self.look.logo.clone(),
            environment: self.environment,
        };
        Ok(letter.rendered()?)
    }

    fn subject(&self) -> String {
        let sender_name = self.sender_name.trim();
        let subject = match self.kind {
            MailKind::Gift => personal::filled(&self.subject, &self.recipient),
            MailKind::Reminder => format!("Your gift from {sender_name} expires on {}", self.expiry_date()),
            MailKind::Verification => format!("Open your gift from {sender_name}"),
        };
        // Nothing but a name that is missing.
        if subject.trim().is_empty() {
            return "A gift for you".to_owned();
        }
        // Names make it longer: as one word it could be a line that mail servers refuse.
        message::one_line(&subject).chars().take(limits::SUBJECT_CHARACTERS).collect()
    }

    /// The plain text and the HTML.
    fn parts(&self, subject: &str) -> Result<(String, String), minijinja::Error> {
        let (text, html) = match self.kind {
            MailKind::Gift => ("gift.txt", "gift.html"),
            MailKind::Reminder => ("reminder.txt", "reminder.html"),
            MailKind::Verification => ("verification.txt", "verification.html"),
        };
        let SenderLook { organization, postal_line, logo } = &*self.look;
        let TemplateContent { image_size, image_alignment, border_color, button_color, button_font_color, .. } =
            &self.template;
        let alignment: &str = (*image_alignment).into();
        let shown = context! {
            subject,
            notice => self.notice(),
            organization,
            logo => logo.as_ref().map(|_| message::logo_id(&self.message_id)),
            image_alignment => alignment,
            image_size,
            image_pixels => COLUMN_PIXELS * image_size / 100,
            border_color => border_color.to_string(),
            button_color => button_color.to_string(),
            button_font_color => button_font_color.to_string(),
            sender_name => self.sender_name.trim(),
            message_lines => self.message_lines(),
            card_name => self.card_name.as_str(),
            amount => amount::readable(self.amount),
            expiry_date => self.expiry_date(),
            expiry_time => self.expiry("%H:%M UTC"),
            minutes => limits::VERIFICATION_MINUTES,
            link => link_value(&self.link),
            postal => postal_line.as_ref().unwrap_or(organization),
        };
        Ok((TEMPLATES.get_template(text)?.render(&shown)?, TEMPLATES.get_template(html)?.render(&shown)?))
    }

    fn notice(&self) -> Option<&'static str> {
        match self.environment {
            _ if self.is_preview => Some("This is a preview. The gift has no value."),
            Environment::Sandbox => Some("This is a test from a sandbox. The gift has no value."),
            Environment::Production => None,
        }
    }

    /// The order's words, or else the template's, line by line.
    fn message_lines(&self) -> Option<Vec<Value>> {
        let message = self.message.as_deref().filter(|message| !message.trim().is_empty());
        let message = personal::filled(message.or(self.template.message.as_deref())?, &self.recipient);
        let lines: Vec<Value> = message.trim().lines().map(Value::from).collect();
        (!lines.is_empty()).then_some(lines)
    }

    /// `May 21, 2027`
    fn expiry_date(&self) -> String {
        self.expiry("%B %-d, %Y")
    }

    fn expiry(&self, format: &str) -> String {
        self.expires_at.to_zoned(TimeZone::UTC).strftime(format).to_string()
    }
}

/// By its id: a log never shows a live link.
impl fmt::Debug for GiftMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mail {}", self.message_id)
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
    // What is wrong with a template is told without the values: they hold live links.
    templates.set_debug(false);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    templates.set_syntax(syntax.expect("the default delimiters"));
    for (name, source) in [
        ("base.html", include_str!("templates/base.html")),
        ("parts.html", include_str!("templates/parts.html")),
        ("gift.html", include_str!("templates/gift.html")),
        ("gift.txt", include_str!("templates/gift.txt")),
        ("reminder.html", include_str!("templates/reminder.html")),
        ("reminder.txt", include_str!("templates/reminder.txt")),
        ("verification.html", include_str!("templates/verification.html")),
        ("verification.txt", include_str!("templates/verification.txt")),
    ] {
        templates.add_template(name, source).expect("the embedded templates parse: a test renders them");
    }
    templates
});

#[cfg(test)]
mod tests {
    use giftd_domain::money::Currency;
    use giftd_domain::templates::{Alignment, Color};

    use super::super::{Dkim, logo};
    use super::*;

    fn mail() -> GiftMail {
        let mail_from: MailFrom = "gifts@giftd.example".parse().expect("address");
        GiftMail {
            kind: MailKind::Gift,
            message_id: mail_from.message_id("OT01K3V9ABCDEFGHJKMNPQRSTVWX-00001", MailKind::Gift, 1),
            date: "2026-11-22T18:30:00Z".parse().expect("date"),
            mail_from,
            to: "alice@example.com".to_owned(),
            recipient: Recipient {
                email: Some("alice@example.com".to_owned()),
                first_name: Some("Alice".to_owned()),
                last_name: Some("Smith".to_owned()),
                company: Some("Cedar & Sons".to_owned()),
                department: None,
            },
            sender_name: "Acme Corp".to_owned(),
            subject: "A gift for you, {{firstName}}!".to_owned(),
            message: Some("Dear {{firstName}},\n\nthank you for your hard work.\nSee you soon.".to_owned()),
            card_name: "Cedar & Wrenfield".to_owned(),
            amount: Money::usd(5_000),
            expires_at: "2027-05-21T18:30:00Z".parse().expect("date"),
            link: "https://gifts.example/r/AbC-123_xyz".to_owned(),
            template: TemplateContent::first("Acme Corp"),
            look: Arc::new(SenderLook {
                organization: "Acme Corp".to_owned(),
                postal_line: Some("Acme Corp, 1 Main Street, Springfield, IL 62701".to_owned()),
                logo: None,
            }),
            environment: Environment::Production,
            is_preview: false,
        }
    }

    fn logo() -> Vec<u8> {
        const SVG: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 1"><rect width="4" height="1" fill="#204080"/></svg>"##;
        logo::to_png(SVG.as_bytes()).expect("a logo")
    }

    /// What mails may have to show.
    fn samples() -> Vec<(&'static str, GiftMail)> {
        let color = |text: &str| text.parse::<Color>().expect("a color");
        vec![
            ("usual", mail()),
            (
                "bare",
                GiftMail {
                    recipient: Recipient { first_name: None, last_name: None, company: None, ..mail().recipient },
                    message: None,
                    look: Arc::new(SenderLook { organization: "Acme Corp".to_owned(), ..SenderLook::default() }),
                    ..mail()
                },
            ),
            (
                "branded",
                GiftMail {
                    message: None,
                    amount: Money::new(5_000, Currency::from_code("JPY").expect("yen")),
                    card_name: "さくら書店".to_owned(),
                    template: TemplateContent {
                        message: Some("Thank you, {{firstName}} {{lastName}} of {{company}}.".to_owned()),
                        image_alignment: Alignment::Left,
                        image_size: 25,
                        border_color: color("#C0392B"),
                        button_color: color("#F1C40F"),
                        button_font_color: color("#1B1B1B"),
                        ..TemplateContent::first("Acme Corp")
                    },
                    look: Arc::new(SenderLook { logo: Some(logo()), ..(*mail().look).clone() }),
                    ..mail()
                },
            ),
            (
                "hostile",
                GiftMail {
                    recipient: Recipient { first_name: Some("<b>{{company}}</b>".to_owned()), ..mail().recipient },
                    sender_name: "\"Acme\" <img src=x onerror=alert(1)>".to_owned(),
                    subject: "<script>{{firstName}}</script>\r\nBcc: eve@example.com".to_owned(),
                    message: Some(
                        "</td>{{firstName}} {{ link }} {% raw %} <a href=\"javascript:alert(1)\">".to_owned(),
                    ),
                    card_name: "'><style>*{display:none}</style>".to_owned(),
                    look: Arc::new(SenderLook {
                        organization: "<o>".to_owned(),
                        postal_line: Some("<p>&amp;".to_owned()),
                        logo: None,
                    }),
                    environment: Environment::Sandbox,
                    ..mail()
                },
            ),
            ("preview", GiftMail { is_preview: true, environment: Environment::Sandbox, ..mail() }),
        ]
    }

    fn of_kind(kind: MailKind, mail: GiftMail) -> GiftMail {
        let message_id = mail.mail_from.message_id("OT01K3V9ABCDEFGHJKMNPQRSTVWX-00001", kind, 1);
        GiftMail { kind, message_id, ..mail }
    }

    const KINDS: [MailKind; 3] = [MailKind::Gift, MailKind::Reminder, MailKind::Verification];

    fn source(mail: &GiftMail) -> String {
        String::from_utf8(mail.render().expect("rendered").bytes(None)).expect("ASCII")
    }

    #[test]
    fn every_template_renders_with_every_sample() {
        for kind in KINDS {
            for (name, mail) in samples() {
                let rendered = of_kind(kind, mail).render().expect("rendered");
                let kind: &str = kind.into();
                let shown = format!("Subject: {}\n\n{}", rendered.subject, rendered.text);
                insta::assert_snapshot!(format!("{}-{name}.txt", kind.to_lowercase()), shown);
                insta::assert_snapshot!(format!("{}-{name}.html", kind.to_lowercase()), rendered.html);
            }
        }
    }

    #[test]
    fn a_mail_reads_well_as_it_is_sent() {
        insta::assert_snapshot!(source(&mail()).replace("\r\n", "\n"));
    }

    #[test]
    fn a_sandbox_and_a_preview_say_so_in_both_parts() {
        for kind in KINDS {
            let shown = |mail: GiftMail| of_kind(kind, mail).render().expect("rendered");
            let sandbox = shown(GiftMail { environment: Environment::Sandbox, ..mail() });
            let preview = shown(GiftMail { is_preview: true, ..mail() });
            for (rendered, notice) in [(sandbox, "This is a test from a sandbox."), (preview, "This is a preview.")] {
                assert!(rendered.text.contains(notice), "{}", rendered.text);
                assert!(rendered.html.contains(notice), "{}", rendered.html);
            }
            let usual = shown(mail());
            assert!(!usual.html.contains("has no value") && !usual.text.contains("has no value"));
        }
    }

    #[test]
    fn no_text_is_obeyed_in_html() {
        for kind in KINDS {
            let (_, hostile) = samples().into_iter().find(|(name, _)| *name == "hostile").expect("there");
            let hostile = GiftMail { link: "https://gifts.example/r/\"><script>".to_owned(), ..hostile };
            let html = of_kind(kind, hostile).render().expect("rendered").html;
            for tag in ["<script", "<img", "<b>", "<style>*", "<a href=\"javascript", "<o>", "<p>&amp;"] {
                assert!(!html.contains(tag), "{tag} in {html}");
            }
            assert_eq!(html.matches("</html>").count(), 1);
        }
    }

    #[test]
    fn the_orders_words_go_before_the_templates() {
        let template = TemplateContent { message: Some("The template's".to_owned()), ..mail().template };
        let text = |message: Option<&str>| {
            let mail = GiftMail { message: message.map(str::to_owned), template: template.clone(), ..mail() };
            mail.render().expect("rendered").text
        };
        assert!(text(Some("The order's")).contains("The order's") && !text(Some("The order's")).contains("template's"));
        assert!(text(None).contains("The template's") && text(Some(" \n")).contains("The template's"));
    }

    #[test]
    fn a_subject_that_was_only_a_missing_name_is_not_empty() {
        let recipient = Recipient { first_name: None, ..mail().recipient };
        let mail = GiftMail { recipient, subject: "{{firstName}}!".to_owned(), ..mail() };
        assert_eq!(mail.render().expect("rendered").subject, "A gift for you");
    }

    #[test]
    fn names_make_no_subject_longer_than_it_may_be() {
        let long = Recipient { company: Some("x".repeat(100)), ..mail().recipient };
        let subject = "{{company}}-".repeat(16);
        let rendered = GiftMail { recipient: long, subject, ..mail() }.render().expect("rendered");
        assert_eq!(rendered.subject.chars().count(), limits::SUBJECT_CHARACTERS);
        let source = String::from_utf8(rendered.bytes(None)).expect("ASCII");
        assert!(source.split("\r\n").all(|line| line.len() <= 998));
    }

    #[test]
    fn the_longest_headers_are_signed_too() {
        let dkim = Dkim::new(include_str!("test_keys/rsa-pkcs8.pem"), "giftd", "giftd.example").expect("a key");
        let rendered = GiftMail {
            subject: "😀".repeat(limits::SUBJECT_CHARACTERS),
            sender_name: "😀".repeat(limits::SENDER_NAME_CHARACTERS),
            to: format!("{}@example.com", "a".repeat(limits::EMAIL_CHARACTERS - 12)),
            ..mail()
        };
        let source = String::from_utf8(rendered.render().expect("rendered").bytes(Some(&dkim))).expect("ASCII");
        assert!(source.contains("DKIM-Signature: ") && source.split("\r\n").all(|line| line.len() <= 998), "{source}");
    }

    #[test]
    fn the_logo_is_in_the_mail_and_shown_from_it() {
        let (_, branded) = samples().into_iter().find(|(name, _)| *name == "branded").expect("there");
        let rendered = branded.render().expect("rendered");
        assert!(rendered.html.contains("src=\"cid:logo.OT01K3V9ABCDEFGHJKMNPQRSTVWX-00001.1@giftd.example\""));
        let source = source(&branded);
        assert!(source.contains("Content-Type: multipart/related"), "{source}");
        assert!(
            source.contains("Content-ID: <logo.OT01K3V9ABCDEFGHJKMNPQRSTVWX-00001.1@giftd.example>\r\n"),
            "{source}"
        );
        assert!(source.contains("Content-Type: image/png\r\n") && source.contains("\r\niVBORw0KGgo"), "{source}");
        assert!(
            !rendered.html.contains("http://") && rendered.html.matches("https://").count() == 3,
            "nothing is loaded"
        );
        assert!(!source.contains("Cc:") && source.split("\r\n").all(|line| line.len() <= 998));
    }

    #[test]
    fn no_mail_names_another_server() {
        for kind in KINDS {
            for (name, mail) in samples() {
                let html = of_kind(kind, mail).render().expect("rendered").html;
                let named = ["href=\"", "src=\""].into_iter().flat_map(|attribute| html.split(attribute).skip(1));
                for address in named {
                    let ours = address.starts_with("https://gifts.example/") || address.starts_with("cid:");
                    assert!(ours, "{kind:?} {name}: {}", address.split('"').next().unwrap_or_default());
                }
                assert!(!html.contains("url(") && !html.contains("@import"), "{kind:?} {name}");
            }
        }
    }

    #[test]
    fn the_link_reads_as_one_in_the_html_too() {
        assert!(mail().render().expect("rendered").html.contains("href=\"https://gifts.example/r/AbC-123_xyz\""));
    }

    #[test]
    fn rendering_twice_gives_the_same_bytes() {
        assert_eq!(source(&mail()), source(&mail()));
    }

    #[test]
    fn what_is_printed_of_a_mail_holds_no_link() {
        let printed = format!("{:?} {:?}", mail(), mail().render().expect("rendered"));
        assert!(!printed.contains("/r/"), "{printed}");
    }
}
