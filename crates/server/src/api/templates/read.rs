//! A template as clients send it: the whole of it, whether it is new or replaced.

use giftd_domain::limits;
use giftd_domain::problems::Problems;
use giftd_domain::templates::{Alignment, Color, TemplateContent};
use giftd_domain::text::{self, NotAText};
use utoipa::ToSchema;

use crate::api::body::JsonBody;
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::api::wire::AlignmentName;

/// The template that a body holds, or everything that is wrong with it.
pub async fn template(body: JsonBody) -> Result<TemplateContent, ApiError> {
    Ok(body.read(|fields| read(fields).map(check)).await??)
}

/// A template, once it parses.
struct Requested {
    name: String,
    sender_name: String,
    message: Option<String>,
    image_alignment: Alignment,
    image_size: Option<i64>,
    border_color: Option<String>,
    button_color: Option<String>,
    button_font_color: Option<String>,
}

fn read(fields: &mut Fields<'_, '_>) -> Option<Requested> {
    let (name, sender_name) = (fields.required_text("name"), fields.required_text("senderName"));
    let message = fields.text("message");
    let image_alignment = fields.choice("imageAlignment").unwrap_or(Alignment::Center);
    let image_size = fields.integer("imageSize");
    let (border_color, button_color) = (fields.text("borderColor"), fields.text("buttonColor"));
    let button_font_color = fields.text("buttonFontColor");
    Some(Requested {
        name: name?,
        sender_name: sender_name?,
        message,
        image_alignment,
        image_size,
        border_color,
        button_color,
        button_font_color,
    })
}

fn check(requested: Requested) -> Result<TemplateContent, Problems> {
    let mut problems = Problems::new();
    let mut check = |field: &str, result: Result<(), NotAText>| {
        if let Err(problem) = result {
            problems.add(field, problem.code(), problem.to_string());
        }
    };
    check("name", text::filled_line(&requested.name, limits::NAME_CHARACTERS));
    check("senderName", text::filled_line(&requested.sender_name, limits::SENDER_NAME_CHARACTERS));
    if let Some(message) = &requested.message {
        check("message", text::lines(message, limits::MESSAGE_CHARACTERS));
    }
    let image_size = match requested.image_size {
        None => TemplateContent::IMAGE_SIZE,
        Some(size) => u32::try_from(size).ok().filter(|size| (1..=100).contains(size)).unwrap_or_else(|| {
            problems.add("imageSize", "OUT_OF_RANGE", "must be 1 to 100, percent of the mail's width");
            TemplateContent::IMAGE_SIZE
        }),
    };
    let mut color = |field: &str, color: Option<String>, default: Color| match color.map(|color| color.parse()) {
        None => default,
        Some(Ok(color)) => color,
        Some(Err(problem)) => {
            let problem: giftd_domain::templates::NotAColor = problem;
            problems.add(field, "INVALID_COLOR", problem.to_string());
            default
        }
    };
    let border_color = color("borderColor", requested.border_color, Color::BORDER);
    let button_color = color("buttonColor", requested.button_color, Color::BUTTON);
    let button_font_color = color("buttonFontColor", requested.button_font_color, Color::BUTTON_FONT);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(TemplateContent {
        name: requested.name,
        sender_name: requested.sender_name,
        message: requested.message,
        image_alignment: requested.image_alignment,
        image_size,
        border_color,
        button_color,
        button_font_color,
    })
}

/// A whole template: what is left out has its default.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(rename_all = "camelCase", example = json!({
    "name": "Winter",
    "senderName": "Acme Corp",
    "message": "Thank you for your hard work.",
    "imageAlignment": "center",
    "imageSize": 40,
    "borderColor": "#E4DFD7",
    "buttonColor": "#2B2350",
    "buttonFontColor": "#FFFFFF",
}))]
#[expect(dead_code, reason = "describes what `read` reads")]
pub struct TemplateRequest {
    /// Its name, not only white space.
    #[schema(pattern = r"\S", min_length = 1, max_length = 100)]
    name: String,
    /// The display name of the sender, not only white space.
    #[schema(pattern = r"\S", min_length = 1, max_length = 100)]
    sender_name: String,
    /// Used where the order has none; it may hold line feeds and tabs.
    #[schema(max_length = 2_000)]
    message: Option<String>,
    /// Where the logo stands; else in the center.
    image_alignment: Option<AlignmentName>,
    /// Percent of the mail's width that the logo takes.
    #[schema(minimum = 1, maximum = 100, default = 40)]
    image_size: Option<u32>,
    /// The mail's border.
    #[schema(pattern = "^#[0-9A-Fa-f]{6}$", default = "#E4DFD7")]
    border_color: Option<String>,
    /// The button.
    #[schema(pattern = "^#[0-9A-Fa-f]{6}$", default = "#2B2350")]
    button_color: Option<String>,
    /// The button's text.
    #[schema(pattern = "^#[0-9A-Fa-f]{6}$", default = "#FFFFFF")]
    button_font_color: Option<String>,
}
