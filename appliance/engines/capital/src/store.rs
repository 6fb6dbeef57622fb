//! The ledger's SQL. Everything here runs inside a transaction the caller opened.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params, types::ValueRef};
use rust_decimal::Decimal;
use sent_contract::{
    capital::{Account, Entry, Line},
    reference::{FxRate, Item, TaxRate},
};
use sent_core::{
    money::Sum,
    table::{SyncClass, Table},
};
use uuid::Uuid;

use crate::{
    error::LedgerError,
    model::{Date, Kind},
};

/// The tables of this engine.
pub const TABLES: &[Table] = &[
    Table::new("accounts", &["id"], SyncClass::Down),
    Table::new("entries", &["id"], SyncClass::Up),
    Table::new("lines", &["entry_id", "position"], SyncClass::Up),
    Table::new("fx_rates", &["currency", "date"], SyncClass::Down),
    Table::new("tax_rates", &["id"], SyncClass::Down),
    Table::new("items", &["id"], SyncClass::Down),
];

type Result<T> = std::result::Result<T, LedgerError>;

/// The currency the organisation keeps its books in.
pub fn base_currency(db: &Connection) -> Result<String> {
    db.prepare_cached("SELECT currency FROM organizations")?
        .query_row([], |r| r.get(0))
        .optional()?
        .ok_or(LedgerError::Missing("organisation"))
}

/// Name of a branch.
pub fn branch_name(db: &Connection, branch: Uuid) -> Result<Option<String>> {
    Ok(db
        .prepare_cached("SELECT name FROM branches WHERE id = ?1")?
        .query_row([branch.to_string()], |r| r.get(0))
        .optional()?)
}

const ACCOUNT: &str = "SELECT id, name, code, kind, currency, valid_from, valid_to, version FROM accounts";

/// The whole chart, by name.
pub fn accounts(db: &Connection) -> Result<Vec<Account>> {
    let mut statement = db.prepare_cached(&format!("{ACCOUNT} ORDER BY name"))?;
    let mut rows = statement.query([])?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next()? {
        accounts.push(account(row)?);
    }
    Ok(accounts)
}

/// One account.
pub fn account_named(db: &Connection, name: &str) -> Result<Option<Account>> {
    let mut statement = db.prepare_cached(&format!("{ACCOUNT} WHERE name = ?1"))?;
    let mut rows = statement.query([name])?;
    rows.next()?.map(account).transpose()
}

/// One account, by id.
pub fn account_of(db: &Connection, id: Uuid) -> Result<Option<Account>> {
    let mut statement = db.prepare_cached(&format!("{ACCOUNT} WHERE id = ?1"))?;
    let mut rows = statement.query([id.to_string()])?;
    rows.next()?.map(account).transpose()
}

/// Whether an account with this id exists.
pub fn has_account(db: &Connection, id: Uuid) -> Result<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM accounts WHERE id = ?1")?.exists([id.to_string()])?)
}

fn account(row: &Row<'_>) -> Result<Account> {
    Ok(Account {
        id: uuid(row, 0)?,
        name: row.get(1)?,
        code: row.get(2)?,
        kind: row.get(3)?,
        currency: row.get(4)?,
        valid_from: row.get(5)?,
        valid_to: row.get(6)?,
        pending: row.get::<_, i64>(7)? <= 0,
    })
}

/// A row the cloud owns: after an edit here it waits for an answer.
pub trait Owned {
    /// Whether it waits.
    fn pending(&mut self) -> &mut bool;
}

impl Owned for Account {
    fn pending(&mut self) -> &mut bool {
        &mut self.pending
    }
}

impl Owned for FxRate {
    fn pending(&mut self) -> &mut bool {
        &mut self.pending
    }
}

impl Owned for TaxRate {
    fn pending(&mut self) -> &mut bool {
        &mut self.pending
    }
}

impl Owned for Item {
    fn pending(&mut self) -> &mut bool {
        &mut self.pending
    }
}

