//! `giftd openapi`

use clap::Args;

use super::output::Output;
use crate::api::openapi;

#[derive(Args)]
#[command(after_help = "Example:\n  giftd openapi > openapi.json")]
pub struct Openapi {}

impl Openapi {
    pub fn run(self) -> Output {
        Output::document(openapi::document_json())
    }
}
