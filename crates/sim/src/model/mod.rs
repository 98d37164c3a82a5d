//! The small model: what a store must say and hold, written a second time, in memory and as plainly as it goes.
//!
//! Each command moves it on and predicts the answer. Where the store is free to choose (which of two mails that are
//! due at one instant is claimed first), the model takes what the store has chosen, if it was free to.

mod clock;
mod codes;
mod erase;
mod expected;
mod gifts;
mod mails;
mod money;
mod orders;
mod organizations;
mod reference;
mod resend;
mod sandbox_mails;
mod templates;

use std::collections::{BTreeMap, BTreeSet};

use giftd_domain::Timestamp;
use giftd_domain::account::AccountClock;
use giftd_domain::catalog::{BrandedCard, ChoiceCard};
use giftd_domain::fx::StoredRate;
use giftd_domain::gifts::events::{GiftEvent, NewEvent};
use giftd_domain::gifts::redemption::{Redemption, RedemptionId, Sealed};
use giftd_domain::gifts::{MailKind, Reminders};
use giftd_domain::history::Span;
use giftd_domain::ids::{AccountId, GiftKey, OrderId, OrganizationId, TimeId};
use giftd_domain::ledger::{Entry, Postings};
use giftd_domain::orders::Order;
use giftd_domain::templates::TemplateContent;
use giftd_store::CapturedMail;

pub use self::erase::NOBODY;
pub use self::gifts::open;
pub use self::organizations::Organization;
use crate::command::{Answer, Command};
use crate::rows::Rows;

/// Why the model can't follow: what it expected and what it was told, in words.
#[derive(Clone, Debug)]
pub struct Contradiction(pub String);

impl Contradiction {
    fn of(expected: impl std::fmt::Debug, found: impl std::fmt::Debug) -> Self {
        Self(format!("expected: {expected:?}\n   found: {found:?}"))
    }
}

/// What is known of a command's end.
#[derive(Clone, Copy)]
pub struct Heard<'a> {
    /// What its caller was told; none where the answer was lost.
    pub answer: Option<&'a Answer>,
    /// What the database holds now, where an answer was lost: it tells what was chosen.
    pub rows: Option<&'a Rows>,
    /// Whether nothing else happened at the same moment.
    pub alone: bool,
}

/// All that a database holds.
#[derive(Clone)]
pub struct Model {
    /// When recipients are reminded.
    pub reminders: Reminders,
    /// By id.
    pub organizations: BTreeMap<OrganizationId, Organization>,
    /// By id.
    pub accounts: BTreeMap<AccountId, Account>,
    /// Whether each is listed, and the card.
    pub products: BTreeMap<String, (bool, Card)>,
    /// By currency code.
    pub rates: BTreeMap<String, StoredRate>,
    /// Changes of products and rates.
    pub reference_version: i64,
    /// By hash.
    pub codes: BTreeMap<[u8; 32], Code>,
    /// Orders that commands had to do with since [`Model::take_touched`].
    touched: BTreeSet<(AccountId, OrderId)>,
}

/// A card of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kinds of cards")]
pub enum Card {
    Branded(BrandedCard),
    Choice(ChoiceCard),
}

/// An imported code.
#[derive(Clone)]
pub struct Code {
    /// Of which card.
    pub product_id: String,
    /// What it is worth.
    pub face_value: i64,
    /// The code.
    pub sealed: Sealed,
    imported_at: Timestamp,
    /// Who has it.
    pub taken: Option<RedemptionId>,
}

/// One account.
#[derive(Clone)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Whose.
    pub organization: OrganizationId,
    /// Play money, and a clock that can be moved.
    pub sandbox: bool,
    /// Its clock.
    pub clock: AccountClock,
    clock_claims: i64,
    /// What it has.
    pub balances: Postings,
    last_id: Option<TimeId>,
    /// All but ISSUE, oldest first.
    pub listed: Vec<Entry>,
    references: BTreeMap<(&'static str, String), i64>,
    /// In the order of placing.
    pub orders: BTreeMap<TimeId, PlacedOrder>,
    /// By idempotency key.
    pub keys: BTreeMap<String, TimeId>,
    /// By number.
    pub templates: BTreeMap<i64, KeptTemplate>,
    kept_mails: Vec<(TimeId, CapturedMail)>,
    previews: BTreeMap<Span, u32>,
}

