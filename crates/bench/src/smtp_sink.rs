//! A small SMTP server that takes mails as fast as they come, or as slowly as it is told, and remembers of
//! each only whose it is. It can be closed, so that connections are refused, and stalled, so that nothing is
//! answered. Knows no TLS.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use giftd::clock::Clock;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// Bytes that are read at once: a mail in one go.
const BUFFER: usize = 32 * 1024;

/// The sink. What it took stays known while it is closed.
pub struct SmtpSink {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Accepts, and holds every conversation; none while the sink is closed.
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    /// How long each answer takes, greetings included.
    answer_delay: Duration,
    clock: Clock,
    stalled: watch::Sender<bool>,
    taken: Mutex<Taken>,
    /// How many mails were taken, for who waits for some.
    count: watch::Sender<u64>,
}

/// The mails that a sink took.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// How often each was taken, by recipient and then by `Message-ID`.
    by_recipient: BTreeMap<Box<str>, BTreeMap<Box<str>, u32>>,
}

impl Taken {
    /// Notes a mail.
    pub fn add(&mut self, recipient: &str, message_id: &str) {
        let mails = self.by_recipient.entry(recipient.into()).or_default();
        *mails.entry(message_id.into()).or_default() += 1;
    }

    /// All mails, copies included.
    pub fn count(&self) -> u64 {
        self.by_recipient.values().flat_map(BTreeMap::values).copied().map(u64::from).sum()
    }

    /// Copies beyond the first of mails that were taken more than once: a crash may do that.
    pub fn twice(&self) -> u64 {
        let copies = self.by_recipient.values().flat_map(BTreeMap::values);
        copies.map(|copies| u64::from(copies.saturating_sub(1))).sum()
    }

    /// The different mails that each recipient got, by their `Message-ID`.
    pub fn recipients(&self) -> impl Iterator<Item = (&str, BTreeSet<&str>)> {
        self.by_recipient.iter().map(|(recipient, mails)| (&**recipient, mails.keys().map(|id| &**id).collect()))
    }
}

impl SmtpSink {
    /// Opens one on a free port of 127.0.0.1 that waits `answer_delay` before each answer.
    pub async fn start(answer_delay: Duration, clock: Clock) -> Result<Self> {
        let shared = Arc::new(Shared {
            answer_delay,
            clock,
            stalled: watch::Sender::new(false),
            taken: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let mut sink = Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), shared, accepting: None };
        sink.open()?;
        Ok(sink)
    }

    /// What `GIFTD_SMTP_URL` takes; the same however often the sink is closed and opened.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Accepts connections again, on the same port.
    pub fn open(&mut self) -> Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address).with_context(|| format!("port {} is taken", self.address.port()))?;
        let listener = socket.listen(BACKLOG)?;
        self.address = listener.local_addr()?;
        self.accepting = Some(tokio::spawn(accept(listener, self.shared.clone())));
        Ok(())
    }

    /// Ends all conversations, wherever they are, and refuses connections until [`Self::open`].
    pub async fn close(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // Cancelled, as it was told.
            drop(accepting.await);
        }
    }

    /// From now on answers nothing; or does again, also what was asked meanwhile.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.send_replace(stalled);
    }

    /// How many mails were taken, copies included.
    pub fn count(&self) -> u64 {
        *self.shared.count.borrow()
    }

    /// Waits until `count` mails were taken, copies included.
    pub async fn has_taken(&self, count: u64) {
        // Fails only when the sink is gone, and `self` holds it.
        drop(self.shared.count.subscribe().wait_for(|taken| *taken >= count).await);
    }

    /// What was taken so far.
    pub fn taken(&self) -> Taken {
        self.shared.taken().clone()
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let shared = shared.clone();
                conversations.spawn(async move {
                    // A client that goes away ends its conversation, nothing else.
                    drop(shared.converse(stream).await);
                });
            },
            Some(_) = conversations.join_next() => {}
        }
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One client, until it leaves. What it sends ahead of our answers (pipelining) waits in the buffer.
    async fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::with_capacity(BUFFER, stream);
        let (mut line, mut recipients) = (Vec::new(), Vec::new());
        self.answer(&mut stream, "220 sink ready").await?;
        loop {
            line.clear();
            if stream.read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line);
            let verb = text.split([' ', ':', '\r', '\n']).next().unwrap_or_default().to_ascii_uppercase();
            let answer = match verb.as_str() {
                "EHLO" => "250-sink\r\n250-PIPELINING\r\n250 8BITMIME",
                "HELO" | "NOOP" => "250 ok",
                "MAIL" | "RSET" => {
                    recipients.clear();
                    "250 ok"
                }
                "RCPT" => {
                    recipients.push(address(&text).to_owned());
                    "250 ok"
                }
                "DATA" => {
                    self.answer(&mut stream, "354 go on").await?;
                    let Some(message_id) = read_mail(&mut stream, &mut line).await? else { return Ok(()) };
                    self.pause().await;
                    for recipient in recipients.drain(..) {
                        self.taken().add(&recipient, &message_id);
                    }
                    self.count.send_modify(|count| *count += 1);
                    stream.get_mut().write_all(b"250 taken\r\n").await?;
                    continue;
                }
                "QUIT" => return self.answer(&mut stream, "221 bye").await,
                _ => "500 what?",
            };
            self.answer(&mut stream, answer).await?;
        }
    }

    async fn answer(&self, stream: &mut BufReader<TcpStream>, answer: &str) -> std::io::Result<()> {
        self.pause().await;
        stream.get_mut().write_all(&[answer.as_bytes(), b"\r\n"].concat()).await
    }

    /// The time that an answer takes.
    async fn pause(&self) {
        if !self.answer_delay.is_zero() {
            self.clock.sleep(self.answer_delay).await;
        }
        if *self.stalled.borrow() {
            // Fails only when the sink is gone, and with it this conversation.
            drop(self.stalled.subscribe().wait_for(|stalled| !stalled).await);
        }
    }
}

