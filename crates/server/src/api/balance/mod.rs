//! The prepaid balance, and its ledger.

pub mod get;
pub mod ledger;
