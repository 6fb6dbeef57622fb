//! Posting a file.
//!
//! First the whole file is read and held against the ledger, without writing; a file with any fault posts nothing. Then
//! its entries are posted in parts of at most 5,000, each part one transaction of the store: one transaction for a file of
//! any length could not be sent to the cloud. When the box loses power between two parts, the first ones are posted;
//! importing the file again posts the rest, because an entry whose `transaction_id` is there with the same content is
//! left alone. The same id with another content is a fault.

pub mod sheet;

use std::{collections::HashMap, fmt::Write as _, io::Read, ops::Range, sync::Arc};

use rusqlite::Connection;
use rust_decimal::Decimal;
use sent_contract::{
    Uuid,
    capital::{Account, Entry, ImportReport, RowError},
};
use sent_core::{Scope, id};
use sent_store::Tx;

use crate::{
    error::LedgerError,
    model::{self, Date, IMPORT_SERIES, Imbalance, Kind, Leg, Posting},
    poster::{NewEntry, NewLine, Poster},
    service::{DESCRIPTION_RULE, Ledger, Numbers, account_refusal, new_trading_account, plain_account},
    store,
};
use sheet::{Limits, Sheet, Transaction};

type Result<T> = std::result::Result<T, LedgerError>;

/// Entries of one part.
const PART_ENTRIES: usize = 5_000;
/// Lines of one part; with the entries some 10 MiB of changes, well below the 64 MiB the wire takes.
const PART_LINES: usize = 20_000;

/// How to import.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Only check.
    pub dry_run: bool,
    /// Make accounts that do not exist.
    pub create_accounts: bool,
    /// How much is read.
    pub limits: Limits,
}

impl Ledger {
    /// Imports a CSV file (see [`sheet`] for its format). What is wrong with the file stands in the report.
    pub fn import(&self, scope: &Scope, source: impl Read, options: Options) -> Result<ImportReport> {
        let sheet = Sheet::read(source, options.limits)?;
        let organization = scope.organization;
        let mut plan =
            self.store().read_blocking(scope, |db| Plan::make(db, organization, sheet, options.create_accounts))?;
        let report = plan.report(options.dry_run);
        if !options.dry_run && report.errors.is_empty() {
            plan.branch = self.branch(scope)?;
            self.post_parts(scope, plan)?;
        }
        Ok(report)
    }

    fn post_parts(&self, scope: &Scope, plan: Plan) -> Result<()> {
        let plan = Arc::new(plan);
        let total = plan.fresh.len();
        let first_id = id::new(&**self.store().clock());
        let mut posted = 0;
        while posted < total {
            let part = plan.part_from(posted);
            let end = part.end;
            let shared = plan.clone();
            self.store()
                .write_blocking(scope, "capital.entry.import", move |tx| shared.post(tx, part, first_id))
                .map_err(|source| LedgerError::Interrupted {
                    posted: posted as u64,
                    total: total as u64,
                    source: Box::new(source),
                })?;
            posted = end;
        }
        Ok(())
    }
}

/// A file held against the ledger: what is wrong with it, and what to post.
struct Plan {
    sheet: Sheet,
    book: Book,
    errors: Vec<RowError>,
    unchanged: u64,
    branch: Option<Uuid>,
    /// Indexes of the entries to post.
    fresh: Vec<usize>,
}

/// What the ledger has of what a file names; accounts and currencies stand under the sheet's indexes.
struct Book {
    base: String,
    accounts: Vec<Option<Target>>,
    /// Trading accounts, of the currencies that are exchanged somewhere in the file.
    trading: Vec<Option<Target>>,
    /// Rates of each currency, oldest first.
    rates: Vec<Vec<(Date, Decimal)>>,
    /// Accounts to make first.
    missing: Vec<Account>,
}

/// An account to post to.
struct Target {
    id: String,
    /// The account, if it is not open to everything.
    restricted: Option<Account>,
}

impl Target {
    fn of(account: &Account) -> Self {
        let restricted = account.currency.is_some() || account.valid_from.is_some() || account.valid_to.is_some();
        Self { id: account.id.to_string(), restricted: restricted.then(|| account.clone()) }
    }

