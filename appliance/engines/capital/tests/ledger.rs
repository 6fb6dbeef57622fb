//! The ledger on a real store: what it promises, and that the database keeps the promise against anybody.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, sync::Arc, thread};

use proptest::{prelude::*, test_runner::TestCaseError};
use sent_capital::{Ledger, LedgerError, TABLES, model::Date, store::Filter};
use sent_contract::{
    Decimal, Uuid,
    capital::{Entry, NewAccount, NewEntry, NewLine, Reverse},
    reference::NewFxRate,
};
use sent_core::{Scope, money::Sum};
use sent_store::{Store, StoreError, test};
use tempfile::TempDir;

struct Books {
    folder: TempDir,
    ledger: Ledger,
    scope: Scope,
}

const ACCOUNTS: [&str; 4] = ["Assets:Bank", "Assets:Cash", "Expenses:Rent", "Income:Sales"];

fn books() -> Books {
    let (folder, store, scope) = test::store(TABLES).expect("a store");
    let ledger = Ledger::new(store);
    for name in ACCOUNTS {
        account(&ledger, &scope, name, None, None);
    }
    Books { folder, ledger, scope }
}

fn account(ledger: &Ledger, scope: &Scope, name: &str, currency: Option<&str>, valid_from: Option<&str>) {
    let new = NewAccount {
        name: name.into(),
        code: None,
        kind: None,
        currency: currency.map(Into::into),
        valid_from: valid_from.map(Into::into),
    };
    ledger.create_account(scope, new).expect("an account");
}

