//! What the ledger does. Every call blocks: routes run it off the async threads, verbs call it as it is.
//!
//! A change can be repeated: its id comes from the client, and the same id with the same content gets the same answer,
//! with another content a conflict.

use rusqlite::Connection;
use rust_decimal::Decimal;
use sent_contract::{
    FieldError, Page, Uuid,
    capital::{Account, BalanceRow, Entry, NewAccount, NewEntry, NewLine, Reverse},
};
use sent_core::{Scope, Timestamp, money};
use sent_store::{Store, Tx};

use crate::{
    error::LedgerError,
    model::{self, Date, Imbalance, Kind, Leg, Posting},
    poster::{self, Poster},
    store::{self, Balance, Filter, Owned},
};

type Result<T> = std::result::Result<T, LedgerError>;

/// Most entries of one page.
pub const MAX_PAGE: usize = 500;

/// The books of the organisations on a box.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) store: Store,
}

impl Ledger {
    /// On a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The branch whose series are counted here: the box's own, because only one box may count a series.
    pub(crate) fn branch(&self, scope: &Scope) -> Result<Option<Uuid>> {
        let own = self.store.identity()?;
        Ok(if scope.organization == own.organization { own.branch } else { scope.branch })
    }

    /// The chart of accounts, by name.
    pub fn accounts(&self, scope: &Scope) -> Result<Vec<Account>> {
        Ok(self.all_standing(self.store.read_blocking(scope, store::accounts)?))
    }

    /// Adds an account to the chart. On a box that belongs to a cloud it is a proposal that is used at once.
    pub fn create_account(&self, scope: &Scope, new: NewAccount) -> Result<Account> {
        check_account(&new)?;
        let account = self.store.write_blocking(scope, "capital.account.create", move |tx| {
            if let Some(known) = store::account_named(tx, &new.name)? {
                let same = known.code == new.code
                    && known.currency == new.currency
                    && known.valid_from == new.valid_from
                    && new.kind.as_ref().is_none_or(|k| *k == known.kind);
                return if same {
                    Ok(known)
                } else {
                    Err(LedgerError::Conflict(format!("there is an account {} already", known.name)))
                };
            }
            let kind = match new.kind.as_deref().and_then(Kind::parse) {
                Some(kind) => kind,
                None => match store::kind_above(tx, &new.name)?.or_else(|| Kind::guess(&new.name)) {
                    Some(kind) => kind,
                    None => return Err(LedgerError::field("kind", "the name does not tell the kind: give it")),
                },
            };
            let mut account = plain_account(tx, tx.scope().organization, &new.name, kind)?;
            account.code = new.code;
            account.currency = new.currency;
            account.valid_from = new.valid_from;
            store::insert_account(tx, &account)?;
            Ok(account)
        })?;
        Ok(self.standing(account))
    }

    /// Posts an entry.
    pub fn post(&self, scope: &Scope, new: NewEntry) -> Result<Entry> {
        let branch = self.branch(scope)?;
        check_entry(&new)?;
        let entry = self.store.write_blocking(scope, "capital.entry.post", move |tx| post(tx, branch, &new))?;
        self.with_sync(entry)
    }

    /// Posts the exact opposite of an entry.
    pub fn reverse(&self, scope: &Scope, id: Uuid, reverse: Reverse) -> Result<Entry> {
        let branch = self.branch(scope)?;
        if let Some(fault) = reverse.description.as_deref().and_then(model::text_fault) {
            return Err(LedgerError::field("description", fault));
        }
        let entry = self
            .store
            .write_blocking(scope, "capital.entry.reverse", move |tx| post_reversal(tx, branch, id, &reverse))?;
        self.with_sync(entry)
    }

    /// One entry.
    pub fn entry(&self, scope: &Scope, id: Uuid) -> Result<Entry> {
        let entry = self.store.read_blocking(scope, |db| store::entry(db, id))?.ok_or(LedgerError::Missing("entry"))?;
        self.with_sync(entry)
    }

