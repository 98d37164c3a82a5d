//! Sending over SMTP, on lettre's single commands: only who knows at which stage a server said no
//! can tell a bad address from a fault of ours.

use std::fmt::{self, Display};
use std::io;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Noop, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Severity;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::{Outcome, message};

/// How long one mail may take, connecting included; below the lease of a delivery, so that a stalled
/// server doesn't let another node send the same mail.
pub const SEND_DEADLINE: Duration = Duration::from_secs(30);
/// How long one address of a server has to accept a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long a server has to say goodbye.
const QUIT_DEADLINE: Duration = Duration::from_secs(1);

/// A relay: where it is, how to encrypt and who we are.
pub struct SmtpServer {
    host: String,
    port: u16,
    tls_from_the_start: bool,
    credentials: Option<Credentials>,
    tls: TlsParameters,
    hello: ClientId,
}

/// What is wrong with an SMTP URL. Never shows the URL: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSmtpUrl {
    /// Neither `smtp://` nor `smtps://`.
    #[error("an SMTP URL starts with smtp:// or smtps://")]
    Scheme,
    /// No host, or one that can't be.
    #[error("an SMTP URL names a host, as in smtp://mail.example.com")]
    Host,
    /// A port that is none.
    #[error("the port of an SMTP URL is a number from 1 to 65535")]
    Port,
    /// A user without a password, or the other way round, or broken percent-encoding.
    #[error("the user and password of an SMTP URL are percent-encoded, as in smtp://user:p%40ss@mail.example.com")]
    Credentials,
    /// Something after the host.
    #[error("an SMTP URL ends after host and port; a /, ? or # in a user or password is written %2F, %3F or %23")]
    Rest,
    /// The TLS set-up.
    #[error("TLS can't be set up: {0}")]
    Tls(String),
}

impl SmtpServer {
    /// The server of `smtp://[user:password@]host[:port]` or `smtps://…`. `smtp://` (port 25) uses STARTTLS where the
    /// server offers it and is plain otherwise, but then refuses to send a password; `smtps://` (port 465)
    /// is TLS from the start. Certificates are checked against the system's authorities.
    pub fn parse(url: &str) -> Result<Self, BadSmtpUrl> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(BadSmtpUrl::Scheme)?;
        let tls_from_the_start = match scheme.to_ascii_lowercase().as_str() {
            "smtp" => false,
            "smtps" => true,
            _ => return Err(BadSmtpUrl::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(BadSmtpUrl::Rest);
        }
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        let credentials = user.map(credentials).transpose()?;
        let (host, port) = host_and_port(place)?;
        let port = port.unwrap_or(if tls_from_the_start { 465 } else { 25 });
        let tls = TlsParameters::builder(host.clone()).build_rustls();
        let tls = tls.map_err(|error| BadSmtpUrl::Tls(error.to_string()))?;
        Ok(Self { host, port, tls_from_the_start, credentials, tls, hello: ClientId::default() })
    }

    /// Whether this is a name of this very machine, so that mails don't cross a network to it.
    pub fn is_on_this_host(&self) -> bool {
        let loopback = |address: IpAddr| address.is_loopback();
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse().is_ok_and(loopback)
    }

