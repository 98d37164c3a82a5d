//! The embedded store: one writer thread that groups what waits into one commit, and readers beside it.

mod backlog;
mod claim;
mod connection;
mod error;
mod group;
mod history;
mod keys;
mod ledger;
mod orders;
mod organizations;
mod place;
mod readers;
mod reference;
mod rows;
mod settle;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use giftd_domain::Timestamp;
use giftd_domain::access::{App, Environment, Organization};
use giftd_domain::account::Account;
use giftd_domain::catalog::{Catalog, ChoiceRange, Reference};
use giftd_domain::fx::StoredRate;
use giftd_domain::gifts::ClaimedDelivery;
use giftd_domain::history::{Days, OrderFilter, Page, PageRequest};
use giftd_domain::ids::{AccountId, OrderId, OrganizationId};
use giftd_domain::ledger::{Entry, EntryType};
use giftd_domain::orders::place::{AccountSettings, KnownKey, PlaceOrder};
use giftd_domain::orders::{Order, OrderSummary};
use jiff::SignedDuration;

use self::readers::Readers;
use self::writer::Writer;
use crate::{
    Backlog, CatalogImport, LedgerReport, OperatorEntry, OperatorOutcome, Placed, SettleDelivery, Settled, Store,
    StoreError,
};

/// SQLite in a file. One process serves from it; the command line may work beside it.
pub struct SqliteStore {
    // Dropped in this order: the last connection to close puts all into the one file, and only the writer can.
    readers: Readers,
    writer: Writer,
}

