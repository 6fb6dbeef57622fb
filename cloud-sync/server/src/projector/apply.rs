//! Folded rows into tables, by nothing but the tables' declarations.
//!
//! Rows that set the same columns go in one statement, their values as arrays of text that the statement casts to the
//! columns' own types: one round trip a table and no code for any table. Identifiers and types come from the registry and
//! the catalog only. A row is mostly new, and a bare INSERT costs what COPY costs while one that watches for conflicts
//! costs twice that: rows are inserted barely first, and put over what is there only when something is.

use std::{borrow::Cow, fmt::Write as _};

use indexmap::IndexMap;
use sent_core::Timestamp;
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Connection as _};
use uuid::Uuid;

use super::fold::{End, Fold, Table, Tables};
use crate::{
    db::Tx,
    error::{Error, Result},
};

/// Whose rows are written.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Organisation.
    pub organization: Uuid,
    /// Box.
    pub box_id: Uuid,
    /// Written now.
    pub at: Timestamp,
}

/// Reads the registry and the columns of its tables.
pub async fn tables(tx: &mut Tx) -> Result<Tables> {
    let rows = sqlx::query!(
        "SELECT t.name, t.class, t.key_columns, a.columns AS \"columns!\", a.types AS \"types!\"
         FROM projected_tables t, LATERAL (
             SELECT array_agg(attname::text) AS columns, array_agg(format_type(atttypid, atttypmod)) AS types
             FROM pg_attribute WHERE attrelid = t.name::regclass AND attnum > 0 AND NOT attisdropped) AS a"
    )
    .fetch_all(&mut *tx)
    .await?;
    let ours = ["organization_id", "box_id", "received_at"];
    Ok(rows
        .into_iter()
        .map(|row| {
            let columns = row.columns.into_iter().zip(row.types).filter(|(c, _)| !ours.contains(&c.as_str())).collect();
            let table = Table { name: row.name.clone(), is_up: row.class == "up", keys: row.key_columns, columns };
            (row.name, table)
        })
        .collect())
}

/// Writes the ends of a batch.
pub async fn apply(tx: &mut Tx, tables: &Tables, origin: Origin, fold: &Fold) -> Result<()> {
    for (name, rows) in &fold.rows {
        let Some(table) = tables.get(name) else { continue };
        for (shape, group) in &shapes(rows) {
            let columns = shape.columns(table);
            let texts: Vec<Vec<Option<Cow<'_, str>>>> = columns.iter().map(|column| texts(group, column)).collect();
            if let Shape::Put(_) = shape
                && insert(tx, &bare_insert(table, &columns), origin, &texts).await?
            {
                continue;
            }
            execute(tx, &statement(table, shape, &columns), origin, &texts).await?;
        }
    }
    Ok(())
}

