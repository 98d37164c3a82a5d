//! Mail: what mails about a gift look like, and how they get out: to an SMTP server, or captured.

pub mod amount;
pub mod attempt;
pub mod dkim;
pub mod gift_mail;
pub mod logo;
pub mod maildir;
pub mod message;
pub mod personal;
pub mod sandbox;
pub mod smtp;

use std::sync::Arc;

use giftd_domain::access::Environment;
use giftd_domain::limits;

pub use dkim::Dkim;
pub use gift_mail::GiftMail;
pub use maildir::Maildir;
pub use message::{MailFrom, Rendered};
pub use smtp::{Connection, SmtpServer};

/// What became of one attempt to send a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server took it, or it lies in the maildir, on the disk.
    Sent,
    /// The server refused this recipient for good: the gift is FAILED.
    Refused {
        /// The server's answer, for `deliveryError`.
        text: String,
    },
    /// Something is wrong with us or our relay, not with this mail: retried, and loud, since every
    /// other mail meets it too.
    OurFault {
        /// What is wrong.
        text: String,
    },
    /// It may work later.
    Transient {
        /// What happened.
        text: String,
    },
}

impl Outcome {
    fn refused(text: &str) -> Self {
        Self::Refused { text: delivery_error(text) }
    }

    fn our_fault(text: &str) -> Self {
        Self::OurFault { text: delivery_error(text) }
    }

    fn transient(text: &str) -> Self {
        Self::Transient { text: delivery_error(text) }
    }
}

/// `text` as it is kept and shown: one line, bounded, without control characters.
fn delivery_error(text: &str) -> String {
    message::one_line(text).trim().chars().take(limits::DELIVERY_ERROR_CHARACTERS).collect()
}

/// Where mails may go: set up once, shared by all senders.
#[derive(Clone, Debug)]
pub struct Post {
    /// The relay; without one every mail is captured.
    pub smtp: Option<Arc<SmtpServer>>,
    /// Where mails are captured.
    pub maildir: Maildir,
    /// What signs the mails that go to the relay, where there is a key.
    pub dkim: Option<Arc<Dkim>>,
}

impl Post {
    /// Whether mails of `environment` are captured: a sandbox's always, a production account's when
    /// there is no relay.
    pub fn captures(&self, environment: Environment) -> bool {
        environment == Environment::Sandbox || self.smtp.is_none()
    }

    /// Days that captured mails are kept as files.
    pub fn mail_file_days(&self) -> i64 {
        if self.smtp.is_some() { limits::MAIL_FILE_DAYS } else { limits::MAIL_FILE_DAYS_WITHOUT_SERVER }
    }
}

/// Sends one mail at a time; owns at most one SMTP connection, opened when the first mail needs it
/// and kept for the next.
#[derive(Debug)]
pub struct Sender {
    post: Post,
    connection: Option<Connection>,
}

impl Sender {
    /// A sender that has not connected yet.
    pub fn new(post: Post) -> Self {
        let connection = post.smtp.clone().map(|server| Connection::new(server, smtp::SEND_DEADLINE));
        Self { post, connection }
    }

    /// Sends `mail`. Dropping the future gives up the connection, never the sender.
    pub async fn send(&mut self, mail: &Rendered) -> Outcome {
        let is_captured = self.post.captures(mail.environment);
        let Post { maildir, dkim, .. } = &self.post;
        match &mut self.connection {
            Some(connection) if !is_captured => {
                connection.send(&mail.from, &mail.to, &mail.bytes(dkim.as_deref())).await
            }
            // What is never sent isn't signed either.
            _ => match maildir.keep(&mail.message_id, mail.bytes(None)).await {
                Ok(_) => Outcome::Sent,
                Err(error) => Outcome::our_fault(&format!("the mail can't be captured: {error}")),
            },
        }
    }

    /// Takes leave of the server; for the end of a run.
    pub async fn close(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_is_always_captured_and_production_only_without_a_relay() {
        let smtp = Some(Arc::new(SmtpServer::parse("smtp://mail.example.com").expect("url")));
        let maildir = Maildir::in_data_dir(std::path::Path::new("data"));
        let relayed = Post { smtp, maildir: maildir.clone(), dkim: None };
        assert!(relayed.captures(Environment::Sandbox));
        assert!(!relayed.captures(Environment::Production));
        let captured = Post { smtp: None, maildir, dkim: None };
        assert!(captured.captures(Environment::Production));
    }

    #[test]
    fn a_delivery_error_is_one_bounded_line() {
        assert_eq!(delivery_error(" 550 no\r\nsuch\u{0}user "), "550 no  such user");
        assert_eq!(delivery_error(&"é".repeat(900)).chars().count(), limits::DELIVERY_ERROR_CHARACTERS);
    }
}
