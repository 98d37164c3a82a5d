//! What can be ordered. The whole catalog is in memory: lists are made from it.

pub mod branded;
pub mod choice;
