//! Enciphered columns: the only door to the field cipher.
//!
//! Nothing is encrypted into or decrypted out of a column that its table does not declare as enciphered. So what is
//! encrypted is known without looking, and a new key finds all of it.

use rusqlite::types::Value;
use sent_core::{
    Scope,
    cipher::{Field, KEY, Keyring, Zeroizing},
};
use uuid::Uuid;

use crate::{
    Store, StoreError, Tx,
    tenancy::{Columns, quoted},
};

/// What a new key did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// Version of the key that encrypts now.
    pub version: u32,
    /// Values that were encrypted anew.
    pub renewed: u64,
    /// Values that no key opens: they were left as they are.
    pub unreadable: u64,
}

/// How a place is called: the values of the key columns, joined by `/` where there are several.
fn row_name(key: &[Value]) -> String {
    let parts = key.iter().map(|value| match value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Blob(bytes) => hex::encode(bytes),
        Value::Null => String::new(),
    });
    parts.collect::<Vec<_>>().join("/")
}

impl Store {
    /// Encrypts a value for its place. `row` of the field is the row's key, its columns joined by `/` where it has several.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the column is not declared as enciphered.
    pub fn encipher(&self, organization: Uuid, field: &Field<'_>, plain: &[u8]) -> Result<String, StoreError> {
        self.declared(field)?;
        self.keys().ring(organization)?.encrypt(field, plain).map_err(|e| refused(field, e))
    }

    /// Decrypts what [`Store::encipher`] made for the same place.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the column is not declared as enciphered, or no key of this box opens the value.
    pub fn decipher(
        &self,
        organization: Uuid,
        field: &Field<'_>,
        text: &str,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.declared(field)?;
        self.keys().ring(organization)?.decrypt(field, text).map_err(|e| refused(field, e))
    }

    /// Makes a new key for the scope's organisation and encrypts every enciphered column anew with it. A cut in between
    /// loses nothing: the old keys are kept, and the next rotation renews what this one did not.
    pub fn rotate_key_blocking(&self, scope: &Scope) -> Result<Rekeyed, StoreError> {
        let ring = self.keys().rotate(scope.organization)?;
        self.renew(scope, "keys.rotate", &ring, true)
    }

    /// Takes over the key that the cloud keeps for the scope's organisation, and encrypts what was encrypted before anew.
    pub fn adopt_key_blocking(&self, scope: &Scope, key: [u8; KEY]) -> Result<Rekeyed, StoreError> {
        let ring = self.keys().adopt(scope.organization, key)?;
        self.renew(scope, "keys.adopt", &ring, false)
    }

    fn declared(&self, field: &Field<'_>) -> Result<(), StoreError> {
        let table = self.columns().iter().find(|c| c.table.name == field.table);
        if table.is_some_and(|c| c.table.enciphered.contains(&field.column)) {
            return Ok(());
        }
        let message = format!("{}.{} is not declared as enciphered", field.table, field.column);
        Err(StoreError::Corrupt(message))
    }

    fn renew(&self, scope: &Scope, action: &'static str, ring: &Keyring, event: bool) -> Result<Rekeyed, StoreError> {
        let enciphered: Vec<Columns> = self.columns().iter().filter(|c| !c.enciphered.is_empty()).cloned().collect();
        let ring = ring.clone();
        self.write_blocking(scope, action, move |tx| {
            if event {
                tx.event();
            }
            let mut done = Rekeyed { version: ring.version(), renewed: 0, unreadable: 0 };
            for columns in &enciphered {
                for column in columns.table.enciphered {
                    renew_column(tx, columns, column, &ring, &mut done)?;
                }
            }
            Ok(done)
        })
    }
}

fn refused(field: &Field<'_>, error: sent_core::cipher::CipherError) -> StoreError {
    StoreError::Corrupt(format!("{}.{}: {error}", field.table, field.column))
}

fn renew_column(
    tx: &Tx<'_>,
    columns: &Columns,
    column: &str,
    ring: &Keyring,
    done: &mut Rekeyed,
) -> Result<(), StoreError> {
    let table = columns.table.name;
    let key: Vec<String> = columns.table.key.iter().map(|k| quoted(k)).collect();
    let list: String = key.iter().map(|k| format!("{k}, ")).collect();
    let place = quoted(column);
    let mut select = tx.prepare(&format!("SELECT {list}{place} FROM {table} WHERE {place} IS NOT NULL"))?;
    let rows = select.query_map([], |row| {
        let values = (0..key.len()).map(|i| row.get(i)).collect::<Result<Vec<Value>, _>>()?;
        Ok((values, row.get::<_, String>(key.len())?))
    })?;
    let rows: Vec<(Vec<Value>, String)> = rows.collect::<Result<_, _>>()?;
    let this_row: String = key.iter().enumerate().map(|(i, k)| format!(" AND {k} = ?{}", i + 2)).collect();
    let update = format!("UPDATE {table} SET {place} = ?1 WHERE 1 = 1{this_row}");
    for (values, text) in rows {
        let row = row_name(&values);
        match ring.renew(&Field { table, row: &row, column }, &text) {
            Ok(None) => {}
            Ok(Some(fresh)) => {
                let parameters = std::iter::once(Value::Text(fresh)).chain(values);
                tx.execute(&update, rusqlite::params_from_iter(parameters))?;
                done.renewed += 1;
            }
            Err(error) => {
                tracing::warn!(table, column, row, %error, "an enciphered value cannot be opened");
                done.unreadable += 1;
            }
        }
    }
    Ok(())
}
