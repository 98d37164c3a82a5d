//! What every handler and worker of a node shares.

use std::sync::Arc;
use std::time::Duration;

use giftd_domain::Timestamp;
use giftd_domain::access::{App, Environment};
use giftd_domain::catalog::Reference;
use giftd_domain::ids::AccountId;
use giftd_domain::limits;
use giftd_domain::orders::place::AccountSettings;
use giftd_domain::templates::SenderLook;
use giftd_store::{Store, StoreError};
use metrics_exporter_prometheus::PrometheusHandle;
use moka::future::Cache;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::body::Bodies;
use crate::api::failures::Failures;
use crate::api::orders::large::LargeOrders;
use crate::api::rate_limit::RateLimits;
use crate::clock::Clock;
use crate::keys::Keys;
use crate::measures;
use crate::settings::Settings;
use crate::supplier::InStock;
use crate::tokens::Tokens;
use crate::workers::clock_check::ClockCheck;
use crate::workers::deliver::Wake;
use crate::workers::sandbox_clock::Moves;

/// One node.
pub struct Giftd {
    /// The database.
    pub store: Arc<dyn Store>,
    /// The settings; `listen` is the address it really listens on.
    pub settings: Settings,
    /// The keys.
    pub keys: Keys,
    /// The time and randomness.
    pub clock: Clock,
    /// Issues and verifies access tokens.
    pub tokens: Tokens,
    /// How many requests each app has left.
    pub rate_limits: RateLimits,
    /// Failed authentications at the token endpoint.
    pub failures: Failures,
    /// Bytes of request bodies in flight.
    pub bodies: Bodies,
    /// Large orders that are read to be answered.
    pub large_orders: LargeOrders,
    /// Tells this node's delivery workers that mails are due.
    pub wake: Wake,
    /// The sandboxes' clocks that this node moves.
    pub moves: Moves,
    /// All that was counted in this process.
    pub metrics: PrometheusHandle,
    reference: watch::Sender<Option<Arc<Reference>>>,
    apps: Cache<String, Arc<App>>,
    account_settings: Cache<AccountId, Arc<AccountSettings>>,
    sender_looks: Cache<AccountId, Arc<SenderLook>>,
    in_stock: Cache<(), Arc<InStock>>,
    clock_check: ClockCheck,
}

/// Why something isn't remembered: it doesn't exist, or the database didn't answer.
enum Missing {
    Unknown,
    Failed(StoreError),
}

impl Giftd {
    /// A node on an open store. `settings.listen` must be the real address, where the port was left to
    /// the system.
    pub fn new(store: Arc<dyn Store>, settings: Settings, keys: Keys, clock: Clock) -> Arc<Self> {
        let remember = Duration::from_secs(limits::MEMORY_SECONDS);
        Arc::new(Self {
            tokens: Tokens::new(&keys, settings.issuer(), clock.clone()),
            rate_limits: RateLimits::new(&settings, clock.clone()),
            failures: Failures::new(clock.clone()),
            bodies: Bodies::new(clock.clone()),
            large_orders: LargeOrders::new(clock.clone()),
            wake: Wake::default(),
            moves: Moves::default(),
            metrics: measures::recorder(),
            reference: watch::Sender::new(None),
            apps: Cache::builder().max_capacity(limits::APPS_REMEMBERED).time_to_live(remember).build(),
            account_settings: Cache::builder().max_capacity(limits::ACCOUNTS_REMEMBERED).time_to_live(remember).build(),
            sender_looks: Cache::builder().max_capacity(limits::SENDER_LOOKS_REMEMBERED).time_to_live(remember).build(),
            in_stock: Cache::builder().max_capacity(1).time_to_live(remember).build(),
            clock_check: ClockCheck::default(),
            store,
            settings,
            keys,
            clock,
        })
    }

    /// The catalog and the rates, as this node knows them; loaded on first use.
    pub async fn reference(&self) -> Result<Arc<Reference>, StoreError> {
        let known = self.reference.borrow().clone();
        match known {
            Some(reference) => Ok(reference),
            None => self.load_reference().await,
        }
    }

    /// Loads the catalog and the rates if their version changed. Returns the version.
    pub async fn refresh_reference(&self) -> Result<i64, StoreError> {
        let version = self.store.reference_version().await?;
        let known = self.reference.borrow().as_ref().map(|reference| reference.version);
        if known != Some(version) {
            return Ok(self.load_reference().await?.version);
        }
        Ok(version)
    }

