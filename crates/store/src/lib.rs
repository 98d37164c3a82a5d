//! Durable state. [`Store`] is everything that giftd asks of a database; [`SqliteStore`] and
//! [`PostgresStore`] keep it. What is decided is decided by `giftd_domain` inside the transaction;
//! only SQL is written twice. Each promise here has a test in `tests/conformance`, on both.

mod migrations;
mod postgres;
mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use giftd_domain::Timestamp;
use giftd_domain::access::{App, Environment, Organization};
use giftd_domain::account::Account;
use giftd_domain::catalog::{Catalog, ChoiceRange, Reference};
use giftd_domain::fx::StoredRate;
use giftd_domain::gifts::{ClaimedDelivery, Settlement};
use giftd_domain::history::{Days, OrderFilter, Page, PageRequest};
use giftd_domain::ids::{AccountId, OrderId, OrganizationId};
use giftd_domain::ledger::{Entry, EntryType};
use giftd_domain::orders::place::{AccountSettings, KnownKey, PlaceOrder};
use giftd_domain::orders::{Order, OrderSummary};
use jiff::SignedDuration;

pub use crate::postgres::PostgresStore;
pub use crate::sqlite::SqliteStore;

/// One business operation a method, done or not done: on `Ok` what it says is durable, on `Err`
/// nothing happened, unless the connection broke at the commit ([`StoreError::Unavailable`]), where
/// asking again with the same key or reference tells.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // --- the database itself ---

    /// Whether it answers and has exactly this binary's migrations.
    async fn ready(&self) -> Result<(), StoreError>;

    /// The database's clock, which leases go by on several nodes.
    async fn database_time(&self) -> Result<Timestamp, StoreError>;

    /// Fingerprints of the keys that this database was written with, by key name; empty at first.
    async fn key_fingerprints(&self) -> Result<BTreeMap<String, String>, StoreError>;

    /// Records fingerprints where there are none yet. `false`, and nothing happens, where there are:
    /// another node was first.
    async fn record_key_fingerprints(&self, fingerprints: &BTreeMap<String, String>) -> Result<bool, StoreError>;

    // --- organizations and their apps ---

    /// An organization with its two accounts, each with its default template, numbered
    /// `limits::FIRST_TEMPLATE_ID`; the sandbox has its play money (one CHARGE).
    async fn create_organization(
        &self,
        name: &str,
        now: Timestamp,
        entropy: u128,
    ) -> Result<OrganizationId, StoreError>;

    /// All organizations, oldest first.
    async fn organizations(&self) -> Result<Vec<Organization>, StoreError>;

    /// The account of an organization in an environment.
    async fn account_of(
        &self,
        organization: OrganizationId,
        environment: Environment,
    ) -> Result<Option<Account>, StoreError>;

    /// An account with its balances.
    async fn account(&self, account: AccountId) -> Result<Option<Account>, StoreError>;

    /// What the account has set for its orders.
    async fn account_settings(&self, account: AccountId) -> Result<Option<AccountSettings>, StoreError>;

    /// Sets the range of an organization's choice cards, in minor units, for both its accounts.
    /// `false` where there is no such organization.
    async fn set_choice_range(&self, organization: OrganizationId, range: ChoiceRange) -> Result<bool, StoreError>;

    /// Adds an app; its client id must be new.
    async fn create_app(&self, app: &App) -> Result<(), StoreError>;

    /// The app of a client id, revoked ones too.
    async fn app(&self, client_id: &str) -> Result<Option<App>, StoreError>;

    /// An organization's apps, oldest first, revoked ones too.
    async fn apps(&self, organization: OrganizationId) -> Result<Vec<App>, StoreError>;

    /// Gives an app another secret and raises `secret_version`, so that its tokens die. `false` where
    /// there is no such app or it is revoked.
    async fn rotate_app(&self, client_id: &str, secret_hash: [u8; 32]) -> Result<bool, StoreError>;

    /// Revokes an app for ever; again is no error. `false` where there is no such app.
    async fn revoke_app(&self, client_id: &str, now: Timestamp) -> Result<bool, StoreError>;

    // --- reference data ---

    /// The version of [`Self::reference`], cheap to ask for.
    async fn reference_version(&self) -> Result<i64, StoreError>;

    /// The listed catalog, the rates, and their version.
    async fn reference(&self) -> Result<Reference, StoreError>;

    /// Replaces the catalog: products that are missing from `catalog` are no longer listed, their orders
    /// stay. Refused as a whole, with the product ids, where a product ever imported would change its
    /// currency or its kind. With `dry_run` only tells what would happen.
    async fn import_catalog(
        &self,
        catalog: &Catalog,
        now: Timestamp,
        dry_run: bool,
    ) -> Result<CatalogImport, StoreError>;

    /// Sets rates; others stay.
    async fn set_rates(&self, rates: &[StoredRate]) -> Result<(), StoreError>;

    // --- money ---

    /// Moves money by an operator's word: [`EntryType::Charge`] or [`EntryType::Transfer`]. A reference
    /// counts once for an account and type.
    async fn operator_entry(&self, entry: OperatorEntry) -> Result<OperatorOutcome, StoreError>;

    /// Listed entries of the account (none of [`EntryType::Issue`]), newest first.
    async fn ledger_page(
        &self,
        account: AccountId,
        entry_type: Option<EntryType>,
        days: Days,
        page: PageRequest,
    ) -> Result<Page<Entry>, StoreError>;

    /// Recomputes every balance from the postings and every pending amount from the gifts, and compares
    /// all counts with the rows. Reads everything.
    async fn verify_ledger(&self) -> Result<LedgerReport, StoreError>;

    // --- orders ---

    /// Places an order: idempotency key, order, gifts, postings and deliveries, all or nothing. The key
    /// is looked at first, the balance last. [`StoreError::Full`] when too much waits.
    async fn place_order(&self, command: PlaceOrder) -> Result<Placed, StoreError>;

    /// The order that has an idempotency key.
    async fn order_by_key(&self, account: AccountId, key: &str) -> Result<Option<KnownKey>, StoreError>;

    /// An order of the account with its gifts.
    async fn order(&self, account: AccountId, order: OrderId) -> Result<Option<Order>, StoreError>;

    /// The account of an order, for the operator's command line only.
    async fn account_of_order(&self, order: OrderId) -> Result<Option<AccountId>, StoreError>;

    /// Orders that match, newest first.
    async fn orders_page(
        &self,
        account: AccountId,
        filter: &OrderFilter,
        page: PageRequest,
    ) -> Result<Page<OrderSummary>, StoreError>;

    // --- deliveries ---

    /// Claims up to `limit` deliveries that are due at `now`, oldest due first, for `lease`: until then
    /// nobody else gets them. Orders whose first delivery this is go from PENDING to IN_PROGRESS.
    async fn claim_deliveries(
        &self,
        now: Timestamp,
        lease: SignedDuration,
        limit: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError>;

    /// Settles outcomes, each only with the number of the latest claim. SENT and FAILED end the delivery
    /// and move the gift's cost from pending to issued, in one entry for each order; whoever settles an
    /// order's last open gift completes it (and gives its failed gifts their `expires_at`). A retry is
    /// due at `retry_at` (aligned with `settlements`).
    async fn settle_deliveries(
        &self,
        settlements: Vec<SettleDelivery>,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Settled, StoreError>;

    /// What waits to be delivered.
    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError>;
}

/// An outcome, and when to try again where it is a retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettleDelivery {
    /// What became of it.
    pub settlement: Settlement,
    /// When a retry is due; ignored for SENT and FAILED.
    pub retry_at: Timestamp,
}

