//! The log of a whole life, as loud as it gets, holds no secret: no token, code, link, password or key, and nothing that
//! tells who gets a gift.

use std::fs;

use giftd::clock::Clock;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::bed::{Bed, Credentials, DEADLINE, Database, Process, on, string};
use crate::client::{Client, token};
use crate::smtp_sink::SmtpSink;
use crate::web::{Answer, Browser};

/// Where the life ends up.
const CODE: &str = "CEDAR-7731-QX";
const PIN: &str = "PIN-98431";
/// The passwords of the URLs.
const DATABASE_PASSWORD: &str = "hunter2-of-the-database";
const SMTP_PASSWORD: &str = "hunter2-of-the-relay";
/// Who gets gifts.
const ALICE: &str = "alice.quartermaine@example.com";
const MOVED: &str = "zsofia.elsewhere@example.org";
const REFUSED: &str = "nobody.of-that-name@example.com";
const SOON: &str = "greylisted.person@example.com";
const BLOCKED: &str = "blocked.person@example.com";
const PREVIEWED: &str = "proofreader@example.net";
/// What signs mails, and what opens the metrics.
const DKIM_KEY: &str = "MC4CAQAwBQYDK2VwBCIEIOBVjulGgs2eMbn7AnddRb96lsZYKC+X8P5z0V8tRauc";
const METRICS_TOKEN: &str = "a-token-for-the-metrics";
/// What only bodies say.
const TEXTS: [&str; 5] = ["Quartermaine", "Zsofia", "Brightwater Ltd", "Hush-hush subject", "A message for few eyes"];
/// What a relay made up that read our mails.
const QUOTED: &str = "QUOTED-by-a-relay_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn nothing_secret_is_logged_in_text_on_sqlite() {
    on(Database::Sqlite, async |bed: Bed| whole_life(bed, "text").await);
}

#[test]
fn nothing_secret_is_logged_in_json_on_postgres() {
    on(Database::Postgres, async |bed: Bed| whole_life(bed, "json").await);
}

/// What must not be in the log, each with what it is.
#[derive(Default)]
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn add(&mut self, what: &str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() >= 6, "{what} is too short to look for: {secret}");
        self.0.push((what.to_owned(), secret));
    }

    /// A token, and each part that says something.
    fn add_token(&mut self, token: &str) {
        self.add("an access token", token);
        for part in token.split('.').skip(1) {
            self.add("a part of an access token", part);
            self.add("half of a part of an access token", &part[..part.len() / 2]);
        }
    }

    fn assert_not_in(&self, log: &str) {
        for (what, secret) in &self.0 {
            if let Some(line) = log.lines().find(|line| line.contains(secret.as_str())) {
                panic!("{what}, {secret}, is in the log: {line}");
            }
        }
    }
}

