//! Who may do what.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::ids::{AccountId, OrganizationId};

/// Where an account's money is real and where it is play money. Decided by the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Environment {
    /// Real money, real mail.
    Production,
    /// Play money, captured mail.
    Sandbox,
}

/// What an app may do (`orders.read`).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::VariantArray,
)]
pub enum Scope {
    /// Read orders.
    #[strum(serialize = "orders.read")]
    OrdersRead,
    /// Place and resend orders.
    #[strum(serialize = "orders.write")]
    OrdersWrite,
    /// Cancel orders.
    #[strum(serialize = "orders.cancel")]
    OrdersCancel,
    /// Read the catalog.
    #[strum(serialize = "catalog.read")]
    CatalogRead,
    /// Read the balance and the ledger.
    #[strum(serialize = "balance.read")]
    BalanceRead,
    /// Ask for a top-up.
    #[strum(serialize = "balance.write")]
    BalanceWrite,
    /// Read templates.
    #[strum(serialize = "templates.read")]
    TemplatesRead,
    /// Change templates.
    #[strum(serialize = "templates.write")]
    TemplatesWrite,
    /// Read campaigns.
    #[strum(serialize = "campaigns.read")]
    CampaignsRead,
    /// Change campaigns.
    #[strum(serialize = "campaigns.write")]
    CampaignsWrite,
    /// Read webhooks.
    #[strum(serialize = "webhooks.read")]
    WebhooksRead,
    /// Change webhooks.
    #[strum(serialize = "webhooks.write")]
    WebhooksWrite,
}

/// A set of scopes, written with single spaces (RFC 6749 section 3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Whether `scope` is among them.
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Whether all of these are in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            let name: &str = scope.into();
            write!(f, "{}{name}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        text.split_ascii_whitespace()
            .map(|name| name.parse().map_err(|_| UnknownScope(name.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// A scope that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a scope; scopes are orders.read orders.write orders.cancel catalog.read balance.read balance.write templates.read templates.write campaigns.read campaigns.write webhooks.read webhooks.write"
)]
pub struct UnknownScope(pub String);

/// A customer of the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub organization_id: OrganizationId,
    /// Its name.
    pub name: String,
    /// Since when.
    pub created_at: Timestamp,
}

/// OAuth 2.0 client credentials of one account. The secret itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// The client id.
    pub client_id: String,
    /// Whose.
    pub organization_id: OrganizationId,
    /// Of which account.
    pub account_id: AccountId,
    /// In which environment.
    pub environment: Environment,
    /// Its name: the `creator` of its orders.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// SHA-256 of the secret, which is random: a slow hash would add nothing.
    pub secret_hash: [u8; 32],
    /// Counts rotations; a token carries it and dies with it.
    pub secret_version: i64,
    /// Since when.
    pub created_at: Timestamp,
    /// Since when it is no longer good.
    pub revoked_at: Option<Timestamp>,
}
