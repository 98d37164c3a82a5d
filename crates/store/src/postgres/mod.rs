//! The store that several nodes share: PostgreSQL through a pool, and one writer that groups orders.

mod accounts;
mod batch;
mod claim;
mod connect;
mod counts;
mod error;
mod history;
mod keys;
mod ledger;
mod migrate;
mod operation;
mod orders;
mod organizations;
mod place;
mod reference;
mod rows;
mod settle;
mod verify;
mod walk;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::Pool;
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

use self::connect::Target;
use self::operation::Around::{Nothing, Own, Snapshot, Transaction};
use self::operation::{run, run_long};
use self::writer::Writer;
use crate::{
    Backlog, CatalogImport, LedgerReport, OperatorEntry, OperatorOutcome, Placed, SettleDelivery, Settled, Store,
    StoreError,
};

/// PostgreSQL. Any number of nodes may share it.
pub struct PostgresStore {
    pool: Pool,
    writer: Writer,
}

impl PostgresStore {
    /// Connects to the database at `url` and migrates it. Up to `group_orders` orders share a commit.
    pub async fn open(url: &str, group_orders: usize) -> Result<Self, StoreError> {
        let target = Target::parse(url)?;
        let pool = target.pool()?;
        migrate::migrate(&pool).await?;
        Ok(Self { pool, writer: Writer::start(target.writer_pool()?, group_orders) })
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ready(&self) -> Result<(), StoreError> {
        migrate::ready(&self.pool).await
    }

    async fn database_time(&self) -> Result<Timestamp, StoreError> {
        run(&self.pool, Nothing, |connection| Box::pin(connect::database_time(connection))).await
    }

    async fn key_fingerprints(&self) -> Result<BTreeMap<String, String>, StoreError> {
        run(&self.pool, Nothing, |connection| Box::pin(keys::key_fingerprints(connection))).await
    }

    async fn record_key_fingerprints(&self, fingerprints: &BTreeMap<String, String>) -> Result<bool, StoreError> {
        let fingerprints = Arc::new(fingerprints.clone());
        run(&self.pool, Transaction, move |connection| {
            let fingerprints = Arc::clone(&fingerprints);
            Box::pin(async move { keys::record_key_fingerprints(connection, &fingerprints).await })
        })
        .await
    }

    async fn create_organization(
        &self,
        name: &str,
        now: Timestamp,
        entropy: u128,
    ) -> Result<OrganizationId, StoreError> {
        let name: Arc<str> = name.into();
        run(&self.pool, Transaction, move |connection| {
            let name = Arc::clone(&name);
            Box::pin(async move { organizations::create_organization(connection, &name, now, entropy).await })
        })
        .await
    }

    async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        run(&self.pool, Nothing, |connection| Box::pin(organizations::organizations(connection))).await
    }

    async fn account_of(
        &self,
        organization: OrganizationId,
        environment: Environment,
    ) -> Result<Option<Account>, StoreError> {
        run(&self.pool, Nothing, move |connection| {
            Box::pin(organizations::account_of(connection, organization, environment))
        })
        .await
    }

    async fn account(&self, account: AccountId) -> Result<Option<Account>, StoreError> {
        run(&self.pool, Nothing, move |connection| Box::pin(accounts::read(connection, account))).await
    }

    async fn account_settings(&self, account: AccountId) -> Result<Option<AccountSettings>, StoreError> {
        run(&self.pool, Nothing, move |connection| Box::pin(organizations::account_settings(connection, account))).await
    }

    async fn set_choice_range(&self, organization: OrganizationId, range: ChoiceRange) -> Result<bool, StoreError> {
        run(&self.pool, Transaction, move |connection| {
            Box::pin(organizations::set_choice_range(connection, organization, range))
        })
        .await
    }

    async fn create_app(&self, app: &App) -> Result<(), StoreError> {
        let app = Arc::new(app.clone());
        run(&self.pool, Transaction, move |connection| {
            let app = Arc::clone(&app);
            Box::pin(async move { organizations::create_app(connection, &app).await })
        })
        .await
    }

    async fn app(&self, client_id: &str) -> Result<Option<App>, StoreError> {
        let client_id: Arc<str> = client_id.into();
        run(&self.pool, Nothing, move |connection| {
            let client_id = Arc::clone(&client_id);
            Box::pin(async move { organizations::app(connection, &client_id).await })
        })
        .await
    }

    async fn apps(&self, organization: OrganizationId) -> Result<Vec<App>, StoreError> {
        run(&self.pool, Nothing, move |connection| Box::pin(organizations::apps(connection, organization))).await
    }

