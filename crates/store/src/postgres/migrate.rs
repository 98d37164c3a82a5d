//! The schema: brought up to date by whichever node is first, while the others wait for it.

use deadpool_postgres::Pool;
use tokio_postgres::error::SqlState;

use super::error::Failure;
use super::operation::{Around, Connection, run, run_long};
use crate::{StoreError, migrations};

/// The lock that migrating nodes queue at: `giftd` in ASCII.
const LOCK: i64 = 0x0067_6966_7464;

/// Applies the migrations that are missing. Where none is, nothing is locked or written.
pub(super) async fn migrate(pool: &Pool) -> Result<(), StoreError> {
    match ready(pool).await {
        Err(StoreError::Schema(_)) => {}
        settled => return settled,
    }
    run_long(pool, Around::Transaction, |connection| Box::pin(apply_missing(connection))).await
}

/// Whether the schema is exactly this binary's.
pub(super) async fn ready(pool: &Pool) -> Result<(), StoreError> {
    let applied = run(pool, Around::Nothing, |connection| Box::pin(last_applied(connection))).await?;
    let latest = migrations::latest();
    match applied {
        applied if applied == latest => Ok(()),
        applied if applied > latest => Err(newer(applied)),
        applied => Err(StoreError::Schema(format!("it is at step {applied} of {latest}").into())),
    }
}

fn newer(applied: i64) -> StoreError {
    StoreError::Schema(format!("it is at step {applied}, this giftd knows {}", migrations::latest()).into())
}

/// Not prepared, so that an answer from before the first migration is not remembered.
async fn last_applied(connection: &Connection) -> Result<i64, Failure> {
    match connection.query_typed("SELECT COALESCE(MAX(number), 0) FROM schema_migrations", &[]).await {
        Ok(rows) => Ok(rows.first().map_or(Ok(0), |row| row.try_get(0))?),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

async fn apply_missing(connection: &Connection) -> Result<(), Failure> {
    connection
        .batch_execute(&format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({LOCK});
             CREATE TABLE IF NOT EXISTS schema_migrations (
                number BIGINT PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())"
        ))
        .await?;
    // Under the lock: what another node did while this one waited is seen.
    let applied = last_applied(connection).await?;
    if applied > migrations::latest() {
        return Err(newer(applied).into());
    }
    for migration in migrations::ALL.iter().filter(|migration| migration.number > applied) {
        connection.batch_execute(migration.postgres).await?;
        connection
            .batch_execute(&format!("INSERT INTO schema_migrations (number) VALUES ({})", migration.number))
            .await?;
        tracing::info!(number = migration.number, "migrated");
    }
    Ok(())
}
