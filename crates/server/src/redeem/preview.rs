//! `GET /r/preview`: where the link of a mail's preview leads.

use axum::http::StatusCode;
use axum::response::Response;
use minijinja::context;

use super::guest::Guest;
use super::page::{self, Look};
use super::refusal::Refusal;

/// Says that a real gift would open here.
pub async fn show(guest: Guest) -> Result<Response, Refusal> {
    let look = Look { language: guest.language, sandbox: false };
    page::render(look, "preview.html", StatusCode::OK, context! {}).map_err(|error| guest.broken(error))
}
