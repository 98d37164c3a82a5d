//! How an account's mails look.

use crate::ids::TemplateId;

/// A template of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its number, unique in the account.
    pub template_id: TemplateId,
    /// Whether orders that name none get it.
    pub is_default: bool,
    /// The rest.
    pub content: TemplateContent,
}

/// What a client sets of a template. Texts are free of control characters, but for the message's line
/// feeds and tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateContent {
    /// 1 to 100 characters.
    pub name: String,
    /// 1 to 100 characters.
    pub sender_name: String,
    /// Used where the order has none; up to 2,000 characters.
    pub message: Option<String>,
    /// Where the logo stands.
    pub image_alignment: Alignment,
    /// Percent of the mail's width that the logo takes, 1 to 100.
    pub image_size: u32,
    /// The mail's border.
    pub border_color: Color,
    /// The button.
    pub button_color: Color,
    /// The button's text.
    pub button_font_color: Color,
}

impl TemplateContent {
    /// The look of an account's first template, for an organization of this name.
    pub fn first(organization: &str) -> Self {
        Self {
            name: "Default".to_owned(),
            sender_name: organization.to_owned(),
            message: None,
            image_alignment: Alignment::Center,
            image_size: Self::IMAGE_SIZE,
            border_color: Color::BORDER,
            button_color: Color::BUTTON,
            button_font_color: Color::BUTTON_FONT,
        }
    }

    /// The default of `image_size`.
    pub const IMAGE_SIZE: u32 = 40;
}

/// Where a template's logo stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Alignment {
    /// At the left.
    Left,
    /// In the middle.
    Center,
    /// At the right.
    Right,
}

/// A color, as 24 bits of red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Color(u32);

impl Color {
    /// The default of a mail's border.
    pub const BORDER: Self = Self(0xE4_DF_D7);
    /// The default of a button.
    pub const BUTTON: Self = Self(0x2B_23_50);
    /// The default of a button's text.
    pub const BUTTON_FONT: Self = Self(0xFF_FF_FF);
}

/// `#RRGGBB`.
impl std::fmt::Display for Color {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{:06X}", self.0)
    }
}

/// A text that is no color.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a color as #RRGGBB, such as #2B2350")]
pub struct NotAColor;

impl std::str::FromStr for Color {
    type Err = NotAColor;

    fn from_str(text: &str) -> Result<Self, NotAColor> {
        let digits = text.strip_prefix('#').ok_or(NotAColor)?;
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAColor);
        }
        u32::from_str_radix(digits, 16).map(Self).map_err(|_| NotAColor)
    }
}

/// Who sends an account's mails, beside what each order says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderLook {
    /// The organization's name.
    pub organization: String,
    /// Its postal address, in one line, at the foot of each mail; else its name alone stands there.
    pub postal_line: Option<String>,
    /// Its logo, as a PNG.
    pub logo: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_color_is_six_hexadecimal_digits_after_a_hash() {
        assert_eq!("#2b2350".parse::<Color>().map(|color| color.to_string()).as_deref(), Ok("#2B2350"));
        assert_eq!("#2B2350".parse(), Ok(Color::BUTTON));
        for wrong in ["", "#", "2B2350", "#2B235", "#2B23500", "#2B235G", "red", "#+B2350", "#２B2350", "#fff"] {
            assert_eq!(wrong.parse::<Color>(), Err(NotAColor), "{wrong}");
        }
    }
}