/// Adds an account.
pub fn insert_account(db: &Connection, account: &Account) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO accounts (id, name, code, kind, currency, valid_from, valid_to) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        account.id.to_string(),
        account.name,
        account.code,
        account.kind,
        account.currency,
        account.valid_from,
        account.valid_to
    ])?;
    Ok(())
}

/// Changes an account.
pub fn update_account(db: &Connection, account: &Account) -> Result<()> {
    db.prepare_cached(
        "UPDATE accounts SET name = ?2, code = ?3, kind = ?4, currency = ?5, valid_from = ?6, valid_to = ?7 WHERE id = ?1",
    )?
    .execute(params![
        account.id.to_string(),
        account.name,
        account.code,
        account.kind,
        account.currency,
        account.valid_from,
        account.valid_to
    ])?;
    Ok(())
}

/// What the postings on an account hold it to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Postings {
    /// Date of the first and of the last one.
    pub span: Option<(String, String)>,
    /// Their currencies.
    pub currencies: Vec<String>,
}

/// The postings on an account, in short.
pub fn postings(db: &Connection, account: Uuid) -> Result<Postings> {
    let id = account.to_string();
    let span = db
        .prepare_cached(
            "SELECT min(e.date), max(e.date) FROM entries e WHERE e.id IN (SELECT entry_id FROM lines WHERE account_id = ?1)",
        )?
        .query_row([&id], |r| Ok((r.get::<_, Option<String>>(0)?, r.get::<_, Option<String>>(1)?)))?;
    let mut statement =
        db.prepare_cached("SELECT DISTINCT currency FROM lines WHERE account_id = ?1 ORDER BY currency")?;
    let currencies = statement.query_map([&id], |r| r.get(0))?.collect::<std::result::Result<_, _>>()?;
    Ok(Postings { span: span.0.zip(span.1), currencies })
}

/// Kind of the nearest account above that exists.
pub fn kind_above(db: &Connection, name: &str) -> Result<Option<Kind>> {
    let mut above = name;
    while let Some((parent, _)) = above.rsplit_once(':') {
        if let Some(account) = account_named(db, parent)? {
            return Ok(Kind::parse(&account.kind));
        }
        above = parent;
    }
    Ok(None)
}

/// Every rate of a currency, oldest first.
pub fn rates(db: &Connection, currency: &str) -> Result<Vec<(Date, Decimal)>> {
    let mut statement = db.prepare_cached("SELECT date, rate FROM fx_rates WHERE currency = ?1 ORDER BY date")?;
    let mut rows = statement.query([currency])?;
    let mut rates = Vec::new();
    while let Some(row) = rows.next()? {
        rates.push((date(row.get_ref(0)?)?, decimal(row.get_ref(1)?)?));
    }
    Ok(rates)
}

/// The rate in force on a date: the newest that is not later.
pub fn rate_on(db: &Connection, currency: &str, on: Date) -> Result<Option<Decimal>> {
    let mut statement =
        db.prepare_cached("SELECT rate FROM fx_rates WHERE currency = ?1 AND date <= ?2 ORDER BY date DESC LIMIT 1")?;
    let mut rows = statement.query([currency, on.as_str()])?;
    rows.next()?.map(|row| decimal(row.get_ref(0)?)).transpose()
}

/// Sets a rate.
pub fn put_rate(db: &Connection, currency: &str, on: Date, rate: Decimal) -> Result<()> {
    let known = db
        .prepare_cached("SELECT 1 FROM fx_rates WHERE currency = ?1 AND date = ?2")?
        .exists([currency, on.as_str()])?;
    let sql = if known {
        "UPDATE fx_rates SET rate = ?3 WHERE currency = ?1 AND date = ?2"
    } else {
        "INSERT INTO fx_rates (currency, date, rate) VALUES (?1, ?2, ?3)"
    };
    db.prepare_cached(sql)?.execute([currency, on.as_str(), &rate.to_string()])?;
    Ok(())
}

