//! Which orders of a history are wanted.

use super::Days;
use crate::orders::{CardType, OrderStatus, OrderType};

/// Which orders are wanted; all that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Of this type.
    pub order_type: Option<OrderType>,
    /// Of this kind of card.
    pub card_type: Option<CardType>,
    /// In this state.
    pub status: Option<OrderStatus>,
    /// Placed on these days.
    pub days: Days,
    /// With this in the card's name or the creator's, whatever the case.
    pub keyword: Option<String>,
    /// With exactly this idempotency key.
    pub client_order_id: Option<String>,
}

/// What orders have in common: few distinct ones in an account, however many orders.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderKind {
    /// The type.
    pub order_type: OrderType,
    /// The kind of card.
    pub card_type: CardType,
    /// The card's name.
    pub card_name: String,
    /// Who placed it.
    pub creator: String,
}

impl OrderFilter {
    /// Whether orders of this kind can match.
    pub fn takes(&self, kind: &OrderKind) -> bool {
        let holds = |keyword: &String| {
            let keyword = crate::text::folded(keyword);
            crate::text::folded(&kind.card_name).contains(&keyword)
                || crate::text::folded(&kind.creator).contains(&keyword)
        };
        self.order_type.is_none_or(|wanted| wanted == kind.order_type)
            && self.card_type.is_none_or(|wanted| wanted == kind.card_type)
            && self.keyword.as_ref().is_none_or(holds)
    }

    /// Whether every kind of order matches.
    pub fn takes_all_kinds(&self) -> bool {
        self.order_type.is_none() && self.card_type.is_none() && self.keyword.is_none()
    }
}

/// Kinds of an account's orders, by their numbers, which count up from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindSet(Vec<u8>);

impl KindSet {
    /// Adds the kind of a number.
    pub fn insert(&mut self, kind: i64) {
        if let Some((byte, bit)) = Self::place(kind) {
            if self.0.len() <= byte {
                self.0.resize(byte.saturating_add(1), 0);
            }
            if let Some(bits) = self.0.get_mut(byte) {
                *bits |= bit;
            }
        }
    }

    /// Whether it has the kind of a number.
    pub fn contains(&self, kind: i64) -> bool {
        Self::place(kind).is_some_and(|(byte, bit)| self.0.get(byte).is_some_and(|bits| bits & bit != 0))
    }

    /// The numbers.
    pub fn numbers(&self) -> impl Iterator<Item = i64> {
        let bits = i64::try_from(self.0.len()).unwrap_or(i64::MAX).saturating_mul(8);
        (0..bits).filter(|kind| self.contains(*kind))
    }

    /// As bits, the first the lowest of the first byte, enough of them for kinds up to `last`.
    pub fn bits(&self, last: i64) -> Vec<u8> {
        let mut bits = self.0.clone();
        let bytes = Self::place(last).map_or(0, |(byte, _)| byte.saturating_add(1));
        bits.resize(bits.len().max(bytes), 0);
        bits
    }

    fn place(kind: i64) -> Option<(usize, u8)> {
        let kind = usize::try_from(kind).ok()?;
        Some((kind / 8, 1 << (kind % 8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_the_kinds_that_were_added() {
        let mut set = KindSet::default();
        assert!(!set.contains(1));
        [1, 9, 4_000].into_iter().for_each(|kind| set.insert(kind));
        assert_eq!(set.numbers().collect::<Vec<_>>(), [1, 9, 4_000]);
        assert!(set.contains(9) && !set.contains(8) && !set.contains(-1) && !set.contains(i64::MAX));
        let bits = set.bits(4_800);
        assert_eq!((bits.len(), bits.get(..2), bits.get(500)), (601, Some([0b10, 0b10].as_slice()), Some(&1)));
    }
}
