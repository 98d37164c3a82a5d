//! Orders of a kind, counted by their state: a row of `order_counts` has a column for each.

use std::ops::AddAssign;

use giftd_domain::orders::OrderStatus;

/// A number for each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByStatus {
    pub(crate) pending: i64,
    pub(crate) in_progress: i64,
    pub(crate) complete: i64,
    pub(crate) canceled: i64,
}

impl ByStatus {
    /// That of a state.
    pub(crate) fn of(&mut self, status: OrderStatus) -> &mut i64 {
        match status {
            OrderStatus::Pending => &mut self.pending,
            OrderStatus::InProgress => &mut self.in_progress,
            OrderStatus::Complete => &mut self.complete,
            OrderStatus::Canceled => &mut self.canceled,
        }
    }

    /// Whether nothing is to be added.
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a state gets fewer. Then the row is there; and an upsert would fail at the CHECK of the row that it begins
    /// with, before it saw the one that is there.
    pub(crate) fn lowers(&self) -> bool {
        self.pending < 0 || self.in_progress < 0 || self.complete < 0 || self.canceled < 0
    }
}

impl AddAssign for ByStatus {
    fn add_assign(&mut self, other: Self) {
        self.pending += other.pending;
        self.in_progress += other.in_progress;
        self.complete += other.complete;
        self.canceled += other.canceled;
    }
}

/// The orders of a state in a row of `order_counts`, or those of all, as SQL.
pub(crate) fn orders_in(status: Option<OrderStatus>) -> &'static str {
    match status {
        None => "pending + in_progress + complete + canceled",
        Some(OrderStatus::Pending) => "pending",
        Some(OrderStatus::InProgress) => "in_progress",
        Some(OrderStatus::Complete) => "complete",
        Some(OrderStatus::Canceled) => "canceled",
    }
}