/// Every rate, newest first.
pub fn all_rates(db: &Connection) -> Result<Vec<FxRate>> {
    let mut statement =
        db.prepare_cached("SELECT currency, date, rate, version FROM fx_rates ORDER BY date DESC, currency")?;
    let mut rows = statement.query([])?;
    let mut rates = Vec::new();
    while let Some(row) = rows.next()? {
        rates.push(FxRate {
            currency: row.get(0)?,
            date: row.get(1)?,
            rate: decimal(row.get_ref(2)?)?,
            pending: row.get::<_, i64>(3)? <= 0,
        });
    }
    Ok(rates)
}

/// Every tax rate, by code, newest first.
pub fn taxes(db: &Connection) -> Result<Vec<TaxRate>> {
    let mut statement = db.prepare_cached(
        "SELECT id, code, name, rate, valid_from, valid_to, version FROM tax_rates ORDER BY code, valid_from DESC",
    )?;
    let mut rows = statement.query([])?;
    let mut taxes = Vec::new();
    while let Some(row) = rows.next()? {
        taxes.push(TaxRate {
            id: uuid(row, 0)?,
            code: row.get(1)?,
            name: row.get(2)?,
            rate: decimal(row.get_ref(3)?)?,
            valid_from: row.get(4)?,
            valid_to: row.get(5)?,
            pending: row.get::<_, i64>(6)? <= 0,
        });
    }
    Ok(taxes)
}

/// Every item, by number.
pub fn items(db: &Connection) -> Result<Vec<Item>> {
    let mut statement = db.prepare_cached(
        "SELECT id, sku, name, unit, price, currency, tax_code, valid_to, version FROM items ORDER BY sku",
    )?;
    let mut rows = statement.query([])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(Item {
            id: uuid(row, 0)?,
            sku: row.get(1)?,
            name: row.get(2)?,
            unit: row.get(3)?,
            price: decimal(row.get_ref(4)?)?,
            currency: row.get(5)?,
            tax: row.get(6)?,
            valid_to: row.get(7)?,
            pending: row.get::<_, i64>(8)? <= 0,
        });
    }
    Ok(items)
}

/// Whether the organisation demands a description of every entry: its setting `entry.description.required` is `true`.
pub fn demands_description(db: &Connection) -> Result<bool> {
    Ok(db
        .prepare_cached(
            "SELECT 1 FROM organization_settings WHERE key = 'entry.description.required' AND value = 'true'",
        )?
        .exists([])?)
}

/// Sequence and number of the last entry of a series.
pub fn last_number(db: &Connection, branch: Option<&str>, series: &str, year: i64) -> Result<Option<(i64, String)>> {
    Ok(db
        .prepare_cached(
            "SELECT sequence, number FROM entries WHERE branch_id IS ?1 AND series = ?2 AND year = ?3 ORDER BY sequence DESC LIMIT 1",
        )?
        .query_row(params![branch, series, year], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?)
}

const ENTRY: &str = "SELECT e.id, e.number, e.date, e.description, e.posted_at, e.reverses,
        (SELECT r.id FROM entries r WHERE r.reverses = e.id) FROM entries e";

/// One entry with its lines. `synced` is left for the caller to find out.
pub fn entry(db: &Connection, id: Uuid) -> Result<Option<Entry>> {
    let mut statement = db.prepare_cached(&format!("{ENTRY} WHERE e.id = ?1"))?;
    let mut rows = statement.query([id.to_string()])?;
    rows.next()?.map(|row| read_entry(db, row)).transpose()
}

/// Series code of an entry.
pub fn series_of(db: &Connection, id: Uuid) -> Result<Option<String>> {
    Ok(db
        .prepare_cached("SELECT series FROM entries WHERE id = ?1")?
        .query_row([id.to_string()], |r| r.get(0))
        .optional()?)
}

/// What entries to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// First date.
    pub from: Option<Date>,
    /// Last date.
    pub to: Option<Date>,
    /// With a line on this account or one below it.
    pub account: Option<String>,
    /// Description or number contains it.
    pub text: Option<String>,
    /// Older than this one.
    pub after: Option<(Date, Uuid)>,
}

