//! Orders, counted by their state: a row of `order_counts` has a column for each.

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

    /// All of the states that are wanted.
    fn sum(self, wanted: impl Fn(OrderStatus) -> bool) -> u64 {
        let all = [
            (OrderStatus::Pending, self.pending),
            (OrderStatus::InProgress, self.in_progress),
            (OrderStatus::Complete, self.complete),
            (OrderStatus::Canceled, self.canceled),
        ];
        all.into_iter().filter(|(status, _)| wanted(*status)).map(|(_, n)| n.unsigned_abs()).sum()
    }

    /// Orders that are passed over when all are, to find those in a state or in any: the index of what isn't COMPLETE has
    /// each state by itself.
    pub(crate) fn passed(self, status: Option<OrderStatus>) -> u64 {
        self.sum(|one| status.is_none_or(|wanted| wanted == OrderStatus::Complete || wanted == one))
    }

    /// Orders that are read to gather those of some kinds in a state or in any, `closed` ones being of these kinds.
    pub(crate) fn gathered(self, status: Option<OrderStatus>, closed: u64) -> u64 {
        let open = self.sum(|one| one.is_open() && status.is_none_or(|wanted| wanted == one));
        if status.is_some_and(OrderStatus::is_open) { open } else { open.saturating_add(closed) }
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

/// The closed orders in a row of `order_counts`, as SQL.
pub(crate) const CLOSED_ORDERS: &str = "complete + canceled";

/// The condition on a closed order, as the index by kind has it.
pub(crate) const IS_CLOSED: &str = "status IN ('COMPLETE', 'CANCELED')";

/// And on an open one, with what the index of open states has.
pub(crate) const IS_OPEN: &str = "status IN ('PENDING', 'IN_PROGRESS') AND status <> 'COMPLETE'";

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
