//! A small office's books, and what is measured in it.

use std::fmt::Write as _;

use anyhow::Result;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rust_decimal::Decimal;
use sent_contract::{
    Page, Uuid,
    capital::{BalanceRow, Entry, ImportReport, NewAccount, NewEntry, NewLine},
    pulse::{Check, CheckKind, NewCheck, Rule},
    reference::{Item, NewFxRate, NewItem, NewTaxRate, OrganizationSetting, TaxRate},
};

use crate::Face;

/// Account, number, currency if it takes only one.
const CHART: &[(&str, &str, Option<&str>)] = &[
    ("Assets:Bank:Checking", "1200", Some("EUR")),
    ("Assets:Bank:Dollars", "1210", Some("USD")),
    ("Assets:Bank:Pounds", "1220", Some("GBP")),
    ("Assets:Cash", "1000", None),
    ("Assets:Receivables", "1400", None),
    ("Assets:Equipment", "0400", None),
    ("Liabilities:Payables", "1600", None),
    ("Liabilities:VAT", "1776", None),
    ("Liabilities:Loan", "0630", None),
    ("Equity:Opening", "9000", None),
    ("Income:Sales", "8400", None),
    ("Income:Services", "8500", None),
    ("Expenses:Rent", "4210", None),
    ("Expenses:Salaries", "4100", None),
    ("Expenses:Power", "4240", None),
    ("Expenses:Internet", "4920", None),
    ("Expenses:Travel", "4670", None),
    ("Expenses:Supplies", "4930", None),
    ("Expenses:Bank fees", "4970", None),
];

/// The chart of accounts.
pub fn chart() -> Vec<NewAccount> {
    CHART
        .iter()
        .map(|(name, code, currency)| NewAccount {
            name: (*name).to_owned(),
            code: Some((*code).to_owned()),
            kind: None,
            currency: currency.map(str::to_owned),
            valid_from: None,
        })
        .collect()
}

/// An entry of lines (account, cents, currency).
pub fn entry(id: Uuid, date: &str, description: &str, lines: &[(&str, i64, &str)]) -> NewEntry {
    NewEntry {
        id,
        date: date.to_owned(),
        description: description.to_owned(),
        series: None,
        lines: lines
            .iter()
            .map(|(account, cents, currency)| NewLine {
                account: (*account).to_owned(),
                amount: Decimal::new(*cents, 2),
                currency: (*currency).to_owned(),
                memo: None,
            })
            .collect(),
    }
}

/// A sale of so many cents, the simplest entry there is.
pub fn sale(id: Uuid, cents: i64) -> NewEntry {
    let lines = [("Assets:Bank:Checking", cents, "EUR"), ("Income:Sales", -cents, "EUR")];
    entry(id, "2026-11-02", &format!("Sale {}", &id.to_string()[..8]), &lines)
}

/// Posts an entry.
pub async fn post(face: &Face, entry: &NewEntry) -> Result<Entry> {
    face.post("/api/capital/entries", entry).await
}

/// A file of `count` transactions, numbered from `first`, as `sent capital import` reads it.
pub fn sheet(first: u64, count: u64) -> String {
    let mut csv = String::from("transaction_id,date,description,account,amount,currency\n");
    let accounts = ["Income:Sales", "Income:Services", "Expenses:Supplies", "Expenses:Travel"];
    for n in first..first + count {
        let (day, month) = (1 + n % 28, 1 + n / 28 % 11);
        let cents = i64::try_from(n % 90_000).unwrap_or(0) + 1;
        let amount = Decimal::new(cents, 2);
        let account = accounts[usize::try_from(n % 4).unwrap_or(0)];
        for (account, amount) in [("Assets:Bank:Checking", amount), (account, -amount)] {
            let _ = writeln!(csv, "T{n:07},2026-{month:02}-{day:02},Invoice {n},{account},{amount},EUR");
        }
    }
    csv
}

