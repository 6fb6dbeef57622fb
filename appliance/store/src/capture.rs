//! What a write changed, as SQLite itself reports it.
//!
//! The preupdate hook fires for every row before it changes, whatever statement, trigger or cascade does it. It remembers
//! which rows were touched, in order, and what each held before. What they hold in the end is read just before the commit, so
//! the record is the net effect of the transaction: rolled-back savepoints, failed statements and rows that were put back
//! leave nothing behind.
//!
//! Tables of class `state` are not recorded. That only such rows changed is remembered, so that what a person did leaves an
//! entry all the same.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use crate::{
    StoreError,
    tenancy::{Columns, quoted},
};
use indexmap::{IndexMap, map::Entry};
use rusqlite::{
    Connection, ToSql,
    hooks::{Action, PreUpdateCase},
    types::{Value, ValueRef},
};

/// What is shown in place of a secret value.
const HIDDEN: &str = "\"•\"";

/// One changed row, for the pages that watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Table.
    pub table: &'static str,
    /// `i`, `u` or `d`.
    pub op: char,
    /// Key columns as a JSON object.
    pub key: String,
}

/// Organisation and key values of a row of a table (by index).
type RowKey = (usize, Vec<KeyValue>);

/// A key value that can be looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum KeyValue {
    Null,
    Integer(i64),
    Real(u64),
    Text(String),
    Blob(Vec<u8>),
}

#[derive(Default)]
struct Recording {
    /// What a row held before; `None`: it was not there.
    before: IndexMap<RowKey, Option<Vec<Value>>>,
    event: bool,
    /// Rows of class `state` changed.
    state: bool,
    fault: Option<String>,
}

/// The net effect of a transaction.
pub(crate) struct Effect {
    /// JSON array of changes, secrets hidden.
    pub(crate) audit: String,
    /// What travels, where that differs from `audit`.
    pub(crate) up: Option<String>,
    /// Whether anything travels.
    pub(crate) travels: bool,
    /// The rows.
    pub(crate) touched: Vec<Touched>,
}

/// The recorder of one writer connection.
#[derive(Clone)]
pub(crate) struct Capture {
    recording: Arc<Mutex<Recording>>,
    tables: Arc<[Tracked]>,
}

struct Tracked {
    columns: Columns,
    /// Reads a row by organisation and key.
    select: String,
    /// Columns of the primary key: organisation, then the declared key.
    identity: Vec<usize>,
}

impl Capture {
    /// Installs the hook.
    pub(crate) fn install(connection: &Connection, columns: &[Columns]) -> Result<Self, StoreError> {
        let recording = Arc::new(Mutex::new(Recording::default()));
        let tables: Arc<[Tracked]> = columns.iter().map(Tracked::new).collect();
        let by_name: HashMap<String, Option<usize>> = columns
            .iter()
            .enumerate()
            .map(|(i, c)| (format!("{}_rows", c.table.name), c.table.class.is_recorded().then_some(i)))
            .collect();
        let (shared, tracked) = (recording.clone(), tables.clone());
        connection.preupdate_hook(Some(move |_: Action, _: &str, table: &str, case: &PreUpdateCase| {
            let Some(&index) = by_name.get(table) else { return };
            let mut recording = shared.lock().unwrap_or_else(|e| e.into_inner());
            let Some(index) = index else {
                recording.state = true;
                return;
            };
            if let Err(error) = remember(&mut recording, index, &tracked[index], case) {
                recording.fault = Some(error.to_string());
            }
        }))?;
        Ok(Self { recording, tables })
    }

    /// Forgets everything: a new transaction begins.
    pub(crate) fn reset(&self) {
        *self.recording.lock().unwrap_or_else(|e| e.into_inner()) = Recording::default();
    }

    /// An audit entry is wanted even if no declared row changes.
    pub(crate) fn event(&self) {
        self.recording.lock().unwrap_or_else(|e| e.into_inner()).event = true;
    }

    /// Reads what the touched rows hold now. `None`: nothing is to be recorded, that is, no recorded row changed and no event
    /// was noted. With `answerable`, a change of `state` rows is an event. Needs privilege.
    pub(crate) fn effect(&self, connection: &Connection, answerable: bool) -> Result<Option<Effect>, StoreError> {
        let Recording { before, event, state, fault } =
            std::mem::take(&mut *self.recording.lock().unwrap_or_else(|e| e.into_inner()));
        if let Some(fault) = fault {
            return Err(StoreError::Corrupt(format!("a change could not be recorded: {fault}")));
        }
        let mut document = Document::default();
        for ((table, key), before) in &before {
            let tracked = &self.tables[*table];
            let after = tracked.read(connection, key)?;
            document.add(&tracked.columns, before.as_deref(), after.as_deref());
        }
        let event = event || answerable && state;
        Ok((event || !document.touched.is_empty()).then(|| document.close()))
    }
}