    /// A page of the journal, newest date first.
    pub fn entries(&self, scope: &Scope, filter: &Filter, limit: usize) -> Result<Page<Entry>> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut items = self.store.read_blocking(scope, |db| store::entries(db, filter, limit + 1))?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|e| format!("{}~{}", e.date, e.id));
        let waiting = self.waiting()?;
        for entry in &mut items {
            entry.synced = is_synced(entry, waiting);
        }
        Ok(Page { items, next, total: None })
    }

    /// The balance of every account and currency that has lines, up to a date or all.
    pub fn balances(&self, scope: &Scope, as_of: Option<Date>) -> Result<Vec<Balance>> {
        self.store.read_blocking(scope, |db| store::balances(db, as_of))
    }

    /// The same for a page. Accounts whose lines cancel are there with a zero.
    pub fn trial_balance(&self, scope: &Scope, as_of: Option<Date>) -> Result<Vec<BalanceRow>> {
        self.balances(scope, as_of)?
            .into_iter()
            .map(|b| {
                // A total in base currency that cannot be written is left out; the balance itself must not be.
                let base = b.base.and_then(|base| base.decimal().ok());
                Ok(BalanceRow { account: b.account, currency: b.currency, balance: b.balance.decimal()?, base })
            })
            .collect()
    }

    fn with_sync(&self, mut entry: Entry) -> Result<Entry> {
        entry.synced = is_synced(&entry, self.waiting()?);
        Ok(entry)
    }

    /// When the oldest transaction that waits for the cloud was made. Asked after the entries were read, so that an entry
    /// posted in between is never called synced. On a box that stands alone nothing waits.
    fn waiting(&self) -> Result<Option<Timestamp>> {
        if !self.store.has_cloud() {
            return Ok(None);
        }
        Ok(self.store.oldest_waiting_blocking()?)
    }

    /// A row as it stands here: where there is no cloud, no edit waits for its answer.
    pub(crate) fn standing<R: Owned>(&self, mut row: R) -> R {
        *row.pending() &= self.store.has_cloud();
        row
    }

    /// The same of many.
    pub(crate) fn all_standing<R: Owned>(&self, mut rows: Vec<R>) -> Vec<R> {
        let has_cloud = self.store.has_cloud();
        for row in &mut rows {
            *row.pending() &= has_cloud;
        }
        rows
    }
}

/// Transactions leave in order, so whatever was posted before the oldest one that waits has arrived.
fn is_synced(entry: &Entry, waiting: Option<Timestamp>) -> bool {
    waiting.is_none_or(|oldest| entry.posted_at < oldest.0)
}

pub(crate) const CURRENCY_RULE: &str =
    "a currency is a code of 1 to 24 letters, digits or . _ - ' that begins with a letter";

pub(crate) fn check_account(new: &NewAccount) -> Result<()> {
    let mut faults = Faults::default();
    faults.note("name", model::account_fault(&new.name));
    faults.note("code", new.code.as_deref().and_then(model::text_fault));
    if new.kind.as_deref().is_some_and(|k| Kind::parse(k).is_none()) {
        faults.note("kind", Some("a kind is asset, liability, equity, income or expense"));
    }
    if new.currency.as_deref().is_some_and(|c| !money::is_code(c)) {
        faults.note("currency", Some(CURRENCY_RULE));
    }
    if new.valid_from.as_deref().is_some_and(|d| Date::parse(d).is_none()) {
        faults.note("valid_from", Some(DATE_RULE));
    }
    faults.done()
}

pub(crate) const DESCRIPTION_RULE: &str = "this organisation wants every entry described";
pub(crate) const DATE_RULE: &str = "a date is written like 2026-03-31";

