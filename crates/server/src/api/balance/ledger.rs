//! `GET /balance/ledger`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::history::Days;
use giftd_domain::ledger::Entry;
use giftd_domain::money::Money;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::caller::{BalanceRead, Caller};
use crate::api::error::ApiError;
use crate::api::query::Query;
use crate::api::wire::{self, Amount, EntryTypeName, Instant, Paged};
use crate::state::Giftd;

/// A movement of what is available.
#[derive(Serialize, ToSchema)]
#[schema(as = LedgerEntry)]
#[serde(rename_all = "camelCase")]
pub struct EntryBody {
    /// 26 characters that sort by time.
    #[schema(example = "01KAPBQBY0000000000000000A")]
    ledger_id: String,
    /// Why: USE an order, REFUND a cancellation or expiry, CHARGE a credit, TRANSFER an operator's debit.
    #[serde(rename = "type")]
    entry_type: EntryTypeName,
    /// In USD, negative where money left.
    amount: Amount,
    /// What was available after it, in USD.
    balance_after: Amount,
    /// The order's id, or the reference of a credit or debit.
    reference_number: String,
    /// When it was posted.
    created_at: Instant,
}

impl From<Entry> for EntryBody {
    fn from(entry: Entry) -> Self {
        Self {
            ledger_id: entry.id.to_string(),
            entry_type: EntryTypeName(entry.entry_type),
            amount: Amount(Money::usd(entry.postings.available)),
            balance_after: Amount(Money::usd(entry.available_after)),
            created_at: Instant(entry.created_at()),
            reference_number: entry.reference,
        }
    }
}

/// List ledger entries
///
/// The movements of the available balance, newest first.
#[utoipa::path(
    get,
    path = "/balance/ledger",
    operation_id = "listLedgerEntries",
    tag = "Balance",
    security(("oauth2" = ["balance.read"])),
    params(
        ("page" = Option<u32>, Query, description = "Page number, default 1", minimum = 1, maximum = 1_000_000_000),
        ("pageSize" = Option<u32>, Query, description = "Results per page, default 20, max 100", minimum = 1, maximum = 100),
        ("startDate" = Option<String>, Query, description = "First day, in UTC, inclusive", format = Date, example = "2026-01-01"),
        ("endDate" = Option<String>, Query, description = "Last day, in UTC, inclusive", format = Date, example = "2026-12-31"),
        ("type" = Option<EntryTypeName>, Query, description = "Only these"),
    ),
    responses((status = 200, description = "A page of entries.", body = Paged<EntryBody>)),
)]
pub async fn list_entries(
    State(giftd): State<Arc<Giftd>>,
    caller: Caller<BalanceRead>,
    mut query: Query,
) -> Result<Response, ApiError> {
    let page = query.page();
    let (from, to) = query.dates();
    let entry_type = query.choice("type");
    query.finish()?;
    let found = giftd.store.ledger_page(caller.account_id(), entry_type, Days { from, to }, page).await?;
    Ok(wire::json(StatusCode::OK, &Paged::new(found, page, EntryBody::from)))
}
