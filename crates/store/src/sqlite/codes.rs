//! Codes that an operator imported.

use giftd_domain::Timestamp;
use giftd_domain::gifts::redemption::{NewCode, RedemptionId, Sealed, Stock};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::group::Group;
use super::rows::{Column, unsigned};
use crate::{CodesImport, StoreError};

/// Adds those that aren't there.
pub(super) fn import_codes(
    group: &Group<'_>,
    product_id: &str,
    codes: &[NewCode],
    now: Timestamp,
) -> Result<CodesImport, StoreError> {
    let mut import = CodesImport::default();
    for NewCode { hash, face_value, sealed } in codes {
        let added = group
            .connection()
            .prepare_cached(
                "INSERT INTO codes (hash, product_id, face_value, sealed, key_id, imported_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (hash) DO NOTHING",
            )?
            .execute(params![hash, product_id, face_value, sealed.bytes, sealed.key_id, Column(now)])?;
        if added == 0 {
            import.skipped += 1;
            continue;
        }
        import.imported += 1;
        group
            .connection()
            .prepare_cached(
                "INSERT INTO code_stock (product_id, face_value, available, handed_out) VALUES (?1, ?2, 1, 0)
                 ON CONFLICT DO UPDATE SET available = available + 1",
            )?
            .execute(params![product_id, face_value])?;
    }
    Ok(import)
}

/// The code of a redemption: the one that it has, or the oldest in stock.
pub(super) fn take_code(
    group: &Group<'_>,
    product_id: &str,
    face_value: i64,
    redemption: RedemptionId,
    now: Timestamp,
) -> Result<Option<Sealed>, StoreError> {
    // One that was handed out to this redemption for something else isn't what is asked for.
    let known: Option<Option<Sealed>> = group
        .connection()
        .prepare_cached(
            "SELECT product_id = ?2 AND face_value = ?3, sealed, key_id
             FROM codes INDEXED BY codes_by_redemption WHERE redemption_id = ?1",
        )?
        .query_row(params![Column(redemption), product_id, face_value], |row| {
            let sealed = Sealed { bytes: row.get(1)?, key_id: row.get(2)? };
            Ok(row.get::<_, bool>(0)?.then_some(sealed))
        })
        .optional()?;
    if let Some(known) = known {
        return Ok(known);
    }
    let taken = group
        .connection()
        .prepare_cached(
            "UPDATE codes SET redemption_id = ?3, handed_out_at = ?4
             WHERE hash = (SELECT hash FROM codes INDEXED BY codes_in_stock
                WHERE product_id = ?1 AND face_value = ?2 AND redemption_id IS NULL ORDER BY imported_at LIMIT 1)
             RETURNING sealed, key_id",
        )?
        .query_row(params![product_id, face_value, Column(redemption), Column(now)], |row| {
            Ok(Sealed { bytes: row.get(0)?, key_id: row.get(1)? })
        })
        .optional()?;
    if taken.is_some() {
        group
            .connection()
            .prepare_cached(
                "UPDATE code_stock SET available = available - 1, handed_out = handed_out + 1
                 WHERE product_id = ?1 AND face_value = ?2",
            )?
            .execute(params![product_id, face_value])?;
    }
    Ok(taken)
}

/// Takes back the code of a redemption that was released before it got it.
pub(super) fn put_back(group: &Group<'_>, redemption: RedemptionId) -> Result<(), StoreError> {
    let put_back: Option<(String, i64)> = group
        .connection()
        .prepare_cached(
            "UPDATE codes SET redemption_id = NULL, handed_out_at = NULL WHERE redemption_id = ?1
             RETURNING product_id, face_value",
        )?
        .query_row([Column(redemption)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((product_id, face_value)) = put_back {
        group
            .connection()
            .prepare_cached(
                "UPDATE code_stock SET available = available + 1, handed_out = handed_out - 1
                 WHERE product_id = ?1 AND face_value = ?2",
            )?
            .execute(params![product_id, face_value])?;
    }
    Ok(())
}

/// All codes, counted.
pub(super) fn stock(connection: &Connection) -> Result<Vec<Stock>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT product_id, face_value, available, handed_out FROM code_stock ORDER BY product_id, face_value",
    )?;
    let mut rows = statement.query([])?;
    let mut stock = Vec::new();
    while let Some(row) = rows.next()? {
        stock.push(Stock {
            product_id: row.get(0)?,
            face_value: row.get(1)?,
            available: unsigned(row.get(2)?)?,
            handed_out: unsigned(row.get(3)?)?,
        });
    }
    Ok(stock)
}