impl Tracked {
    fn new(columns: &Columns) -> Self {
        let identity: Vec<usize> = std::iter::once(0).chain(columns.key.iter().copied()).collect();
        let condition: Vec<String> =
            identity.iter().enumerate().map(|(n, &i)| format!("{} = ?{}", quoted(&columns.names[i]), n + 1)).collect();
        let select = format!(
            "SELECT {} FROM {}_rows WHERE {}",
            columns.names.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", "),
            columns.table.name,
            condition.join(" AND ")
        );
        Self { columns: columns.clone(), select, identity }
    }

    fn read(&self, connection: &Connection, key: &[KeyValue]) -> rusqlite::Result<Option<Vec<Value>>> {
        let mut statement = connection.prepare_cached(&self.select)?;
        let mut rows = statement.query(rusqlite::params_from_iter(key))?;
        let Some(row) = rows.next()? else { return Ok(None) };
        (0..self.columns.names.len()).map(|i| row.get(i)).collect::<Result<Vec<Value>, _>>().map(Some)
    }
}

fn remember(recording: &mut Recording, table: usize, tracked: &Tracked, case: &PreUpdateCase) -> rusqlite::Result<()> {
    let all = 0..tracked.columns.names.len();
    match case {
        PreUpdateCase::Insert(new) => {
            let key = key_of(tracked, |i| new.get_new_column_value(i))?;
            recording.before.entry((table, key)).or_insert(None);
        }
        PreUpdateCase::Delete(old) | PreUpdateCase::Update { old_value_accessor: old, .. } => {
            let key = key_of(tracked, |i| old.get_old_column_value(i))?;
            if let Entry::Vacant(vacant) = recording.before.entry((table, key)) {
                let values = all
                    .map(|i| Value::try_from(old.get_old_column_value(column(i))?).map_err(rusqlite::Error::from))
                    .collect::<Result<_, _>>()?;
                vacant.insert(Some(values));
            }
            if let PreUpdateCase::Update { new_value_accessor: new, .. } = case {
                // A changed key is the old row gone and another row there.
                let key = key_of(tracked, |i| new.get_new_column_value(i))?;
                recording.before.entry((table, key)).or_insert(None);
            }
        }
        PreUpdateCase::Unknown => {}
    }
    Ok(())
}

fn key_of<'a>(
    tracked: &Tracked,
    get: impl Fn(i32) -> rusqlite::Result<ValueRef<'a>>,
) -> rusqlite::Result<Vec<KeyValue>> {
    tracked.identity.iter().map(|&i| get(column(i)).map(KeyValue::from)).collect()
}

/// A table has at most 2,000 columns (SQLITE_MAX_COLUMN).
fn column(i: usize) -> i32 {
    i32::try_from(i).unwrap_or(i32::MAX)
}

impl From<ValueRef<'_>> for KeyValue {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(i) => Self::Integer(i),
            ValueRef::Real(r) => Self::Real(r.to_bits()),
            ValueRef::Text(t) => Self::Text(String::from_utf8_lossy(t).into_owned()),
            ValueRef::Blob(b) => Self::Blob(b.to_vec()),
        }
    }
}

impl ToSql for KeyValue {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => rusqlite::types::Null.to_sql()?,
            Self::Integer(i) => (*i).into(),
            Self::Real(r) => f64::from_bits(*r).into(),
            Self::Text(t) => t.as_str().into(),
            Self::Blob(b) => b.as_slice().into(),
        })
    }
}

/// Two growing JSON arrays: for the audit (secrets hidden) and for the wire (local tables left out). The second is only
/// kept apart once it differs.
#[derive(Default)]
struct Document {
    audit: String,
    up: Option<String>,
    travels: bool,
    touched: Vec<Touched>,
}

