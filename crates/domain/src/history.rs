//! How a history of ten million rows is paged without reading it.
//!
//! Each row counts in three spans: its UTC day, its month, and all time. Totals are sums of counts.
//! A deep page is found by walking the counts to the days that hold it, and reading only these.

use std::ops::RangeInclusive;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use crate::ids::TimeId;
use crate::orders::{CardType, OrderStatus, OrderType};

/// A span that rows are counted in: 0 is all time, `yyyymm` a month, `yyyymmdd` a day, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

impl Span {
    /// All time.
    pub const ALL: Self = Self(0);
    /// Every month that can be.
    pub const MONTHS: RangeInclusive<Self> = Self(101)..=Self(999_912);

    /// The day of an instant.
    pub fn day(instant: Timestamp) -> Self {
        Self::of_date(TimeZone::UTC.to_datetime(instant).date())
    }

    /// The day of a date.
    pub fn of_date(date: Date) -> Self {
        let (year, month, day) = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
        Self(year.saturating_mul(10_000).saturating_add(month.saturating_mul(100)).saturating_add(day))
    }

    /// The month of a day.
    pub fn month(self) -> Self {
        Self(self.0.checked_div(100).unwrap_or(0))
    }

    /// Whether it is a day, not a month or all time.
    pub fn is_day(self) -> bool {
        self > *Self::MONTHS.end()
    }

    /// The days that a month can have.
    pub fn days_of_month(self) -> RangeInclusive<Self> {
        let first = self.0.saturating_mul(100).saturating_add(1);
        Self(first)..=Self(first.saturating_add(30))
    }

    /// The three spans that a row of `id` counts in.
    pub fn all_of(id: TimeId) -> [Self; 3] {
        let day = Self::day(id.created_at());
        [Self::ALL, day.month(), day]
    }

    /// The ids of a day: from the first up to, but without, the second.
    pub fn ids_of_day(self) -> (TimeId, TimeId) {
        let date = i16::try_from(self.0.checked_div(10_000).unwrap_or(0))
            .ok()
            .zip(i8::try_from(self.0.checked_div(100).and_then(|m| m.checked_rem(100)).unwrap_or(0)).ok())
            .zip(i8::try_from(self.0.checked_rem(100).unwrap_or(0)).ok())
            .and_then(|((year, month), day)| Date::new(year, month, day).ok())
            .unwrap_or(Date::MIN);
        let start = midnight(date);
        let end = start.saturating_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
        (TimeId::first_at(start), TimeId::first_at(end))
    }
}

fn midnight(date: Date) -> Timestamp {
    TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).unwrap_or(Timestamp::MIN)
}

/// Days of UTC, both inclusive; open where none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub from: Option<Date>,
    /// The last.
    pub to: Option<Date>,
}

impl Days {
    /// The first day that a row can be of, since ids count from 1970. The numbers of days long before would be those of
    /// months: 201103 is November 2011, and the 3rd of November of the year 20.
    const FIRST: Date = Date::constant(1970, 1, 1);

    /// Spans whose counts add up to these days: at most the days of the first month, whole months, and
    /// the days of the last. None where no row can be.
    pub fn spans(self) -> Vec<RangeInclusive<Span>> {
        if self.from.is_none() && self.to.is_none() {
            return vec![Span::ALL..=Span::ALL];
        }
        let from = self.from.unwrap_or(Self::FIRST).max(Self::FIRST);
        let to = self.to.unwrap_or(Date::MAX);
        if to < from {
            return Vec::new();
        }
        if from.first_of_month() == to.first_of_month() {
            return vec![Span::of_date(from)..=Span::of_date(to)];
        }
        let mut spans = Vec::with_capacity(3);
        let mut first_month = from.first_of_month();
        if from != first_month {
            spans.push(Span::of_date(from)..=Span::of_date(from.last_of_month()));
            first_month = first_month.saturating_add(1.month());
        }
        let mut last_month = to.first_of_month();
        let to_is_month_end = to == to.last_of_month();
        if !to_is_month_end {
            last_month = last_month.saturating_sub(1.month());
        }
        if first_month <= last_month {
            spans.push(Span::of_date(first_month).month()..=Span::of_date(last_month).month());
        }
        if !to_is_month_end {
            spans.push(Span::of_date(to.first_of_month())..=Span::of_date(to));
        }
        spans
    }

