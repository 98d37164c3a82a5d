//! `giftd app`

use clap::Subcommand;
use giftd_domain::access::{self, Environment, Scopes};
use giftd_domain::ids::OrganizationId;
use giftd_domain::{limits, text};
use giftd_store::Store;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::output::{Failure, Output, table};
use super::{Context, arguments};
use crate::api::wire::EnvironmentName;
use crate::api::wire::Instant;
use crate::clock::Clock;

#[derive(Subcommand)]
pub enum App {
    /// Create an app; its secret is shown once
    #[command(
        after_help = "Example:\n  giftd app create --org 1 --environment sandbox --name Payroll --scopes 'orders.read orders.write'"
    )]
    Create {
        /// The organization's id
        #[arg(long, value_name = "ID", value_parser = arguments::organization)]
        org: OrganizationId,
        /// Whether its orders are real
        #[arg(long, value_parser = arguments::environment, value_name = "production|sandbox")]
        environment: Environment,
        /// The creator of its orders, up to 100 characters
        #[arg(long)]
        name: String,
        /// What it may do, with spaces between
        #[arg(long, value_parser = arguments::scopes)]
        scopes: Scopes,
    },
    /// Revoke an app for ever: its tokens stop working within 5 seconds
    Revoke {
        /// The app
        client_id: String,
    },
    /// Give an app another secret: tokens of the old one stop working within 5 seconds
    Rotate {
        /// The app
        client_id: String,
    },
    /// List an organization's apps
    List {
        /// The organization's id
        #[arg(long, value_name = "ID", value_parser = arguments::organization)]
        org: OrganizationId,
    },
}

/// Credentials, as they are shown once.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    pub client_id: String,
    pub client_secret: String,
}

#[derive(Serialize)]
struct List {
    apps: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    client_id: String,
    environment: EnvironmentName,
    name: String,
    scopes: String,
    created_at: Instant,
    revoked_at: Option<Instant>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Revoked {
    client_id: String,
    revoked: bool,
}

impl App {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        let store = context.store().await?;
        match self {
            Self::Create { org, environment, name, scopes } => {
                let made = create(store.as_ref(), &context.clock, org, environment, &name, scopes).await?;
                Output::new(&made, credentials(&made, "It is shown only now"))
            }
            Self::Revoke { client_id } => revoke(context, store.as_ref(), client_id).await,
            Self::Rotate { client_id } => rotate(context, store.as_ref(), client_id).await,
            Self::List { org } => list(store.as_ref(), org).await,
        }
    }
}

/// Makes an app.
pub async fn create(
    store: &dyn Store,
    clock: &Clock,
    organization: OrganizationId,
    environment: Environment,
    name: &str,
    scopes: Scopes,
) -> Result<Credentials, Failure> {
    let named = text::filled_line(name, limits::NAME_CHARACTERS);
    named.map_err(|problem| Failure::new("VALIDATION_ERROR", format!("the name of an app {problem}")))?;
    if scopes.is_empty() {
        return Err(Failure::new("VALIDATION_ERROR", "an app needs at least one scope, such as orders.read"));
    }
    let account =
        store.account_of(organization, environment).await?.ok_or_else(|| arguments::no_organization(organization))?;
    // Hexadecimal digits: no special characters in Basic authentication or in a form.
    let client_id = format!("app_{:032x}", clock.entropy());
    let client_secret = clock.secret();
    let app = access::App {
        client_id: client_id.clone(),
        organization_id: organization,
        account_id: account.account_id,
        environment,
        name: name.to_owned(),
        scopes,
        secret_hash: Sha256::digest(&client_secret).into(),
        secret_version: 1,
        created_at: clock.now(),
        revoked_at: None,
    };
    store.create_app(&app).await?;
    Ok(Credentials { client_id, client_secret })
}

async fn revoke(context: &Context, store: &dyn Store, client_id: String) -> Result<Output, Failure> {
    if !store.revoke_app(&client_id, context.clock.now()).await? {
        return Err(no_app(&client_id));
    }
    let text = format!("{client_id} is revoked; its tokens stop working within 5 seconds.");
    Output::new(&Revoked { client_id, revoked: true }, text)
}

async fn rotate(context: &Context, store: &dyn Store, client_id: String) -> Result<Output, Failure> {
    let client_secret = context.clock.secret();
    if !store.rotate_app(&client_id, Sha256::digest(&client_secret).into()).await? {
        return Err(match store.app(&client_id).await? {
            Some(_) => Failure::new("REVOKED", format!("{client_id} is revoked for ever: create another app")),
            None => no_app(&client_id),
        });
    }
    let made = Credentials { client_id, client_secret };
    let text = credentials(&made, "It is shown only now; the old secret and its tokens stop working within 5 seconds");
    Output::new(&made, text)
}

async fn list(store: &dyn Store, organization: OrganizationId) -> Result<Output, Failure> {
    let apps = store.apps(organization).await?;
    if apps.is_empty() && store.account_of(organization, Environment::Production).await?.is_none() {
        return Err(arguments::no_organization(organization));
    }
    let rows: Vec<_> = apps
        .into_iter()
        .map(|app| Row {
            client_id: app.client_id,
            environment: EnvironmentName(app.environment),
            name: app.name,
            scopes: app.scopes.to_string(),
            created_at: Instant(app.created_at),
            revoked_at: app.revoked_at.map(Instant),
        })
        .collect();
    let text = match rows.as_slice() {
        [] => format!("Organization {organization} has no app yet. Next: giftd app create --org {organization} --help"),
        rows => table(
            ["CLIENT ID", "ENVIRONMENT", "NAME", "SCOPES", "REVOKED"],
            rows.iter().map(|row| {
                let environment: &str = row.environment.0.into();
                let revoked = row.revoked_at.map_or_else(String::new, |at| at.to_string());
                [row.client_id.clone(), environment.to_owned(), row.name.clone(), row.scopes.clone(), revoked]
            }),
        ),
    };
    Output::new(&List { apps: rows }, text)
}

fn credentials(made: &Credentials, note: &str) -> String {
    format!("client id:     {}\nclient secret: {}\n{note}.", made.client_id, made.client_secret)
}

fn no_app(client_id: &str) -> Failure {
    Failure::new("NOT_FOUND", format!("there is no app {client_id:?}: see giftd app list --org ID"))
}
