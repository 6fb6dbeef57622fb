//! Checks with their secrets: opened for whoever runs them, sealed before they are written.
//!
//! A secret exists in clear only between here and a run. It is encrypted for the row it belongs to, so that a sealed text
//! that is moved to another row opens nothing.

use sent_contract::{
    FieldError, Uuid,
    pulse::{CheckKind, NewCheck},
};
use sent_core::{Problem, cipher::Field, id};
use sent_store::{Store, StoreError, Tx};

use crate::{
    check::Runnable,
    model::kind::{self, Secrets},
    store::{self, Stored},
};

/// Opens and seals the checks of a box.
#[derive(Clone)]
pub struct Book {
    store: Store,
    organization: Uuid,
}

/// A check that is ready to be written.
#[derive(Debug)]
pub struct Prepared {
    id: Uuid,
    new: NewCheck,
    masked: CheckKind,
    sealed: Option<String>,
    exists: bool,
}

impl Book {
    /// The checks of an organisation.
    pub fn new(store: Store, organization: Uuid) -> Self {
        Self { store, organization }
    }

    /// A check with its secrets in place. Secrets that cannot be opened are missing, and the check's run says so.
    pub fn runnable(&self, check: Stored) -> Runnable {
        let secrets = self.open(&check).unwrap_or_else(|e| {
            tracing::error!(check = check.name, error = %e, "the secrets of a check cannot be opened");
            Secrets::new()
        });
        Runnable {
            id: check.id,
            name: check.name,
            kind: kind::join(check.kind, &secrets),
            interval: check.interval,
            timeout: check.timeout,
            paused: check.paused,
        }
    }

    /// Validates a new check, or one that replaces `old`, and seals its secrets. Secrets that were sent back masked stay
    /// what they were.
    pub fn prepare(&self, old: Option<&Stored>, new: NewCheck) -> Result<Prepared, Problem> {
        let kept = match old {
            Some(old) if kind::name(&old.kind) == kind::name(&new.kind) => self.open(old).map_err(Problem::internal)?,
            _ => Secrets::new(),
        };
        let (masked, secrets) = kind::split(new.kind.clone(), &kept);
        refuse(kind::validate(&new, &secrets))?;
        let id = old.map_or_else(|| id::new(&**self.store.clock()), |old| old.id);
        let sealed = self.seal(id, &secrets)?;
        Ok(Prepared { id, new, masked, sealed, exists: old.is_some() })
    }

    fn open(&self, check: &Stored) -> Result<Secrets, String> {
        let Some(sealed) = &check.secret else { return Ok(Secrets::new()) };
        let row = check.id.to_string();
        let plain = self.store.decipher(self.organization, &field(&row), sealed).map_err(|e| e.to_string())?;
        serde_json::from_slice(&plain).map_err(|e| e.to_string())
    }

    fn seal(&self, id: Uuid, secrets: &Secrets) -> Result<Option<String>, Problem> {
        if secrets.is_empty() {
            return Ok(None);
        }
        let row = id.to_string();
        let plain = serde_json::to_vec(secrets).map_err(Problem::internal)?;
        Ok(Some(self.store.encipher(self.organization, &field(&row), &plain)?))
    }
}

fn field(row: &str) -> Field<'_> {
    Field { table: "checks", row, column: "secret" }
}

impl Prepared {
    /// What the audit calls the write.
    pub fn action(&self) -> &'static str {
        if self.exists { "pulse.check.change" } else { "pulse.check.create" }
    }

    /// Writes it and answers the row.
    pub fn put(&self, tx: &Tx<'_>) -> Result<Option<Stored>, StoreError> {
        store::put_check(tx, self.id, &self.new, &self.masked, self.sealed.as_deref(), self.exists)?;
        store::check(tx, self.id)
    }
}

/// The answer to a write that should have left a row.
pub fn written(row: Result<Option<Stored>, StoreError>) -> Result<Stored, Problem> {
    match row.map_err(StoreError::sorted) {
        Ok(row) => row.ok_or_else(|| Problem::not_found("check")),
        Err(StoreError::Duplicate(_)) => Err(Problem::conflict("a check of this name is there already")),
        Err(e) => Err(e.into()),
    }
}

/// Errors of fields as a problem.
pub fn refuse(errors: Vec<FieldError>) -> Result<(), Problem> {
    let Some(first) = errors.first() else { return Ok(()) };
    let mut problem = Problem::invalid(first.message.clone());
    problem.fields = errors;
    Err(problem)
}
