//! Organizations, their accounts and their apps.

use giftd_domain::Timestamp;
use giftd_domain::access::{App, Environment, Organization};
use giftd_domain::account::Account;
use giftd_domain::catalog::ChoiceRange;
use giftd_domain::ids::{AccountId, OrganizationId, TemplateId};
use giftd_domain::limits;
use giftd_domain::orders::place::AccountSettings;
use giftd_domain::templates::{SenderLook, Template, TemplateContent};
use tokio_postgres::Row;

use super::accounts;
use super::batch::Batch;
use super::counts::Counts;
use super::error::{Failure, broken};
use super::operation::Connection;
use super::rows::{Columns as _, micros, name, storable};
use super::{ledger, templates};

/// An organization with its two accounts. Inside a transaction.
pub(super) async fn create_organization(
    connection: &Connection,
    organization_name: &str,
    now: Timestamp,
    entropy: u128,
) -> Result<OrganizationId, Failure> {
    let statement = connection
        .prepare_cached("INSERT INTO organizations (name, created_at) VALUES ($1, $2) RETURNING organization_id")
        .await?;
    let row = connection.query_one(&statement, &[&organization_name, &micros(now)]).await?;
    let organization = OrganizationId(row.value("organization_id")?);
    for environment in [Environment::Production, Environment::Sandbox] {
        let account = create_account(connection, organization, environment, now, entropy).await?;
        let template = Template {
            template_id: TemplateId(limits::FIRST_TEMPLATE_ID),
            is_default: true,
            content: TemplateContent::first(organization_name),
        };
        templates::add(connection, account, &template).await?;
    }
    Ok(organization)
}

async fn create_account(
    connection: &Connection,
    organization: OrganizationId,
    environment: Environment,
    now: Timestamp,
    entropy: u128,
) -> Result<AccountId, Failure> {
    let insert = connection
        .prepare_cached("INSERT INTO accounts (organization_id, environment) VALUES ($1, $2) RETURNING account_id")
        .await?;
    let row = connection.query_one(&insert, &[&organization.0, &name(environment)]).await?;
    let account_id = AccountId(row.value("account_id")?);
    let mut account = Account::new(account_id, organization, environment);
    let refill = account.refill(now, entropy).map_err(|_| broken("play money can't be posted"))?;
    if let Some(entry) = refill {
        let mut counts = Counts::default();
        counts.entry(account_id, &entry);
        let mut batch = Batch::new(connection);
        ledger::add_entries(&mut batch, &[(account_id, &entry)]).await?;
        accounts::write(&mut batch, &[&account]).await?;
        counts.write(&mut batch).await?;
        batch.send().await?;
    }
    Ok(account_id)
}