async fn whole_life(mut bed: Bed, format: &str) {
    let mut secrets = Secrets::default();
    bed.set("GIFTD_LOG", "trace");
    bed.set("GIFTD_LOG_FORMAT", format);
    with_database_password(&mut bed, &mut secrets);
    let sink = SmtpSink::start().await;
    sink.for_recipient(REFUSED, format!("550 5.1.1 <{REFUSED}>: no such user here").as_str());
    sink.for_recipient(SOON, format!("451 4.7.1 {SOON}: come back later").as_str());
    sink.for_recipient(BLOCKED, format!("554 5.7.1 http://gifts.example/r/{QUOTED} to {BLOCKED} is spam").as_str());
    bed.set("GIFTD_SMTP_URL", &sink.url());
    bed.set("GIFTD_DKIM_KEY", &format!("-----BEGIN PRIVATE KEY-----\n{DKIM_KEY}\n-----END PRIVATE KEY-----\n"));
    secrets.add("the key that signs mails", DKIM_KEY);
    bed.set("GIFTD_METRICS_TOKEN", METRICS_TOKEN);
    secrets.add("the token of the metrics", METRICS_TOKEN);

    let app = bed.prepare();
    secrets.add("a client secret", &app.client_secret);
    let codes = bed.folder.path().join("codes.csv");
    fs::write(&codes, format!("code,pin,faceValue\n{CODE},{PIN},50.00\n")).expect("written");
    bed.json(&["codes", "import", "--product", "10042", &codes.display().to_string()]);
    secrets.add("a code", CODE);
    secrets.add("a PIN", PIN);

    let process = bed.serve();
    let mut client = Client::new(&process, &app).await;
    secrets.add_token(client.token());
    place_and_redeem(&process, &mut client, &sink, &mut secrets).await;
    rehearse(&bed, &process, &mut secrets).await;
    go_wrong(&process, &mut client, &app, &mut secrets).await;
    process.stop().await;
    with_smtp_password(&mut bed, &app, &mut secrets).await;

    let mut said = String::new();
    for command in [&["app", "list", "--org", "1"][..], &["doctor"], &["codes", "status"], &["ledger", "verify"]] {
        let answer = bed.run(command);
        said.push_str(&format!("{}{}", answer.stdout, answer.stderr));
    }
    said.push_str(
        &bed.refused(&["codes", "import", "--product", "nothing", &codes.display().to_string()], "NOT_FOUND"),
    );
    bed.set("GIFTD_DATABASE_URL", &format!("postgres://giftd:{DATABASE_PASSWORD}@127.0.0.1:1/giftd"));
    said.push_str(&bed.refused(&["ledger", "verify"], "UNAVAILABLE"));

    for address in [ALICE, MOVED, REFUSED, SOON, BLOCKED, PREVIEWED] {
        secrets.add("an address", address);
        secrets.add("the name in an address", address.split('@').next().expect("a name"));
    }
    TEXTS.iter().for_each(|text| secrets.add("a text of an order", *text));
    secrets.add("a link that a relay quoted", QUOTED);
    add_keys(&bed, &mut secrets);
    let log = fs::read_to_string(bed.folder.path().join("log")).expect("a log");
    for (wanted, why) in [
        ("answered", "requests are logged at the loudest level"),
        ("a gift's mail failed for good", "a refusal is logged"),
        ("no such user here", "with what the relay said"),
        ("a mail is not sent yet", "a delay is logged"),
        ("a mail can't be sent for a fault of ours", "our faults are logged"),
        ("a gift's address was changed by a resend", "moves are logged"),
        ("an order was canceled", "cancels are logged"),
        ("a sandbox's clock is moved", "a clock's moves are logged"),
        ("refused", "wrong requests are logged"),
    ] {
        assert!(log.contains(wanted), "{why}: {log}");
    }
    secrets.assert_not_in(&log);
    secrets.assert_not_in(&said);
}

/// From an order to its code, with a move to another address in between.
async fn place_and_redeem(process: &Process, client: &mut Client, sink: &SmtpSink, secrets: &mut Secrets) {
    let recipients = json!([
        {"email": ALICE, "firstName": "Zsofia", "lastName": "Quartermaine", "company": "Brightwater Ltd", "amount": 50},
        {"email": REFUSED, "amount": 50}, {"email": SOON, "amount": 50}, {"email": BLOCKED, "amount": 50},
    ]);
    let order = placed(client, "branded-cards", order("branded", "10042", &recipients)).await;
    placed(client, "choice-cards", self::order("choice", "55", &json!([{"email": ALICE, "amount": 50}]))).await;
    let links = json!({
        "idempotencyKey": "links", "cardType": "BRANDED_CARD", "productId": "10042", "quantity": 2, "amountPerLink": 50
    });
    let reward = placed(client, "reward-links", links).await;
    assert!(sink.has_taken(2, DEADLINE).await, "two mails to Alice");
    let old = sink.mails().iter().find_map(|mail| link(&mail.data)).expect("a link");
    secrets.add("a link", token_of(&old));

    // What the relay has taken is settled a moment later.
    until(client, &order, |order| order["data"]["recipients"][0]["deliveryStatus"] == "SENT").await;
    let moved = json!({"recipients": [{"email": ALICE, "updatedEmail": MOVED}]});
    let path = format!("/api/v1/orders/{order}/resend");
    assert_eq!(post(client, &path, &moved).await.0, StatusCode::OK);
    assert!(sink.has_taken(3, DEADLINE).await, "a mail to the new address");
    let mail = sink.mails().into_iter().find(|mail| mail.to == [MOVED]).expect("the mail");
    let page = link(&mail.data).expect("a link");
    secrets.add("a link", token_of(&page));

    let mut browser = Browser::new(process.address);
    let first = ask_for_a_verification(&mut browser, &page, secrets).await;
    assert!(sink.has_taken(4, DEADLINE).await, "the verification");
    let mail = sink.mails().into_iter().rfind(|mail| mail.to == [MOVED]).expect("the mail");
    let verify = format!("{page}/verify/{}", between(&unfolded(&mail.data), "/verify/"));
    let (asked, code) = reveal(&mut browser, &page, &verify, secrets).await;
    assert!(code.text.contains(CODE) && code.text.contains(PIN), "{}", code.text);

    // A used verification, a form that isn't ours, and a link that is no good any more.
    assert!(Browser::new(process.address).submit(&asked, &verify, &[]).await.status >= 400);
    let forged = Answer { text: first.text.replace(&first.hidden("csrf"), "forged"), ..first };
    assert_eq!(browser.submit(&forged, &format!("{page}/verification"), &[]).await.status, 403);
    let alice = json!({"recipients": [{"email": MOVED, "updatedEmail": ALICE}]});
    post(client, &path, &alice).await;
    browser.get(&format!("{page}x")).await;
    browser.get(&format!("{page}/codes/zsofia.elsewhere@example.org?secret={CODE}")).await;

    let reward = until(client, &reward, |order| order["data"]["recipients"][0]["rewardLink"].is_string()).await;
    let link = reward["data"]["recipients"][0]["rewardLink"].as_str().expect("a link");
    secrets.add("a reward link", token_of(link));
    let path = link.split_once("/r/").map(|(_, token)| format!("/r/{token}")).expect("a path");
    assert_eq!(browser.get(&path).await.status, 200);
}

