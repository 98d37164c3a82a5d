//! `giftd balance`

use clap::{Args, Subcommand};
use giftd_domain::access::Environment;
use giftd_domain::ids::OrganizationId;
use giftd_domain::ledger::EntryType;
use giftd_domain::money::Money;
use giftd_domain::{limits, text};
use giftd_store::{OperatorEntry, OperatorOutcome, Store};
use serde::Serialize;

use super::output::{Failure, Output};
use super::{Context, arguments};
use crate::api::wire::EnvironmentName;
use crate::api::wire::MoneyBody;
use crate::clock::Clock;

#[derive(Subcommand)]
pub enum Balance {
    /// Add money that came in; a reference counts once
    #[command(after_help = "Example:\n  giftd balance credit --org 1 --amount 100.00 --reference 'wire 4711'")]
    Credit(Movement),
    /// Take money back, such as a bounced transfer; never below zero; a reference counts once
    #[command(after_help = "Example:\n  giftd balance debit --org 1 --amount 100.00 --reference 'wire 4711 bounced'")]
    Debit(Movement),
    /// Show what is available, and what is committed to gifts that are still to be sent
    Show {
        /// The organization's id
        #[arg(long, value_name = "ID", value_parser = arguments::organization)]
        org: OrganizationId,
        /// Which of its accounts
        #[arg(long, value_parser = arguments::environment, default_value = "production", value_name = "production|sandbox")]
        environment: Environment,
    },
}

#[derive(Args)]
pub struct Movement {
    /// The organization's id
    #[arg(long, value_name = "ID", value_parser = arguments::organization)]
    org: OrganizationId,
    /// US dollars, such as 100.00
    #[arg(long, value_parser = arguments::dollars)]
    amount: i64,
    /// Counts once per account: again with the same amount, nothing moves
    #[arg(long, value_name = "TEXT")]
    reference: String,
    /// Which of its accounts
    #[arg(long, value_parser = arguments::environment, default_value = "production", value_name = "production|sandbox")]
    environment: Environment,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    organization_id: String,
    environment: EnvironmentName,
    available_balance: MoneyBody,
    pending_balance: MoneyBody,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Moved {
    /// Whether this call moved it; not where the reference was known.
    moved: bool,
    amount: MoneyBody,
    reference_number: String,
    #[serde(flatten)]
    balance: Shown,
}

impl Balance {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        let store = context.store().await?;
        match self {
            Self::Credit(movement) => movement.run(store.as_ref(), &context.clock, EntryType::Charge).await,
            Self::Debit(movement) => movement.run(store.as_ref(), &context.clock, EntryType::Transfer).await,
            Self::Show { org, environment } => {
                let shown = shown(store.as_ref(), org, environment).await?;
                let text = in_words(&shown);
                Output::new(&shown, text)
            }
        }
    }
}

impl Movement {
    async fn run(self, store: &dyn Store, clock: &Clock, entry_type: EntryType) -> Result<Output, Failure> {
        let Self { org, amount, reference, environment } = self;
        let moved = move_money(store, clock, org, environment, entry_type, amount, &reference).await?;
        let balance = shown(store, org, environment).await?;
        let verb = if entry_type == EntryType::Charge { "Credited" } else { "Debited" };
        let amount = Money::usd(amount);
        let text = match moved {
            true => format!("{verb} {amount} USD.\n{}", in_words(&balance)),
            false => {
                format!("{reference:?} was booked before with this amount: nothing moved.\n{}", in_words(&balance))
            }
        };
        Output::new(&Moved { moved, amount: amount.into(), reference_number: reference, balance }, text)
    }
}

/// Moves money by an operator's word. `false` where the reference was known.
pub async fn move_money(
    store: &dyn Store,
    clock: &Clock,
    organization: OrganizationId,
    environment: Environment,
    entry_type: EntryType,
    cents: i64,
    reference: &str,
) -> Result<bool, Failure> {
    let named = text::filled_line(reference, limits::REFERENCE_CHARACTERS);
    named.map_err(|problem| Failure::new("VALIDATION_ERROR", format!("the reference {problem}")))?;
    if cents > limits::OPERATOR_CENTS {
        let most = Money::usd(limits::OPERATOR_CENTS);
        return Err(Failure::new("VALIDATION_ERROR", format!("the amount is at most {most} USD")));
    }
    let account =
        store.account_of(organization, environment).await?.ok_or_else(|| arguments::no_organization(organization))?;
    let entry = OperatorEntry {
        account_id: account.account_id,
        entry_type,
        cents,
        reference: reference.to_owned(),
        now: clock.now(),
        entropy: clock.entropy(),
    };
    match store.operator_entry(entry).await? {
        OperatorOutcome::Posted(_) => Ok(true),
        OperatorOutcome::Known => Ok(false),
        OperatorOutcome::OtherAmount { cents } => Err(Failure::new(
            "REFERENCE_USED",
            format!(
                "{reference:?} was booked before with {} USD: nothing moved. Another movement needs another --reference",
                Money::usd(cents)
            ),
        )),
        OperatorOutcome::Insufficient { available } => Err(Failure::new(
            "INSUFFICIENT_BALANCE",
            format!(
                "only {} USD are available, and a debit never goes below zero: nothing moved",
                Money::usd(available)
            ),
        )),
        OperatorOutcome::NoAccount => Err(arguments::no_organization(organization)),
    }
}

async fn shown(store: &dyn Store, organization: OrganizationId, environment: Environment) -> Result<Shown, Failure> {
    let account =
        store.account_of(organization, environment).await?.ok_or_else(|| arguments::no_organization(organization))?;
    Ok(Shown {
        organization_id: organization.to_string(),
        environment: EnvironmentName(environment),
        available_balance: Money::usd(account.balances.available).into(),
        pending_balance: Money::usd(account.balances.pending).into(),
    })
}

fn in_words(shown: &Shown) -> String {
    let environment: &str = shown.environment.0.into();
    format!(
        "organization {}, {}: {} USD available, {} USD pending",
        shown.organization_id,
        environment.to_ascii_lowercase(),
        shown.available_balance.amount.0,
        shown.pending_balance.amount.0
    )
}