    /// The same spans for walking, newest first, and in months where [`Self::spans`] is all time.
    pub fn walk(self) -> Vec<RangeInclusive<Span>> {
        if self == Self::default() {
            return vec![Span::MONTHS];
        }
        let mut spans = self.spans();
        spans.reverse();
        spans
    }

    /// The ids of these days: from the first up to, but without, the second.
    pub fn ids(self) -> (TimeId, TimeId) {
        let first = self.from.map_or(TimeId::from_bits(0), |date| Span::of_date(date).ids_of_day().0);
        let end = self.to.map_or(TimeId::from_bits(u128::MAX), |date| Span::of_date(date).ids_of_day().1);
        (first, end)
    }
}

/// A page that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// From 1.
    pub page: u32,
    /// 1 to 100.
    pub page_size: u32,
}

impl PageRequest {
    /// Rows before the page.
    pub fn offset(self) -> u64 {
        u64::from(self.page.saturating_sub(1)).saturating_mul(u64::from(self.page_size))
    }

    /// Pages that `total` rows make.
    pub fn pages(self, total: u64) -> u64 {
        total.div_ceil(u64::from(self.page_size.max(1)))
    }
}

/// A page of rows, and how many there are in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, newest first.
    pub items: Vec<T>,
    /// All rows that match.
    pub total: u64,
}

/// Rows of one day that belong to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The day.
    pub day: Span,
    /// Matching rows of the day to pass over.
    pub skip: u64,
    /// Matching rows to take after these.
    pub take: u64,
    /// Whether to walk from the day's newest row; from its oldest where that end is nearer, the rows
    /// then being in reverse.
    pub newest_first: bool,
}

/// The parts of `counts` (newest first) that hold rows `offset` up to `offset + size`: each with the
/// matching rows in it that lie before.
pub fn parts<T: Copy>(counts: &[(T, u64)], offset: u64, size: u64) -> Vec<(T, u64, u64)> {
    let end = offset.saturating_add(size);
    let mut before = 0_u64;
    let mut found = Vec::new();
    for &(part, count) in counts {
        let after = before.saturating_add(count);
        if after > offset && before < end {
            found.push((part, before, count));
        }
        before = after;
    }
    found
}

