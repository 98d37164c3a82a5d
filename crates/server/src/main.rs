//! `giftd`: the server and its command line.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    giftd::cli::main().await
}
