//! `giftd schedule`

use clap::Subcommand;
use giftd_domain::Timestamp;
use giftd_domain::schedule::NotASchedule;
use giftd_store::{Store, StoreError, WaitingSchedule};
use serde::Serialize;

use super::Context;
use super::output::{Failure, Output, table};
use crate::api::wire::Instant;
use crate::clock::Clock;

#[derive(Subcommand)]
pub enum Schedule {
    /// Resolve the local times of all waiting orders again, by this version's time zone rules
    #[command(
        long_about = LONG,
        after_help = "Examples:\n  giftd schedule recompute --dry-run\n  giftd schedule recompute"
    )]
    Recompute {
        /// Only say what would happen
        #[arg(long)]
        dry_run: bool,
    },
}

const LONG: &str = "\
Resolve the local times of all waiting orders again, by this version's time zone rules.

An order keeps the local time and the zone that it was placed with, and the instant that they were resolved to then. Where \
a country has changed its rules since, a new version of giftd knows, and the instant is no longer the local time. This \
moves it to where it is now. Run it once all nodes have the new version: until then they would disagree.";

/// What recomputing did, or with `dry_run` would do.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Recomputed {
    dry_run: bool,
    /// Scheduled orders that wait.
    waiting: usize,
    /// How many of them were moved.
    moved: usize,
    orders: Vec<Row>,
    /// Orders that stay where they are, since this version can't resolve their local time.
    unresolved: Vec<Unresolved>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    order_id: String,
    scheduled_at: String,
    timezone: String,
    from: Instant,
    to: Instant,
    outcome: Outcome,
    /// Whether it goes out at once, because `to` lies in the past.
    due: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Outcome {
    WouldMove,
    Moved,
    /// It went out, was canceled or was moved while this command ran.
    Gone,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unresolved {
    order_id: String,
    scheduled_at: String,
    timezone: String,
    send_at: Instant,
    problem: String,
}

/// The waiting orders, compared with this binary's zone database.
pub(super) struct Comparison {
    /// How many wait.
    pub waiting: usize,
    /// Those that would go out at another instant, and at which.
    pub moving: Vec<(WaitingSchedule, Timestamp)>,
    /// Those whose local time can't be resolved, and why.
    pub unresolved: Vec<(WaitingSchedule, NotASchedule)>,
}

/// Resolves the local times of all waiting orders again.
pub(super) async fn compare(store: &dyn Store) -> Result<Comparison, StoreError> {
    let all = store.waiting_schedules().await?;
    let mut comparison = Comparison { waiting: all.len(), moving: Vec::new(), unresolved: Vec::new() };
    for waiting in all {
        match waiting.schedule.resolve_again() {
            Ok(instant) if instant == waiting.schedule.send_at => {}
            Ok(instant) => comparison.moving.push((waiting, instant)),
            Err(problem) => comparison.unresolved.push((waiting, problem)),
        }
    }
    Ok(comparison)
}

impl Schedule {
    pub async fn run(self, context: &Context) -> Result<Output, Failure> {
        let Self::Recompute { dry_run } = self;
        let store = context.store().await?;
        let recomputed = recompute(store.as_ref(), &context.clock, dry_run).await?;
        let text = in_words(&recomputed);
        let well = recomputed.unresolved.is_empty();
        Ok(Output::new(&recomputed, text)?.exit_well_if(well))
    }
}

async fn recompute(store: &dyn Store, clock: &Clock, dry_run: bool) -> Result<Recomputed, StoreError> {
    let Comparison { waiting, moving, unresolved } = compare(store).await?;
    let mut orders = Vec::with_capacity(moving.len());
    for (order, to) in moving {
        let WaitingSchedule { account_id, order_id, schedule } = order;
        let outcome = if dry_run {
            Outcome::WouldMove
        } else if store.move_schedule(account_id, order_id, schedule.send_at, to).await? {
            Outcome::Moved
        } else {
            Outcome::Gone
        };
        // A sandbox's clock may have been moved ahead.
        let account = store.account(account_id).await?;
        let now = account.map_or(clock.now(), |account| account.clock.time(clock.now()));
        orders.push(Row {
            order_id: order_id.to_string(),
            scheduled_at: schedule.local.to_string(),
            timezone: schedule.timezone,
            from: Instant(schedule.send_at),
            to: Instant(to),
            outcome,
            due: to <= now && outcome != Outcome::Gone,
        });
    }
    let unresolved = unresolved.into_iter().map(|(order, problem)| Unresolved {
        order_id: order.order_id.to_string(),
        scheduled_at: order.schedule.local.to_string(),
        timezone: order.schedule.timezone,
        send_at: Instant(order.schedule.send_at),
        problem: format!("{problem}; this version's time zone database doesn't know it"),
    });
    let moved = orders.iter().filter(|row| row.outcome == Outcome::Moved).count();
    Ok(Recomputed { dry_run, waiting, moved, orders, unresolved: unresolved.collect() })
}

fn in_words(recomputed: &Recomputed) -> String {
    let Recomputed { dry_run, waiting, moved, orders, unresolved } = recomputed;
    let mut text = String::new();
    if !orders.is_empty() {
        text += &table(
            ["ORDER", "LOCAL TIME", "ZONE", "FROM", "TO", ""],
            orders.iter().map(|row| {
                let outcome = match (row.outcome, row.due) {
                    (Outcome::Gone, _) => "no longer waits: left as it is",
                    (Outcome::WouldMove, true) => "would go out at once: that is in the past",
                    (Outcome::Moved, true) => "goes out at once: that is in the past",
                    (Outcome::WouldMove, false) => "would move",
                    (Outcome::Moved, false) => "moved",
                };
                let Row { order_id, scheduled_at, timezone, from, to, .. } = row;
                [order_id, scheduled_at, timezone, &from.to_string(), &to.to_string(), outcome].map(str::to_owned)
            }),
        );
    }
    for Unresolved { order_id, scheduled_at, timezone, send_at, problem } in unresolved {
        text += &format!("{order_id} stays at {send_at}: {scheduled_at} {timezone}: {problem}\n");
    }
    let count = orders.len();
    text += &match (waiting, count, dry_run) {
        (0, ..) => "No scheduled order waits.".to_owned(),
        (_, 0, _) if unresolved.is_empty() => format!("All {waiting} waiting orders go out at their local time."),
        (_, 0, _) => format!("None of {waiting} waiting orders can be moved."),
        (_, _, true) => format!(
            "{count} of {waiting} waiting orders would move; nothing happened. To move them: giftd schedule recompute"
        ),
        (_, _, false) => format!("{moved} of {waiting} waiting orders moved."),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(outcome: Outcome, due: bool) -> Row {
        Row {
            order_id: "OT01KAPBQBY0000000000000000A".to_owned(),
            scheduled_at: "2026-12-24T09:00:00".to_owned(),
            timezone: "Asia/Tokyo".to_owned(),
            from: Instant("2026-12-23T23:00:00Z".parse().expect("an instant")),
            to: Instant("2026-12-24T00:00:00Z".parse().expect("an instant")),
            outcome,
            due,
        }
    }

    #[test]
    fn people_are_told_what_happened_to_each_order() {
        let told = |dry_run, waiting, orders: Vec<Row>| {
            let moved = orders.iter().filter(|row| row.outcome == Outcome::Moved).count();
            in_words(&Recomputed { dry_run, waiting, moved, orders, unresolved: Vec::new() })
        };
        assert_eq!(told(true, 0, Vec::new()), "No scheduled order waits.");
        assert_eq!(told(false, 3, Vec::new()), "All 3 waiting orders go out at their local time.");
        let dry = told(true, 3, vec![row(Outcome::WouldMove, false)]);
        assert!(dry.contains("2026-12-23T23:00:00.000Z") && dry.contains("would move\n"), "{dry}");
        assert!(
            dry.ends_with("1 of 3 waiting orders would move; nothing happened. To move them: giftd schedule recompute")
        );
        let moved =
            told(false, 3, vec![row(Outcome::Moved, false), row(Outcome::Moved, true), row(Outcome::Gone, false)]);
        assert!(
            moved.contains("goes out at once: that is in the past") && moved.contains("no longer waits"),
            "{moved}"
        );
        assert!(moved.ends_with("2 of 3 waiting orders moved."), "{moved}");
    }
}