    fn refusal(&self, date: Date, currency: &str) -> Option<String> {
        self.restricted.as_ref().and_then(|account| account_refusal(account, date, currency))
    }
}

/// Room to complete one entry after the other in.
#[derive(Default)]
struct Desk<'a> {
    postings: Vec<Posting<'a>>,
    rates: Vec<(&'a str, Decimal)>,
    legs: Vec<Leg<'a>>,
}

impl<'a> Desk<'a> {
    fn complete(
        &mut self,
        sheet: &'a Sheet,
        book: &Book,
        transaction: &Transaction,
    ) -> std::result::Result<&[Leg<'a>], Imbalance> {
        self.postings.clear();
        self.rates.clear();
        for line in sheet.lines(transaction) {
            let currency = sheet.currency(line.currency);
            self.postings.push(Posting { amount: line.amount, currency });
            let rates = &book.rates[line.currency as usize];
            if !rates.is_empty() && self.rates.iter().all(|(c, _)| *c != currency) {
                let later = rates.partition_point(|(date, _)| *date <= transaction.date);
                self.rates.extend(later.checked_sub(1).map(|n| (currency, rates[n].1)));
            }
        }
        model::complete(&self.postings, &book.base, &self.rates, &mut self.legs)?;
        Ok(&self.legs)
    }
}

impl Plan {
    fn make(db: &Connection, organization: Uuid, sheet: Sheet, create_accounts: bool) -> Result<Self> {
        let chart: HashMap<String, Account> = store::accounts(db)?.into_iter().map(|a| (a.name.clone(), a)).collect();
        let mut check = Check {
            db,
            organization,
            sheet: &sheet,
            chart,
            book: Book {
                base: store::base_currency(db)?,
                accounts: Vec::new(),
                trading: Vec::new(),
                rates: Vec::new(),
                missing: Vec::new(),
            },
            errors: Vec::new(),
            unchanged: 0,
            fresh: Vec::new(),
        };
        check.names(create_accounts)?;
        check.transactions()?;
        let Check { book, mut errors, unchanged, fresh, .. } = check;
        errors.extend_from_slice(&sheet.errors);
        errors.sort_by_key(|e| e.line);
        Ok(Self { sheet, book, errors, unchanged, branch: None, fresh })
    }

    fn report(&self, dry_run: bool) -> ImportReport {
        let good = self.errors.is_empty();
        let mut accounts_created: Vec<String> =
            if good { self.book.missing.iter().map(|a| a.name.clone()).collect() } else { Vec::new() };
        accounts_created.sort();
        ImportReport {
            dry_run,
            rows: self.sheet.rows,
            posted: if good { self.fresh.len() as u64 } else { 0 },
            unchanged: self.unchanged,
            accounts_created,
            errors: self.errors.clone(),
        }
    }

    /// The next part, as indexes into `fresh`.
    fn part_from(&self, start: usize) -> Range<usize> {
        let mut lines = 0;
        let mut end = start;
        while end < self.fresh.len() && end - start < PART_ENTRIES {
            lines += self.sheet.lines(&self.sheet.transactions()[self.fresh[end]]).len();
            if lines > PART_LINES && end > start {
                break;
            }
            end += 1;
        }
        start..end
    }

