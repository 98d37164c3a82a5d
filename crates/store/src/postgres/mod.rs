//! The store that several nodes share: PostgreSQL through a pool, and one writer that groups orders.

mod accounts;
mod at_hand;
mod batch;
mod cancel;
mod claim;
mod clock;
mod codes;
mod connect;
pub(crate) mod copy;
mod counts;
mod erase;
mod error;
mod events;
mod gifts;
mod history;
mod kept_mails;
mod keys;
mod ledger;
mod mails;
mod migrate;
mod operation;
mod orders;
mod organizations;
mod place;
mod redeem;
mod reference;
mod resend;
mod rows;
mod schedules;
mod settle;
mod templates;
mod turn;
mod verification;
mod verify;
mod walk;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::Pool;
use giftd_domain::Timestamp;
use giftd_domain::access::{App, Environment, Organization};
use giftd_domain::account::{Account, AccountClock};
use giftd_domain::catalog::{Catalog, ChoiceRange, Reference};
use giftd_domain::fx::StoredRate;
use giftd_domain::gifts::ClaimedDelivery;
use giftd_domain::gifts::Reminders;
use giftd_domain::gifts::events::GiftEvent;
use giftd_domain::gifts::redemption::{
    AskAgain, GiftAtHand, KnownCard, NewCode, Redemption, RedemptionId, Reserve, Reserved, Sealed, Stock, Supplied,
};
use giftd_domain::gifts::verification::{VerificationRequested, Verified};
use giftd_domain::history::{Days, OrderFilter, Page, PageRequest};
use giftd_domain::ids::{AccountId, OrderId, OrganizationId};
use giftd_domain::ids::{GiftKey, TemplateId};
use giftd_domain::ledger::{Entry, EntryType};
use giftd_domain::limits;
use giftd_domain::orders::erase::Retention;
use giftd_domain::orders::place::{AccountSettings, KnownKey, PlaceOrder};
use giftd_domain::orders::resend::Resend;
use giftd_domain::orders::{Order, OrderSummary};
use giftd_domain::templates::{SenderLook, Template, TemplateContent};
use jiff::SignedDuration;

use self::claim::Claimed;
use self::connect::Target;
use self::operation::Around::{Nothing, Own, Snapshot, Transaction};
use self::operation::{run, run_long};
use self::turn::Round;
use self::writer::Writer;
use crate::{
    Backlog, Cancellation, CapturedMail, CatalogImport, CodesImport, Due, Erased, LedgerReport, Mails, OperatorEntry,
    OperatorOutcome, Placed, Resent, SettleDelivery, Settled, Store, StoreError, TemplateDeletion, Turned, Unanswered,
    WaitingSchedule, Work,
};

