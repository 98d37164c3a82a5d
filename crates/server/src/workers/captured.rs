//! Removes captured mails that are too old: files of this node, and a sandbox's in the database.

use std::sync::Arc;
use std::time::Duration;

use giftd_domain::Timestamp;
use giftd_store::StoreError;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::scan::scan;
use crate::mail::Post;
use crate::state::Giftd;

/// How often they are looked at.
const SCAN: Duration = Duration::from_hours(1);

/// Removes them until `stop`.
pub(super) async fn run(giftd: Arc<Giftd>, post: Post, stop: CancellationToken) {
    let trouble = "captured mails that are too old can't be removed";
    let remove = |giftd: Arc<Giftd>| {
        let post = post.clone();
        async move { remove(&giftd, &post).await }
    };
    scan(&giftd, &stop, SCAN, trouble, remove).await;
}

/// Removes all that are too old: there is never more at once.
async fn remove(giftd: &Giftd, post: &Post) -> Result<bool, StoreError> {
    let now = giftd.clock.now();
    let age = SignedDuration::from_hours(24 * post.mail_file_days());
    let files = match post.maildir.drop_older(now.saturating_sub(age).unwrap_or(Timestamp::MIN)).await {
        Ok(files) => files,
        Err(error) => {
            tracing::error!(%error, maildir = %post.maildir.new_mails().display(), "captured mails that are too old stay");
            0
        }
    };
    let rows = giftd.store.drop_old_mails(now).await?;
    metrics::counter!("giftd_captured_mails_removed_total").increment(files + rows);
    if files + rows > 0 {
        tracing::info!(files, rows, "captured mails that were too old were removed");
    }
    Ok(false)
}

/// Says what is counted here.
pub(super) fn describe_metrics() {
    metrics::describe_counter!(
        "giftd_captured_mails_removed_total",
        "Captured mails that were too old: files of this node, and rows of sandboxes."
    );
    metrics::counter!("giftd_captured_mails_removed_total").increment(0);
}
