//! Where the rows of a page are.

use super::IdRange;
use crate::limits;

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

    /// The page as rows of one part that holds all `total` of them. None where it is past the last.
    pub fn slice(self, ids: IdRange, total: u64) -> Option<Slice> {
        slices(&[(ids, total)], self.offset(), u64::from(self.page_size)).first().copied()
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

/// Rows of one part of a history that belong to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The part: its rows have these ids.
    pub ids: IdRange,
    /// Matching rows of the part to pass over.
    pub skip: u64,
    /// Matching rows to take after these.
    pub take: u64,
    /// Whether to walk from the part's newest row; from its oldest where that end is nearer, the rows
    /// then being in reverse.
    pub newest_first: bool,
}

impl Slice {
    /// Matching rows from where the walk begins to the last that is taken.
    pub fn end(&self) -> u64 {
        self.skip.saturating_add(self.take)
    }
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

/// The slices that make up rows `offset` up to `offset + size` of `counts`, the parts newest first with
/// the number of matching rows in each.
pub fn slices(counts: &[(IdRange, u64)], offset: u64, size: u64) -> Vec<Slice> {
    parts(counts, offset, size)
        .into_iter()
        .map(|(ids, before, count)| {
            let first = offset.saturating_sub(before);
            let end = offset.saturating_add(size).saturating_sub(before).min(count);
            let (take, from_oldest) = (end.saturating_sub(first), count.saturating_sub(end));
            if first <= from_oldest {
                Slice { ids, skip: first, take, newest_first: true }
            } else {
                Slice { ids, skip: from_oldest, take, newest_first: false }
            }
        })
        .collect()
}

/// The parts of a history of `total` rows, newest first, of which only those from the end where `page` begins were
/// `counted` until they held it, in that direction. What is newer than the counted ones is one part; what is older
/// makes no difference.
pub fn counted_up_to(page: &Slice, total: u64, mut counted: Vec<(IdRange, u64)>) -> Vec<(IdRange, u64)> {
    if !page.newest_first {
        let known = counted.iter().fold(0, |sum: u64, (_, n)| sum.saturating_add(*n));
        let newest = counted.last().map_or(page.ids.0, |(ids, _)| ids.1);
        counted.push(((newest, page.ids.1), total.saturating_sub(known)));
        counted.reverse();
    }
    counted
}

/// How a page of orders of some kinds is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By gathering all orders of these kinds: the closed ones from their index by kind, and the open ones, which it
    /// does not have, from among those of all kinds.
    Gather,
    /// By passing over orders of all kinds from the nearer end, in the hope that matching ones are everywhere:
    /// up to [`limits::HISTORY_PASSED`], and by the counts if that isn't enough.
    Pass,
    /// By the counts of the months.
    Count,
}

