//! Placing an order: from what a client asked for, through the rules, to a command that cannot be
//! invalid, to the decision inside the transaction.

mod check;
mod decide;
#[cfg(test)]
mod example;
mod request;

pub use check::{AccountSettings, Refusal, Rules};
pub use decide::{Decision, KnownKey, NewGift, PlaceOrder};
pub use request::{Fingerprint, Request, RequestedGift, RequestedGifts, RequestedMails, RequestedTiming};
