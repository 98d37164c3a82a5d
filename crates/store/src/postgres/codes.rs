//! Codes that an operator imported.

use giftd_domain::Timestamp;
use giftd_domain::gifts::redemption::{NewCode, RedemptionId, Sealed, Stock};
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::Failure;
use super::operation::Connection;
use super::rows::{Columns as _, micros};
use crate::CodesImport;

/// What the locks of redemptions begin with, so that they meet no others: `code` in ASCII.
const LOCK: i32 = 0x636f_6465;

/// Adds those that aren't there. Inside a transaction.
pub(super) async fn import_codes(
    connection: &Connection,
    product_id: &str,
    codes: &[NewCode],
    now: Timestamp,
) -> Result<CodesImport, Failure> {
    let statement = connection
        .prepare_cached(
            "WITH added AS (
                INSERT INTO codes (hash, product_id, face_value, sealed, key_id, imported_at)
                SELECT w.hash, $5, w.face_value, w.sealed, w.key_id, $6
                FROM unnest($1::BYTEA[], $2::BIGINT[], $3::BYTEA[], $4::TEXT[]) AS w (hash, face_value, sealed, key_id)
                ON CONFLICT (hash) DO NOTHING RETURNING face_value),
             counted AS (
                INSERT INTO code_stock AS s (product_id, face_value, available, handed_out)
                SELECT $5, face_value, COUNT(*), 0 FROM added GROUP BY face_value ORDER BY face_value
                ON CONFLICT (product_id, face_value) DO UPDATE SET available = s.available + excluded.available)
             SELECT COUNT(*) AS imported FROM added",
        )
        .await?;
    // In one order, so that two imports of the same codes don't wait for each other.
    let mut codes: Vec<&NewCode> = codes.iter().collect();
    codes.sort_by_key(|code| code.hash);
    let hashes: Vec<&[u8]> = codes.iter().map(|code| code.hash.as_slice()).collect();
    let values: Vec<i64> = codes.iter().map(|code| code.face_value).collect();
    let sealed: Vec<&[u8]> = codes.iter().map(|code| code.sealed.bytes.as_slice()).collect();
    let keys: Vec<&str> = codes.iter().map(|code| code.sealed.key_id.as_str()).collect();
    let row = connection.query_one(&statement, &[&hashes, &values, &sealed, &keys, &product_id, &micros(now)]).await?;
    let imported: u64 = row.count("imported")?;
    let all = u64::try_from(codes.len()).unwrap_or(u64::MAX);
    Ok(CodesImport { imported, skipped: all.saturating_sub(imported) })
}

/// The code of a redemption: the one that it has, or the oldest in stock. Inside a transaction.
pub(super) async fn take_code(
    connection: &Connection,
    product_id: &str,
    face_value: i64,
    redemption: RedemptionId,
    now: Timestamp,
) -> Result<Option<Sealed>, Failure> {
    let id = Uuid::from_u128(redemption.0);
    // Whoever asks for the same redemption waits here, and then sees the code that it got.
    let (first, ..) = id.as_fields();
    connection.execute("SELECT pg_advisory_xact_lock($1, $2)", &[&LOCK, &first.cast_signed()]).await?;
    let known = connection
        .prepare_cached(
            "SELECT product_id = $2 AND face_value = $3 AS is_asked_for, sealed, key_id
             FROM codes WHERE redemption_id = $1",
        )
        .await?;
    if let Some(row) = connection.query_opt(&known, &[&id, &product_id, &face_value]).await? {
        // One that was handed out to this redemption for something else isn't what is asked for.
        return if row.value("is_asked_for")? { sealed(&row).map(Some) } else { Ok(None) };
    }
    let Some(row) = oldest(connection, product_id, face_value).await? else { return Ok(None) };
    let hand_out = connection
        .prepare_cached(
            "WITH stock AS (
                UPDATE code_stock SET available = available - 1, handed_out = handed_out + 1
                WHERE product_id = $4 AND face_value = $5)
             UPDATE codes SET redemption_id = $2, handed_out_at = $3 WHERE hash = $1",
        )
        .await?;
    let hash: &[u8] = row.value("hash")?;
    connection.execute(&hand_out, &[&hash, &id, &micros(now), &product_id, &face_value]).await?;
    sealed(&row).map(Some)
}

/// Locks the oldest code in stock that nobody else is about to hand out. Where all are, it waits: only what
/// is surely gone is none.
async fn oldest(connection: &Connection, product_id: &str, face_value: i64) -> Result<Option<Row>, Failure> {
    for wait in ["SKIP LOCKED", ""] {
        let statement = connection
            .prepare_cached(&format!(
                "SELECT hash, sealed, key_id FROM codes
                 WHERE product_id = $1 AND face_value = $2 AND redemption_id IS NULL
                 ORDER BY imported_at LIMIT 1 FOR UPDATE {wait}"
            ))
            .await?;
        let found = connection.query_opt(&statement, &[&product_id, &face_value]).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn sealed(row: &Row) -> Result<Sealed, Failure> {
    Ok(Sealed { key_id: row.value("key_id")?, bytes: row.value("sealed")? })
}

/// Takes back the code of a redemption that was released before it got it. Inside a transaction.
pub(super) async fn put_back(connection: &Connection, redemption: RedemptionId) -> Result<(), Failure> {
    let statement = connection
        .prepare_cached(
            "WITH code AS (
                UPDATE codes SET redemption_id = NULL, handed_out_at = NULL WHERE redemption_id = $1
                RETURNING product_id, face_value)
             UPDATE code_stock SET available = available + 1, handed_out = handed_out - 1
             FROM code WHERE (code_stock.product_id, code_stock.face_value) = (code.product_id, code.face_value)",
        )
        .await?;
    connection.execute(&statement, &[&Uuid::from_u128(redemption.0)]).await?;
    Ok(())
}

/// All codes, counted.
pub(super) async fn stock(connection: &Connection) -> Result<Vec<Stock>, Failure> {
    let statement = connection
        .prepare_cached(
            "SELECT product_id, face_value, available, handed_out FROM code_stock
             ORDER BY product_id COLLATE \"C\", face_value",
        )
        .await?;
    let stock = |row: &Row| {
        Ok(Stock {
            product_id: row.value("product_id")?,
            face_value: row.value("face_value")?,
            available: row.count("available")?,
            handed_out: row.count("handed_out")?,
        })
    };
    connection.query(&statement, &[]).await?.iter().map(stock).collect()
}
