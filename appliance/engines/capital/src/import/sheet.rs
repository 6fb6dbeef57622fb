//! Reading journal entries from CSV: pure parsing and checking, no ledger.
//!
//! The columns are `transaction_id,date,description,account,amount,currency`, in any order, named by the first line. Rows
//! with the same `transaction_id` are one entry, whether they stand together or not. Every row is checked and every fault
//! reported; a [`Sheet`] with errors must not be posted.
//!
//! Memory stays in proportion to the file: texts lie in one buffer, names of accounts and currencies are kept once, a line
//! takes 48 bytes, and reading ends after [`MAX_ERRORS`] faults or [`Limits::bytes`].

use std::{collections::HashMap, io::Read};

use csv::{ByteRecord, ReaderBuilder};
use rust_decimal::Decimal;
use sent_contract::capital::RowError;
use sent_core::money;

use crate::model::{self, Date};

/// The columns, in the order they are named in messages.
pub const COLUMNS: [&str; 6] = ["transaction_id", "date", "description", "account", "amount", "currency"];
/// After so many faults the rest of a file is not read.
pub const MAX_ERRORS: usize = 100_000;
/// Longest `transaction_id`, in bytes.
pub const MAX_ID: usize = 200;

const ID: usize = 0;
const DATE: usize = 1;
const DESCRIPTION: usize = 2;
const ACCOUNT: usize = 3;
const AMOUNT: usize = 4;
const CURRENCY: usize = 5;

/// How much is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: u64,
}

impl Default for Limits {
    /// 256 MiB, some four million rows.
    fn default() -> Self {
        Self { bytes: 256 << 20 }
    }
}

/// Why a file could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed.
    #[error("the file cannot be read: {0}")]
    Io(std::io::Error),
    /// It is longer than allowed.
    #[error("the file is longer than {0} MiB: split it")]
    TooLong(u64),
}

/// A piece of [`Sheet::text`].
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

/// One entry of the file.
#[derive(Clone, Copy, Debug)]
pub struct Transaction {
    id: Span,
    description: Span,
    /// Accounting date.
    pub date: Date,
    /// Line in the file of its first row.
    pub row: u32,
    start: u32,
    lines: u32,
    /// One of its rows is bad, so its balance says nothing.
    pub spoiled: bool,
}

/// One row of the file.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    transaction: u32,
    /// Index into [`Sheet::accounts`].
    pub account: u32,
    /// Index into [`Sheet::currencies`].
    pub currency: u32,
    /// Line in the file.
    pub row: u32,
    /// Signed amount.
    pub amount: Decimal,
}

/// A file that was read.
#[derive(Default)]
pub struct Sheet {
    /// Rows read, without the header.
    pub rows: u64,
    /// Every fault, in the order of the file.
    pub errors: Vec<RowError>,
    text: String,
    accounts: Names,
    currencies: Names,
    transactions: Vec<Transaction>,
    lines: Vec<Line>,
}

/// Names that are kept once, with the fault each has.
#[derive(Default)]
struct Names {
    index: HashMap<Box<str>, u32>,
    names: Vec<(Box<str>, Option<&'static str>)>,
}

impl Names {
    fn intern(&mut self, name: &str, fault: impl FnOnce(&str) -> Option<&'static str>) -> (u32, Option<&'static str>) {
        if let Some(&n) = self.index.get(name) {
            return (n, self.names[n as usize].1);
        }
        let n = index(self.names.len());
        let fault = fault(name);
        self.names.push((name.into(), fault));
        self.index.insert(name.into(), n);
        (n, fault)
    }
}

impl Sheet {
    /// Reads and checks a file. What is wrong with its content stands in [`Sheet::errors`].
    pub fn read(source: impl Read, limits: Limits) -> Result<Self, ReadError> {
        let mut counted = source.take(limits.bytes + 1);
        let mut reading = Reading::default();
        let result = reading.run(&mut counted);
        if counted.limit() == 0 {
            return Err(ReadError::TooLong(limits.bytes >> 20));
        }
        result?;
        Ok(reading.finish())
    }