/// Inserts rows that are hopefully new; whether they all were. Otherwise nothing is inserted.
async fn insert(tx: &mut Tx, sql: &str, origin: Origin, texts: &[Vec<Option<Cow<'_, str>>>]) -> Result<bool> {
    let mut savepoint = tx.begin().await?;
    match execute(&mut savepoint, sql, origin, texts).await {
        Ok(()) => {
            savepoint.commit().await?;
            Ok(true)
        }
        Err(Error::Database(sqlx::Error::Database(e))) if e.is_unique_violation() => {
            savepoint.rollback().await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn execute(tx: &mut Tx, sql: &str, origin: Origin, texts: &[Vec<Option<Cow<'_, str>>>]) -> Result<()> {
    let query = sqlx::query(AssertSqlSafe(sql)).bind(origin.organization).bind(origin.box_id).bind(origin.at.0);
    texts.iter().fold(query, |query, values| query.bind(values)).execute(&mut *tx).await?;
    Ok(())
}

/// A column of some rows as text that PostgreSQL casts to the column's type.
fn texts<'a>(rows: &[&'a Map<String, Value>], column: &str) -> Vec<Option<Cow<'a, str>>> {
    rows.iter()
        .map(|row| match row.get(column)? {
            Value::Null => None,
            Value::String(text) => Some(Cow::Borrowed(text.as_str())),
            other => Some(Cow::Owned(other.to_string())),
        })
        .collect()
}

/// What a row's statement depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shape {
    Delete,
    Put(Vec<String>),
    Patch(Vec<String>),
}

impl Shape {
    /// The columns whose values the statement takes, in the order of its parameters.
    fn columns<'a>(&'a self, table: &'a Table) -> Vec<&'a str> {
        match self {
            Self::Put(columns) | Self::Patch(columns) => columns.iter().map(String::as_str).collect(),
            Self::Delete => table.keys.iter().map(String::as_str).filter(|k| table.columns.contains_key(*k)).collect(),
        }
    }
}

/// Rows by the statement that writes them. A key stands in one group only, so the groups may go in any order.
fn shapes(rows: &IndexMap<Vec<String>, End>) -> IndexMap<Shape, Vec<&Map<String, Value>>> {
    let mut groups: IndexMap<Shape, Vec<&Map<String, Value>>> = IndexMap::new();
    let mut last: Option<(&End, usize)> = None;
    for end in rows.values() {
        // Neighbours mostly look alike: their column list is made once.
        let place = match last {
            Some((before, place)) if is_alike(before, end) => place,
            _ => {
                let entry = groups.entry(shape_of(end));
                let place = entry.index();
                entry.or_default();
                place
            }
        };
        let (End::Put(row) | End::Patch(row) | End::Delete(row)) = end;
        groups[place].push(row);
        last = Some((end, place));
    }
    groups
}

fn is_alike(a: &End, b: &End) -> bool {
    match (a, b) {
        (End::Put(a), End::Put(b)) | (End::Patch(a), End::Patch(b)) => a.len() == b.len() && a.keys().eq(b.keys()),
        (End::Delete(_), End::Delete(_)) => true,
        _ => false,
    }
}

fn shape_of(end: &End) -> Shape {
    let columns = |row: &Map<String, Value>| {
        let mut columns: Vec<String> = row.keys().cloned().collect();
        columns.sort();
        columns
    };
    match end {
        End::Put(row) => Shape::Put(columns(row)),
        End::Patch(row) => Shape::Patch(columns(row)),
        End::Delete(_) => Shape::Delete,
    }
}

/// The rows as a set: organisation, box, now are the first three parameters, each further one is a column's values.
fn source(table: &Table, columns: &[&str]) -> String {
    let unknown = "text".to_owned();
    let arrays = (4..4 + columns.len()).map(|n| format!("${n}::text[]")).collect::<Vec<_>>().join(", ");
    let names = columns.iter().map(|c| quote(c)).collect::<Vec<_>>().join(", ");
    let read = columns
        .iter()
        .map(|c| format!("u.{0}::{1} AS {0}", quote(c), table.columns.get(*c).unwrap_or(&unknown)))
        .collect::<Vec<_>>()
        .join(", ");
    format!("(SELECT {read} FROM unnest({arrays}) AS u ({names})) AS r")
}

fn bare_insert(table: &Table, columns: &[&str]) -> String {
    let list = columns.iter().map(|c| quote(c)).collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO {} (organization_id, box_id, received_at, {list}) SELECT $1, $2, $3, {list} FROM {}",
        quote(&table.name),
        source(table, columns)
    )
}

fn statement(table: &Table, shape: &Shape, columns: &[&str]) -> String {
    let name = quote(&table.name);
    let source = source(table, columns);
    let keys: Vec<String> = table.keys.iter().map(|k| quote(k)).collect();
    let same_key = keys.iter().map(|k| format!("t.{k} = r.{k}")).collect::<Vec<_>>().join(" AND ");
    let mine = "t.organization_id = $1 AND t.box_id = $2";
    let changed: Vec<String> = columns.iter().map(|c| quote(c)).filter(|c| !keys.contains(c)).collect();
    match shape {
        Shape::Put(_) => {
            let mut set = "received_at = excluded.received_at".to_owned();
            for column in changed {
                let _ = write!(set, ", {column} = excluded.{column}");
            }
            format!("{} ON CONFLICT (box_id, {}) DO UPDATE SET {set}", bare_insert(table, columns), keys.join(", "))
        }
        Shape::Patch(_) => {
            let mut set = "received_at = $3".to_owned();
            for column in changed {
                let _ = write!(set, ", {column} = r.{column}");
            }
            format!("UPDATE {name} AS t SET {set} FROM {source} WHERE {mine} AND {same_key}")
        }
        // The time is named so that every shape takes the same parameters.
        Shape::Delete => {
            format!("DELETE FROM {name} AS t USING {source} WHERE {mine} AND $3::bigint IS NOT NULL AND {same_key}")
        }
    }
}

fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted() {
        let table = Table {
            name: "x\"; DROP".into(),
            is_up: true,
            keys: vec!["interval".into()],
            columns: [("interval".to_owned(), "bigint".to_owned())].into(),
        };
        let shape = Shape::Put(vec!["interval".into()]);
        let sql = statement(&table, &shape, &shape.columns(&table));
        assert!(sql.starts_with("INSERT INTO \"x\"\"; DROP\" (organization_id, box_id, received_at, \"interval\")"));
        assert!(
            sql.contains("SELECT u.\"interval\"::bigint AS \"interval\" FROM unnest($4::text[]) AS u (\"interval\")")
        );
        assert!(sql.contains("ON CONFLICT (box_id, \"interval\") DO UPDATE SET received_at = excluded.received_at"));
    }
}
