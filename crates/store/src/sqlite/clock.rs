//! Moving a sandbox's clock.
//!
//! A clock's columns are written at once, not with the group's commit: what follows in the group looks for
//! accounts whose clock moves.

use giftd_domain::Timestamp;
use giftd_domain::account::AccountClock;
use giftd_domain::ids::AccountId;
use giftd_domain::limits;
use jiff::SignedDuration;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::group::{Group, clock as read_clock};
use super::rows::{Column, instant, kept, unsigned};
use crate::{Due, StoreError};

/// The columns that [`read_clock`] reads.
const CLOCK: &str = "clock_ahead, clock_at, clock_target, clock_claim, clock_lease_end";

/// Up to when work of an account whose clock moves may be done at `now`: nobody goes past its target, as one
/// might whose move another has ended meanwhile. None where it doesn't move.
pub(super) fn moving_until(
    group: &Group<'_>,
    account: AccountId,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let clock = group.existing_account(account)?.clock;
    Ok(clock.moving.map(|moving| clock.node_time(moving.target).min(now)))
}

/// Begins to move a clock that isn't moving.
pub(super) fn begin_move(
    group: &mut Group<'_>,
    account_id: AccountId,
    by: SignedDuration,
    now: Timestamp,
) -> Result<Option<AccountClock>, StoreError> {
    let clock = group.existing_account(account_id)?.clock;
    let at = clock.time(now);
    let target = at.saturating_add(by).unwrap_or(Timestamp::MAX);
    let begun = group
        .connection()
        .prepare_cached(&format!(
            "UPDATE accounts SET clock_claim = clock_claim + 1, clock_at = ?2, clock_target = ?3, clock_lease_end = ?4
             WHERE account_id = ?1 AND clock_at IS NULL RETURNING {CLOCK}"
        ))?
        .query_row(params![account_id.0, Column(at), Column(target), Column(lease_end(now))], |row| read_clock(row, 0))
        .optional()?;
    keep(group, account_id, begun)
}

/// Takes over moves that nobody goes on with.
pub(super) fn take_over_moves(
    group: &mut Group<'_>,
    now: Timestamp,
) -> Result<Vec<(AccountId, AccountClock)>, StoreError> {
    let mut taken: Vec<(AccountId, AccountClock)> = group
        .connection()
        .prepare_cached(&format!(
            "UPDATE accounts SET clock_claim = clock_claim + 1, clock_lease_end = ?2
             WHERE account_id IN (SELECT account_id FROM accounts INDEXED BY accounts_moving
                WHERE clock_at IS NOT NULL AND clock_lease_end <= ?1)
             RETURNING {CLOCK}, account_id"
        ))?
        .query_map(params![Column(now), Column(lease_end(now))], |row| {
            Ok((AccountId(row.get(5)?), read_clock(row, 0)?))
        })?
        .collect::<Result<_, _>>()?;
    // RETURNING has no order.
    taken.sort_by_key(|(account, _)| *account);
    for (account, clock) in &taken {
        keep(group, *account, Some(*clock))?;
    }
    Ok(taken)
}

/// Sets a clock that the latest claim moves; it never goes back, and not past its target, from where it runs on.
pub(super) fn step_clock(
    group: &mut Group<'_>,
    account_id: AccountId,
    claim: i64,
    at: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let stepped = group
        .connection()
        .prepare_cached(&format!(
            "UPDATE accounts SET clock_at = MIN(MAX(clock_at, ?3), clock_target), clock_lease_end = ?4
             WHERE account_id = ?1 AND clock_claim = ?2 AND clock_at IS NOT NULL RETURNING {CLOCK}"
        ))?
        .query_row(params![account_id.0, claim, Column(at), Column(lease_end(now))], |row| read_clock(row, 0))
        .optional()?;
    Ok(keep(group, account_id, stepped)?.is_some())
}

