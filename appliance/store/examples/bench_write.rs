//! Measures the one write path against bare rusqlite, in one run.
//!
//! `audited_write`: transactions of one head row and four rows below it, tenant-checked, audited and outboxed, against the
//! same rows inserted by bare rusqlite into the same tables (same migrations, indexes and checks) at the same durability
//! (WAL, `synchronous = FULL`). Goal: at least 0.5 of its rate.
//!
//! Appends a JSON line to `BENCH_OUT` (default `target/bench.jsonl`). `BENCH_WRITES` makes it smaller.

use std::{error::Error, fs::OpenOptions, io::Write as _, path::Path, time::Instant};

use rusqlite::Connection;
use sent_core::table::{SyncClass, Table};
use sent_store::{StoreError, test};
use uuid::Uuid;

/// Two tables of monitoring stand for any head and its lines.
const TABLES: &[Table] =
    &[Table::new("alerts", &["id"], SyncClass::Up), Table::new("notifications", &["id"], SyncClass::Up)];
const LINES: u128 = 4;
const ROUNDS: usize = 3;
const GOAL: f64 = 0.5;

const HEAD: &str = "(id, rule_id, title, state, severity, series, labels, value, raised_at)
    VALUES (?1, ?2, 'Disk of the file server is filling up', 'firing', 'warn', ?3, '{\"host\":\"files\"}', 91.5, ?4)";
const LINE: &str = "(id, alert_id, stage, target, state, created_at, next_at)
    VALUES (?1, ?2, 'raised', ?3, 'pending', ?4, ?4)";

fn main() -> Result<(), Box<dyn Error>> {
    let count: u128 = std::env::var("BENCH_WRITES").ok().map_or(Ok(3_000), |t| t.parse())?;
    let mut ratios = Vec::new();
    let mut rates = (0.0, 0.0);
    for round in 0..ROUNDS {
        let bare = bare(count)?;
        let ours = ours(count)?;
        println!("round {round}: bare {bare:.0} transactions/s, audited {ours:.0} transactions/s");
        ratios.push(ours / bare);
        rates = (ours, bare);
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ROUNDS / 2];
    println!("audited_write: {ratio:.2} of bare rusqlite (goal {GOAL})");
    let line = serde_json::json!({
        "name": "audited_write", "ours": rates.0, "reference": rates.1, "unit": "transactions/s",
        "ratio": ratio, "goal": GOAL, "met": ratio >= GOAL,
    });
    let path = std::env::var("BENCH_OUT").unwrap_or_else(|_| "target/bench.jsonl".to_owned());
    if let Some(folder) = Path::new(&path).parent() {
        std::fs::create_dir_all(folder)?;
    }
    writeln!(OpenOptions::new().create(true).append(true).open(path)?, "{line}")?;
    Ok(())
}

fn rate(count: u128, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

fn ids(n: u128) -> (String, impl Iterator<Item = String>) {
    (Uuid::from_u128(n << 32).to_string(), (1..=LINES).map(move |l| Uuid::from_u128((n << 32) + l).to_string()))
}

fn ours(count: u128) -> Result<f64, Box<dyn Error>> {
    let (_folder, store, scope) = test::store(TABLES)?;
    let began = Instant::now();
    for n in 0..count {
        store.write_blocking(&scope, "bench.write", move |tx| -> Result<(), StoreError> {
            let (head, lines) = ids(n);
            let at = tx.now().0;
            tx.prepare_cached(&format!("INSERT INTO alerts {HEAD}"))?.execute((&head, &head, n.to_string(), at))?;
            let mut insert = tx.prepare_cached(&format!("INSERT INTO notifications {LINE}"))?;
            for line in lines {
                insert.execute((&line, &head, &line, at))?;
            }
            Ok(())
        })?;
    }
    Ok(rate(count, began))
}

fn bare(count: u128) -> Result<f64, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut db = Connection::open(folder.path().join("bare.sqlite"))?;
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -8000;")?;
    db.execute_batch(include_str!("../../../migrations/box/0020_pulse.sql"))?;
    let organization = Uuid::from_u128(1).to_string();
    let (head_sql, line_sql) = (
        format!(
            "INSERT INTO alerts_rows {}",
            HEAD.replacen('(', "(organization_id, ", 1).replacen("(?1", "(?5, ?1", 1)
        ),
        format!(
            "INSERT INTO notifications_rows {}",
            LINE.replacen('(', "(organization_id, ", 1).replacen("(?1", "(?5, ?1", 1)
        ),
    );
    let began = Instant::now();
    for n in 0..count {
        let (head, lines) = ids(n);
        let at = 1_795_435_200_000_000i64;
        let tx = db.transaction()?;
        tx.prepare_cached(&head_sql)?.execute((&head, &head, n.to_string(), at, &organization))?;
        {
            let mut insert = tx.prepare_cached(&line_sql)?;
            for line in lines {
                insert.execute((&line, &head, &line, at, &organization))?;
            }
        }
        tx.commit()?;
    }
    Ok(rate(count, began))
}