/// What a settlement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Outcomes that counted.
    pub settled: u64,
    /// Outcomes that were dropped, because the claim was taken over or settled before.
    pub dropped: u64,
    /// Orders that became COMPLETE.
    pub completed_orders: u64,
}

/// What waits to be delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries due now and not claimed.
    pub due: u64,
    /// The instant since which the oldest of them is due.
    pub oldest_due: Option<Timestamp>,
}

/// What became of placing an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is placed.
    New(Box<Order>),
    /// The key has an order already, placed by the same or by another request.
    Known {
        /// That order.
        order_id: OrderId,
        /// Whether it was asked for with the same request.
        same_request: bool,
    },
    /// It costs more than is available; nothing happened, and the key is free.
    Insufficient {
        /// Cents it costs.
        required: i64,
        /// Cents there are.
        available: i64,
    },
}

/// A movement of money by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorEntry {
    /// Whose.
    pub account_id: AccountId,
    /// [`EntryType::Charge`] or [`EntryType::Transfer`].
    pub entry_type: EntryType,
    /// Cents, above 0.
    pub cents: i64,
    /// Counts once for an account and type.
    pub reference: String,
    /// The operator's time.
    pub now: Timestamp,
    /// Random bits for the id.
    pub entropy: u128,
}

/// What became of an operator's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorOutcome {
    /// Posted now.
    Posted(Entry),
    /// The reference was posted before with the same amount; nothing moved.
    Known,
    /// The reference was posted before with another amount; nothing moved.
    OtherAmount {
        /// The amount then, in cents.
        cents: i64,
    },
    /// A debit of more than there is; nothing moved.
    Insufficient {
        /// Cents there are.
        available: i64,
    },
    /// No such account.
    NoAccount,
}

/// What an import did, or with `dry_run` would do. Where `refused` isn't empty, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogImport {
    /// Products that are new or listed again.
    pub added: Vec<String>,
    /// Products that stay, changed or not.
    pub kept: Vec<String>,
    /// Products that are no longer listed.
    pub removed: Vec<String>,
    /// Products whose currency or kind would change.
    pub refused: Vec<String>,
}

/// What the books say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerReport {
    /// Accounts looked at.
    pub accounts: u64,
    /// Entries summed.
    pub entries: u64,
    /// Orders looked at.
    pub orders: u64,
    /// What doesn't agree, a sentence each; empty when the books balance.
    pub differences: Vec<String>,
}

/// Why the database did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, is full, or is restarting: worth another try.
    #[error("the database is unavailable: {0}")]
    Unavailable(Arc<str>),
    /// Too much waits to be written: worth another try.
    #[error("too many writes wait")]
    Full,
    /// Migrations are missing or from a newer version.
    #[error("the database's schema does not fit: {0}")]
    Schema(Arc<str>),
    /// A bug, or a database that was tampered with.
    #[error("the database holds or was given something impossible: {0}")]
    Broken(Arc<str>),
}

/// The store of a database URL: `sqlite:PATH` or `postgres://…`, with its migrations applied.
///
/// `group_orders` is how many orders may share a commit ([`giftd_domain::limits::GROUP_ORDERS`]); 1 is
/// the plain way, which the benchmark compares with.
pub async fn open(url: &str, group_orders: usize) -> Result<Arc<dyn Store>, StoreError> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        Ok(Arc::new(SqliteStore::open(std::path::Path::new(path), group_orders).await?))
    } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        Ok(Arc::new(PostgresStore::open(url, group_orders).await?))
    } else {
        Err(StoreError::Schema("the database URL must start with sqlite: or postgres://".into()))
    }
}
