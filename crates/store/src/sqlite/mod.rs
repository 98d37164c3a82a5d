//! The embedded store: one writer thread that groups what waits into one commit, and readers beside it.

mod at_hand;
mod backlog;
pub(crate) mod backup;
mod cancel;
mod claim;
mod clock;
mod codes;
mod connection;
pub(crate) mod copy;
mod erase;
mod error;
mod events;
#[cfg(test)]
mod example;
mod group;
mod history;
mod kept_mails;
mod keys;
mod ledger;
mod mails;
mod orders;
mod organizations;
mod place;
mod readers;
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
mod writer;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use giftd_domain::Timestamp;
use giftd_domain::access::{App, Environment, Organization};
use giftd_domain::account::{Account, AccountClock};
use giftd_domain::catalog::{Catalog, ChoiceRange, Reference};
use giftd_domain::fx::StoredRate;
use giftd_domain::gifts::events::GiftEvent;
use giftd_domain::gifts::redemption::{
    AskAgain, GiftAtHand, KnownCard, NewCode, Redemption, RedemptionId, Reserve, Reserved, Sealed, Stock, Supplied,
};
use giftd_domain::gifts::verification::{VerificationRequested, Verified};
use giftd_domain::gifts::{ClaimedDelivery, Reminders};
use giftd_domain::history::{Days, OrderFilter, Page, PageRequest};
use giftd_domain::ids::{AccountId, GiftKey, OrderId, OrganizationId, TemplateId};
use giftd_domain::ledger::{Entry, EntryType};
use giftd_domain::limits;
use giftd_domain::orders::erase::Retention;
use giftd_domain::orders::place::{AccountSettings, KnownKey, PlaceOrder};
use giftd_domain::orders::resend::Resend;
use giftd_domain::orders::{Order, OrderSummary};
use giftd_domain::templates::{SenderLook, Template, TemplateContent};
use jiff::SignedDuration;

