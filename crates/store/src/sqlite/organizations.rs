//! Organizations, their accounts and their apps.

use giftd_domain::Timestamp;
use giftd_domain::access::{App, Environment, Organization};
use giftd_domain::account::Account;
use giftd_domain::catalog::ChoiceRange;
use giftd_domain::ids::{AccountId, OrganizationId, TemplateId};
use giftd_domain::limits;
use giftd_domain::orders::place::AccountSettings;
use giftd_domain::templates::{SenderLook, Template, TemplateContent};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::error::broken;
use super::group::{Group, read_account};
use super::rows::{Column, Named, name};
use super::templates::insert_template;
use crate::StoreError;

/// An organization with its two accounts.
pub(super) fn create_organization(
    group: &mut Group<'_>,
    name_of_it: &str,
    now: Timestamp,
    entropy: u128,
) -> Result<OrganizationId, StoreError> {
    let connection = group.connection();
    connection
        .prepare_cached("INSERT INTO organizations (name, created_at) VALUES (?1, ?2)")?
        .execute(params![name_of_it, Column(now)])?;
    let organization = OrganizationId(connection.last_insert_rowid());
    for environment in [Environment::Production, Environment::Sandbox] {
        connection
            .prepare_cached("INSERT INTO accounts (organization_id, environment) VALUES (?1, ?2)")?
            .execute(params![organization.0, name(environment)])?;
        let account_id = AccountId(connection.last_insert_rowid());
        let first = Template {
            template_id: TemplateId(limits::FIRST_TEMPLATE_ID),
            is_default: true,
            content: TemplateContent::first(name_of_it),
        };
        insert_template(group, account_id, &first)?;
        let mut account = Account::new(account_id, organization, environment);
        let refill = account.refill(now, entropy).map_err(|_| broken("play money can't be posted"))?;
        if let Some(entry) = refill {
            group.post(account_id, &entry)?;
        }
        group.set_account(account);
    }
    Ok(organization)
}

