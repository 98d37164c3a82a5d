//! What happens next: commands of all kinds, as the dice fall.
//!
//! Few addresses, keys, products and amounts, so that they meet again; little money, so that it runs out; now and then
//! something that isn't there.

mod gifts;
mod mails;
mod office;
mod orders;
mod sandbox;

use std::collections::VecDeque;

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::MailKind;
use giftd_domain::gifts::redemption::AskAgain;
use giftd_domain::ids::{AccountId, GiftKey, OrderId, TimeId};
use giftd_domain::limits;
use giftd_domain::orders::OrderType;
use giftd_domain::orders::place::PlaceOrder;
use giftd_store::{OperatorEntry, Work};
use jiff::SignedDuration;

use crate::command::{Answer, Command};
use crate::dice::Dice;
use crate::mail_server::MailServer;
use crate::model::{Account, Model, PlacedOrder, open};
use crate::stand::Outcome;
use crate::supplier::Supplier;

/// Where what happens comes from.
pub struct Generator {
    /// All chance.
    pub dice: Dice,
    /// Mails under way.
    pub mail_server: MailServer,
    /// Codes under way.
    pub supplier: Supplier,
    /// What a caller whose answer was lost asks for again.
    again: VecDeque<Command>,
    /// Moves of clocks that somebody has in hand, also such as were taken over by others.
    moves: Vec<(AccountId, i64)>,
    /// Keys, apps, codes and mails that were made up.
    made_up: u64,
    /// Of the command before.
    kind: Kind,
}

/// A kind of command.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Operate,
    Place,
    Cancel,
    Resend,
    MoveSchedule,
    Claim,
    Settle,
    Turn,
    RequestVerification,
    Verify,
    Reserve,
    Supply,
    SettleSomething,
    AskAgain,
    ImportCodes,
    Clock,
    KeepMails,
    TestMail,
    Template,
    Office,
    Erase,
}

const KINDS: [(u64, Kind); 21] = [
    (4, Kind::Operate),
    (14, Kind::Place),
    (5, Kind::Cancel),
    (8, Kind::Resend),
    (2, Kind::MoveSchedule),
    (12, Kind::Claim),
    (14, Kind::Settle),
    (6, Kind::Turn),
    (3, Kind::RequestVerification),
    (3, Kind::Verify),
    (11, Kind::Reserve),
    (14, Kind::Supply),
    (1, Kind::SettleSomething),
    (4, Kind::AskAgain),
    (3, Kind::ImportCodes),
    (6, Kind::Clock),
    (2, Kind::KeepMails),
    (1, Kind::TestMail),
    (2, Kind::Template),
    (2, Kind::Office),
    (2, Kind::Erase),
];

/// What is remembered of moves.
const MOVES: usize = 8;