/// The page, from which a verification is asked for.
async fn ask_for_a_verification(browser: &mut Browser, page: &str, secrets: &mut Secrets) -> Answer {
    let first = browser.get(page).await;
    secrets.add("a form's token", first.hidden("csrf"));
    assert_eq!(browser.submit(&first, &format!("{page}/verification"), &[]).await.status, 303);
    first
}

/// From a verification's link to the code: the page that the link leads to, and the last.
async fn reveal(browser: &mut Browser, page: &str, verify: &str, secrets: &mut Secrets) -> (Answer, Answer) {
    secrets.add("a verification's token", verify.rsplit('/').next().expect("a token"));
    let asked = browser.get(verify).await;
    assert_eq!(browser.submit(&asked, verify, &[]).await.status, 303);
    secrets.add("a session", browser.cookie.split('=').nth(1).expect("a cookie").split(';').next().expect("a value"));
    let opened = browser.get(page).await;
    secrets.add("a redemption's form", opened.hidden("csrf"));
    let answer = browser.submit(&opened, &format!("{page}/redeem"), &[]).await;
    let code = browser.get(&answer.location).await;
    (asked, code)
}

/// In a sandbox, whose mails the API tells: a template, a preview, a cancel, a code, a reminder and an expiry. And the metrics.
async fn rehearse(bed: &Bed, process: &Process, secrets: &mut Secrets) {
    let scopes = "orders.read orders.write orders.cancel templates.write";
    let create = ["app", "create", "--org", "1", "--environment", "sandbox", "--name", "Rehearsal", "--scopes", scopes];
    let app = bed.json(&create);
    let app = Credentials { client_id: string(&app["clientId"]), client_secret: string(&app["clientSecret"]) };
    secrets.add("a client secret", &app.client_secret);
    let mut client = Client::new(process, &app).await;
    secrets.add_token(client.token());
    let (sender, message) = ("Brightwater Ltd", "A message for few eyes");
    let template = json!({"name": "Quartermaine", "senderName": sender, "message": message});
    assert_eq!(post(&mut client, "/api/v1/templates", &template).await.0, StatusCode::CREATED);
    let preview = json!({
        "email": PREVIEWED, "productId": "10042", "amount": 50, "senderName": sender,
        "emailSubject": "Hush-hush subject", "emailMessage": message
    });
    let (status, answer) = post(&mut client, "/api/v1/orders/test-email", &preview).await;
    assert_eq!(status, StatusCode::OK, "{answer:#}");

    let mut scheduled = order("scheduled", "10042", &json!([{"email": ALICE, "amount": 50}]));
    let in_a_month = Clock::system().now() + std::time::Duration::from_secs(30 * 24 * 3_600);
    scheduled["sendTiming"] = json!({
        "type": "SCHEDULED", "scheduledAt": in_a_month.strftime("%Y-%m-%dT09:00:00").to_string(), "timezone": "UTC"
    });
    let scheduled = placed(&mut client, "branded-cards", scheduled).await;
    let cancel = format!("/api/v1/orders/{scheduled}/cancel");
    let (status, answer) = client.try_send(hyper::Method::DELETE, &cancel, String::new()).await.expect("an answer");
    assert_eq!(status, StatusCode::OK, "{answer:#}");

    let recipients = json!([{"email": ALICE, "amount": 50}, {"email": "hard-bounce@example.com", "amount": 50}]);
    let mut kept = order("kept", "10042", &recipients);
    kept["refundOption"] = json!(true);
    let kept = placed(&mut client, "branded-cards", kept).await;
    let first = mail_with(&mut client, &kept, "/r/").await;
    let page = link(&first).expect("a link");
    secrets.add("a sandbox's link", token_of(&page));
    let mut browser = Browser::new(process.address);
    ask_for_a_verification(&mut browser, &page, secrets).await;
    let verification = mail_with(&mut client, &kept, "/verify/").await;
    let verify = format!("{page}/verify/{}", between(&verification, "/verify/"));
    let (_, code) = reveal(&mut browser, &page, &verify, secrets).await;
    secrets.add("a sandbox's code", format!("TEST-{}", between(&code.text, "TEST-")));

    let (status, answer) = post(&mut client, "/api/v1/sandbox/clock", &json!({"advance": "P31D"})).await;
    assert!(status.is_success(), "{answer:#}");
    until(&mut client, &kept, |order| order["data"]["recipients"][1]["redemptionStatus"] == "EXPIRED").await;
    for token in [METRICS_TOKEN, "a-token-that-is-nearly-right"] {
        secrets.add("a token for the metrics", token);
        let mut browser = Client::with(process.address, token);
        let status = browser.status("/metrics").await;
        assert_eq!(status.is_success(), token == METRICS_TOKEN, "{status}");
    }
}

