//! `sent capital …`: works on the data folder, with or without a running server.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Subcommand};
use sent_contract::{
    Uuid,
    capital::{Account, Entry, ImportReport, NewAccount, NewEntry, Reverse},
    reference::NewFxRate,
};
use sent_core::{Scope, id, money::Decimal};
use sent_store::Store;
use serde::Serialize;

use crate::{
    error::LedgerError,
    import::Options,
    model::{self, Date},
    service::Ledger,
    store::{Balance, Filter},
};

/// The verbs of the ledger.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the chart of accounts, or add to it.
    Accounts {
        /// Add an account with this name (`Assets:Bank:Checking`).
        #[arg(long, value_name = "NAME")]
        add: Option<String>,
        /// Kind of the new account: asset, liability, equity, income or expense.
        #[arg(long, requires = "add")]
        kind: Option<String>,
        /// The only currency the new account takes.
        #[arg(long, requires = "add")]
        currency: Option<String>,
        /// Number of the new account.
        #[arg(long, requires = "add")]
        code: Option<String>,
        /// First day the new account may be posted to.
        #[arg(long, value_name = "DATE", requires = "add")]
        valid_from: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List entries, newest date first.
    Entries(EntriesArgs),
    /// Post an entry, read as JSON from standard input.
    Post,
    /// Post the exact opposite of an entry.
    Reverse {
        /// Id of the entry.
        id: Uuid,
        /// Date of the reversal; default: the entry's own date.
        #[arg(long)]
        date: Option<String>,
        /// Why.
        #[arg(long)]
        description: Option<String>,
    },
    /// Import entries from CSV: transaction_id,date,description,account,amount,currency.
    Import {
        /// The file; `-` is standard input.
        file: PathBuf,
        /// Only check; list every bad row.
        #[arg(long)]
        dry_run: bool,
        /// Make accounts that do not exist.
        #[arg(long)]
        create_accounts: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// The balance of every account and currency.
    TrialBalance {
        /// Up to and including this date.
        #[arg(long, value_name = "DATE")]
        as_of: Option<String>,
        /// Show balances of zero too.
        #[arg(long)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List exchange rates, or set one.
    Rates {
        /// Set the rate of this currency.
        #[arg(long, value_name = "CURRENCY", requires_all = ["date", "rate"])]
        set: Option<String>,
        /// First day it is in force.
        #[arg(long)]
        date: Option<String>,
        /// What one unit is worth in base currency.
        #[arg(long)]
        rate: Option<String>,
    },
}

/// Which entries to list.
#[derive(Debug, Args)]
pub struct EntriesArgs {
    /// First date.
    #[arg(long)]
    from: Option<String>,
    /// Last date.
    #[arg(long)]
    to: Option<String>,
    /// Only entries that touch this account or one below it.
    #[arg(long)]
    account: Option<String>,
    /// Only entries whose description or number contains this.
    #[arg(long)]
    text: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs a verb. The exit code is 1 when a file has faults.
pub fn run(command: Command, store: &Store, scope: &Scope, out: &mut dyn Write) -> Result<ExitCode, LedgerError> {
    let ledger = Ledger::new(store.clone());
    match command {
        Command::Accounts { add: Some(name), kind, currency, code, valid_from, json: _ } => {
            let account = ledger.create_account(scope, NewAccount { name, code, kind, currency, valid_from })?;
            print_json(out, &account)?;
        }
        Command::Accounts { add: None, json, .. } => print_accounts(out, &ledger.accounts(scope)?, json)?,
        Command::Entries(args) => list_entries(&ledger, scope, args, out)?,
        Command::Post => {
            let entry: NewEntry = serde_json::from_reader(io::stdin().lock())
                .map_err(|e| LedgerError::field("standard input", format!("this is no entry: {e}")))?;
            print_json(out, &ledger.post(scope, entry)?)?;
        }
        Command::Reverse { id, date, description } => {
            let reverse = Reverse { id: id::new(&**store.clock()), date, description };
            print_json(out, &ledger.reverse(scope, id, reverse)?)?;
        }
        Command::Import { file, dry_run, create_accounts, json } => {
            let options = Options { dry_run, create_accounts, ..Options::default() };
            let report = ledger.import(scope, open(&file)?, options)?;
            if json {
                print_json(out, &report)?;
            } else {
                print_report(out, &report)?;
            }
            if !report.errors.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::TrialBalance { as_of, all, json } => {
            let as_of = as_of.map(|d| parse_date("--as-of", &d)).transpose()?;
            let mut balances = ledger.balances(scope, as_of)?;
            balances.retain(|b| all || !b.balance.is_zero());
            print_balances(out, &balances, json)?;
        }
        Command::Rates { set: Some(currency), date, rate } => {
            let date = parse_date("--date", date.as_deref().unwrap_or_default())?;
            let rate: Decimal = model::amount(rate.as_deref().unwrap_or_default())
                .map_err(|e| LedgerError::field("--rate", e.to_string()))?;
            ledger.set_rate(scope, NewFxRate { currency, date: date.to_string(), rate })?;
        }
        Command::Rates { set: None, .. } => print_json(out, &ledger.rates(scope)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list_entries(ledger: &Ledger, scope: &Scope, args: EntriesArgs, out: &mut dyn Write) -> Result<(), LedgerError> {
    let filter = Filter {
        from: args.from.map(|d| parse_date("--from", &d)).transpose()?,
        to: args.to.map(|d| parse_date("--to", &d)).transpose()?,
        account: args.account,
        text: args.text,
        after: None,
    };
    let page = ledger.entries(scope, &filter, args.limit)?;
    if args.json {
        return print_json(out, &page.items);
    }
    for entry in &page.items {
        print_entry(out, entry)?;
    }
    Ok(())
}

fn open(file: &std::path::Path) -> Result<Box<dyn Read>, LedgerError> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(file)
        .map_err(|e| LedgerError::field(file.display().to_string(), format!("the file cannot be opened: {e}")))?;
    Ok(Box::new(file))
}

fn parse_date(option: &str, text: &str) -> Result<Date, LedgerError> {
    Date::parse(text).ok_or_else(|| LedgerError::field(option, format!("\"{text}\" is no date like 2026-03-31")))
}

fn print_json(out: &mut dyn Write, value: &impl Serialize) -> Result<(), LedgerError> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

fn print_accounts(out: &mut dyn Write, accounts: &[Account], json: bool) -> Result<(), LedgerError> {
    if json {
        return print_json(out, &accounts);
    }
    for account in accounts {
        let only = account.currency.as_deref().unwrap_or("");
        writeln!(out, "{:9}  {:8}  {:6}  {}", account.kind, account.code.as_deref().unwrap_or(""), only, account.name)?;
    }
    Ok(())
}

fn print_entry(out: &mut dyn Write, entry: &Entry) -> Result<(), LedgerError> {
    writeln!(out, "{}  {}  {}  {}", entry.date, entry.number, entry.id, entry.description)?;
    for line in &entry.lines {
        writeln!(
            out,
            "    {:>24} {:6}  {}{}",
            line.amount,
            line.currency,
            line.account,
            if line.system { "  (system)" } else { "" }
        )?;
    }
    Ok(())
}

fn print_report(out: &mut dyn Write, report: &ImportReport) -> Result<(), LedgerError> {
    for error in &report.errors {
        match &error.column {
            Some(column) => writeln!(out, "line {}, {column}: {}", error.line, error.message)?,
            None => writeln!(out, "line {}: {}", error.line, error.message)?,
        }
    }
    for account in &report.accounts_created {
        writeln!(out, "new account {account}")?;
    }
    let done = if report.dry_run { "would be posted" } else { "posted" };
    writeln!(
        out,
        "{} read, {} {done}, {} there already",
        counted(report.rows, "row"),
        counted(report.posted, "transaction"),
        report.unchanged
    )?;
    if report.errors.iter().any(|error| error.message.starts_with("there is no account")) {
        writeln!(out, "--create-accounts makes accounts that are missing")?;
    }
    if !report.errors.is_empty() {
        writeln!(
            out,
            "{}: nothing {}",
            counted(report.errors.len() as u64, "fault"),
            if report.dry_run { "would be posted" } else { "was posted" }
        )?;
    }
    Ok(())
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// One row of `trial-balance --json`. The balance is a text, so that it is exact however long it is.
#[derive(Serialize)]
struct BalanceRow<'a> {
    account: &'a str,
    currency: &'a str,
    balance: String,
}

fn print_balances(out: &mut dyn Write, balances: &[Balance], json: bool) -> Result<(), LedgerError> {
    if !json {
        for b in balances {
            writeln!(out, "{:>32} {:6}  {}", b.balance.to_string(), b.currency, b.account)?;
        }
        return Ok(());
    }
    // One row a line: readable, and still one JSON array.
    write!(out, "[")?;
    for (n, b) in balances.iter().enumerate() {
        let row = BalanceRow { account: &b.account, currency: &b.currency, balance: b.balance.to_string() };
        write!(out, "{}\n  ", if n > 0 { "," } else { "" })?;
        serde_json::to_writer(&mut *out, &row).map_err(io::Error::from)?;
    }
    writeln!(out, "\n]")?;
    Ok(())
}
