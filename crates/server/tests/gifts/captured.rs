//! Captured mails that nobody looks for any more.

use std::fs::{self, OpenOptions};
use std::time::SystemTime;

use giftd::clock::Clock;
use jiff::SignedDuration;

use crate::bed::{Bed, Database, counted, on, until};

#[test]
fn a_node_removes_captured_mails_that_are_too_old() {
    on(Database::Sqlite, async |bed: Bed| {
        let new = bed.new_mails();
        fs::create_dir_all(&new).expect("a maildir");
        // No mail server is set: what is kept are production's mails too.
        let age = |days: i64| SystemTime::from(Clock::system().now() - SignedDuration::from_hours(24 * days));
        for (name, days) in [("old", 31), ("young", 29)] {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(new.join(name)).expect("a file");
            file.set_modified(age(days)).expect("its time");
        }
        let node = bed.working_node().await;
        until("it is removed", async || (!new.join("old").exists()).then_some(())).await;
        assert!(new.join("young").exists());
        let counted = async || (counted(&node.giftd, "giftd_captured_mails_removed_total") >= 1).then_some(());
        until("it is counted", counted).await;
        node.stop().await;
    });
}
