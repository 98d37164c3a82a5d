//! The rules of giftd: what an order is, what it costs, when it goes out, what the ledger posts.
//!
//! Types and pure functions. No SQL, no async, no HTTP; the time and random bits are arguments, so
//! that a test, a simulation and the sandbox's clock all run the same code.

pub mod access;
pub mod account;
pub mod advance;
pub mod catalog;
pub mod fx;
pub mod gifts;
pub mod history;
pub mod ids;
pub mod ledger;
pub mod limits;
pub mod money;
pub mod orders;
pub mod problems;
pub mod schedule;
pub mod templates;
pub mod text;

pub use jiff::Timestamp;
