//! Delivery as a node does it: SQLite in a temporary folder, mails over real SMTP to a sink.

mod answers;
mod bed;
mod faults;
mod leases;
mod mails;
mod sandbox;

#[expect(dead_code, reason = "shared with tests and benchmarks that use other parts of it")]
#[path = "../support/smtp_sink.rs"]
mod smtp_sink;
