//! An account's templates.

use giftd_domain::Timestamp;
use giftd_domain::ids::{AccountId, TemplateId};
use giftd_domain::limits;
use giftd_domain::templates::{Template, TemplateContent};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::group::Group;
use super::rows::{Column, Named, name, unsigned};
use crate::{StoreError, TemplateDeletion};

/// The columns that [`content`] reads.
const CONTENT: &str =
    "name, sender_name, message, image_alignment, image_size, border_color, button_color, button_font_color";

/// Those that weren't deleted, the default first.
pub(super) fn templates(connection: &Connection, account: AccountId) -> Result<Vec<Template>, StoreError> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {CONTENT}, template_id, is_default FROM templates
             WHERE account_id = ?1 AND deleted_at IS NULL ORDER BY is_default DESC, template_id"
        ))?
        .query_map([account.0], |row| {
            Ok(Template { content: content(row)?, template_id: TemplateId(row.get(8)?), is_default: row.get(9)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// What an order's mails look like, also by a template that was deleted.
pub(super) fn content_of(
    connection: &Connection,
    account: AccountId,
    template: TemplateId,
) -> Result<Option<TemplateContent>, StoreError> {
    let found = connection
        .prepare_cached(&format!("SELECT {CONTENT} FROM templates WHERE account_id = ?1 AND template_id = ?2"))?
        .query_row(params![account.0, template.0], content)
        .optional()?;
    Ok(found)
}

/// Adds a template with the next number, unless there are too many.
pub(super) fn create_template(
    group: &Group<'_>,
    account: AccountId,
    content: TemplateContent,
) -> Result<Option<Template>, StoreError> {
    let (count, last): (i64, i64) = group
        .connection()
        .prepare_cached("SELECT COUNT(*), COALESCE(MAX(template_id), 0) FROM templates WHERE account_id = ?1")?
        .query_row([account.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if unsigned::<usize>(count)? >= limits::TEMPLATES {
        return Ok(None);
    }
    let template = Template { template_id: TemplateId(last + 1), is_default: false, content };
    insert_template(group, account, &template)?;
    Ok(Some(template))
}

/// Adds a template as it is.
pub(super) fn insert_template(group: &Group<'_>, account: AccountId, template: &Template) -> Result<(), StoreError> {
    let content = &template.content;
    group
        .connection()
        .prepare_cached(&format!(
            "INSERT INTO templates (account_id, template_id, is_default, {CONTENT})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ))?
        .execute(params![
            account.0,
            template.template_id.0,
            template.is_default,
            content.name,
            content.sender_name,
            content.message,
            name(content.image_alignment),
            content.image_size,
            content.border_color.to_string(),
            content.button_color.to_string(),
            content.button_font_color.to_string()
        ])?;
    Ok(())
}

/// Replaces all of a template.
pub(super) fn replace_template(
    group: &Group<'_>,
    account: AccountId,
    template: TemplateId,
    content: TemplateContent,
) -> Result<Option<Template>, StoreError> {
    let is_default = group
        .connection()
        .prepare_cached(
            "UPDATE templates SET name = ?3, sender_name = ?4, message = ?5, image_alignment = ?6, image_size = ?7,
                border_color = ?8, button_color = ?9, button_font_color = ?10
             WHERE account_id = ?1 AND template_id = ?2 AND deleted_at IS NULL RETURNING is_default",
        )?
        .query_row(
            params![
                account.0,
                template.0,
                content.name,
                content.sender_name,
                content.message,
                name(content.image_alignment),
                content.image_size,
                content.border_color.to_string(),
                content.button_color.to_string(),
                content.button_font_color.to_string()
            ],
            |row| row.get(0),
        )
        .optional()?;
    Ok(is_default.map(|is_default| Template { template_id: template, is_default, content }))
}

/// Deletes a template, unless it is the default.
pub(super) fn delete_template(
    group: &Group<'_>,
    account: AccountId,
    template: TemplateId,
    now: Timestamp,
) -> Result<TemplateDeletion, StoreError> {
    let is_default = group
        .connection()
        .prepare_cached(
            "SELECT is_default FROM templates WHERE account_id = ?1 AND template_id = ?2 AND deleted_at IS NULL",
        )?
        .query_row(params![account.0, template.0], |row| row.get(0))
        .optional()?;
    match is_default {
        None => Ok(TemplateDeletion::Unknown),
        Some(true) => Ok(TemplateDeletion::Default),
        Some(false) => {
            let at = group.existing_account(account)?.clock.time(now);
            group
                .connection()
                .prepare_cached("UPDATE templates SET deleted_at = ?3 WHERE account_id = ?1 AND template_id = ?2")?
                .execute(params![account.0, template.0, Column(at)])?;
            Ok(TemplateDeletion::Deleted)
        }
    }
}

/// A row of [`CONTENT`].
fn content(row: &Row<'_>) -> rusqlite::Result<TemplateContent> {
    Ok(TemplateContent {
        name: row.get(0)?,
        sender_name: row.get(1)?,
        message: row.get(2)?,
        image_alignment: row.get::<_, Named<_>>(3)?.0,
        image_size: row.get(4)?,
        border_color: row.get::<_, Named<_>>(5)?.0,
        button_color: row.get::<_, Named<_>>(6)?.0,
        button_font_color: row.get::<_, Named<_>>(7)?.0,
    })
}