impl Generator {
    /// That of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            mail_server: MailServer::default(),
            supplier: Supplier::default(),
            again: VecDeque::new(),
            moves: Vec::new(),
            made_up: 0,
            kind: Kind::Place,
        }
    }

    /// The next command.
    pub fn next(&mut self, model: &Model, now: Timestamp) -> Command {
        if !self.again.is_empty()
            && self.dice.chance(60)
            && let Some(command) = self.again.pop_front()
        {
            return command;
        }
        loop {
            self.kind = self.dice.weighted(&KINDS);
            if let Some(command) = self.another(model, now) {
                return command;
            }
        }
    }

    /// One of the same kind as the one before, if there is any.
    pub fn another(&mut self, model: &Model, now: Timestamp) -> Option<Command> {
        self.of_kind(self.kind, model, now)
    }

    fn of_kind(&mut self, kind: Kind, model: &Model, now: Timestamp) -> Option<Command> {
        match kind {
            Kind::Operate => Some(self.operate(model, now)),
            Kind::Place => Some(self.place(model, now)),
            Kind::Cancel => self.cancel(model, now),
            Kind::Resend => self.resend(model, now),
            Kind::MoveSchedule => self.move_schedule(model),
            Kind::Claim => Some(self.claim(model, now)),
            Kind::Settle => self.settle(now),
            Kind::Turn => Some(self.turn(model, now)),
            Kind::RequestVerification => self.request_verification(model, now),
            Kind::Verify => self.verify(model, now),
            Kind::Reserve => self.reserve(model, now),
            Kind::Supply => self.supplier.next(now, &mut self.dice),
            Kind::SettleSomething => self.settle_something(model, now),
            Kind::AskAgain => {
                let limit = *self.dice.pick(&[1, 50, 50]);
                Some(Command::ClaimRedemptions { now, limit })
            }
            Kind::ImportCodes => Some(self.import_codes(now)),
            Kind::Clock => Some(self.clock(model, now)),
            Kind::KeepMails => Some(self.keep_mails(model, now)),
            Kind::TestMail => {
                let command = Command::CountTestMail { account: self.an_account(model).id, now };
                if self.dice.chance(25) {
                    self.insist(&command, limits::TEST_MAILS_A_DAY);
                }
                Some(command)
            }
            Kind::Template => Some(self.template(model, now)),
            Kind::Office => Some(self.office(model, now)),
            Kind::Erase => Some(self.erase(now)),
        }
    }

    /// Some hundred of one step's instants: from one to the next. Once in a while it steps back an hour, or comes just to
    /// where something turns.
    pub fn tick(&mut self, model: &Model, now: Timestamp) -> Timestamp {
        if self.dice.chance(7)
            && let Some(wake_at) = self.a_turn(model, now)
        {
            let node_ahead = wake_at + SignedDuration::from_secs(self.dice.between(0, 20));
            let turn = Command::Turn { work: Work::Everyone, until: node_ahead, entropy: self.dice.bits() };
            if self.dice.chance(50) {
                self.again.push_front(turn);
            }
            return now.max(wake_at - SignedDuration::from_secs(self.dice.between(-5, 40)));
        }
        let micros = self.dice.between(0, 999_999);
        let seconds = match self.dice.below(100) {
            0..50 => self.dice.between(0, 20),
            50..74 => self.dice.between(20, 900),
            74..88 => self.dice.between(900, 90_000),
            88..95 => self.dice.between(1, 40) * 86_400,
            95..97 => return now - SignedDuration::from_secs(self.dice.between(1, 30)),
            97..99 => return now - SignedDuration::from_hours(1),
            _ => self.dice.between(100, 190) * 86_400,
        };
        now + SignedDuration::from_secs(seconds) + SignedDuration::from_micros(micros)
    }

    /// Learns what came of a command.
    pub fn hear(&mut self, command: &Command, outcome: &Outcome, now: Timestamp) {
        match (command, outcome) {
            (Command::Claim { .. }, Outcome::Told(Answer::Claimed(deliveries))) => {
                self.mail_server.take(deliveries, now, &mut self.dice);
            }
            (Command::ClaimRedemptions { .. }, Outcome::Told(Answer::AskAgain(asks))) => {
                for AskAgain { gift, environment, redemption } in asks {
                    self.supplier.ask(*gift, *environment, redemption);
                }
            }
            (Command::TakeCode { redemption, .. }, Outcome::Told(Answer::Code(code))) => {
                self.supplier.stock_said(*redemption, code.clone(), &mut self.dice);
            }
            (Command::BeginMove { account, .. }, Outcome::Told(Answer::Clock(Some(clock)))) => {
                self.moves.extend(clock.moving.map(|moving| (*account, moving.claim)));
            }
            (Command::TakeOverMoves { .. }, Outcome::Told(Answer::Moves(taken))) => {
                let claims = taken.iter().filter_map(|(account, clock)| Some((*account, clock.moving?.claim)));
                self.moves.extend(claims);
            }
            _ => {}
        }
        let too_many = self.moves.len().saturating_sub(MOVES);
        self.moves.drain(..too_many);
        if !matches!(outcome, Outcome::Told(_)) {
            self.ask_again(command);
        }
    }

    /// Whoever isn't told asks again with the same key, reference or id. (A second app of one id is no such case.)
    fn ask_again(&mut self, command: &Command) {
        if !matches!(command, Command::CreateApp(_) | Command::Claim { .. } | Command::CreateTemplate { .. }) {
            let again = self.twin(command.clone());
            self.again.push_back(again);
        }
    }

    /// Asks for the same so many times more: what is limited has to meet its limit.
    fn insist(&mut self, command: &Command, times: u32) {
        for _ in 0..times {
            let again = self.twin(command.clone());
            self.again.push_back(again);
        }
    }

    /// The same with other random bits, as whoever asks again has them.
    pub fn twin(&mut self, mut command: Command) -> Command {
        let bits = self.dice.bits();
        match &mut command {
            Command::Place(PlaceOrder { entropy, .. })
            | Command::Operate(OperatorEntry { entropy, .. })
            | Command::Cancel { entropy, .. }
            | Command::Settle { entropy, .. }
            | Command::Turn { entropy, .. }
            | Command::SettleRedemption { entropy, .. }
            | Command::KeepMails { entropy, .. } => *entropy = bits,
            Command::CreateApp(app) => app.client_id = format!("app_{bits:x}"),
            _ => {}
        }
        command
    }

    /// When the next gift turns, or one of which all is held.
    fn a_turn(&mut self, model: &Model, now: Timestamp) -> Option<Timestamp> {
        let only_held = self.dice.chance(50);
        let turns = model.gifts().filter_map(|(_, order, gift)| {
            let is_held = open(&order.order.gifts[gift]) == 0;
            order.gifts[gift].wake_at.filter(|at| *at > now && (is_held || !only_held))
        });
        turns.min()
    }

    // --- what commands are about ---

    fn made_up(&mut self) -> u64 {
        self.made_up += 1;
        self.made_up
    }

    fn an_account<'m>(&mut self, model: &'m Model) -> &'m Account {
        let accounts: Vec<&Account> = model.accounts.values().collect();
        accounts[self.dice.index(accounts.len())]
    }

    /// The newest more often: the old ones are at rest.
    fn an_order<'m>(&mut self, model: &'m Model) -> Option<(&'m Account, &'m PlacedOrder)> {
        let mut orders: Vec<(&Account, &PlacedOrder)> = model
            .accounts
            .values()
            .flat_map(|account| account.orders.values().map(move |order| (account, order)))
            .collect();
        orders.sort_by_key(|(account, order)| (order.order.summary.order_id.time, account.id));
        if self.dice.chance(70) {
            orders.drain(..orders.len().saturating_sub(12));
        }
        if orders.is_empty() { None } else { Some(orders[self.dice.index(orders.len())]) }
    }

    /// An order's account and id; now and then not what it should be.
    fn an_order_id(&mut self, model: &Model) -> Option<(AccountId, OrderId)> {
        let (account, order) = self.an_order(model)?;
        let (mut account, mut order) = (account.id, order.order.summary.order_id);
        match self.dice.below(40) {
            0 => account = self.an_account(model).id,
            1 => order.order_type = OrderType::Smart,
            2 => order.time = TimeId::from_bits(self.dice.bits() >> 8),
            _ => {}
        }
        Some((account, order))
    }

    /// Now and then one that turns next, or waits to be reminded of.
    fn a_gift<'m>(&mut self, model: &'m Model) -> Option<(&'m Account, &'m PlacedOrder, usize)> {
        if self.dice.chance(20) {
            let turn = |(_, order, gift): &(&Account, &PlacedOrder, usize)| {
                let of = &order.gifts[*gift];
                let is_reminded = of.mails.contains_key(&MailKind::Reminder);
                (is_reminded || of.wake_at.is_some()).then_some((!is_reminded, of.wake_at))
            };
            if let Some(next) = model.gifts().filter(|gift| turn(gift).is_some()).min_by_key(turn) {
                return Some(next);
            }
        }
        let (account, order) = self.an_order(model)?;
        Some((account, order, self.dice.index(order.gifts.len())))
    }

    /// A gift's key and its link; now and then not what they should be.
    fn a_link(&mut self, model: &Model) -> Option<(GiftKey, u32)> {
        let (account, order, gift) = self.a_gift(model)?;
        let (mut key, mut link_version) = (order.key_of(account.id, gift), order.order.gifts[gift].link_version);
        match self.dice.below(30) {
            0 => key.position += 7,
            1 => link_version += 1,
            2 => link_version = 1,
            _ => {}
        }
        Some((key, link_version))
    }

    /// Everyone's, or, of whose clock is being moved, that account's.
    fn work(&mut self, model: &Model) -> Work {
        let moving: Vec<AccountId> = model
            .accounts
            .values()
            .filter(|account| account.clock.moving.is_some())
            .map(|account| account.id)
            .collect();
        if moving.is_empty() || self.dice.chance(40) { Work::Everyone } else { Work::Moving(*self.dice.pick(&moving)) }
    }
}

/// The environment of an account.
fn environment(account: &Account) -> Environment {
    if account.sandbox { Environment::Sandbox } else { Environment::Production }
}
