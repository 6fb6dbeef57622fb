//! A row of the cloud meets a row of the branch that has taken its name.
//!
//! While they were apart a branch may have given a row a name that may exist once (an account's, a role's, a login's), and
//! the cloud gave the same to another row. The cloud owns the table, so its row takes the name; the branch's keeps what it
//! has with a mark behind it until somebody decides on its proposal. Otherwise one such row would hold up every checkpoint.

use rusqlite::{Connection, params_from_iter, types::Value as Sql};
use serde_json::{Map, Value};

use crate::{
    StoreError,
    reference::sql,
    tenancy::{Columns, quoted},
};

/// Marks the rows of this organisation that stand in the way of a row with this key and these values.
pub(crate) fn make(
    tx: &Connection,
    columns: &Columns,
    organization: &str,
    key: &Map<String, Value>,
    values: &Map<String, Value>,
) -> Result<(), StoreError> {
    let Some(first_key) = columns.table.key.first() else { return Ok(()) };
    for names in unique(tx, columns)? {
        let Some(marked) = names.last() else { continue };
        let mut text = format!(
            "UPDATE {}_rows SET {2} = {2} || ' (' || substr({1}, 1, 8) || ')' WHERE organization_id = ?1",
            columns.table.name,
            quoted(first_key),
            quoted(marked),
        );
        let mut bound = vec![Sql::Text(organization.to_owned())];
        let mut bind = |value: &Value| {
            bound.push(sql(value));
            bound.len()
        };
        for name in &names {
            let place = bind(values.get(name).unwrap_or(&Value::Null));
            text.push_str(&format!(" AND {} = ?{place}", quoted(name)));
        }
        let other: Vec<String> = columns
            .table
            .key
            .iter()
            .map(|name| format!("{} <> ?{}", quoted(name), bind(key.get(*name).unwrap_or(&Value::Null))))
            .collect();
        text.push_str(&format!(" AND ({})", other.join(" OR ")));
        tx.prepare_cached(&text)?.execute(params_from_iter(bound.iter()))?;
    }
    Ok(())
}

/// The columns of every unique index besides the primary key, without the organisation.
fn unique(tx: &Connection, columns: &Columns) -> Result<Vec<Vec<String>>, StoreError> {
    let mut indexes = tx.prepare_cached(
        "SELECT name FROM pragma_index_list(?1) WHERE \"unique\" = 1 AND origin <> 'pk' ORDER BY name",
    )?;
    let mut parts = tx.prepare_cached(
        "SELECT name FROM pragma_index_info(?1) WHERE name IS NOT NULL AND name <> 'organization_id' ORDER BY seqno",
    )?;
    let indexes: Vec<String> =
        indexes.query_map([format!("{}_rows", columns.table.name)], |r| r.get(0))?.collect::<Result<_, _>>()?;
    indexes.iter().map(|index| Ok(parts.query_map([index], |r| r.get(0))?.collect::<Result<_, _>>()?)).collect()
}

#[cfg(test)]
mod tests {
    use sent_core::Scope;
    use sent_protocol::{Checkpoint, ReferenceRow};
    use serde_json::json;

    use super::*;
    use crate::Store;

    fn row(scope: &Scope, table: &str, row: Value, version: i64) -> ReferenceRow {
        let row = row.as_object().cloned().unwrap_or_default();
        let key = row.iter().filter(|(name, _)| *name == "id").map(|(n, v)| (n.clone(), v.clone())).collect();
        ReferenceRow { organization_id: scope.organization, table: table.into(), key, version, deleted: false, row }
    }

    async fn down(store: &Store, rows: Vec<ReferenceRow>) {
        let to = rows.iter().map(|r| r.version.unsigned_abs()).max().unwrap_or(0);
        store.apply_reference(Checkpoint { from: 0, to, complete: true, rows, refused: vec![] }).await.unwrap();
    }

    fn names(store: &Store, scope: &Scope, sql: &'static str) -> Vec<(String, String)> {
        store
            .read_blocking(scope, move |db| -> Result<_, StoreError> {
                let mut statement = db.prepare_cached(sql)?;
                let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .unwrap()
    }

    #[tokio::test]
    async fn a_row_of_the_branch_gives_way_and_keeps_what_it_has() {
        let (_folder, store, scope) = crate::test::store(&[]).unwrap();
        store
            .write_blocking(&scope, "made.apart", |tx| -> Result<(), StoreError> {
                tx.execute("INSERT INTO roles (id, name, rights) VALUES ('branch-1', 'clerk', '[]')", [])?;
                tx.execute(
                    "INSERT INTO users (id, email, name, password_hash, role_id) VALUES ('branch-2', 'Ann@x', 'Ann', '', 'branch-1')",
                    [],
                )?;
                Ok(())
            })
            .unwrap();
        let user =
            json!({ "id": "cloud-2", "email": "ann@x", "name": "Anna", "password_hash": "", "role_id": "cloud-1" });
        let rows = vec![
            row(&scope, "roles", json!({ "id": "cloud-1", "name": "clerk", "rights": "[]" }), 1),
            row(&scope, "users", user, 1),
        ];
        down(&store, rows).await;
        let roles = names(&store, &scope, "SELECT id, name FROM roles WHERE name LIKE 'clerk%' ORDER BY id");
        assert_eq!(roles, [("branch-1", "clerk (branch-1)"), ("cloud-1", "clerk")].map(|(a, b)| (a.into(), b.into())));
        let users = names(&store, &scope, "SELECT id, email FROM users WHERE email LIKE 'ann%' ORDER BY id");
        assert_eq!(users, [("branch-2", "Ann@x (branch-2)"), ("cloud-2", "ann@x")].map(|(a, b)| (a.into(), b.into())));
        // Two rows of the cloud change names: neither is left with a mark.
        let swapped = |id: &str, name: &str| row(&scope, "roles", json!({ "id": id, "name": name, "rights": "[]" }), 2);
        down(&store, vec![swapped("branch-1", "clerk"), swapped("cloud-1", "desk")]).await;
        let roles = names(&store, &scope, "SELECT id, name FROM roles WHERE id LIKE '%-1' ORDER BY id");
        assert_eq!(roles, [("branch-1", "clerk"), ("cloud-1", "desk")].map(|(a, b)| (a.into(), b.into())));
    }
}
