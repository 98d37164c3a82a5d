//! giftd: the server and its command line, as a library so that tests and the benchmark start it in-process.

pub mod api;
pub mod cli;
pub mod clock;
pub mod http;
pub mod keys;
pub mod links;
pub mod log;
pub mod mail;
pub mod measures;
pub mod redeem;
pub mod serve;
pub mod settings;
pub mod state;
pub mod supplier;
pub mod tokens;
pub mod workers;
