//! Many transactions folded to what is left of them: for each row its end, so that a row that changed a hundred times is
//! written once.
//!
//! Folding is exact: applying the folded ends gives the same rows as applying the changes one by one. Edits of tables the
//! cloud owns are not folded, because each is judged by its base version; they are kept in order beside the ends.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use sent_protocol::{Change, Op};
use serde::Serialize;
use serde_json::{Map, Value};

/// A row's key as text, columns in declared order.
type Key = Vec<String>;

/// A table as the projector knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Name.
    pub name: String,
    /// Rows belong to the box; otherwise to the cloud.
    pub is_up: bool,
    /// Declared key.
    pub keys: Vec<String>,
    /// Columns a box may fill, each with its SQL type.
    pub columns: BTreeMap<String, String>,
}

/// Every table the projector knows, by name.
pub type Tables = BTreeMap<String, Table>;

/// What is left of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The whole row.
    Put(Map<String, Value>),
    /// Some columns of a row that was there before.
    Patch(Map<String, Value>),
    /// Gone.
    Delete(Map<String, Value>),
}

/// Changes that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A name no table can have.
    #[error("{0:?} is no name of a table")]
    NoTable(String),
    /// A key column is missing.
    #[error("a change of {table} does not name its key column {column}")]
    NoKey {
        /// Table.
        table: String,
        /// Missing column.
        column: String,
    },
}

/// The ends of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fold {
    /// By table, rows in the order they were first touched.
    pub rows: BTreeMap<String, IndexMap<Key, End>>,
    /// Edits of cloud-owned rows: place of their transaction in the batch, and the edits.
    pub proposals: Vec<(usize, Vec<Edit>)>,
    /// Tables of a newer box, each with the place of the first transaction that names it. Their changes are left out: they
    /// stay in the inbox until the cloud knows the table.
    pub unknown: BTreeMap<String, usize>,
}

/// An edit of a row the cloud owns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edit {
    /// Its place among all changes of its transaction, from 1: the same whichever of them are folded.
    #[serde(rename = "i")]
    pub ordinal: usize,
    /// The edit.
    #[serde(flatten)]
    pub change: Change,
}

/// Bytes of the longest name PostgreSQL gives a table (NAMEDATALEN - 1).
const LONGEST_NAME: usize = 63;

impl Fold {
    /// Adds the changes of one transaction, the `place`th of the batch.
    pub fn add(&mut self, tables: &Tables, place: usize, changes: Vec<Change>) -> Result<(), Misfit> {
        let mut edits = Vec::new();
        for (ordinal, change) in (1..).zip(changes) {
            let Some(table) = tables.get(&change.table) else {
                self.leave_out(place, change.table)?;
                continue;
            };
            let key = key_of(table, &change)?;
            if table.is_up {
                let rows = self.rows.entry(change.table.clone()).or_default();
                let end = end(table, rows.get_mut(&key), change);
                rows.insert(key, end);
            } else {
                edits.push(Edit { ordinal, change });
            }
        }
        if !edits.is_empty() {
            self.proposals.push((place, edits));
        }
        Ok(())
    }

    fn leave_out(&mut self, place: usize, table: String) -> Result<(), Misfit> {
        if table.is_empty() || table.len() > LONGEST_NAME || table.contains('\0') {
            return Err(Misfit::NoTable(table));
        }
        self.unknown.entry(table).or_insert(place);
        Ok(())
    }

    /// The keys that were touched, by table.
    pub fn keys(&self) -> BTreeMap<String, BTreeSet<Key>> {
        self.rows.iter().map(|(table, rows)| (table.clone(), rows.keys().cloned().collect())).collect()
    }
}

/// The key of a change. The organisation may stand in for a column of that name: it is the caller's in any case.
pub fn key_of(table: &Table, change: &Change) -> Result<Key, Misfit> {
    table
        .keys
        .iter()
        .filter(|column| *column != "organization_id")
        .map(|column| {
            change
                .key
                .get(column)
                .map(Value::to_string)
                .ok_or_else(|| Misfit::NoKey { table: table.name.clone(), column: column.clone() })
        })
        .collect()
}