    /// Names of the accounts used, by the index lines have.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.accounts.names.iter().map(|(n, _)| &**n)
    }

    /// Name of an account.
    pub fn account(&self, index: u32) -> &str {
        &self.accounts.names[index as usize].0
    }

    /// Codes of the currencies used, by the index lines have.
    pub fn currencies(&self) -> impl ExactSizeIterator<Item = &str> {
        self.currencies.names.iter().map(|(n, _)| &**n)
    }

    /// Code of a currency.
    pub fn currency(&self, index: u32) -> &str {
        &self.currencies.names[index as usize].0
    }

    /// `transaction_id` of an entry.
    pub fn id(&self, transaction: &Transaction) -> &str {
        &self.text[transaction.id.start as usize..transaction.id.end as usize]
    }

    /// Description of an entry.
    pub fn description(&self, transaction: &Transaction) -> &str {
        &self.text[transaction.description.start as usize..transaction.description.end as usize]
    }

    /// Every entry, in the order in which they begin in the file.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// The lines of an entry, in the order of the file.
    pub fn lines(&self, transaction: &Transaction) -> &[Line] {
        &self.lines[transaction.start as usize..][..transaction.lines as usize]
    }
}

#[derive(Default)]
struct Reading {
    sheet: Sheet,
    /// Where the columns stand.
    order: [usize; 6],
    by_id: HashMap<Box<str>, u32>,
    /// The rows of some entry do not stand together.
    scattered: bool,
}

