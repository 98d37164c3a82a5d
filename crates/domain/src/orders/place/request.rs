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
    /// `refundOption`
    pub refund_option: bool,
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
    /// The fingerprint of the request. Key order, white space and 50 or 50.00 don't matter.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Fields(Sha256::new_with_prefix(b"giftd order 1\0"));
        let card_type: &str = self.card_type.into();
        hash.text(card_type);
        hash.text(&self.product_id);
        hash.text(if self.send_timing.scheduled { "SCHEDULED" } else { "IMMEDIATE" });
        hash.optional(self.send_timing.scheduled_at.as_deref());
        hash.optional(self.send_timing.timezone.as_deref());
        hash.text(&self.sender_name);
        hash.text(&self.subject);
        hash.optional(self.message.as_deref());
        hash.optional(self.template_id.as_deref());
        hash.text(if self.refund_option { "refund" } else { "" });
        for gift in &self.recipients {
            hash.text(&gift.email);
            for field in [&gift.first_name, &gift.last_name, &gift.company, &gift.department] {
                hash.optional(field.as_deref());
            }
            hash.text(&gift.amount.normalize().to_string());
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
}