/// Lets a clock run on from its target, and what waits come nearer by as much as it moved.
pub(super) fn end_move(
    group: &mut Group<'_>,
    account_id: AccountId,
    claim: i64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let clock = group.existing_account(account_id)?.clock;
    let Some(moving) = clock.moving.filter(|moving| moving.claim == claim) else { return Ok(false) };
    // Where it took longer than the clock moved, time has passed the target: it never goes back.
    let moved = moving.target.duration_since(clock.shown_at(kept(now))).max(SignedDuration::ZERO);
    let moved = i64::try_from(moved.as_micros()).unwrap_or(i64::MAX);
    let connection = group.connection();
    let ended = connection
        .prepare_cached(&format!(
            "UPDATE accounts SET clock_ahead = clock_ahead + ?2, clock_at = NULL, clock_target = NULL,
                clock_lease_end = NULL
             WHERE account_id = ?1 RETURNING {CLOCK}"
        ))?
        .query_row(params![account_id.0, moved], |row| read_clock(row, 0))?;
    connection
        .prepare_cached(
            "UPDATE mails SET run_at = run_at - ?2, due_at = due_at - ?2, tried_since = tried_since - ?2
             WHERE account_id = ?1 AND kind <> 'VERIFICATION'",
        )?
        .execute(params![account_id.0, moved])?;
    // A verification goes by real time; whoever moved the clock may have claimed its mail at an instant to come.
    connection
        .prepare_cached(
            "UPDATE mails SET run_at = MIN(run_at, ?2), tried_since = MIN(tried_since, ?2)
             WHERE account_id = ?1 AND kind = 'VERIFICATION'",
        )?
        .execute(params![account_id.0, Column(now)])?;
    connection
        .prepare_cached(
            "UPDATE gifts INDEXED BY gifts_by_account_wake_at SET wake_at = wake_at - ?2
             WHERE account_id = ?1 AND wake_at IS NOT NULL",
        )?
        .execute(params![account_id.0, moved])?;
    keep(group, account_id, Some(ended))?;
    Ok(true)
}