/// Imports a file by the box's route.
pub async fn import(face: &Face, csv: String) -> Result<ImportReport> {
    let answer = face.send(reqwest::Method::POST, "/api/capital/import", Some(("text/csv", csv.into_bytes()))).await?;
    let report: ImportReport = answer.json()?;
    anyhow::ensure!(report.errors.is_empty(), "the import has bad rows: {:?}", report.errors.first());
    Ok(report)
}

/// The trial balance.
pub async fn balance(face: &Face) -> Result<Vec<BalanceRow>> {
    face.get("/api/capital/trial-balance").await
}

/// Entries of the months before `until` (`2026-11`), newest last: opening balances, then a small office's life.
pub fn year(seed: u64) -> Vec<NewEntry> {
    let mut dice = StdRng::seed_from_u64(seed);
    // The ids follow from the seed, so that a second fill posts nothing twice.
    let mut id = {
        let mut ids = StdRng::seed_from_u64(seed ^ 0x5e17);
        move || uuid::Builder::from_random_bytes(ids.random()).into_uuid()
    };
    let mut all = vec![
        entry(
            id(),
            "2026-05-01",
            "Opening balances",
            &[
                ("Assets:Bank:Checking", 2_480_000, "EUR"),
                ("Assets:Cash", 42_000, "EUR"),
                ("Assets:Receivables", 613_500, "EUR"),
                ("Assets:Equipment", 980_000, "EUR"),
                ("Liabilities:Payables", -254_000, "EUR"),
                ("Liabilities:Loan", -1_200_000, "EUR"),
                ("Equity:Opening", -2_661_500, "EUR"),
            ],
        ),
        entry(
            id(),
            "2026-05-01",
            "Opening balance of the dollar account",
            &[("Assets:Bank:Dollars", 500_000, "USD"), ("Equity:Opening", -500_000, "USD")],
        ),
        entry(
            id(),
            "2026-05-01",
            "Opening balance of the pound account",
            &[("Assets:Bank:Pounds", 180_000, "GBP"), ("Equity:Opening", -180_000, "GBP")],
        ),
    ];
    let customers = ["Lindqvist AB", "Brauerei Hofer", "Marchetti & Figli", "Ostrava Tools", "Pont-Neuf Optique"];
    for month in 5..=11_u32 {
        let date = |day: u32| format!("2026-{month:02}-{day:02}");
        let mut add = |day: u32, what: String, lines: &[(&str, i64, &str)]| {
            all.push(entry(id(), &date(day), &what, lines));
        };
        let rent = 185_000;
        add(2, format!("Rent {month}/2026"), &[("Expenses:Rent", rent, "EUR"), ("Assets:Bank:Checking", -rent, "EUR")]);
        for _ in 0..3 {
            let customer = customers[dice.random_range(0..customers.len())];
            let (day, net) = (dice.random_range(3..20), dice.random_range(400..4_000) * 100);
            let vat = net * 19 / 100;
            add(
                day,
                format!("Invoice to {customer}"),
                &[
                    ("Assets:Receivables", net + vat, "EUR"),
                    ("Income:Sales", -net, "EUR"),
                    ("Liabilities:VAT", -vat, "EUR"),
                ],
            );
            add(
                (day + 2).min(22),
                format!("Payment by {customer}"),
                &[("Assets:Bank:Checking", net + vat, "EUR"), ("Assets:Receivables", -(net + vat), "EUR")],
            );
        }
        let power = dice.random_range(9_000..19_000);
        add(15, "Power".into(), &[("Expenses:Power", power, "EUR"), ("Assets:Bank:Checking", -power, "EUR")]);
        if month % 2 == 0 {
            let fee = dice.random_range(20..90) * 1_000;
            add(
                18,
                "Consulting for Fairweather Inc.".into(),
                &[("Assets:Bank:Dollars", fee, "USD"), ("Income:Services", -fee, "USD")],
            );
        } else {
            let fare = dice.random_range(80..400) * 100;
            add(
                19,
                "Trade fair in Leeds".into(),
                &[("Expenses:Travel", fare, "GBP"), ("Assets:Bank:Pounds", -fare, "GBP")],
            );
        }
        if month < 11 {
            let pay = 612_500;
            add(
                22,
                format!("Salaries {month}/2026"),
                &[("Expenses:Salaries", pay, "EUR"), ("Assets:Bank:Checking", -pay, "EUR")],
            );
        }
    }
    // One entry over two currencies: the system adds the trading legs.
    all.push(entry(
        id(),
        "2026-11-20",
        "Dollars sold",
        &[("Assets:Bank:Dollars", -200_000, "USD"), ("Assets:Bank:Checking", 184_600, "EUR")],
    ));
    all.sort_by(|a, b| a.date.cmp(&b.date));
    all
}

