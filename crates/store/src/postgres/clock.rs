//! Moving a sandbox's clock.

use giftd_domain::Timestamp;
use giftd_domain::account::AccountClock;
use giftd_domain::ids::AccountId;
use giftd_domain::limits;
use jiff::SignedDuration;

use super::accounts::{self, CLOCK, clock};
use super::batch::{Batch, parameters};
use super::error::{Failure, broken};
use super::operation::Connection;
use super::rows::{Columns as _, micros};
use crate::Due;

/// Begins to move a clock that isn't moving. Inside a transaction.
pub(super) async fn begin_move(
    connection: &Connection,
    account_id: AccountId,
    by: SignedDuration,
    now: Timestamp,
) -> Result<Option<AccountClock>, Failure> {
    let held = accounts::hold(connection, &[account_id.0]).await?;
    let before = held.get(&account_id).ok_or_else(|| broken(format!("no account {account_id}")))?.clock;
    if before.moving.is_some() {
        return Ok(None);
    }
    let at = before.time(now);
    let target = at.saturating_add(by).unwrap_or(Timestamp::MAX);
    let begin = connection
        .prepare_cached(&format!(
            "UPDATE accounts SET clock_claim = clock_claim + 1, clock_at = $2, clock_target = $3, clock_lease_end = $4
             WHERE account_id = $1 RETURNING {CLOCK}"
        ))
        .await?;
    let (at, target, lease_end) = (micros(at), micros(target), micros(lease_end(now)));
    let row = connection.query_one(&begin, &[&account_id.0, &at, &target, &lease_end]).await?;
    clock(&row).map(Some)
}

/// Takes over moves that nobody goes on with. Inside a transaction.
pub(super) async fn take_over_moves(
    connection: &Connection,
    now: Timestamp,
) -> Result<Vec<(AccountId, AccountClock)>, Failure> {
    let take = connection
        .prepare_cached(&format!(
            "UPDATE accounts SET clock_claim = clock_claim + 1, clock_lease_end = $2
             WHERE account_id = ANY (ARRAY(SELECT account_id FROM accounts
                WHERE clock_at IS NOT NULL AND clock_lease_end <= $1 ORDER BY account_id FOR NO KEY UPDATE))
             RETURNING account_id, {CLOCK}"
        ))
        .await?;
    let rows = connection.query(&take, &[&micros(now), &micros(lease_end(now))]).await?;
    let mut taken: Vec<(AccountId, AccountClock)> = rows
        .iter()
        .map(|row| Ok::<_, Failure>((AccountId(row.value("account_id")?), clock(row)?)))
        .collect::<Result<_, _>>()?;
    taken.sort_by_key(|(account, _)| *account);
    Ok(taken)
}

/// Sets a clock that the latest claim moves; it never goes back, and not past its target, from where it runs on.
/// Inside a transaction.
pub(super) async fn step_clock(
    connection: &Connection,
    account: AccountId,
    claim: i64,
    at: Timestamp,
    now: Timestamp,
) -> Result<bool, Failure> {
    let step = connection
        .prepare_cached(
            "UPDATE accounts SET clock_at = LEAST(GREATEST(clock_at, $3), clock_target), clock_lease_end = $4
             WHERE account_id = $1 AND clock_claim = $2 AND clock_at IS NOT NULL",
        )
        .await?;
    Ok(connection.execute(&step, &[&account.0, &claim, &micros(at), &micros(lease_end(now))]).await? == 1)
}

/// Lets a clock run on from its target, and what waits come nearer by as much as it moved. Inside a
/// transaction.
pub(super) async fn end_move(
    connection: &Connection,
    account_id: AccountId,
    claim: i64,
    now: Timestamp,
) -> Result<bool, Failure> {
    let held = accounts::hold(connection, &[account_id.0]).await?;
    let before = held.get(&account_id).ok_or_else(|| broken(format!("no account {account_id}")))?.clock;
    let Some(moving) = before.moving.filter(|moving| moving.claim == claim) else { return Ok(false) };
    // Where it took longer than the clock moved, time has passed the target: it never goes back.
    let moved = (micros(moving.target) - micros(before.shown_at(now))).max(0);
    let mut batch = Batch::new(connection);
    batch
        .add(
            "UPDATE accounts SET clock_ahead = clock_ahead + $2, clock_at = NULL, clock_target = NULL,
                clock_lease_end = NULL
             WHERE account_id = $1",
            parameters![account_id.0, moved],
        )
        .await?;
    batch
        .add(
            "UPDATE gifts SET wake_at = wake_at - $2 WHERE account_id = $1 AND wake_at IS NOT NULL",
            parameters![account_id.0, moved],
        )
        .await?;
    batch
        .add(
            "UPDATE mails SET run_at = run_at - $2, due_at = due_at - $2, tried_since = tried_since - $2
             WHERE account_id = $1 AND kind <> 'VERIFICATION'",
            parameters![account_id.0, moved],
        )
        .await?;
    // A verification goes by real time; whoever moved the clock may have claimed its mail at an instant to come.
    batch
        .add(
            "UPDATE mails SET run_at = LEAST(run_at, $2),
                tried_since = CASE WHEN tried_since > $2 THEN $2 ELSE tried_since END
             WHERE account_id = $1 AND kind = 'VERIFICATION'",
            parameters![account_id.0, micros(now)],
        )
        .await?;
    batch.send().await?;
    Ok(true)
}

/// What waits in an account up to an instant.
pub(super) async fn due_until(connection: &Connection, account: AccountId, until: Timestamp) -> Result<Due, Failure> {
    // By the account: its rows, instead of what is due in all accounts; of its gifts only those that wait.
    let statement = connection
        .prepare_cached(
            "SELECT m.n + g.n AS events, first_mail, first_turn
             FROM (SELECT COUNT(*) n, MIN(run_at) first_mail FROM mails WHERE account_id = $1 AND run_at + 0 <= $2) m,
                (SELECT COUNT(*) n, MIN(wake_at) first_turn FROM gifts WHERE account_id = $1 AND wake_at + 0 <= $2) g",
        )
        .await?;
    let row = connection.query_one(&statement, &[&account.0, &micros(until)]).await?;
    Ok(Due {
        events: row.count("events")?,
        first_mail: row.optional_instant("first_mail")?,
        first_turn: row.optional_instant("first_turn")?,
    })
}

fn lease_end(now: Timestamp) -> Timestamp {
    now.saturating_add(SignedDuration::from_secs(limits::CLOCK_LEASE_SECONDS)).unwrap_or(Timestamp::MAX)
}