/// What waits in an account up to an instant.
pub(super) fn due_until(connection: &Connection, account: AccountId, until: Timestamp) -> Result<Due, StoreError> {
    // By the account: its rows, instead of what is due in all accounts; of its gifts only those that wait.
    let of = |sql: &str| -> Result<(u64, Option<Timestamp>), StoreError> {
        let (count, first): (i64, _) = connection
            .prepare_cached(sql)?
            .query_row(params![account.0, Column(until)], |row| Ok((row.get(0)?, instant(row, 1)?)))?;
        Ok((unsigned(count)?, first))
    };
    let (mails, first_mail) = of("SELECT COUNT(*), MIN(run_at) FROM mails WHERE account_id = ?1 AND +run_at <= ?2")?;
    let (turns, first_turn) = of("SELECT COUNT(*), MIN(wake_at) FROM gifts INDEXED BY gifts_by_account_wake_at
        WHERE account_id = ?1 AND wake_at <= ?2")?;
    Ok(Due { events: mails + turns, first_mail, first_turn })
}

fn lease_end(now: Timestamp) -> Timestamp {
    now.saturating_add(SignedDuration::from_secs(limits::CLOCK_LEASE_SECONDS)).unwrap_or(Timestamp::MAX)
}

/// What follows in the group sees the clock as its row has it.
fn keep(
    group: &mut Group<'_>,
    account_id: AccountId,
    clock: Option<AccountClock>,
) -> Result<Option<AccountClock>, StoreError> {
    if let Some(clock) = clock {
        let mut account = group.existing_account(account_id)?;
        account.clock = clock;
        group.set_account(account);
    }
    Ok(clock)
}

#[cfg(test)]
mod tests {
    use giftd_domain::gifts::Reminders;

    use super::*;
    use crate::sqlite::example::{at, database, done, in_group, place, sandbox, send_all};
    use crate::sqlite::group::read_account;
    use crate::sqlite::orders::order_start;
    use crate::sqlite::turn::turn_gifts;
    use crate::{Mails, Settled, Turned, Work};

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    #[test]
    fn a_move_is_seen_by_what_follows_in_its_group() {
        let connection = database();
        let account = sandbox(&connection);
        let (first, second) = in_group(&connection, |group| {
            let first = place(group, account, "first", 1, at(0));
            let clock = done(group, |group| begin_move(group, account, DAY, at(1))).expect("a move");
            assert_eq!(done(group, |group| begin_move(group, account, DAY, at(1))), None);
            assert_eq!(send_all(group, Mails::All, at(1)), Settled::default());
            let moving = clock.moving.expect("a move");
            assert!(done(group, |group| step_clock(group, account, moving.claim, moving.target, at(2))));
            let clock = done(group, |group| Ok(group.existing_account(account)?.clock));
            // By the clock as it stands, a day ahead.
            let second = place(group, account, "second", 1, clock.time(at(2)));
            assert_eq!(send_all(group, Mails::Moving(account), clock.node_time(moving.target)).settled, 2);
            assert!(done(group, |group| end_move(group, account, moving.claim, at(3))));
            (first, second)
        });
        let clock = read_account(&connection, account).expect("an answer").expect("an account").clock;
        assert_eq!((clock.moving, clock.time(at(3))), (None, at(1) + DAY));
        for (id, placed) in [(first, at(0)), (second, at(1) + DAY)] {
            let order = order_start(&connection, account, id, 1).expect("an answer").expect("an order");
            assert_eq!(order.summary.created_at(), placed);
            assert_eq!(order.gifts[0].sent_at, Some(at(1) + DAY));
        }
        let wake_at: Vec<i64> = connection
            .prepare("SELECT wake_at FROM gifts")
            .expect("a query")
            .query_map([], |row| row.get(0))
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("instants");
        let expiry = (at(3) + DAY * 30).as_microsecond();
        assert_eq!(wake_at, [expiry, expiry], "by the node's clock");
    }

    #[test]
    fn who_was_overtaken_moves_nothing_any_more_and_nobody_goes_past_the_target() {
        let connection = database();
        let account = sandbox(&connection);
        in_group(&connection, |group| {
            place(group, account, "order", 1, at(0));
            send_all(group, Mails::All, at(0));
        });
        let far = at(0) + DAY * 31;
        let turn = |group: &mut Group<'_>| {
            done(group, |group| turn_gifts(group, Work::Moving(account), far, &Reminders::default(), 1))
        };
        in_group(&connection, |group| {
            let first = done(group, |group| begin_move(group, account, DAY, at(0))).expect("a move");
            let first = first.moving.expect("a move").claim;
            assert_eq!(turn(group), Turned::default(), "its target is a day away");
            assert_eq!(done(group, |group| take_over_moves(group, at(29))), []);
            let taken = done(group, |group| take_over_moves(group, at(30)));
            let second = taken.first().and_then(|(_, clock)| clock.moving).expect("a move").claim;
            assert!(!done(group, |group| step_clock(group, account, first, at(60), at(31))));
            assert!(!done(group, |group| end_move(group, account, first, at(31))));
            assert!(done(group, |group| end_move(group, account, second, at(31))));
            assert!(!done(group, |group| step_clock(group, account, second, at(60), at(31))));
            assert_eq!(turn(group), Turned::default(), "it doesn't move any more");
        });
    }

    #[test]
    fn a_move_that_takes_longer_than_it_goes_leaves_the_clock_running() {
        let connection = database();
        let account = sandbox(&connection);
        in_group(&connection, |group| {
            let by = SignedDuration::from_secs(1);
            let claim = done(group, |group| begin_move(group, account, by, at(0))).and_then(|clock| clock.moving);
            let claim = claim.expect("a move").claim;
            assert!(done(group, |group| end_move(group, account, claim, at(5))));
            let clock = done(group, |group| Ok(group.existing_account(account)?.clock));
            assert_eq!(clock, AccountClock::default());
        });
    }
}