/// The slices of days that make up rows `offset` up to `offset + size` of `counts`, the days newest
/// first with the number of matching rows in each.
pub fn slices(counts: &[(Span, u64)], offset: u64, size: u64) -> Vec<Slice> {
    parts(counts, offset, size)
        .into_iter()
        .map(|(day, before, count)| {
            let first = offset.saturating_sub(before);
            let end = offset.saturating_add(size).saturating_sub(before).min(count);
            let (take, from_oldest) = (end.saturating_sub(first), count.saturating_sub(end));
            if first <= from_oldest {
                Slice { day, skip: first, take, newest_first: true }
            } else {
                Slice { day, skip: from_oldest, take, newest_first: false }
            }
        })
        .collect()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn days(from: &str, to: &str) -> Days {
        let date = |text: &str| (!text.is_empty()).then(|| text.parse().expect("a date"));
        Days { from: date(from), to: date(to) }
    }

    #[test]
    fn spans_add_up_to_the_days() {
        let spans = |from, to| days(from, to).spans().into_iter().map(|r| (r.start().0, r.end().0)).collect::<Vec<_>>();
        assert_eq!(spans("", ""), [(0, 0)]);
        assert_eq!(spans("2026-11-03", "2026-11-20"), [(20261103, 20261120)]);
        assert_eq!(spans("2026-11-03", "2027-01-02"), [(20261103, 20261130), (202612, 202612), (20270101, 20270102)]);
        assert_eq!(spans("2026-11-01", "2026-12-31"), [(202611, 202612)]);
        assert_eq!(spans("2026-11-15", "2026-12-15"), [(20261115, 20261130), (20261201, 20261215)]);
        assert_eq!(spans("2026-11-15", ""), [(20261115, 20261130), (202612, 999912)]);
        assert_eq!(spans("", "2026-01-01"), [(197001, 202512), (20260101, 20260101)]);
    }

    #[test]
    fn days_before_any_row_are_not_taken_for_months() {
        let empty: [RangeInclusive<Span>; 0] = [];
        assert_eq!(days("0020-11-03", "0020-11-20").spans(), empty);
        assert_eq!(days("", "0020-11-20").walk(), empty);
        assert_eq!(days("0001-01-02", "1970-02-28").spans(), [Span(197001)..=Span(197002)]);
    }

    #[test]
    fn a_deep_page_reads_only_the_days_that_hold_it_from_their_nearer_end() {
        let counts = [(Span(20261122), 10), (Span(20261121), 1000), (Span(20261101), 5)];
        assert_eq!(slices(&counts, 0, 10), [Slice { day: Span(20261122), skip: 0, take: 10, newest_first: true }]);
        assert_eq!(
            slices(&counts, 5, 10),
            [
                Slice { day: Span(20261122), skip: 0, take: 5, newest_first: false },
                Slice { day: Span(20261121), skip: 0, take: 5, newest_first: true },
            ]
        );
        assert_eq!(
            slices(&counts, 1000, 100),
            [
                Slice { day: Span(20261121), skip: 0, take: 10, newest_first: false },
                Slice { day: Span(20261101), skip: 0, take: 5, newest_first: true },
            ]
        );
        assert_eq!(slices(&counts, 1015, 100), []);
    }

    #[test]
    fn a_day_is_a_range_of_ids() {
        let (first, end) = Span(20261122).ids_of_day();
        assert_eq!(first.created_at().to_string(), "2026-11-22T00:00:00Z");
        assert_eq!(end.created_at().to_string(), "2026-11-23T00:00:00Z");
        let last = "2026-11-22T23:59:59.999Z".parse().expect("an instant");
        assert!(TimeId::next(None, last, u128::MAX).expect("an id") < end);
        assert_eq!(Span::day(last), Span(20261122));
    }

    proptest::proptest! {
        #[test]
        fn slices_hold_just_the_rows_of_the_page(
            sizes in proptest::collection::vec(0_u64..40, 0..12),
            offset in 0_u64..300,
            size in 1_u64..=100,
        ) {
            let days: Vec<(Span, u64)> = (20_261_101..=20_261_130).rev().map(Span).zip(sizes).collect();
            let rows: Vec<(Span, u64)> =
                days.iter().flat_map(|(day, count)| (0..*count).map(|row| (*day, row))).collect();
            let take = |count: u64| usize::try_from(count).expect("small");
            let wanted: Vec<_> = rows.iter().copied().skip(take(offset)).take(take(size)).collect();
            let mut found = Vec::new();
            for slice in slices(&days, offset, size) {
                let mut of_day: Vec<_> = rows.iter().copied().filter(|(day, _)| *day == slice.day).collect();
                if !slice.newest_first {
                    of_day.reverse();
                }
                let mut part: Vec<_> = of_day.into_iter().skip(take(slice.skip)).take(take(slice.take)).collect();
                if !slice.newest_first {
                    part.reverse();
                }
                found.append(&mut part);
            }
            proptest::prop_assert_eq!(found, wanted);
        }

        #[test]
        fn spans_of_days_hold_each_day_once(from in 0_i32..1500, length in 0_i32..800, day in -400_i32..2700) {
            let start = Date::constant(2024, 1, 1);
            let date = |days: i32| start.saturating_add(days.days());
            let days = Days { from: Some(date(from)), to: Some(date(from.saturating_add(length))) };
            let of = Span::of_date(date(day));
            let times = days.spans().iter().filter(|s| s.contains(&of) || s.contains(&of.month())).count();
            let inside = (from..=from.saturating_add(length)).contains(&day);
            proptest::prop_assert_eq!(times, usize::from(inside));
        }
    }
}