/// Accounts with fewer lines than this are looked up from their lines; busier ones while walking the entries by date.
const QUIET: i64 = 2_000;

/// Entries, newest date first, at most `limit`.
pub fn entries(db: &Connection, filter: &Filter, limit: usize) -> Result<Vec<Entry>> {
    let mut sql = format!("{ENTRY} WHERE 1 = 1");
    let mut values: Vec<String> = Vec::new();
    let mut bind = |sql: &mut String, text: &str, value: String| {
        values.push(value);
        sql.push_str(&text.replace("{}", &format!("?{}", values.len())));
    };
    if let Some(from) = filter.from {
        bind(&mut sql, " AND e.date >= {}", from.to_string());
    }
    if let Some(to) = filter.to {
        bind(&mut sql, " AND e.date <= {}", to.to_string());
    }
    if let Some((date, id)) = filter.after {
        bind(&mut sql, " AND (e.date, e.id) < ({}, ", date.to_string());
        bind(&mut sql, "{})", id.to_string());
    }
    if let Some(account) = &filter.account {
        let chosen = "SELECT id FROM accounts WHERE name = {} OR substr(name, 1, length({}) + 1) = {} || ':'";
        let busy = format!(
            "SELECT count(*) FROM (SELECT 1 FROM lines WHERE account_id IN ({}) LIMIT {QUIET})",
            chosen.replace("{}", "?1")
        );
        let lines: i64 = db.prepare_cached(&busy)?.query_row([account], |r| r.get(0))?;
        let condition = if lines < QUIET {
            format!(" AND e.id IN (SELECT entry_id FROM lines WHERE account_id IN ({chosen}))")
        } else {
            format!(" AND EXISTS (SELECT 1 FROM lines l WHERE l.entry_id = e.id AND l.account_id IN ({chosen}))")
        };
        bind(&mut sql, &condition, account.clone());
    }
    if let Some(text) = &filter.text {
        let pattern = format!("%{}%", text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
        bind(&mut sql, " AND (e.description LIKE {} ESCAPE '\\' OR e.number LIKE {} ESCAPE '\\')", pattern);
    }
    sql.push_str(&format!(" ORDER BY e.date DESC, e.id DESC LIMIT {limit}"));
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(&values))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(read_entry(db, row)?);
    }
    Ok(entries)
}

fn read_entry(db: &Connection, row: &Row<'_>) -> Result<Entry> {
    let id = uuid(row, 0)?;
    Ok(Entry {
        id,
        number: row.get(1)?,
        date: row.get(2)?,
        description: row.get(3)?,
        posted_at: row.get(4)?,
        lines: lines(db, id)?,
        reverses: optional_uuid(row, 5)?,
        reversed_by: optional_uuid(row, 6)?,
        synced: false,
    })
}

fn lines(db: &Connection, entry: Uuid) -> Result<Vec<Line>> {
    let mut statement = db.prepare_cached(
        "SELECT a.name, l.amount, l.currency, l.base, l.memo, l.system
         FROM lines l JOIN accounts a ON a.id = l.account_id WHERE l.entry_id = ?1 ORDER BY l.position",
    )?;
    let mut rows = statement.query([entry.to_string()])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        lines.push(Line {
            account: row.get(0)?,
            amount: decimal(row.get_ref(1)?)?,
            currency: row.get(2)?,
            base: optional_decimal(row.get_ref(3)?)?,
            memo: row.get(4)?,
            system: row.get::<_, i64>(5)? != 0,
        });
    }
    Ok(lines)
}

/// Whether any entry came from a file under an id between these two.
pub fn any_external(db: &Connection, first: &str, last: &str) -> Result<bool> {
    Ok(db.prepare_cached("SELECT 1 FROM entries WHERE external_id BETWEEN ?1 AND ?2 LIMIT 1")?.exists([first, last])?)
}

