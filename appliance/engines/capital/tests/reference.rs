//! Reference data on a box: edited here as a proposal, sent by the cloud, and used by what is posted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sent_capital::{Ledger, LedgerError, TABLES, import::Options, store::Filter};
use sent_contract::{
    Decimal, Uuid,
    capital::{Account, NewAccount, NewEntry, NewLine},
    reference::{Close, NewFxRate},
};
use sent_core::Scope;
use sent_protocol::{Checkpoint, Op, ReferenceRow};
use sent_store::{Store, test};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

struct Office {
    _folder: TempDir,
    store: Store,
    ledger: Ledger,
    scope: Scope,
    version: u64,
}

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn named(name: &str) -> NewAccount {
    NewAccount { name: name.into(), code: None, kind: None, currency: None, valid_from: None }
}

fn entry(id: u128, date: &str, description: &str, lines: &[(&str, &str, &str)]) -> NewEntry {
    let line = |(account, amount, currency): &(&str, &str, &str)| NewLine {
        account: (*account).into(),
        amount: d(amount),
        currency: (*currency).into(),
        memo: None,
    };
    NewEntry {
        id: Uuid::from_u128(id),
        date: date.into(),
        description: description.into(),
        series: None,
        lines: lines.iter().map(line).collect(),
    }
}

impl Office {
    /// Of a box that belongs to a cloud.
    fn open() -> Self {
        let office = Self::alone();
        test::join_cloud(&office.store).expect("joined");
        office
    }

    /// Of a box that belongs to none.
    fn alone() -> Self {
        let (folder, store, scope) = test::store(TABLES).expect("a store");
        let ledger = Ledger::new(store.clone());
        Self { _folder: folder, store, ledger, scope, version: 0 }
    }

    fn account(&self, name: &str) -> Account {
        self.ledger.create_account(&self.scope, named(name)).expect("an account")
    }

    /// The cloud hands a row down.
    async fn down(&mut self, table: &str, key: Value, row: Option<Value>) {
        self.version += 1;
        let object = |value: Value| value.as_object().cloned().unwrap_or_else(Map::new);
        let row = ReferenceRow {
            organization_id: self.scope.organization,
            table: table.into(),
            key: object(key),
            version: i64::try_from(self.version).unwrap(),
            deleted: row.is_none(),
            row: row.map(object).unwrap_or_default(),
        };
        let checkpoint =
            Checkpoint { from: self.version - 1, to: self.version, complete: true, rows: vec![row], refused: vec![] };
        self.store.apply_reference(checkpoint).await.expect("applied");
    }

    /// What waits for the cloud: table, operation, base version.
    async fn proposals(&self) -> Vec<(String, Op, Option<i64>)> {
        let waiting = self.store.outbox(0, 1 << 20).await.expect("an outbox");
        let changes = waiting.iter().flat_map(|t| sent_protocol::change::parse(&t.changes).expect("changes"));
        changes.map(|c| (c.table, c.op, c.base_version)).collect()
    }
}

