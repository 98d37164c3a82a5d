//! A small SMTP server inside the test: keeps or counts the mails that it is given, and answers as
//! it is told. Knows no TLS.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A moment at which the sink answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// A connection was opened.
    Greeting,
    /// `EHLO` or `HELO`.
    Ehlo,
    /// `STARTTLS`.
    StartTls,
    /// `AUTH`.
    Auth,
    /// `MAIL FROM`.
    Mail,
    /// `RCPT TO`.
    Rcpt,
    /// `DATA`.
    Data,
    /// The mail is complete.
    Body,
    /// `RSET`.
    Rset,
}

/// What the sink does instead of its usual answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers this line, or lines (`550-5.1.1 first\r\n550 5.1.1 second`).
    Say(String),
    /// Never answers.
    Stall,
    /// Closes the connection.
    HangUp,
}

impl From<&str> for Reply {
    fn from(line: &str) -> Self {
        Self::Say(line.to_owned())
    }
}

/// A mail that the sink took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// The mail, its dots undoubled; empty where the sink only counts.
    pub data: String,
}

#[derive(Default)]
struct State {
    once: HashMap<Stage, VecDeque<Reply>>,
    always: HashMap<Stage, Reply>,
    by_recipient: HashMap<String, Reply>,
    offers: Vec<String>,
    delay: Option<Duration>,
    only_counts: bool,
    mails: Vec<Received>,
    commands: Vec<String>,
    connections: usize,
}

/// The running sink; stops when dropped.
pub struct SmtpSink {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    taken: watch::Receiver<usize>,
    accepting: JoinHandle<()>,
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl SmtpSink {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State::default()));
        let (count, taken) = watch::channel(0);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state), count));
        Self { address, state, taken, accepting }
    }

    /// `smtp://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The next time `stage` is reached, does `reply`; queued when called again.
    pub fn once(&self, stage: Stage, reply: impl Into<Reply>) {
        self.state().once.entry(stage).or_default().push_back(reply.into());
    }

    /// Whenever `stage` is reached, does `reply`.
    pub fn always(&self, stage: Stage, reply: impl Into<Reply>) {
        self.state().always.insert(stage, reply.into());
    }

    /// Does `reply` whenever `RCPT TO` names `address`.
    pub fn for_recipient(&self, address: &str, reply: impl Into<Reply>) {
        self.state().by_recipient.insert(address.to_owned(), reply.into());
    }

    /// Forgets all replies it was told, and answers as usual.
    pub fn behave(&self) {
        let mut state = self.state();
        state.once.clear();
        state.always.clear();
        state.by_recipient.clear();
    }

    /// Offers an extension after `EHLO` (`STARTTLS`, `AUTH PLAIN LOGIN`).
    pub fn offer(&self, extension: &str) {
        self.state().offers.push(extension.to_owned());
    }

    /// Waits this long before it takes a mail.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = Some(delay);
    }

    /// Counts mails from now on and keeps neither them nor commands: for benchmarks.
    pub fn only_count(&self) {
        self.state().only_counts = true;
    }

    /// The mails taken so far, oldest first.
    pub fn mails(&self) -> Vec<Received> {
        self.state().mails.clone()
    }

    /// How many mails were taken.
    pub fn count(&self) -> usize {
        *self.taken.borrow()
    }

    /// Waits until `count` mails were taken; false when that takes longer than `deadline`.
    pub async fn has_taken(&self, count: usize, deadline: Duration) -> bool {
        let mut taken = self.taken.clone();
        tokio::time::timeout(deadline, taken.wait_for(|taken| *taken >= count)).await.is_ok_and(|seen| seen.is_ok())
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// Everything a client said besides mails, oldest first; lossy where it isn't text.
    pub fn commands(&self) -> Vec<String> {
        self.state().commands.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>, count: watch::Sender<usize>) {
    let mut conversations = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        lock(&state).connections += 1;
        let session = Session { state: Arc::clone(&state), count: count.clone() };
        conversations.spawn(async move {
            // A client that goes away ends its conversation, nothing else.
            let _ended = session.converse(stream).await;
        });
    }
}

struct Session {
    state: Arc<Mutex<State>>,
    count: watch::Sender<usize>,
}