/// A template.
#[derive(Clone)]
pub struct KeptTemplate {
    /// What it is.
    pub content: TemplateContent,
    /// Whether no new order may name it.
    pub deleted: bool,
}

/// An order.
#[derive(Clone)]
pub struct PlacedOrder {
    /// Its key.
    pub key: String,
    /// What was asked for.
    pub fingerprint: [u8; 32],
    /// As its account reads it.
    pub order: Order,
    /// What else is known of each gift of it.
    pub gifts: Vec<Beside>,
    /// Whether nobody knows any more to whom it went.
    pub erased: bool,
}

/// What a gift has beside what its account reads.
#[derive(Clone, Default)]
pub struct Beside {
    /// What waits, at most one of a kind.
    pub mails: BTreeMap<MailKind, Waiting>,
    /// The highest claim that was ever seen of each kind.
    claims: BTreeMap<MailKind, i64>,
    sends: u32,
    /// When it turns, by the node's clock.
    pub wake_at: Option<Timestamp>,
    events: Vec<GiftEvent>,
    resends: Vec<Moved>,
    /// By id.
    pub redemptions: BTreeMap<RedemptionId, Redeeming>,
    /// By number, from 1.
    pub verifications: Vec<Verification>,
}

/// One resend.
#[derive(Clone)]
struct Moved {
    /// By the node's clock.
    at: Timestamp,
    client_id: String,
    from: String,
    to: Option<String>,
}

/// A redemption, and when its supplier is asked again.
#[derive(Clone)]
pub struct Redeeming {
    /// As the recipient's page reads it.
    pub redemption: Redemption,
    /// By the node's clock; none once it is settled.
    pub ask_at: Option<Timestamp>,
}

/// A verification that was asked for.
#[derive(Clone)]
pub struct Verification {
    /// Of the link then.
    pub link_version: u32,
    requested_at: Timestamp,
    used: bool,
}

/// A mail that waits. Instants are the node's.
#[derive(Clone, Copy)]
pub struct Waiting {
    /// From when on it may be claimed.
    pub run_at: Timestamp,
    due_at: Timestamp,
    tried_since: Option<Timestamp>,
    send_number: u32,
    attempts: u32,
    /// The latest claim, while it may settle and somebody knows it.
    pub claim: Option<i64>,
}

