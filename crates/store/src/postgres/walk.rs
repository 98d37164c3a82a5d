//! Finding the parts of a history that hold a page by their counts, see `giftd_domain::history`.

use std::ops::RangeInclusive;

use giftd_domain::history::{Days, PageRequest, Slice, Span, parts, slices};
use uuid::Uuid;

use super::error::Failure;
use super::operation::Connection;
use super::rows::{Columns as _, Parameters, signed, uuid};

/// Counts that are summed up, span by span.
pub(super) struct Counted<'a> {
    /// Finds `span` and `n` of each count in the spans from `r.first` to `r.last`.
    pub(super) sql: String,
    /// From `$3` on.
    pub(super) parameters: Parameters<'a>,
}

impl Counted<'_> {
    /// All that match in these days.
    pub(super) async fn total(&self, connection: &Connection, days: Days) -> Result<u64, Failure> {
        Ok(self.of(connection, &days.spans()).await?.into_iter().map(|(_, n)| n).sum())
    }

    /// The slices of days that make up a page.
    pub(super) async fn locate(
        &self,
        connection: &Connection,
        days: Days,
        page: PageRequest,
    ) -> Result<Vec<Slice>, Failure> {
        let (offset, size) = (page.offset(), u64::from(page.page_size));
        let counts = self.newest_first(connection, &days.walk()).await?;
        let parts = parts(&counts, offset, size);
        let Some(&(_, before, _)) = parts.first() else { return Ok(Vec::new()) };
        let months: Vec<_> =
            parts.iter().filter(|(span, ..)| !span.is_day()).map(|(span, ..)| span.days_of_month()).collect();
        let mut of_days: Vec<(Span, u64)> =
            parts.iter().filter(|(span, ..)| span.is_day()).map(|&(span, _, n)| (span, n)).collect();
        if !months.is_empty() {
            of_days.extend(self.of(connection, &months).await?);
        }
        of_days.sort_by_key(|(span, _)| std::cmp::Reverse(*span));
        let of_days: Vec<_> = of_days.into_iter().map(|(day, n)| (day.ids(), n)).collect();
        Ok(slices(&of_days, offset.saturating_sub(before), size))
    }

    /// Matching rows in each span of disjoint ranges, newest first.
    pub(super) async fn newest_first(
        &self,
        connection: &Connection,
        spans: &[RangeInclusive<Span>],
    ) -> Result<Vec<(Span, u64)>, Failure> {
        let mut counts = self.of(connection, spans).await?;
        counts.sort_by_key(|(span, _)| std::cmp::Reverse(span.ids()));
        Ok(counts)
    }

    async fn of(&self, connection: &Connection, spans: &[RangeInclusive<Span>]) -> Result<Vec<(Span, u64)>, Failure> {
        let first: Vec<i64> = spans.iter().map(|range| range.start().0).collect();
        let last: Vec<i64> = spans.iter().map(|range| range.end().0).collect();
        let mut parameters: Parameters<'_> = vec![&first, &last];
        parameters.extend(&self.parameters);
        // Each range is summed up by itself, in the index's order. A sum of all of them at once would have to sort their
        // counts, and its plan for ranges not yet known reads all counts of the account.
        let statement = connection
            .prepare_cached(&format!(
                "SELECT c.span, c.n FROM unnest($1::BIGINT[], $2::BIGINT[]) AS r (first, last),
                    LATERAL (SELECT span, SUM(n)::BIGINT AS n FROM ({}) AS counts GROUP BY span HAVING SUM(n) > 0) c",
                self.sql
            ))
            .await?;
        let rows = connection.query(&statement, &parameters).await?;
        rows.iter().map(|row| Ok((Span(row.value("span")?), row.count("n")?))).collect()
    }
}

/// Slices that are walked in the same direction, column by column.
#[derive(Default)]
pub(super) struct SliceColumns {
    pub(super) first: Vec<Uuid>,
    pub(super) end: Vec<Uuid>,
    pub(super) skip: Vec<i64>,
    pub(super) take: Vec<i64>,
}

impl SliceColumns {
    /// Those of `slices` that are walked newest first, or the others.
    pub(super) fn of(slices: &[Slice], newest_first: bool) -> Result<Self, Failure> {
        let mut columns = Self::default();
        for slice in slices.iter().filter(|slice| slice.newest_first == newest_first) {
            columns.first.push(uuid(slice.ids.0));
            columns.end.push(uuid(slice.ids.1));
            columns.skip.push(signed(slice.skip)?);
            columns.take.push(signed(slice.take)?);
        }
        Ok(columns)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

/// How rows are walked.
pub(super) fn direction(newest_first: bool) -> &'static str {
    if newest_first { "DESC" } else { "ASC" }
}
