//! `giftd choice-range`

use clap::Subcommand;
use giftd_domain::catalog;
use giftd_domain::ids::OrganizationId;
use giftd_domain::money::Money;
use serde::Serialize;

use super::output::{Failure, Output};
use super::{Context, arguments};
use crate::api::wire::Amount;

#[derive(Subcommand)]
pub enum ChoiceRange {
    /// Set it, for both of the organization's accounts
    #[command(after_help = "Example:\n  giftd choice-range set --org 1 --min 5 --max 500")]
    Set {
        /// The organization's id
        #[arg(long, value_name = "ID", value_parser = arguments::organization)]
        org: OrganizationId,
        /// The least, in US dollars
        #[arg(long, value_parser = arguments::dollars)]
        min: i64,
        /// The most, in US dollars
        #[arg(long, value_parser = arguments::dollars)]
        max: i64,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Set {
    organization_id: String,
    min: Amount,
    max: Amount,
    currency: &'static str,
}

impl ChoiceRange {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        let Self::Set { org, min, max } = self;
        if min > max {
            return Err(Failure::new("VALIDATION_ERROR", "--min must not be above --max"));
        }
        if !context.store().await?.set_choice_range(org, catalog::ChoiceRange { min, max }).await? {
            return Err(arguments::no_organization(org));
        }
        let (min, max) = (Amount(Money::usd(min)), Amount(Money::usd(max)));
        let text = format!(
            "Choice cards of organization {org} hold {} to {} USD; servers notice within 5 seconds.",
            min.0, max.0
        );
        Output::new(&Set { organization_id: org.to_string(), min, max, currency: "USD" }, text)
    }
}
