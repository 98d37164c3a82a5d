//! `GET /balance`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use giftd_domain::money::Money;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::caller::{BalanceRead, Caller};
use crate::api::error::ApiError;
use crate::api::wire::{self, Data, MoneyBody};
use crate::state::Giftd;

/// The account's balance.
#[derive(Serialize, ToSchema)]
#[schema(as = Balance)]
#[serde(rename_all = "camelCase")]
pub struct BalanceBody {
    /// What new orders may use.
    available_balance: MoneyBody,
    /// Committed to gifts that are neither SENT nor FAILED yet.
    pending_balance: MoneyBody,
}

/// Get balance
///
/// The prepaid balance of the credentials' account, in USD.
#[utoipa::path(
    get,
    path = "/balance",
    operation_id = "getBalance",
    tag = "Balance",
    security(("oauth2" = ["balance.read"])),
    responses((status = 200, description = "The balance.", body = Data<BalanceBody>)),
)]
pub async fn get_balance(State(giftd): State<Arc<Giftd>>, caller: Caller<BalanceRead>) -> Result<Response, ApiError> {
    let account = giftd.store.account(caller.account_id()).await?;
    let account = account.ok_or_else(|| ApiError::internal("an app's account doesn't exist"))?;
    let data = BalanceBody {
        available_balance: Money::usd(account.balances.available).into(),
        pending_balance: Money::usd(account.balances.pending).into(),
    };
    Ok(wire::json(StatusCode::OK, &Data { data }))
}
