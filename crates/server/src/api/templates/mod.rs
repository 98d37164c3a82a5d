//! How an account's mails look.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod read;
pub mod replace;
pub mod shape;
