//! Importing and reporting, as a ratio to Debian's hledger on the same transactions in the same run.
//!
//! hledger reads its journal anew for every report, so its one `balance` is held against our import and trial balance
//! together. Ours also writes every row to disk, audited, checked by the database and ready to be sent.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sent_capital::{Ledger, TABLES, import::Options};
use sent_core::clock::SystemClock;
use sent_store::{Config, NewBox, Store};

/// Transactions of two lines each.
const TRANSACTIONS: u32 = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (csv, journal) = books();
    fs::File::create(folder.path().join("books.csv"))?.write_all(csv.as_bytes())?;
    let journal_file = folder.path().join("books.journal");
    fs::File::create(&journal_file)?.write_all(journal.as_bytes())?;

    let start = Instant::now();
    let status = Command::new("hledger")
        .arg("-f")
        .arg(&journal_file)
        .args(["balance", "--flat"])
        .stdout(Stdio::null())
        .status()?;
    let theirs = start.elapsed();
    if !status.success() {
        return Err("hledger failed".into());
    }

    let clock = SystemClock::shared();
    let data = folder.path().join("box");
    let store = Store::open(Config { data, tables: TABLES.to_vec(), clock: clock.clone(), readers: 1 })?;
    let organization = sent_core::id::new(&*clock);
    store.initialise(NewBox { box_id: organization, name: "bench".into(), organization, branch: None })?;
    let scope = sent_core::Scope::system(organization, "bench", &*clock);
    store.write_blocking(&scope, "bench", |tx| -> Result<(), sent_store::StoreError> {
        tx.execute("INSERT INTO organizations (name, currency) VALUES ('Bench', 'EUR')", [])?;
        Ok(())
    })?;
    let ledger = Ledger::new(store);

    let start = Instant::now();
    let file = fs::File::open(folder.path().join("books.csv"))?;
    let report = ledger.import(&scope, file, Options { create_accounts: true, ..Options::default() })?;
    let import = start.elapsed();
    if report.posted != u64::from(TRANSACTIONS) {
        return Err(format!("only {} transactions were posted", report.posted).into());
    }
    let start = Instant::now();
    let balances = ledger.balances(&scope, None)?;
    let balance = start.elapsed();
    let start = Instant::now();
    let file = fs::File::open(folder.path().join("books.csv"))?;
    let repeated = ledger.import(&scope, file, Options::default())?;
    let repetition = start.elapsed();
    if repeated.unchanged != report.posted {
        return Err("the repetition changed something".into());
    }

    println!("hledger balance     {}", rate(theirs));
    println!("import              {}", rate(import));
    println!("trial balance       {} ({} rows)", rate(balance), balances.len());
    println!("repeated import     {}", rate(repetition));
    println!("import + balance    {:.1} x hledger", theirs.as_secs_f64() / (import + balance).as_secs_f64());
    println!("trial balance alone {:.1} x hledger", theirs.as_secs_f64() / balance.as_secs_f64());
    Ok(())
}

/// The same transactions as CSV and as journal.
fn books() -> (String, String) {
    let (mut csv, mut journal) =
        ("transaction_id,date,description,account,amount,currency\n".to_owned(), String::new());
    for n in 0..TRANSACTIONS {
        let date = format!("2026-{:02}-{:02}", 1 + n / 8_400, 1 + n / 300 % 28);
        let (from, to) = (n * 7 % 20, n * 13 % 61);
        let amount = format!("{}.{:02}", n * 31 % 10_000, n % 100);
        // Writing to a String cannot fail.
        let _ = write!(
            csv,
            "T{n:07},{date},purchase {n},Expenses:Kind {to},{amount},EUR\nT{n:07},{date},purchase {n},Assets:Bank:{from},-{amount},EUR\n"
        );
        let _ = write!(
            journal,
            "{date} purchase {n}\n    Expenses:Kind {to}  {amount} EUR\n    Assets:Bank:{from}  -{amount} EUR\n\n"
        );
    }
    (csv, journal)
}

fn rate(time: Duration) -> String {
    format!("{:7.3} s  {:8.0} transactions/s", time.as_secs_f64(), f64::from(TRANSACTIONS) / time.as_secs_f64())
}
