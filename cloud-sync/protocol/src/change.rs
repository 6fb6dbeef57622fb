//! One row's change inside a transaction, in the short names the raw JSON uses.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

/// What happened to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// Inserted.
    #[serde(rename = "i")]
    Insert,
    /// Updated.
    #[serde(rename = "u")]
    Update,
    /// Deleted.
    #[serde(rename = "d")]
    Delete,
}

impl Op {
    /// `i`, `u` or `d`.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Insert => "i",
            Op::Update => "u",
            Op::Delete => "d",
        }
    }
}

/// One row's change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Table.
    #[serde(rename = "t")]
    pub table: String,
    /// What happened.
    #[serde(rename = "o")]
    pub op: Op,
    /// Key columns.
    #[serde(rename = "k")]
    pub key: Map<String, Value>,
    /// New values: every column of an insert, the changed ones of an update.
    #[serde(rename = "n", default, skip_serializing_if = "Map::is_empty")]
    pub new: Map<String, Value>,
    /// Old values: the changed ones of an update, every column of a delete.
    #[serde(rename = "p", default, skip_serializing_if = "Map::is_empty")]
    pub old: Map<String, Value>,
    /// Cloud's version of the row a proposal was based on.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub base_version: Option<i64>,
}

/// Changes that are not what the wire says they are.
#[derive(Debug, thiserror::Error)]
pub enum InvalidChanges {
    /// Not JSON, or not an array of changes.
    #[error("changes are malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A change names no table or no key.
    #[error("change {index} {fault}")]
    Change {
        /// Its place in the array.
        index: usize,
        /// What is wrong with it.
        fault: &'static str,
    },
}

/// Reads the changes of a transaction.
pub fn parse(changes: &RawValue) -> Result<Vec<Change>, InvalidChanges> {
    let changes: Vec<Change> = serde_json::from_str(changes.get())?;
    for (index, change) in changes.iter().enumerate() {
        let fault = if !is_name(&change.table) {
            "names a table that cannot exist"
        } else if change.key.is_empty() {
            "has no key"
        } else if !change.key.keys().chain(change.new.keys()).chain(change.old.keys()).all(|c| is_name(c)) {
            "names a column that cannot exist"
        } else if change.op == Op::Delete && !change.new.is_empty() {
            "deletes a row and gives it new values"
        } else if change.op == Op::Insert && !change.old.is_empty() {
            "inserts a row and gives it old values"
        } else {
            continue;
        };
        return Err(InvalidChanges::Change { index, fault });
    }
    Ok(changes)
}

/// Writes changes as a transaction carries them.
pub fn write(changes: &[Change]) -> Result<Box<RawValue>, serde_json::Error> {
    serde_json::value::to_raw_value(changes)
}

/// Names of tables and columns: lower-case letters, digits and underscores, not first a digit, at most 63 bytes (the
/// bound of a PostgreSQL identifier). Whatever passes needs no quoting anywhere.
pub fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.into()).unwrap()
    }

    /// Raw JSON is looked through, not understood: half a surrogate pair is found by who reads the changes.
    #[test]
    fn an_escape_that_is_no_character_is_refused() {
        let changes = raw(r#"[{"t":"entries","op":"i","k":{"id":"1"},"n":{"note":"\ud800"}}]"#);
        assert!(matches!(parse(&changes), Err(InvalidChanges::Malformed(_))), "{:?}", parse(&changes));
    }

    #[test]
    fn reads_every_operation() {
        let changes = parse(&raw(
            r#"[{"t":"users","o":"u","k":{"id":"a"},"n":{"name":"B"},"p":{"name":"A"},"v":3},
                {"t":"entries","o":"i","k":{"id":1},"n":{"x":null}},{"t":"entries","o":"d","k":{"id":1},"p":{"x":2}}]"#,
        ))
        .unwrap();
        assert_eq!(changes.iter().map(|c| c.op).collect::<Vec<_>>(), [Op::Update, Op::Insert, Op::Delete]);
        assert_eq!(changes[0].base_version, Some(3));
        assert_eq!(parse(&write(&changes).unwrap()).unwrap(), changes);
    }

    #[test]
    fn refuses_what_it_cannot_mean() {
        for text in [
            "{}",
            "[1]",
            r#"[{"t":"entries","o":"x","k":{"id":1}}]"#,
            r#"[{"t":"entries","o":"i","k":{}}]"#,
            r#"[{"t":"entries; drop","o":"i","k":{"id":1}}]"#,
            r#"[{"t":"entries","o":"i","k":{"Id":1}}]"#,
            r#"[{"t":"entries","o":"d","k":{"id":1},"n":{"a":1}}]"#,
            r#"[{"t":"entries","o":"i","k":{"id":1},"p":{"a":1}}]"#,
            r#"[{"t":"entries","o":"i","k":{"id":1},"z":1}]"#,
        ] {
            assert!(parse(&raw(text)).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"[\[\]{}:,"tokniupdv0-9a-z]{0,80}"#) {
            if let Ok(text) = RawValue::from_string(text) {
                let _ = parse(&text);
            }
        }
    }
}
