//! Simulates giftd's store: random commands of every kind, and faults, from a seed; after each step what the store
//! says and holds is compared with a small model. See `docs/testing.md`.

pub mod command;
pub mod dice;
pub mod explain;
pub mod generate;
pub mod laws;
pub mod mail_server;
pub mod model;
pub mod rows;
pub mod run;
pub mod seen;
pub mod stand;
pub mod supplier;