impl Session {
    async fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let mut mail = Received { from: String::new(), to: Vec::new(), data: String::new() };
        if !self.answer(&mut stream, Stage::Greeting, "220 sink ready").await? {
            return Ok(());
        }
        loop {
            let mut line = Vec::new();
            if stream.read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if !lock(&self.state).only_counts {
                lock(&self.state).commands.push(line.clone());
            }
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let goes_on = match verb.as_str() {
                "EHLO" | "HELO" => {
                    let usual = self.greeting();
                    self.answer(&mut stream, Stage::Ehlo, &usual).await?
                }
                "STARTTLS" => {
                    self.answer(&mut stream, Stage::StartTls, "220 go ahead").await?;
                    self.hear_the_handshake(&mut stream).await?;
                    false
                }
                "AUTH" => self.answer(&mut stream, Stage::Auth, "235 welcome").await?,
                "MAIL" => {
                    mail = Received { from: path(&line), to: Vec::new(), data: String::new() };
                    self.answer(&mut stream, Stage::Mail, "250 ok").await?
                }
                "RCPT" => {
                    let address = path(&line);
                    let reply = lock(&self.state).by_recipient.get(&address).cloned();
                    mail.to.push(address);
                    match reply {
                        Some(reply) => perform(&mut stream, reply).await?,
                        None => self.answer(&mut stream, Stage::Rcpt, "250 ok").await?,
                    }
                }
                "DATA" => self.take_mail(&mut stream, &mut mail).await?,
                "RSET" => self.answer(&mut stream, Stage::Rset, "250 ok").await?,
                "NOOP" => perform(&mut stream, "250 ok".into()).await?,
                "QUIT" => {
                    perform(&mut stream, "221 bye".into()).await?;
                    false
                }
                _ => perform(&mut stream, "500 what?".into()).await?,
            };
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// `DATA` and the mail after it.
    async fn take_mail(&self, stream: &mut BufReader<TcpStream>, mail: &mut Received) -> std::io::Result<bool> {
        let reply = self.reply(Stage::Data, "354 go on");
        let accepted = matches!(&reply, Reply::Say(line) if line.starts_with('3'));
        if !perform(stream, reply).await? {
            return Ok(false);
        }
        if !accepted {
            return Ok(true);
        }
        let mut data = Vec::new();
        loop {
            let start = data.len();
            if stream.read_until(b'\n', &mut data).await? == 0 {
                return Ok(false);
            }
            if data.get(start..) == Some(b".\r\n") {
                data.truncate(start);
                break;
            }
            if data.get(start) == Some(&b'.') {
                data.remove(start);
            }
        }
        let delay = lock(&self.state).delay;
        if let Some(delay) = delay {
            pause(delay).await;
        }
        let reply = self.reply(Stage::Body, "250 taken");
        if matches!(&reply, Reply::Say(line) if line.starts_with('2')) {
            mail.data = String::from_utf8_lossy(&data).into_owned();
            let mut state = lock(&self.state);
            if !state.only_counts {
                state.mails.push(mail.clone());
            }
            drop(state);
            self.count.send_modify(|count| *count += 1);
        }
        perform(stream, reply).await
    }

    /// After STARTTLS, notes what kind of bytes come: `<TLS>` for a handshake (record type 22).
    async fn hear_the_handshake(&self, stream: &mut BufReader<TcpStream>) -> std::io::Result<()> {
        let heard = if stream.read_u8().await? == 22 { "<TLS>" } else { "<plain>" };
        lock(&self.state).commands.push(heard.to_owned());
        Ok(())
    }

    async fn answer(&self, stream: &mut BufReader<TcpStream>, stage: Stage, usual: &str) -> std::io::Result<bool> {
        perform(stream, self.reply(stage, usual)).await
    }

    fn reply(&self, stage: Stage, usual: &str) -> Reply {
        let mut state = lock(&self.state);
        let once = state.once.get_mut(&stage).and_then(VecDeque::pop_front);
        once.or_else(|| state.always.get(&stage).cloned()).unwrap_or_else(|| usual.into())
    }

    fn greeting(&self) -> String {
        let mut lines = vec!["sink".to_owned()];
        lines.extend(lock(&self.state).offers.iter().cloned());
        let last = lines.pop().unwrap_or_default();
        let mut greeting: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
        greeting.push_str(&format!("250 {last}"));
        greeting
    }
}

/// Does `reply`; whether the conversation goes on after it. A 421 ends it, as it says.
async fn perform(stream: &mut BufReader<TcpStream>, reply: Reply) -> std::io::Result<bool> {
    match reply {
        Reply::Say(line) => {
            stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
            Ok(!line.starts_with("421"))
        }
        Reply::Stall => std::future::pending().await,
        Reply::HangUp => Ok(false),
    }
}

#[expect(clippy::disallowed_methods, reason = "a slow server is what is imitated")]
async fn pause(delay: Duration) {
    tokio::time::sleep(delay).await;
}

/// The address between the angle brackets.
fn path(line: &str) -> String {
    let address = line.split_once('<').and_then(|(_, rest)| rest.rsplit_once('>'));
    address.map_or(String::new(), |(address, _)| address.to_owned())
}
