//! One attempt to send one mail about a gift, from what it shows to what became of it.

use giftd_domain::access::Environment;
use giftd_domain::ids::{AccountId, OrderId};

use super::sandbox::{self, Rehearsal};
use super::{GiftMail, Outcome, Sender};
use crate::state::Giftd;

/// Whose mail it is, and how often it was tried.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The account.
    pub account: AccountId,
    /// The order; none of a preview.
    pub order: Option<OrderId>,
    /// Attempts of this send before this one.
    pub attempts: u32,
}

/// Renders `mail` and sends it; a sandbox's is captured, or fails as its address
/// rehearses.
pub async fn attempt(giftd: &Giftd, sender: &mut Sender, mail: &GiftMail, about: About) -> Outcome {
    let rehearsal = Rehearsal::of(mail.environment, &mail.to);
    if let Some(failure) = rehearsal.and_then(|rehearsal| rehearsal.failure(about.attempts)) {
        return failure;
    }
    let rendered = match mail.render() {
        Ok(rendered) => rendered,
        Err(error) => return Outcome::our_fault(&error.to_string()),
    };
    match sender.send(&rendered).await {
        // Any node finds it in the database; the maildir is this machine's.
        Outcome::Sent if mail.environment == Environment::Sandbox => {
            sandbox::keep(giftd, about.account, about.order, &rendered, mail.date).await
        }
        outcome => outcome,
    }
}