    /// Connects, encrypts and authenticates as for a mail, and leaves; says what is wrong. For `doctor`.
    pub async fn check(&self) -> Result<(), String> {
        let tried = timeout(SEND_DEADLINE, async {
            let mut open = self.connect().await?;
            let noop = open.command(Noop).await;
            noop.map(|_| ()).map_err(Failure::at(Stage::Connect))
        });
        match tried.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(match failure.outcome() {
                Outcome::Refused { text } | Outcome::OurFault { text } | Outcome::Transient { text } => text,
                Outcome::Sent => String::new(),
            }),
            Err(_) => Err(TOO_LATE.to_owned()),
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let failed = Failure::at(Stage::Connect);
        let mut open = if self.tls_from_the_start {
            let (place, tls) = ((self.host.as_str(), self.port), Some(self.tls.clone()));
            AsyncSmtpConnection::connect_tokio1(place, Some(CONNECT_DEADLINE), &self.hello, tls, None).await
        } else {
            let stream = self.reach().await.map_err(|error| Failure::lost(Stage::Connect, &error))?;
            AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello).await
        }
        .map_err(&failed)?;
        if open.can_starttls() {
            open.starttls(self.tls.clone(), &self.hello).await.map_err(&failed)?;
        }
        if let Some(credentials) = &self.credentials {
            if !open.is_encrypted() {
                return Err(Failure::set_up("the server offers no STARTTLS: the password is not sent in the clear"));
            }
            open.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await.map_err(&failed)?;
        }
        Ok(open)
    }

    /// A connection to the first of the server's addresses that accepts one in time.
    async fn reach(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the mail server's name has no address");
        for address in lookup_host((self.host.as_str(), self.port)).await? {
            match timeout(CONNECT_DEADLINE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }
}

/// The server without its credentials.
impl Display for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls_from_the_start { "smtps" } else { "smtp" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// The server without its credentials.
impl fmt::Debug for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl FromStr for SmtpServer {
    type Err = BadSmtpUrl;

    fn from_str(url: &str) -> Result<Self, BadSmtpUrl> {
        Self::parse(url)
    }
}

fn credentials(user_and_password: &str) -> Result<Credentials, BadSmtpUrl> {
    let (user, password) = user_and_password.split_once(':').ok_or(BadSmtpUrl::Credentials)?;
    match (percent_decoded(user), percent_decoded(password)) {
        (Some(user), Some(password)) if !user.is_empty() && !password.is_empty() => {
            Ok(Credentials::new(user, password))
        }
        _ => Err(BadSmtpUrl::Credentials),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), BadSmtpUrl> {
    let (host, port) = match place.strip_prefix('[') {
        Some(bracketed) => {
            let (address, port) = bracketed.split_once(']').ok_or(BadSmtpUrl::Host)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| BadSmtpUrl::Host)?;
            (address, port)
        }
        None => {
            let end = place.find(':').unwrap_or(place.len());
            place.split_at(end)
        }
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(BadSmtpUrl::Host);
    }
    let port = match port {
        "" => None,
        port => match port.strip_prefix(':').and_then(|port| port.parse().ok()) {
            None | Some(0) => return Err(BadSmtpUrl::Port),
            port => port,
        },
    };
    Ok((host.to_owned(), port))
}

/// How far a mail had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Connecting, greeting, encrypting, authenticating.
    Connect,
    /// `MAIL FROM`.
    Mail,
    /// `RCPT TO`: the one stage at which a refusal is about the recipient.
    Rcpt,
    /// `DATA`.
    Data,
    /// The mail itself.
    Body,
}

/// What a refusal with `code` and `text` at `stage` means. Only RCPT can say that an address is no good: with an
/// enhanced code (RFC 3463) 5.1.x, addressing, or 5.2.x, the mailbox; or with 550, 551 or 553 without one.
pub fn classify(stage: Stage, code: u16, text: &str) -> Outcome {
    let shown = format!("{code} {text}");
    if !(500..600).contains(&code) {
        return Outcome::transient(&shown);
    }
    let about_the_recipient = match enhanced_subject(text) {
        Some(subject) => matches!(subject, 1 | 2),
        None => matches!(code, 550 | 551 | 553),
    };
    if stage == Stage::Rcpt && about_the_recipient { Outcome::refused(&shown) } else { Outcome::our_fault(&shown) }
}

/// The subject, y, of a permanent refusal's enhanced code `5.y.z` at the beginning of `text`. Codes of another class
/// contradict the refusal (RFC 2034) and count as none.
fn enhanced_subject(text: &str) -> Option<u16> {
    let mut parts = text.split_whitespace().next()?.split('.');
    let mut number = || parts.next().filter(|part| (1..=3).contains(&part.len()))?.parse::<u16>().ok();
    let (class, subject, _detail) = (number()?, number()?, number()?);
    (class == 5 && parts.next().is_none()).then_some(subject)
}

const TOO_LATE: &str = "the mail server did not answer in time";

/// Why a mail is not sent, or not known to be.
struct Failure {
    stage: Stage,
    problem: Problem,
}

enum Problem {
    /// The server said no.
    Reply { code: u16, text: String },
    /// The connection broke, or never came about.
    Lost(String),
    /// What we are set up to do can't be done with this server.
    SetUp(String),
}

impl Failure {
    fn at(stage: Stage) -> impl Fn(Error) -> Self {
        move |error| Self { stage, problem: Problem::from(error) }
    }

    fn lost(stage: Stage, why: &dyn Display) -> Self {
        Self { stage, problem: Problem::Lost(why.to_string()) }
    }

    fn set_up(why: &str) -> Self {
        Self { stage: Stage::Connect, problem: Problem::SetUp(why.to_owned()) }
    }

    /// Whether a connection that worked before is just no longer good: closed while idle, or for as
    /// many mails as the server takes on one.
    fn calls_for_a_new_connection(&self) -> bool {
        match &self.problem {
            Problem::Lost(_) => self.stage == Stage::Mail,
            Problem::Reply { code, .. } => self.stage == Stage::Mail && *code < 500,
            Problem::SetUp(_) => false,
        }
    }

    /// Whether the connection can go on after an RSET.
    fn leaves_the_connection(&self) -> bool {
        matches!(self.problem, Problem::Reply { code, .. } if code != 421)
    }

    fn outcome(&self) -> Outcome {
        match &self.problem {
            Problem::Reply { code, text } => classify(self.stage, *code, text),
            Problem::Lost(why) => Outcome::transient(&format!("the mail server can't be reached: {why}")),
            Problem::SetUp(why) => Outcome::our_fault(why),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (root, is_tls) = root(&error);
        if let Some(code) = error.status() {
            Self::Reply { code: code.into(), text: root }
        } else if is_tls || error.is_tls() {
            Self::SetUp(format!("TLS with the mail server failed: {root}"))
        } else if error.is_client() {
            Self::SetUp(root)
        } else {
            Self::Lost(root)
        }
    }
}

/// What is at the bottom of an error of lettre, and whether that is TLS (a certificate, a version), which it passes on
/// as an error in the data.
fn root(error: &Error) -> (String, bool) {
    let mut root: &(dyn std::error::Error + 'static) = error;
    let mut is_tls = false;
    loop {
        is_tls |= root.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::InvalidData);
        match root.source() {
            Some(source) => root = source,
            None => return (root.to_string(), is_tls),
        }
    }
}

/// A connection to one server: opened when a mail needs it, kept for the next, replaced when it is no longer good.
#[derive(Debug)]
pub struct Connection {
    server: Arc<SmtpServer>,
    deadline: Duration,
    open: Option<Open>,
}

struct Open {
    smtp: AsyncSmtpConnection,
    /// The last mail was refused half-way.
    needs_reset: bool,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("needs_reset", &self.needs_reset).finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection to `server`, not yet opened; each mail has `deadline` to be sent.
    pub fn new(server: Arc<SmtpServer>, deadline: Duration) -> Self {
        Self { server, deadline, open: None }
    }

    /// Sends one `mail` from the address `from` to the address `to`.
    pub async fn send(&mut self, from: &str, to: &str, mail: &[u8]) -> Outcome {
        let (Some(from), Some(to)) = (path(from), path(to)) else {
            return Outcome::our_fault("the envelope's addresses must be ASCII without spaces and angle brackets");
        };
        let Ok(mail) = std::str::from_utf8(mail) else {
            return Outcome::our_fault("the mail must be ASCII");
        };
        // While a mail is under way the connection is not in `open`: whatever interrupts it, this
        // deadline or the caller's, closes it too.
        match timeout(self.deadline, self.attempt(&from, &to, mail)).await {
            Ok(Ok(())) => Outcome::Sent,
            Ok(Err(failure)) => failure.outcome(),
            Err(_) => Outcome::transient(TOO_LATE),
        }
    }

    /// Says goodbye; the next mail opens a new connection.
    pub async fn close(&mut self) {
        if let Some(mut open) = self.open.take() {
            // Best effort: whoever doesn't answer is left.
            drop(timeout(QUIT_DEADLINE, open.smtp.quit()).await);
        }
    }

    async fn attempt(&mut self, from: &str, to: &str, mail: &str) -> Result<(), Failure> {
        if let Some(open) = self.open.take() {
            match self.attempt_on(open, from, to, mail).await {
                Err(failure) if failure.calls_for_a_new_connection() => self.open = None,
                settled => return settled,
            }
        }
        let smtp = self.server.connect().await?;
        self.attempt_on(Open { smtp, needs_reset: false }, from, to, mail).await
    }

    /// Sends on `open` and keeps it where it is still good.
    async fn attempt_on(&mut self, mut open: Open, from: &str, to: &str, mail: &str) -> Result<(), Failure> {
        let result = open.transact(from, to, mail).await;
        open.needs_reset = result.is_err();
        if result.as_ref().err().is_none_or(Failure::leaves_the_connection) {
            self.open = Some(open);
        }
        result
    }
}

impl Open {
    async fn transact(&mut self, from: &str, to: &str, mail: &str) -> Result<(), Failure> {
        if self.needs_reset {
            self.smtp.command(Rset).await.map_err(Failure::at(Stage::Mail))?;
        }
        self.smtp.command(Line(format!("MAIL FROM:<{from}>"))).await.map_err(Failure::at(Stage::Mail))?;
        self.smtp.command(Line(format!("RCPT TO:<{to}>"))).await.map_err(Failure::at(Stage::Rcpt))?;
        self.smtp.command(Data).await.map_err(Failure::at(Stage::Data))?;
        let answer = self.smtp.command(Body(mail)).await.map_err(Failure::at(Stage::Body))?;
        match answer.code().severity {
            Severity::PositiveCompletion => Ok(()),
            _ => Err(Failure::lost(Stage::Body, &"it asked for more after the mail")),
        }
    }
}

/// An address for the envelope; none when it could mean more than an address there.
fn path(address: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>');
    address.chars().all(plain).then(|| message::mailbox(address))
}

/// One command line. lettre's own commands take only its own kind of address, which is narrower than
/// what the API accepts.
struct Line(String);

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\r\n", self.0)
    }
}

