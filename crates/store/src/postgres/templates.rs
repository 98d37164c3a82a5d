//! An account's templates.

use giftd_domain::Timestamp;
use giftd_domain::ids::{AccountId, TemplateId};
use giftd_domain::limits;
use giftd_domain::templates::{Template, TemplateContent};
use tokio_postgres::Row;

use super::accounts;
use super::error::Failure;
use super::operation::Connection;
use super::rows::{Columns as _, Parameters, micros, name, signed};
use crate::TemplateDeletion;

/// The columns that [`content`] reads, of `templates t`.
pub(super) const CONTENT: &str = "t.name, t.sender_name, t.message, t.image_alignment, t.image_size, t.border_color,
    t.button_color, t.button_font_color";

/// A row of [`CONTENT`].
pub(super) fn content(row: &Row) -> Result<TemplateContent, Failure> {
    Ok(TemplateContent {
        name: row.value("name")?,
        sender_name: row.value("sender_name")?,
        message: row.value("message")?,
        image_alignment: row.named("image_alignment")?,
        image_size: row.count("image_size")?,
        border_color: row.named("border_color")?,
        button_color: row.named("button_color")?,
        button_font_color: row.named("button_font_color")?,
    })
}

/// An account's templates, the default first, then by number.
pub(super) async fn templates(connection: &Connection, account: AccountId) -> Result<Vec<Template>, Failure> {
    let statement = connection
        .prepare_cached(&format!(
            "SELECT t.template_id, t.is_default, {CONTENT} FROM templates t
             WHERE t.account_id = $1 AND t.deleted_at IS NULL ORDER BY t.is_default DESC, t.template_id"
        ))
        .await?;
    connection.query(&statement, &[&account.0]).await?.iter().map(template).collect()
}

fn template(row: &Row) -> Result<Template, Failure> {
    Ok(Template {
        template_id: TemplateId(row.value("template_id")?),
        is_default: row.value("is_default")?,
        content: content(row)?,
    })
}

/// Adds a template with the next number. Inside a transaction.
pub(super) async fn create_template(
    connection: &Connection,
    account: AccountId,
    content: &TemplateContent,
) -> Result<Option<Template>, Failure> {
    if accounts::hold(connection, &[account.0]).await?.is_empty() {
        return Ok(None);
    }
    let count = connection
        .prepare_cached("SELECT COUNT(*) AS n, MAX(template_id) AS last FROM templates WHERE account_id = $1")
        .await?;
    let row = connection.query_one(&count, &[&account.0]).await?;
    if row.value::<i64>("n")? >= signed(limits::TEMPLATES)? {
        return Ok(None);
    }
    let last: Option<i64> = row.value("last")?;
    let template_id = TemplateId(last.map_or(limits::FIRST_TEMPLATE_ID, |last| last + 1));
    let template = Template { template_id, is_default: false, content: content.clone() };
    add(connection, account, &template).await?;
    Ok(Some(template))
}

/// Writes a new template. Inside a transaction that holds its account, or has made it.
pub(super) async fn add(connection: &Connection, account: AccountId, template: &Template) -> Result<(), Failure> {
    let statement = connection
        .prepare_cached(
            "INSERT INTO templates (account_id, template_id, name, sender_name, message, image_alignment, image_size,
                border_color, button_color, button_font_color, is_default)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .await?;
    let columns = Values::of(&template.content);
    let mut values: Parameters<'_> = vec![&account.0, &template.template_id.0];
    values.extend(columns.list());
    values.push(&template.is_default);
    connection.execute(&statement, &values).await?;
    Ok(())
}

/// Replaces all of a template. Inside a transaction.
pub(super) async fn replace_template(
    connection: &Connection,
    account: AccountId,
    template_id: TemplateId,
    content: &TemplateContent,
) -> Result<Option<Template>, Failure> {
    let statement = connection
        .prepare_cached(
            "UPDATE templates SET name = $3, sender_name = $4, message = $5, image_alignment = $6, image_size = $7,
                border_color = $8, button_color = $9, button_font_color = $10
             WHERE account_id = $1 AND template_id = $2 AND deleted_at IS NULL RETURNING is_default",
        )
        .await?;
    let columns = Values::of(content);
    let mut values: Parameters<'_> = vec![&account.0, &template_id.0];
    values.extend(columns.list());
    let Some(row) = connection.query_opt(&statement, &values).await? else { return Ok(None) };
    Ok(Some(Template { template_id, is_default: row.value("is_default")?, content: content.clone() }))
}

/// Deletes a template, but for the default. Inside a transaction.
pub(super) async fn delete_template(
    connection: &Connection,
    account: AccountId,
    template: TemplateId,
    now: Timestamp,
) -> Result<TemplateDeletion, Failure> {
    let statement = connection
        .prepare_cached(
            "UPDATE templates SET deleted_at = CASE WHEN is_default THEN NULL ELSE $3::BIGINT END
             WHERE account_id = $1 AND template_id = $2 AND deleted_at IS NULL RETURNING is_default",
        )
        .await?;
    let found = connection.query_opt(&statement, &[&account.0, &template.0, &micros(now)]).await?;
    Ok(match found.map(|row| row.value("is_default")).transpose()? {
        None => TemplateDeletion::Unknown,
        Some(true) => TemplateDeletion::Default,
        Some(false) => TemplateDeletion::Deleted,
    })
}

/// A template's content as columns.
struct Values<'a> {
    content: &'a TemplateContent,
    alignment: &'static str,
    size: i64,
    colors: [String; 3],
}

impl<'a> Values<'a> {
    fn of(content: &'a TemplateContent) -> Self {
        let colors = [content.border_color, content.button_color, content.button_font_color];
        Self {
            content,
            alignment: name(content.image_alignment),
            size: i64::from(content.image_size),
            colors: colors.map(|color| color.to_string()),
        }
    }

    /// In the order of [`CONTENT`].
    fn list(&self) -> Parameters<'_> {
        let [border, button, font] = &self.colors;
        let TemplateContent { name, sender_name, message, .. } = self.content;
        vec![name, sender_name, message, &self.alignment, &self.size, border, button, font]
    }
}
