//! The limit that an SMTP server sets: clients that do nothing but send the same mail, one command after the
//! other, each over a connection that it keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use giftd::mail::GiftMail;
use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::{MailKind, Recipient, expires_at};
use giftd_domain::money::Money;
use giftd_domain::templates::{SenderLook, TemplateContent};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::shop::{self, GIFT};

/// Sends `mails` over so many connections. Returns how long it took, connecting included.
pub async fn send(server: &str, mails: u64, connections: u32, mail: String) -> Result<Duration> {
    let (begun, mail, next) = (Instant::now(), Arc::new(mail), Arc::new(AtomicU64::new(1)));
    let mut sending = JoinSet::new();
    for _ in 0..connections {
        let (server, mail, next) = (server.to_owned(), mail.clone(), next.clone());
        sending.spawn(async move {
            let mut client = Client::connect(&server).await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number > mails {
                    return client.command("QUIT\r\n", b'2').await;
                }
                client.send(&shop::recipient(number), &mail).await?;
            }
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    Ok(begun.elapsed())
}

struct Client {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Client {
    async fn connect(server: &str) -> Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream: BufReader::new(stream), line: String::new() };
        client.answer(b'2').await?;
        client.command("EHLO localhost\r\n", b'2').await?;
        Ok(client)
    }

    async fn send(&mut self, to: &str, mail: &str) -> Result<()> {
        self.command("MAIL FROM:<gifts@localhost>\r\n", b'2').await?;
        self.command(&format!("RCPT TO:<{to}>\r\n"), b'2').await?;
        self.command("DATA\r\n", b'3').await?;
        self.command(mail, b'2').await
    }

    async fn command(&mut self, command: &str, expected: u8) -> Result<()> {
        self.stream.get_mut().write_all(command.as_bytes()).await?;
        self.answer(expected).await
    }

    /// Reads an answer to its last line.
    async fn answer(&mut self, expected: u8) -> Result<()> {
        loop {
            self.line.clear();
            self.stream.read_line(&mut self.line).await?;
            if self.line.as_bytes().first() != Some(&expected) {
                bail!("the SMTP server answered {:?}", self.line);
            }
            if self.line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}

/// A mail as giftd sends it for the benchmark's orders, as it goes over the wire.
pub fn mail(now: Timestamp) -> Result<String> {
    let mail_from: giftd::mail::MailFrom = "gifts@localhost".parse()?;
    let mail = GiftMail {
        kind: MailKind::Gift,
        message_id: mail_from.message_id("OT01K3V9ABCDEFGHJKMNPQRSTVWX-00001", MailKind::Gift, 1),
        date: now,
        mail_from,
        to: shop::recipient(1),
        recipient: Recipient {
            email: Some(shop::recipient(1)),
            first_name: Some("Alice".to_owned()),
            last_name: Some("Smith".to_owned()),
            company: Some("Acme".to_owned()),
            department: Some("Engineering".to_owned()),
        },
        sender_name: "Acme Corp".to_owned(),
        subject: "A gift for you!".to_owned(),
        message: Some("Thank you for your hard work.".to_owned()),
        card_name: "Sakura Books US".to_owned(),
        amount: Money::usd(GIFT),
        expires_at: expires_at(now, false),
        link: format!("http://127.0.0.1:8080/r/{}", "Ab3_".repeat(16)),
        template: TemplateContent::first("Benchmark"),
        look: SenderLook { organization: "Benchmark".to_owned(), ..SenderLook::default() }.into(),
        environment: Environment::Production,
        is_preview: false,
    };
    let bytes = mail.render()?.bytes(None);
    let text = String::from_utf8(bytes).context("a mail is ASCII")?;
    Ok(text.replace("\r\n.", "\r\n..") + "\r\n.\r\n")
}