/// The text of a sandbox's mail about an order, once there is one that has this.
async fn mail_with(client: &mut Client, order: &str, part: &str) -> String {
    let clock = Clock::system();
    let begun = clock.elapsed();
    loop {
        let mails = client.get(&format!("/api/v1/sandbox/mails?orderId={order}")).await;
        let texts = mails["data"].as_array().expect("mails").iter().map(|mail| string(&mail["text"]));
        if let Some(found) = texts.into_iter().find(|text| text.contains(part)) {
            return found;
        }
        assert!(clock.elapsed() - begun < DEADLINE, "no mail with {part}: {mails:#}");
        clock.sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// The order, once it is as it is wanted.
async fn until(client: &mut Client, order: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let clock = Clock::system();
    let begun = clock.elapsed();
    loop {
        let order = client.get(&format!("/api/v1/orders/{order}")).await;
        if is_so(&order) {
            return order;
        }
        assert!(clock.elapsed() - begun < DEADLINE, "{order:#}");
        clock.sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Requests that are refused in all ways, with secrets where they don't belong.
async fn go_wrong(process: &Process, client: &mut Client, app: &Credentials, secrets: &mut Secrets) {
    let mut stranger = Client::with(process.address, &format!("{}x", client.token()));
    let recipients = json!([{"email": ALICE, "firstName": "Zsofia", "amount": 50}]);
    let wrong = order("wrong", "10042", &recipients);
    assert_eq!(post(&mut stranger, "/api/v1/orders/branded-cards", &wrong).await.0, StatusCode::UNAUTHORIZED);
    for body in [
        format!("{{\"recipients\": \"{ALICE} Quartermaine"),
        json!({ALICE: "Quartermaine", "Zsofia": 1}).to_string(),
        json!({"idempotencyKey": ALICE, "recipients": [{"email": "Zsofia@", "amount": "Quartermaine"}]}).to_string(),
    ] {
        let (status, _) =
            client.try_send(hyper::Method::POST, "/api/v1/orders/branded-cards", body).await.expect("an answer");
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    for path in [format!("/api/v1/orders/{ALICE}"), format!("/api/v1/orders?searchKeyword={ALICE}&page=x")] {
        let (status, _) = client.try_send(hyper::Method::GET, &path, String::new()).await.expect("an answer");
        assert!(status.is_client_error(), "{path}: {status}");
    }
    let mut browser = Browser::new(process.address);
    let secret = "a-wrong-secret-that-was-nearly-right";
    secrets.add("a wrong secret", secret);
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={secret}", app.client_id);
    assert_eq!(browser.post("/oauth2/token", &form).await.status, 401);
    assert_eq!(browser.post(&format!("/oauth2/token?client_secret={}", app.client_secret), "x=1").await.status, 401);
    secrets.add_token(&token(process.address, app).await);
}

/// The password of a database that asks for none; SQLite has none.
fn with_database_password(bed: &mut Bed, secrets: &mut Secrets) {
    let url = bed.database_url();
    if let Some((user, host)) = url.strip_prefix("postgres://").and_then(|url| url.split_once('@')) {
        match user.split_once(':') {
            Some((_, password)) if password.len() >= 6 => secrets.add("the database's password", password),
            _ => bed.set("GIFTD_DATABASE_URL", &format!("postgres://{user}:{DATABASE_PASSWORD}@{host}")),
        }
    }
    secrets.add("the database's password", DATABASE_PASSWORD);
}

/// A server that may not send its password in the clear, says so, and not which.
async fn with_smtp_password(bed: &mut Bed, app: &Credentials, secrets: &mut Secrets) {
    let sink = SmtpSink::start().await;
    let url = sink.url().replace("smtp://", &format!("smtp://relay:{SMTP_PASSWORD}@"));
    bed.set("GIFTD_SMTP_URL", &url);
    secrets.add("the relay's password", SMTP_PASSWORD);
    let process = bed.serve();
    let mut client = Client::new(&process, app).await;
    placed(&mut client, "branded-cards", order("later", "10042", &json!([{"email": ALICE, "amount": 5}]))).await;
    let (clock, wanted) = (Clock::system(), "the password is not sent in the clear");
    let begun = clock.elapsed();
    while !process.log().contains(wanted) {
        assert!(clock.elapsed() - begun < DEADLINE, "{}", process.log());
        clock.sleep(std::time::Duration::from_millis(50)).await;
    }
    process.stop().await;
}

/// The files of the keys, line by line and as bytes are written elsewhere.
fn add_keys(bed: &Bed, secrets: &mut Secrets) {
    let mut keys = 0;
    for entry in fs::read_dir(bed.data("keys")).expect("the keys") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "key" || extension == "pem") {
            let text = String::from_utf8_lossy(&fs::read(&path).expect("a key")).into_owned();
            for line in text.lines().filter(|line| line.len() >= 20 && !line.starts_with("-----")) {
                secrets.add("a key", line);
                keys += 1;
            }
        }
    }
    assert!(keys >= 3, "links, codes and tokens have keys");
}

fn order(key: &str, product: &str, recipients: &Value) -> Value {
    json!({
        "idempotencyKey": key, "productId": product, "sendTiming": {"type": "IMMEDIATE"}, "recipients": recipients,
        "emailSetting": {"senderName": "Acme", "subject": "Hush-hush subject", "message": "A message for few eyes"}
    })
}

/// The new order's id.
async fn placed(client: &mut Client, what: &str, body: Value) -> String {
    let (status, answer) = post(client, &format!("/api/v1/orders/{what}"), &body).await;
    assert_eq!(status, StatusCode::CREATED, "{answer:#}");
    string(&answer["data"]["orderId"])
}

async fn post(client: &mut Client, path: &str, body: &Value) -> (StatusCode, Value) {
    client.try_send(hyper::Method::POST, path, body.to_string()).await.expect("an answer")
}

/// A mail's text without the breaks of its encoding.
fn unfolded(mail: &str) -> String {
    mail.replace("=\r\n", "").replace("=\n", "")
}

/// The path of the gift's page that a mail leads to.
fn link(mail: &str) -> Option<String> {
    let mail = unfolded(mail);
    mail.contains("/r/").then(|| format!("/r/{}", between(&mail, "/r/")))
}

/// The token after the first `start`.
fn between(text: &str, start: &str) -> String {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}"));
    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect()
}

fn token_of(link: &str) -> String {
    between(link, "/r/")
}