/// Reads a mail to its final dot and returns its `Message-ID`, or nothing where the client left before.
async fn read_mail(stream: &mut BufReader<TcpStream>, line: &mut Vec<u8>) -> std::io::Result<Option<String>> {
    const NAME: &[u8] = b"message-id:";
    let (mut message_id, mut in_header, mut is_folded) = (String::new(), true, false);
    loop {
        line.clear();
        if stream.read_until(b'\n', line).await? == 0 {
            return Ok(None);
        }
        if line == b".\r\n" {
            return Ok(Some(message_id));
        }
        if !in_header {
            continue;
        }
        in_header = line != b"\r\n";
        let is_named = line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME));
        if is_named || (is_folded && line.starts_with(b" ")) {
            let value = if is_named { &line[NAME.len()..] } else { &line[..] };
            message_id.push_str(String::from_utf8_lossy(value).trim());
        }
        // A long value goes on in the next lines.
        is_folded = is_named || (is_folded && line.starts_with(b" "));
    }
}

/// The address between the angle brackets.
fn address(line: &str) -> &str {
    let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    address.map_or("", |(address, _)| address)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Two mails of one client, everything sent ahead.
    const TWO: &str = "EHLO me\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<x@example.com>\r\nDATA\r\nSubject: 1\r\n\
         Message-ID:\r\n <1@b.c>\r\n\r\nMessage-ID: <no@b.c>\r\n..\r\n.\r\n\
         MAIL FROM:<a@b.c>\r\nRCPT TO:<x@example.com>\r\nDATA\r\nMessage-Id: <2@b.c>\r\n\r\n\r\n.\r\nQUIT\r\n";

    async fn sink() -> SmtpSink {
        SmtpSink::start(Duration::ZERO, Clock::system()).await.expect("a free port")
    }

    async fn send(sink: &SmtpSink, words: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(sink.address).await?;
        stream.write_all(words.as_bytes()).await?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await?;
        Ok(said)
    }

    #[tokio::test]
    async fn mails_are_known_by_recipient_and_message_id_and_copies_are_counted() {
        let sink = sink().await;
        for _ in 0..2 {
            let said = send(&sink, TWO).await.expect("a conversation");
            assert_eq!(said.matches("250 taken").count(), 2, "{said}");
        }
        assert_eq!((sink.count(), sink.taken().twice()), (4, 2));
        let taken = sink.taken();
        let expected = ("x@example.com", BTreeSet::from(["<1@b.c>", "<2@b.c>"]));
        assert_eq!(taken.recipients().collect::<Vec<_>>(), [expected]);
    }

    #[tokio::test]
    async fn a_closed_sink_refuses_and_opens_again_at_the_same_place() {
        let mut sink = sink().await;
        sink.close().await;
        assert!(TcpStream::connect(sink.address).await.is_err());
        sink.open().expect("its port");
        send(&sink, TWO).await.expect("a conversation");
        assert_eq!(sink.count(), 2);
    }

    #[tokio::test]
    async fn a_stalled_sink_answers_once_it_goes_on() {
        let sink = sink().await;
        sink.stall(true);
        let (sent, ()) = tokio::join!(send(&sink, TWO), async {
            let mut early = TcpStream::connect(sink.address).await.expect("accepted all the same");
            tokio::task::yield_now().await;
            assert!(early.try_read(&mut [0; 16]).is_err(), "nothing was said");
            sink.stall(false);
            early.read_exact(&mut [0; 3]).await.expect("the greeting");
        });
        sent.expect("a conversation");
        sink.has_taken(2).await;
    }
}