/// All organizations, oldest first.
pub(super) fn organizations(connection: &Connection) -> Result<Vec<Organization>, StoreError> {
    let found = connection
        .prepare_cached("SELECT organization_id, name, created_at FROM organizations ORDER BY organization_id")?
        .query_map([], |row| {
            Ok(Organization {
                organization_id: OrganizationId(row.get(0)?),
                name: row.get(1)?,
                created_at: row.get::<_, Column<_>>(2)?.0,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// The account of an organization in an environment.
pub(super) fn account_of(
    connection: &Connection,
    organization: OrganizationId,
    environment: Environment,
) -> Result<Option<Account>, StoreError> {
    let id: Option<i64> = connection
        .prepare_cached("SELECT account_id FROM accounts WHERE organization_id = ?1 AND environment = ?2")?
        .query_row(params![organization.0, name(environment)], |row| row.get(0))
        .optional()?;
    id.map_or(Ok(None), |id| read_account(connection, AccountId(id)))
}

/// What an account has set for its orders.
pub(super) fn account_settings(
    connection: &Connection,
    account: AccountId,
) -> Result<Option<AccountSettings>, StoreError> {
    let range: Option<Option<ChoiceRange>> = connection
        .prepare_cached(
            "SELECT choice_min, choice_max FROM accounts JOIN organizations USING (organization_id) WHERE account_id = ?1",
        )?
        .query_row([account.0], |row| {
            let range: (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
            Ok(range.0.zip(range.1).map(|(min, max)| ChoiceRange { min, max }))
        })
        .optional()?;
    let Some(choice_range) = range else { return Ok(None) };
    let templates: Vec<TemplateId> = connection
        .prepare_cached(
            "SELECT template_id FROM templates WHERE account_id = ?1 AND deleted_at IS NULL
             ORDER BY is_default DESC, template_id",
        )?
        .query_map([account.0], |row| row.get(0).map(TemplateId))?
        .collect::<Result<_, _>>()?;
    let default_template = *templates.first().ok_or_else(|| broken(format!("account {account} has no template")))?;
    Ok(Some(AccountSettings { choice_range, templates, default_template }))
}

/// Sets the range of an organization's choice cards.
pub(super) fn set_choice_range(
    group: &Group<'_>,
    organization: OrganizationId,
    range: ChoiceRange,
) -> Result<bool, StoreError> {
    let changed = group
        .connection()
        .prepare_cached("UPDATE organizations SET choice_min = ?2, choice_max = ?3 WHERE organization_id = ?1")?
        .execute(params![organization.0, range.min, range.max])?;
    Ok(changed == 1)
}

/// Who sends the mails of an account.
pub(super) fn sender_look(connection: &Connection, account: AccountId) -> Result<Option<SenderLook>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT name, postal_line, logo FROM accounts JOIN organizations USING (organization_id) WHERE account_id = ?1",
        )?
        .query_row([account.0], |row| {
            Ok(SenderLook { organization: row.get(0)?, postal_line: row.get(1)?, logo: row.get(2)? })
        })
        .optional()?;
    Ok(found)
}

/// Sets or removes an organization's logo.
pub(super) fn set_logo(
    group: &Group<'_>,
    organization: OrganizationId,
    png: Option<&[u8]>,
) -> Result<bool, StoreError> {
    let changed = group
        .connection()
        .prepare_cached("UPDATE organizations SET logo = ?2 WHERE organization_id = ?1")?
        .execute(params![organization.0, png])?;
    Ok(changed == 1)
}

/// Sets or removes an organization's postal line.
pub(super) fn set_postal_line(
    group: &Group<'_>,
    organization: OrganizationId,
    line: Option<&str>,
) -> Result<bool, StoreError> {
    let changed = group
        .connection()
        .prepare_cached("UPDATE organizations SET postal_line = ?2 WHERE organization_id = ?1")?
        .execute(params![organization.0, line])?;
    Ok(changed == 1)
}

/// Adds an app.
pub(super) fn create_app(group: &Group<'_>, app: &App) -> Result<(), StoreError> {
    group
        .connection()
        .prepare_cached(
            "INSERT INTO apps (client_id, organization_id, account_id, name, scopes, secret_hash, secret_version, created_at, revoked_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            app.client_id,
            app.organization_id.0,
            app.account_id.0,
            app.name,
            app.scopes.to_string(),
            app.secret_hash,
            app.secret_version,
            Column(app.created_at),
            app.revoked_at.map(Column)
        ])?;
    Ok(())
}

const APP: &str =
    "SELECT client_id, p.organization_id, account_id, environment, name, scopes, secret_hash, secret_version,
    created_at, revoked_at FROM apps p JOIN accounts USING (account_id)";

/// The app of a client id.
pub(super) fn app(connection: &Connection, client_id: &str) -> Result<Option<App>, StoreError> {
    let found = connection
        .prepare_cached(&format!("{APP} WHERE client_id = ?1"))?
        .query_row([client_id], read_app)
        .optional()?;
    Ok(found)
}

/// An organization's apps, oldest first.
pub(super) fn apps(connection: &Connection, organization: OrganizationId) -> Result<Vec<App>, StoreError> {
    let found = connection
        .prepare_cached(&format!("{APP} WHERE p.organization_id = ?1 ORDER BY created_at, client_id"))?
        .query_map([organization.0], read_app)?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

fn read_app(row: &Row<'_>) -> rusqlite::Result<App> {
    Ok(App {
        client_id: row.get(0)?,
        organization_id: OrganizationId(row.get(1)?),
        account_id: AccountId(row.get(2)?),
        environment: row.get::<_, Named<_>>(3)?.0,
        name: row.get(4)?,
        scopes: row.get::<_, Named<_>>(5)?.0,
        secret_hash: row.get(6)?,
        secret_version: row.get(7)?,
        created_at: row.get::<_, Column<_>>(8)?.0,
        revoked_at: row.get::<_, Option<Column<_>>>(9)?.map(|at| at.0),
    })
}

/// Gives an app another secret.
pub(super) fn rotate_app(group: &Group<'_>, client_id: &str, secret_hash: [u8; 32]) -> Result<bool, StoreError> {
    let changed = group
        .connection()
        .prepare_cached(
            "UPDATE apps SET secret_hash = ?2, secret_version = secret_version + 1
             WHERE client_id = ?1 AND revoked_at IS NULL",
        )?
        .execute(params![client_id, secret_hash])?;
    Ok(changed == 1)
}

/// Revokes an app.
pub(super) fn revoke_app(group: &Group<'_>, client_id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let changed = group
        .connection()
        .prepare_cached("UPDATE apps SET revoked_at = COALESCE(revoked_at, ?2) WHERE client_id = ?1")?
        .execute(params![client_id, Column(now)])?;
    Ok(changed == 1)
}
