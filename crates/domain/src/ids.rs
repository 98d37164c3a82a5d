//! Names of things.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use ulid::Ulid;

use crate::orders::OrderType;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            /// Decimal digits, without sign or leading zeros.
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let number: i64 = text.parse().map_err(|_| NotAnId)?;
                if number < 1 || number.to_string() != text { Err(NotAnId) } else { Ok(Self(number)) }
            }
        }
    };
}

number_id! {
    /// An organization.
    OrganizationId
}
number_id! {
    /// An organization's account in one environment: the owner of balance, orders and keys. Only inside.
    AccountId
}
number_id! {
    /// An email template of an account.
    TemplateId
}

/// A text that is no id of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct NotAnId;

/// A time-ordered id: 48 bits of milliseconds and 80 random ones. Within an account each is larger
/// than all before, so that it is at once the key, the order of placing and the instant of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeId(Ulid);

impl TimeId {
    /// The id after `last`, at `now` or, where the clock stepped back, at `last`'s instant. None once
    /// 2^80 ids were made in a millisecond.
    pub fn next(last: Option<Self>, now: Timestamp, entropy: u128) -> Option<Self> {
        let candidate = Self(Ulid::from_parts(u64::try_from(now.as_millisecond()).unwrap_or(0), entropy));
        match last {
            Some(last) if candidate <= last => last.0.increment().ok().map(Self),
            _ => Some(candidate),
        }
    }

    /// The smallest id of an instant; instants before 1970 count as 1970.
    pub fn first_at(instant: Timestamp) -> Self {
        Self(Ulid::from_parts(u64::try_from(instant.as_millisecond()).unwrap_or(0), 0))
    }

    /// When it was made, in whole milliseconds.
    pub fn created_at(self) -> Timestamp {
        let milliseconds = i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
    }

    /// As 128 bits, whose order is the ids' order.
    pub fn to_bits(self) -> u128 {
        self.0.0
    }

    /// From [`Self::to_bits`].
    pub fn from_bits(bits: u128) -> Self {
        Self(Ulid(bits))
    }
}

/// 26 characters of Crockford's base 32, in the ids' order.
impl fmt::Display for TimeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TimeId {
    type Err = NotAnId;

    /// Only as printed: no small letters, no look-alikes.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let id = Ulid::from_string(text).map_err(|_| NotAnId)?;
        if id.to_string() == text { Ok(Self(id)) } else { Err(NotAnId) }
    }
}

/// An order's id: two letters for its type, then a time-ordered id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId {
    /// The order's type.
    pub order_type: OrderType,
    /// What tells it from all others, and when it was placed.
    pub time: TimeId,
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.order_type.prefix(), self.time)
    }
}

impl FromStr for OrderId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (prefix, time) = text.split_at_checked(2).ok_or(NotAnId)?;
        Ok(Self { order_type: OrderType::from_prefix(prefix).ok_or(NotAnId)?, time: time.parse()? })
    }
}

/// One gift: an order and the position of its recipient in it, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GiftId {
    /// The order.
    pub order: OrderId,
    /// The recipient's position, from 1.
    pub position: u32,
}

/// One gift as the database has it: without its order's type, which the database knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GiftKey {
    /// The account that placed the order.
    pub account_id: AccountId,
    /// The order.
    pub order: TimeId,
    /// The recipient's position, from 1.
    pub position: u32,
}

/// The `recipientId` on the wire: `OT01K3V9…-00001`.
impl fmt::Display for GiftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:05}", self.order, self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_an_account_increase_also_within_a_millisecond_and_when_the_clock_steps_back() {
        let now = Timestamp::from_millisecond(1_763_800_000_000).expect("an instant");
        let first = TimeId::next(None, now, u128::MAX >> 50).expect("an id");
        let second = TimeId::next(Some(first), now, 0).expect("an id");
        let earlier = Timestamp::from_millisecond(1_763_700_000_000).expect("an instant");
        let third = TimeId::next(Some(second), earlier, 0).expect("an id");
        assert!(first < second && second < third);
        assert_eq!(third.created_at(), now);
        assert!(first.to_string() < second.to_string());
    }

    #[test]
    fn an_order_id_reads_back_only_as_printed() {
        let id = OrderId { order_type: OrderType::OneTime, time: TimeId::from_bits(7 << 80) };
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [
            id.to_string().to_lowercase(),
            format!("XX{}", id.time),
            format!("{id}0"),
            String::new(),
            "OT\0".to_owned(),
        ] {
            assert_eq!(wrong.parse::<OrderId>(), Err(NotAnId), "{wrong}");
        }
        for wrong in ["0", "012", "+1", "-1", "1.0", "", "99999999999999999999"] {
            assert_eq!(wrong.parse::<TemplateId>(), Err(NotAnId), "{wrong}");
        }
    }
}