/// A whole mail with its dots doubled (RFC 5321 section 4.5.2) and its end. In one piece: the end alone in a packet of
/// its own would wait for the server's delayed acknowledgement.
struct Body<'a>(&'a str);

impl Display for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.split_inclusive("\r\n") {
            if line.starts_with('.') {
                f.write_str(".")?;
            }
            f.write_str(line)?;
        }
        f.write_str(if self.0.ends_with("\r\n") { ".\r\n" } else { "\r\n.\r\n" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<(String, Option<Credentials>), BadSmtpUrl> {
        SmtpServer::parse(url).map(|server| (server.to_string(), server.credentials))
    }

    #[test]
    fn a_url_names_scheme_host_and_port() {
        for (url, expected) in [
            ("smtp://mail.example.com", "smtp://mail.example.com:25"),
            ("smtps://mail.example.com/", "smtps://mail.example.com:465"),
            ("SMTP://127.0.0.1:2525", "smtp://127.0.0.1:2525"),
            ("smtp://[::1]:587", "smtp://[::1]:587"),
            ("smtps://[::1]", "smtps://[::1]:465"),
        ] {
            assert_eq!(parsed(url), Ok((expected.to_owned(), None)), "{url}");
        }
    }

    #[test]
    fn credentials_are_percent_decoded() {
        for (url, user, password) in [
            ("smtp://user:secret@h", "user", "secret"),
            ("smtps://me%40example.com:p%2Fa%3As%25s+%E2%82%AC@h", "me@example.com", "p/a:s%s+€"),
            ("smtp://user:a:b@h", "user", "a:b"),
            ("smtp://user@example.com:secret@h", "user@example.com", "secret"),
        ] {
            let credentials = Credentials::new(user.to_owned(), password.to_owned());
            assert_eq!(parsed(url).map(|(_, credentials)| credentials), Ok(Some(credentials)), "{url}");
        }
    }

    #[test]
    fn a_bad_url_is_explained_without_showing_it() {
        for (url, expected) in [
            ("", BadSmtpUrl::Scheme),
            ("mail.example.com:25", BadSmtpUrl::Scheme),
            ("http://h", BadSmtpUrl::Scheme),
            ("smtp://", BadSmtpUrl::Host),
            ("smtp://:25", BadSmtpUrl::Host),
            ("smtp://[::1", BadSmtpUrl::Host),
            ("smtp://[mail]", BadSmtpUrl::Host),
            ("smtp://a b", BadSmtpUrl::Host),
            ("smtp://h:0", BadSmtpUrl::Port),
            ("smtp://h:", BadSmtpUrl::Port),
            ("smtp://h:70000", BadSmtpUrl::Port),
            ("smtp://[::1]25", BadSmtpUrl::Port),
            ("smtp://user@h", BadSmtpUrl::Credentials),
            ("smtp://user:@h", BadSmtpUrl::Credentials),
            ("smtp://user:%zz@h", BadSmtpUrl::Credentials),
            ("smtp://user:%F@h", BadSmtpUrl::Credentials),
            ("smtp://user:%FF@h", BadSmtpUrl::Credentials),
            ("smtp://user:se/cret@h", BadSmtpUrl::Rest),
            ("smtp://h/path", BadSmtpUrl::Rest),
            ("smtp://h?tls=none", BadSmtpUrl::Rest),
        ] {
            assert_eq!(parsed(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn a_server_is_never_shown_with_its_password() {
        let server = SmtpServer::parse("smtps://user:hunter2@mail.example.com").expect("url");
        assert_eq!(format!("{server} {server:?}"), "smtps://mail.example.com:465 smtps://mail.example.com:465");
    }

    #[test]
    fn this_host_is_loopback() {
        for (url, expected) in [
            ("smtp://localhost", true),
            ("smtp://127.0.0.9", true),
            ("smtp://[::1]", true),
            ("smtp://mail.example.com", false),
            ("smtp://192.0.2.1", false),
            ("smtp://localhost.example.com", false),
        ] {
            assert_eq!(SmtpServer::parse(url).expect(url).is_on_this_host(), expected, "{url}");
        }
    }

    #[test]
    fn a_refusal_is_final_only_where_it_is_about_the_recipient() {
        #[derive(Debug, PartialEq)]
        enum Means {
            Refused,
            OurFault,
            Transient,
        }
        use Means::{OurFault, Refused, Transient};
        use Stage::{Body, Connect, Data, Mail, Rcpt};

        for (stage, code, text, expected) in [
            (Rcpt, 550, "No such user", Refused),
            (Rcpt, 550, "", Refused),
            (Rcpt, 551, "User not local", Refused),
            (Rcpt, 553, "Mailbox name not allowed", Refused),
            (Rcpt, 550, "5.1.1 No such user", Refused),
            (Rcpt, 550, "5.1.10 Null MX", Refused),
            (Rcpt, 554, "5.1.2 Bad domain", Refused),
            (Rcpt, 552, "5.2.2 Mailbox full", Refused),
            (Rcpt, 550, "5.2.1 Mailbox disabled", Refused),
            (Rcpt, 550, "5.7.1 Relaying denied", OurFault),
            (Rcpt, 550, "5.0.0 Other", OurFault),
            (Rcpt, 550, "5.4.1 Access denied", OurFault),
            (Rcpt, 550, "5.10.1 No such subject", OurFault),
            // No enhanced codes: another class, another place, another form.
            (Rcpt, 550, "4.7.1 contradicts", Refused),
            (Rcpt, 550, "User 5.7.1 unknown", Refused),
            (Rcpt, 550, "5.7.1.2 is a version", Refused),
            (Rcpt, 554, "4.1.1 contradicts", OurFault),
            (Rcpt, 552, "Over quota", OurFault),
            (Rcpt, 554, "Refused", OurFault),
            (Rcpt, 530, "5.7.0 Authentication required", OurFault),
            (Rcpt, 503, "Bad sequence", OurFault),
            (Rcpt, 450, "4.2.1 Try later", Transient),
            (Rcpt, 421, "4.7.0 Closing", Transient),
            (Rcpt, 452, "5.1.1 contradicts", Transient),
            (Connect, 554, "5.7.1 Go away", OurFault),
            (Connect, 535, "5.7.8 Bad password", OurFault),
            (Connect, 550, "5.1.1 Odd", OurFault),
            (Connect, 421, "Busy", Transient),
            (Connect, 454, "4.7.0 TLS not available", Transient),
            (Mail, 530, "5.7.0 Authentication required", OurFault),
            (Mail, 550, "5.1.8 Bad sender", OurFault),
            (Mail, 550, "Sender refused", OurFault),
            (Mail, 451, "Later", Transient),
            (Data, 554, "5.5.1 No valid recipients", OurFault),
            (Data, 451, "Later", Transient),
            (Body, 550, "5.1.1 No such user", OurFault),
            (Body, 554, "5.7.1 Spam", OurFault),
            (Body, 552, "5.3.4 Too big", OurFault),
            (Body, 452, "4.3.1 Disk full", Transient),
        ] {
            let (means, shown) = match classify(stage, code, text) {
                Outcome::Refused { text } => (Refused, text),
                Outcome::OurFault { text } => (OurFault, text),
                Outcome::Transient { text } => (Transient, text),
                Outcome::Sent => panic!("a refusal is not sent"),
            };
            assert_eq!(means, expected, "{stage:?} {code} {text}");
            assert_eq!(shown, format!("{code} {text}").trim());
        }
    }

    #[test]
    fn dots_are_doubled_at_the_beginning_of_a_line() {
        for (mail, expected) in
            [("a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n"), (".a.b\r\n..c", "..a.b\r\n...c\r\n.\r\n"), ("", "\r\n.\r\n")]
        {
            assert_eq!(Body(mail).to_string(), expected);
        }
    }

    #[test]
    fn an_address_cannot_be_a_command() {
        assert_eq!(path("a..b@example.com").as_deref(), Some("\"a..b\"@example.com"));
        for address in ["a@b> NOTIFY=NEVER", "a@b\r\nDATA", "<a@b", "é@b"] {
            assert_eq!(path(address), None, "{address}");
        }
    }
}
