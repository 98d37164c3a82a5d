//! What is asked of a store, and what it answers.

use giftd_domain::Timestamp;
use giftd_domain::access::App;
use giftd_domain::account::AccountClock;
use giftd_domain::catalog::{Catalog, ChoiceRange};
use giftd_domain::fx::StoredRate;
use giftd_domain::gifts::redemption::{
    AskAgain, NewCode, Redemption, RedemptionId, Reserve, Reserved, Sealed, Supplied,
};
use giftd_domain::gifts::verification::{VerificationRequested, Verified};
use giftd_domain::gifts::{ClaimedDelivery, Reminders};
use giftd_domain::ids::{AccountId, GiftKey, OrderId, OrganizationId, TemplateId, TimeId};
use giftd_domain::orders::erase::Retention;
use giftd_domain::orders::place::PlaceOrder;
use giftd_domain::orders::resend::Resend;
use giftd_domain::templates::{Template, TemplateContent};
use giftd_store::{
    Cancellation, CapturedMail, CatalogImport, CodesImport, Erased, Mails, OperatorEntry, OperatorOutcome, Placed,
    Resent, SettleDelivery, Settled, Store, StoreError, TemplateDeletion, Turned, Work,
};
use jiff::SignedDuration;

/// One operation that changes something: that of an API call, a recipient's page, a worker or the command line.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a handful is alive at once")]
#[expect(missing_docs, reason = "each is the method of `Store` with its name, and its fields are the parameters")]
pub enum Command {
    SetChoiceRange { organization: OrganizationId, range: ChoiceRange },
    SetLogo { organization: OrganizationId, png: Option<Vec<u8>> },
    SetPostalLine { organization: OrganizationId, line: Option<String> },
    CreateApp(App),
    RotateApp { client_id: String, secret_hash: [u8; 32] },
    RevokeApp { client_id: String, now: Timestamp },
    CreateTemplate { account: AccountId, content: TemplateContent },
    ReplaceTemplate { account: AccountId, template: TemplateId, content: TemplateContent },
    DeleteTemplate { account: AccountId, template: TemplateId, now: Timestamp },
    ImportCatalog { catalog: Catalog, now: Timestamp, dry_run: bool },
    SetRates(Vec<StoredRate>),
    Operate(OperatorEntry),
    Place(PlaceOrder),
    Cancel { account: AccountId, order: OrderId, now: Timestamp, entropy: u128 },
    Resend(Resend),
    MoveSchedule { account: AccountId, order: OrderId, from: Timestamp, to: Timestamp },
    Claim { mails: Mails, now: Timestamp, lease: SignedDuration, limit: u32 },
    Settle { settlements: Vec<SettleDelivery>, now: Timestamp, entropy: u128 },
    Turn { work: Work, until: Timestamp, entropy: u128 },
    RequestVerification { gift: GiftKey, link_version: u32, now: Timestamp },
    Verify { gift: GiftKey, link_version: u32, number: u32, now: Timestamp },
    Reserve(Reserve),
    SettleRedemption { gift: GiftKey, id: RedemptionId, supplied: Supplied, now: Timestamp, entropy: u128 },
    ClaimRedemptions { now: Timestamp, limit: u32 },
    ImportCodes { product_id: String, codes: Vec<NewCode>, now: Timestamp },
    TakeCode { product_id: String, face_value: i64, redemption: RedemptionId, now: Timestamp },
    BeginMove { account: AccountId, by: SignedDuration, now: Timestamp },
    TakeOverMoves { now: Timestamp },
    StepClock { account: AccountId, claim: i64, at: Timestamp, now: Timestamp },
    EndMove { account: AccountId, claim: i64, now: Timestamp },
    KeepMails { account: AccountId, mails: Vec<CapturedMail>, now: Timestamp, entropy: u128 },
    DropOldMails { now: Timestamp },
    CountTestMail { account: AccountId, now: Timestamp },
    Erase { retention: Retention, now: Timestamp },
}

/// What a store said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what one or some of the commands are answered with")]
pub enum Answer {
    Done,
    Was(bool),
    Template(Option<Template>),
    TemplateDeletion(TemplateDeletion),
    CatalogImport(CatalogImport),
    Operated(OperatorOutcome),
    Placed(Placed),
    Cancellation(Cancellation),
    Resent(Resent),
    Claimed(Vec<ClaimedDelivery>),
    Settled(Settled),
    Turned(Turned),
    VerificationRequested(VerificationRequested),
    Verified(Verified),
    Reserved(Reserved),
    Redemption(Option<Redemption>),
    AskAgain(Vec<AskAgain>),
    CodesImport(CodesImport),
    Code(Option<Sealed>),
    Clock(Option<AccountClock>),
    Moves(Vec<(AccountId, AccountClock)>),
    Dropped(u64),
    Left(Option<u32>),
    Erased(Erased),
}

