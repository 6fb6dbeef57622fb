//! Importing files: what is posted, what is refused, and that others add it up the same way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use proptest::prelude::*;
use sent_capital::{
    Ledger, LedgerError, TABLES,
    import::{Options, sheet::Limits},
    model::Date,
    store::Filter,
};
use sent_contract::{
    Decimal,
    capital::{ImportReport, NewAccount},
};
use sent_core::{Scope, money};
use sent_store::test;
use tempfile::TempDir;

const HEADER: &str = "transaction_id,date,description,account,amount,currency\n";

struct Books {
    _folder: TempDir,
    ledger: Ledger,
    scope: Scope,
}

fn books() -> Books {
    let (folder, store, scope) = test::store(TABLES).expect("a store");
    Books { _folder: folder, ledger: Ledger::new(store), scope }
}

impl Books {
    fn import(&self, rows: &str, dry_run: bool, create_accounts: bool) -> ImportReport {
        let file = format!("{HEADER}{rows}");
        let options = Options { dry_run, create_accounts, limits: Limits::default() };
        self.ledger.import(&self.scope, file.as_bytes(), options).expect("an answer")
    }

    fn balances(&self) -> BTreeMap<(String, String), Decimal> {
        let balances = self.ledger.balances(&self.scope, None).expect("balances");
        balances
            .into_iter()
            .filter(|b| !b.balance.is_zero())
            .map(|b| ((b.account, b.currency), b.balance.decimal().expect("fits")))
            .collect()
    }

    fn count(&self) -> usize {
        self.ledger.entries(&self.scope, &Filter::default(), 500).expect("a page").items.len()
    }
}

const GOOD: &str = "A1,2026-01-31,Rent,Expenses:Rent,1200.00,EUR\nA1,2026-01-31,Rent,Assets:Bank,-1200.00,EUR\n\
                    A2,2026-02-01,Dollars,Assets:Cash,100,USD\nA2,2026-02-01,Dollars,Assets:Bank,-92.50,EUR\n";

#[test]
fn a_file_is_posted_once() {
    let books = books();
    let dry = books.import(GOOD, true, true);
    assert_eq!((dry.dry_run, dry.rows, dry.posted, books.count()), (true, 4, 2, 0));
    let accounts = ["Assets:Bank", "Assets:Cash", "Equity:Trading:EUR", "Equity:Trading:USD", "Expenses:Rent"];
    assert_eq!(dry.accounts_created, accounts);

    let real = books.import(GOOD, false, true);
    assert_eq!(ImportReport { dry_run: true, ..real }, dry);
    assert_eq!(books.count(), 2);
    let entries = books.ledger.entries(&books.scope, &Filter::default(), 10).expect("a page").items;
    assert_eq!(entries[1].number, "IM-HS-2026-0001");
    assert_eq!(entries[0].lines.len(), 4);

    let again = books.import(GOOD, false, false);
    assert_eq!((again.posted, again.unchanged, again.errors, again.accounts_created), (0, 2, vec![], vec![]));
    assert_eq!(books.count(), 2);

    // A longer file with the same beginning posts the rest only.
    let longer = format!("{GOOD}A3,2026-03-01,,Expenses:Rent,1,EUR\nA3,2026-03-01,,Assets:Bank,-1,EUR\n");
    let more = books.import(&longer, false, false);
    assert_eq!((more.posted, more.unchanged), (1, 2));
    assert_eq!(books.count(), 3);
}

#[test]
fn a_file_with_any_bad_row_posts_nothing() {
    let books = books();
    books.import(GOOD, false, true);
    books
        .ledger
        .create_account(
            &books.scope,
            NewAccount {
                name: "Assets:Only USD".into(),
                code: None,
                kind: None,
                currency: Some("USD".into()),
                valid_from: Some("2026-05-01".into()),
            },
        )
        .expect("an account");
    let rows = "A1,2026-01-31,Rent,Expenses:Rent,1300.00,EUR\nA1,2026-01-31,Rent,Assets:Bank,-1300.00,EUR\n\
                B1,2026-01-31,x,Assets:Nowhere,1,EUR\nB1,2026-01-31,x,Assets:Bank,-1,EUR\n\
                B2,2026-01-31,x,Assets:Bank,1,EUR\nB2,2026-01-31,x,Assets:Bank,-2,EUR\n\
                B3,2026-05-31,x,Assets:Only USD,1,EUR\nB3,2026-05-31,x,Assets:Bank,-1,EUR\n\
                B4,2026-04-30,x,Assets:Only USD,1,USD\nB4,2026-04-30,x,Assets:Cash,-1,USD\n\
                B5,2026-01-31,alone,Assets:Bank,0,EUR\n\
                B6,2026-01-31,x,Assets:Bank,1,EUR\nB6,2026-01-31,x,Assets:Cash,1,USD\n\
                B7,2026-01-31,good,Assets:Bank,1,EUR\nB7,2026-01-31,good,Assets:Cash,-1,EUR\n";
    for dry_run in [true, false] {
        let report = books.import(rows, dry_run, false);
        let found: Vec<_> = report.errors.iter().map(|e| (e.line, e.column.as_deref(), e.message.as_str())).collect();
        let places: Vec<_> = found.iter().map(|(line, column, _)| (*line, *column)).collect();
        let expected = [
            (2, Some("transaction_id")),
            (4, Some("account")),
            (6, None),
            (8, Some("account")),
            (10, Some("account")),
            (12, None),
            (13, None),
        ];
        assert_eq!(places, expected, "{found:#?}");
        assert_eq!((report.posted, books.count()), (0, 2));
    }
}

