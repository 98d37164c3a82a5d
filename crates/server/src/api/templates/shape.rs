//! A template as clients see it.

use giftd_domain::templates::Template;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::wire::AlignmentName;

/// How mails look.
#[derive(Serialize, ToSchema)]
#[schema(as = Template)]
#[serde(rename_all = "camelCase")]
pub struct TemplateBody {
    /// Unique in the account.
    #[schema(example = "12")]
    template_id: String,
    /// Whether orders that name none get it.
    is_default: bool,
    /// Its name.
    name: String,
    /// The display name of the sender.
    sender_name: String,
    /// The message where the order has none.
    #[schema(required)]
    message: Option<String>,
    /// Where the logo stands.
    image_alignment: AlignmentName,
    /// Percent of the mail's width that the logo takes.
    #[schema(minimum = 1, maximum = 100, example = 40)]
    image_size: u32,
    /// The mail's border.
    #[schema(pattern = "^#[0-9A-F]{6}$", example = "#E4DFD7")]
    border_color: String,
    /// The button.
    #[schema(pattern = "^#[0-9A-F]{6}$", example = "#2B2350")]
    button_color: String,
    /// The button's text.
    #[schema(pattern = "^#[0-9A-F]{6}$", example = "#FFFFFF")]
    button_font_color: String,
}

impl From<Template> for TemplateBody {
    fn from(template: Template) -> Self {
        let Template { template_id, is_default, content } = template;
        Self {
            template_id: template_id.to_string(),
            is_default,
            name: content.name,
            sender_name: content.sender_name,
            message: content.message,
            image_alignment: AlignmentName(content.image_alignment),
            image_size: content.image_size,
            border_color: content.border_color.to_string(),
            button_color: content.button_color.to_string(),
            button_font_color: content.button_font_color.to_string(),
        }
    }
}