impl Command {
    /// Asks the store.
    pub async fn ask(self, store: &dyn Store, reminders: &Reminders) -> Result<Answer, StoreError> {
        Ok(match self {
            Self::SetChoiceRange { organization, range } => {
                Answer::Was(store.set_choice_range(organization, range).await?)
            }
            Self::SetLogo { organization, png } => Answer::Was(store.set_logo(organization, png).await?),
            Self::SetPostalLine { organization, line } => {
                Answer::Was(store.set_postal_line(organization, line.as_deref()).await?)
            }
            Self::CreateApp(app) => {
                store.create_app(&app).await?;
                Answer::Done
            }
            Self::RotateApp { client_id, secret_hash } => Answer::Was(store.rotate_app(&client_id, secret_hash).await?),
            Self::RevokeApp { client_id, now } => Answer::Was(store.revoke_app(&client_id, now).await?),
            Self::CreateTemplate { account, content } => {
                Answer::Template(store.create_template(account, &content).await?)
            }
            Self::ReplaceTemplate { account, template, content } => {
                Answer::Template(store.replace_template(account, template, &content).await?)
            }
            Self::DeleteTemplate { account, template, now } => {
                Answer::TemplateDeletion(store.delete_template(account, template, now).await?)
            }
            Self::ImportCatalog { catalog, now, dry_run } => {
                Answer::CatalogImport(store.import_catalog(&catalog, now, dry_run).await?)
            }
            Self::SetRates(rates) => {
                store.set_rates(&rates).await?;
                Answer::Done
            }
            Self::Operate(entry) => Answer::Operated(store.operator_entry(entry).await?),
            Self::Place(command) => Answer::Placed(store.place_order(command).await?),
            Self::Cancel { account, order, now, entropy } => {
                Answer::Cancellation(store.cancel_order(account, order, now, entropy).await?)
            }
            Self::Resend(command) => Answer::Resent(store.resend(command).await?),
            Self::MoveSchedule { account, order, from, to } => {
                Answer::Was(store.move_schedule(account, order, from, to).await?)
            }
            Self::Claim { mails, now, lease, limit } => {
                Answer::Claimed(store.claim_deliveries(mails, now, lease, limit).await?)
            }
            Self::Settle { settlements, now, entropy } => {
                Answer::Settled(store.settle_deliveries(settlements, reminders, now, entropy).await?)
            }
            Self::Turn { work, until, entropy } => {
                Answer::Turned(store.turn_gifts(work, until, reminders, entropy).await?)
            }
            Self::RequestVerification { gift, link_version, now } => {
                Answer::VerificationRequested(store.request_verification(gift, link_version, now).await?)
            }
            Self::Verify { gift, link_version, number, now } => {
                Answer::Verified(store.verify(gift, link_version, number, now).await?)
            }
            Self::Reserve(command) => Answer::Reserved(store.reserve(command).await?),
            Self::SettleRedemption { gift, id, supplied, now, entropy } => {
                Answer::Redemption(store.settle_redemption(gift, id, supplied, now, entropy).await?)
            }
            Self::ClaimRedemptions { now, limit } => Answer::AskAgain(store.claim_redemptions(now, limit).await?),
            Self::ImportCodes { product_id, codes, now } => {
                Answer::CodesImport(store.import_codes(&product_id, codes, now).await?)
            }
            Self::TakeCode { product_id, face_value, redemption, now } => {
                Answer::Code(store.take_code(&product_id, face_value, redemption, now).await?)
            }
            Self::BeginMove { account, by, now } => Answer::Clock(store.begin_move(account, by, now).await?),
            Self::TakeOverMoves { now } => Answer::Moves(store.take_over_moves(now).await?),
            Self::StepClock { account, claim, at, now } => {
                Answer::Was(store.step_clock(account, claim, at, now).await?)
            }
            Self::EndMove { account, claim, now } => Answer::Was(store.end_move(account, claim, now).await?),
            Self::KeepMails { account, mails, now, entropy } => {
                store.keep_mails(account, mails, now, entropy).await?;
                Answer::Done
            }
            Self::DropOldMails { now } => Answer::Dropped(store.drop_old_mails(now).await?),
            Self::CountTestMail { account, now } => Answer::Left(store.count_test_mail(account, now).await?),
            Self::Erase { retention, now } => Answer::Erased(store.erase_recipients(retention, now).await?),
        })
    }

    /// The orders that it names.
    pub fn named(&self) -> Vec<(AccountId, TimeId)> {
        match self {
            Self::Cancel { account, order, .. } | Self::MoveSchedule { account, order, .. } => {
                vec![(*account, order.time)]
            }
            Self::Resend(Resend { account_id, order_id, .. }) => vec![(*account_id, order_id.time)],
            Self::RequestVerification { gift, .. }
            | Self::Verify { gift, .. }
            | Self::Reserve(Reserve { gift, .. })
            | Self::SettleRedemption { gift, .. } => vec![(gift.account_id, gift.order)],
            Self::Settle { settlements, .. } => settlements
                .iter()
                .map(|SettleDelivery { settlement, .. }| (settlement.account_id, settlement.gift.order.time))
                .collect(),
            _ => vec![],
        }
    }

    /// Whether what it does shows only where everything is looked at.
    pub fn is_beside_orders(&self) -> bool {
        matches!(
            self,
            Self::SetChoiceRange { .. }
                | Self::SetLogo { .. }
                | Self::SetPostalLine { .. }
                | Self::CreateApp(_)
                | Self::RotateApp { .. }
                | Self::RevokeApp { .. }
                | Self::CreateTemplate { .. }
                | Self::ReplaceTemplate { .. }
                | Self::DeleteTemplate { .. }
                | Self::ImportCatalog { .. }
                | Self::SetRates(_)
                | Self::KeepMails { .. }
                | Self::DropOldMails { .. }
        )
    }

    /// Whether it takes work of all kinds of owners, so that what others do at the same moment decides what it finds.
    pub fn sweeps(&self) -> bool {
        match self {
            Self::Claim { .. }
            | Self::Turn { .. }
            | Self::ClaimRedemptions { .. }
            | Self::TakeOverMoves { .. }
            | Self::Erase { .. } => true,
            Self::Settle { settlements, .. } => settlements.len() > 1,
            _ => false,
        }
    }
}