fn check_entry(new: &NewEntry) -> Result<()> {
    let mut faults = Faults::default();
    if Date::parse(&new.date).is_none() {
        faults.note("date", Some(DATE_RULE));
    }
    faults.note("description", model::text_fault(&new.description));
    if new.series.as_deref().is_some_and(|s| !model::is_series(s)) {
        faults.note("series", Some("a series is a code of one to eight capital letters or digits"));
    }
    if new.lines.len() < 2 || new.lines.len() > model::MAX_LINES {
        faults.note("lines", Some("an entry has from 2 to 2,000 lines"));
    }
    for (n, line) in new.lines.iter().enumerate().take(model::MAX_LINES) {
        faults.note(format!("lines.{n}.account"), model::account_fault(&line.account));
        if !money::is_code(&line.currency) {
            faults.note(format!("lines.{n}.currency"), Some(CURRENCY_RULE));
        }
        if !model::has_28_digits(line.amount) {
            faults.note(format!("lines.{n}.amount"), Some("an amount has at most 28 digits"));
        }
        faults.note(format!("lines.{n}.memo"), line.memo.as_deref().and_then(model::text_fault));
    }
    faults.done()
}

/// Faults of a request, each beside its field.
#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    fn note(&mut self, field: impl Into<String>, fault: Option<&str>) {
        if let Some(fault) = fault {
            self.0.push(FieldError { field: field.into(), message: fault.to_owned() });
        }
    }

    fn done(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(LedgerError::Invalid(self.0)) }
    }
}

/// An account nobody has refined yet. Its id follows from organisation and name, so that two branches that make the same
/// account while they are apart make the same row.
pub(crate) fn plain_account(db: &Connection, organization: Uuid, name: &str, kind: Kind) -> Result<Account> {
    let mut attempt = 0;
    // Taken only by an account that had this name once and was renamed.
    while store::has_account(db, model::account_id(organization, name, attempt))? {
        attempt += 1;
    }
    Ok(Account {
        id: model::account_id(organization, name, attempt),
        name: name.to_owned(),
        code: None,
        kind: kind.as_str().to_owned(),
        currency: None,
        valid_from: None,
        valid_to: None,
        pending: true,
    })
}

/// The account the system books exchanges of a currency on, as it is made when it is missing.
pub(crate) fn new_trading_account(db: &Connection, organization: Uuid, currency: &str) -> Result<Account> {
    let mut account = plain_account(db, organization, &model::trading_account(currency), Kind::Equity)?;
    account.currency = Some(currency.to_owned());
    Ok(account)
}

fn trading_account(tx: &Tx<'_>, currency: &str) -> Result<Account> {
    if let Some(known) = store::account_named(tx, &model::trading_account(currency))? {
        return Ok(known);
    }
    let account = new_trading_account(tx, tx.scope().organization, currency)?;
    store::insert_account(tx, &account)?;
    Ok(account)
}

/// Why an account cannot take a line, if so. The database refuses it too; this says it beside the field.
pub(crate) fn account_refusal(account: &Account, date: Date, currency: &str) -> Option<String> {
    if let Some(only) = account.currency.as_deref().filter(|c| *c != currency) {
        return Some(format!("{} takes {only} only", account.name));
    }
    if let Some(from) = account.valid_from.as_deref().filter(|from| date.as_str() < *from) {
        return Some(format!("{} opens on {from}", account.name));
    }
    if let Some(to) = account.valid_to.as_deref().filter(|to| date.as_str() > *to) {
        return Some(format!("{} was closed after {to}", account.name));
    }
    None
}

