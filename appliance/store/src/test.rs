//! A real store in a temporary folder, for the tests of engines.

use std::sync::Arc;

use sent_core::{
    Scope,
    clock::{ManualClock, Timestamp},
    table::Table,
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{Config, IDENTITY, NewBox, Store, StoreError};

/// 23 November 2026, 12:00 UTC: where the test clock begins.
pub const NOON: Timestamp = Timestamp(1_795_435_200_000_000);

/// A store with all migrations, one organisation (base currency EUR) and one branch, and a clock the test moves.
pub fn store_with_clock(tables: &[Table]) -> Result<(TempDir, Store, Scope, Arc<ManualClock>), StoreError> {
    let folder = TempDir::new().map_err(|e| StoreError::io(std::path::Path::new("a temporary folder"), e))?;
    let clock = ManualClock::new(NOON);
    let store = Store::open(Config {
        data: folder.path().to_owned(),
        tables: tables.to_vec(),
        clock: clock.clone(),
        readers: 2,
    })?;
    let (organization, branch) = (Uuid::from_u128(0x0a), Uuid::from_u128(0x0b));
    store.initialise(NewBox {
        box_id: Uuid::from_u128(0xb0),
        name: "test box".into(),
        organization,
        branch: Some(branch),
    })?;
    let mut scope = Scope::system(organization, "test", &*clock);
    scope.branch = Some(branch);
    organization_rows(&store, &scope, "Northwind Ltd", branch)?;
    Ok((folder, store, scope, clock))
}

/// The same without the clock.
pub fn store(tables: &[Table]) -> Result<(TempDir, Store, Scope), StoreError> {
    let (folder, store, scope, _) = store_with_clock(tables)?;
    Ok((folder, store, scope))
}

/// Makes the box one that belongs to a cloud, as far as the store can tell.
pub fn join_cloud(store: &Store) -> Result<(), StoreError> {
    let path = store.data().join(IDENTITY);
    let folder = path.parent().unwrap_or(store.data());
    std::fs::create_dir_all(folder).map_err(|e| StoreError::io(folder, e))?;
    std::fs::File::create(&path).map_err(|e| StoreError::io(&path, e))?;
    Ok(())
}

/// A second organisation on the same box, for tests of tenancy.
pub fn second_organization(store: &Store) -> Result<Scope, StoreError> {
    let mut scope = Scope::system(Uuid::from_u128(0x2a), "test", &**store.clock());
    let branch = Uuid::from_u128(0x2b);
    scope.branch = Some(branch);
    organization_rows(store, &scope, "Other Ltd", branch)?;
    Ok(scope)
}

fn organization_rows(store: &Store, scope: &Scope, name: &'static str, branch: Uuid) -> Result<(), StoreError> {
    store.write_blocking(scope, "organization.create", move |tx| -> Result<(), StoreError> {
        tx.execute("INSERT INTO organizations (name, currency) VALUES (?1, 'EUR')", [name])?;
        tx.execute(
            "INSERT INTO branches (id, name, timezone) VALUES (?1, 'Harbour Street', 'Europe/Berlin')",
            [branch.to_string()],
        )?;
        Ok(())
    })
}
