//! The language of a page, and the country that its reader probably is in: from `Accept-Language`.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;
use strum::VariantArray as _;

/// Entries of an `Accept-Language` that are looked at; browsers send some five.
const ENTRIES: usize = 20;

/// A language that the pages speak. Its name is that of its file of texts and of the pages' `lang`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Language {
    /// English, where nothing else fits.
    #[default]
    En,
    /// German.
    De,
    /// French.
    Fr,
    /// Spanish.
    Es,
    /// Japanese.
    Ja,
    /// Korean.
    Ko,
}

impl Language {
    /// Its code (ISO 639-1).
    pub fn code(self) -> &'static str {
        self.into()
    }

    /// The one that a reader likes best of those there are.
    pub fn preferred(headers: &HeaderMap) -> Self {
        let find = |wish: &Wish<'_>| {
            let primary = wish.tag.split('-').next().unwrap_or_default();
            Self::VARIANTS.iter().copied().find(|language| language.code().eq_ignore_ascii_case(primary))
        };
        wishes(headers).iter().find_map(find).unwrap_or_default()
    }
}

/// The regions of the languages that a reader wants, in capitals, the dearest first: `de-AT` is `AT`.
pub fn regions(headers: &HeaderMap) -> Vec<String> {
    // A region is two letters, behind the language and perhaps a script.
    let region =
        |wish: &Wish<'_>| wish.tag.split('-').skip(1).find(|part| part.len() == 2).map(str::to_ascii_uppercase);
    wishes(headers).iter().filter_map(region).collect()
}

struct Wish<'a> {
    tag: &'a str,
    /// In thousandths.
    weight: u32,
}

/// The languages that a reader wants, the dearest first; of equals the first.
fn wishes(headers: &HeaderMap) -> Vec<Wish<'_>> {
    let lines = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok());
    let entries = lines.flat_map(|line| line.split(',')).take(ENTRIES);
    let mut wishes: Vec<_> = entries.filter_map(wish).filter(|wish| wish.weight > 0).collect();
    wishes.sort_by_key(|wish| std::cmp::Reverse(wish.weight));
    wishes
}

fn wish(entry: &str) -> Option<Wish<'_>> {
    let mut parts = entry.split(';').map(str::trim);
    let tag = parts.next().filter(|tag| !tag.is_empty())?;
    let weight = match parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))) {
        Some(weight) => thousandths(weight)?,
        None => 1_000,
    };
    Some(Wish { tag, weight })
}

/// `0.8` is 800 (RFC 9110 section 12.4.2).
fn thousandths(weight: &str) -> Option<u32> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    let is_right = matches!(whole, "0" | "1") && decimals.len() <= 3 && decimals.bytes().all(|b| b.is_ascii_digit());
    if !is_right {
        return None;
    }
    format!("{whole}{decimals:0<3}").parse::<u32>().ok().map(|weight| weight.min(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_LANGUAGE, line.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn the_language_is_the_dearest_that_there_is_else_english() {
        for (line, expected) in [
            ("de", Language::De),
            ("de-AT,de;q=0.9,en;q=0.8", Language::De),
            ("nl,fr;q=0.8,en;q=0.9", Language::En),
            ("en;q=0.1, ja ;q=0.7", Language::Ja),
            ("KO-kr", Language::Ko),
            ("es-419", Language::Es),
            ("de;q=0,fr;q=0.1", Language::Fr),
            ("de;q=0.5,fr;q=0.5", Language::De),
            ("zh-CN,nl", Language::En),
            ("*", Language::En),
            ("", Language::En),
            ("de;q=2", Language::En),
            ("de;q=x,,;q=1,ja;q=0.001", Language::Ja),
        ] {
            assert_eq!(Language::preferred(&headers(&[line])), expected, "{line}");
        }
        assert_eq!(Language::preferred(&HeaderMap::new()), Language::En);
        assert_eq!(Language::preferred(&headers(&["nl", "de"])), Language::De, "lines are one list");
    }

    #[test]
    fn regions_are_those_of_the_dearest_languages_first() {
        let regions = |line| regions(&headers(&[line]));
        assert_eq!(regions("de-AT,de;q=0.9"), ["AT"]);
        assert_eq!(regions("de,en-us;q=0.5,fr-FR;q=0.7"), ["FR", "US"]);
        assert_eq!(regions("zh-Hant-TW"), ["TW"]);
        assert_eq!(regions("es-419,ja"), [""; 0]);
        assert_eq!(regions(""), [""; 0]);
    }
}