    /// Looks for changes of the catalog and the rates each second, and sums up what was measured, until
    /// `stop`.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
        let mut was_well = true;
        loop {
            match self.refresh_reference().await {
                Ok(_) => was_well = true,
                Err(error) => {
                    // Once for each time that it goes wrong: the loop turns every second.
                    if was_well {
                        tracing::warn!(%error, "the catalog and the rates can't be refreshed; those that are known go on");
                    }
                    was_well = false;
                }
            }
            self.metrics.run_upkeep();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(Duration::from_secs(limits::REFERENCE_SECONDS)) => {}
            }
        }
    }

    /// The app of a client id, revoked ones too, at most [`limits::MEMORY_SECONDS`] old.
    pub async fn app(&self, client_id: &str) -> Result<Option<Arc<App>>, StoreError> {
        if let Some(app) = self.apps.get(client_id).await {
            return Ok(Some(app));
        }
        let load = async { found(self.store.app(client_id).await) };
        looked_up(self.apps.try_get_with_by_ref(client_id, load).await)
    }

    /// What an account has set for its orders, at most [`limits::MEMORY_SECONDS`] old.
    pub async fn account_settings(&self, account: AccountId) -> Result<Option<Arc<AccountSettings>>, StoreError> {
        if let Some(settings) = self.account_settings.get(&account).await {
            return Ok(Some(settings));
        }
        let load = async { found(self.store.account_settings(account).await) };
        looked_up(self.account_settings.try_get_with(account, load).await)
    }

    /// Which imported codes can be handed out, at most [`limits::MEMORY_SECONDS`] old.
    pub async fn in_stock(&self) -> Result<Arc<InStock>, StoreError> {
        let load = async { Ok::<_, StoreError>(Arc::new(InStock::of(&self.store.stock().await?))) };
        self.in_stock.try_get_with((), load).await.map_err(|error| StoreError::clone(&error))
    }

    /// Asks the database for an account's settings the next time: they were changed here.
    pub async fn forget_account_settings(&self, account: AccountId) {
        self.account_settings.invalidate(&account).await;
    }

    /// Who sends an account's mails, at most [`limits::MEMORY_SECONDS`] old.
    pub async fn sender_look(&self, account: AccountId) -> Result<Option<Arc<SenderLook>>, StoreError> {
        if let Some(look) = self.sender_looks.get(&account).await {
            return Ok(Some(look));
        }
        let load = async { found(self.store.sender_look(account).await) };
        looked_up(self.sender_looks.try_get_with(account, load).await)
    }

    /// Whether this node's clock agrees with the database's, so that its workers may work.
    pub async fn clock_agrees(&self) -> Result<bool, StoreError> {
        self.clock_check.agrees(self.store.as_ref(), &self.clock).await
    }

    /// The time by the clock of an account: the node's, but in a sandbox, whose clock may have been moved.
    pub async fn account_time(&self, account: AccountId, environment: Environment) -> Result<Timestamp, StoreError> {
        let now = self.clock.now();
        if environment == Environment::Production {
            return Ok(now);
        }
        Ok(self.store.account(account).await?.map_or(now, |account| account.clock.time(now)))
    }

    async fn load_reference(&self) -> Result<Arc<Reference>, StoreError> {
        let reference = Arc::new(self.store.reference().await?);
        self.reference.send_replace(Some(reference.clone()));
        Ok(reference)
    }
}

fn found<T>(answer: Result<Option<T>, StoreError>) -> Result<Arc<T>, Missing> {
    match answer {
        Ok(Some(found)) => Ok(Arc::new(found)),
        Ok(None) => Err(Missing::Unknown),
        Err(error) => Err(Missing::Failed(error)),
    }
}

fn looked_up<T>(answer: Result<Arc<T>, Arc<Missing>>) -> Result<Option<Arc<T>>, StoreError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(missing) => match &*missing {
            Missing::Unknown => Ok(None),
            Missing::Failed(error) => Err(error.clone()),
        },
    }
}

impl axum::extract::FromRef<Arc<Giftd>> for Bodies {
    fn from_ref(giftd: &Arc<Giftd>) -> Self {
        giftd.bodies.clone()
    }
}