    /// Posts one part. Ids count upwards from `first_id` over the whole file.
    fn post(&self, tx: &Tx<'_>, part: Range<usize>, first_id: Uuid) -> Result<()> {
        if part.start == 0 {
            self.make_accounts(tx)?;
        }
        let branch = self.branch.map(|b| b.to_string());
        let posted_at = tx.now().0;
        let mut poster = Poster::new(tx);
        let mut desk = Desk::default();
        let series = model::series_in(IMPORT_SERIES, tx.unsettled()?.as_deref());
        let mut years: Vec<(i64, Numbers)> = Vec::new();
        let mut id_text = uuid::Uuid::encode_buffer();
        let (mut amount, mut base) = (String::new(), String::new());
        for n in part {
            let transaction = &self.sheet.transactions()[self.fresh[n]];
            let lines = self.sheet.lines(transaction);
            let id = following(first_id, n).hyphenated().encode_lower(&mut id_text);
            let legs = desk
                .complete(&self.sheet, &self.book, transaction)
                .map_err(|e| LedgerError::Conflict(e.to_string()))?;
            for (position, leg) in (0i64..).zip(legs) {
                let target = match leg.posting {
                    Some(n) => &self.book.accounts[lines[n].account as usize],
                    None => &self.book.trading[currency_index(&self.sheet, transaction, leg.currency)],
                };
                let account = target.as_ref().map(|t| t.id.as_str()).ok_or(LedgerError::Missing("account"))?;
                write_decimal(&mut amount, leg.amount);
                if let Some(value) = leg.base {
                    write_decimal(&mut base, value);
                }
                poster.line(&NewLine {
                    entry: id,
                    position,
                    account,
                    amount: &amount,
                    currency: leg.currency,
                    base: leg.base.map(|_| base.as_str()),
                    memo: None,
                    system: leg.posting.is_none(),
                });
            }
            let year = transaction.date.year();
            let at = match years.iter().position(|(y, _)| *y == year) {
                Some(at) => at,
                None => {
                    years.push((year, Numbers::of(tx, self.branch, &series, year)?));
                    years.len() - 1
                }
            };
            let (sequence, number) = years[at].1.next();
            poster.entry(&NewEntry {
                id,
                branch: branch.as_deref(),
                series: &series,
                date: transaction.date,
                sequence,
                number: &number,
                description: self.sheet.description(transaction),
                posted_at,
                reverses: None,
                external_id: Some(self.sheet.id(transaction)),
            })?;
        }
        poster.finish()
    }

