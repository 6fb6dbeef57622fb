//! Tenancy below the query, and the functions every connection knows.
//!
//! Invariant: outside [`Session::privileged`] no statement can be prepared that touches a base table (`…_rows`), a table
//! of the store (`sys_…`) or the schema, unless a view or trigger of the schema does it on the statement's behalf; and
//! those compare with `current_organization()`. A forgotten filter is therefore not a leak.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{
    Connection,
    functions::{Aggregate, Context, FunctionFlags},
    hooks::{AuthAction, AuthContext, Authorization},
    types::ValueRef,
};
use sent_core::{
    money::{Decimal, Overflow, Sum},
    table::{SyncClass, Table},
};
use uuid::Uuid;

use crate::StoreError;

/// What a connection is allowed right now, shared with its hooks.
#[derive(Clone, Default)]
pub(crate) struct Session {
    organization: Arc<Mutex<String>>,
    privileged: Arc<AtomicBool>,
    /// Views and triggers of the schema: what may touch a base table on a statement's behalf.
    trusted: Arc<Mutex<Arc<HashSet<String>>>>,
}

impl Session {
    /// Everything prepared and stepped from now on belongs to this organisation.
    pub(crate) fn enter(&self, organization: Uuid) {
        *self.organization.lock().unwrap_or_else(|e| e.into_inner()) = organization.to_string();
    }

    /// Runs `f` with access to base tables. Only the store does this.
    pub(crate) fn privileged<T>(&self, f: impl FnOnce() -> T) -> T {
        let _lent = Lent { privileged: &self.privileged, before: self.privileged.swap(true, Ordering::Relaxed) };
        f()
    }

    /// Learns which views and triggers the schema has. Needs privilege.
    pub(crate) fn learn(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare("SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger')")?;
        let names = statement.query_map([], |r| r.get(0))?.collect::<Result<HashSet<String>, _>>()?;
        *self.trusted.lock().unwrap_or_else(|e| e.into_inner()) = Arc::new(names);
        Ok(())
    }

    /// Registers functions and authorizer on a fresh connection.
    pub(crate) fn install(&self, connection: &Connection) -> Result<(), StoreError> {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
        let organization = self.organization.clone();
        connection.create_scalar_function("current_organization", 0, flags, move |_| {
            Ok(organization.lock().unwrap_or_else(|e| e.into_inner()).clone())
        })?;
        connection.create_scalar_function("decimal_add", 2, flags, |c| {
            let mut sum = Sum::default();
            add(&mut sum, c.get_raw(0))?;
            add(&mut sum, c.get_raw(1))?;
            written(&sum)
        })?;
        connection.create_scalar_function("decimal_cmp", 2, flags, |c| {
            Ok(decimal(c.get_raw(0))?.cmp(&decimal(c.get_raw(1))?) as i32)
        })?;
        connection.create_aggregate_function("decimal_sum", 1, flags, DecimalSum)?;
        let (privileged, trusted) = (self.privileged.clone(), self.trusted.clone());
        connection.authorizer(Some(move |c: AuthContext<'_>| {
            let trusted = trusted.lock().unwrap_or_else(|e| e.into_inner()).clone();
            if privileged.load(Ordering::Relaxed) || allowed(&c, &trusted) {
                Authorization::Allow
            } else {
                Authorization::Deny
            }
        }))?;
        Ok(())
    }
}

/// Privilege ends with what it was given for, also when that panics.
struct Lent<'a> {
    privileged: &'a AtomicBool,
    before: bool,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.privileged.store(self.before, Ordering::Relaxed);
    }
}

fn allowed(c: &AuthContext<'_>, trusted: &HashSet<String>) -> bool {
    match c.action {
        AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => {
            // A common table expression is an accessor too, so the accessor must be one of the schema's own.
            c.accessor.is_some_and(|a| trusted.contains(a))
                || !(table_name.ends_with("_rows")
                    || table_name.starts_with("sys_")
                    || table_name.starts_with("sqlite_"))
        }
        AuthAction::Select
        | AuthAction::Function { .. }
        | AuthAction::Recursive
        | AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. } => true,
        AuthAction::Pragma { pragma_value, .. } => pragma_value.is_none(),
        _ => false,
    }
}

