//! Folded rows into tables, by nothing but the tables' declarations.
//!
//! Rows that set the same columns go in one statement: `jsonb_populate_recordset` turns their JSON into the table's own
//! types, so there is one round trip a table and no code for any table. Identifiers come from the registry and the
//! catalog only, and are quoted.

use std::{collections::BTreeMap, fmt::Write as _};

use indexmap::IndexMap;
use sent_core::Timestamp;
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::fold::{End, Fold, Table, Tables};
use crate::{db::Tx, error::Result};

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
        "SELECT t.name, t.class, t.key_columns, array_agg(a.attname::text) AS \"columns!\"
         FROM projected_tables t JOIN pg_attribute a ON a.attrelid = t.name::regclass
         WHERE a.attnum > 0 AND NOT a.attisdropped
         GROUP BY t.name, t.class, t.key_columns"
    )
    .fetch_all(&mut *tx)
    .await?;
    let ours = ["organization_id", "box_id", "received_at"];
    Ok(rows
        .into_iter()
        .map(|row| {
            let columns = row.columns.into_iter().filter(|c| !ours.contains(&c.as_str())).collect();
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
            let sql = statement(table, shape);
            sqlx::query(AssertSqlSafe(sql))
                .bind(json_array(group)?)
                .bind(origin.organization)
                .bind(origin.box_id)
                .bind(origin.at.0)
                .execute(&mut *tx)
                .await?;
        }
    }
    Ok(())
}

/// What a row's statement depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Delete,
    Put(Vec<String>),
    Patch(Vec<String>),
}

/// Rows by the statement that writes them. A key stands in one group only, so the groups may go in any order.
fn shapes(rows: &IndexMap<Vec<String>, End>) -> BTreeMap<Shape, Vec<&Map<String, Value>>> {
    let mut groups: BTreeMap<Shape, Vec<&Map<String, Value>>> = BTreeMap::new();
    let mut last: Option<(&End, Shape)> = None;
    for end in rows.values() {
        // Neighbours mostly look alike: their column list is made once.
        let shape = match &last {
            Some((before, shape)) if is_alike(before, end) => shape.clone(),
            _ => shape_of(end),
        };
        let (End::Put(row) | End::Patch(row) | End::Delete(row)) = end;
        groups.entry(shape.clone()).or_default().push(row);
        last = Some((end, shape));
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

/// Parameters: the rows as a JSON array, organisation, box, now.
fn statement(table: &Table, shape: &Shape) -> String {
    let name = quote(&table.name);
    let keys: Vec<String> = table.keys.iter().map(|k| quote(k)).collect();
    let same_key = keys.iter().map(|k| format!("t.{k} = r.{k}")).collect::<Vec<_>>().join(" AND ");
    let source = format!("jsonb_populate_recordset(NULL::{name}, $1::jsonb) AS r");
    let mine = "t.organization_id = $2 AND t.box_id = $3";
    match shape {
        Shape::Put(columns) => {
            let columns: Vec<String> = columns.iter().map(|c| quote(c)).collect();
            let list = columns.join(", ");
            let read = columns.iter().map(|c| format!("r.{c}")).collect::<Vec<_>>().join(", ");
            let mut set = "received_at = excluded.received_at".to_owned();
            for column in columns.iter().filter(|c| !keys.contains(c)) {
                let _ = write!(set, ", {column} = excluded.{column}");
            }
            format!(
                "INSERT INTO {name} (organization_id, box_id, received_at, {list}) SELECT $2, $3, $4, {read} FROM {source} \
                 ON CONFLICT (box_id, {}) DO UPDATE SET {set}",
                keys.join(", ")
            )
        }
        Shape::Patch(columns) => {
            let mut set = "received_at = $4".to_owned();
            for column in columns.iter().map(|c| quote(c)).filter(|c| !keys.contains(c)) {
                let _ = write!(set, ", {column} = r.{column}");
            }
            format!("UPDATE {name} AS t SET {set} FROM {source} WHERE {mine} AND {same_key}")
        }
        // The time is named so that every shape takes the same parameters.
        Shape::Delete => {
            format!("DELETE FROM {name} AS t USING {source} WHERE {mine} AND $4::bigint IS NOT NULL AND {same_key}")
        }
    }
}

fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn json_array(rows: &[&Map<String, Value>]) -> Result<String> {
    Ok(serde_json::to_string(rows)?)
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
            columns: ["interval".to_owned()].into(),
        };
        let sql = statement(&table, &Shape::Put(vec!["interval".into()]));
        assert!(sql.starts_with("INSERT INTO \"x\"\"; DROP\" (organization_id, box_id, received_at, \"interval\")"));
        assert!(sql.contains("ON CONFLICT (box_id, \"interval\") DO UPDATE SET received_at = excluded.received_at"));
    }
}