fn post(tx: &Tx<'_>, branch: Option<Uuid>, new: &NewEntry) -> Result<Entry> {
    let date = Date::parse(&new.date).ok_or_else(|| LedgerError::field("date", DATE_RULE))?;
    if let Some(known) = store::entry(tx, new.id)? {
        return if is_same(tx, &known, new)? { Ok(known) } else { Err(id_is_taken()) };
    }
    let mut faults = Faults::default();
    if new.description.trim().is_empty() && store::demands_description(tx)? {
        faults.note("description", Some(DESCRIPTION_RULE));
    }
    let mut accounts = Vec::with_capacity(new.lines.len());
    for (n, line) in new.lines.iter().enumerate() {
        match store::account_named(tx, &line.account)? {
            Some(account) => {
                faults.note(format!("lines.{n}.account"), account_refusal(&account, date, &line.currency).as_deref());
                accounts.push(account.id);
            }
            None => faults.note(format!("lines.{n}.account"), Some("there is no such account")),
        }
    }
    faults.done()?;
    let base = store::base_currency(tx)?;
    let rates = rates_for(tx, &base, new.lines.iter().map(|l| l.currency.as_str()), date)?;
    let postings: Vec<Posting<'_>> =
        new.lines.iter().map(|l| Posting { amount: l.amount, currency: &l.currency }).collect();
    let mut legs = Vec::new();
    model::complete(&postings, &base, &rates, &mut legs).map_err(imbalance)?;
    for leg in &legs[new.lines.len()..] {
        let account = trading_account(tx, leg.currency)?;
        if let Some(refusal) = account_refusal(&account, date, leg.currency) {
            return Err(LedgerError::Conflict(refusal));
        }
        accounts.push(account.id);
    }
    let lines: Vec<Written<'_>> = legs
        .iter()
        .zip(&accounts)
        .map(|(leg, account)| Written {
            account: *account,
            leg: *leg,
            memo: leg.posting.and_then(|n| new.lines[n].memo.as_deref()),
        })
        .collect();
    let series = new.series.as_deref().unwrap_or(model::DEFAULT_SERIES);
    write(tx, branch, &Header { id: new.id, date, description: &new.description, series, reverses: None }, &lines)
}

fn imbalance(error: Imbalance) -> LedgerError {
    LedgerError::field("lines", error.to_string())
}

fn id_is_taken() -> LedgerError {
    LedgerError::Conflict("another entry has this id already: make a new id for a new entry".to_owned())
}

/// What the currencies are worth on a date, as far as that is known.
fn rates_for<'a>(
    tx: &Tx<'_>,
    base: &str,
    currencies: impl Iterator<Item = &'a str>,
    date: Date,
) -> Result<Vec<(&'a str, Decimal)>> {
    let mut rates: Vec<(&str, Decimal)> = Vec::new();
    let mut asked: Vec<&str> = vec![base];
    for currency in currencies {
        if asked.contains(&currency) {
            continue;
        }
        asked.push(currency);
        if let Some(rate) = store::rate_on(tx, currency, date)? {
            rates.push((currency, rate));
        }
    }
    Ok(rates)
}

/// Whether a posted entry is what is asked for again. The system's own lines follow from the others.
fn is_same(tx: &Tx<'_>, known: &Entry, new: &NewEntry) -> Result<bool> {
    let series = store::series_of(tx, known.id)?;
    let lines: Vec<NewLine> = own_lines(known);
    Ok(known.reverses.is_none()
        && known.date == new.date
        && known.description == new.description
        && series.as_deref().map(model::own_series) == Some(new.series.as_deref().unwrap_or(model::DEFAULT_SERIES))
        && lines == new.lines)
}

/// The lines of an entry as somebody wrote them.
pub(crate) fn own_lines(entry: &Entry) -> Vec<NewLine> {
    entry
        .lines
        .iter()
        .filter(|l| !l.system)
        .map(|l| NewLine {
            account: l.account.clone(),
            amount: l.amount,
            currency: l.currency.clone(),
            memo: l.memo.clone(),
        })
        .collect()
}