impl Reading {
    fn run(&mut self, source: impl Read) -> Result<(), ReadError> {
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(1 << 16).from_reader(source);
        let mut record = ByteRecord::new();
        let mut header = false;
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(ReadError::Io(error.into())),
            }
            let line = record.position().map_or(0, csv::Position::line);
            let line = u32::try_from(line).unwrap_or(u32::MAX);
            if !header {
                if !self.header(&record, line) {
                    return Ok(());
                }
                header = true;
                continue;
            }
            self.sheet.rows += 1;
            self.row(&record, line);
            if self.sheet.errors.len() >= MAX_ERRORS {
                self.fault(line, None, "more than 100,000 faults: the rest of the file was not read".to_owned());
                return Ok(());
            }
        }
        if !header {
            self.fault(1, None, format!("the file is empty; its first line must be {}", COLUMNS.join(",")));
        }
        Ok(())
    }

    /// Finds the columns. Without all of them no row can be read.
    fn header(&mut self, record: &ByteRecord, line: u32) -> bool {
        let names: Vec<String> =
            record.iter().map(|f| String::from_utf8_lossy(f).trim().to_ascii_lowercase()).collect();
        for (n, column) in COLUMNS.iter().enumerate() {
            let found: Vec<usize> = (0..names.len()).filter(|i| names[*i] == *column).collect();
            match found.as_slice() {
                [i] => self.order[n] = *i,
                [] => self.fault(
                    line,
                    Some(column),
                    format!("this column is missing; the columns are {}", COLUMNS.join(",")),
                ),
                _ => self.fault(line, Some(column), "this column stands here more than once".to_owned()),
            }
        }
        for name in names.iter().filter(|n| !COLUMNS.contains(&n.as_str())) {
            self.fault(line, None, format!("\"{}\" is no column of this format", excerpt(name)));
        }
        self.sheet.errors.is_empty()
    }

    fn row(&mut self, record: &ByteRecord, line: u32) {
        if record.len() != COLUMNS.len() {
            let message =
                format!("this row has {} columns instead of 6 (is a quote missing around a comma?)", record.len());
            self.fault(line, None, message);
            // Whatever entry it belonged to is incomplete now.
            if let Some(id) = record.get(self.order[ID]).and_then(|f| std::str::from_utf8(f).ok())
                && let Some(&t) = self.by_id.get(id.trim_ascii())
            {
                self.sheet.transactions[t as usize].spoiled = true;
            }
            return;
        }
        let before = self.sheet.errors.len();
        let fields = self.texts(record, line);
        let id = fields[ID].and_then(|text| self.id(text, line));
        let date = fields[DATE].and_then(|text| {
            Date::parse(text)
                .or_else(|| self.none(line, DATE, format!("\"{}\" is no date like 2026-03-31", excerpt(text))))
        });
        let description = fields[DESCRIPTION].filter(|text| match model::text_fault(text) {
            Some(fault) => self.none::<()>(line, DESCRIPTION, fault.to_owned()).is_some(),
            None => true,
        });
        let account = fields[ACCOUNT].and_then(|text| {
            let (n, fault) = self.sheet.accounts.intern(text, model::account_fault);
            fault.map_or(Some(n), |f| self.none(line, ACCOUNT, f.to_owned()))
        });
        let amount = fields[AMOUNT].and_then(|text| self.amount(text, line));
        let currency = fields[CURRENCY].and_then(|text| {
            let fault = |code: &str| {
                (!money::is_code(code))
                    .then_some("a currency is a code of 1 to 24 letters, digits or . _ - ' that begins with a letter")
            };
            let (n, fault) = self.sheet.currencies.intern(text, fault);
            fault.map_or(Some(n), |f| self.none(line, CURRENCY, f.to_owned()))
        });
        let Some(id) = id else { return };
        let t = self.transaction(id, date, description, line);
        if self.sheet.errors.len() > before {
            self.sheet.transactions[t as usize].spoiled = true;
        }
        if let (Some(account), Some(amount), Some(currency)) = (account, amount, currency) {
            self.sheet.transactions[t as usize].lines += 1;
            self.scattered |= self.sheet.lines.last().is_some_and(|l| l.transaction > t);
            self.sheet.lines.push(Line { transaction: t, account, currency, row: line, amount });
        }
    }

    /// The fields in the order of [`COLUMNS`], without blanks around them; `None` where the bytes are no text.
    fn texts<'r>(&mut self, record: &'r ByteRecord, line: u32) -> [Option<&'r str>; 6] {
        let mut fields = [None; 6];
        for (n, field) in fields.iter_mut().enumerate() {
            let bytes = record.get(self.order[n]).unwrap_or_default();
            *field = match std::str::from_utf8(bytes) {
                Ok(text) => Some(text.trim_matches([' ', '\t'])),
                Err(_) => self.none(line, n, "this is not UTF-8 text".to_owned()),
            };
        }
        fields
    }

    fn id<'r>(&mut self, text: &'r str, line: u32) -> Option<&'r str> {
        if text.is_empty() {
            return self.none(line, ID, "the transaction id is missing".to_owned());
        }
        if text.len() > MAX_ID {
            return self.none(line, ID, "a transaction id has at most 200 bytes".to_owned());
        }
        if text.chars().any(char::is_control) {
            return self.none(line, ID, "a transaction id has no control characters or line breaks".to_owned());
        }
        Some(text)
    }

    fn amount(&mut self, text: &str, line: u32) -> Option<Decimal> {
        match model::amount(text) {
            Ok(amount) => Some(amount),
            Err(_) if text.len() > 60 => {
                self.none(line, AMOUNT, "this is no decimal number of at most 28 digits".to_owned())
            }
            Err(error) => self.none(line, AMOUNT, error.to_string()),
        }
    }

    /// The entry a row belongs to; made at its first row, held against it at every other.
    fn transaction(&mut self, id: &str, date: Option<Date>, description: Option<&str>, line: u32) -> u32 {
        // Rows of one entry nearly always stand together.
        let last = self.sheet.transactions.len().checked_sub(1);
        let known = match last {
            Some(last) if self.sheet.id(&self.sheet.transactions[last]) == id => Some(index(last)),
            _ => self.by_id.get(id).copied(),
        };
        let Some(t) = known else {
            let t = index(self.sheet.transactions.len());
            self.by_id.insert(id.into(), t);
            let id = self.keep(id);
            let description = self.keep(description.unwrap_or_default());
            let date = date.unwrap_or(Date::UNKNOWN);
            self.sheet.transactions.push(Transaction {
                id,
                description,
                date,
                row: line,
                start: 0,
                lines: 0,
                spoiled: false,
            });
            return t;
        };
        let first = self.sheet.transactions[t as usize];
        if date.is_some_and(|d| d != first.date && first.date != Date::UNKNOWN) {
            self.fault(
                line,
                Some(COLUMNS[DATE]),
                format!("line {} gives {} for the same transaction", first.row, first.date),
            );
        }
        if description.is_some_and(|d| !d.is_empty() && d != self.sheet.description(&first)) && !first.spoiled {
            self.fault(
                line,
                Some(COLUMNS[DESCRIPTION]),
                format!("line {} says something else for the same transaction", first.row),
            );
        }
        t
    }

    fn keep(&mut self, text: &str) -> Span {
        let start = index(self.sheet.text.len());
        self.sheet.text.push_str(text);
        Span { start, end: index(self.sheet.text.len()) }
    }

    fn finish(mut self) -> Sheet {
        if self.scattered {
            self.sheet.lines.sort_by_key(|l| l.transaction);
        }
        let mut start = 0;
        for transaction in &mut self.sheet.transactions {
            transaction.start = start;
            start += transaction.lines;
        }
        self.sheet
    }

    fn fault(&mut self, line: u32, column: Option<&str>, message: String) {
        self.sheet.errors.push(RowError { line: line.into(), column: column.map(str::to_owned), message });
    }

    fn none<T>(&mut self, line: u32, column: usize, message: String) -> Option<T> {
        self.fault(line, Some(COLUMNS[column]), message);
        None
    }
}

