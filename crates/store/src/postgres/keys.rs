//! Fingerprints of the keys that the database was written with.

use std::collections::BTreeMap;

use super::error::Failure;
use super::operation::Connection;
use super::rows::Columns as _;

/// By key name.
pub(super) async fn key_fingerprints(connection: &Connection) -> Result<BTreeMap<String, String>, Failure> {
    let statement = connection.prepare_cached("SELECT name, fingerprint FROM keys").await?;
    let rows = connection.query(&statement, &[]).await?;
    rows.iter().map(|row| Ok((row.value("name")?, row.value("fingerprint")?))).collect()
}

/// Records fingerprints where there are none. Inside a transaction.
pub(super) async fn record_key_fingerprints(
    connection: &Connection,
    fingerprints: &BTreeMap<String, String>,
) -> Result<bool, Failure> {
    // Readers may go on; another node that records waits.
    connection.batch_execute("LOCK TABLE keys IN SHARE ROW EXCLUSIVE MODE").await?;
    if !key_fingerprints(connection).await?.is_empty() {
        return Ok(false);
    }
    let (names, values): (Vec<&str>, Vec<&str>) =
        fingerprints.iter().map(|(name, value)| (name.as_str(), value.as_str())).unzip();
    let statement = connection
        .prepare_cached("INSERT INTO keys (name, fingerprint) SELECT * FROM unnest($1::TEXT[], $2::TEXT[])")
        .await?;
    connection.execute(&statement, &[&names, &values]).await?;
    Ok(true)
}