/// Rates of the dollar and the pound, month by month: currency, first day, worth in euros.
const RATES: &[(&str, &str, &str)] = &[
    ("USD", "2026-05-01", "0.9240"),
    ("USD", "2026-08-01", "0.9185"),
    ("USD", "2026-11-01", "0.9212"),
    ("GBP", "2026-05-01", "1.1705"),
    ("GBP", "2026-08-01", "1.1620"),
    ("GBP", "2026-11-01", "1.1668"),
];

/// Code, name, percent, first day. The second rate of a code ends the first.
const TAXES: &[(&str, &str, &str, &str)] = &[
    ("VAT", "Value added tax", "19", "2021-01-01"),
    ("REDUCED", "Value added tax, reduced", "7", "2021-01-01"),
    ("LODGING", "Lodging tax", "5", "2021-01-01"),
    ("LODGING", "Lodging tax", "7.5", "2026-07-01"),
];

/// Number, name, unit, net price in euros, tax.
const ITEMS: &[(&str, &str, &str, &str, &str)] = &[
    ("C-100", "Consulting", "hour", "120.00", "VAT"),
    ("C-200", "Consulting abroad", "day", "1100.00", "VAT"),
    ("B-010", "Handbook, printed", "piece", "34.95", "REDUCED"),
    ("F-001", "Office chair", "piece", "249.90", "VAT"),
    ("F-002", "Desk, adjustable", "piece", "649.00", "VAT"),
    ("S-310", "Coffee beans", "kg", "18.40", "REDUCED"),
];

/// What the cloud hands down beside the chart: rates, taxes, items, a setting. What is there already stays as it is.
pub async fn furnish(fleet: &Face, organization: Uuid) -> Result<()> {
    let at = format!("/api/fleet/organizations/{organization}");
    for (currency, date, rate) in RATES {
        let new = NewFxRate { currency: (*currency).into(), date: (*date).into(), rate: rate.parse()? };
        fleet.change(reqwest::Method::PUT, &format!("{at}/rates"), &new).await?;
    }
    let known: Vec<TaxRate> = fleet.get(&format!("{at}/taxes")).await?;
    for (code, name, rate, valid_from) in TAXES {
        if known.iter().all(|k| k.code != *code || k.valid_from != *valid_from) {
            let (code, name, valid_from) = ((*code).to_owned(), (*name).to_owned(), (*valid_from).to_owned());
            let _: TaxRate =
                fleet.post(&format!("{at}/taxes"), &NewTaxRate { code, name, rate: rate.parse()?, valid_from }).await?;
        }
    }
    let known: Vec<Item> = fleet.get(&format!("{at}/items")).await?;
    for (sku, name, unit, price, tax) in ITEMS.iter().filter(|(sku, ..)| known.iter().all(|k| k.sku != *sku)) {
        let new = NewItem {
            sku: (*sku).to_owned(),
            name: (*name).to_owned(),
            unit: (*unit).to_owned(),
            price: price.parse()?,
            currency: "EUR".to_owned(),
            tax: Some((*tax).to_owned()),
        };
        let _: Item = fleet.post(&format!("{at}/items"), &new).await?;
    }
    let demand = OrganizationSetting { key: "entry.description.required".to_owned(), value: "true".to_owned() };
    fleet.change(reqwest::Method::PUT, &format!("{at}/settings"), &demand).await?;
    Ok(())
}

