//! The command line, on both databases.

use std::fs;

use serde_json::json;

use crate::bed::{Bed, Database, on, string};
use crate::smtp_sink::{SmtpSink, Stage};

#[test]
fn commands_do_what_others_script_against_on_sqlite() {
    on(Database::Sqlite, commands);
}

#[test]
fn commands_do_what_others_script_against_on_postgres() {
    on(Database::Postgres, commands);
}

async fn commands(bed: Bed) {
    let id = bed.json(&["org", "create", "Acme Corp"])["organizationId"].as_str().expect("a text").to_owned();
    let organizations = bed.json(&["org", "list"]);
    assert_eq!(organizations["organizations"][0]["name"], "Acme Corp");

    let create = [
        "app",
        "create",
        "--org",
        &id,
        "--environment",
        "sandbox",
        "--name",
        "Payroll",
        "--scopes",
        "orders.read orders.write",
    ];
    let app = bed.json(&create);
    let client_id = string(&app["clientId"]);
    let rotated = bed.json(&["app", "rotate", &client_id]);
    assert_eq!(rotated["clientId"], app["clientId"]);
    assert_ne!(rotated["clientSecret"], app["clientSecret"]);
    bed.json(&["app", "revoke", &client_id]);
    bed.json(&["app", "revoke", &client_id]);
    bed.refused(&["app", "rotate", &client_id], "REVOKED");
    bed.refused(&["app", "revoke", "app_nobody"], "NOT_FOUND");
    let apps = bed.json(&["app", "list", "--org", &id]);
    assert_eq!(apps["apps"][0]["scopes"], "orders.read orders.write");
    assert!(apps["apps"][0]["revokedAt"].is_string());
    bed.refused(&["app", "list", "--org", "999"], "NOT_FOUND");
    bed.refused(
        &["app", "create", "--org", "999", "--environment", "sandbox", "--name", "N", "--scopes", "orders.read"],
        "NOT_FOUND",
    );

    let credit = |amount: &'static str, reference: &'static str| {
        ["balance", "credit", "--org", &id, "--amount", amount, "--reference", reference].map(str::to_owned)
    };
    let as_arguments = |owned: &[String]| owned.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
    let run = |owned: [String; 8]| {
        let owned = as_arguments(&owned);
        bed.json(&owned.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let moved = run(credit("100.00", "wire 1"));
    assert_eq!(
        (&moved["moved"], &moved["availableBalance"]),
        (&json!(true), &json!({"amount": 100.0, "currency": "USD"}))
    );
    let again = run(credit("100", "wire 1"));
    assert_eq!((&again["moved"], &again["availableBalance"]["amount"]), (&json!(false), &json!(100.0)));
    bed.refused(&["balance", "credit", "--org", &id, "--amount", "100.01", "--reference", "wire 1"], "REFERENCE_USED");
    let debit = bed.json(&["balance", "debit", "--org", &id, "--amount", "40", "--reference", "wire 1"]);
    assert_eq!(debit["availableBalance"]["amount"], 60.0);
    bed.refused(
        &["balance", "debit", "--org", &id, "--amount", "60.01", "--reference", "wire 2"],
        "INSUFFICIENT_BALANCE",
    );
    let shown = bed.run(&["balance", "show", "--org", &id, "--json"]);
    assert!(shown.stdout.contains("60.00"), "exact digits: {}", shown.stdout);
    let sandbox = bed.json(&["balance", "show", "--org", &id, "--environment", "sandbox"]);
    assert_eq!(sandbox["availableBalance"]["amount"], 10_000.0);

    catalog(&bed);
    assert_eq!(bed.json(&["choice-range", "set", "--org", &id, "--min", "5", "--max", "500"])["max"], 500.0);
    bed.refused(&["choice-range", "set", "--org", &id, "--min", "50", "--max", "5"], "VALIDATION_ERROR");
    rates(&bed);

    bed.refused(&["order", "show", "OT01KAPBQBY0000000000000000A"], "ORDER_NOT_FOUND");
    bed.refused(&["order", "show", "nonsense"], "ORDER_NOT_FOUND");
    let verified = bed.json(&["ledger", "verify"]);
    assert_eq!((&verified["balanced"], &verified["accounts"]), (&json!(true), &json!(2)));
}

fn catalog(bed: &Bed) {
    let file = bed.folder.path().join("catalog.json");
    let import = |text: &str, arguments: &[&str]| {
        fs::write(&file, text).expect("written");
        bed.run(&[&["catalog", "import", "--json", &file.display().to_string()], arguments].concat())
    };
    let yen = |currency: &str| {
        json!({"brandedCards": [{
            "productId": "20001", "brandName": "Sakura Books", "productName": "Sakura Books JP", "countryCode": "JPN",
            "currencyCode": currency, "priceType": "FIXED", "prices": [1000, 5000]
        }], "choiceCards": []})
        .to_string()
    };
    let dry = import(&yen("JPY"), &["--dry-run"]);
    assert_eq!((&dry.json()["dryRun"], &dry.json()["added"]), (&json!(true), &json!(["20001"])), "{dry:?}");
    assert_eq!(import(&yen("JPY"), &[]).json()["added"], json!(["20001"]));
    assert_eq!(import(&yen("JPY"), &[]).json()["kept"], json!(["20001"]));
    let changed = import(&yen("KRW"), &[]);
    assert_eq!(
        (changed.code, &changed.json()["details"][0]["field"]),
        (1, &json!("20001")),
        "a changed currency is refused"
    );
    let wrong = import(r#"{"brandedCards": [{"productId": "1", "price": 5}], "choiceCards": [{"prices": "5"}]}"#, &[]);
    let document = wrong.json();
    let fields: Vec<_> =
        document["details"].as_array().expect("details").iter().map(|one| string(&one["field"])).collect();
    assert!(fields.contains(&"brandedCards[0].price".to_owned()), "{fields:?}");
    assert!(fields.contains(&"choiceCards[0].prices".to_owned()), "{fields:?}");
    assert_eq!(import("{", &[]).json()["error"], "MALFORMED_JSON");
}

fn rates(bed: &Bed) {
    let set = bed.json(&["fx", "set", "JPY", "0.006675"]);
    assert_eq!((&set["currency"], &set["rate"]), (&json!("JPY"), &json!("0.006675")));
    let file = bed.folder.path().join("rates.csv");
    fs::write(&file, "currency,rate\nEUR,1.0840\nGBP,1.25\n").expect("written");
    assert_eq!(bed.json(&["fx", "import", &file.display().to_string()]), json!({"imported": 2}));
    fs::write(&file, "currency,rate\nEUR,x\nYYY,1\n").expect("written");
    let refusal = bed.refused(&["fx", "import", &file.display().to_string()], "VALIDATION_ERROR");
    assert!(refusal.contains("line 2") && refusal.contains("line 3"), "{refusal}");
    let list = bed.json(&["fx", "list"]);
    assert_eq!(list["rates"].as_array().expect("rows").len(), 3);
    bed.refused(&["fx", "set", "jpy", "1"], "VALIDATION_ERROR");
    bed.refused(&["fx", "set", "JPY", "-1"], "USAGE");
}

#[test]
fn wrong_calls_exit_2_and_are_json_when_asked_for() {
    on(Database::Sqlite, async |bed: Bed| {
        for arguments in
            [&["nonsense"][..], &["org", "create"], &["balance", "show", "--org", "x"], &["fx", "set", "JPY"]]
        {
            let text = bed.run(arguments);
            assert_eq!((text.code, text.stdout.as_str()), (2, ""), "{text:?}");
            let json = bed.run(&[arguments, &["--json"]].concat());
            assert_eq!((json.code, &json.json()["error"]), (2, &json!("USAGE")), "{json:?}");
        }
        let scopes =
            ["app", "create", "--org", "1", "--environment", "sandbox", "--name", "N", "--scopes", "orders.raed"];
        let wrong = bed.run(&scopes);
        assert!(wrong.code == 2 && wrong.stderr.contains("orders.read"), "says what would be right: {wrong:?}");
        let help = bed.run(&["balance", "credit", "--help"]);
        assert!(help.code == 0 && help.stdout.contains("Example:"), "{help:?}");
    });
}

#[test]
fn doctor_says_what_is_wrong_and_how_to_mend_it() {
    on(Database::Sqlite, async |mut bed: Bed| {
        let status = |document: &serde_json::Value, check: &str| {
            let findings = document["findings"].as_array().expect("findings").clone();
            let of: Vec<_> = findings.into_iter().filter(|one| one["check"] == check).collect();
            of.iter().map(|one| string(&one["status"])).collect::<Vec<_>>().join(" ")
        };
        let empty = bed.json(&["doctor"]);
        assert_eq!((&empty["well"], status(&empty, "database").as_str()), (&json!(true), "warn"));

        let sink = SmtpSink::start().await;
        bed.set("GIFTD_SMTP_URL", &sink.url());
        bed.prepare();
        let well = bed.json(&["doctor"]);
        for check in ["database", "migrations", "clock", "mail", "catalog", "rates", "keys"] {
            assert_eq!(status(&well, check), "ok", "{check}: {well:#}");
        }

        sink.always(Stage::Ehlo, "554 5.7.1 go away");
        let mail = bed.run(&["doctor", "--json"]);
        assert_eq!((mail.code, status(&mail.json(), "mail").as_str()), (1, "fail"), "{mail:?}");
        bed.set("GIFTD_SMTP_URL", "");
        let captured = bed.run(&["doctor"]);
        assert_eq!(captured.code, 1, "a production account without SMTP: {captured:?}");
        assert!(captured.stdout.contains("GIFTD_SMTP_URL") && captured.stdout.contains("→"), "{captured:?}");
        sink.behave();
        bed.set("GIFTD_SMTP_URL", &sink.url());

        bed.set("GIFTD_FX_MAX_AGE", "1ms");
        let old = bed.run(&["doctor", "--json"]);
        assert_eq!(old.code, 1, "{old:?}");
        assert!(status(&old.json(), "rates").starts_with("fail"), "{old:?}");
        bed.set("GIFTD_FX_MAX_AGE", "30d");

        bed.serve().stop().await;
        fs::remove_file(bed.data("keys/links.key")).expect("removed");
        let keys = bed.run(&["doctor", "--json"]);
        assert_eq!((keys.code, status(&keys.json(), "keys").as_str()), (1, "fail"), "{keys:?}");
        assert!(keys.stdout.contains("links.key"), "{keys:?}");

        bed.set("GIFTD_LISTEN", "nonsense");
        let settings = bed.run(&["doctor", "--json"]);
        assert_eq!((settings.code, status(&settings.json(), "settings").as_str()), (1, "fail"), "{settings:?}");
    });
}

#[test]
fn a_database_that_cannot_be_reached_is_said() {
    on(Database::Sqlite, async |mut bed: Bed| {
        bed.set("GIFTD_DATABASE_URL", "postgres://giftd:hunter2@127.0.0.1:1/giftd");
        let refusal = bed.refused(&["org", "list"], "UNAVAILABLE");
        assert!(refusal.contains("doctor") && !refusal.contains("hunter2"), "{refusal}");
        let doctor = bed.run(&["doctor"]);
        assert!(
            doctor.code == 1 && doctor.stdout.contains("GIFTD_DATABASE_URL") && !doctor.stdout.contains("hunter2"),
            "{doctor:?}"
        );
    });
}
