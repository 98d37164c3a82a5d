//! Sending over SMTP, against a server that answers as told.

#[expect(dead_code, reason = "shared with tests and benchmarks that use other parts of it")]
#[path = "support/smtp_sink.rs"]
mod smtp_sink;

use std::sync::Arc;
use std::time::Duration;

use giftd::mail::{Connection, GiftMail, Maildir, Outcome, Post, Rendered, Sender, SmtpServer};
use giftd_domain::access::Environment;
use giftd_domain::gifts::{MailKind, Recipient};
use giftd_domain::money::Money;
use giftd_domain::templates::{SenderLook, TemplateContent};
use smtp_sink::{Reply, SmtpSink, Stage};

const LONG: Duration = Duration::from_secs(20);
const FROM: &str = "gifts@giftd.example";
const MAIL: &[u8] = b"Subject: hello\r\n\r\n.a line with a dot\r\n";

fn server(url: &str) -> Arc<SmtpServer> {
    Arc::new(SmtpServer::parse(url).expect("url"))
}

fn connection(sink: &SmtpSink) -> Connection {
    Connection::new(server(&sink.url()), LONG)
}

async fn send(connection: &mut Connection) -> Outcome {
    connection.send(FROM, "alice@example.com", MAIL).await
}

fn refused(text: &str) -> Outcome {
    Outcome::Refused { text: text.to_owned() }
}

fn our_fault(text: &str) -> Outcome {
    Outcome::OurFault { text: text.to_owned() }
}

fn transient(text: &str) -> Outcome {
    Outcome::Transient { text: text.to_owned() }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let sink = SmtpSink::start().await;
    assert_eq!(connection(&sink).send(FROM, "a..b@example.com", MAIL).await, Outcome::Sent);
    let [mail] = sink.mails().try_into().expect("one mail");
    assert_eq!((mail.from.as_str(), mail.to), (FROM, vec!["\"a..b\"@example.com".to_owned()]));
    assert_eq!(mail.data.as_bytes(), MAIL);
}

