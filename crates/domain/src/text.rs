//! Texts that people typed, made safe once, here.

/// Whether `text` has a control character (of Unicode's category Cc) or a line or paragraph separator.
pub fn has_control(text: &str) -> bool {
    text.chars().any(|c| c.is_control() || c == '\u{2028}' || c == '\u{2029}')
}

/// Whether `text` has a character that turns the direction of what follows it (Unicode's embeddings, overrides and
/// isolates): in a sender's name it would also turn the address behind it. Marks that only say the direction of a
/// letter's surroundings (U+200E, U+200F, U+061C), which names need, are no such characters.
fn turns_direction(text: &str) -> bool {
    text.chars().any(|c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

/// Why a text is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAText {
    /// More characters than allowed.
    #[error("at most {0} characters")]
    TooLong(usize),
    /// Nothing, or only white space.
    #[error("must not be empty or only white space")]
    Blank,
    /// A control character.
    #[error("must not contain control characters")]
    Control,
}

impl NotAText {
    /// The code of the problem on the wire.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong(_) => "TOO_LONG",
            Self::Blank => "BLANK",
            Self::Control => "CONTROL_CHARACTER",
        }
    }
}

/// One line of up to `max` characters.
pub fn line(text: &str, max: usize) -> Result<(), NotAText> {
    if has_control(text) || turns_direction(text) {
        return Err(NotAText::Control);
    }
    short(text, max)
}

/// One line of 1 to `max` characters that aren't all white space.
pub fn filled_line(text: &str, max: usize) -> Result<(), NotAText> {
    if text.trim().is_empty() {
        return Err(NotAText::Blank);
    }
    line(text, max)
}

/// Several lines: line feeds and tabs are its only control characters.
pub fn lines(text: &str, max: usize) -> Result<(), NotAText> {
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(NotAText::Control);
    }
    short(text, max)
}

fn short(text: &str, max: usize) -> Result<(), NotAText> {
    // Bytes first: most texts are short, and counting characters of a long one is not free.
    if text.len() > max && text.chars().count() > max { Err(NotAText::TooLong(max)) } else { Ok(()) }
}

/// Text as it is compared in searches: without regard to case, the same on every database.
pub fn folded(text: &str) -> String {
    // Letter by letter, so that a part of a text stays a part of it: as a whole, a final Σ would become ς, any other σ.
    // By way of the capitals, which the two share.
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// An email address as HTML's `type=email` has it (WHATWG HTML, "valid email address"), with a dot in
/// the domain; an international domain in its ASCII form (UTS 46). None for anything else.
pub fn email(text: &str) -> Option<String> {
    let (local, domain) = text.rsplit_once('@')?;
    let local_is_valid =
        !local.is_empty() && local.bytes().all(|b| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b));
    if !local_is_valid || domain.is_empty() || text.len() > crate::limits::EMAIL_CHARACTERS.saturating_mul(4) {
        return None;
    }
    let ascii = if domain.is_ascii() { domain.to_owned() } else { idna::domain_to_ascii_strict(domain).ok()? };
    let label_is_valid = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !ascii.contains('.') || !ascii.split('.').all(label_is_valid) {
        return None;
    }
    let address = format!("{local}@{ascii}");
    (address.len() <= crate::limits::EMAIL_CHARACTERS).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_text_is_found_in_it_whatever_the_case() {
        for (part, whole) in
            [("ΟΔΟΣ", "Οδόσημα ΟΔΟΣΗΜΑ"), ("οδος", "ΟΔΟΣ 1"), ("straße", "STRASSE"), ("İS", "xisİstanbul")]
        {
            assert!(folded(whole).contains(&folded(part)), "{part} in {whole}");
        }
        assert_eq!(folded("Ada Books"), "ada books");
        assert!(!folded("Ada").contains(&folded("ä")));
    }

    #[test]
    fn addresses_are_what_html_calls_valid_with_a_dot_in_the_domain() {
        for good in ["alice@giftronaut.com", "a.b+c@x-y.example", "'o'neil@ex.org", ".dots..@example.com", "A@B.CO"] {
            assert_eq!(email(good).as_deref(), Some(good));
        }
        let long = format!("a@{}.com", "b".repeat(64));
        for bad in [
            "",
            "a",
            "a@b",
            "@b.co",
            "a@",
            "a@b..co",
            "a@-b.co",
            "a@b-.co",
            "a b@c.de",
            "a@b.co\n",
            "ä@b.co",
            "a@b.co,c@d.ef",
            "\"a\"@b.co",
            "<a@b.co>",
            "a@b.co.",
            long.as_str(),
        ] {
            assert_eq!(email(bad), None, "{bad}");
        }
        assert_eq!(email(&format!("{}@example.com", "a".repeat(242))).map(|a| a.len()), Some(254));
        assert_eq!(email(&format!("{}@example.com", "a".repeat(243))), None);
    }

    #[test]
    fn international_domains_are_stored_as_punycode() {
        assert_eq!(email("alice@bücher.example").as_deref(), Some("alice@xn--bcher-kva.example"));
        assert_eq!(email("alice@例え.テスト").as_deref(), Some("alice@xn--r8jz45g.xn--zckzah"));
    }

    #[test]
    fn no_line_turns_the_direction_of_what_follows_it() {
        for turned in ["Acme \u{202e}moc.live", "\u{202a}a", "a\u{2066}b\u{2069}"] {
            assert_eq!(line(turned, 100), Err(NotAText::Control), "{turned:?}");
        }
        assert_eq!(line("\u{200f}\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{61c}\u{645}", 100), Ok(()), "marks stay");
        assert_eq!(lines("\u{2067}\u{5e9}\u{2069}", 100), Ok(()), "a message's lines stand alone");
    }

    #[test]
    fn only_a_message_may_hold_line_feeds_and_tabs() {
        assert_eq!(line("a\nb", 10), Err(NotAText::Control));
        assert_eq!(line("a\u{0}b", 10), Err(NotAText::Control));
        assert_eq!(line("a\u{85}b", 10), Err(NotAText::Control));
        assert_eq!(lines("a\n\tb", 10), Ok(()));
        assert_eq!(lines("a\r\nb", 10), Err(NotAText::Control));
        assert_eq!(filled_line(" \u{3000}", 10), Err(NotAText::Blank));
        assert_eq!(line(&"ü".repeat(10), 10), Ok(()));
        assert_eq!(line(&"ü".repeat(11), 10), Err(NotAText::TooLong(10)));
    }
}
