//! Countries and their names in the languages of the pages.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::HeaderMap;
use strum::VariantArray as _;

use super::language::{self, Language};

const TABLE: &str = include_str!("countries.csv");

/// A country.
#[derive(Debug)]
pub struct Country {
    /// ISO 3166-1 alpha-3, as the catalog has it.
    pub alpha_3: &'static str,
    /// ISO 3166-1 alpha-2, as languages have it.
    pub alpha_2: &'static str,
    /// By [`Language`], in the order of its variants.
    names: Vec<&'static str>,
}

impl Country {
    /// Where a reader probably is: the first country that the languages they want name.
    pub fn preferred(headers: &HeaderMap) -> Option<&'static Self> {
        language::regions(headers).iter().find_map(|region| Self::of_alpha_2(region))
    }

    /// Of two capital letters.
    fn of_alpha_2(code: &str) -> Option<&'static Self> {
        COUNTRIES.values().find(|country| country.alpha_2 == code)
    }

    /// Its name.
    fn name(&self, language: Language) -> Option<&'static str> {
        let index = Language::VARIANTS.iter().position(|variant| *variant == language)?;
        self.names.get(index).copied()
    }
}

/// The name of a catalog's country; one that ISO doesn't know is called by its code.
pub fn name(alpha_3: &str, language: Language) -> &str {
    COUNTRIES.get(alpha_3).and_then(|country| country.name(language)).unwrap_or(alpha_3)
}

/// By alpha-3.
static COUNTRIES: LazyLock<BTreeMap<&'static str, Country>> = LazyLock::new(|| {
    // No name of the table holds a comma.
    let rows = TABLE.lines().filter(|line| !line.starts_with('#')).skip(1).map(|line| line.split(','));
    rows.filter_map(|mut row| Some(Country { alpha_3: row.next()?, alpha_2: row.next()?, names: row.collect() }))
        .map(|country| (country.alpha_3, country))
        .collect()
});

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::ACCEPT_LANGUAGE;

    use super::*;

    #[test]
    fn each_country_has_a_name_in_each_language() {
        assert_eq!(COUNTRIES.len(), 249);
        for country in COUNTRIES.values() {
            assert_eq!((country.alpha_3.len(), country.alpha_2.len()), (3, 2), "{country:?}");
            assert_eq!(country.names.len(), Language::VARIANTS.len(), "{country:?}");
            assert!(country.names.iter().all(|name| !name.is_empty() && !name.contains('"')), "{country:?}");
        }
        let columns = TABLE.lines().nth(1).expect("a header");
        let languages: Vec<_> = Language::VARIANTS.iter().map(|language| language.code()).collect();
        assert_eq!(columns, format!("alpha3,alpha2,{}", languages.join(",")));
    }

    #[test]
    fn a_country_is_called_as_in_the_language_of_the_page() {
        assert_eq!(name("DEU", Language::En), "Germany");
        assert_eq!(name("DEU", Language::De), "Deutschland");
        assert_eq!(name("JPN", Language::Ja), "日本");
        assert_eq!(name("USA", Language::Ko), "미국");
        assert_eq!(name("XKX", Language::Fr), "XKX");
    }

    #[test]
    fn a_reader_is_probably_where_the_dearest_language_with_a_country_is() {
        let preferred = |line: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(line))]);
            Country::preferred(&headers).map(|country| country.alpha_3)
        };
        assert_eq!(preferred("de,en-us;q=0.5,fr-FR;q=0.7"), Some("FRA"));
        assert_eq!(preferred("en-XX, de-AT;q=0.1"), Some("AUT"));
        assert_eq!(preferred("ja"), None);
    }
}
