//! What waits to be delivered.

use giftd_domain::Timestamp;
use rusqlite::Connection;

use super::rows::{Column, unsigned};
use crate::{Backlog, StoreError};

/// Deliveries that are due and not claimed.
pub(super) fn backlog(connection: &Connection, now: Timestamp) -> Result<Backlog, StoreError> {
    let (due, oldest): (i64, Option<Column<Timestamp>>) = connection
        .prepare_cached("SELECT COUNT(*), MIN(run_at) FROM mails WHERE run_at <= ?1")?
        .query_row([Column(now)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Backlog { due: unsigned(due)?, oldest_due: oldest.map(|at| at.0) })
}
