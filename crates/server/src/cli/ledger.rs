//! `giftd ledger`

use clap::Subcommand;
use serde::Serialize;

use super::Context;
use super::output::{Failure, Output};

#[derive(Subcommand)]
pub enum Ledger {
    /// Recompute every balance from the postings; exit code 1 when something doesn't agree
    Verify,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    balanced: bool,
    accounts: u64,
    entries: u64,
    orders: u64,
    differences: Vec<String>,
}

impl Ledger {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        let Self::Verify = self;
        let report = context.store().await?.verify_ledger().await?;
        let verified = Verified {
            balanced: report.differences.is_empty(),
            accounts: report.accounts,
            entries: report.entries,
            orders: report.orders,
            differences: report.differences,
        };
        let books = format!("{} accounts, {} entries, {} orders", verified.accounts, verified.entries, verified.orders);
        let text = match verified.differences.as_slice() {
            [] => format!("The books balance: {books}."),
            differences => format!(
                "The books DON'T balance ({books}): keep a copy of the database and stop the servers before anything else.\n  {}",
                differences.join("\n  ")
            ),
        };
        let balanced = verified.balanced;
        Ok(Output::new(&verified, text)?.exit_well_if(balanced))
    }
}
