//! Gifts after they were sent, as nodes and their workers handle them: redeemed, reminded of, expired.

mod bed;
mod captured;
mod erasing;
mod expiry;
mod life;
mod manual;
mod moving;
mod redeeming;
mod scheduled;
mod suppliers;
