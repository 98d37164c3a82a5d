//! Each page that says why not: its status, its words, and nothing about whose gift it is.

use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use giftd_domain::gifts::redemption::NotRedeemable;
use giftd_domain::limits;
use giftd_store::StoreError;
use minijinja::{Value, context};

use super::language::Language;
use super::page::{self, Look};
use super::texts::texts;
use super::written;

/// Seconds after which a page may be asked for again that is busy now.
const BUSY: Duration = Duration::from_secs(60);

/// Why a page isn't what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No link of ours, or no page.
    Unknown,
    /// The gift moved to another address since.
    Dead,
    /// The order was canceled.
    Canceled,
    /// The gift's time is over.
    Expired,
    /// The same, but codes were revealed before: who verifies can see them.
    ExpiredWithCodes {
        /// Where the form goes.
        action: String,
        /// Its token.
        csrf: String,
    },
    /// The order hasn't gone out.
    NotYet,
    /// The supplier has no code.
    OutOfStock {
        /// Whether another brand can be picked.
        choice: bool,
    },
    /// The brand or the amount isn't offered, or not any more.
    NotOffered,
    /// Less is left.
    TooMuch,
    /// The verification was used.
    LinkUsed,
    /// The verification is too old.
    LinkTooOld,
    /// Too many verification mails.
    TooManyMails(Duration),
    /// Too many forms of this gift.
    TooManyForms(Duration),
    /// Too many wrong links.
    Guessing(Duration),
    /// A form that isn't ours, or from before the session.
    Forged,
    /// A form that can't be read.
    BadForm(StatusCode),
    /// The database is busy or away.
    Unavailable,
    /// A bug.
    Broken,
}

impl From<NotRedeemable> for Why {
    fn from(why: NotRedeemable) -> Self {
        match why {
            NotRedeemable::Unknown => Self::Dead,
            NotRedeemable::Canceled => Self::Canceled,
            NotRedeemable::NotYet => Self::NotYet,
            NotRedeemable::Expired => Self::Expired,
            // Whoever has used all of it has its page.
            NotRedeemable::Used | NotRedeemable::TooMuch { .. } => Self::TooMuch,
        }
    }
}

impl From<&StoreError> for Why {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Full => Self::Unavailable,
            StoreError::Schema(_) | StoreError::Broken(_) => Self::Broken,
        }
    }
}

impl Why {
    fn status(&self) -> StatusCode {
        match self {
            // What hasn't been sent isn't there yet.
            Self::Unknown | Self::Dead | Self::NotYet => StatusCode::NOT_FOUND,
            Self::Canceled | Self::Expired | Self::ExpiredWithCodes { .. } | Self::LinkUsed | Self::LinkTooOld => {
                StatusCode::GONE
            }
            Self::OutOfStock { .. } | Self::NotOffered | Self::TooMuch => StatusCode::CONFLICT,
            Self::TooManyMails(_) | Self::TooManyForms(_) | Self::Guessing(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Forged => StatusCode::FORBIDDEN,
            Self::BadForm(status) => *status,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The keys of its title and its text.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unknown => ("unknown_title", "unknown_text"),
            Self::Dead => ("dead_title", "dead_text"),
            Self::Canceled => ("canceled_title", "canceled_text"),
            Self::Expired | Self::ExpiredWithCodes { .. } => ("expired_title", "expired_text"),
            Self::NotYet => ("not_yet_title", "not_yet_text"),
            Self::OutOfStock { choice: false } => ("out_of_stock_title", "out_of_stock_text"),
            Self::OutOfStock { choice: true } => ("out_of_stock_title", "out_of_stock_choice"),
            Self::NotOffered => ("not_offered_title", "not_offered_text"),
            Self::TooMuch => ("too_much_title", "too_much_text"),
            Self::LinkUsed => ("link_used_title", "link_used_text"),
            Self::LinkTooOld => ("link_too_old_title", "link_too_old_text"),
            Self::TooManyMails(_) => ("too_many_mails_title", "too_many_mails_text"),
            Self::TooManyForms(_) => ("too_many_forms_title", "too_many_forms_text"),
            Self::Guessing(_) => ("guessing_title", "guessing_text"),
            Self::Forged => ("forged_title", "forged_text"),
            Self::BadForm(_) => ("bad_form_title", "bad_form_text"),
            Self::Unavailable => ("unavailable_title", "unavailable_text"),
            Self::Broken => ("broken_title", "broken_text"),
        }
    }

    fn wait(&self) -> Option<Duration> {
        match self {
            Self::TooManyMails(wait) | Self::TooManyForms(wait) | Self::Guessing(wait) => Some(*wait),
            Self::Unavailable => Some(BUSY),
            _ => None,
        }
    }
}

/// A page that says why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    look: Look,
    why: Why,
    back: Option<String>,
}