fn faulty(result: Result<Account, LedgerError>) -> String {
    match result {
        Err(LedgerError::Invalid(fields)) => fields[0].field.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_edit_of_an_account_leaves_its_postings_possible() {
    let office = Office::open();
    let (bank, rent) = (office.account("Assets:Bank"), office.account("Expenses:Rent"));
    let (ledger, scope) = (&office.ledger, &office.scope);
    ledger
        .post(scope, entry(1, "2026-03-31", "x", &[("Expenses:Rent", "10", "EUR"), ("Assets:Bank", "-10", "EUR")]))
        .expect("posted");

    let edit = |change: fn(&mut NewAccount)| {
        let mut new = named("Expenses:Rent");
        change(&mut new);
        ledger.edit_account(scope, rent.id, new)
    };
    assert_eq!(faulty(edit(|a| a.kind = Some("asset".into()))), "kind");
    assert_eq!(faulty(edit(|a| a.currency = Some("USD".into()))), "currency");
    assert_eq!(faulty(edit(|a| a.valid_from = Some("2026-04-01".into()))), "valid_from");
    assert!(matches!(edit(|a| a.name = "Assets:Bank".into()), Err(LedgerError::Conflict(_))));
    let edited = edit(|a| (a.name, a.code) = ("Expenses:Premises".into(), Some("4210".into()))).expect("edited");
    assert_eq!((edited.name.as_str(), edited.kind.as_str()), ("Expenses:Premises", "expense"));
    assert_eq!(ledger.entry(scope, Uuid::from_u128(1)).expect("there").lines[0].account, "Expenses:Premises");

    let close = |id, on: Option<&str>| ledger.close_account(scope, id, Close { on: on.map(Into::into) });
    assert_eq!(faulty(close(bank.id, Some("2026-03-30"))), "on");
    assert_eq!(faulty(close(bank.id, Some("tomorrow"))), "on");
    close(bank.id, Some("2026-03-31")).expect("closed");
    let late = entry(2, "2026-04-01", "x", &[("Expenses:Premises", "1", "EUR"), ("Assets:Bank", "-1", "EUR")]);
    let Err(LedgerError::Invalid(fields)) = ledger.post(scope, late.clone()) else { panic!("it is closed") };
    assert_eq!(fields[0].field, "lines.1.account");
    close(bank.id, None).expect("open again");
    ledger.post(scope, late).expect("posted");
    // An account without postings may become anything.
    let fresh = office.account("Assets:Later");
    let new = NewAccount { kind: Some("equity".into()), ..named("Assets:Later") };
    assert_eq!(ledger.edit_account(scope, fresh.id, new).expect("edited").kind, "equity");
    assert!(matches!(close(Uuid::from_u128(9), None), Err(LedgerError::Missing("account"))));
}

#[tokio::test]
async fn an_edit_waits_for_the_clouds_answer() {
    let mut office = Office::open();
    let bank = office.account("Assets:Bank");
    assert!(bank.pending);
    let key = json!({ "id": bank.id });
    let row = |name: &str| json!({ "id": bank.id, "name": name, "kind": "asset", "code": null, "currency": null, "valid_from": null, "valid_to": null });
    for _ in 0..6 {
        // The version moves on; only the last one counts.
        office.down("accounts", key.clone(), Some(row("Assets:Bank"))).await;
    }
    let read = |office: &Office| office.ledger.accounts(&office.scope).expect("accounts").remove(0);
    assert!(!read(&office).pending);

    // Saving what is there already asks nobody anything.
    assert!(!office.ledger.edit_account(&office.scope, bank.id, named("Assets:Bank")).expect("the same").pending);
    let before = office.proposals().await.len();
    assert!(office.ledger.edit_account(&office.scope, bank.id, named("Assets:Giro")).expect("edited").pending);
    let close = Close { on: Some("2026-12-31".into()) };
    assert!(office.ledger.close_account(&office.scope, bank.id, close).expect("closed").pending);
    let proposals = office.proposals().await.split_off(before);
    let expected = ("accounts".to_owned(), Op::Update, Some(6));
    assert_eq!(proposals, [expected.clone(), expected], "both are based on what the cloud sent");

    // The cloud refuses: its row comes down over the edit.
    office.down("accounts", key, Some(row("Assets:Bank"))).await;
    let answered = read(&office);
    assert_eq!((answered.name.as_str(), answered.valid_to, answered.pending), ("Assets:Bank", None, false));
}

#[test]
fn without_a_cloud_nothing_waits() {
    let office = Office::alone();
    let Office { ledger, scope, .. } = &office;
    let (bank, _) = (office.account("Assets:Bank"), office.account("Assets:Cash"));
    assert!(!bank.pending);
    assert!(!ledger.edit_account(scope, bank.id, named("Assets:Giro")).expect("edited").pending);
    let rate = NewFxRate { currency: "USD".into(), date: "2026-01-01".into(), rate: d("0.92") };
    assert!(!ledger.set_rate(scope, rate).expect("a rate").pending);
    let cash = entry(1, "2026-03-31", "x", &[("Assets:Cash", "1", "EUR"), ("Assets:Giro", "-1", "EUR")]);
    assert!(ledger.post(scope, cash).expect("posted").synced);
    let read = || {
        let accounts = ledger.accounts(scope).expect("accounts").into_iter().map(|a| a.pending);
        let rates = ledger.rates(scope).expect("rates").into_iter().map(|r| r.pending);
        let entries =
            ledger.entries(scope, &Filter::default(), 10).expect("a page").items.into_iter().map(|e| !e.synced);
        accounts.chain(rates).chain(entries).collect::<Vec<_>>()
    };
    assert_eq!(read(), [false; 4]);
    // It joins one: what it has made by itself is still to be heard there.
    test::join_cloud(&office.store).expect("joined");
    assert_eq!(read(), [true; 4]);
}

#[tokio::test]
async fn a_rate_of_the_cloud_counts_in_base_currency() {
    let mut office = Office::open();
    for name in ["Assets:Dollars", "Income:Services"] {
        office.account(name);
    }
    let sale = |id, date| entry(id, date, "x", &[("Assets:Dollars", "100", "USD"), ("Income:Services", "-100", "USD")]);
    let post =
        |office: &Office, id, date| office.ledger.post(&office.scope, sale(id, date)).expect("posted").lines[0].base;
    assert_eq!(post(&office, 1, "2026-02-01"), None, "nothing is known of the dollar yet");
    // 28 digits: no float has so many.
    let rate = "0.9123456789012345678901234567";
    let key = json!({ "currency": "USD", "date": "2026-01-01" });
    office.down("fx_rates", key.clone(), Some(json!({ "currency": "USD", "date": "2026-01-01", "rate": rate }))).await;
    assert_eq!(office.ledger.rates(&office.scope).expect("rates")[0].rate, d(rate));
    assert_eq!(post(&office, 2, "2026-02-01"), Some(d("91.23")));
    // A correction of the branch counts at once, and waits.
    let new = NewFxRate { currency: "USD".into(), date: "2026-01-01".into(), rate: d("0.95") };
    let set = office.ledger.set_rate(&office.scope, new).expect("set");
    assert!(set.pending);
    assert_eq!(office.proposals().await.pop(), Some(("fx_rates".to_owned(), Op::Update, Some(1))));
    assert_eq!(post(&office, 3, "2026-02-01"), Some(d("95")));
    // Gone in the cloud, gone here; what was posted keeps its worth.
    office.down("fx_rates", key, None).await;
    assert_eq!(post(&office, 4, "2026-02-01"), None);
    assert_eq!(office.ledger.entry(&office.scope, Uuid::from_u128(2)).expect("there").lines[0].base, Some(d("91.23")));
    assert!(
        office
            .ledger
            .set_rate(&office.scope, NewFxRate { currency: "EUR".into(), date: "2026-01-01".into(), rate: d("1") })
            .is_err()
    );
}

#[tokio::test]
async fn taxes_items_and_settings_come_down() {
    let mut office = Office::open();
    for name in ["Assets:Bank", "Expenses:Rent"] {
        office.account(name);
    }
    let tax = json!({ "id": Uuid::from_u128(1), "code": "VAT", "name": "Value added tax", "rate": "19", "valid_from": "2021-01-01", "valid_to": null });
    office.down("tax_rates", json!({ "id": Uuid::from_u128(1) }), Some(tax)).await;
    let item = json!({ "id": Uuid::from_u128(2), "sku": "A-1", "name": "Chair", "unit": "piece", "price": "149.90", "currency": "EUR", "tax_code": "VAT", "valid_to": null });
    office.down("items", json!({ "id": Uuid::from_u128(2) }), Some(item)).await;
    let (ledger, scope) = (office.ledger.clone(), office.scope.clone());
    let tax = ledger.taxes(&scope).expect("taxes").remove(0);
    assert_eq!((tax.code.as_str(), tax.rate, tax.pending), ("VAT", d("19"), false));
    let item = ledger.items(&scope).expect("items").remove(0);
    assert_eq!((item.price, item.tax.as_deref()), (d("149.90"), Some("VAT")));

    let silent = |id| entry(id, "2026-03-31", " ", &[("Expenses:Rent", "10", "EUR"), ("Assets:Bank", "-10", "EUR")]);
    ledger.post(&scope, silent(1)).expect("nobody asks for a description");
    let key = json!({ "key": "entry.description.required" });
    let setting = json!({ "key": "entry.description.required", "value": "true" });
    office.down("organization_settings", key.clone(), Some(setting)).await;
    let Err(LedgerError::Invalid(fields)) = ledger.post(&scope, silent(2)) else { panic!("it is asked for now") };
    assert_eq!(fields[0].field, "description");
    let file = "transaction_id,date,description,account,amount,currency\n\
                A1,2026-01-31,,Expenses:Rent,1.00,EUR\nA1,2026-01-31,,Assets:Bank,-1.00,EUR\n";
    let report = ledger.import(&scope, file.as_bytes(), Options::default()).expect("a report");
    assert_eq!((report.posted, report.errors[0].column.as_deref()), (0, Some("description")));
    office.down("organization_settings", key, None).await;
    ledger.post(&scope, silent(2)).expect("no longer");
}

#[tokio::test]
async fn what_the_cloud_does_not_want_stays_while_postings_name_it() {
    let mut office = Office::open();
    let (bank, cash) = (office.account("Assets:Bank"), office.account("Assets:Cash"));
    let fresh = office.account("Assets:Later");
    office
        .ledger
        .post(&office.scope, entry(1, "2026-03-31", "x", &[("Assets:Cash", "1", "EUR"), ("Assets:Bank", "-1", "EUR")]))
        .expect("posted");
    for id in [bank.id, fresh.id] {
        office.down("accounts", json!({ "id": id }), None).await;
    }
    let left = office.ledger.accounts(&office.scope).expect("accounts");
    let left: Vec<(Uuid, bool)> = left.into_iter().map(|a| (a.id, a.pending)).collect();
    assert_eq!(left, [(bank.id, true), (cash.id, true)], "the account without postings is gone");
    assert_eq!(office.store.reference_version().await.unwrap(), 2);
}
