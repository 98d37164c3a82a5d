//! What a client asks for, and whether it asks for the same again.

use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};

use crate::orders::CardType;

/// What a client asks for, once it parses: types are right, no rule is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// By the endpoint.
    pub card_type: CardType,
    /// 1 to 64 characters.
    pub idempotency_key: String,
    /// `productId`
    pub product_id: String,
    /// `sendTiming`
    pub send_timing: RequestedTiming,
    /// How the gifts reach their recipients, by the endpoint.
    pub gifts: RequestedGifts,
    /// `refundOption`
    pub refund_option: bool,
}

/// How the gifts of an order reach their recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedGifts {
    /// By mail.
    Mails(RequestedMails),
    /// By whoever placed the order, who gets a link for each.
    Links {
        /// `quantity`
        quantity: i64,
        /// `amountPerLink`, by its digits.
        amount: Decimal,
    },
}

/// Gifts that are mailed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedMails {
    /// `emailSetting.senderName`
    pub sender_name: String,
    /// `emailSetting.subject`
    pub subject: String,
    /// `emailSetting.message`
    pub message: Option<String>,
    /// `emailSetting.templateId`
    pub template_id: Option<String>,
    /// `recipients`
    pub recipients: Vec<RequestedGift>,
}

/// `sendTiming`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedTiming {
    /// `type`: whether it is SCHEDULED.
    pub scheduled: bool,
    /// `scheduledAt`
    pub scheduled_at: Option<String>,
    /// `timezone`
    pub timezone: Option<String>,
}

/// One of `recipients`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedGift {
    /// `email`
    pub email: String,
    /// `firstName`
    pub first_name: Option<String>,
    /// `lastName`
    pub last_name: Option<String>,
    /// `company`
    pub company: Option<String>,
    /// `department`
    pub department: Option<String>,
    /// `amount`, by its digits.
    pub amount: Decimal,
}

/// SHA-256 of a version, the endpoint and all that was asked for: whether two requests are the same.
pub type Fingerprint = [u8; 32];

impl Request {
    /// How many gifts it asks for, whatever the rules say of that.
    pub fn gift_count(&self) -> usize {
        match &self.gifts {
            RequestedGifts::Mails(mails) => mails.recipients.len(),
            RequestedGifts::Links { quantity, .. } => usize::try_from(*quantity).unwrap_or(0),
        }
    }

    /// The fingerprint of the request. Key order, white space and 50 or 50.00 don't matter.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Fields(Sha256::new());
        hash.0.update(match self.gifts {
            RequestedGifts::Mails(_) => b"giftd order 1\0".as_slice(),
            RequestedGifts::Links { .. } => b"giftd link order 1\0",
        });
        let card_type: &str = self.card_type.into();
        hash.text(card_type);
        hash.text(&self.product_id);
        hash.text(if self.send_timing.scheduled { "SCHEDULED" } else { "IMMEDIATE" });
        hash.optional(self.send_timing.scheduled_at.as_deref());
        hash.optional(self.send_timing.timezone.as_deref());
        if let RequestedGifts::Mails(mails) = &self.gifts {
            hash.text(&mails.sender_name);
            hash.text(&mails.subject);
            hash.optional(mails.message.as_deref());
            hash.optional(mails.template_id.as_deref());
        }
        hash.text(if self.refund_option { "refund" } else { "" });
        match &self.gifts {
            RequestedGifts::Mails(mails) => {
                for gift in &mails.recipients {
                    hash.text(&gift.email);
                    for field in [&gift.first_name, &gift.last_name, &gift.company, &gift.department] {
                        hash.optional(field.as_deref());
                    }
                    hash.number(gift.amount);
                }
            }
            RequestedGifts::Links { quantity, amount } => {
                hash.text(&quantity.to_string());
                hash.number(*amount);
            }
        }
        hash.0.finalize().into()
    }
}

/// Hashes fields so that no two lists of fields look alike.
struct Fields(Sha256);

