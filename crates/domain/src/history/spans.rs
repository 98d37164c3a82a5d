//! Spans of time that rows are counted in.

use std::ops::RangeInclusive;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use crate::ids::TimeId;

/// Ids from the first up to, but without, the second.
pub type IdRange = (TimeId, TimeId);

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

    /// The three spans that a row of `id` counts in, the longest first.
    pub fn all_of(id: TimeId) -> [Self; 3] {
        let day = Self::day(id.created_at());
        [Self::ALL, day.month(), day]
    }

    /// The ids of a day, a month or all time.
    pub fn ids(self) -> IdRange {
        if self == Self::ALL {
            return (TimeId::from_bits(0), TimeId::from_bits(u128::MAX));
        }
        let (first, days) = if self.is_day() {
            let date = date_of(self);
            (date, 1)
        } else {
            let first = date_of(*self.days_of_month().start());
            (first, i64::from(first.days_in_month()))
        };
        let start = midnight(first);
        let end = start.saturating_add(SignedDuration::from_hours(days.saturating_mul(24))).unwrap_or(Timestamp::MAX);
        (TimeId::first_at(start), TimeId::first_at(end))
    }

    /// The ids of some days or months that follow each other.
    pub fn ids_of(spans: &RangeInclusive<Self>) -> IdRange {
        (spans.start().ids().0, spans.end().ids().1)
    }
}

/// What is left of a month beside some days of it that follow each other, where that is less than they are: to count them
/// by the month's count and by reading little.
pub fn rest_of_month(days: &RangeInclusive<Span>) -> Option<Vec<IdRange>> {
    let (first, last) = (date_of(*days.start()), date_of(*days.end()));
    let wanted = last.day().saturating_sub(first.day()).saturating_add(1);
    if wanted <= first.days_in_month().saturating_sub(wanted) {
        return None;
    }
    let ((begin, end), (first, last)) = (days.start().month().ids(), Span::ids_of(days));
    Some([(begin, first), (last, end)].into_iter().filter(|(first, end)| first < end).collect())
}

fn date_of(day: Span) -> Date {
    let part = |divisor: i64| day.0.checked_div(divisor).unwrap_or(0);
    let date = i16::try_from(part(10_000))
        .ok()
        .zip(i8::try_from(part(100).rem_euclid(100)).ok())
        .zip(i8::try_from(day.0.rem_euclid(100)).ok())
        .and_then(|((year, month), day)| Date::new(year, month, day).ok());
    date.unwrap_or(Date::MIN)
}

/// Midnight in UTC. Instants end within the first and the last day that a date can have: there, the instant that is nearest.
fn midnight(date: Date) -> Timestamp {
    let nearest = if date.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).unwrap_or(nearest)
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
    pub fn ids(self) -> IdRange {
        let (of_all, end_of_all) = Span::ALL.ids();
        let after =
            |date: Date| midnight(date).saturating_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
        let first = self.from.map_or(of_all, |date| TimeId::first_at(midnight(date)));
        let end = self.to.map_or(end_of_all, |date| TimeId::first_at(after(date)));
        (first, end)
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
        let (first, end) = days("0020-11-03", "0020-11-20").ids();
        assert_eq!((first, end), (TimeId::from_bits(0), TimeId::from_bits(0)), "no id is of them");
    }

    #[test]
    fn the_last_day_that_a_date_can_have_is_after_all_rows() {
        let first_at = |instant: &str| TimeId::first_at(instant.parse().expect("an instant"));
        let (first, end) = days("2026-11-22", "9999-12-31").ids();
        assert_eq!(first, first_at("2026-11-22T00:00:00Z"));
        assert!(end > first_at("9999-12-30T22:00:00Z"), "{end}");
        let (first, end) = days("9999-12-31", "9999-12-31").ids();
        assert!(first_at("9999-12-30T22:00:00Z") <= first && first <= end, "{first} {end}");
    }

    #[test]
    fn a_span_is_a_range_of_ids() {
        for (span, first_at, end_at) in [
            (20261122, "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
            (202611, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            (202412, "2024-12-01T00:00:00Z", "2025-01-01T00:00:00Z"),
            (202402, "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ] {
            let (first, end) = Span(span).ids();
            assert_eq!(
                (first.created_at().to_string(), end.created_at().to_string()),
                (first_at.into(), end_at.into())
            );
        }
        let last = "2026-11-22T23:59:59.999Z".parse().expect("an instant");
        assert!(TimeId::next(None, last, u128::MAX).expect("an id") < Span(20261122).ids().1);
        assert_eq!(Span::day(last), Span(20261122));
        let (first, end) = Span::ids_of(&(Span(202611)..=Span(202612)));
        assert_eq!((first, end), (Span(20261101).ids().0, Span(20270101).ids().0));
    }

    #[test]
    fn the_rest_of_a_month_is_what_is_less() {
        let rest = |first, last| {
            let rest = rest_of_month(&(Span(first)..=Span(last)))?;
            Some(rest.into_iter().map(|(first, end)| (first.created_at(), end.created_at())).collect::<Vec<_>>())
        };
        let between = |days: &[(&str, &str)]| {
            let at = |day: &str| format!("{day}T00:00:00Z").parse().expect("an instant");
            Some(days.iter().map(|(first, end)| (at(first), at(end))).collect::<Vec<(Timestamp, Timestamp)>>())
        };
        assert_eq!(rest(20261101, 20261115), None);
        assert_eq!(rest(20261116, 20261130), None);
        assert_eq!(rest(20261101, 20261116), between(&[("2026-11-17", "2026-12-01")]));
        assert_eq!(rest(20261203, 20261231), between(&[("2026-12-01", "2026-12-03")]));
        assert_eq!(rest(20260205, 20260220), between(&[("2026-02-01", "2026-02-05"), ("2026-02-21", "2026-03-01")]));
        assert_eq!(rest(20261201, 20261231), between(&[]));
    }

    proptest::proptest! {
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