fn post_reversal(tx: &Tx<'_>, branch: Option<Uuid>, id: Uuid, reverse: &Reverse) -> Result<Entry> {
    let original = store::entry(tx, id)?.ok_or(LedgerError::Missing("entry"))?;
    let date = reverse.date.as_deref().unwrap_or(&original.date);
    let date = Date::parse(date).ok_or_else(|| LedgerError::field("date", DATE_RULE))?;
    let description = match &reverse.description {
        Some(text) => text.clone(),
        None => {
            format!("Reversal of {}: {}", original.number, original.description).chars().take(model::MAX_TEXT).collect()
        }
    };
    if let Some(known) = store::entry(tx, reverse.id)? {
        let same = known.reverses == Some(id) && known.date == date.as_str() && known.description == description;
        return if same { Ok(known) } else { Err(id_is_taken()) };
    }
    if original.reversed_by.is_some() {
        return Err(LedgerError::Conflict(format!("{} is reversed already", original.number)));
    }
    if original.reverses.is_some() {
        return Err(LedgerError::Conflict(format!(
            "{} is a reversal itself: post the entry anew instead",
            original.number
        )));
    }
    if date.as_str() < original.date.as_str() {
        return Err(LedgerError::field(
            "date",
            format!("an entry cannot be reversed before its own date, {}", original.date),
        ));
    }
    let mut lines = Vec::with_capacity(original.lines.len());
    for line in &original.lines {
        let account = store::account_named(tx, &line.account)?.ok_or(LedgerError::Missing("account"))?;
        if let Some(refusal) = account_refusal(&account, date, &line.currency) {
            return Err(LedgerError::Conflict(refusal));
        }
        let (amount, base) = model::reversed(line.amount, line.base);
        // The order of the lines and what the system made stay as they are.
        let posting = (!line.system).then_some(0);
        let leg = Leg { posting, amount, currency: &line.currency, base };
        lines.push(Written { account: account.id, leg, memo: line.memo.as_deref() });
    }
    let series = store::series_of(tx, id)?.unwrap_or_else(|| model::DEFAULT_SERIES.to_owned());
    write(
        tx,
        branch,
        &Header { id: reverse.id, date, description: &description, series: &series, reverses: Some(id) },
        &lines,
    )
}

/// A line about to be written.
struct Written<'a> {
    account: Uuid,
    leg: Leg<'a>,
    memo: Option<&'a str>,
}

/// An entry about to be written.
struct Header<'a> {
    id: Uuid,
    date: Date,
    description: &'a str,
    series: &'a str,
    reverses: Option<Uuid>,
}

fn write(tx: &Tx<'_>, branch: Option<Uuid>, header: &Header<'_>, lines: &[Written<'_>]) -> Result<Entry> {
    let id = header.id.to_string();
    let branch_id = branch.map(|b| b.to_string());
    let mut poster = Poster::new(tx);
    for (position, line) in (0i64..).zip(lines) {
        poster.line(&poster::NewLine {
            entry: &id,
            position,
            account: &line.account.to_string(),
            amount: &line.leg.amount.to_string(),
            currency: line.leg.currency,
            base: line.leg.base.map(|b| b.to_string()).as_deref(),
            memo: line.memo,
            system: line.leg.posting.is_none(),
        });
    }
    let series = model::series_in(header.series, tx.unsettled()?.as_deref());
    let mut numbers = Numbers::of(tx, branch, &series, header.date.year())?;
    let (sequence, number) = numbers.next();
    poster.entry(&poster::NewEntry {
        id: &id,
        branch: branch_id.as_deref(),
        series: &series,
        date: header.date,
        sequence,
        number: &number,
        description: header.description,
        posted_at: tx.now().0,
        reverses: header.reverses.map(|r| r.to_string()).as_deref(),
        external_id: None,
    })?;
    poster.finish()?;
    store::entry(tx, header.id)?.ok_or(LedgerError::Missing("entry"))
}

/// The numbers of one series, from the one after the last.
pub(crate) struct Numbers {
    prefix: String,
    last: i64,
}

impl Numbers {
    /// The series of a branch and year. Its numbers keep the short form the branch had when the series began.
    pub(crate) fn of(tx: &Tx<'_>, branch: Option<Uuid>, series: &str, year: i64) -> Result<Self> {
        let branch_id = branch.map(|b| b.to_string());
        if let Some((last, number)) = store::last_number(tx, branch_id.as_deref(), series, year)? {
            let prefix = number.rfind('-').map_or("", |dash| &number[..=dash]).to_owned();
            return Ok(Self { prefix, last });
        }
        let name = branch.map(|b| store::branch_name(tx, b)).transpose()?.flatten().unwrap_or_default();
        Ok(Self { prefix: model::number_prefix(series, &model::branch_tag(&name), year), last: 0 })
    }

    /// The next sequence and number.
    pub(crate) fn next(&mut self) -> (i64, String) {
        self.last += 1;
        (self.last, format!("{}{:04}", self.prefix, self.last))
    }
}
