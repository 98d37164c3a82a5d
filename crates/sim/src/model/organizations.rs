//! Organizations and their apps.

use std::collections::BTreeMap;

use giftd_domain::Timestamp;
use giftd_domain::access::{App, Environment};
use giftd_domain::account::AccountClock;
use giftd_domain::catalog::ChoiceRange;
use giftd_domain::ids::OrganizationId;
use giftd_domain::ledger::Postings;
use giftd_domain::limits;
use giftd_domain::templates::{SenderLook, TemplateContent};

use super::{Account, KeptTemplate, Model};
use crate::command::Answer;
use crate::stand::Created;

/// An organization.
#[derive(Clone)]
pub struct Organization {
    /// What its orders are bounded by.
    pub choice_range: Option<ChoiceRange>,
    /// How it shows itself.
    pub look: SenderLook,
    /// In any order.
    pub apps: Vec<App>,
}

impl Organization {
    /// Oldest first.
    pub(super) fn listed_apps(&self) -> Vec<App> {
        let mut apps = self.apps.clone();
        apps.sort_by(|one, other| (one.created_at, &one.client_id).cmp(&(other.created_at, &other.client_id)));
        apps
    }
}

impl Model {
    /// An organization that was created, with its two accounts.
    pub fn add_organization(&mut self, created: &Created, now: Timestamp) {
        let Created { id, name, accounts, entropy } = *created;
        let look = SenderLook { organization: name.to_owned(), postal_line: None, logo: None };
        self.organizations.insert(id, Organization { choice_range: None, look, apps: vec![] });
        for (account, environment) in accounts {
            let first = KeptTemplate { content: TemplateContent::first(name), deleted: false };
            let mut added = Account {
                id: account,
                organization: id,
                sandbox: environment == Environment::Sandbox,
                clock: AccountClock::default(),
                clock_claims: 0,
                balances: Postings::default(),
                last_id: None,
                listed: vec![],
                references: BTreeMap::new(),
                orders: BTreeMap::new(),
                keys: BTreeMap::new(),
                templates: BTreeMap::from([(limits::FIRST_TEMPLATE_ID, first)]),
                kept_mails: vec![],
                previews: BTreeMap::new(),
            };
            added.refill(now, entropy);
            self.accounts.insert(account, added);
        }
    }

    fn change(&mut self, id: OrganizationId, change: impl FnOnce(&mut Organization)) -> Answer {
        Answer::Was(self.organizations.get_mut(&id).map(change).is_some())
    }

    pub(super) fn set_choice_range(&mut self, id: OrganizationId, range: ChoiceRange) -> Answer {
        self.change(id, |of| of.choice_range = Some(range))
    }

    pub(super) fn set_logo(&mut self, id: OrganizationId, png: Option<&[u8]>) -> Answer {
        self.change(id, |of| of.look.logo = png.map(<[u8]>::to_vec))
    }

    pub(super) fn set_postal_line(&mut self, id: OrganizationId, line: Option<&str>) -> Answer {
        self.change(id, |of| of.look.postal_line = line.map(str::to_owned))
    }

    pub(super) fn create_app(&mut self, app: &App) -> Answer {
        self.change(app.organization_id, |of| of.apps.push(app.clone()));
        Answer::Done
    }

    fn app(&mut self, client_id: &str) -> Option<&mut App> {
        self.organizations.values_mut().flat_map(|of| &mut of.apps).find(|app| app.client_id == client_id)
    }

    pub(super) fn rotate_app(&mut self, client_id: &str, secret_hash: [u8; 32]) -> Answer {
        let Some(app) = self.app(client_id).filter(|app| app.revoked_at.is_none()) else { return Answer::Was(false) };
        app.secret_hash = secret_hash;
        app.secret_version += 1;
        Answer::Was(true)
    }

    pub(super) fn revoke_app(&mut self, client_id: &str, now: Timestamp) -> Answer {
        let Some(app) = self.app(client_id) else { return Answer::Was(false) };
        app.revoked_at = app.revoked_at.or(Some(now));
        Answer::Was(true)
    }
}