impl Way {
    /// The way that reads least to a page of `matching` orders: they are among `all` in the page's part, and
    /// `gathered` are read to gather them.
    pub fn of(page: &Slice, all: u64, gathered: u64, matching: u64) -> Self {
        let among = |matches: u64| matches.saturating_mul(all).checked_div(matching).unwrap_or(0);
        // Whoever knows where the page is still reads what lies between its orders.
        let (passed, on_the_page) = (among(page.end()), among(page.take));
        if gathered < passed && gathered <= limits::HISTORY_GATHERED.max(on_the_page) {
            Self::Gather
        } else if passed <= limits::HISTORY_PASSED / 2 {
            Self::Pass
        } else {
            Self::Count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::history::Span;

    fn day(number: i64) -> IdRange {
        Span(number.saturating_add(20_261_100)).ids()
    }

    #[test]
    fn a_deep_page_reads_only_the_days_that_hold_it_from_their_nearer_end() {
        let counts = [(day(22), 10), (day(21), 1000), (day(1), 5)];
        assert_eq!(slices(&counts, 0, 10), [Slice { ids: day(22), skip: 0, take: 10, newest_first: true }]);
        assert_eq!(
            slices(&counts, 5, 10),
            [
                Slice { ids: day(22), skip: 0, take: 5, newest_first: false },
                Slice { ids: day(21), skip: 0, take: 5, newest_first: true },
            ]
        );
        assert_eq!(
            slices(&counts, 1000, 100),
            [
                Slice { ids: day(21), skip: 0, take: 10, newest_first: false },
                Slice { ids: day(1), skip: 0, take: 5, newest_first: true },
            ]
        );
        assert_eq!(slices(&counts, 1015, 100), []);
    }

    #[test]
    fn the_way_to_a_page_is_the_one_that_reads_least() {
        let way = |all, gathered, matching, page| {
            let page = PageRequest { page, page_size: 20 }.slice(Span::ALL.ids(), matching).expect("a page");
            (Way::of(&page, all, gathered, matching), page.skip, page.newest_first)
        };
        // Half of a million match.
        assert_eq!(way(1_000_000, 500_000, 500_000, 1), (Way::Pass, 0, true));
        assert_eq!(way(1_000_000, 500_000, 500_000, 25_000), (Way::Pass, 0, false));
        assert_eq!(way(1_000_000, 500_000, 500_000, 12_500), (Way::Count, 249_980, true));
        // 25 of a million: a page of 20 of them lies among 800,000.
        assert_eq!(way(1_000_000, 25, 25, 1), (Way::Gather, 0, true));
        assert_eq!(way(1_000_000, 700_000, 25, 1), (Way::Gather, 0, true));
        assert_eq!(way(1_000_000, 900_000, 25, 1), (Way::Count, 0, true));
        // 1,000 of a million: a page of them lies among 20,000.
        assert_eq!(way(1_000_000, 20_000, 1_000, 25), (Way::Gather, 480, true));
        assert_eq!(way(1_000_000, 100_000, 1_000, 25), (Way::Count, 480, true));
        // Few in all, and all in the state that is looked for.
        assert_eq!(way(30, 500_000, 25, 1), (Way::Pass, 0, true));
        assert_eq!(way(30, 30, 25, 1), (Way::Pass, 0, true));
    }

    proptest::proptest! {
        #[test]
        fn slices_hold_just_the_rows_of_the_page(
            sizes in proptest::collection::vec(0_u64..40, 0..12),
            offset in 0_u64..300,
            size in 1_u64..=100,
        ) {
            let days: Vec<(IdRange, u64)> = (1..=30).rev().map(day).zip(sizes).collect();
            let rows: Vec<(IdRange, u64)> =
                days.iter().flat_map(|(day, count)| (0..*count).map(|row| (*day, row))).collect();
            let take = |count: u64| usize::try_from(count).expect("small");
            let wanted: Vec<_> = rows.iter().copied().skip(take(offset)).take(take(size)).collect();
            let mut found = Vec::new();
            for slice in slices(&days, offset, size) {
                let mut of_day: Vec<_> = rows.iter().copied().filter(|(day, _)| *day == slice.ids).collect();
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
        fn counts_up_to_the_page_tell_the_same_slices(
            sizes in proptest::collection::vec(0_u64..40, 0..12),
            page in 1_u32..12,
            page_size in 1_u32..=100,
        ) {
            let page = PageRequest { page, page_size };
            let days: Vec<(IdRange, u64)> = (1..=30).rev().map(day).zip(sizes).collect();
            let total = days.iter().map(|(_, count)| count).sum();
            let expected = slices(&days, page.offset(), page_size.into());
            let Some(slice) = page.slice(Span::ALL.ids(), total) else {
                proptest::prop_assert_eq!(expected, []);
                return Ok(());
            };
            let mut counted = Vec::new();
            let mut enough = slice.end();
            let (mut newest_first, mut oldest_first) = (days.iter(), days.iter().rev());
            while enough > 0 {
                let next = if slice.newest_first { newest_first.next() } else { oldest_first.next() };
                let &(day, count) = next.expect("all days hold the page");
                counted.push((day, count));
                enough = enough.saturating_sub(count);
            }
            let counted = counted_up_to(&slice, total, counted);
            proptest::prop_assert_eq!(slices(&counted, page.offset(), page_size.into()), expected);
        }
    }
}