impl Fields {
    fn text(&mut self, text: &str) {
        self.0.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(text);
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.0.update([0xff; 8]),
        }
    }

    /// By its value: 50 and 50.00 are the same.
    fn number(&mut self, number: Decimal) {
        self.text(&number.normalize().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{decimal, gift, link_request, request};
    use super::*;

    /// Each optional field is there, but for a few whose neighbours are.
    fn full() -> Request {
        let mut alice = gift("alice@example.com", "5000");
        alice.first_name = Some("Alice".to_owned());
        alice.company = Some("Example Ltd.".to_owned());
        let mut full = Request {
            product_id: "10042".to_owned(),
            send_timing: RequestedTiming {
                scheduled: true,
                scheduled_at: Some("2026-12-24T09:00:00".to_owned()),
                timezone: Some("Asia/Tokyo".to_owned()),
            },
            refund_option: true,
            ..request()
        };
        full.mails_mut().recipients = vec![alice, gift("bob@example.com", "1000.50")];
        full
    }

    fn changed(change: impl FnOnce(&mut Request)) -> Fingerprint {
        let mut request = full();
        change(&mut request);
        request.fingerprint()
    }

    fn changed_mails(change: impl FnOnce(&mut RequestedMails)) -> Fingerprint {
        changed(|request| change(request.mails_mut()))
    }

    fn changed_alice(change: impl FnOnce(&mut RequestedGift)) -> Fingerprint {
        changed_mails(|mails| change(mails.recipients.first_mut().expect("alice")))
    }

    #[test]
    fn version_1_never_changes() {
        // Worked out beside this code. Another value would make conflicts of the replays of stored orders.
        let hex: String = full().fingerprint().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "fa61f3fa749768d1228f6bb83930a40e77d087147a75ed65b87df0c0ffc312d7");
    }

    #[test]
    fn an_amount_counts_by_its_value_not_its_digits() {
        let of = |amount: Decimal| changed_alice(|gift| gift.amount = amount);
        let digits = ["50", "50.00", "5e1", "500e-1"].map(decimal);
        for amount in digits.into_iter().chain([Decimal::new(50_000, 3), Decimal::new(50, 0)]) {
            assert_eq!(of(amount), of(Decimal::from(50)), "{amount}");
        }
        assert_ne!(of(decimal("50.01")), of(decimal("50")));
        assert_ne!(of(decimal("-50")), of(decimal("50")));
    }

    #[test]
    fn each_field_changes_it_but_the_key() {
        let mut all = vec![
            ("nothing", full().fingerprint()),
            ("cardType", changed(|request| request.card_type = CardType::ChoiceCard)),
            ("productId", changed(|request| request.product_id.push('x'))),
            ("type", changed(|request| request.send_timing.scheduled = false)),
            ("scheduledAt", changed(|request| request.send_timing.scheduled_at = Some("2026-12-24T09:00".to_owned()))),
            ("no scheduledAt", changed(|request| request.send_timing.scheduled_at = None)),
            ("timezone", changed(|request| request.send_timing.timezone = Some("Asia/Seoul".to_owned()))),
            ("no timezone", changed(|request| request.send_timing.timezone = None)),
            ("senderName", changed_mails(|mails| mails.sender_name.push('x'))),
            ("subject", changed_mails(|mails| mails.subject.push('x'))),
            ("message", changed_mails(|mails| mails.message = Some("Thanks".to_owned()))),
            ("no message", changed_mails(|mails| mails.message = None)),
            ("templateId", changed_mails(|mails| mails.template_id = Some("12".to_owned()))),
            ("refundOption", changed(|request| request.refund_option = false)),
            ("recipients' order", changed_mails(|mails| mails.recipients.reverse())),
            ("a recipient less", changed_mails(|mails| mails.recipients.truncate(1))),
            ("no recipients", changed_mails(|mails| mails.recipients.clear())),
            ("a recipient twice", changed_mails(|mails| mails.recipients.push(gift("bob@example.com", "1000.5")))),
            ("email", changed_alice(|gift| gift.email.push('x'))),
            ("firstName", changed_alice(|gift| gift.first_name = Some("Alicia".to_owned()))),
            ("no firstName", changed_alice(|gift| gift.first_name = None)),
            ("lastName", changed_alice(|gift| gift.last_name = Some("A".to_owned()))),
            ("company", changed_alice(|gift| gift.company = Some("Example Inc.".to_owned()))),
            ("department", changed_alice(|gift| gift.department = Some("Sales".to_owned()))),
            ("amount", changed_alice(|gift| gift.amount = decimal("5001"))),
        ];
        all.sort_by_key(|&(_, fingerprint)| fingerprint);
        for (one, other) in all.iter().zip(all.iter().skip(1)) {
            assert_ne!(one.1, other.1, "{} and {}", one.0, other.0);
        }
        assert_eq!(changed(|request| request.idempotency_key = "another".to_owned()), full().fingerprint());
    }

    #[test]
    fn an_empty_text_is_not_an_absent_one() {
        let empty = || Some(String::new());
        assert_ne!(changed_mails(|mails| mails.message = empty()), changed_mails(|mails| mails.message = None));
        assert_ne!(changed_mails(|mails| mails.template_id = empty()), full().fingerprint());
        assert_ne!(changed_alice(|gift| gift.last_name = empty()), full().fingerprint());
    }

    #[test]
    fn a_text_cannot_move_into_the_next_field() {
        let texts = |sender: &str, subject: &str| {
            changed_mails(|mails| (mails.sender_name, mails.subject) = (sender.to_owned(), subject.to_owned()))
        };
        assert_ne!(texts("ab", "c"), texts("a", "bc"));
        assert_ne!(texts("ab", ""), texts("", "ab"));
        let optional = |message: Option<&str>, template: Option<&str>| {
            changed_mails(|mails| {
                (mails.message, mails.template_id) = (message.map(str::to_owned), template.map(str::to_owned));
            })
        };
        assert_ne!(optional(Some("12"), None), optional(None, Some("12")));
        let names = |first: Option<&str>, last: Option<&str>| {
            changed_alice(|gift| {
                (gift.first_name, gift.last_name) = (first.map(str::to_owned), last.map(str::to_owned))
            })
        };
        assert_ne!(names(Some("Rin"), None), names(None, Some("Rin")));
        // What the length of a text looks like, inside a text.
        assert_ne!(texts("a\0\0\0\0\0\0\0\u{1}b", ""), texts("a", "b"));
    }
    #[test]
    fn links_have_fingerprints_of_their_own_that_never_change() {
        // Worked out beside this code, as above.
        let hex: String = link_request().fingerprint().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "65832f77dfee33fc9aff8997025f600b248e3ce29ff66252ae2bf37533c3ba8f");
        let changed = |change: fn(&mut Request)| {
            let mut request = link_request();
            change(&mut request);
            request.fingerprint()
        };
        let links = |quantity: i64, amount: &str| RequestedGifts::Links { quantity, amount: decimal(amount) };
        let of = |gifts: RequestedGifts| Request { gifts, ..link_request() }.fingerprint();
        assert_eq!(of(links(3, "50.00")), link_request().fingerprint());
        assert_eq!(changed(|request| request.idempotency_key.push('x')), link_request().fingerprint());
        let mut all = vec![
            link_request().fingerprint(),
            of(links(4, "50")),
            of(links(3, "5")),
            of(links(35, "0")),
            changed(|request| request.card_type = CardType::ChoiceCard),
            changed(|request| request.product_id.push('x')),
            changed(|request| request.refund_option = true),
            changed(|request| request.send_timing.scheduled = true),
            changed(|request| request.send_timing.timezone = Some("UTC".to_owned())),
            request().fingerprint(),
        ];
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