/// All organizations, oldest first.
pub(super) async fn organizations(connection: &Connection) -> Result<Vec<Organization>, Failure> {
    let statement = connection
        .prepare_cached("SELECT organization_id, name, created_at FROM organizations ORDER BY organization_id")
        .await?;
    let rows = connection.query(&statement, &[]).await?;
    let read = |row: &Row| {
        Ok(Organization {
            organization_id: OrganizationId(row.value("organization_id")?),
            name: row.value("name")?,
            created_at: row.instant("created_at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// The account of an organization in an environment.
pub(super) async fn account_of(
    connection: &Connection,
    organization: OrganizationId,
    environment: Environment,
) -> Result<Option<Account>, Failure> {
    let statement = connection
        .prepare_cached(&format!(
            "SELECT {} FROM accounts WHERE organization_id = $1 AND environment = $2",
            accounts::COLUMNS
        ))
        .await?;
    let row = connection.query_opt(&statement, &[&organization.0, &name(environment)]).await?;
    row.as_ref().map(accounts::account).transpose()
}

/// What an account has set for its orders.
pub(super) async fn account_settings(
    connection: &Connection,
    account: AccountId,
) -> Result<Option<AccountSettings>, Failure> {
    let statement = connection
        .prepare_cached(
            "SELECT o.choice_min, o.choice_max, ARRAY(
                SELECT template_id FROM templates t WHERE t.account_id = a.account_id AND t.deleted_at IS NULL
                ORDER BY is_default DESC, template_id
             ) AS templates
             FROM accounts a JOIN organizations o USING (organization_id) WHERE a.account_id = $1",
        )
        .await?;
    let Some(row) = connection.query_opt(&statement, &[&account.0]).await? else { return Ok(None) };
    let range: (Option<i64>, Option<i64>) = (row.value("choice_min")?, row.value("choice_max")?);
    let templates: Vec<i64> = row.value("templates")?;
    let default = *templates.first().ok_or_else(|| broken(format!("account {account} has no template")))?;
    Ok(Some(AccountSettings {
        choice_range: range.0.zip(range.1).map(|(min, max)| ChoiceRange { min, max }),
        templates: templates.into_iter().map(TemplateId).collect(),
        default_template: TemplateId(default),
    }))
}

/// Sets the range of an organization's choice cards.
pub(super) async fn set_choice_range(
    connection: &Connection,
    organization: OrganizationId,
    range: ChoiceRange,
) -> Result<bool, Failure> {
    let statement = connection
        .prepare_cached("UPDATE organizations SET choice_min = $2, choice_max = $3 WHERE organization_id = $1")
        .await?;
    Ok(connection.execute(&statement, &[&organization.0, &range.min, &range.max]).await? == 1)
}

/// Who sends an account's mails.
pub(super) async fn sender_look(connection: &Connection, account: AccountId) -> Result<Option<SenderLook>, Failure> {
    let statement = connection
        .prepare_cached(
            "SELECT o.name, o.postal_line, o.logo FROM accounts a JOIN organizations o USING (organization_id)
             WHERE a.account_id = $1",
        )
        .await?;
    let Some(row) = connection.query_opt(&statement, &[&account.0]).await? else { return Ok(None) };
    Ok(Some(SenderLook {
        organization: row.value("name")?,
        postal_line: row.value("postal_line")?,
        logo: row.value("logo")?,
    }))
}

/// Sets or removes an organization's logo.
pub(super) async fn set_logo(
    connection: &Connection,
    organization: OrganizationId,
    png: Option<&[u8]>,
) -> Result<bool, Failure> {
    let statement = connection.prepare_cached("UPDATE organizations SET logo = $2 WHERE organization_id = $1").await?;
    Ok(connection.execute(&statement, &[&organization.0, &png]).await? == 1)
}

/// Sets or removes an organization's postal line.
pub(super) async fn set_postal_line(
    connection: &Connection,
    organization: OrganizationId,
    line: Option<&str>,
) -> Result<bool, Failure> {
    let statement =
        connection.prepare_cached("UPDATE organizations SET postal_line = $2 WHERE organization_id = $1").await?;
    Ok(connection.execute(&statement, &[&organization.0, &line]).await? == 1)
}

/// Adds an app.
pub(super) async fn create_app(connection: &Connection, app: &App) -> Result<(), Failure> {
    let statement = connection
        .prepare_cached(
            "INSERT INTO apps (client_id, organization_id, account_id, name, scopes, secret_hash, secret_version,
                created_at, revoked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .await?;
    connection
        .execute(
            &statement,
            &[
                &app.client_id,
                &app.organization_id.0,
                &app.account_id.0,
                &app.name,
                &app.scopes.to_string(),
                &app.secret_hash.as_slice(),
                &app.secret_version,
                &micros(app.created_at),
                &app.revoked_at.map(micros),
            ],
        )
        .await?;
    Ok(())
}

const APP: &str = "SELECT p.client_id, p.organization_id, p.account_id, a.environment, p.name, p.scopes, p.secret_hash,
    p.secret_version, p.created_at, p.revoked_at FROM apps p JOIN accounts a USING (account_id)";

/// The app of a client id.
pub(super) async fn app(connection: &Connection, client_id: &str) -> Result<Option<App>, Failure> {
    if !storable(client_id) {
        return Ok(None);
    }
    let statement = connection.prepare_cached(&format!("{APP} WHERE p.client_id = $1")).await?;
    connection.query_opt(&statement, &[&client_id]).await?.as_ref().map(read_app).transpose()
}

/// An organization's apps, oldest first.
pub(super) async fn apps(connection: &Connection, organization: OrganizationId) -> Result<Vec<App>, Failure> {
    let statement = connection
        .prepare_cached(&format!("{APP} WHERE p.organization_id = $1 ORDER BY p.created_at, p.client_id COLLATE \"C\""))
        .await?;
    connection.query(&statement, &[&organization.0]).await?.iter().map(read_app).collect()
}

fn read_app(row: &Row) -> Result<App, Failure> {
    let hash: &[u8] = row.value("secret_hash")?;
    Ok(App {
        client_id: row.value("client_id")?,
        organization_id: OrganizationId(row.value("organization_id")?),
        account_id: AccountId(row.value("account_id")?),
        environment: row.named("environment")?,
        name: row.value("name")?,
        scopes: row.named("scopes")?,
        secret_hash: hash.try_into().map_err(|_| broken("a secret's hash that has not 32 bytes"))?,
        secret_version: row.value("secret_version")?,
        created_at: row.instant("created_at")?,
        revoked_at: row.optional_instant("revoked_at")?,
    })
}

/// Gives an app another secret.
pub(super) async fn rotate_app(
    connection: &Connection,
    client_id: &str,
    secret_hash: [u8; 32],
) -> Result<bool, Failure> {
    if !storable(client_id) {
        return Ok(false);
    }
    let statement = connection
        .prepare_cached(
            "UPDATE apps SET secret_hash = $2, secret_version = secret_version + 1
             WHERE client_id = $1 AND revoked_at IS NULL",
        )
        .await?;
    Ok(connection.execute(&statement, &[&client_id, &secret_hash.as_slice()]).await? == 1)
}

/// Revokes an app.
pub(super) async fn revoke_app(connection: &Connection, client_id: &str, now: Timestamp) -> Result<bool, Failure> {
    if !storable(client_id) {
        return Ok(false);
    }
    let statement =
        connection.prepare_cached("UPDATE apps SET revoked_at = COALESCE(revoked_at, $2) WHERE client_id = $1").await?;
    Ok(connection.execute(&statement, &[&client_id, &micros(now)]).await? == 1)
}
