//! Fingerprints of the keys that the database was written with.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::group::Group;
use crate::StoreError;

/// By key name.
pub(super) fn key_fingerprints(connection: &Connection) -> Result<BTreeMap<String, String>, StoreError> {
    let found = connection
        .prepare_cached("SELECT name, fingerprint FROM keys")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// Records fingerprints where there are none.
pub(super) fn record_key_fingerprints(
    group: &Group<'_>,
    fingerprints: &BTreeMap<String, String>,
) -> Result<bool, StoreError> {
    if !key_fingerprints(group.connection())?.is_empty() {
        return Ok(false);
    }
    for (name, fingerprint) in fingerprints {
        group
            .connection()
            .prepare_cached("INSERT INTO keys (name, fingerprint) VALUES (?1, ?2)")?
            .execute([name, fingerprint])?;
    }
    Ok(true)
}