fn d(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn line(account: &str, amount: Decimal, currency: &str) -> NewLine {
    NewLine { account: account.into(), amount, currency: currency.into(), memo: None }
}

fn new_entry(id: u128, date: &str, lines: &[(&str, &str, &str)]) -> NewEntry {
    NewEntry {
        id: Uuid::from_u128(id),
        date: date.into(),
        description: format!("entry {id}"),
        series: None,
        lines: lines.iter().map(|(a, n, c)| line(a, d(n), c)).collect(),
    }
}

fn rent(id: u128) -> NewEntry {
    new_entry(id, "2026-03-31", &[("Expenses:Rent", "1200.00", "EUR"), ("Assets:Bank", "-1200.00", "EUR")])
}

/// What a dollar is worth from a day on.
fn rate(books: &Books, date: &str, rate: Decimal) {
    let new = NewFxRate { currency: "USD".into(), date: date.into(), rate };
    books.ledger.set_rate(&books.scope, new).expect("a rate");
}

/// Balances as texts, by account and currency, without zeros.
fn balances(books: &Books) -> BTreeMap<(String, String), String> {
    let balances = books.ledger.balances(&books.scope, None).expect("balances");
    balances
        .into_iter()
        .filter(|b| !b.balance.is_zero())
        .map(|b| ((b.account, b.currency), b.balance.to_string()))
        .collect()
}

#[test]
fn an_entry_is_posted_once_and_reads_as_it_was_written() {
    let books = books();
    let posted = books.ledger.post(&books.scope, rent(1)).expect("posted");
    assert_eq!(posted.number, "JE-HS-2026-0001");
    assert!(posted.synced, "it stands alone");
    assert_eq!(posted.lines.iter().map(|l| l.base).collect::<Vec<_>>(), [Some(d("1200.00")), Some(d("-1200.00"))]);

    // The client did not hear the answer and asks again.
    assert_eq!(books.ledger.post(&books.scope, rent(1)).expect("the same"), posted);
    assert_eq!(books.ledger.entry(&books.scope, posted.id).expect("there"), posted);
    let mut other = rent(1);
    other.description = "something else".into();
    assert!(matches!(books.ledger.post(&books.scope, other), Err(LedgerError::Conflict(_))));

    let page = books.ledger.entries(&books.scope, &Filter::default(), 10).expect("a page");
    assert_eq!(page.items, [posted]);
}

#[test]
fn faults_are_named_beside_their_fields() {
    let books = books();
    account(&books.ledger, &books.scope, "Assets:Dollars", Some("USD"), None);
    account(&books.ledger, &books.scope, "Assets:Later", None, Some("2026-06-01"));
    let fields = |entry: NewEntry| match books.ledger.post(&books.scope, entry) {
        Err(LedgerError::Invalid(fields)) => fields.into_iter().map(|f| f.field).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let mut entry = new_entry(1, "2026-02-30", &[("Assets::Bank", "1", "EUR"), ("Assets:Bank", "-1", "1")]);
    entry.series = Some("je".into());
    assert_eq!(fields(entry), ["date", "series", "lines.0.account", "lines.1.currency"]);
    assert_eq!(fields(new_entry(1, "2026-01-01", &[("Assets:Bank", "1", "EUR")])), ["lines"]);
    assert_eq!(
        fields(new_entry(1, "2026-01-01", &[("Assets:Bank", "1", "EUR"), ("Assets:Cash", "-2", "EUR")])),
        ["lines"]
    );
    let refused = [("Assets:Nowhere", "1", "EUR"), ("Assets:Dollars", "1", "EUR"), ("Assets:Later", "-2", "EUR")];
    assert_eq!(fields(new_entry(1, "2026-01-01", &refused)), ["lines.0.account", "lines.1.account", "lines.2.account"]);
}

#[test]
fn an_exchange_goes_through_trading_accounts() {
    let books = books();
    let exchange = |id, date| new_entry(id, date, &[("Assets:Bank", "-92.50", "EUR"), ("Assets:Cash", "100", "USD")]);
    let implied = books.ledger.post(&books.scope, exchange(1, "2026-03-01")).expect("posted");
    let shown: Vec<_> = implied
        .lines
        .iter()
        .map(|l| (l.account.as_str(), l.amount.to_string(), l.base.map(|b| b.normalize().to_string()), l.system))
        .collect();
    let some = |s: &str| Some(s.to_owned());
    assert_eq!(
        shown,
        [
            ("Assets:Bank", "-92.50".to_owned(), some("-92.5"), false),
            ("Assets:Cash", "100".to_owned(), some("92.5"), false),
            ("Equity:Trading:EUR", "92.50".to_owned(), some("92.5"), true),
            ("Equity:Trading:USD", "-100".to_owned(), some("-92.5"), true),
        ]
    );
    // Asked again, the system's own lines make no difference.
    assert_eq!(books.ledger.post(&books.scope, exchange(1, "2026-03-01")).expect("the same"), implied);

    // From the day there is a rate, it counts.
    let day = "2026-04-01";
    rate(&books, day, d("0.9"));
    rate(&books, day, d("0.91"));
    let known = books.ledger.post(&books.scope, exchange(2, "2026-04-15")).expect("posted");
    assert_eq!(known.lines[1].base, Some(d("91.00")));
    let before = books.ledger.post(&books.scope, exchange(3, "2026-03-31")).expect("posted");
    assert_eq!(before.lines[1].base, Some(d("92.50")));

    let rows = books.ledger.trial_balance(&books.scope, None).expect("a trial balance");
    let mut base = Sum::default();
    for row in rows {
        base.add(row.base.expect("every line has a base amount")).expect("fits");
    }
    assert!(base.is_zero());
}

#[test]
fn a_reversal_cancels_and_happens_once() {
    let books = books();
    let day = "2026-01-01";
    rate(&books, day, d("0.9"));
    let lines = [("Assets:Bank", "-92.50", "EUR"), ("Assets:Cash", "100", "USD")];
    let original = books.ledger.post(&books.scope, new_entry(1, "2026-03-01", &lines)).expect("posted");
    // The rate has moved since; the reversal still cancels.
    rate(&books, "2026-03-02", d("0.5"));

    let ask =
        |id, date: Option<&str>| Reverse { id: Uuid::from_u128(id), date: date.map(Into::into), description: None };
    let early = books.ledger.reverse(&books.scope, original.id, ask(2, Some("2026-02-28")));
    assert!(matches!(early, Err(LedgerError::Invalid(_))));
    let reversal = books.ledger.reverse(&books.scope, original.id, ask(2, Some("2026-03-05"))).expect("reversed");
    assert_eq!((reversal.date.as_str(), reversal.reverses), ("2026-03-05", Some(original.id)));
    assert_eq!(reversal.description, format!("Reversal of {}: entry 1", original.number));
    assert_eq!(books.ledger.entry(&books.scope, original.id).expect("there").reversed_by, Some(reversal.id));
    assert_eq!(
        books.ledger.reverse(&books.scope, original.id, ask(2, Some("2026-03-05"))).expect("the same"),
        reversal
    );
    assert!(matches!(books.ledger.reverse(&books.scope, original.id, ask(3, None)), Err(LedgerError::Conflict(_))));
    assert!(matches!(books.ledger.reverse(&books.scope, reversal.id, ask(3, None)), Err(LedgerError::Conflict(_))));
    assert!(matches!(
        books.ledger.reverse(&books.scope, Uuid::from_u128(99), ask(3, None)),
        Err(LedgerError::Missing(_))
    ));
    assert!(balances(&books).is_empty());
    for row in books.ledger.trial_balance(&books.scope, None).expect("a trial balance") {
        assert_eq!((row.balance.is_zero(), row.base.map(|b| b.is_zero())), (true, Some(true)), "{}", row.account);
    }

    let on_its_day = books.ledger.post(&books.scope, rent(10)).expect("posted");
    let reversal = books.ledger.reverse(&books.scope, on_its_day.id, ask(11, None)).expect("reversed");
    assert_eq!(reversal.date, "2026-03-31");
}

#[test]
fn the_journal_is_filtered_and_paged() {
    let books = books();
    for n in 0..7 {
        let mut entry = rent(100 + n);
        entry.date = format!("2026-0{}-01", n + 1);
        entry.description = format!("Rent 100%_{n}");
        books.ledger.post(&books.scope, entry).expect("posted");
    }
    books
        .ledger
        .post(&books.scope, new_entry(200, "2026-05-05", &[("Assets:Cash", "5", "EUR"), ("Income:Sales", "-5", "EUR")]))
        .expect("posted");
    let dates = |filter: &Filter, limit| -> Vec<String> {
        let page = books.ledger.entries(&books.scope, filter, limit).expect("a page");
        page.items.into_iter().map(|e| e.date).collect()
    };
    let date = |text| Date::parse(text);
    assert_eq!(dates(&Filter { account: Some("Income".into()), ..Filter::default() }, 50), ["2026-05-05"]);
    assert!(dates(&Filter { account: Some("Inc".into()), ..Filter::default() }, 50).is_empty());
    assert_eq!(dates(&Filter { text: Some("100%_3".into()), ..Filter::default() }, 50), ["2026-04-01"]);
    assert_eq!(
        dates(&Filter { from: date("2026-06-01"), to: date("2026-06-30"), ..Filter::default() }, 50),
        ["2026-06-01"]
    );

    let mut filter = Filter::default();
    let mut seen = Vec::new();
    loop {
        let page = books.ledger.entries(&books.scope, &filter, 3).expect("a page");
        seen.extend(page.items.iter().map(|e| e.date.clone()));
        let Some(next) = page.next else { break };
        let (on, id) = next.split_once('~').expect("date and id");
        filter.after = Date::parse(on).zip(id.parse().ok());
    }
    let mut sorted = seen.clone();
    sorted.sort_by(|a, b| b.cmp(a));
    assert_eq!((seen.len(), &seen), (8, &sorted));
}

#[test]
fn balances_as_of_a_date_leave_later_entries_out() {
    let books = books();
    books.ledger.post(&books.scope, rent(1)).expect("posted");
    books.ledger.post(&books.scope, NewEntry { date: "2026-04-01".into(), ..rent(2) }).expect("posted");
    let on = |date: &str| books.ledger.balances(&books.scope, Date::parse(date)).expect("balances");
    assert!(on("2026-03-30").is_empty());
    assert_eq!(on("2026-03-31")[0].balance.to_string(), "-1200.00");
    assert_eq!(on("2026-04-01")[0].balance.to_string(), "-2400.00");
}

#[test]
fn twenty_eight_digits_are_exact_and_more_are_refused_clearly() {
    let books = books();
    let huge = "9999999999999999999999999999";
    let minus = format!("-{huge}");
    for n in 0..10 {
        let lines = [
            ("Assets:Bank", huge, "EUR"),
            ("Assets:Cash", &minus, "EUR"),
            ("Assets:Bank", "0.01", "EUR"),
            ("Assets:Cash", "-0.01", "EUR"),
        ];
        books.ledger.post(&books.scope, new_entry(n, "2026-01-01", &lines)).expect("posted");
    }
    // The balance itself is longer than any amount may be; it is still exact.
    assert_eq!(balances(&books)[&("Assets:Bank".into(), "EUR".into())], "99999999999999999999999999990.10");
    assert!(matches!(books.ledger.trial_balance(&books.scope, None), Err(LedgerError::Overflow(_))));
    let too_long = new_entry(
        50,
        "2026-01-01",
        &[
            ("Assets:Bank", "10000000000000000000000000000", "EUR"),
            ("Assets:Cash", "-10000000000000000000000000000", "EUR"),
        ],
    );
    assert!(matches!(books.ledger.post(&books.scope, too_long), Err(LedgerError::Invalid(_))));
    let lines = [("Assets:Bank", huge, "EUR"), ("Assets:Bank", huge, "EUR"), ("Assets:Cash", "-1", "USD")];
    let overflow = books.ledger.post(&books.scope, new_entry(51, "2026-01-01", &lines)).expect_err("too large");
    assert!(overflow.to_string().contains("28 digits"), "{overflow}");
}

#[test]
fn concurrent_posts_leave_no_gap() {
    let books = Arc::new(books());
    let threads: Vec<_> = (0..4u128)
        .map(|t| {
            let books = books.clone();
            thread::spawn(move || {
                for n in 0..25 {
                    // Every fifth one is refused and must not use up a number.
                    let mut entry = rent(1 + t * 1000 + n);
                    if n % 5 == 0 {
                        entry.lines[0].amount += Decimal::ONE;
                        assert!(books.ledger.post(&books.scope, entry).is_err());
                    } else {
                        books.ledger.post(&books.scope, entry).expect("posted");
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("ends well");
    }
    let page = books.ledger.entries(&books.scope, &Filter::default(), 500).expect("a page");
    let mut numbers: Vec<String> = page.items.into_iter().map(|e| e.number).collect();
    numbers.sort();
    assert_eq!(numbers, (1..=80).map(|n| format!("JE-HS-2026-{n:04}")).collect::<Vec<_>>());
}

#[test]
fn organisations_have_books_of_their_own() {
    let books = books();
    books.ledger.post(&books.scope, rent(1)).expect("posted");
    let other = test::second_organization(books.ledger.store()).expect("a second organisation");
    assert!(books.ledger.accounts(&other).expect("accounts").is_empty());
    assert!(books.ledger.balances(&other, None).expect("balances").is_empty());
    assert!(matches!(books.ledger.entry(&other, Uuid::from_u128(1)), Err(LedgerError::Missing(_))));
    for name in ACCOUNTS {
        account(&books.ledger, &other, name, None, None);
    }
    assert_eq!(books.ledger.post(&other, rent(1)).expect("the same id, other books").number, "JE-HS-2026-0001");
}

fn refused(store: &Store, scope: &Scope, sql: &'static str) -> String {
    let result = store.write_blocking(scope, "test.raw", move |tx| -> Result<(), StoreError> {
        tx.execute_batch(sql)?;
        Ok(())
    });
    result.expect_err(sql).to_string()
}

#[test]
fn the_database_refuses_what_the_ledger_would() {
    let books = books();
    books.ledger.post(&books.scope, rent(1)).expect("posted");
    let (store, scope) = (books.ledger.store(), &books.scope);
    for (sql, why) in [
        ("UPDATE entries SET description = 'x'", "cannot be changed"),
        ("DELETE FROM entries", "cannot be removed"),
        ("UPDATE lines SET amount = '1'", "cannot be changed"),
        ("DELETE FROM lines", "cannot be removed"),
        ("DELETE FROM accounts WHERE name = 'Assets:Bank'", "with postings"),
        (
            "INSERT INTO lines (entry_id, position, account_id, amount, currency) SELECT entry_id, 9, account_id, '0', 'EUR' FROM lines LIMIT 1",
            "is posted",
        ),
        // An entry without lines, and lines without an entry.
        (
            "INSERT INTO entries (id, series, year, sequence, number, date, description, posted_at) VALUES ('x', 'JE', 2026, 1, 'n', '2026-01-01', '', 0)",
            "two lines",
        ),
        (
            "INSERT INTO lines (entry_id, position, account_id, amount, currency) SELECT 'x', position, account_id, amount, currency FROM lines",
            "FOREIGN KEY",
        ),
    ] {
        let error = refused(store, scope, sql);
        assert!(error.contains(why), "{sql}: {error}");
    }
    let lines = "INSERT INTO lines (entry_id, position, account_id, amount, currency, base) SELECT 'x', l.position, l.account_id, ";
    for (amounts, entry, why) in [
        // Off by a cent; off in one of two currencies; off in base.
        (
            "CASE position WHEN 0 THEN '1' ELSE '-1.01' END, 'EUR', NULL",
            "'JE', 2026, 1, 'n', '2026-01-01', '', 0",
            "add up to zero",
        ),
        (
            "CASE position WHEN 0 THEN '1' ELSE '-1' END, CASE position WHEN 0 THEN 'EUR' ELSE 'USD' END, NULL",
            "'JE', 2026, 1, 'n', '2026-01-01', '', 0",
            "each currency",
        ),
        (
            "CASE position WHEN 0 THEN '1' ELSE '-1' END, 'USD', CASE position WHEN 0 THEN '1' ELSE '-2' END",
            "'JE', 2026, 1, 'n', '2026-01-01', '', 0",
            "base currency",
        ),
        // A gap, a date that does not exist, the wrong year, not a number.
        ("amount, 'EUR', NULL", "'JE', 2026, 2, 'n', '2026-01-01', '', 0", "does not follow"),
        ("amount, 'EUR', NULL", "'JE', 2026, 1, 'n', '2026-02-30', '', 0", "CHECK"),
        ("amount, 'EUR', NULL", "'JE', 2025, 1, 'n', '2026-01-01', '', 0", "CHECK"),
        ("'1.2.3', 'EUR', NULL", "'JE', 2026, 1, 'n', '2026-01-01', '', 0", "not a decimal number"),
    ] {
        let sql = format!(
            "{lines}{amounts} FROM lines l WHERE l.entry_id <> 'x';
             INSERT INTO entries (id, series, year, sequence, number, date, description, posted_at) VALUES ('x', {entry})"
        );
        let error = refused(store, scope, Box::leak(sql.into_boxed_str()));
        assert!(error.contains(why), "{amounts} {entry}: {error}");
    }
}

#[test]
fn the_database_refuses_another_program_too() {
    let books = books();
    books.ledger.post(&books.scope, rent(1)).expect("posted");
    let raw = rusqlite::Connection::open(books.folder.path().join("business.sqlite")).expect("opens");
    for sql in [
        "UPDATE entries_rows SET description = 'x'",
        "DELETE FROM entries_rows",
        "UPDATE lines_rows SET amount = '1'",
        "DELETE FROM lines_rows",
        "DELETE FROM accounts_rows",
        "INSERT OR REPLACE INTO lines_rows SELECT organization_id, entry_id, position, account_id, '7', currency, base, memo, system FROM lines_rows",
        "INSERT OR REPLACE INTO entries_rows SELECT * FROM entries_rows",
    ] {
        assert!(raw.execute_batch(sql).is_err(), "{sql}");
    }
    assert_eq!(balances(&books)[&("Assets:Bank".into(), "EUR".into())], "-1200.00");
}

/// Day of the month, postings (account, mantissa, scale, currency), and whether it is made to balance.
type Drawn = (u32, Vec<(usize, i64, u32, usize)>, bool);

/// Random entries.
fn entries() -> impl Strategy<Value = Vec<Drawn>> {
    let posting = (0usize..4, -1_000_000i64..1_000_000, 0u32..=3, 0usize..4);
    proptest::collection::vec((1u32..=28, proptest::collection::vec(posting, 1..6), any::<bool>()), 1..12)
}

const CURRENCIES: [&str; 4] = ["EUR", "USD", "JPY", "BEANS"];

fn closed(mut lines: Vec<NewLine>) -> Vec<NewLine> {
    for currency in CURRENCIES {
        let mut sum = Sum::default();
        for l in lines.iter().filter(|l| l.currency == currency) {
            sum.add(l.amount).expect("fits");
        }
        if !sum.is_zero() {
            lines.push(line("Assets:Cash", sum.negated().decimal().expect("fits"), currency));
        }
    }
    lines
}

fn check_books(books: &Books, posted: &[Entry]) -> Result<(), TestCaseError> {
    let mut expected: BTreeMap<(String, String), Sum> = BTreeMap::new();
    let mut by_currency: BTreeMap<String, Sum> = BTreeMap::new();
    for entry in posted {
        let mut base = Sum::default();
        for l in &entry.lines {
            expected.entry((l.account.clone(), l.currency.clone())).or_default().add(l.amount).expect("fits");
            by_currency.entry(l.currency.clone()).or_default().add(l.amount).expect("fits");
            base.add(l.base.unwrap_or_default()).expect("fits");
        }
        prop_assert!(base.is_zero(), "{} is off by {base} in base currency", entry.number);
    }
    prop_assert!(by_currency.values().all(Sum::is_zero));
    let kept: BTreeMap<_, _> = books
        .ledger
        .balances(&books.scope, None)
        .expect("balances")
        .into_iter()
        .map(|b| ((b.account, b.currency), b.balance))
        .collect();
    prop_assert_eq!(kept, expected);
    let mut numbers: Vec<&str> = posted.iter().map(|e| e.number.as_str()).collect();
    numbers.sort_unstable();
    for (n, number) in numbers.iter().enumerate() {
        prop_assert_eq!(*number, format!("JE-HS-2026-{:04}", n + 1));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_entries_keep_the_books_balanced(entries in entries(), of_dollar in proptest::option::of(1i64..100_000)) {
        let books = books();
        if let Some(of_dollar) = of_dollar {
            rate(&books, "2026-01-15", Decimal::new(of_dollar, 4));
        }
        let mut posted: Vec<Entry> = Vec::new();
        for (n, (day, postings, close)) in entries.iter().enumerate() {
            let lines: Vec<NewLine> = postings.iter().map(|(a, m, s, c)| line(ACCOUNTS[*a], Decimal::new(*m, *s), CURRENCIES[*c])).collect();
            let lines = if *close { closed(lines) } else { lines };
            let id = Uuid::from_u128(n as u128 + 1);
            let new = NewEntry { id, date: format!("2026-01-{day:02}"), description: String::new(), series: None, lines };
            match books.ledger.post(&books.scope, new) {
                Ok(entry) => posted.push(entry),
                Err(LedgerError::Invalid(_)) => {}
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
        }
        check_books(&books, &posted)?;
        let mut all = posted.clone();
        for entry in &posted {
            let ask = Reverse { id: Uuid::from_u128(entry.id.as_u128() + 1000), date: None, description: None };
            all.push(books.ledger.reverse(&books.scope, entry.id, ask).expect("reversed"));
        }
        check_books(&books, &all)?;
        prop_assert!(balances(&books).is_empty());
    }
}