#[tokio::test]
async fn what_a_refusal_means_depends_on_its_stage() {
    for (stage, reply, expected) in [
        (Stage::Greeting, "554 5.7.1 go away", our_fault("554 5.7.1 go away")),
        (Stage::Greeting, "421 busy", transient("421 busy")),
        (Stage::Ehlo, "550 no", our_fault("550 no")),
        (Stage::Mail, "530 5.7.0 log in", our_fault("530 5.7.0 log in")),
        (Stage::Mail, "550 5.1.1 odd", our_fault("550 5.1.1 odd")),
        (Stage::Mail, "451 later", transient("451 later")),
        (Stage::Mail, "421 closing", transient("421 closing")),
        (Stage::Rcpt, "550 no such user", refused("550 no such user")),
        (Stage::Rcpt, "550 5.1.1 no such user", refused("550 5.1.1 no such user")),
        (Stage::Rcpt, "550-5.1.1 no\r\n550 5.1.1 such user", refused("550 5.1.1 no such user")),
        (Stage::Rcpt, "552 5.2.2 full", refused("552 5.2.2 full")),
        (Stage::Rcpt, "553 no such name", refused("553 no such name")),
        (Stage::Rcpt, "550 5.7.1 relaying denied", our_fault("550 5.7.1 relaying denied")),
        (Stage::Rcpt, "530 log in", our_fault("530 log in")),
        (Stage::Rcpt, "450 4.2.1 greylisted", transient("450 4.2.1 greylisted")),
        (Stage::Rcpt, "421 closing", transient("421 closing")),
        (Stage::Data, "554 5.5.1 nobody", our_fault("554 5.5.1 nobody")),
        (Stage::Data, "450 later", transient("450 later")),
        (Stage::Body, "550 5.1.1 no such user", our_fault("550 5.1.1 no such user")),
        (Stage::Body, "554 5.7.1 spam", our_fault("554 5.7.1 spam")),
        (Stage::Body, "452 4.3.1 disk full", transient("452 4.3.1 disk full")),
        (Stage::Body, "421 closing", transient("421 closing")),
    ] {
        let sink = SmtpSink::start().await;
        let mut connection = connection(&sink);
        sink.once(stage, reply);
        assert_eq!(send(&mut connection).await, expected, "{stage:?} {reply}");
        assert_eq!(sink.count(), 0, "{stage:?} {reply}");
        assert_eq!(send(&mut connection).await, Outcome::Sent, "the next mail after {stage:?} {reply}");
        assert_eq!(sink.count(), 1, "{stage:?} {reply}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_transient_at_every_stage() {
    for stage in [Stage::Greeting, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Body] {
        let sink = SmtpSink::start().await;
        let mut connection = connection(&sink);
        sink.once(stage, Reply::HangUp);
        let outcome = send(&mut connection).await;
        assert!(matches!(outcome, Outcome::Transient { .. }), "{stage:?}: {outcome:?}");
        assert_eq!(send(&mut connection).await, Outcome::Sent, "the next mail after {stage:?}");
    }
}

#[tokio::test]
async fn nobody_listening_is_transient() {
    let url = SmtpSink::start().await.url();
    let outcome = send(&mut Connection::new(server(&url), LONG)).await;
    assert!(matches!(outcome, Outcome::Transient { .. }), "{outcome:?}");
}

#[tokio::test]
async fn one_connection_carries_many_mails() {
    let sink = SmtpSink::start().await;
    let mut connection = connection(&sink);
    for _ in 0..50 {
        assert_eq!(send(&mut connection).await, Outcome::Sent);
    }
    assert_eq!((sink.count(), sink.connections()), (50, 1));
    connection.close().await;
    assert!(sink.commands().iter().all(|command| command != "RSET"), "{:?}", sink.commands());
    assert_eq!(sink.commands().last().map(String::as_str), Some("QUIT"));
    assert_eq!(send(&mut connection).await, Outcome::Sent);
    assert_eq!(sink.connections(), 2);
}

#[tokio::test]
async fn a_refused_recipient_does_not_cost_the_connection() {
    let sink = SmtpSink::start().await;
    let mut connection = connection(&sink);
    sink.for_recipient("bob@example.com", "550 5.1.1 no bob");
    assert_eq!(send(&mut connection).await, Outcome::Sent);
    assert_eq!(connection.send(FROM, "bob@example.com", MAIL).await, refused("550 5.1.1 no bob"));
    assert_eq!(send(&mut connection).await, Outcome::Sent);
    assert_eq!((sink.count(), sink.connections()), (2, 1));
    assert_eq!(sink.commands().iter().filter(|command| *command == "RSET").count(), 1);
}

#[tokio::test]
async fn a_connection_that_the_server_gave_up_is_replaced_within_the_same_mail() {
    for (stage, reply) in [
        (Stage::Mail, Reply::HangUp),
        (Stage::Mail, "421 idle for too long".into()),
        (Stage::Mail, "451 too many mails on one connection".into()),
    ] {
        let sink = SmtpSink::start().await;
        let mut connection = connection(&sink);
        assert_eq!(send(&mut connection).await, Outcome::Sent);
        sink.once(stage, reply);
        assert_eq!(send(&mut connection).await, Outcome::Sent);
        assert_eq!((sink.count(), sink.connections()), (2, 2));
    }
}

#[tokio::test]
async fn a_stalled_server_costs_no_more_than_the_deadline() {
    for stage in [Stage::Greeting, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Body] {
        let sink = SmtpSink::start().await;
        let mut connection = Connection::new(server(&sink.url()), Duration::from_millis(200));
        sink.once(stage, Reply::Stall);
        let outcome = tokio::time::timeout(LONG, send(&mut connection)).await.expect("within the deadline");
        assert_eq!(outcome, transient("the mail server did not answer in time"), "{stage:?}");
    }
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let sink = SmtpSink::start().await;
    sink.delay(Duration::from_millis(50));
    assert_eq!(send(&mut connection(&sink)).await, Outcome::Sent);
}

#[tokio::test]
async fn starttls_is_used_where_it_is_offered_and_nothing_is_said_before() {
    let sink = SmtpSink::start().await;
    sink.offer("STARTTLS");
    let outcome = send(&mut connection(&sink)).await;
    assert!(matches!(outcome, Outcome::Transient { .. }), "the sink knows no TLS: {outcome:?}");
    let commands = sink.commands();
    assert_eq!(commands.get(1..), Some(["STARTTLS".to_owned(), "<TLS>".to_owned()].as_slice()), "{commands:?}");
}

#[tokio::test]
async fn a_refused_starttls_does_not_fall_back_to_plain() {
    let sink = SmtpSink::start().await;
    sink.offer("STARTTLS");
    sink.once(Stage::StartTls, "454 4.7.0 not now");
    assert_eq!(send(&mut connection(&sink)).await, transient("454 4.7.0 not now"));
    assert!(sink.mails().is_empty());
}

#[tokio::test]
async fn a_password_is_never_sent_in_the_clear() {
    let sink = SmtpSink::start().await;
    sink.offer("AUTH PLAIN LOGIN");
    let url = sink.url().replace("smtp://", "smtp://user:hunter2@");
    let outcome = send(&mut Connection::new(server(&url), LONG)).await;
    assert_eq!(outcome, our_fault("the server offers no STARTTLS: the password is not sent in the clear"));
    assert!(sink.commands().iter().all(|command| !command.starts_with("AUTH")), "{:?}", sink.commands());
    assert_eq!(
        server(&url).check().await,
        Err("the server offers no STARTTLS: the password is not sent in the clear".into())
    );
}

#[tokio::test]
async fn doctor_can_ask_a_server() {
    let sink = SmtpSink::start().await;
    assert_eq!(server(&sink.url()).check().await, Ok(()));
    sink.once(Stage::Greeting, "554 go away");
    assert_eq!(server(&sink.url()).check().await, Err("554 go away".to_owned()));
}

#[tokio::test]
async fn a_sender_captures_the_sandbox_and_relays_production() {
    let sink = SmtpSink::start().await;
    let data = tempfile::tempdir().expect("folder");
    let maildir = Maildir::in_data_dir(data.path());
    let mut sender = Sender::new(Post { smtp: Some(server(&sink.url())), maildir: maildir.clone(), dkim: None });

    assert_eq!(sender.send(&gift(1, Environment::Production)).await, Outcome::Sent);
    assert_eq!(sender.send(&gift(2, Environment::Sandbox)).await, Outcome::Sent);
    assert!(sink.has_taken(1, LONG).await);
    let [relayed] = sink.mails().try_into().expect("one mail");
    assert!(relayed.data.contains("Message-ID: <OT-00001.1@giftd.example>\r\n"), "{}", relayed.data);
    assert_eq!((relayed.from.as_str(), relayed.to), (FROM, vec!["alice@example.com".to_owned()]));
    let captured = std::fs::read_to_string(maildir.new_mails().join("OT-00002.1@giftd.example")).expect("captured");
    assert!(captured.contains("Message-ID: <OT-00002.1@giftd.example>\r\n"), "{captured}");
}

fn gift(position: u32, environment: Environment) -> Rendered {
    let mail_from: giftd::mail::MailFrom = FROM.parse().expect("address");
    let mail = GiftMail {
        kind: MailKind::Gift,
        message_id: mail_from.message_id(format_args!("OT-{position:05}"), MailKind::Gift, 1),
        date: "2026-11-22T18:30:00Z".parse().expect("date"),
        mail_from,
        to: "alice@example.com".to_owned(),
        recipient: Recipient {
            email: Some("alice@example.com".to_owned()),
            first_name: None,
            last_name: None,
            company: None,
            department: None,
        },
        sender_name: "Acme Corp".to_owned(),
        subject: "A gift for you!".to_owned(),
        message: None,
        card_name: "Cedar & Wrenfield".to_owned(),
        amount: Money::usd(5000),
        expires_at: "2027-05-21T18:30:00Z".parse().expect("date"),
        link: "https://gifts.example/r/token".to_owned(),
        template: TemplateContent::first("Acme Corp"),
        look: Arc::new(SenderLook::default()),
        environment,
        is_preview: false,
    };
    mail.render().expect("rendered")
}