impl Document {
    fn add(&mut self, columns: &Columns, before: Option<&[Value]>, after: Option<&[Value]>) {
        let carried = |i: &usize| Some(*i) != columns.version;
        let all = || (1..columns.names.len()).filter(carried).collect::<Vec<_>>();
        let (op, row, old, new) = match (before, after) {
            (None, None) => return,
            (None, Some(after)) => ('i', after, vec![], all()),
            (Some(before), None) => ('d', before, all(), vec![]),
            (Some(before), Some(after)) => {
                let changed: Vec<usize> =
                    (1..columns.names.len()).filter(carried).filter(|&i| before[i] != after[i]).collect();
                if changed.is_empty() {
                    return;
                }
                ('u', before, changed.clone(), changed)
            }
        };
        let stays = |i: &usize| columns.enciphered.contains(i);
        let travels = columns.table.class.travels() && !(op == 'u' && new.iter().all(stays));
        let hides = !columns.secret.is_empty();
        if (!travels || hides) && self.up.is_none() {
            self.up = Some(self.audit.clone());
        }
        self.travels |= travels;

        let mut key = String::from("{");
        // A table with one row an organisation is keyed by the organisation itself.
        let own_key = [0];
        write_columns(&mut key, columns, row, if columns.key.is_empty() { &own_key } else { &columns.key }, false);
        key.push('}');
        let version = columns.version.map(|v| match before.map(|b| &b[v]) {
            // Its sign only says that an edit waits for an answer.
            Some(Value::Integer(version)) => version.abs(),
            _ => 0,
        });
        let change = |outward: bool| {
            let mut json = format!("{{\"t\":\"{}\",\"o\":\"{op}\",\"k\":{key}", columns.table.name);
            for (name, values, which) in [("n", after, &new), ("p", before, &old)] {
                let which: Vec<usize> = which.iter().copied().filter(|i| !(outward && stays(i))).collect();
                if let Some(values) = values
                    && !which.is_empty()
                {
                    let _ = write!(json, ",\"{name}\":{{");
                    write_columns(&mut json, columns, values, &which, !outward);
                    json.push('}');
                }
            }
            if let Some(version) = version {
                let _ = write!(json, ",\"v\":{version}");
            }
            json.push('}');
            json
        };
        let shown = change(false);
        if let Some(up) = &mut self.up
            && travels
        {
            append(up, &if hides { change(true) } else { shown.clone() });
        }
        append(&mut self.audit, &shown);
        self.touched.push(Touched { table: columns.table.name, op, key });
    }

    fn close(self) -> Effect {
        let close = |mut array: String| {
            array.push_str(if array.is_empty() { "[]" } else { "]" });
            array
        };
        Effect { audit: close(self.audit), up: self.up.map(close), travels: self.travels, touched: self.touched }
    }
}

fn append(array: &mut String, item: &str) {
    array.push(if array.is_empty() { '[' } else { ',' });
    array.push_str(item);
}

fn write_columns(json: &mut String, columns: &Columns, values: &[Value], which: &[usize], hide: bool) {
    for (n, &i) in which.iter().enumerate() {
        if n > 0 {
            json.push(',');
        }
        let _ = write!(json, "\"{}\":", columns.names[i]);
        if hide && columns.secret.contains(&i) {
            json.push_str(HIDDEN);
        } else {
            write_value(json, &values[i]);
        }
    }
}

/// A SQLite value as JSON: blobs as lower-case hex, and reals that JSON has no number for as null.
fn write_value(json: &mut String, value: &Value) {
    match value {
        Value::Null => json.push_str("null"),
        Value::Integer(i) => {
            let _ = write!(json, "{i}");
        }
        Value::Real(r) if r.is_finite() => {
            let _ = write!(json, "{r:?}");
        }
        Value::Real(_) => json.push_str("null"),
        Value::Text(t) => write_text(json, t),
        Value::Blob(b) => write_text(json, &hex::encode(b)),
    }
}

/// JSON string (RFC 8259 §7). PostgreSQL refuses NUL, so in a row that travels it becomes U+FFFD.
fn write_text(json: &mut String, text: &str) {
    json.push('"');
    let plain = |b: &u8| *b >= 0x20 && *b != b'"' && *b != b'\\';
    if text.as_bytes().iter().all(plain) {
        json.push_str(text);
    } else {
        for c in text.chars() {
            match c {
                '"' => json.push_str("\\\""),
                '\\' => json.push_str("\\\\"),
                '\n' => json.push_str("\\n"),
                '\r' => json.push_str("\\r"),
                '\t' => json.push_str("\\t"),
                '\0' => json.push('\u{fffd}'),
                c if (c as u32) < 0x20 => {
                    let _ = write!(json, "\\u{:04x}", c as u32);
                }
                c => json.push(c),
            }
        }
    }
    json.push('"');
}