/// A dozen checks around an address that answers.
pub fn checks(page: &str, port: u16) -> Vec<NewCheck> {
    let check = |name: &str, kind: CheckKind| NewCheck {
        name: name.to_owned(),
        kind,
        interval: Some(10),
        timeout: Some(5),
        paused: false,
    };
    let host = || "127.0.0.1".to_owned();
    let http =
        |path: &str| CheckKind::Http { url: format!("{page}{path}"), status: None, contains: None, redirects: None };
    vec![
        check("gateway answers", CheckKind::Ping { host: host() }),
        check("name server", CheckKind::Ping { host: "127.0.0.2".into() }),
        check("file server", CheckKind::Ping { host: "127.0.0.3".into() }),
        check("printer", CheckKind::Ping { host: "127.0.0.4".into() }),
        check("box pages", http("/healthz")),
        check("box login", http("/")),
        check("web shop", http("/api/session-of-nobody")),
        check("pages listen", CheckKind::Tcp { host: host(), port }),
        check("database listens", CheckKind::Tcp { host: host(), port }),
        check("mail listens", CheckKind::Tcp { host: host(), port: 9 }),
        check("box metrics", CheckKind::Prometheus { url: format!("{page}/metrics") }),
        check("camera", CheckKind::Ping { host: "127.0.0.5".into() }),
    ]
}

/// When somebody is told.
pub fn rules() -> Vec<Rule> {
    let rule = |name: &str, metric: &str, condition: &str, raise: f64, clear: f64, severity: &str| Rule {
        id: Uuid::nil(),
        name: name.to_owned(),
        metric: metric.to_owned(),
        labels: Default::default(),
        condition: condition.to_owned(),
        raise,
        clear,
        hold_seconds: 30,
        severity: severity.to_owned(),
        notify: Vec::new(),
        escalate_after: None,
        escalate_to: Vec::new(),
        paused: false,
    };
    vec![
        rule("processors are busy", "cpu_usage_ratio", "above", 0.95, 0.8, "warn"),
        rule("disk is nearly full", "disk_used_ratio", "above", 0.9, 0.85, "bad"),
        rule("a check fails", "check_up", "below", 0.5, 0.5, "bad"),
        rule("the box went quiet", "cpu_usage_ratio", "absent", 120.0, 120.0, "bad"),
    ]
}

/// Fills an office by the box's own routes; what is there already stays as it is. Answers how much is new.
pub async fn fill(face: &Face, seed: u64) -> Result<(usize, usize, usize)> {
    let mut posted = 0;
    for entry in year(seed) {
        let there = face.send(reqwest::Method::GET, &format!("/api/capital/entries/{}", entry.id), None).await?;
        if !there.status.is_success() {
            post(face, &entry).await?;
            posted += 1;
        }
    }
    let known: Page<Check> = face.get("/api/pulse/checks").await?;
    let port = url::Url::parse(face.base())?.port().unwrap_or(80);
    let mut checked = 0;
    for check in checks(face.base(), port).iter().filter(|c| known.items.iter().all(|k| k.name != c.name)) {
        let _: Check = face.post("/api/pulse/checks", check).await?;
        checked += 1;
    }
    let known: Page<Rule> = face.get("/api/pulse/rules").await?;
    let mut ruled = 0;
    for rule in rules().iter().filter(|r| known.items.iter().all(|k| k.name != r.name)) {
        let _: Rule = face.post("/api/pulse/rules", rule).await?;
        ruled += 1;
    }
    Ok((posted, checked, ruled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_the_same_each_time_and_adds_up() {
        let entries = year(7);
        assert!(entries.len() > 60);
        assert_eq!(entries.iter().map(|e| e.id).collect::<Vec<_>>(), year(7).iter().map(|e| e.id).collect::<Vec<_>>());
        for entry in entries.iter().filter(|e| e.description != "Dollars sold") {
            let sum: Decimal = entry.lines.iter().map(|l| l.amount).sum();
            assert!(sum.is_zero(), "{}", entry.description);
        }
    }

    #[test]
    fn a_sheet_has_two_rows_a_transaction() {
        assert_eq!(sheet(5, 3).lines().count(), 1 + 2 * 3);
    }
}
