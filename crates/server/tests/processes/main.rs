//! The real binary, as an operator runs it: killed, stopped, several at once, and its command line.

mod backup;
mod bed;
mod browser;
mod client;
mod cluster;
mod codes;
mod commands;
mod copy;
mod crash;
mod demo;
mod logs;
mod recipient;
mod schedules;
mod serve;
mod web;

#[expect(dead_code, reason = "shared with tests and benchmarks that use other parts of it")]
#[path = "../support/smtp_sink.rs"]
mod smtp_sink;