impl SqliteStore {
    /// Opens or creates the database at `path` and migrates it. Up to `group_orders` writes share a commit.
    pub async fn open(path: &Path, group_orders: usize) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let connection = connection::open_writer(&path)?;
            let readers = Readers::start(&path)?;
            Ok(Self { readers, writer: Writer::start(connection, group_orders)? })
        });
        opened.await.map_err(|error| StoreError::Unavailable(error.to_string().into()))?
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ready(&self) -> Result<(), StoreError> {
        self.readers.read(connection::check_schema).await
    }

    async fn database_time(&self) -> Result<Timestamp, StoreError> {
        self.readers
            .read(|connection| {
                // The database's clock is this machine's: SQLite tells it in milliseconds.
                let milliseconds: i64 = connection.query_row(
                    "SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
                    [],
                    |row| row.get(0),
                )?;
                Timestamp::from_millisecond(milliseconds).map_err(|error| error::broken(error.to_string()))
            })
            .await
    }

    async fn key_fingerprints(&self) -> Result<BTreeMap<String, String>, StoreError> {
        self.readers.read(keys::key_fingerprints).await
    }

    async fn record_key_fingerprints(&self, fingerprints: &BTreeMap<String, String>) -> Result<bool, StoreError> {
        let fingerprints = fingerprints.clone();
        self.writer.write(0, move |group| keys::record_key_fingerprints(group, &fingerprints)).await
    }

    async fn create_organization(
        &self,
        name: &str,
        now: Timestamp,
        entropy: u128,
    ) -> Result<OrganizationId, StoreError> {
        let name = name.to_owned();
        self.writer.write(0, move |group| organizations::create_organization(group, &name, now, entropy)).await
    }

    async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        self.readers.read(organizations::organizations).await
    }

    async fn account_of(
        &self,
        organization: OrganizationId,
        environment: Environment,
    ) -> Result<Option<Account>, StoreError> {
        self.readers.read(move |connection| organizations::account_of(connection, organization, environment)).await
    }

    async fn account(&self, account: AccountId) -> Result<Option<Account>, StoreError> {
        self.readers.read(move |connection| group::read_account(connection, account)).await
    }

    async fn account_settings(&self, account: AccountId) -> Result<Option<AccountSettings>, StoreError> {
        self.readers.read(move |connection| organizations::account_settings(connection, account)).await
    }

    async fn set_choice_range(&self, organization: OrganizationId, range: ChoiceRange) -> Result<bool, StoreError> {
        self.writer.write(0, move |group| organizations::set_choice_range(group, organization, range)).await
    }

    async fn create_app(&self, app: &App) -> Result<(), StoreError> {
        let app = app.clone();
        self.writer.write(0, move |group| organizations::create_app(group, &app)).await
    }

    async fn app(&self, client_id: &str) -> Result<Option<App>, StoreError> {
        let client_id = client_id.to_owned();
        self.readers.read(move |connection| organizations::app(connection, &client_id)).await
    }

    async fn apps(&self, organization: OrganizationId) -> Result<Vec<App>, StoreError> {
        self.readers.read(move |connection| organizations::apps(connection, organization)).await
    }

    async fn rotate_app(&self, client_id: &str, secret_hash: [u8; 32]) -> Result<bool, StoreError> {
        let client_id = client_id.to_owned();
        self.writer.write(0, move |group| organizations::rotate_app(group, &client_id, secret_hash)).await
    }

    async fn revoke_app(&self, client_id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let client_id = client_id.to_owned();
        self.writer.write(0, move |group| organizations::revoke_app(group, &client_id, now)).await
    }

    async fn reference_version(&self) -> Result<i64, StoreError> {
        self.readers.read(reference::reference_version).await
    }

    async fn reference(&self) -> Result<Reference, StoreError> {
        self.readers.read(reference::reference).await
    }

    async fn import_catalog(
        &self,
        catalog: &Catalog,
        now: Timestamp,
        dry_run: bool,
    ) -> Result<CatalogImport, StoreError> {
        let catalog = catalog.clone();
        self.writer.write(0, move |group| reference::import_catalog(group, &catalog, now, dry_run)).await
    }

    async fn set_rates(&self, rates: &[StoredRate]) -> Result<(), StoreError> {
        let rates = rates.to_vec();
        self.writer.write(0, move |group| reference::set_rates(group, &rates)).await
    }

    async fn operator_entry(&self, entry: OperatorEntry) -> Result<OperatorOutcome, StoreError> {
        self.writer.write(0, move |group| ledger::operator_entry(group, &entry)).await
    }

    async fn ledger_page(
        &self,
        account: AccountId,
        entry_type: Option<EntryType>,
        days: Days,
        page: PageRequest,
    ) -> Result<Page<Entry>, StoreError> {
        self.readers.read(move |connection| ledger::ledger_page(connection, account, entry_type, days, page)).await
    }

    async fn verify_ledger(&self) -> Result<LedgerReport, StoreError> {
        self.readers.read(ledger::verify_ledger).await
    }

    async fn place_order(&self, command: PlaceOrder) -> Result<Placed, StoreError> {
        self.writer.write(command.gifts.len(), move |group| place::place_order(group, command)).await
    }

    async fn order_by_key(&self, account: AccountId, key: &str) -> Result<Option<KnownKey>, StoreError> {
        let key = key.to_owned();
        self.readers.read(move |connection| orders::order_by_key(connection, account, &key)).await
    }

    async fn order(&self, account: AccountId, order: OrderId) -> Result<Option<Order>, StoreError> {
        self.readers.read(move |connection| orders::order(connection, account, order)).await
    }

    async fn account_of_order(&self, order: OrderId) -> Result<Option<AccountId>, StoreError> {
        self.readers.read(move |connection| orders::account_of_order(connection, order)).await
    }

    async fn orders_page(
        &self,
        account: AccountId,
        filter: &OrderFilter,
        page: PageRequest,
    ) -> Result<Page<OrderSummary>, StoreError> {
        let filter = filter.clone();
        self.readers.read(move |connection| history::orders_page(connection, account, &filter, page)).await
    }

    async fn claim_deliveries(
        &self,
        now: Timestamp,
        lease: SignedDuration,
        limit: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        self.writer.write(0, move |group| claim::claim_deliveries(group, now, lease, limit)).await
    }

    async fn settle_deliveries(
        &self,
        settlements: Vec<SettleDelivery>,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Settled, StoreError> {
        self.writer
            .write(settlements.len(), move |group| settle::settle_deliveries(group, settlements, now, entropy))
            .await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        self.readers.read(move |connection| backlog::backlog(connection, now)).await
    }
}
