//! What can go wrong with the books, and what a caller is told of it.

use sent_contract::FieldError;
use sent_core::{Problem, error::Kind, money::Overflow};
use sent_store::StoreError;

use crate::import::sheet::ReadError;

/// An error of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Some fields are wrong; the first one is the message.
    #[error("{}", first(.0))]
    Invalid(Vec<FieldError>),
    /// It does not fit what is there.
    #[error("{0}")]
    Conflict(String),
    /// There is no such thing.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// A total is too large to be written as an amount.
    #[error(
        "a total has more than 28 digits: export the lines and add them up elsewhere, or correct the entry that is too large"
    )]
    Overflow(#[from] Overflow),
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An import stopped between two of its parts.
    #[error(
        "{posted} of {total} transactions are posted, then it stopped: {source}; import the same file again to complete it"
    )]
    Interrupted {
        /// Transactions that are posted.
        posted: u64,
        /// Transactions that were to be posted.
        total: u64,
        /// Why it stopped.
        source: Box<LedgerError>,
    },
    /// A row of the ledger is not what it should be.
    #[error("the ledger holds something unreadable: {0}")]
    Corrupt(String),
    /// Writing the answer failed.
    #[error("the answer cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

fn first(fields: &[FieldError]) -> String {
    fields
        .first()
        .map_or_else(|| "the request does not make sense".to_owned(), |f| format!("{}: {}", f.field, f.message))
}

impl LedgerError {
    /// One field is wrong.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { field: field.into(), message: message.into() }])
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(StoreError::sorted(error.into()))
    }
}

impl From<rusqlite::types::FromSqlError> for LedgerError {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        let message = error.to_string();
        match error {
            LedgerError::Store(error) => error.into(),
            LedgerError::Invalid(fields) => {
                let mut problem = Self::invalid(message);
                problem.fields = fields;
                problem
            }
            LedgerError::Conflict(message) => Self::conflict(message),
            LedgerError::Missing(what) => Self::not_found(what),
            LedgerError::Overflow(_) => Self::conflict(message),
            LedgerError::Read(ReadError::TooLong(_)) => Self::new(Kind::TooLarge, message),
            LedgerError::Read(ReadError::Io(_)) => Self::invalid(message),
            LedgerError::Interrupted { source, .. } => Self { message, ..Self::from(*source) },
            LedgerError::Corrupt(_) | LedgerError::Output(_) => Self::internal(message),
        }
    }
}
