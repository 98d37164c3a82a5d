//! Between rows and the domain's types.

use std::str::FromStr;

use giftd_domain::Timestamp;
use giftd_domain::gifts::redemption::RedemptionId;
use giftd_domain::ids::TimeId;
use giftd_domain::money::Currency;
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use super::error::broken;
use crate::StoreError;

/// A type that rusqlite doesn't know, as a column.
pub(super) struct Column<T>(pub T);

impl ToSql for Column<TimeId> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.to_bits().to_be_bytes().to_vec()))
    }
}

impl FromSql for Column<TimeId> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|bytes| Self(TimeId::from_bits(u128::from_be_bytes(bytes))))
    }
}

impl ToSql for Column<RedemptionId> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.0.to_be_bytes().to_vec()))
    }
}

impl FromSql for Column<RedemptionId> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|bytes| Self(RedemptionId(u128::from_be_bytes(bytes))))
    }
}

impl ToSql for Column<Timestamp> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.as_microsecond()))
    }
}

impl FromSql for Column<Timestamp> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Timestamp::from_microsecond(value.as_i64()?).map(Self).map_err(|_| FromSqlError::InvalidType)
    }
}

impl FromSql for Column<Currency> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Currency::from_code(value.as_str()?).map(Self).ok_or(FromSqlError::InvalidType)
    }
}

/// An enum or another type by its text.
pub(super) struct Named<T>(pub T);

impl<T: FromStr> FromSql for Named<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(|_| FromSqlError::InvalidType)
    }
}

/// An instant of a row that may have none.
pub(super) fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<Column<Timestamp>>>(column)?.map(|at| at.0))
}

/// An instant as a row keeps it: in whole microseconds.
pub(super) fn kept(instant: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(instant.as_microsecond()).unwrap_or(instant)
}

/// The name of an enum's variant, as the wire and the database have it.
pub(super) fn name(variant: impl Into<&'static str>) -> &'static str {
    variant.into()
}

/// A count as the domain has it.
pub(super) fn unsigned<T: TryFrom<i64>>(count: i64) -> Result<T, StoreError> {
    T::try_from(count).map_err(|_| broken(format!("{count} is no count")))
}

/// A count as SQLite has it.
pub(super) fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
