//! What the store must tell.

use std::collections::BTreeMap;

use giftd_domain::Timestamp;
use giftd_domain::gifts::events::{EventType, GiftEvent};
use giftd_domain::gifts::redemption::RedemptionState;
use giftd_domain::history::{OrderFilter, OrderKind};
use giftd_domain::ids::{AccountId, OrderId};
use giftd_domain::orders::place::{AccountSettings, KnownKey};
use giftd_domain::orders::{OrderStatus, OrderSummary};
use giftd_domain::schedule::SendTiming;
use giftd_store::{Backlog, Due, Unanswered, WaitingSchedule};
use jiff::tz::TimeZone;

use super::{Account, Model, PlacedOrder, Verification};
use crate::rows::{MailRow, Rows, VerificationRow};
use crate::seen::{AHEAD, Lists, NEWEST, Rest, Scope, Seen, SeenAccount, SeenOrder, pages};

impl Model {
    /// What a look at these orders takes in.
    pub fn scope(&self, orders: impl IntoIterator<Item = (AccountId, OrderId)>, now: Timestamp) -> Scope {
        let orders = orders.into_iter().filter_map(|(account, order)| {
            let of = self.accounts.get(&account)?.orders.get(&order.time)?;
            (of.order.summary.order_id == order).then(|| ((account, order), of.key.clone()))
        });
        Scope {
            orders: orders.collect(),
            accounts: self.accounts.keys().copied().collect(),
            organizations: self.organizations.keys().copied().collect(),
            all: false,
            now,
        }
    }

    /// What a look at everything takes in.
    pub fn everything(&self, now: Timestamp) -> Scope {
        let orders = self
            .accounts
            .values()
            .flat_map(|account| account.orders.values().map(|order| (account.id, order.order.summary.order_id)));
        Scope { all: true, ..self.scope(orders.collect::<Vec<_>>(), now) }
    }

    /// What a look at `scope` must find.
    pub fn expected(&self, scope: &Scope) -> Seen {
        let rows = self.rows();
        Seen {
            accounts: self.accounts.values().map(|of| (of.id, of.seen(&rows, scope.now))).collect(),
            orders: (scope.orders.keys())
                .map(|(account, order)| {
                    let of = self.accounts.get(account).and_then(|of| of.orders.get(&order.time));
                    ((*account, *order), of.map(PlacedOrder::seen))
                })
                .collect(),
            rest: scope.all.then(|| self.rest(&rows, scope.now)),
            rows,
        }
    }

    fn rest(&self, rows: &Rows, now: Timestamp) -> Rest {
        let due: Vec<Timestamp> = rows.mails.values().map(|mail| mail.run_at).filter(|at| *at <= now).collect();
        Rest {
            apps: self.organizations.iter().map(|(id, of)| (*id, of.listed_apps())).collect(),
            lists: self.accounts.values().map(|of| (of.id, self.lists(of, now))).collect(),
            waiting_schedules: self.waiting_schedules(),
            reference: self.reference(),
            stock: self.stock(),
            backlog: Backlog { due: count(due.len()), oldest_due: due.into_iter().min() },
            unanswered: self.unanswered(),
            differences: vec![],
        }
    }

    fn rows(&self) -> Rows {
        let mut rows = Rows::default();
        for (account, order, gift) in self.gifts() {
            let (key, beside) = (order.key_of(account.id, gift), &order.gifts[gift]);
            for (kind, mail) in &beside.mails {
                let row = MailRow {
                    run_at: mail.run_at,
                    due_at: mail.due_at,
                    tried_since: mail.tried_since,
                    send_number: mail.send_number.into(),
                    attempts: mail.attempts.into(),
                };
                rows.mails.insert((key, *kind), row);
            }
            rows.wakes.extend(beside.wake_at.map(|at| (key, at)));
            let asks = beside.redemptions.iter().filter_map(|(id, of)| Some(((key, *id), of.ask_at?)));
            rows.asks.extend(asks);
            // The first send is no resend.
            let resends = (2..).zip(&beside.resends);
            rows.resends.extend(resends.map(|(number, of)| ((key, number), (of.from.clone(), of.to.clone()))));
            for (number, of) in (1..).zip(&beside.verifications) {
                let Verification { link_version, requested_at, used } = *of;
                let row = VerificationRow { link_version: link_version.into(), requested_at, is_used: used };
                rows.verifications.insert((key, number), row);
            }
        }
        for (id, account) in &self.accounts {
            rows.previews.extend(account.previews.iter().map(|(day, mailed)| ((*id, *day), i64::from(*mailed))));
        }
        rows.codes = self.codes.iter().map(|(hash, code)| (*hash, code.taken)).collect();
        rows
    }

