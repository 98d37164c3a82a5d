//! How a history of ten million rows is paged without reading it.
//!
//! Each row counts in three spans: its UTC day, its month, and all time. Totals are sums of counts.
//! A deep page is found by walking the counts to the days that hold it, and reading only these.
//!
//! Orders are counted so without regard to their kind, and once more for each kind, but there only by month and
//! in all: with thousands of kinds a day has nearly as many counts as orders.

mod filter;
mod pages;
mod spans;

pub use filter::{KindSet, OrderFilter, OrderKind};
pub use pages::{Page, PageRequest, Slice, Way, counted_up_to, parts, slices};
pub use spans::{Days, IdRange, Span, rest_of_month};
