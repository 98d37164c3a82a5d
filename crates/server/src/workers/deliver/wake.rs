//! Waking who claims mails.

use giftd_store::Mails;
use tokio::sync::Notify;

/// Tells this node's two claiming tasks that mails are due; each scans by itself besides.
#[derive(Default)]
pub struct Wake {
    outgoing: Notify,
    staying: Notify,
}

impl Wake {
    /// Mails of one kind: those that stay ([`Mails::Staying`]), or the others.
    pub fn one(&self, stays: bool) {
        if stays { self.staying.notify_one() } else { self.outgoing.notify_one() }
    }

    /// Perhaps mails of both.
    pub fn all(&self) {
        self.outgoing.notify_one();
        self.staying.notify_one();
    }

    /// Returns once there are some; at once where there were since the last time.
    pub async fn due(&self, mails: Mails) {
        match mails {
            Mails::Staying => self.staying.notified().await,
            Mails::All | Mails::Outgoing | Mails::Moving(_) => self.outgoing.notified().await,
        }
    }
}
