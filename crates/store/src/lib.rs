//! Durable state. [`Store`] is everything that giftd asks of a database; [`SqliteStore`] and
//! [`PostgresStore`] keep it. What is decided is decided by `giftd_domain` inside the transaction;
//! only SQL is written twice. Each promise here has a test in `tests/conformance`, on both.

mod answers;
mod by_status;
mod copy;
mod migrations;
mod postgres;
mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;

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

pub use crate::answers::*;
pub use crate::copy::{Copied, CopyError, CopyProgress, Which, copy};
pub use crate::postgres::PostgresStore;
pub use crate::sqlite::backup::{Backup, BackupError, BackupProgress, back_up};
pub use crate::sqlite::{ClosedGroup, OpenGroup, Pump, SqliteStore};

/// One business operation a method, done or not done: on `Ok` what it says is durable, on `Err`
/// nothing happened, unless the connection broke or fell silent at the commit ([`StoreError::Unavailable`]), where
/// asking again with the same key or reference tells. Whatever holds the database up, callers are answered within
/// half a minute, but for what reads everything.
///
/// `now` is the node's time everywhere but in [`PlaceOrder`]; what is recorded of an account is dated by the
/// account's clock ([`giftd_domain::account::AccountClock`]), which is the same but in a sandbox that was
/// moved ahead.
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

    /// An account with its balances and its clock.
    async fn account(&self, account: AccountId) -> Result<Option<Account>, StoreError>;

    /// What the account has set for its orders.
    async fn account_settings(&self, account: AccountId) -> Result<Option<AccountSettings>, StoreError>;

    /// Sets the range of an organization's choice cards, in minor units, for both its accounts.
    /// `false` where there is no such organization.
    async fn set_choice_range(&self, organization: OrganizationId, range: ChoiceRange) -> Result<bool, StoreError>;

    /// Who sends the mails of an account, beside what each order says.
    async fn sender_look(&self, account: AccountId) -> Result<Option<SenderLook>, StoreError>;

    /// Sets or removes an organization's logo, a PNG. `false` where there is no such organization.
    async fn set_logo(&self, organization: OrganizationId, png: Option<Vec<u8>>) -> Result<bool, StoreError>;

    /// Sets or removes an organization's postal line. `false` where there is no such organization.
    async fn set_postal_line(&self, organization: OrganizationId, line: Option<&str>) -> Result<bool, StoreError>;

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

    // --- templates ---

    /// An account's templates, the default first, then by number; none that was deleted.
    async fn templates(&self, account: AccountId) -> Result<Vec<Template>, StoreError>;

    /// Adds a template, with the next number of the account. None, and nothing happens, where the account has
    /// [`giftd_domain::limits::TEMPLATES`], deleted ones too.
    async fn create_template(
        &self,
        account: AccountId,
        content: &TemplateContent,
    ) -> Result<Option<Template>, StoreError>;

    /// Replaces all of a template. None where the account has no such template.
    async fn replace_template(
        &self,
        account: AccountId,
        template: TemplateId,
        content: &TemplateContent,
    ) -> Result<Option<Template>, StoreError>;

    /// Deletes a template: no new order can name it, those that do still render it.
    async fn delete_template(
        &self,
        account: AccountId,
        template: TemplateId,
        now: Timestamp,
    ) -> Result<TemplateDeletion, StoreError>;

    // --- reference data ---

    /// The version of [`Self::reference`], cheap to ask for.
    async fn reference_version(&self) -> Result<i64, StoreError>;

    /// The listed catalog, the rates, and their version.
    async fn reference(&self) -> Result<Reference, StoreError>;

    /// A branded card that was ever imported, listed or not.
    async fn branded_card(&self, product_id: &str) -> Result<Option<KnownCard>, StoreError>;

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
    /// all counts with the rows: what was refunded with the ledger and the gifts, what is redeemed and reserved
    /// of each gift with its redemptions, the stock with the codes. Reads everything.
    async fn verify_ledger(&self) -> Result<LedgerReport, StoreError>;

    // --- orders ---

    /// Places an order: idempotency key, order, gifts, postings and deliveries, all or nothing. The key
    /// is looked at first, the balance last. [`StoreError::Full`] when too much waits.
    async fn place_order(&self, command: PlaceOrder) -> Result<Placed, StoreError>;

    /// The order that has an idempotency key.
    async fn order_by_key(&self, account: AccountId, key: &str) -> Result<Option<KnownKey>, StoreError>;

    /// An order of the account with its gifts.
    async fn order(&self, account: AccountId, order: OrderId) -> Result<Option<Order>, StoreError> {
        self.order_start(account, order, limits::RECIPIENTS).await
    }

    /// An order of the account with the first of its gifts, up to `most`.
    async fn order_start(&self, account: AccountId, order: OrderId, most: usize) -> Result<Option<Order>, StoreError>;

    /// The account of an order, for the operator's command line only.
    async fn account_of_order(&self, order: OrderId) -> Result<Option<AccountId>, StoreError>;

    /// Orders that match, newest first.
    async fn orders_page(
        &self,
        account: AccountId,
        filter: &OrderFilter,
        page: PageRequest,
    ) -> Result<Page<OrderSummary>, StoreError>;

    /// Cancels a scheduled order ([`giftd_domain::orders::OrderSummary::cancel`]): its mails are gone, its gifts
    /// CANCELED, its whole cost is available again (one REFUND).
    async fn cancel_order(
        &self,
        account: AccountId,
        order: OrderId,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Cancellation, StoreError>;

    /// Sends gifts of an order again ([`Resend::decide`]), all that it decides or nothing: each has a new mail
    /// due now, whatever became of an earlier one, a RESENT event and a row of who asked; one that moves has its
    /// new address, the next link version and no verification waiting. Money doesn't move. Of calls at once
    /// each decides on what the one before has left.
    async fn resend(&self, command: Resend) -> Result<Resent, StoreError>;

    /// The events of an order's gifts ([`giftd_domain::gifts::events`]), newest first; of one instant those of
    /// the last position first, and of one gift the last number first. None where the account has no such order.
    async fn order_events(
        &self,
        account: AccountId,
        order: OrderId,
        page: PageRequest,
    ) -> Result<Option<Page<GiftEvent>>, StoreError>;

    /// All PENDING scheduled orders of all accounts, by the instant they go out.
    async fn waiting_schedules(&self) -> Result<Vec<WaitingSchedule>, StoreError>;

    /// Moves the instant of a PENDING scheduled order from `from` to `to`, with its mails. `false`, and nothing
    /// happens, where its instant isn't `from` (any more) or it isn't PENDING.
    async fn move_schedule(
        &self,
        account: AccountId,
        order: OrderId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<bool, StoreError>;

    // --- mails about gifts ---

    /// Claims up to `limit` of these mails that are due at `now` for `lease`: until then nobody else gets them.
    /// Verifications first, since they are good for ten minutes; then oldest due first. Orders whose first mail this
    /// is go from PENDING to IN_PROGRESS.
    async fn claim_deliveries(
        &self,
        mails: Mails,
        now: Timestamp,
        lease: SignedDuration,
        limit: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError>;

    /// Settles outcomes, each only with the number of the latest claim. SENT and FAILED end the mail; a retry is
    /// due at `retry_at`. Outcomes of [`giftd_domain::gifts::MailKind::Gift`] are recorded in the gift (with an
    /// event for SENT and FAILED), and its first SENT or FAILED moves its cost from pending to issued, in one
    /// entry for each order; whoever settles an order's last open gift completes it (and gives its failed gifts
    /// their `expires_at`). A gift that gets its `expires_at` turns next when `reminders` say.
    async fn settle_deliveries(
        &self,
        settlements: Vec<SettleDelivery>,
        reminders: &Reminders,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Settled, StoreError>;

    /// What waits to be delivered.
    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError>;

    // --- gifts ---

    /// Turns up to [`giftd_domain::limits::TURN_GIFTS`] gifts whose next instant is `until` or before, oldest
    /// first ([`giftd_domain::gifts::Gift::turn`]): a reminder's mail is due, or what is open is void, with an
    /// EXPIRED event, and what returns of it is available, with a REFUNDED event and one REFUND entry for each
    /// order and instant. Each is dated `until`, or, by [`Work::Moving`], its own next instant. Never twice,
    /// whoever calls at once.
    async fn turn_gifts(
        &self,
        work: Work,
        until: Timestamp,
        reminders: &Reminders,
        entropy: u128,
    ) -> Result<Turned, StoreError>;

    /// Erases the recipients of orders whose time is over ([`Retention::ended_by`]), some at a time, in all accounts but
    /// those whose clock is being moved; of each order all or nothing, and once. Gone are the addresses, names,
    /// companies and departments of its gifts and whatever may repeat them: delivery errors, details of events
    /// ([`giftd_domain::gifts::events::EventType::NAMING`]), addresses of resends, verifications, mails that
    /// wait, captured mails, and, where it had a single recipient, its subject and message. Amounts, statuses, instants,
    /// redemptions with their codes, events and who asked for resends stay.
    async fn erase_recipients(&self, retention: Retention, now: Timestamp) -> Result<Erased, StoreError>;

    /// A gift for its recipient's page.
    async fn gift_at_hand(&self, gift: GiftKey) -> Result<Option<GiftAtHand>, StoreError>;

    /// Asks for a verification mail: it is due now (a waiting one is replaced), with an event. Limited by
    /// [`giftd_domain::gifts::verification::may_request`]; a refused one doesn't count.
    async fn request_verification(
        &self,
        gift: GiftKey,
        link_version: u32,
        now: Timestamp,
    ) -> Result<VerificationRequested, StoreError>;

    /// Uses a verification, once; with an event.
    async fn verify(
        &self,
        gift: GiftKey,
        link_version: u32,
        number: u32,
        now: Timestamp,
    ) -> Result<Verified, StoreError>;

    /// Reserves a part of a gift for a redemption ([`giftd_domain::gifts::Gift::may_reserve`]). The same id again
    /// is answered with what became of it. Whatever is asked for at once, never more than there is.
    async fn reserve(&self, command: Reserve) -> Result<Reserved, StoreError>;

    /// Settles a reserved redemption by what its supplier said: with a code that part is redeemed, with an event (and
    /// where nothing is left, no reminder waits any more);
    /// else it is open again, or expires at once where the gift's time is over. Again, or after another outcome,
    /// nothing happens, but that an imported code is in stock again which its redemption got after it was
    /// released: nobody has seen it. None where there is no such redemption; else the redemption as it stands.
    async fn settle_redemption(
        &self,
        gift: GiftKey,
        id: RedemptionId,
        supplied: Supplied,
        now: Timestamp,
        entropy: u128,
    ) -> Result<Option<Redemption>, StoreError>;

    /// Reserved redemptions whose supplier is to be asked again at `now`, oldest first; each is due again at
    /// [`giftd_domain::gifts::redemption::ask_again_at`], so that no two nodes ask at once.
    async fn claim_redemptions(&self, now: Timestamp, limit: u32) -> Result<Vec<AskAgain>, StoreError>;

    /// The redemptions in production whose supplier's answer isn't known.
    async fn unanswered(&self) -> Result<Unanswered, StoreError>;

    // --- codes ---

    /// Adds codes of a product, all or none; those that are there already are skipped.
    async fn import_codes(
        &self,
        product_id: &str,
        codes: Vec<NewCode>,
        now: Timestamp,
    ) -> Result<CodesImport, StoreError>;

    /// Hands out a code, oldest import first, to a redemption: the same one each time that this redemption asks,
    /// and to no other ever. None where there is none in stock.
    async fn take_code(
        &self,
        product_id: &str,
        face_value: i64,
        redemption: RedemptionId,
        now: Timestamp,
    ) -> Result<Option<Sealed>, StoreError>;

    /// All codes, counted, by product and face value.
    async fn stock(&self) -> Result<Vec<Stock>, StoreError>;

    // --- the sandbox ---

    /// Begins to move an account's clock by `by` (above zero), with a claim until
    /// [`giftd_domain::limits::CLOCK_LEASE_SECONDS`] after `now`. None, and nothing happens, where it is being
    /// moved already. From here on [`Work::Everyone`] leaves the account alone.
    async fn begin_move(
        &self,
        account: AccountId,
        by: SignedDuration,
        now: Timestamp,
    ) -> Result<Option<AccountClock>, StoreError>;

    /// Takes over moves whose claim's lease has ended: accounts and clocks, with a new claim each.
    async fn take_over_moves(&self, now: Timestamp) -> Result<Vec<(AccountId, AccountClock)>, StoreError>;

    /// What waits in an account up to an instant of the node's clock.
    async fn due_until(&self, account: AccountId, until: Timestamp) -> Result<Due, StoreError>;

    /// Sets a moving clock to `at` (the account's time, never back) and renews the claim. `false`, and nothing
    /// happens, where `claim` isn't the latest: someone else goes on.
    async fn step_clock(
        &self,
        account: AccountId,
        claim: i64,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Ends a move: the clock runs on from its target, and what waits in the account comes nearer by as much
    /// as it moved. `false`, and nothing happens, where `claim` isn't the latest.
    async fn end_move(&self, account: AccountId, claim: i64, now: Timestamp) -> Result<bool, StoreError>;

    /// Keeps captured mails of an account; one with a known `message_id` replaces that one and keeps its place. Of
    /// all only the last [`giftd_domain::limits::SANDBOX_MAILS`] stay, and none longer than
    /// [`giftd_domain::limits::SANDBOX_MAIL_DAYS`].
    async fn keep_mails(
        &self,
        account: AccountId,
        mails: Vec<CapturedMail>,
        now: Timestamp,
        entropy: u128,
    ) -> Result<(), StoreError>;

    /// Captured mails of an account that aren't too old at `now`, newest first, of a recipient (without regard
    /// to case) or an order where asked for.
    async fn kept_mails(
        &self,
        account: AccountId,
        to: Option<&str>,
        order: Option<OrderId>,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<CapturedMail>, StoreError>;

    /// Removes captured mails of all accounts that are too old at `now`, also where no new one comes: how many.
    async fn drop_old_mails(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Counts one more preview of an account on the UTC day of `now`: how many are left then. None, and nothing
    /// happens, where there were [`giftd_domain::limits::TEST_MAILS_A_DAY`].
    async fn count_test_mail(&self, account: AccountId, now: Timestamp) -> Result<Option<u32>, StoreError>;
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