    fn make_accounts(&self, tx: &Tx<'_>) -> Result<()> {
        for account in &self.book.missing {
            match store::account_named(tx, &account.name)? {
                None => store::insert_account(tx, account)?,
                // Somebody made it since the file was checked; the id follows from the name, so it is the same.
                Some(made) if made.id == account.id => {}
                Some(_) => {
                    return Err(LedgerError::Conflict(
                        "the chart of accounts has changed: import the file again".to_owned(),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Holding a sheet against the ledger.
struct Check<'a> {
    db: &'a Connection,
    organization: Uuid,
    sheet: &'a Sheet,
    chart: HashMap<String, Account>,
    book: Book,
    errors: Vec<RowError>,
    unchanged: u64,
    fresh: Vec<usize>,
}

impl Check<'_> {
    /// Finds every account and currency the sheet names.
    fn names(&mut self, create_accounts: bool) -> Result<()> {
        for name in self.sheet.accounts() {
            let target = match self.chart.get(name) {
                Some(account) => Some(Target::of(account)),
                None if create_accounts && model::account_fault(name).is_none() => {
                    let account = plain_account(self.db, self.organization, name, self.kind_of(name))?;
                    let target = Target::of(&account);
                    self.book.missing.push(account);
                    Some(target)
                }
                None => None,
            };
            self.book.accounts.push(target);
        }
        for currency in self.sheet.currencies() {
            let rates = if currency == self.book.base { Vec::new() } else { store::rates(self.db, currency)? };
            self.book.rates.push(rates);
            self.book.trading.push(None);
        }
        Ok(())
    }

    /// The kind of the nearest account above, or what the first segment says. A name that says nothing is an asset; the
    /// chart is where to correct that.
    fn kind_of(&self, name: &str) -> Kind {
        let mut above = name;
        while let Some((parent, _)) = above.rsplit_once(':') {
            if let Some(kind) = self.chart.get(parent).and_then(|a| Kind::parse(&a.kind)) {
                return kind;
            }
            above = parent;
        }
        Kind::guess(name).unwrap_or(Kind::Asset)
    }

    fn transactions(&mut self) -> Result<()> {
        let seen_before = self.any_seen_before()?;
        let described = store::demands_description(self.db)?;
        let sheet = self.sheet;
        let mut desk = Desk::default();
        for (n, transaction) in sheet.transactions().iter().enumerate() {
            if seen_before && let Some(known) = store::entry_of_external(self.db, sheet.id(transaction))? {
                self.compare(transaction, &known);
                continue;
            }
            self.accounts_of(transaction);
            if described && sheet.description(transaction).trim().is_empty() {
                self.fault(transaction.row, Some("description"), DESCRIPTION_RULE.to_owned());
            }
            if transaction.spoiled {
                continue;
            }
            match desk.complete(sheet, &self.book, transaction) {
                Ok(legs) => {
                    for leg in &legs[sheet.lines(transaction).len()..] {
                        let currency = currency_index(sheet, transaction, leg.currency);
                        self.trading_of(transaction, currency)?;
                    }
                    self.fresh.push(n);
                }
                Err(error) => self.fault(transaction.row, None, error.to_string()),
            }
        }
        Ok(())
    }

    /// Files mostly continue where the last one ended: then no id needs to be looked up.
    fn any_seen_before(&self) -> Result<bool> {
        let ids = || self.sheet.transactions().iter().map(|t| self.sheet.id(t));
        match (ids().min(), ids().max()) {
            (Some(first), Some(last)) => store::any_external(self.db, first, last),
            _ => Ok(false),
        }
    }

    fn compare(&mut self, transaction: &Transaction, known: &Entry) {
        let lines = self.sheet.lines(transaction);
        let own: Vec<_> = known.lines.iter().filter(|l| !l.system).collect();
        let same = !transaction.spoiled
            && known.date == transaction.date.as_str()
            && known.description == self.sheet.description(transaction)
            && own.len() == lines.len()
            && own.iter().zip(lines).all(|(own, line)| {
                own.account == self.sheet.account(line.account)
                    && own.amount == line.amount
                    && own.currency == self.sheet.currency(line.currency)
            });
        if same {
            self.unchanged += 1;
        } else {
            let message = format!("this transaction is posted already as {}, with another content", known.number);
            self.fault(transaction.row, Some("transaction_id"), message);
        }
    }

    fn accounts_of(&mut self, transaction: &Transaction) {
        for line in self.sheet.lines(transaction) {
            let refusal = match &self.book.accounts[line.account as usize] {
                Some(target) => target.refusal(transaction.date, self.sheet.currency(line.currency)),
                None => Some(format!("there is no account {}", self.sheet.account(line.account))),
            };
            if let Some(refusal) = refusal {
                self.fault(line.row, Some("account"), refusal);
            }
        }
    }

    /// Finds the trading account of a currency, or plans to make it.
    fn trading_of(&mut self, transaction: &Transaction, currency: usize) -> Result<()> {
        let code = self.sheet.currency(u32::try_from(currency).unwrap_or(u32::MAX));
        if self.book.trading[currency].is_none() {
            let name = model::trading_account(code);
            let planned = self.book.missing.iter().find(|a| a.name == name);
            let target = match self.chart.get(&name).or(planned) {
                Some(account) => Target::of(account),
                None => {
                    let account = new_trading_account(self.db, self.organization, code)?;
                    let target = Target::of(&account);
                    self.book.missing.push(account);
                    target
                }
            };
            self.book.trading[currency] = Some(target);
        }
        let refusal = self.book.trading[currency].as_ref().and_then(|t| t.refusal(transaction.date, code));
        if let Some(refusal) = refusal {
            self.fault(transaction.row, None, refusal);
        }
        Ok(())
    }

    fn fault(&mut self, line: u32, column: Option<&str>, message: String) {
        self.errors.push(RowError { line: line.into(), column: column.map(str::to_owned), message });
    }
}

/// Index of a currency that one of the entry's lines has.
fn currency_index(sheet: &Sheet, transaction: &Transaction, code: &str) -> usize {
    let line = sheet.lines(transaction).iter().find(|l| sheet.currency(l.currency) == code);
    line.map_or(usize::MAX, |l| l.currency as usize)
}

/// Ids of one file count upwards from the first, so that they sort in the order of the file (RFC 9562 §6.2, method 2).
/// The top bit of the random part is cleared: counting cannot reach the bits above it.
fn following(first: Uuid, n: usize) -> Uuid {
    const TOP: u128 = 1 << 61;
    Uuid::from_u128((first.as_u128() & !TOP) + n as u128)
}

fn write_decimal(text: &mut String, value: Decimal) {
    text.clear();
    // Writing to a String cannot fail.
    let _ = write!(text, "{value}");
}
