//! What the pages say, in a file for each language. `{name}` in a text is filled in where it is said.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};
use strum::VariantArray as _;

use super::language::Language;

/// The texts of one language.
#[derive(Debug)]
pub struct Texts(BTreeMap<String, String>);

/// The texts of a language.
pub fn texts(language: Language) -> &'static Texts {
    ALL.get(&language).expect("each language has its texts: a test reads them all")
}

impl Texts {
    /// A text with its fillings. A text or filling that isn't there shows as its name: tests say them all.
    pub fn say(&self, key: &str, fillings: &[(&str, &str)]) -> String {
        let find = |name: &str| fillings.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        let filled = self.0.get(key).and_then(|text| fill(text, |name| find(name).ok_or(())).ok());
        filled.unwrap_or_else(|| key.to_owned())
    }

    /// The function `t` of the templates: `t("key", name=value)`. It is an error to name what isn't there, and to
    /// give what isn't used.
    pub fn function(&'static self) -> Value {
        Value::from_function(move |key: String, fillings: Kwargs| -> Result<String, Error> {
            let missing = || Error::new(ErrorKind::UndefinedError, format!("no text is called `{key}`"));
            let text = self.0.get(&key).ok_or_else(missing)?;
            let filled = fill(text, |name| fillings.get::<Value>(name).map(|value| value.to_string()))?;
            fillings.assert_all_used()?;
            Ok(filled)
        })
    }
}

/// `text` with each `{name}` replaced; what is filled in isn't looked at again.
fn fill<E>(text: &str, mut find: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else { break };
        filled.push_str(before);
        filled.push_str(&find(name)?);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The file of a language.
fn source(language: Language) -> &'static str {
    match language {
        Language::En => include_str!("texts/en.toml"),
        Language::De => include_str!("texts/de.toml"),
        Language::Fr => include_str!("texts/fr.toml"),
        Language::Es => include_str!("texts/es.toml"),
        Language::Ja => include_str!("texts/ja.toml"),
        Language::Ko => include_str!("texts/ko.toml"),
    }
}

static ALL: LazyLock<HashMap<Language, Texts>> = LazyLock::new(|| {
    let read =
        |language: Language| toml::from_str(source(language)).expect("the embedded texts parse: a test reads them");
    Language::VARIANTS.iter().map(|&language| (language, Texts(read(language)))).collect()
});

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn fillings(text: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let _ = fill::<()>(text, |name| {
            names.insert(name.to_owned());
            Ok(String::new())
        });
        names
    }

    #[test]
    fn each_language_has_the_same_texts_with_the_same_fillings() {
        let english = &texts(Language::En).0;
        for &language in Language::VARIANTS {
            let here = &texts(language).0;
            let keys = |texts: &BTreeMap<String, String>| texts.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(keys(here), keys(english), "{language:?}");
            for (key, text) in here {
                assert!(!text.trim().is_empty() && text.trim() == text, "{language:?} {key}");
                assert_eq!(fillings(text), fillings(&english[key]), "{language:?} {key}");
                assert_eq!(text.matches('{').count(), text.matches('}').count(), "{language:?} {key}");
            }
        }
    }

    #[test]
    fn each_text_is_said_somewhere_and_nothing_else_is() {
        let templates = [
            include_str!("pages/layout.html"),
            include_str!("pages/parts.html"),
            include_str!("pages/covered.html"),
            include_str!("pages/on_its_way.html"),
            include_str!("pages/verify.html"),
            include_str!("pages/gift.html"),
            include_str!("pages/pick.html"),
            include_str!("pages/confirm.html"),
            include_str!("pages/code.html"),
            include_str!("pages/preparing.html"),
            include_str!("pages/terms.html"),
            include_str!("pages/preview.html"),
            include_str!("pages/refusal.html"),
        ];
        let code = [include_str!("refusal.rs"), include_str!("written.rs"), include_str!("offer.rs")];
        let sources: Vec<_> = templates.into_iter().chain(code).collect();
        let known: BTreeSet<_> = texts(Language::En).0.keys().map(String::as_str).collect();
        let mut said: BTreeSet<_> = known
            .iter()
            .copied()
            .filter(|key| sources.iter().any(|source| source.contains(&format!("\"{key}\""))))
            .collect();
        said.extend(known.iter().filter(|key| key.starts_with("month_")));
        assert_eq!(said, known, "texts that nothing says");
        let in_templates = templates.iter().flat_map(|source| source.split("t(\"").skip(1));
        for key in in_templates.filter_map(|rest| rest.split('"').next()) {
            assert!(known.contains(key), "`{key}` isn't a text");
        }
    }

    #[test]
    fn what_is_filled_in_is_not_a_text_itself() {
        assert_eq!(fill::<()>("a {x} b {y}", |name| Ok(format!("<{name}{{z}}>"))), Ok("a <x{z}> b <y{z}>".to_owned()));
        assert_eq!(texts(Language::En).say("gift_title", &[("sender", "{left}")]), "Your gift from {left}");
    }
}
