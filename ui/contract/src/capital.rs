//! Accounts, entries, trial balance.
use crate::{Decimal, Micros, Uuid};
use serde::{Deserialize, Serialize};

/// An account of the chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Id.
    pub id: Uuid,
    /// Full name with colons: `Assets:Bank:Checking`.
    pub name: String,
    /// Optional number of the chart.
    pub code: Option<String>,
    /// `asset`, `liability`, `equity`, `income`, `expense`.
    pub kind: String,
    /// Only this currency may be posted, if set.
    pub currency: Option<String>,
    /// First day it may be posted to (ISO date).
    pub valid_from: Option<String>,
    /// Last day.
    pub valid_to: Option<String>,
    /// The cloud has not answered to this edit yet.
    pub pending: bool,
}

/// `POST /api/capital/accounts` and `PUT /api/capital/accounts/{id}`. Its last day is set by
/// [`Close`](crate::reference::Close).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewAccount {
    /// Full name.
    pub name: String,
    /// Number.
    #[serde(default)]
    pub code: Option<String>,
    /// Kind; when absent, a new account's is guessed from its name and a known one's stays.
    #[serde(default)]
    pub kind: Option<String>,
    /// Currency restriction.
    #[serde(default)]
    pub currency: Option<String>,
    /// First day.
    #[serde(default)]
    pub valid_from: Option<String>,
}

/// `POST /api/capital/entries`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewEntry {
    /// Made by the client, so that a retry changes nothing.
    pub id: Uuid,
    /// Accounting date, ISO.
    pub date: String,
    /// What it is.
    pub description: String,
    /// Series code, default `JE`.
    #[serde(default)]
    pub series: Option<String>,
    /// At least two.
    pub lines: Vec<NewLine>,
}

/// A line to post. Debit positive, credit negative.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewLine {
    /// Account name.
    pub account: String,
    /// Signed amount.
    pub amount: Decimal,
    /// Currency code.
    pub currency: String,
    /// Note.
    #[serde(default)]
    pub memo: Option<String>,
}

/// A posted entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Id.
    pub id: Uuid,
    /// `JE-HS-2026-0413`.
    pub number: String,
    /// Accounting date, ISO.
    pub date: String,
    /// What it is.
    pub description: String,
    /// When it was posted.
    pub posted_at: Micros,
    /// Lines.
    pub lines: Vec<Line>,
    /// The entry this one reverses.
    pub reverses: Option<Uuid>,
    /// The entry that reversed this one.
    pub reversed_by: Option<Uuid>,
    /// The cloud has it, or there is none to have it.
    pub synced: bool,
}

/// A posted line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Account name.
    pub account: String,
    /// Signed amount in `currency`.
    pub amount: Decimal,
    /// Currency.
    pub currency: String,
    /// Amount in base currency, where known.
    pub base: Option<Decimal>,
    /// Note.
    pub memo: Option<String>,
    /// Made by the system (trading leg).
    pub system: bool,
}

/// `POST /api/capital/entries/{id}/reverse`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reverse {
    /// Id of the new entry, made by the client.
    pub id: Uuid,
    /// Date of the reversal; default: the original's date.
    #[serde(default)]
    pub date: Option<String>,
    /// Why.
    #[serde(default)]
    pub description: Option<String>,
}

/// A row of `GET /api/capital/trial-balance?as_of=`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalanceRow {
    /// Account name.
    pub account: String,
    /// Currency.
    pub currency: String,
    /// Signed balance, debit positive.
    pub balance: Decimal,
    /// In base currency, where every line has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Decimal>,
}

/// Answer of `POST /api/capital/import?dry_run=&create_accounts=` (body: the CSV) and of `sent capital import`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImportReport {
    /// Whether anything was written.
    pub dry_run: bool,
    /// Rows read.
    pub rows: u64,
    /// Transactions that were (or would be) posted.
    pub posted: u64,
    /// Transactions that were there already, unchanged.
    pub unchanged: u64,
    /// Accounts made (or to be made).
    pub accounts_created: Vec<String>,
    /// Every bad row.
    pub errors: Vec<RowError>,
}

/// One bad row of an import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowError {
    /// Line in the file, the header is 1.
    pub line: u64,
    /// Column name, if it is one column's fault.
    pub column: Option<String>,
    /// What is wrong, in words.
    pub message: String,
}
