//! The API, tried as clients use it, on a real SQLite store and with a clock that stands still. Each test
//! names a rule of the contract.

mod access;
mod balance;
mod bed;
mod bodies;
mod cancel;
mod catalog;
mod document;
mod erasing;
mod events;
mod examples;
mod history;
mod large_orders;
mod operations;
mod paths;
mod placing;
mod rates;
mod replay;
mod resend;
mod reward_links;
mod rules;
mod sandbox_clock;
mod sandbox_mails;
mod security;
mod templates;
mod test_email;
mod tokens;
