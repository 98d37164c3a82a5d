//! Personal tokens in a subject or a message: `{{firstName}}`, `{{lastName}}` and `{{company}}`. Nothing else
//! is evaluated, and what stands for a token isn't either.
//!
//! What is missing leaves no hole:
//! 1. Tokens with only spaces between them are one name. Those that are there stand with a space between.
//! 2. A person without a name, after a greeting (Hi, Hello, Hey, Dear), is "there": `Hi there,`.
//! 3. Any other name that is missing goes with what belongs to it: brackets around it, a possessive `'s`, the
//!    spaces, the comma and the small word (at, by, for, from, of, to, with) before it: `A gift!`.
//! 4. At the beginning of a line the punctuation after it goes too, and the next letter is a capital. A line of
//!    which nothing is left goes as a whole.

use giftd_domain::gifts::Recipient;

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    FirstName,
    LastName,
    Company,
}

/// A part of a line.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// Text that stays as it is.
    Text(&'a str),
    /// Tokens with only spaces between them.
    Name(Vec<Token>),
}

const TOKENS: [(&str, Token); 3] =
    [("firstName", Token::FirstName), ("lastName", Token::LastName), ("company", Token::Company)];
const GREETINGS: [&str; 4] = ["hi", "hello", "hey", "dear"];
const SMALL_WORDS: [&str; 7] = ["at", "by", "for", "from", "of", "to", "with"];

/// `text` with its tokens filled in for a recipient.
pub fn filled(text: &str, recipient: &Recipient) -> String {
    let lines = text.split('\n').filter_map(|line| filled_line(line, recipient));
    lines.collect::<Vec<_>>().join("\n")
}

/// None where the line had tokens and has nothing any more.
fn filled_line(line: &str, recipient: &Recipient) -> Option<String> {
    let mut filled = String::with_capacity(line.len());
    let (mut is_cut, mut was_cut) = (false, false);
    for piece in pieces(line) {
        match piece {
            Piece::Text(text) => {
                let text = if is_cut { after_a_hole(&mut filled, text) } else { text.to_owned() };
                filled.push_str(&text);
                is_cut = false;
            }
            Piece::Name(tokens) => match name(&tokens, recipient) {
                Some(name) => filled.push_str(&name),
                None if tokens.iter().any(|token| *token != Token::Company) && ends_with_a_greeting(&filled) => {
                    filled.push_str("there");
                }
                None => {
                    cut_before(&mut filled);
                    (is_cut, was_cut) = (true, true);
                }
            },
        }
    }
    (!was_cut || !filled.trim().is_empty()).then_some(filled)
}

fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut text, mut at) = (line, 0);
    while let Some(found) = text.get(at..).and_then(|rest| rest.find("{{")) {
        let begin = at + found;
        let Some((token, length)) = token(&text[begin..]) else {
            at = begin + 1;
            continue;
        };
        let before = &text[..begin];
        match pieces.last_mut() {
            Some(Piece::Name(tokens)) if before.chars().all(|c| c == ' ') => tokens.push(token),
            _ => {
                if !before.is_empty() {
                    pieces.push(Piece::Text(before));
                }
                pieces.push(Piece::Name(vec![token]));
            }
        }
        (text, at) = (&text[begin + length..], 0);
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// The token that `text` begins with, and its length.
fn token(text: &str) -> Option<(Token, usize)> {
    let inside = text.strip_prefix("{{")?;
    let end = inside.find("}}")?;
    let name = inside.get(..end)?.trim_matches(' ');
    let token = TOKENS.iter().find(|(known, _)| *known == name)?.1;
    Some((token, end + 4))
}

fn name(tokens: &[Token], recipient: &Recipient) -> Option<String> {
    let value = |token: &Token| {
        let value = match token {
            Token::FirstName => &recipient.first_name,
            Token::LastName => &recipient.last_name,
            Token::Company => &recipient.company,
        };
        value.as_deref().map(str::trim).filter(|value| !value.is_empty())
    };
    let there: Vec<&str> = tokens.iter().filter_map(value).collect();
    (!there.is_empty()).then(|| there.join(" "))
}

fn ends_with_a_greeting(text: &str) -> bool {
    text.ends_with(' ') && ends_with_one_of(text.trim_end(), &GREETINGS).is_some()
}

/// The text before the word that it ends with, if that is one of `words`.
fn ends_with_one_of<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    let before = text.trim_end_matches(char::is_alphanumeric);
    let last = &text[before.len()..];
    words.iter().any(|word| last.eq_ignore_ascii_case(word)).then_some(before)
}

/// Takes from the end of `text` what belonged to a name that is missing.
fn cut_before(text: &mut String) {
    let mut kept = text.trim_end();
    if let Some(before) = ends_with_one_of(kept, &SMALL_WORDS) {
        kept = before.trim_end();
    }
    kept = kept.strip_suffix(',').unwrap_or(kept).trim_end();
    text.truncate(kept.len());
}