/// What was read is at most [`Limits::bytes`] long, which is far below 2³².
fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The beginning of a text, for messages.
fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(40).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Sheet {
        Sheet::read(text.as_bytes(), Limits::default()).expect("reads")
    }

    fn faults(text: &str) -> Vec<(u64, String)> {
        read(text).errors.into_iter().map(|e| (e.line, e.column.unwrap_or_default())).collect()
    }

    const HEADER: &str = "transaction_id,date,description,account,amount,currency\n";

    #[test]
    fn reads_entries() {
        let sheet = read(&format!(
            "\u{feff}{HEADER}A1,2026-01-31,\"Rent, January\",Expenses:Rent,1200.00,EUR\r\nA1,2026-01-31,\"Rent, January\",Assets:Bank,-1200.00,EUR\n\n\
             A2,2026-02-01,,Assets:Gold,1,GOLD-BAR.999\nA2, 2026-02-01 ,, Assets:Gold ,-1,GOLD-BAR.999"
        ));
        assert_eq!(sheet.errors, []);
        assert_eq!((sheet.rows, sheet.transactions().len()), (4, 2));
        let entries: Vec<_> = sheet.transactions().iter().map(|t| (t, sheet.lines(t))).collect();
        assert_eq!(sheet.description(entries[0].0), "Rent, January");
        assert_eq!(sheet.account(entries[0].1[1].account), "Assets:Bank");
        assert_eq!(entries[0].1[1].amount, Decimal::new(-120_000, 2));
        assert_eq!(sheet.id(entries[1].0), "A2");
        assert_eq!(entries[1].1.len(), 2);
        assert_eq!(entries[1].1[1].row, 6);
    }

    #[test]
    fn columns_may_stand_in_any_order_and_rows_apart() {
        let sheet = read(
            "currency,amount,account,description,date,Transaction_ID\nEUR,1,Assets:A,x,2026-01-01,T1\n\
             EUR,2,Assets:A,y,2026-01-02,T2\nEUR,-1,Assets:B,x,2026-01-01,T1\nEUR,-2,Assets:B,y,2026-01-02,T2\n",
        );
        assert_eq!(sheet.errors, []);
        let lines: Vec<Vec<String>> = sheet
            .transactions()
            .iter()
            .map(|t| sheet.lines(t).iter().map(|l| l.amount.to_string()).collect())
            .collect();
        assert_eq!(lines, [["1", "-1"], ["2", "-2"]]);
    }

    #[test]
    fn every_kind_of_fault_names_its_place() {
        let c = |s: &str| s.to_owned();
        assert_eq!(faults(""), [(1, c(""))]);
        assert_eq!(
            faults("a,b\n"),
            [
                (1, c("transaction_id")),
                (1, c("date")),
                (1, c("description")),
                (1, c("account")),
                (1, c("amount")),
                (1, c("currency")),
                (1, c("")),
                (1, c("")),
            ]
        );
        let row = |r: &str| faults(&format!("{HEADER}{r}\n"));
        assert_eq!(row(",2026-01-01,d,Assets,1,EUR"), [(2, c("transaction_id"))]);
        assert_eq!(row("T,2026-02-30,d,Assets,1,EUR"), [(2, c("date"))]);
        assert_eq!(row("T,2026-01-01,d,Assets:,1,EUR"), [(2, c("account"))]);
        assert_eq!(row("T,2026-01-01,d,Assets,1e5,EUR"), [(2, c("amount"))]);
        assert_eq!(row("T,2026-01-01,d,Assets,12345678901234567890123456789,EUR"), [(2, c("amount"))]);
        assert_eq!(row("T,2026-01-01,d,Assets,1,1EUR"), [(2, c("currency"))]);
        assert_eq!(row("T,2026-01-01,d,Assets,1,ABCDEFGHIJKLMNOPQRSTUVWXY"), [(2, c("currency"))]);
        assert_eq!(row("T,2026-01-01,d,Assets,1"), [(2, c(""))]);
        assert_eq!(row("T,x,\"a\nb\",Assets,y,EUR"), [(2, c("date")), (2, c("description")), (2, c("amount"))]);
        assert_eq!(row("T,2026-01-01,d,Assets,1,EUR\nT,2026-01-02,d,Assets,-1,EUR"), [(3, c("date"))]);
        assert_eq!(row("T,2026-01-01,d,Assets,1,EUR\nT,2026-01-01,e,Assets,-1,EUR"), [(3, c("description"))]);
        let broken = Sheet::read(
            [HEADER.as_bytes(), b"T,2026-01-01,\xff,Assets,1,EUR\n"].concat().as_slice(),
            Limits::default(),
        );
        assert_eq!(broken.expect("reads").errors[0].column.as_deref(), Some("description"));
    }

    #[test]
    fn a_file_that_is_too_long_is_refused() {
        let text = format!("{HEADER}{}", "T,2026-01-01,d,Assets,1,EUR\n".repeat(100));
        assert!(matches!(Sheet::read(text.as_bytes(), Limits { bytes: 1000 }), Err(ReadError::TooLong(_))));
        assert!(Sheet::read(text.as_bytes(), Limits { bytes: text.len() as u64 }).is_ok());
    }

    #[test]
    fn faults_are_bounded() {
        let sheet = read(&format!("{HEADER}{}", "x\n".repeat(MAX_ERRORS + 5)));
        assert_eq!(sheet.errors.len(), MAX_ERRORS + 1);
    }

    proptest! {
        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), with_header in any::<bool>()) {
            let mut file = if with_header { HEADER.as_bytes().to_vec() } else { Vec::new() };
            file.extend(bytes);
            let sheet = Sheet::read(file.as_slice(), Limits::default()).expect("reads");
            prop_assert_eq!(sheet.transactions().iter().map(|t| sheet.lines(t).len()).sum::<usize>(), sheet.lines.len());
        }

        #[test]
        fn nearly_good_rows_never_panic(rows in proptest::collection::vec(
            ("[ABC]{0,2}", "(2026-0[1-3]-[0-3][0-9]|[0-9-]{0,10})", "[a-z\"\n]{0,3}", "(Assets|Assets:[A-C]|:)", "-?[0-9.]{0,6}", "(EUR|USD|[a-z0-9]{0,3})"), 0..30,
        )) {
            let mut file = HEADER.to_owned();
            for (a, b, c, d, e, f) in rows {
                file.push_str(&format!("{a},{b},{c},{d},{e},{f}\n"));
            }
            let sheet = read(&file);
            for t in sheet.transactions() {
                prop_assert!(t.spoiled || sheet.lines(t).iter().all(|l| l.row >= t.row));
            }
        }
    }
}