use self::readers::Readers;
use self::writer::Writer;
pub use self::writer::{ClosedGroup, OpenGroup, Pump};
use crate::{
    Backlog, Cancellation, CapturedMail, CatalogImport, CodesImport, Due, Erased, LedgerReport, Mails, OperatorEntry,
    OperatorOutcome, Placed, Resent, SettleDelivery, Settled, Store, StoreError, TemplateDeletion, Turned, Unanswered,
    WaitingSchedule, Work,
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

    /// The same without a thread that writes: what is asked for waits until the caller writes it with the pump. For
    /// simulations, which stop in between.
    pub fn open_stepped(path: &Path) -> Result<(Self, Pump), StoreError> {
        let connection = connection::open_writer(path)?;
        let readers = Readers::start(path)?;
        let (writer, pump) = Writer::stepped(connection);
        Ok((Self { readers, writer }, pump))
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

    async fn sender_look(&self, account: AccountId) -> Result<Option<SenderLook>, StoreError> {
        self.readers.read(move |connection| organizations::sender_look(connection, account)).await
    }

    async fn set_logo(&self, organization: OrganizationId, png: Option<Vec<u8>>) -> Result<bool, StoreError> {
        self.writer.write(0, move |group| organizations::set_logo(group, organization, png.as_deref())).await
    }

    async fn set_postal_line(&self, organization: OrganizationId, line: Option<&str>) -> Result<bool, StoreError> {
        let line = line.map(str::to_owned);
        self.writer.write(0, move |group| organizations::set_postal_line(group, organization, line.as_deref())).await
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

    async fn templates(&self, account: AccountId) -> Result<Vec<Template>, StoreError> {
        self.readers.read(move |connection| templates::templates(connection, account)).await
    }

    async fn create_template(
        &self,
        account: AccountId,
        content: &TemplateContent,
    ) -> Result<Option<Template>, StoreError> {
        let content = content.clone();
        self.writer.write(0, move |group| templates::create_template(group, account, content)).await
    }

    async fn replace_template(
        &self,
        account: AccountId,
        template: TemplateId,
        content: &TemplateContent,
    ) -> Result<Option<Template>, StoreError> {
        let content = content.clone();
        self.writer.write(0, move |group| templates::replace_template(group, account, template, content)).await
    }

    async fn delete_template(
        &self,
        account: AccountId,
        template: TemplateId,
        now: Timestamp,
    ) -> Result<TemplateDeletion, StoreError> {
        self.writer.write(0, move |group| templates::delete_template(group, account, template, now)).await
    }

    async fn reference_version(&self) -> Result<i64, StoreError> {
        self.readers.read(reference::reference_version).await
    }

    async fn reference(&self) -> Result<Reference, StoreError> {
        self.readers.read(reference::reference).await
    }

    async fn branded_card(&self, product_id: &str) -> Result<Option<KnownCard>, StoreError> {
        let product_id = product_id.to_owned();
        self.readers.read(move |connection| reference::known_card(connection, &product_id)).await
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
        self.readers.read(verify::verify_ledger).await
    }

    async fn place_order(&self, command: PlaceOrder) -> Result<Placed, StoreError> {
        self.writer.write(command.gifts.len(), move |group| place::place_order(group, command)).await
    }

    async fn order_by_key(&self, account: AccountId, key: &str) -> Result<Option<KnownKey>, StoreError> {
        let key = key.to_owned();
        self.readers.read(move |connection| orders::order_by_key(connection, account, &key)).await
    }

    async fn order_start(&self, account: AccountId, order: OrderId, most: usize) -> Result<Option<Order>, StoreError> {
        self.readers.read(move |connection| orders::order_start(connection, account, order, most)).await
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

    async fn cancel_order(
        &self,
        account: AccountId,
        order: OrderId,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Cancellation, StoreError> {
        self.writer.write(0, move |group| cancel::cancel_order(group, account, order, now, entropy)).await
    }

    async fn resend(&self, command: Resend) -> Result<Resent, StoreError> {
        // It reads the whole order, however few it sends again: few others shall wait in its transaction.
        let weight = command.entries.len().max(limits::GROUP_GIFTS);
        self.writer.write(weight, move |group| resend::resend(group, &command)).await
    }

    async fn order_events(
        &self,
        account: AccountId,
        order: OrderId,
        page: PageRequest,
    ) -> Result<Option<Page<GiftEvent>>, StoreError> {
        self.readers.read(move |connection| events::order_events(connection, account, order, page)).await
    }

    async fn waiting_schedules(&self) -> Result<Vec<WaitingSchedule>, StoreError> {
        self.readers.read(schedules::waiting_schedules).await
    }

    async fn move_schedule(
        &self,
        account: AccountId,
        order: OrderId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<bool, StoreError> {
        self.writer.write(0, move |group| schedules::move_schedule(group, account, order, from, to)).await
    }

    async fn claim_deliveries(
        &self,
        mails: Mails,
        now: Timestamp,
        lease: SignedDuration,
        limit: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        self.writer.write(0, move |group| claim::claim_deliveries(group, mails, now, lease, limit)).await
    }

    async fn settle_deliveries(
        &self,
        settlements: Vec<SettleDelivery>,
        reminders: &Reminders,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Settled, StoreError> {
        let reminders = reminders.clone();
        self.writer
            .write(settlements.len(), move |group| {
                settle::settle_deliveries(group, settlements, &reminders, now, entropy)
            })
            .await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        self.readers.read(move |connection| backlog::backlog(connection, now)).await
    }

    async fn turn_gifts(
        &self,
        work: Work,
        until: Timestamp,
        reminders: &Reminders,
        entropy: u128,
    ) -> Result<Turned, StoreError> {
        let reminders = reminders.clone();
        let gifts = usize::try_from(limits::TURN_GIFTS).unwrap_or(usize::MAX);
        self.writer.write(gifts, move |group| turn::turn_gifts(group, work, until, &reminders, entropy)).await
    }

    async fn erase_recipients(&self, retention: Retention, now: Timestamp) -> Result<Erased, StoreError> {
        self.writer.write(limits::GROUP_GIFTS, move |group| erase::erase_recipients(group, retention, now)).await
    }

    async fn gift_at_hand(&self, gift: GiftKey) -> Result<Option<GiftAtHand>, StoreError> {
        self.readers.read(move |connection| at_hand::gift_at_hand(connection, gift)).await
    }

    async fn request_verification(
        &self,
        gift: GiftKey,
        link_version: u32,
        now: Timestamp,
    ) -> Result<VerificationRequested, StoreError> {
        self.writer.write(0, move |group| verification::request_verification(group, gift, link_version, now)).await
    }

    async fn verify(
        &self,
        gift: GiftKey,
        link_version: u32,
        number: u32,
        now: Timestamp,
    ) -> Result<Verified, StoreError> {
        self.writer.write(0, move |group| verification::verify(group, gift, link_version, number, now)).await
    }

    async fn reserve(&self, command: Reserve) -> Result<Reserved, StoreError> {
        self.writer.write(0, move |group| redeem::reserve(group, command)).await
    }

    async fn settle_redemption(
        &self,
        gift: GiftKey,
        id: RedemptionId,
        supplied: Supplied,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Option<Redemption>, StoreError> {
        self.writer.write(0, move |group| redeem::settle_redemption(group, gift, id, supplied, now, entropy)).await
    }

    async fn claim_redemptions(&self, now: Timestamp, limit: u32) -> Result<Vec<AskAgain>, StoreError> {
        self.writer.write(0, move |group| redeem::claim_redemptions(group, now, limit)).await
    }

    async fn unanswered(&self) -> Result<Unanswered, StoreError> {
        self.readers.read(redeem::unanswered).await
    }

    async fn import_codes(
        &self,
        product_id: &str,
        codes: Vec<NewCode>,
        now: Timestamp,
    ) -> Result<CodesImport, StoreError> {
        let product_id = product_id.to_owned();
        self.writer.write(codes.len(), move |group| codes::import_codes(group, &product_id, &codes, now)).await
    }

    async fn take_code(
        &self,
        product_id: &str,
        face_value: i64,
        redemption: RedemptionId,
        now: Timestamp,
    ) -> Result<Option<Sealed>, StoreError> {
        let product_id = product_id.to_owned();
        self.writer.write(0, move |group| codes::take_code(group, &product_id, face_value, redemption, now)).await
    }

    async fn stock(&self) -> Result<Vec<Stock>, StoreError> {
        self.readers.read(codes::stock).await
    }

    async fn begin_move(
        &self,
        account: AccountId,
        by: SignedDuration,
        now: Timestamp,
    ) -> Result<Option<AccountClock>, StoreError> {
        self.writer.write(0, move |group| clock::begin_move(group, account, by, now)).await
    }

    async fn take_over_moves(&self, now: Timestamp) -> Result<Vec<(AccountId, AccountClock)>, StoreError> {
        self.writer.write(0, move |group| clock::take_over_moves(group, now)).await
    }

    async fn due_until(&self, account: AccountId, until: Timestamp) -> Result<Due, StoreError> {
        self.readers.read(move |connection| clock::due_until(connection, account, until)).await
    }

    async fn step_clock(
        &self,
        account: AccountId,
        claim: i64,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.writer.write(0, move |group| clock::step_clock(group, account, claim, at, now)).await
    }

    async fn end_move(&self, account: AccountId, claim: i64, now: Timestamp) -> Result<bool, StoreError> {
        self.writer.write(0, move |group| clock::end_move(group, account, claim, now)).await
    }

    async fn keep_mails(
        &self,
        account: AccountId,
        mails: Vec<CapturedMail>,
        now: Timestamp,
        entropy: u128,
    ) -> Result<(), StoreError> {
        self.writer.write(mails.len(), move |group| kept_mails::keep_mails(group, account, &mails, now, entropy)).await
    }

    async fn kept_mails(
        &self,
        account: AccountId,
        to: Option<&str>,
        order: Option<OrderId>,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<CapturedMail>, StoreError> {
        let to = to.map(str::to_owned);
        self.readers
            .read(move |connection| kept_mails::kept_mails(connection, account, to.as_deref(), order, now, page))
            .await
    }

    async fn drop_old_mails(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.writer.write(0, move |group| kept_mails::drop_old_mails(group, now)).await
    }

    async fn count_test_mail(&self, account: AccountId, now: Timestamp) -> Result<Option<u32>, StoreError> {
        self.writer.write(0, move |group| kept_mails::count_test_mail(group, account, now)).await
    }
}