fn decimal(value: ValueRef<'_>) -> rusqlite::Result<Decimal> {
    let text = match value {
        ValueRef::Null => return Ok(Decimal::ZERO),
        ValueRef::Integer(i) => return Ok(Decimal::from(i)),
        other => other.as_str().map_err(|e| rusqlite::Error::UserFunctionError(e.into()))?,
    };
    sent_core::money::parse(text).map_err(|e| rusqlite::Error::UserFunctionError(e.into()))
}

fn add(sum: &mut Sum, value: ValueRef<'_>) -> rusqlite::Result<()> {
    sum.add(decimal(value)?).map_err(overflow)
}

/// Without trailing zeros, so that equal sums are equal texts and nothing is `0`.
fn written(sum: &Sum) -> rusqlite::Result<String> {
    Ok(sum.decimal().map_err(overflow)?.normalize().to_string())
}

fn overflow(error: Overflow) -> rusqlite::Error {
    rusqlite::Error::UserFunctionError(error.into())
}

/// Exact sum of decimal strings; NULL counts as zero.
struct DecimalSum;

impl Aggregate<Sum, String> for DecimalSum {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Sum> {
        Ok(Sum::default())
    }

    fn step(&self, c: &mut Context<'_>, sum: &mut Sum) -> rusqlite::Result<()> {
        add(sum, c.get_raw(0))
    }

    fn finalize(&self, _: &mut Context<'_>, sum: Option<Sum>) -> rusqlite::Result<String> {
        written(&sum.unwrap_or_default())
    }
}

/// A declared table with the columns it really has.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Declaration.
    pub table: Table,
    /// All columns in order; the first is `organization_id`.
    pub names: Vec<String>,
    /// Which of them are key columns (besides `organization_id`).
    pub key: Vec<usize>,
    /// Which of them are secret; the enciphered ones are among them.
    pub secret: Vec<usize>,
    /// Which of them are enciphered.
    pub enciphered: Vec<usize>,
    /// Index of `version`, in `down` tables.
    pub version: Option<usize>,
}

/// Reads the columns of every declared table and checks the declaration against them.
pub(crate) fn columns(connection: &Connection, tables: &[Table]) -> Result<Vec<Columns>, StoreError> {
    tables.iter().map(|table| read_columns(connection, table)).collect()
}