impl Model {
    /// An empty database.
    pub fn new(reminders: Reminders) -> Self {
        Self {
            reminders,
            organizations: BTreeMap::new(),
            accounts: BTreeMap::new(),
            products: BTreeMap::new(),
            rates: BTreeMap::new(),
            reference_version: 1,
            codes: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Lets a command happen, whose caller was told what `heard` says. On `Err` the model is as it may be: not to be
    /// used any more.
    pub fn apply(&mut self, command: &Command, heard: Heard<'_>) -> Result<(), Contradiction> {
        let expected = match command {
            Command::SetChoiceRange { organization, range } => self.set_choice_range(*organization, *range),
            Command::SetLogo { organization, png } => self.set_logo(*organization, png.as_deref()),
            Command::SetPostalLine { organization, line } => self.set_postal_line(*organization, line.as_deref()),
            Command::CreateApp(app) => self.create_app(app),
            Command::RotateApp { client_id, secret_hash } => self.rotate_app(client_id, *secret_hash),
            Command::RevokeApp { client_id, now } => self.revoke_app(client_id, *now),
            Command::CreateTemplate { account, content } => self.account(*account).create_template(content),
            Command::ReplaceTemplate { account, template, content } => {
                self.account(*account).replace_template(*template, content)
            }
            Command::DeleteTemplate { account, template, .. } => self.account(*account).delete_template(*template),
            Command::ImportCatalog { catalog, dry_run, .. } => self.import_catalog(catalog, *dry_run),
            Command::SetRates(rates) => self.set_rates(rates),
            Command::Operate(entry) => self.account(entry.account_id).operate(entry),
            Command::Place(command) => self.place(command),
            Command::Cancel { account, order, now, entropy } => self.cancel(*account, *order, *now, *entropy),
            Command::Resend(command) => self.resend(command),
            Command::MoveSchedule { account, order, from, to } => self.move_schedule(*account, *order, *from, *to),
            Command::Claim { mails, now, lease, limit } => return self.claim(*mails, *now, *lease, *limit, heard),
            Command::Settle { settlements, now, entropy } => self.settle(settlements, *now, *entropy),
            Command::Turn { work, until, entropy } => self.turn(*work, *until, *entropy),
            Command::RequestVerification { gift, link_version, now } => {
                self.request_verification(*gift, *link_version, *now)
            }
            Command::Verify { gift, link_version, number, now } => self.verify(*gift, *link_version, *number, *now),
            Command::Reserve(command) => self.reserve(command),
            Command::SettleRedemption { gift, id, supplied, now, entropy } => {
                self.settle_redemption(*gift, *id, supplied, *now, *entropy)
            }
            Command::ClaimRedemptions { now, limit } => return self.claim_redemptions(*now, *limit, heard),
            Command::ImportCodes { product_id, codes, now } => self.import_codes(product_id, codes, *now),
            Command::TakeCode { product_id, face_value, redemption, .. } => {
                return self.take_code(product_id, *face_value, *redemption, heard);
            }
            Command::BeginMove { account, by, now } => self.account(*account).begin_move(*by, *now),
            Command::TakeOverMoves { now } => self.take_over_moves(*now),
            Command::StepClock { account, claim, at, now } => self.account(*account).step_clock(*claim, *at, *now),
            Command::EndMove { account, claim, now } => self.account(*account).end_move(*claim, *now),
            Command::KeepMails { account, mails, now, entropy } => {
                self.account(*account).keep_mails(mails, *now, *entropy)
            }
            Command::DropOldMails { now } => self.drop_old_mails(*now),
            Command::CountTestMail { account, now } => self.account(*account).count_test_mail(*now),
            Command::Erase { retention, now } => self.erase(*retention, *now),
        };
        match heard.answer {
            Some(answer) if *answer != expected => Err(Contradiction::of(expected, answer)),
            _ => Ok(()),
        }
    }

    /// Orders that commands had to do with since this was last asked.
    pub fn take_touched(&mut self) -> BTreeSet<(AccountId, OrderId)> {
        std::mem::take(&mut self.touched)
    }

    fn touch(&mut self, account: AccountId, order: OrderId) {
        self.touched.insert((account, order));
    }

    fn account(&mut self, account: AccountId) -> &mut Account {
        self.accounts.get_mut(&account).expect("commands are about accounts that are there")
    }

    /// All gifts: the account, the order, the place of the gift in it.
    pub fn gifts(&self) -> impl Iterator<Item = (&Account, &PlacedOrder, usize)> {
        self.accounts.values().flat_map(|account| {
            account
                .orders
                .values()
                .flat_map(move |order| (0..order.gifts.len()).map(move |gift| (account, order, gift)))
        })
    }

    /// The account, the order and the place of a gift.
    fn find(&mut self, gift: GiftKey) -> Option<(&mut Account, usize)> {
        let account = self.accounts.get_mut(&gift.account_id)?;
        let place = usize::try_from(gift.position).ok()?.checked_sub(1)?;
        account.orders.get(&gift.order).filter(|order| place < order.gifts.len())?;
        Some((account, place))
    }
}

impl PlacedOrder {
    /// The key of one of its gifts.
    pub fn key_of(&self, account: AccountId, gift: usize) -> GiftKey {
        let position = self.order.gifts[gift].position;
        GiftKey { account_id: account, order: self.order.summary.order_id.time, position }
    }
}

impl Beside {
    /// A gift whose mail is due for the first time.
    fn due_at(at: Timestamp) -> Self {
        let mut gift = Self { sends: 1, ..Self::default() };
        gift.mail(MailKind::Gift, 1, at);
        gift
    }

    fn mail(&mut self, kind: MailKind, send_number: u32, at: Timestamp) {
        let waiting = Waiting { run_at: at, due_at: at, tried_since: None, send_number, attempts: 0, claim: None };
        self.mails.insert(kind, waiting);
    }

    fn tell(&mut self, position: u32, NewEvent { event_type, detail }: NewEvent, at: Timestamp) {
        let number = u32::try_from(self.events.len() + 1).expect("few events");
        self.events.push(GiftEvent { position, number, event_type, at, detail });
    }
}
