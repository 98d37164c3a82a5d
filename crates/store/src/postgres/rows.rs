//! Between rows and the domain's types.

use std::fmt::Display;
use std::str::FromStr;

use giftd_domain::Timestamp;
use giftd_domain::ids::TimeId;
use giftd_domain::money::Currency;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};
use uuid::Uuid;

use super::error::{Failure, broken};
use crate::StoreError;

/// The parameters of a statement.
pub(super) type Parameters<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// Reading columns by name; what a column can't hold is [`StoreError::Broken`].
pub(super) trait Columns {
    /// A column whose type PostgreSQL knows.
    fn value<'r, T: FromSql<'r>>(&'r self, column: &str) -> Result<T, Failure>;

    /// An enum or another type by its text.
    fn named<T: FromStr>(&self, column: &str) -> Result<T, Failure>;

    /// The same, where it may be null.
    fn optional_named<T: FromStr>(&self, column: &str) -> Result<Option<T>, Failure>;

    /// A count or position.
    fn count<T: TryFrom<i64>>(&self, column: &str) -> Result<T, Failure>;

    /// An instant.
    fn instant(&self, column: &str) -> Result<Timestamp, Failure>;

    /// The same, where it may be null.
    fn optional_instant(&self, column: &str) -> Result<Option<Timestamp>, Failure>;

    /// A time-ordered id.
    fn id(&self, column: &str) -> Result<TimeId, Failure>;

    /// A currency by its code.
    fn currency(&self, column: &str) -> Result<Currency, Failure> {
        self.named(column)
    }
}

impl Columns for Row {
    fn value<'r, T: FromSql<'r>>(&'r self, column: &str) -> Result<T, Failure> {
        Ok(self.try_get(column)?)
    }

    fn named<T: FromStr>(&self, column: &str) -> Result<T, Failure> {
        self.optional_named(column)?.ok_or_else(|| impossible(column, "null"))
    }

    fn optional_named<T: FromStr>(&self, column: &str) -> Result<Option<T>, Failure> {
        let text: Option<&str> = self.try_get(column)?;
        text.map(|text| text.parse().map_err(|_| impossible(column, text))).transpose()
    }

    fn count<T: TryFrom<i64>>(&self, column: &str) -> Result<T, Failure> {
        let count: i64 = self.try_get(column)?;
        T::try_from(count).map_err(|_| impossible(column, count))
    }

    fn instant(&self, column: &str) -> Result<Timestamp, Failure> {
        instant(column, self.try_get(column)?)
    }

    fn optional_instant(&self, column: &str) -> Result<Option<Timestamp>, Failure> {
        let at: Option<i64> = self.try_get(column)?;
        at.map(|at| instant(column, at)).transpose()
    }

    fn id(&self, column: &str) -> Result<TimeId, Failure> {
        Ok(time_id(self.try_get(column)?))
    }
}

fn instant(column: &str, micros: i64) -> Result<Timestamp, Failure> {
    Timestamp::from_microsecond(micros).map_err(|_| impossible(column, micros))
}

fn impossible(column: &str, value: impl Display) -> Failure {
    broken(format!("column {column} holds {value}")).into()
}

/// An instant as a column.
pub(super) fn micros(instant: Timestamp) -> i64 {
    instant.as_microsecond()
}

/// An instant as it is read back from a column.
pub(super) fn kept(at: Timestamp) -> Result<Timestamp, Failure> {
    instant("of an instant", micros(at))
}

/// A time-ordered id as a column, whose order is the ids'.
pub(super) fn uuid(id: TimeId) -> Uuid {
    Uuid::from_u128(id.to_bits())
}

/// A time-ordered id from a column.
pub(super) fn time_id(uuid: Uuid) -> TimeId {
    TimeId::from_bits(uuid.as_u128())
}

/// The name of an enum's variant, as the wire and the database have it.
pub(super) fn name(variant: impl Into<&'static str>) -> &'static str {
    variant.into()
}

/// A count as a column.
pub(super) fn signed(count: impl TryInto<i64>) -> Result<i64, StoreError> {
    count.try_into().map_err(|_| broken("a count leaves 64 bits"))
}

/// Whether PostgreSQL could hold the text at all. It can't hold U+0000, so nothing that has one is found.
pub(super) fn storable(text: &str) -> bool {
    !text.contains('\0')
}

/// A text from outside as PostgreSQL can hold it: a mail server's answer, for one, may be anything.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
