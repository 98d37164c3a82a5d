//! How cards are shown: drawn by the style, never loaded from anywhere.

use giftd_domain::catalog::BrandedCard;
use giftd_domain::limits;
use giftd_store::StoreError;
use minijinja::{Value, context};

use super::page::address;
use super::visit::Visit;
use crate::state::Giftd;

/// Colors of cards in the style.
const HUES: u32 = 12;

/// The color of a brand's or card's name: always the same one.
pub fn hue(name: &str) -> u32 {
    // FNV-1a, which spreads short names well.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash >> 8) % HUES
}

/// A branded card, also one that is no longer listed.
pub async fn branded(giftd: &Giftd, product_id: &str) -> Result<Option<BrandedCard>, StoreError> {
    if let Some(card) = giftd.reference().await?.catalog.branded.get(product_id) {
        return Ok(Some(card.clone()));
    }
    Ok(giftd.store.branded_card(product_id).await?.map(|known| known.card))
}

/// What a page says about how to use a card. Long texts have a page of their own.
pub fn about(visit: &Visit<'_>, card: &BrandedCard) -> Value {
    let [description, terms] = [&card.description, &card.terms].map(|text| text.as_deref().and_then(short));
    let is_long = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
    let has_more = is_long(&card.terms) && terms.is_none() || is_long(&card.description) && description.is_none();
    context! {
        name => card.product_name.as_str(),
        description => if has_more { None } else { description },
        terms => if has_more { None } else { terms },
        terms_path => has_more.then(|| address(&format!("{}/terms/{}", visit.path(), in_path(&card.product_id)))),
    }
}

/// The same about a card that isn't in the catalog at all.
pub fn about_unknown(name: &str) -> Value {
    context! { name, description => (), terms => (), terms_path => () }
}

fn short(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && text.chars().count() <= limits::CARD_TEXT_CHARACTERS).then_some(text)
}

/// A product id as a part of a path.
pub fn in_path(product_id: &str) -> String {
    let mut part = String::with_capacity(product_id.len());
    for byte in product_id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            part.push(char::from(byte));
        } else {
            part.push_str(&format!("%{byte:02X}"));
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_has_one_of_the_colors_of_the_style_always_the_same() {
        let style = include_str!("assets/redeem.css");
        assert_eq!(style.matches("\n.hue-").count(), HUES as usize);
        let names = (0..200).map(|number| format!("Brand {number}"));
        let hues: BTreeSet<_> = names.map(|name| hue(&name)).collect();
        assert_eq!(hues, (0..HUES).collect());
        assert_eq!(hue("Sakura Books"), hue("Sakura Books"));
        assert!(hue("") < HUES);
    }

    #[test]
    fn a_product_id_is_one_part_of_a_path() {
        assert_eq!(in_path("10042"), "10042");
        assert_eq!(in_path("a/b c?#.é"), "a%2Fb%20c%3F%23%2E%C3%A9");
    }
}
