//! The only door to disk.
//!
//! Business rows live in one SQLite file that all processes of a box share (WAL). There is one way to write:
//! [`Store::write`]. In one transaction it changes rows, appends an audit entry chained by hash, and appends an outbox entry
//! when something travels; what it returned is on disk (`synchronous = FULL`). Chains and sequences are read and moved
//! inside the transaction, so SQLite's own write lock orders writers of several processes. See docs/design/0002.
//!
//! Series live in DuckDB behind an on-disk [`spool`]; files live in [`objects`].

mod audit;
mod backup;
mod capture;
mod connection;
mod context;
mod enciphered;
mod epoch;
mod error;
pub mod file;
pub mod identity;
mod keys;
mod neighbours;
pub mod objects;
mod outbox;
mod quarantine;
mod reference;
mod refused;
pub mod series;
pub mod spool;
mod tenancy;
pub mod test;
mod way;
mod writer;

pub use audit::{Fault, Filter as AuditFilter};
pub use backup::{BackupReport, TakenBack, backup, restore};
pub use capture::Touched;
pub use connection::{BoxRow, Config, IDENTITY, NewBox};
pub use context::Context;
pub use enciphered::Rekeyed;
pub use error::StoreError;
pub use neighbours::Watching;
pub use outbox::{Link, Waiting};
pub use reference::Applied;
pub use tenancy::Columns;
pub use writer::{Committed, Store, Tx};