/// `text` as it stands after a name that is missing; may take an open bracket from the end of `before`.
fn after_a_hole(before: &mut String, text: &str) -> String {
    let text = text.strip_prefix("'s").or_else(|| text.strip_prefix("’s")).unwrap_or(text);
    let closing = before.ends_with('(').then(|| text.strip_prefix(')')).flatten();
    if closing.is_some() {
        before.pop();
        before.truncate(before.trim_end().len());
    }
    let text = closing.unwrap_or(text);
    if !before.is_empty() {
        return text.to_owned();
    }
    let punctuation = |c: char| c.is_whitespace() || ",;:.!?-–—".contains(c);
    let mut rest = text.trim_start_matches(punctuation).chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(first_name: &str, last_name: &str, company: &str) -> Recipient {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Recipient {
            email: None,
            first_name: text(first_name),
            last_name: text(last_name),
            company: text(company),
            department: None,
        }
    }

    #[test]
    fn tokens_stand_for_the_recipients_texts_and_nothing_else_is_evaluated() {
        let alice = person("Alice", " Smith ", "Acme");
        for (text, expected) in [
            ("Hi {{firstName}},", "Hi Alice,"),
            ("Hi {{ firstName }} {{lastName}} of {{company}}!", "Hi Alice Smith of Acme!"),
            ("{{firstName}}{{lastName}}", "Alice Smith"),
            ("{{firstName}}  {{firstName}}", "Alice Alice"),
            (
                "{{department}} {{ link }} {% raw %} {{firstname}} {firstName}",
                "{{department}} {{ link }} {% raw %} {{firstname}} {firstName}",
            ),
            ("{{{firstName}}}", "{Alice}"),
            ("{{firstName", "{{firstName"),
            ("{{x{{firstName}}", "{{xAlice"),
            ("{{firstName|upper}} {{firstName\n}}", "{{firstName|upper}} {{firstName\n}}"),
            ("贈り物 {{firstName}} さん", "贈り物 Alice さん"),
            (" \n\n no tokens, \t stays \n", " \n\n no tokens, \t stays \n"),
            ("", ""),
        ] {
            assert_eq!(filled(text, &alice), expected, "{text}");
        }
        let evil = person("{{company}}", "{{lastName}}", "Acme");
        assert_eq!(filled("{{firstName}} {{lastName}}", &evil), "{{company}} {{lastName}}", "once, not again");
    }

    #[test]
    fn what_is_missing_leaves_no_hole() {
        let nobody = person("", " ", "");
        for (text, expected) in [
            ("Hi {{firstName}},", "Hi there,"),
            ("hello {{firstName}} {{lastName}}!", "hello there!"),
            ("Dear {{lastName}}", "Dear there"),
            ("Hello, {{firstName}}!", "Hello!"),
            ("Delhi {{firstName}}.", "Delhi."),
            ("Hi {{company}} team,", "Hi team,"),
            ("Thank you, {{firstName}}!", "Thank you!"),
            ("Thank you {{firstName}} !", "Thank you !"),
            ("A gift for {{firstName}}!", "A gift!"),
            ("A gift for {{firstName}} from us", "A gift from us"),
            ("For everyone at {{company}}, with love", "For everyone, with love"),
            ("Our best customer ({{company}}) wins", "Our best customer wins"),
            ("Enjoy {{firstName}}'s day and {{firstName}}’s night", "Enjoy day and night"),
            ("{{firstName}}, a gift for you", "A gift for you"),
            ("{{firstName}} – here it is", "Here it is"),
            ("{{firstName}}'s gift", "Gift"),
            ("{{firstName}} élan", "Élan"),
            ("{{firstName}}", ""),
            ("{{firstName}}!", ""),
            ("Yours,\n{{company}}\nBob", "Yours,\nBob"),
            ("Hi {{firstName}},\n\nfor {{company}}:\nbye", "Hi there,\n\nbye"),
        ] {
            assert_eq!(filled(text, &nobody), expected, "{text}");
        }
    }

    #[test]
    fn a_part_of_a_name_stands_alone() {
        assert_eq!(filled("Hi {{firstName}} {{lastName}},", &person("", "Smith", "")), "Hi Smith,");
        assert_eq!(filled("Hi {{firstName}} {{lastName}},", &person("Alice", "", "")), "Hi Alice,");
        assert_eq!(filled("{{company}} {{lastName}}!", &person("", "", "Acme")), "Acme!");
    }

    #[test]
    fn no_text_makes_it_stumble() {
        let nobody = person("", "", "");
        for text in [
            "{{",
            "}}",
            "{{}}",
            "{{{{firstName}}}}",
            "({{firstName}}",
            "({{firstName}}x)",
            "’{{company}}’s",
            "ü{{company}}",
        ] {
            filled(text, &nobody);
        }
    }
}