impl Refusal {
    /// In a language.
    pub fn new(language: Language, why: Why) -> Self {
        Self { look: Look { language, sandbox: false }, why, back: None }
    }

    /// With a way back to the gift.
    pub fn back_to(self, path: String) -> Self {
        Self { back: Some(path), ..self }
    }

    /// Of a gift in a sandbox, perhaps.
    pub fn in_sandbox(mut self, sandbox: bool) -> Self {
        self.look.sandbox = sandbox;
        self
    }

    fn form(&self) -> Option<Value> {
        let Why::ExpiredWithCodes { action, csrf } = &self.why else { return None };
        let text = texts(self.look.language).say("expired_codes", &[]);
        Some(context! { action => page::address(action), csrf, text })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (title, text) = self.why.words();
        let wait = self.why.wait();
        let minutes = limits::VERIFICATION_MINUTES.to_string();
        let wait_words = written::wait(wait.unwrap_or_default(), self.look.language);
        let texts = texts(self.look.language);
        let shown = context! {
            title => texts.say(title, &[]),
            text => texts.say(text, &[("wait", &wait_words), ("minutes", &minutes)]),
            form => self.form(),
            back => self.back.as_deref().map(page::address),
        };
        let mut response = page::render(self.look, "refusal.html", self.why.status(), shown).unwrap_or_else(|error| {
            tracing::error!(%error, "a page that says why not can't be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        });
        if let Some(wait) = wait {
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use strum::VariantArray as _;

    use super::*;

    #[tokio::test]
    async fn each_refusal_has_its_status_and_its_words_in_each_language() {
        let seven = Duration::from_secs(7 * 60);
        let with_codes = Why::ExpiredWithCodes { action: "/r/x/verification".to_owned(), csrf: "c".to_owned() };
        let mut seen = std::collections::BTreeSet::new();
        for (why, status, retry_after) in [
            (Why::Unknown, 404, None),
            (Why::Dead, 404, None),
            (Why::NotYet, 404, None),
            (Why::Canceled, 410, None),
            (Why::Expired, 410, None),
            (with_codes, 410, None),
            (Why::LinkUsed, 410, None),
            (Why::LinkTooOld, 410, None),
            (Why::OutOfStock { choice: false }, 409, None),
            (Why::OutOfStock { choice: true }, 409, None),
            (Why::NotOffered, 409, None),
            (Why::TooMuch, 409, None),
            (Why::TooManyMails(seven), 429, Some("420")),
            (Why::TooManyForms(seven), 429, Some("420")),
            (Why::Guessing(Duration::from_millis(1)), 429, Some("1")),
            (Why::Forged, 403, None),
            (Why::BadForm(StatusCode::PAYLOAD_TOO_LARGE), 413, None),
            (Why::from(&StoreError::Full), 503, Some("60")),
            (Why::from(&StoreError::Unavailable("x".into())), 503, Some("60")),
            (Why::from(&StoreError::Broken("secret".into())), 500, None),
        ] {
            for &language in Language::VARIANTS {
                let response = Refusal::new(language, why.clone()).back_to("/r/x".to_owned()).into_response();
                assert_eq!(response.status(), status, "{why:?}");
                let header = response.headers().get(RETRY_AFTER).map(|value| value.to_str().expect("ASCII"));
                assert_eq!(header, retry_after, "{why:?}");
                let body = response.into_body().collect().await.expect("a body").to_bytes();
                let html = String::from_utf8(body.to_vec()).expect("UTF-8");
                assert_eq!(html.matches("<h1>").count(), 1, "{why:?} {language:?}");
                assert!(html.contains("href=\"/r/x\"") && !html.contains("secret"), "{why:?}: {html}");
                assert_eq!(html.contains("<form"), matches!(why, Why::ExpiredWithCodes { .. }), "{why:?}");
                seen.insert(html);
            }
        }
        // Only the two of a busy database, and of a form that is bad or forged, may look alike.
        assert!(seen.len() >= 18 * Language::VARIANTS.len(), "{}", seen.len());
    }
}