    async fn rotate_app(&self, client_id: &str, secret_hash: [u8; 32]) -> Result<bool, StoreError> {
        let client_id: Arc<str> = client_id.into();
        run(&self.pool, Transaction, move |connection| {
            let client_id = Arc::clone(&client_id);
            Box::pin(async move { organizations::rotate_app(connection, &client_id, secret_hash).await })
        })
        .await
    }

    async fn revoke_app(&self, client_id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let client_id: Arc<str> = client_id.into();
        run(&self.pool, Transaction, move |connection| {
            let client_id = Arc::clone(&client_id);
            Box::pin(async move { organizations::revoke_app(connection, &client_id, now).await })
        })
        .await
    }

    async fn reference_version(&self) -> Result<i64, StoreError> {
        run(&self.pool, Nothing, |connection| Box::pin(reference::reference_version(connection))).await
    }

    async fn reference(&self) -> Result<Reference, StoreError> {
        run(&self.pool, Snapshot, |connection| Box::pin(reference::reference(connection))).await
    }

    async fn import_catalog(
        &self,
        catalog: &Catalog,
        now: Timestamp,
        dry_run: bool,
    ) -> Result<CatalogImport, StoreError> {
        let catalog = Arc::new(catalog.clone());
        run(&self.pool, Transaction, move |connection| {
            let catalog = Arc::clone(&catalog);
            Box::pin(async move { reference::import_catalog(connection, &catalog, now, dry_run).await })
        })
        .await
    }

    async fn set_rates(&self, rates: &[StoredRate]) -> Result<(), StoreError> {
        let rates: Arc<[StoredRate]> = rates.into();
        run(&self.pool, Transaction, move |connection| {
            let rates = Arc::clone(&rates);
            Box::pin(async move { reference::set_rates(connection, &rates).await })
        })
        .await
    }

    async fn operator_entry(&self, entry: OperatorEntry) -> Result<OperatorOutcome, StoreError> {
        let entry = Arc::new(entry);
        run(&self.pool, Transaction, move |connection| {
            let entry = Arc::clone(&entry);
            Box::pin(async move { ledger::operator_entry(connection, &entry).await })
        })
        .await
    }

    async fn ledger_page(
        &self,
        account: AccountId,
        entry_type: Option<EntryType>,
        days: Days,
        page: PageRequest,
    ) -> Result<Page<Entry>, StoreError> {
        run(&self.pool, Snapshot, move |connection| {
            Box::pin(ledger::ledger_page(connection, account, entry_type, days, page))
        })
        .await
    }

    async fn verify_ledger(&self) -> Result<LedgerReport, StoreError> {
        run_long(&self.pool, Snapshot, |connection| Box::pin(verify::verify_ledger(connection))).await
    }

    async fn place_order(&self, command: PlaceOrder) -> Result<Placed, StoreError> {
        self.writer.place(command).await
    }

    async fn order_by_key(&self, account: AccountId, key: &str) -> Result<Option<KnownKey>, StoreError> {
        let key: Arc<str> = key.into();
        run(&self.pool, Nothing, move |connection| {
            let key = Arc::clone(&key);
            Box::pin(async move { orders::order_by_key(connection, account, &key).await })
        })
        .await
    }

    async fn order(&self, account: AccountId, order: OrderId) -> Result<Option<Order>, StoreError> {
        run(&self.pool, Snapshot, move |connection| Box::pin(orders::order(connection, account, order))).await
    }

    async fn account_of_order(&self, order: OrderId) -> Result<Option<AccountId>, StoreError> {
        run(&self.pool, Nothing, move |connection| Box::pin(orders::account_of_order(connection, order))).await
    }

    async fn orders_page(
        &self,
        account: AccountId,
        filter: &OrderFilter,
        page: PageRequest,
    ) -> Result<Page<OrderSummary>, StoreError> {
        let filter = Arc::new(filter.clone());
        run(&self.pool, Snapshot, move |connection| {
            let filter = Arc::clone(&filter);
            Box::pin(async move { history::orders_page(connection, account, &filter, page).await })
        })
        .await
    }

    async fn claim_deliveries(
        &self,
        now: Timestamp,
        lease: SignedDuration,
        limit: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        run(&self.pool, Transaction, move |connection| Box::pin(claim::claim_deliveries(connection, now, lease, limit)))
            .await
    }

    async fn settle_deliveries(
        &self,
        settlements: Vec<SettleDelivery>,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Settled, StoreError> {
        let settlements: Arc<[SettleDelivery]> = settlements.into();
        run(&self.pool, Own, move |connection| {
            let settlements = Arc::clone(&settlements);
            Box::pin(async move { settle::settle_deliveries(connection, &settlements, now, entropy).await })
        })
        .await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        run(&self.pool, Nothing, move |connection| Box::pin(claim::backlog(connection, now))).await
    }
}