/// Looks for due mails of one claim, where other nodes are always faster.
const CLAIM_LOOKS: usize = 4;

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

    async fn order_start(&self, account: AccountId, order: OrderId, most: usize) -> Result<Option<Order>, StoreError> {
        run(&self.pool, Snapshot, move |connection| Box::pin(orders::order_start(connection, account, order, most)))
            .await
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
        mails: Mails,
        now: Timestamp,
        lease: SignedDuration,
        limit: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        for _ in 0..CLAIM_LOOKS {
            let claimed = run(&self.pool, Transaction, move |connection| {
                Box::pin(claim::claim_deliveries(connection, mails, now, lease, limit))
            });
            match claimed.await? {
                Claimed::Some(deliveries) => return Ok(deliveries),
                Claimed::Nothing => break,
                Claimed::Missed => {}
            }
        }
        Ok(Vec::new())
    }

    async fn settle_deliveries(
        &self,
        settlements: Vec<SettleDelivery>,
        reminders: &Reminders,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Settled, StoreError> {
        let command = Arc::new((settlements, reminders.clone()));
        run(&self.pool, Own, move |connection| {
            let command = Arc::clone(&command);
            Box::pin(async move {
                let (settlements, reminders) = &*command;
                settle::settle_deliveries(connection, settlements, reminders, now, entropy).await
            })
        })
        .await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        run(&self.pool, Nothing, move |connection| Box::pin(claim::backlog(connection, now))).await
    }

    async fn sender_look(&self, account: AccountId) -> Result<Option<SenderLook>, StoreError> {
        run(&self.pool, Nothing, move |connection| Box::pin(organizations::sender_look(connection, account))).await
    }

    async fn set_logo(&self, organization: OrganizationId, png: Option<Vec<u8>>) -> Result<bool, StoreError> {
        let png: Option<Arc<[u8]>> = png.map(Into::into);
        run(&self.pool, Transaction, move |connection| {
            let png = png.clone();
            Box::pin(async move { organizations::set_logo(connection, organization, png.as_deref()).await })
        })
        .await
    }

    async fn set_postal_line(&self, organization: OrganizationId, line: Option<&str>) -> Result<bool, StoreError> {
        let line: Option<Arc<str>> = line.map(Into::into);
        run(&self.pool, Transaction, move |connection| {
            let line = line.clone();
            Box::pin(async move { organizations::set_postal_line(connection, organization, line.as_deref()).await })
        })
        .await
    }

    async fn templates(&self, account: AccountId) -> Result<Vec<Template>, StoreError> {
        run(&self.pool, Nothing, move |connection| Box::pin(templates::templates(connection, account))).await
    }

    async fn create_template(
        &self,
        account: AccountId,
        content: &TemplateContent,
    ) -> Result<Option<Template>, StoreError> {
        let content = Arc::new(content.clone());
        run(&self.pool, Transaction, move |connection| {
            let content = Arc::clone(&content);
            Box::pin(async move { templates::create_template(connection, account, &content).await })
        })
        .await
    }

    async fn replace_template(
        &self,
        account: AccountId,
        template: TemplateId,
        content: &TemplateContent,
    ) -> Result<Option<Template>, StoreError> {
        let content = Arc::new(content.clone());
        run(&self.pool, Transaction, move |connection| {
            let content = Arc::clone(&content);
            Box::pin(async move { templates::replace_template(connection, account, template, &content).await })
        })
        .await
    }

    async fn delete_template(
        &self,
        account: AccountId,
        template: TemplateId,
        now: Timestamp,
    ) -> Result<TemplateDeletion, StoreError> {
        run(&self.pool, Transaction, move |connection| {
            Box::pin(templates::delete_template(connection, account, template, now))
        })
        .await
    }

    async fn branded_card(&self, product_id: &str) -> Result<Option<KnownCard>, StoreError> {
        let product_id: Arc<str> = product_id.into();
        run(&self.pool, Nothing, move |connection| {
            let product_id = Arc::clone(&product_id);
            Box::pin(async move { reference::known_card(connection, &product_id).await })
        })
        .await
    }

    async fn cancel_order(
        &self,
        account: AccountId,
        order: OrderId,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Cancellation, StoreError> {
        run(&self.pool, Transaction, move |connection| {
            Box::pin(cancel::cancel_order(connection, account, order, now, entropy))
        })
        .await
    }

    async fn resend(&self, command: Resend) -> Result<Resent, StoreError> {
        let command = Arc::new(command);
        run(&self.pool, Transaction, move |connection| {
            let command = Arc::clone(&command);
            Box::pin(async move { resend::resend(connection, &command).await })
        })
        .await
    }

    async fn order_events(
        &self,
        account: AccountId,
        order: OrderId,
        page: PageRequest,
    ) -> Result<Option<Page<GiftEvent>>, StoreError> {
        run(&self.pool, Snapshot, move |connection| Box::pin(events::order_events(connection, account, order, page)))
            .await
    }

    async fn waiting_schedules(&self) -> Result<Vec<WaitingSchedule>, StoreError> {
        run(&self.pool, Nothing, |connection| Box::pin(schedules::waiting_schedules(connection))).await
    }

    async fn move_schedule(
        &self,
        account: AccountId,
        order: OrderId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<bool, StoreError> {
        run(&self.pool, Transaction, move |connection| {
            Box::pin(schedules::move_schedule(connection, account, order, from, to))
        })
        .await
    }

    async fn turn_gifts(
        &self,
        work: Work,
        until: Timestamp,
        reminders: &Reminders,
        entropy: u128,
    ) -> Result<Turned, StoreError> {
        let reminders = Arc::new(reminders.clone());
        let mut all = Turned::default();
        // Where other nodes turn the same gifts at once, another round finds what they leave.
        loop {
            let (reminders, left) = (Arc::clone(&reminders), u64::from(limits::TURN_GIFTS).saturating_sub(all.gifts));
            let round = run(&self.pool, Transaction, move |connection| {
                let reminders = Arc::clone(&reminders);
                Box::pin(async move { turn::turn_gifts(connection, work, until, left, &reminders, entropy).await })
            });
            let Round { turned, is_full } = match round.await {
                Ok(round) => round,
                // What is done is told; the next look will meet the same failure.
                Err(_) if all.gifts > 0 => return Ok(all),
                Err(error) => return Err(error),
            };
            all.gifts += turned.gifts;
            all.reminded += turned.reminded;
            all.expired += turned.expired;
            all.refunded += turned.refunded;
            if !is_full || all.gifts >= u64::from(limits::TURN_GIFTS) {
                return Ok(all);
            }
        }
    }

    async fn erase_recipients(&self, retention: Retention, now: Timestamp) -> Result<Erased, StoreError> {
        run(&self.pool, Transaction, move |connection| Box::pin(erase::erase_recipients(connection, retention, now)))
            .await
    }

    async fn gift_at_hand(&self, gift: GiftKey) -> Result<Option<GiftAtHand>, StoreError> {
        run(&self.pool, Snapshot, move |connection| Box::pin(at_hand::gift_at_hand(connection, gift))).await
    }

    async fn request_verification(
        &self,
        gift: GiftKey,
        link_version: u32,
        now: Timestamp,
    ) -> Result<VerificationRequested, StoreError> {
        run(&self.pool, Transaction, move |connection| {
            Box::pin(verification::request_verification(connection, gift, link_version, now))
        })
        .await
    }

    async fn verify(
        &self,
        gift: GiftKey,
        link_version: u32,
        number: u32,
        now: Timestamp,
    ) -> Result<Verified, StoreError> {
        run(&self.pool, Transaction, move |connection| {
            Box::pin(verification::verify(connection, gift, link_version, number, now))
        })
        .await
    }

    async fn reserve(&self, command: Reserve) -> Result<Reserved, StoreError> {
        let command = Arc::new(command);
        run(&self.pool, Transaction, move |connection| {
            let command = Arc::clone(&command);
            Box::pin(async move { redeem::reserve(connection, &command).await })
        })
        .await
    }

    async fn settle_redemption(
        &self,
        gift: GiftKey,
        id: RedemptionId,
        supplied: Supplied,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Option<Redemption>, StoreError> {
        let supplied = Arc::new(supplied);
        run(&self.pool, Transaction, move |connection| {
            let supplied = Arc::clone(&supplied);
            Box::pin(async move { redeem::settle_redemption(connection, gift, id, &supplied, now, entropy).await })
        })
        .await
    }

    async fn claim_redemptions(&self, now: Timestamp, limit: u32) -> Result<Vec<AskAgain>, StoreError> {
        run(&self.pool, Transaction, move |connection| Box::pin(redeem::claim_redemptions(connection, now, limit)))
            .await
    }

    async fn unanswered(&self) -> Result<Unanswered, StoreError> {
        run(&self.pool, Nothing, |connection| Box::pin(redeem::unanswered(connection))).await
    }

    async fn import_codes(
        &self,
        product_id: &str,
        codes: Vec<NewCode>,
        now: Timestamp,
    ) -> Result<CodesImport, StoreError> {
        let command: Arc<(String, Vec<NewCode>)> = Arc::new((product_id.to_owned(), codes));
        run(&self.pool, Transaction, move |connection| {
            let command = Arc::clone(&command);
            Box::pin(async move { codes::import_codes(connection, &command.0, &command.1, now).await })
        })
        .await
    }

    async fn take_code(
        &self,
        product_id: &str,
        face_value: i64,
        redemption: RedemptionId,
        now: Timestamp,
    ) -> Result<Option<Sealed>, StoreError> {
        let product_id: Arc<str> = product_id.into();
        run(&self.pool, Transaction, move |connection| {
            let product_id = Arc::clone(&product_id);
            Box::pin(async move { codes::take_code(connection, &product_id, face_value, redemption, now).await })
        })
        .await
    }

    async fn stock(&self) -> Result<Vec<Stock>, StoreError> {
        run(&self.pool, Nothing, |connection| Box::pin(codes::stock(connection))).await
    }

    async fn begin_move(
        &self,
        account: AccountId,
        by: SignedDuration,
        now: Timestamp,
    ) -> Result<Option<AccountClock>, StoreError> {
        run(&self.pool, Transaction, move |connection| Box::pin(clock::begin_move(connection, account, by, now))).await
    }

    async fn take_over_moves(&self, now: Timestamp) -> Result<Vec<(AccountId, AccountClock)>, StoreError> {
        run(&self.pool, Transaction, move |connection| Box::pin(clock::take_over_moves(connection, now))).await
    }

    async fn due_until(&self, account: AccountId, until: Timestamp) -> Result<Due, StoreError> {
        run(&self.pool, Nothing, move |connection| Box::pin(clock::due_until(connection, account, until))).await
    }

    async fn step_clock(
        &self,
        account: AccountId,
        claim: i64,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        run(&self.pool, Transaction, move |connection| Box::pin(clock::step_clock(connection, account, claim, at, now)))
            .await
    }

    async fn end_move(&self, account: AccountId, claim: i64, now: Timestamp) -> Result<bool, StoreError> {
        run(&self.pool, Transaction, move |connection| Box::pin(clock::end_move(connection, account, claim, now))).await
    }

    async fn keep_mails(
        &self,
        account: AccountId,
        mails: Vec<CapturedMail>,
        now: Timestamp,
        entropy: u128,
    ) -> Result<(), StoreError> {
        let mails: Arc<[CapturedMail]> = mails.into();
        run(&self.pool, Transaction, move |connection| {
            let mails = Arc::clone(&mails);
            Box::pin(async move { kept_mails::keep_mails(connection, account, &mails, now, entropy).await })
        })
        .await
    }

    async fn kept_mails(
        &self,
        account: AccountId,
        to: Option<&str>,
        order: Option<OrderId>,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<CapturedMail>, StoreError> {
        let to: Option<Arc<str>> = to.map(Into::into);
        run(&self.pool, Snapshot, move |connection| {
            let to = to.clone();
            Box::pin(async move { kept_mails::kept_mails(connection, account, to.as_deref(), order, now, page).await })
        })
        .await
    }

    async fn drop_old_mails(&self, now: Timestamp) -> Result<u64, StoreError> {
        run(&self.pool, Transaction, move |connection| Box::pin(kept_mails::drop_old_mails(connection, now))).await
    }

    async fn count_test_mail(&self, account: AccountId, now: Timestamp) -> Result<Option<u32>, StoreError> {
        run(&self.pool, Transaction, move |connection| Box::pin(kept_mails::count_test_mail(connection, account, now)))
            .await
    }
}
