//! What operators and administrators do: templates, apps, catalog, rates, how an organization shows itself.

use std::collections::BTreeMap;

use giftd_domain::Timestamp;
use giftd_domain::access::{App, Scope, Scopes};
use giftd_domain::catalog::{BrandedCard, Catalog, ChoiceCard, ChoiceRange, Prices};
use giftd_domain::fx::{Rate, StoredRate};
use giftd_domain::ids::{OrganizationId, TemplateId};
use giftd_domain::money::Currency;
use giftd_domain::templates::TemplateContent;

use super::{Generator, Model, environment};
use crate::command::Command;

impl Generator {
    pub(super) fn template(&mut self, model: &Model, now: Timestamp) -> Command {
        let account = self.an_account(model);
        let last = account.templates.keys().last().copied().unwrap_or(0);
        let template = TemplateId(self.dice.between(12, last + 1));
        let number = self.made_up();
        let message = self.dice.chance(60).then(|| format!("message {number}"));
        let content = TemplateContent { message, ..TemplateContent::first(&format!("template {number}")) };
        match self.dice.below(3) {
            0 => Command::CreateTemplate { account: account.id, content },
            1 => Command::ReplaceTemplate { account: account.id, template, content },
            _ => Command::DeleteTemplate { account: account.id, template, now },
        }
    }

    pub(super) fn office(&mut self, model: &Model, now: Timestamp) -> Command {
        let organization = self.an_organization(model);
        let number = self.made_up();
        match self.dice.below(8) {
            0 => {
                let min = self.dice.between(1, 100);
                Command::SetChoiceRange { organization, range: ChoiceRange { min, max: min * 100 } }
            }
            1 => Command::SetLogo { organization, png: self.dice.chance(70).then(|| number.to_be_bytes().to_vec()) },
            2 => {
                Command::SetPostalLine { organization, line: self.dice.chance(70).then(|| format!("street {number}")) }
            }
            3 => Command::CreateApp(self.an_app(model, number, now)),
            4 => Command::RotateApp { client_id: self.a_client_id(model), secret_hash: [9; 32] },
            5 => Command::RevokeApp { client_id: self.a_client_id(model), now },
            6 => Command::ImportCatalog { catalog: self.a_catalog(), now, dry_run: self.dice.chance(25) },
            _ => Command::SetRates(self.rates(now)),
        }
    }

    /// Now and then none.
    fn an_organization(&mut self, model: &Model) -> OrganizationId {
        let organizations: Vec<OrganizationId> = model.organizations.keys().copied().collect();
        if self.dice.chance(5) { OrganizationId(999) } else { *self.dice.pick(&organizations) }
    }

    fn an_app(&mut self, model: &Model, number: u64, now: Timestamp) -> App {
        let account = self.an_account(model);
        App {
            client_id: format!("app_{number}"),
            organization_id: account.organization,
            account_id: account.id,
            environment: environment(account),
            name: format!("App {number}"),
            scopes: Scopes::from_iter([Scope::OrdersRead]),
            secret_hash: [1; 32],
            secret_version: 1,
            created_at: now,
            revoked_at: None,
        }
    }

    fn a_client_id(&mut self, model: &Model) -> String {
        let apps: Vec<&App> = model.organizations.values().flat_map(|of| &of.apps).collect();
        if apps.is_empty() { "nobody".to_owned() } else { apps[self.dice.index(apps.len())].client_id.clone() }
    }

    /// Of few products, which now and then would change their currency or kind.
    fn a_catalog(&mut self) -> Catalog {
        let (mut branded, mut choice) = (BTreeMap::new(), BTreeMap::new());
        for number in 1..=4 {
            if self.dice.chance(25) {
                continue;
            }
            let product_id = format!("3000{number}");
            let is_odd = self.dice.chance(6);
            let currency = if is_odd { currency("JPY") } else { Currency::USD };
            let step = self.dice.between(1, 5);
            if (number == 4) != (is_odd && self.dice.chance(50)) {
                let (product_name, range) = (format!("Choice {step}"), ChoiceRange { min: step, max: 100 });
                let card =
                    ChoiceCard { product_id: product_id.clone(), product_name, currency, range, image_url: None };
                choice.insert(product_id, card);
            } else {
                let card = BrandedCard {
                    product_id: product_id.clone(),
                    brand_name: "Brand".to_owned(),
                    product_name: format!("Card {step}"),
                    country_code: "USA".to_owned(),
                    currency,
                    prices: Prices::Range { min: 1, max: 1_000, step },
                    description: None,
                    terms: Some(format!("terms {step}")),
                    image_url: None,
                };
                branded.insert(product_id, card);
            }
        }
        Catalog { branded, choice }
    }

    fn rates(&mut self, now: Timestamp) -> Vec<StoredRate> {
        let rate = Rate::parse(&format!("0.{:04}", self.dice.between(1, 9_999))).expect("a rate");
        let code = *self.dice.pick(&["JPY", "EUR"]);
        vec![StoredRate { currency: currency(code), rate, set_at: now }]
    }
}

fn currency(code: &str) -> Currency {
    code.parse().expect("a currency")
}
