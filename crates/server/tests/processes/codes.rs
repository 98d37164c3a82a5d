//! `giftd codes`, on both databases.

use std::fs;

use serde_json::{Value, json};

use crate::bed::{Answer, Bed, Database, on, string};

/// A code that may be nowhere but in its file.
const SECRET: &str = "S3CR3T-C0DE";

#[test]
fn codes_are_imported_once_and_counted_on_sqlite() {
    on(Database::Sqlite, codes);
}

#[test]
fn codes_are_imported_once_and_counted_on_postgres() {
    on(Database::Postgres, codes);
}

async fn codes(bed: Bed) {
    bed.prepare();
    let empty = bed.run(&["codes", "status"]);
    assert!(empty.code == 0 && empty.stdout.contains("There are no codes yet."), "{empty:?}");
    assert!(empty.stdout.contains("codes import --product 10042"), "a hint what is next: {empty:?}");

    let text = format!("code,pin,faceValue\n{SECRET},0042,25.00\nB,,25\nC,1,5e1\nB,,25\n");
    assert_eq!(import(&bed, "10042", &text).json(), json!({"imported": 3, "skipped": 1}));
    assert_eq!(import(&bed, "10042", &text).json(), json!({"imported": 0, "skipped": 4}));
    let more = bed.run_with(&["codes", "import", "--product", "10042", "-"], "code,pin,faceValue\nB,,25\nD,,25\n");
    assert!(more.code == 0 && more.stdout.starts_with("1 code of 10042"), "{more:?}");
    assert!(more.stdout.contains("1 skipped"), "{more:?}");
    // Another card may have the same code.
    assert_eq!(import(&bed, "20001", "code,pin,faceValue\nB,,5000\n").json(), json!({"imported": 1, "skipped": 0}));

    let status = bed.json(&["codes", "status"]);
    let rows = status["stock"].as_array().expect("rows");
    let row = |row: &Value| {
        let Value::Object(row) = row else { panic!("{row}") };
        ["productId", "faceValue", "currency", "available", "handedOut"].map(|name| row[name].clone())
    };
    let expected = [
        [json!("10042"), json!(25.0), json!("USD"), json!(3), json!(0)],
        [json!("10042"), json!(50.0), json!("USD"), json!(1), json!(0)],
        [json!("20001"), json!(5000), json!("JPY"), json!(1), json!(0)],
    ];
    assert_eq!(rows.iter().map(row).collect::<Vec<_>>(), expected);
    let without = status["withoutCodes"].as_array().expect("ids");
    assert!(without.contains(&json!("10043")) && !without.contains(&json!("10042")), "{status:#}");
    let shown = bed.run(&["codes", "status"]);
    assert!(shown.stdout.lines().any(|line| line.contains("10042") && line.contains("25.00 USD")), "{shown:?}");
    assert!(!shown.stdout.contains(SECRET), "{shown:?}");
    assert_eq!(bed.json(&["ledger", "verify"])["balanced"], json!(true));
}

#[test]
fn a_file_with_any_problem_imports_nothing_and_no_code_is_ever_said() {
    on(Database::Sqlite, async |bed: Bed| {
        bed.prepare();
        let text = format!("code,pin,faceValue\nGOOD,,25\n,1,25\nE,1,7\n25,1,{SECRET}\n{SECRET},1,25\n{SECRET},2,25\n");
        let wrong = import(&bed, "10042", &text);
        let document = wrong.json();
        assert_eq!((wrong.code, &document["error"]), (1, &json!("VALIDATION_ERROR")), "{wrong:?}");
        let lines: Vec<_> =
            document["details"].as_array().expect("details").iter().map(|one| string(&one["field"])).collect();
        assert_eq!(lines, ["line 3", "line 4", "line 5", "line 7"], "{document:#}");
        let for_people = bed.run(&["codes", "import", "--product", "10042", &file(&bed)]);
        assert!(for_people.code == 1 && for_people.stderr.contains("line 7"), "{for_people:?}");
        for said in [wrong, for_people] {
            assert!(!said.stdout.contains("S3CR3T") && !said.stderr.contains("S3CR3T"), "{said:?}");
        }
        assert_eq!(bed.json(&["codes", "status"])["stock"], json!([]));

        bed.refused(&["codes", "import", "--product", "nothing", &file(&bed)], "NOT_FOUND");
        bed.refused(&["codes", "import", "--product", "10042", "missing.csv"], "FILE");
    });
}

#[test]
fn nothing_of_a_code_is_in_the_database_files() {
    on(Database::Sqlite, async |bed: Bed| {
        bed.prepare();
        assert_eq!(import(&bed, "10042", &format!("code,pin,faceValue\n{SECRET},PIN-4711,25\n")).json()["imported"], 1);
        let files = fs::read_dir(bed.data("")).expect("the data folder").map(|entry| entry.expect("an entry").path());
        let mut looked_at = 0;
        for file in files.filter(|path| path.is_file()) {
            let bytes = fs::read(&file).expect("readable");
            looked_at += bytes.len();
            for secret in [SECRET, "PIN-4711"] {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{secret} is in {}", file.display());
            }
        }
        assert!(looked_at > 0, "there is a database");
    });
}

#[test]
fn codes_of_another_key_folder_are_refused_before_anything_is_stored() {
    on(Database::Sqlite, async |mut bed: Bed| {
        bed.prepare();
        let text = "code,pin,faceValue\nA,,25\n";
        assert_eq!(import(&bed, "10042", text).json()["imported"], 1);
        bed.set("GIFTD_KEYS_DIR", &bed.folder.path().join("elsewhere").display().to_string());
        bed.refused(&["codes", "import", "--product", "10042", &file(&bed)], "KEYS");
        assert_eq!(bed.json(&["codes", "status"])["stock"][0]["available"], 1);
    });
}

#[test]
fn doctor_hints_at_listed_cards_without_codes() {
    on(Database::Sqlite, async |bed: Bed| {
        bed.prepare();
        let hint = bed.run(&["doctor"]);
        let line = hint.stdout.lines().find(|line| line.contains(" codes ")).expect("a line about codes").to_owned();
        assert!(line.starts_with("warn") && line.contains("10042") && line.contains("more"), "{line}");
        import(&bed, "10042", "code,pin,faceValue\nA,,25\n");
        let hint = bed.run(&["doctor"]);
        let line = hint.stdout.lines().find(|line| line.contains(" codes ")).expect("a line about codes").to_owned();
        assert!(line.starts_with("warn") && !line.contains("10042"), "{line}");
    });
}

fn file(bed: &Bed) -> String {
    bed.folder.path().join("codes.csv").display().to_string()
}

/// Imports a file of this text, with `--json`.
fn import(bed: &Bed, product: &str, text: &str) -> Answer {
    fs::write(file(bed), text).expect("written");
    bed.run(&["codes", "import", "--product", product, &file(bed), "--json"])
}
