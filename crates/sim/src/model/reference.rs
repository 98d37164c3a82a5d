//! The catalog and the rates.

use giftd_domain::catalog::{Catalog, Reference};
use giftd_domain::fx::StoredRate;
use giftd_domain::money::Currency;
use giftd_store::CatalogImport;

use super::{Card, Model};
use crate::command::Answer;

impl Card {
    /// What a product can't change.
    fn nature(&self) -> (bool, Currency) {
        match self {
            Self::Branded(card) => (true, card.currency),
            Self::Choice(card) => (false, card.currency),
        }
    }
}

impl Model {
    pub(super) fn import_catalog(&mut self, catalog: &Catalog, dry_run: bool) -> Answer {
        let branded = catalog.branded.iter().map(|(id, card)| (id.clone(), Card::Branded(card.clone())));
        let choice = catalog.choice.iter().map(|(id, card)| (id.clone(), Card::Choice(card.clone())));
        let cards: Vec<(String, Card)> = branded.chain(choice).collect();
        let mut import = CatalogImport::default();
        for (id, card) in &cards {
            let list = match self.products.get(id) {
                Some((_, known)) if known.nature() != card.nature() => &mut import.refused,
                Some((true, _)) => &mut import.kept,
                _ => &mut import.added,
            };
            list.push(id.clone());
        }
        let is_named = |id: &String| cards.iter().any(|(named, _)| named == id);
        let listed = self.products.iter().filter(|(id, (listed, _))| *listed && !is_named(id));
        import.removed = listed.map(|(id, _)| id.clone()).collect();
        if !dry_run && import.refused.is_empty() {
            self.products.values_mut().for_each(|(listed, _)| *listed = false);
            self.products.extend(cards.into_iter().map(|(id, card)| (id, (true, card))));
            self.reference_version += 1;
        }
        Answer::CatalogImport(import)
    }

    pub(super) fn set_rates(&mut self, rates: &[StoredRate]) -> Answer {
        self.rates.extend(rates.iter().map(|rate| (rate.currency.code().to_owned(), *rate)));
        self.reference_version += 1;
        Answer::Done
    }

    pub(super) fn reference(&self) -> Reference {
        let mut catalog = Catalog::default();
        for (id, (listed, card)) in &self.products {
            match card {
                _ if !listed => {}
                Card::Branded(card) => drop(catalog.branded.insert(id.clone(), card.clone())),
                Card::Choice(card) => drop(catalog.choice.insert(id.clone(), card.clone())),
            }
        }
        Reference { version: self.reference_version, catalog, rates: self.rates.clone() }
    }
}