fn end(table: &Table, before: Option<&mut End>, change: Change) -> End {
    let Change { op, mut key, new: mut row, .. } = change;
    row.retain(|column, _| table.columns.contains_key(column));
    key.retain(|column, _| table.keys.contains(column));
    match (op, before) {
        (Op::Delete, _) => End::Delete(key),
        (Op::Insert, _) => {
            row.extend(key);
            End::Put(row)
        }
        (Op::Update, Some(End::Put(whole))) => {
            whole.extend(row);
            whole.extend(key);
            End::Put(std::mem::take(whole))
        }
        (Op::Update, Some(End::Patch(part))) => {
            part.extend(row);
            part.extend(key);
            End::Patch(std::mem::take(part))
        }
        // A row that is gone stays gone: an update of it changes nothing on the box either.
        (Op::Update, Some(End::Delete(gone))) => End::Delete(std::mem::take(gone)),
        (Op::Update, None) => {
            row.extend(key);
            End::Patch(row)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn tables() -> Tables {
        let columns = ["id", "a", "b"].map(|name| (name.to_owned(), "bigint".to_owned())).into();
        let table = Table { name: "x".into(), is_up: true, keys: vec!["id".into()], columns };
        [("x".to_owned(), table)].into()
    }

    fn change(op: Op, id: u8, columns: &[(&str, i64)]) -> Change {
        Change {
            table: "x".into(),
            op,
            key: [("id".to_owned(), json!(id))].into_iter().collect(),
            new: columns.iter().map(|(c, v)| ((*c).to_owned(), json!(v))).collect(),
            old: Map::new(),
            base_version: None,
        }
    }

    type Rows = BTreeMap<String, Map<String, Value>>;

    /// A table as SQL would change it.
    fn write(rows: &mut Rows, id: &Value, end: &End) {
        match end {
            End::Put(row) => {
                rows.insert(id.to_string(), row.clone());
            }
            End::Patch(part) => {
                if let Some(row) = rows.get_mut(&id.to_string()) {
                    row.extend(part.clone());
                }
            }
            End::Delete(_) => {
                rows.remove(&id.to_string());
            }
        }
    }

    #[test]
    fn columns_the_cloud_does_not_know_are_left_out() {
        let mut fold = Fold::default();
        fold.add(&tables(), 0, vec![change(Op::Insert, 1, &[("a", 1), ("new_column", 2)])]).unwrap();
        assert_eq!(
            fold.rows["x"][&vec!["1".to_owned()]],
            End::Put(json!({"id": 1, "a": 1}).as_object().unwrap().clone())
        );
    }

    #[test]
    fn strangers_are_named() {
        let mut stray = change(Op::Insert, 1, &[]);
        stray.table = "y".into();
        let mut fold = Fold::default();
        fold.add(&tables(), 3, vec![change(Op::Insert, 1, &[("a", 1)]), stray.clone()]).unwrap();
        fold.add(&tables(), 4, vec![stray.clone()]).unwrap();
        assert_eq!((fold.rows["x"].len(), fold.rows.len()), (1, 1), "what is known is taken");
        assert_eq!(fold.unknown, [("y".to_owned(), 3)].into());
        stray.table = "y".repeat(64);
        assert!(matches!(Fold::default().add(&tables(), 0, vec![stray]), Err(Misfit::NoTable(_))));
        let mut keyless = change(Op::Insert, 1, &[]);
        keyless.key.clear();
        assert!(matches!(Fold::default().add(&tables(), 0, vec![keyless]), Err(Misfit::NoKey { .. })));
    }

    proptest! {
        #[test]
        fn folding_is_the_same_as_one_by_one(
            steps in proptest::collection::vec((0u8..3, 0u8..4, 0i64..9, any::<bool>()), 0..60),
            cut in any::<prop::sample::Index>(),
        ) {
            // What a box can do: insert what is not there, update and delete what is.
            let mut live = BTreeSet::new();
            let mut changes = Vec::new();
            for (op, id, value, second) in steps {
                let columns: &[(&str, i64)] = if second { &[("b", value)] } else { &[("a", value)] };
                changes.push(match (op, live.contains(&id)) {
                    (_, false) => { live.insert(id); change(Op::Insert, id, &[("a", value), ("b", 0)]) }
                    (0, true) => { live.remove(&id); change(Op::Delete, id, &[]) }
                    (_, true) => change(Op::Update, id, columns),
                });
            }
            let mut expected = Rows::new();
            for c in &changes {
                let id = c.key["id"].clone();
                write(&mut expected, &id, &end(&tables()["x"], None, c.clone()));
            }
            // In two batches, as a projector that stopped in between would do it.
            let cut = if changes.is_empty() { 0 } else { cut.index(changes.len()) };
            let mut found = Rows::new();
            for batch in [&changes[..cut], &changes[cut..]] {
                let mut fold = Fold::default();
                fold.add(&tables(), 0, batch.to_vec()).unwrap();
                for rows in fold.rows.values() {
                    for (key, end) in rows {
                        let id: Value = serde_json::from_str(&key[0]).unwrap();
                        write(&mut found, &id, end);
                    }
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