    fn lists(&self, of: &Account, now: Timestamp) -> Lists {
        let organization = &self.organizations[&of.organization];
        let templates = of.listed_templates();
        let orders = pages(now).into_iter().map(|(filter, page)| {
            let all = of.orders.values().rev().map(|order| &order.order.summary);
            let found: Vec<_> = all.filter(|summary| is_wanted(summary, &filter)).collect();
            let on_page = found.iter().skip(size(page.offset())).take(size(page.page_size.into()));
            (count(found.len()), on_page.copied().cloned().collect())
        });
        let kept = of.kept_mails(now);
        Lists {
            orders: orders.collect(),
            settings: Some(AccountSettings {
                choice_range: organization.choice_range,
                default_template: templates[0].template_id,
                templates: templates.iter().map(|template| template.template_id).collect(),
            }),
            sender_look: Some(organization.look.clone()),
            templates,
            kept_mails: (count(kept.len()), kept.into_iter().take(newest()).collect()),
        }
    }

    /// By the instant they go out.
    pub fn waiting_schedules(&self) -> Vec<WaitingSchedule> {
        let orders = self.accounts.values().flat_map(|of| of.orders.values().map(move |order| (of.id, order)));
        let waiting = orders.filter_map(|(account_id, order)| match &order.order.summary.timing {
            SendTiming::Scheduled(schedule) if order.order.summary.status == OrderStatus::Pending => {
                let order_id = order.order.summary.order_id;
                Some(WaitingSchedule { account_id, order_id, schedule: schedule.clone() })
            }
            _ => None,
        });
        let mut waiting: Vec<WaitingSchedule> = waiting.collect();
        waiting.sort_by_key(|of| (of.schedule.send_at, of.account_id, of.order_id.time));
        waiting
    }

    fn unanswered(&self) -> Unanswered {
        let production = self.gifts().filter(|(account, ..)| !account.sandbox);
        let redemptions = production.flat_map(|(_, order, gift)| order.gifts[gift].redemptions.values());
        let waiting = redemptions.filter(|of| of.redemption.state == RedemptionState::Reserved);
        let since: Vec<Timestamp> = waiting.map(|of| of.redemption.reserved_at).collect();
        Unanswered { redemptions: count(since.len()), since: since.into_iter().min() }
    }
}

impl Account {
    fn seen(&self, rows: &Rows, now: Timestamp) -> SeenAccount {
        let until = now + AHEAD;
        let mails = rows.mails.iter().filter(|((gift, _), mail)| gift.account_id == self.id && mail.run_at <= until);
        let mails: Vec<Timestamp> = mails.map(|(_, mail)| mail.run_at).collect();
        let turns = rows.wakes.iter().filter(|(gift, at)| gift.account_id == self.id && **at <= until);
        let turns: Vec<Timestamp> = turns.map(|(_, at)| *at).collect();
        SeenAccount {
            balances: self.balances,
            clock: self.clock,
            ledger: (count(self.listed.len()), self.listed.iter().rev().take(newest()).cloned().collect()),
            due: Due {
                events: count(mails.len() + turns.len()),
                first_mail: mails.into_iter().min(),
                first_turn: turns.into_iter().min(),
            },
        }
    }
}

impl PlacedOrder {
    fn seen(&self) -> SeenOrder {
        SeenOrder {
            order: self.order.clone(),
            known: Some(KnownKey { order_id: self.order.summary.order_id, fingerprint: self.fingerprint }),
            events: self.events(),
            redemptions: (self.gifts.iter())
                .map(|gift| {
                    gift.redemptions.iter().map(|(id, of)| (*id, of.redemption.clone())).collect::<BTreeMap<_, _>>()
                })
                .collect(),
        }
    }

    /// Newest first.
    fn events(&self) -> Vec<GiftEvent> {
        let mut events: Vec<_> = self.gifts.iter().flat_map(|gift| gift.events.clone()).collect();
        events.sort_by_key(|event| std::cmp::Reverse((event.at, event.position, event.number)));
        let implied = |number, event_type, at| {
            self.order.gifts.iter().rev().map(move |gift| GiftEvent {
                position: gift.position,
                number,
                event_type,
                at,
                detail: None,
            })
        };
        let summary = &self.order.summary;
        events.extend(summary.canceled_at.into_iter().flat_map(|at| implied(1, EventType::Canceled, at)));
        events.extend(implied(0, EventType::Placed, summary.created_at()));
        events
    }
}

fn is_wanted(order: &OrderSummary, filter: &OrderFilter) -> bool {
    let kind = OrderKind {
        order_type: order.order_id.order_type,
        card_type: order.card_type,
        card_name: order.card_name.clone(),
        creator: order.creator.clone(),
    };
    let day = order.created_at().to_zoned(TimeZone::UTC).date();
    filter.takes(&kind)
        && filter.status.is_none_or(|status| status == order.status)
        && filter.days.from.is_none_or(|from| from <= day)
        && filter.days.to.is_none_or(|to| day <= to)
}

fn newest() -> usize {
    size(NEWEST.into())
}

fn size(of: u64) -> usize {
    usize::try_from(of).expect("a number")
}

fn count(of: usize) -> u64 {
    u64::try_from(of).expect("a count")
}
