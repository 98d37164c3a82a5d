//! The seeds that are tried with each run of the tests: 160 on SQLite, 40 on PostgreSQL. More, and longer ones, are
//! `cargo run --release -p giftd-sim -- --seeds 1..1001 --steps 500`.

use std::ops::Range;

use giftd_sim::run::{Database, Options, Report, run};

/// Steps of a run, before everything is let come to rest.
const SQLITE_STEPS: u32 = 40;
/// Fewer: each step is tens of questions to a server.
const POSTGRES_STEPS: u32 = 30;

fn on_sqlite(seed: u64) -> Report {
    held(&Options { seed, steps: SQLITE_STEPS, database: Database::Sqlite, trace: false })
}

fn on_postgres(seeds: Range<u64>) {
    let server = std::env::var("TEST_POSTGRES_URL").expect("run scripts/test: it starts a PostgreSQL for the tests");
    for seed in seeds {
        let database = Database::Postgres { server: server.clone(), nodes: 2 };
        held(&Options { seed, steps: POSTGRES_STEPS, database, trace: false });
    }
}

fn held(options: &Options) -> Report {
    match run(options) {
        Ok(report) => report,
        Err(failure) => panic!("seed {} on {:?} fails at {failure}", options.seed, options.database),
    }
}

#[test]
fn a_seed_is_the_same_run_again() {
    let runs = [on_sqlite(7), on_sqlite(7), on_sqlite(8)];
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0].digest, runs[2].digest);
    assert!(runs.iter().all(|report| report.mishaps > 0 && report.orders > 0), "{runs:?}");
}

#[test]
fn slow_sqlite_keeps_its_promises_for_seeds_up_to_40() {
    (0..40).for_each(|seed| drop(on_sqlite(seed)));
}

#[test]
fn slow_sqlite_keeps_its_promises_for_seeds_up_to_80() {
    (40..80).for_each(|seed| drop(on_sqlite(seed)));
}

#[test]
fn slow_sqlite_keeps_its_promises_for_seeds_up_to_120() {
    (80..120).for_each(|seed| drop(on_sqlite(seed)));
}

#[test]
fn slow_sqlite_keeps_its_promises_for_seeds_up_to_160() {
    (120..160).for_each(|seed| drop(on_sqlite(seed)));
}

#[test]
fn slow_postgres_keeps_its_promises_for_seeds_up_to_10() {
    on_postgres(0..10);
}

#[test]
fn slow_postgres_keeps_its_promises_for_seeds_up_to_20() {
    on_postgres(10..20);
}

#[test]
fn slow_postgres_keeps_its_promises_for_seeds_up_to_30() {
    on_postgres(20..30);
}

#[test]
fn slow_postgres_keeps_its_promises_for_seeds_up_to_40() {
    on_postgres(30..40);
}
