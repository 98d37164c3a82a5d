//! `giftd org`

use clap::Subcommand;
use giftd_domain::limits;
use giftd_domain::text;
use serde::Serialize;

use super::Context;
use super::output::{Failure, Output, table};
use crate::api::wire::Instant;

#[derive(Subcommand)]
pub enum Org {
    /// Create an organization, with a production and a sandbox account
    #[command(after_help = "Example:\n  giftd org create 'Acme Corp'")]
    Create {
        /// Up to 100 characters
        name: String,
    },
    /// List all organizations
    List,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    organization_id: String,
}

#[derive(Serialize)]
struct List {
    organizations: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    organization_id: String,
    name: String,
    created_at: Instant,
}

impl Org {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        match self {
            Self::Create { name } => create(context, &name).await,
            Self::List => list(context).await,
        }
    }
}

async fn create(context: &Context, name: &str) -> Result<Output, Failure> {
    let named = text::filled_line(name, limits::NAME_CHARACTERS);
    named.map_err(|problem| Failure::new("VALIDATION_ERROR", format!("the name of an organization {problem}")))?;
    let store = context.store().await?;
    let organization = store.create_organization(name, context.clock.now(), context.clock.entropy()).await?;
    let text = format!(
        "{name} is organization {organization}.\n\
         Next: giftd app create --org {organization} --environment sandbox --name NAME --scopes 'orders.read orders.write'"
    );
    Output::new(&Created { organization_id: organization.to_string() }, text)
}

async fn list(context: &Context) -> Result<Output, Failure> {
    let organizations = context.store().await?.organizations().await?;
    let rows: Vec<_> = organizations
        .into_iter()
        .map(|organization| Row {
            organization_id: organization.organization_id.to_string(),
            name: organization.name,
            created_at: Instant(organization.created_at),
        })
        .collect();
    let text = match rows.as_slice() {
        [] => "There is no organization yet. Next: giftd org create NAME".to_owned(),
        rows => table(
            ["ID", "NAME", "CREATED"],
            rows.iter().map(|row| [row.organization_id.clone(), row.name.clone(), row.created_at.to_string()]),
        ),
    };
    Output::new(&List { organizations: rows }, text)
}