/// The entry that came from a file under this id.
pub fn entry_of_external(db: &Connection, external_id: &str) -> Result<Option<Entry>> {
    let mut statement = db.prepare_cached(&format!("{ENTRY} WHERE e.external_id = ?1"))?;
    let mut rows = statement.query([external_id])?;
    rows.next()?.map(|row| read_entry(db, row)).transpose()
}

/// What one account holds of one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Account name.
    pub account: String,
    /// Currency.
    pub currency: String,
    /// Sum of the amounts, exact.
    pub balance: Sum,
    /// Sum in base currency, if every line has it.
    pub base: Option<Sum>,
}

/// The balance of every account and currency that has lines, up to a date or all; sorted by account, then currency.
///
/// Lines are added up here and not in SQL: exact sums over 200,000 lines take a tenth of a second this way, so there is no
/// table of running balances that could ever disagree with the lines.
pub fn balances(db: &Connection, as_of: Option<Date>) -> Result<Vec<Balance>> {
    let mut statement = match as_of {
        None => db.prepare_cached("SELECT account_id, currency, amount, base FROM lines")?,
        Some(_) => db.prepare_cached(
            "SELECT l.account_id, l.currency, l.amount, l.base FROM entries e CROSS JOIN lines l ON l.entry_id = e.id
             WHERE e.date <= ?1",
        )?,
    };
    let mut rows = match as_of {
        None => statement.query([])?,
        Some(date) => statement.query([date.as_str()])?,
    };
    let mut by_account: HashMap<String, Vec<(String, Sum, Option<Sum>)>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let account = row.get_ref(0)?.as_str()?;
        let currency = row.get_ref(1)?.as_str()?;
        let held = match by_account.get_mut(account) {
            Some(held) => held,
            None => by_account.entry(account.to_owned()).or_default(),
        };
        let place = match held.iter().position(|(c, ..)| c == currency) {
            Some(place) => place,
            None => {
                held.push((currency.to_owned(), Sum::default(), Some(Sum::default())));
                held.len() - 1
            }
        };
        let (_, sum, base) = &mut held[place];
        sum.add(decimal(row.get_ref(2)?)?)?;
        match (optional_decimal(row.get_ref(3)?)?, &mut *base) {
            (Some(amount), Some(base)) => base.add(amount)?,
            _ => *base = None,
        }
    }
    let mut balances = Vec::with_capacity(by_account.len());
    let mut names = db.prepare_cached("SELECT name FROM accounts WHERE id = ?1")?;
    for (id, held) in by_account {
        let account: String = names.query_row([&id], |r| r.get(0))?;
        balances.extend(held.into_iter().map(|(currency, balance, base)| Balance {
            account: account.clone(),
            currency,
            balance,
            base,
        }));
    }
    balances.sort_by(|a, b| (&a.account, &a.currency).cmp(&(&b.account, &b.currency)));
    Ok(balances)
}

fn uuid(row: &Row<'_>, column: usize) -> Result<Uuid> {
    optional_uuid(row, column)?.ok_or_else(|| LedgerError::Corrupt("an id is missing".to_owned()))
}

fn optional_uuid(row: &Row<'_>, column: usize) -> Result<Option<Uuid>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map(|t| Uuid::try_parse(t).map_err(|_| LedgerError::Corrupt(format!("\"{t}\" is no UUID")))).transpose()
}

fn decimal(value: ValueRef<'_>) -> Result<Decimal> {
    let text = value.as_str()?;
    Decimal::from_str_exact(text).map_err(|_| LedgerError::Corrupt(format!("\"{text}\" is no amount")))
}

fn optional_decimal(value: ValueRef<'_>) -> Result<Option<Decimal>> {
    if matches!(value, ValueRef::Null) { Ok(None) } else { decimal(value).map(Some) }
}

fn date(value: ValueRef<'_>) -> Result<Date> {
    let text = value.as_str()?;
    Date::parse(text).ok_or_else(|| LedgerError::Corrupt(format!("\"{text}\" is no date")))
}
