//! What can go wrong at the only door to disk.

use sent_core::{Problem, error::Kind};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The disk is full: nothing was written, what was acknowledged is safe.
    #[error("the disk is full; nothing was written")]
    Full,
    /// The disk could not be read or written: nothing was written, what was acknowledged is safe.
    #[error("the disk cannot be read or written ({0}); nothing was written")]
    Disk(String),
    /// SQLite rolled an open write back by itself: the disk was full or failed, or memory ended.
    #[error("the disk or the memory of this box gave out during a write, and nothing of it was kept")]
    Undone,
    /// An invariant of a table said no.
    #[error("{0}")]
    Refused(String),
    /// A row that is there already.
    #[error("{0}")]
    Duplicate(String),
    /// A migration that ran here was changed afterwards, or a newer program used this folder.
    #[error("migration {0} does not fit this program: use the program version that wrote this folder, or a newer one")]
    Migration(String),
    /// The folder holds no box yet.
    #[error("this folder holds no box yet: run `sent --data DIR init` or `sent --data DIR enrol`")]
    NotInitialised,
    /// The folder holds a box already.
    #[error("this folder holds a box already")]
    Initialised,
    /// Something on disk is not what it should be.
    #[error("{0}")]
    Corrupt(String),
    /// Reading or writing a file failed.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A fault in the program broke a write off; it was undone.
    #[error("a fault in the program broke this off, and nothing unfinished of it was kept; see the log")]
    Broken,
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// An IO error with its path; a full disk is named as such.
    pub fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { path: path.display().to_string(), source },
        }
    }

    /// Sorts a SQLite error into the cases a caller can act on.
    pub fn sorted(error: Self) -> Self {
        let Self::Sqlite(rusqlite::Error::SqliteFailure(code, message)) = &error else { return error };
        let text = || message.clone().unwrap_or_else(|| code.to_string());
        match code.extended_code {
            rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
                Self::Duplicate(text())
            }
            _ => match code.code {
                rusqlite::ErrorCode::DiskFull => Self::Full,
                rusqlite::ErrorCode::ConstraintViolation => Self::Refused(text()),
                rusqlite::ErrorCode::SystemIoFailure => Self::Disk(text()),
                _ => error,
            },
        }
    }
}

impl StoreError {
    /// Whether it lies in what was to be written, so that trying again would end the same way: an invariant said no, or a
    /// value is not what a column takes. Everything else (a lock, the disk, memory) may pass.
    pub(crate) fn is_of_the_data(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Duplicate(_) | Self::Corrupt(_) => true,
            Self::Sqlite(rusqlite::Error::SqliteFailure(code, _)) => matches!(
                code.extended_code & 0xff,
                rusqlite::ffi::SQLITE_ERROR
                    | rusqlite::ffi::SQLITE_CONSTRAINT
                    | rusqlite::ffi::SQLITE_MISMATCH
                    | rusqlite::ffi::SQLITE_TOOBIG
                    | rusqlite::ffi::SQLITE_RANGE
            ),
            // What the statement or a value is to Rust; SQLite had no say in it.
            Self::Sqlite(_) => true,
            _ => false,
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match StoreError::sorted(error) {
            StoreError::Full => {
                Self::new(Kind::Unavailable, "the disk is full: free some space; nothing was lost").with_retry_after(30)
            }
            error @ (StoreError::Disk(_) | StoreError::Undone) => {
                tracing::error!(%error, "a write failed");
                Self::new(Kind::Unavailable, "the disk of this box is full or fails; nothing was lost")
                    .with_retry_after(30)
            }
            StoreError::Refused(message) => Self::conflict(message),
            StoreError::Duplicate(message) => Self::conflict("this is there already").with_detail(message),
            StoreError::Sqlite(rusqlite::Error::QueryReturnedNoRows) => {
                Self::new(Kind::NotFound, "there is no such row")
            }
            StoreError::Closed => Self::new(Kind::Unavailable, "the box is stopping").with_retry_after(5),
            other => Self::internal(other),
        }
    }
}