#[test]
fn a_file_of_many_parts_is_posted_whole_and_numbered_without_gaps() {
    let books = books();
    let mut rows = String::new();
    for n in 0..5_300 {
        let year = 2025 + n % 2;
        let _ = write!(rows, "T{n},{year}-01-01,,Assets:A,{n}.5,EUR\nT{n},{year}-01-01,,Assets:B,-{n}.5,EUR\n");
    }
    let report = books.import(&rows, false, true);
    assert_eq!((report.posted, report.errors.len()), (5_300, 0));
    let last = books
        .ledger
        .entries(&books.scope, &Filter { to: Date::parse("2025-12-31"), ..Filter::default() }, 1)
        .expect("a page");
    assert_eq!(last.items[0].number, "IM-HS-2025-2650");
    assert_eq!(books.balances()[&("Assets:A".into(), "EUR".into())], Decimal::from(5_300 * 5_299 / 2 + 5_300 / 2));
    assert_eq!(books.import(&rows, false, false).unchanged, 5_300);
}

#[test]
fn a_file_that_is_too_long_is_an_error() {
    let books = books();
    let options = Options { limits: Limits { bytes: 10 }, ..Options::default() };
    assert!(matches!(books.ledger.import(&books.scope, HEADER.as_bytes(), options), Err(LedgerError::Read(_))));
}

fn row() -> impl Strategy<Value = String> {
    let field = |good: &'static str| prop_oneof![12 => Just(good.to_owned()).boxed(), 1 => "[ -~]{0,8}".boxed()];
    (
        prop_oneof![Just("T1"), Just("T2"), Just("T3"), Just("")],
        field("2026-01-01"),
        field("d"),
        prop_oneof![field("Assets:A"), field("Assets:B"), field("Income:C")],
        prop_oneof![Just("1"), Just("-1"), Just("2.5"), Just("-2.5"), Just("9999999999999999999999999999"), Just("x")],
        prop_oneof![field("EUR"), field("USD")],
    )
        .prop_map(|(a, b, c, d, e, f)| format!("{a},{b},{c},{d},{e},{f}\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The dry run says what the real one does, and the real one twice is the real one once.
    #[test]
    fn dry_run_and_real_agree(rows in proptest::collection::vec(row(), 0..9), create in any::<bool>()) {
        let books = books();
        let rows: String = rows.concat();
        let dry = books.import(&rows, true, create);
        prop_assert_eq!(books.count(), 0);
        let real = books.import(&rows, false, create);
        prop_assert_eq!(&ImportReport { dry_run: true, ..real.clone() }, &dry);
        prop_assert_eq!(books.count() as u64, real.posted);
        if real.errors.is_empty() {
            let again = books.import(&rows, false, create);
            prop_assert_eq!((again.posted, again.unchanged), (0, real.posted));
            prop_assert_eq!(books.count() as u64, real.posted);
        }
    }
}

/// What Debian's hledger makes of the same transactions. It balances a transaction of two commodities by a price it
/// infers, so trading accounts are ours alone and left out of the comparison.
#[test]
fn hledger_adds_up_the_same() {
    let (mut rows, mut journal) = (String::new(), String::new());
    let mut seed = 42u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for n in 0..2_000 {
        let date = format!("2026-{:02}-{:02}", 1 + random(12), 1 + random(28));
        let _ = writeln!(journal, "{date} entry {n}");
        let mut line = |account: String, cents: i64, currency: &str| {
            let amount = Decimal::new(cents, 2);
            let _ = writeln!(rows, "T{n},{date},entry {n},{account},{amount},{currency}");
            let _ = writeln!(journal, "    {account}  {amount} \"{currency}\"");
        };
        let cents = 1 + random(10_000_000) as i64;
        let (from, to) = (random(20), random(40));
        if random(5) == 0 {
            line(format!("Assets:Cash:{to}"), cents, "USD");
            line(format!("Assets:Bank:{from}"), -cents / 2 - 1, "EUR");
        } else {
            let part = cents / 3;
            line(format!("Expenses:Kind {to}"), cents - part, "EUR");
            line("Assets:Tax".to_owned(), part, "EUR");
            line(format!("Assets:Bank:{from}"), -cents, "EUR");
        }
        journal.push('\n');
    }
    let books = books();
    assert_eq!(books.import(&rows, false, true).errors, []);

    let mut hledger = match Command::new("hledger")
        .args(["-f", "-", "balance", "--flat", "--no-total", "--output-format", "csv", "--layout", "bare"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(error) => panic!("this test needs Debian's package hledger: {error}"),
    };
    let mut input = hledger.stdin.take().expect("is piped");
    input.write_all(journal.as_bytes()).expect("hledger reads");
    drop(input);
    let output = hledger.wait_with_output().expect("hledger ends");
    assert!(output.status.success());
    let mut theirs = BTreeMap::new();
    for record in csv::Reader::from_reader(output.stdout.as_slice()).records() {
        let record = record.expect("CSV");
        let balance = money::parse(&record[2]).expect("an amount");
        if !balance.is_zero() {
            theirs.insert((record[0].to_owned(), record[1].trim_matches('"').to_owned()), balance);
        }
    }
    let mut ours = books.balances();
    ours.retain(|(account, _), _| !account.starts_with("Equity:Trading:"));
    assert!(theirs.len() > 60, "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(ours, theirs);
}
