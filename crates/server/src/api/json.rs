//! The earlier names of what `fields` and `wire` hold, for the commands that import them from here.

pub use super::fields::{Fields, read_object};
pub use super::wire::{Amount, Instant, MoneyBody};
