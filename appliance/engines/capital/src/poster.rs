//! Writing entries, many rows to a statement.
//!
//! A statement that fires triggers costs more to begin and to end than a row costs to insert, so rows are collected and
//! inserted 64 at a time. The order that the database asks for is kept: all lines of an entry are inserted before it, and
//! entries in the order of their numbers.

use std::ops::Range;

use rusqlite::{CachedStatement, Connection, types::Null};

use crate::{error::LedgerError, model::Date};

type Result<T> = std::result::Result<T, LedgerError>;

/// Rows of one statement, largest first; what is left over goes through the smaller ones.
const SIZES: [usize; 4] = [64, 16, 4, 1];
/// So many entries are collected before they are inserted …
const ENTRIES: usize = SIZES[0];
/// … or so many lines.
const LINES: usize = 8 * SIZES[0];

/// A line to insert.
pub struct NewLine<'a> {
    /// Its entry.
    pub entry: &'a str,
    /// Place in it, from 0.
    pub position: i64,
    /// Account id.
    pub account: &'a str,
    /// Amount as text.
    pub amount: &'a str,
    /// Currency.
    pub currency: &'a str,
    /// Amount in base currency, as text.
    pub base: Option<&'a str>,
    /// Note.
    pub memo: Option<&'a str>,
    /// Made by the system.
    pub system: bool,
}

/// An entry to insert, after its lines.
pub struct NewEntry<'a> {
    /// Id.
    pub id: &'a str,
    /// Branch.
    pub branch: Option<&'a str>,
    /// Series code.
    pub series: &'a str,
    /// Accounting date; its year is the series' year.
    pub date: Date,
    /// Place in the series.
    pub sequence: i64,
    /// Number.
    pub number: &'a str,
    /// Description.
    pub description: &'a str,
    /// Microseconds.
    pub posted_at: i64,
    /// The entry it reverses.
    pub reverses: Option<&'a str>,
    /// Id in the file it came from.
    pub external_id: Option<&'a str>,
}

/// Posts entries inside an open transaction. Nothing is sure to be inserted before [`Poster::finish`].
pub struct Poster<'db> {
    lines: Block<'db>,
    entries: Block<'db>,
}

impl<'db> Poster<'db> {
    /// On an open transaction.
    pub fn new(db: &'db Connection) -> Self {
        Self {
            lines: Block::new(db, "lines (entry_id, position, account_id, amount, currency, base, memo, system)", 8),
            entries: Block::new(
                db,
                "entries (id, branch_id, series, year, sequence, number, date, description, posted_at, reverses, external_id)",
                11,
            ),
        }
    }

    /// Adds a line of an entry that is not posted yet.
    pub fn line(&mut self, l: &NewLine<'_>) {
        let row = &mut self.lines;
        row.text(l.entry);
        row.integer(l.position);
        row.text(l.account);
        row.text(l.amount);
        row.text(l.currency);
        row.optional(l.base);
        row.optional(l.memo);
        row.integer(l.system.into());
    }

    /// Posts an entry whose lines were added: the database checks it against them.
    pub fn entry(&mut self, e: &NewEntry<'_>) -> Result<()> {
        let row = &mut self.entries;
        row.text(e.id);
        row.optional(e.branch);
        row.text(e.series);
        row.integer(e.date.year());
        row.integer(e.sequence);
        row.text(e.number);
        row.text(e.date.as_str());
        row.text(e.description);
        row.integer(e.posted_at);
        row.optional(e.reverses);
        row.optional(e.external_id);
        if self.entries.rows() >= ENTRIES || self.lines.rows() >= LINES { self.insert() } else { Ok(()) }
    }

    /// Inserts what is left.
    pub fn finish(mut self) -> Result<()> {
        self.insert()
    }

    fn insert(&mut self) -> Result<()> {
        self.lines.insert()?;
        self.entries.insert()
    }
}

/// A value of a row; texts lie in [`Block::texts`].
enum Cell {
    Null,
    Integer(i64),
    Text(Range<usize>),
}

/// Rows of one table on their way.
struct Block<'db> {
    db: &'db Connection,
    target: &'static str,
    columns: usize,
    texts: String,
    cells: Vec<Cell>,
    statements: [Option<CachedStatement<'db>>; SIZES.len()],
}

impl<'db> Block<'db> {
    fn new(db: &'db Connection, target: &'static str, columns: usize) -> Self {
        Self { db, target, columns, texts: String::new(), cells: Vec::new(), statements: [const { None }; SIZES.len()] }
    }

    fn text(&mut self, text: &str) {
        let start = self.texts.len();
        self.texts.push_str(text);
        self.cells.push(Cell::Text(start..self.texts.len()));
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.cells.push(Cell::Null),
        }
    }

    fn integer(&mut self, value: i64) {
        self.cells.push(Cell::Integer(value));
    }

    fn rows(&self) -> usize {
        self.cells.len() / self.columns
    }

    fn insert(&mut self) -> Result<()> {
        let mut rest = self.cells.as_slice();
        for (size, statement) in SIZES.iter().zip(&mut self.statements) {
            while let Some((rows, after)) = rest.split_at_checked(size * self.columns) {
                let statement = match statement {
                    Some(statement) => statement,
                    None => statement.insert(prepare(self.db, self.target, self.columns, *size)?),
                };
                for (n, cell) in rows.iter().enumerate() {
                    match cell {
                        Cell::Null => statement.raw_bind_parameter(n + 1, Null)?,
                        Cell::Integer(value) => statement.raw_bind_parameter(n + 1, value)?,
                        Cell::Text(range) => statement.raw_bind_parameter(n + 1, &self.texts[range.clone()])?,
                    }
                }
                statement.raw_execute()?;
                rest = after;
            }
        }
        self.cells.clear();
        self.texts.clear();
        Ok(())
    }
}

fn prepare<'db>(db: &'db Connection, target: &str, columns: usize, rows: usize) -> Result<CachedStatement<'db>> {
    let row = format!("({})", vec!["?"; columns].join(", "));
    Ok(db.prepare_cached(&format!("INSERT INTO {target} VALUES {}", vec![row; rows].join(", ")))?)
}
