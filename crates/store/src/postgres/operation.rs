//! Running one operation: a connection, a transaction around it, a limit on its time, another try where
//! that is safe.
//!
//! Each runs in a task of its own. A caller who goes away thus leaves it to end in order; and one that
//! runs out of time, or panics, takes its connection with it, so that none with an open transaction is
//! ever used again.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object, Pool};

use super::error::{Failure, broken};
use crate::StoreError;

/// Seconds for one operation with all its tries: more than the server gives a statement, and less than clients wait.
/// A wire that is dead, or a server that hangs, says nothing at all.
pub(super) const OPERATION_SECONDS: u64 = 20;
/// Seconds for what reads everything or waits for another node's migration.
const LONG_OPERATION_SECONDS: u64 = 6 * 3600;
/// Tries in all, where one met a conflict or a connection that was dead before anything happened.
const TRIES: u32 = 8;

/// A connection, with its prepared statements.
pub(super) type Connection = ClientWrapper;

/// What an operation is, as it runs.
pub(super) type Running<'c, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'c>>;

/// What stands around an operation's statements.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Around {
    /// Nothing: it is one reading statement.
    Nothing,
    /// A transaction that reads one state of the database.
    Snapshot,
    /// A transaction that changes it.
    Transaction,
    /// What the operation itself begins and commits, in the same round trips as its statements.
    Own,
}

impl Around {
    fn begin(self) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::Own => None,
            Self::Snapshot => Some("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            Self::Transaction => Some("BEGIN"),
        }
    }

    fn only_reads(self) -> bool {
        matches!(self, Self::Nothing | Self::Snapshot)
    }
}

/// Runs an operation to its end.
pub(super) async fn run<T, F>(pool: &Pool, around: Around, operation: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: for<'c> Fn(&'c Connection) -> Running<'c, T> + Send + Sync + 'static,
{
    run_within(pool, around, Duration::from_secs(OPERATION_SECONDS), operation).await
}

/// The same for what may take hours. It has to lift the server's limit on statements itself.
pub(super) async fn run_long<T, F>(pool: &Pool, around: Around, operation: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: for<'c> Fn(&'c Connection) -> Running<'c, T> + Send + Sync + 'static,
{
    run_within(pool, around, Duration::from_secs(LONG_OPERATION_SECONDS), operation).await
}

async fn run_within<T, F>(pool: &Pool, around: Around, limit: Duration, operation: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: for<'c> Fn(&'c Connection) -> Running<'c, T> + Send + Sync + 'static,
{
    let pool = pool.clone();
    let task = tokio::spawn(async move {
        match tokio::time::timeout(limit, tries(&pool, around, &operation)).await {
            Ok(result) => result.map_err(StoreError::from),
            Err(_) => Err(no_answer(limit)),
        }
    });
    match task.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(broken("an operation panicked")),
        Err(_) => Err(StoreError::Unavailable("the runtime stops".into())),
    }
}

/// Nothing was heard for so long. What was asked for may be done or not.
pub(super) fn no_answer(limit: Duration) -> StoreError {
    StoreError::Unavailable(format!("no answer within {} s", limit.as_secs()).into())
}

async fn tries<T, F>(pool: &Pool, around: Around, operation: &F) -> Result<T, Failure>
where
    F: for<'c> Fn(&'c Connection) -> Running<'c, T>,
{
    let mut left = TRIES;
    loop {
        left -= 1;
        let (failure, nothing_happened) = match attempt(pool, around, operation).await {
            Ok(done) => return Ok(done),
            Err(failed) => failed,
        };
        let again = failure.is_conflict() || (nothing_happened && failure.lost_connection());
        if !again || left == 0 {
            return Err(failure);
        }
        tracing::debug!(?failure, left, "trying again");
    }
}

/// One try: the result, or the failure and whether it is certain that nothing happened.
async fn attempt<T, F>(pool: &Pool, around: Around, operation: &F) -> Result<T, (Failure, bool)>
where
    F: for<'c> Fn(&'c Connection) -> Running<'c, T>,
{
    // That no connection can be had won't be mended by trying eight times at once.
    let connection = match pool.get().await {
        Ok(object) => Borrowed(Some(object)),
        Err(error) => return Err((StoreError::from(Failure::from(error)).into(), true)),
    };
    let Some(client) = connection.0.as_ref() else { return Err((broken("a connection vanished").into(), true)) };
    if plans_are_stale(client) {
        client.batch_execute("DISCARD PLANS").await.map_err(|error| (error.into(), true))?;
    }
    let (begun, result) = match around.begin() {
        // Sent together: the first statement doesn't wait for the answer to BEGIN.
        Some(begin) => tokio::join!(biased; client.batch_execute(begin), operation(client)),
        None => (Ok(()), operation(client).await),
    };
    if let Err(error) = begun {
        return Err((error.into(), true));
    }
    let result = match result {
        Ok(done) if around.begin().is_some() => match client.batch_execute("COMMIT").await {
            Ok(()) => Ok(done),
            Err(error) => return Err((error.into(), around.only_reads())),
        },
        Ok(done) => Ok(done),
        Err(failure) if failure.lost_connection() => return Err((failure, around.only_reads())),
        Err(failure) => {
            if around != Around::Nothing && client.batch_execute("ROLLBACK").await.is_err() {
                return Err((failure, true));
            }
            Err((failure, true))
        }
    };
    connection.give_back();
    result
}

/// Whether the plans of a connection's statements are to be made anew: whenever its uses have doubled. A
/// table that was empty when a plan was made may be large by now, and then the plan reads all of an
/// account. PostgreSQL notices that by itself only when it analyzes the table, minutes later.
fn plans_are_stale(connection: &Object) -> bool {
    let uses = Object::metrics(connection).recycle_count;
    uses >= 8 && uses.is_power_of_two()
}

/// A connection that goes back to the pool only when it is said to be in order.
struct Borrowed(Option<Object>);

impl Borrowed {
    fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}