fn read_columns(connection: &Connection, table: &Table) -> Result<Columns, StoreError> {
    let wrong = |why: &str| StoreError::Corrupt(format!("table {}: {why}", table.name));
    let mut statement = connection.prepare("SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid")?;
    let found: Vec<(String, i64)> = statement
        .query_map([format!("{}_rows", table.name)], |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let names: Vec<String> = found.iter().map(|(n, _)| n.clone()).collect();
    if names.first().map(String::as_str) != Some("organization_id") {
        return Err(wrong("there is no base table whose first column is organization_id"));
    }
    let position =
        |column: &&str| names.iter().position(|n| n == column).ok_or_else(|| wrong(&format!("no column {column}")));
    let key: Vec<usize> = table.key.iter().map(position).collect::<Result<_, _>>()?;
    let mut primary: Vec<usize> = found.iter().enumerate().filter(|(_, (_, pk))| *pk > 0).map(|(i, _)| i).collect();
    primary.retain(|i| *i != 0);
    let mut declared = key.clone();
    declared.sort_unstable();
    if primary != declared {
        return Err(wrong("the declared key is not the primary key"));
    }
    let enciphered: Vec<usize> = table.enciphered.iter().map(position).collect::<Result<_, _>>()?;
    if !enciphered.is_empty() && table.class.is_of_cloud() {
        return Err(wrong("the cloud's rows come down without enciphered columns, so it cannot have any"));
    }
    if enciphered.iter().any(|i| key.contains(i)) {
        return Err(wrong("a key cannot be enciphered"));
    }
    let mut secret: Vec<usize> = table.secret.iter().map(position).collect::<Result<_, _>>()?;
    secret.extend(&enciphered);
    let version = names.iter().position(|n| n == "version").filter(|_| table.class.is_of_cloud());
    if version.is_none() && table.class == SyncClass::Down {
        return Err(wrong("a table of class down needs a column version"));
    }
    Ok(Columns { table: *table, names, key, secret, enciphered, version })
}

/// An identifier that SQL cannot take for anything else.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Makes the tenant view and its triggers for a table.
pub(crate) fn derive(connection: &Connection, columns: &Columns) -> Result<(), StoreError> {
    let name = columns.table.name;
    // Quoted, because a column may be called like a word of SQL (`raise` is one, inside a trigger).
    let all = columns.names.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", ");
    let new = columns.names[1..].iter().map(|c| format!("NEW.{}", quoted(c))).collect::<Vec<_>>().join(", ");
    let this_row = std::iter::once("organization_id = current_organization()".to_owned())
        .chain(columns.table.key.iter().map(|k| format!("{0} = OLD.{0}", quoted(k))))
        .collect::<Vec<_>>()
        .join(" AND ");
    let set = columns.names[1..]
        .iter()
        .enumerate()
        .map(|(n, c)| assignment(columns, n + 1, c))
        .collect::<Vec<_>>()
        .join(", ");
    let update = if set.is_empty() {
        String::new()
    } else {
        format!(
            "CREATE TRIGGER {name}_update INSTEAD OF UPDATE ON {name} BEGIN
                UPDATE {name}_rows SET {set} WHERE {this_row};
             END;"
        )
    };
    // A column the statement leaves out arrives as NULL in NEW, so the base table's default is put in its place.
    let values = defaults(connection, columns)?.unwrap_or(new);
    connection.execute_batch(&format!(
        "DROP VIEW IF EXISTS {name};
         CREATE VIEW {name} AS SELECT {all} FROM {name}_rows WHERE organization_id = current_organization();
         CREATE TRIGGER {name}_insert INSTEAD OF INSERT ON {name} BEGIN
            INSERT INTO {name}_rows ({all}) VALUES (current_organization(){comma}{values});
         END;
         {update}
         CREATE TRIGGER {name}_delete INSTEAD OF DELETE ON {name} BEGIN
            DELETE FROM {name}_rows WHERE {this_row};
         END;",
        comma = if values.is_empty() { "" } else { ", " },
    ))?;
    Ok(())
}

/// What an update through the view writes to a column. An edit of a row the cloud owns keeps the version it is based on
/// and says by its sign that no answer has come yet.
fn assignment(columns: &Columns, index: usize, name: &str) -> String {
    if columns.table.class != SyncClass::Down || columns.version != Some(index) {
        return format!("{0} = NEW.{0}", quoted(name));
    }
    let values = |row: &str| {
        let others = columns.names.iter().enumerate().skip(1).filter(|(n, _)| *n != index);
        others.map(|(_, c)| format!("{row}.{}", quoted(c))).collect::<Vec<_>>().join(", ")
    };
    format!(
        "version = CASE WHEN ({}) IS ({}) THEN OLD.version ELSE -abs(OLD.version) END",
        values("NEW"),
        values("OLD")
    )
}

fn defaults(connection: &Connection, columns: &Columns) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare("SELECT name, dflt_value FROM pragma_table_info(?1) ORDER BY cid")?;
    let found: Vec<(String, Option<String>)> = statement
        .query_map([format!("{}_rows", columns.table.name)], |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if found.iter().all(|(_, d)| d.is_none()) {
        return Ok(None);
    }
    let values = found[1..]
        .iter()
        .map(|(n, d)| match d {
            Some(d) => format!("coalesce(NEW.{}, {d})", quoted(n)),
            None => format!("NEW.{}", quoted(n)),
        })
        .collect::<Vec<_>>();
    Ok(Some(values.join(", ")))
}
