//! What the box and the cloud say to each other, and the decisions either end takes about it.
//!
//! No IO and no clock: every function is handed bytes, times and randomness, and answers with values. That is what lets
//! the whole exchange be tested against a simulated network, a crashing box and a crashing cloud in microseconds
//! (`tests/model.rs`).
//!
//! Rule 0: only an HTTP 200 with a [`Cursor`], given after the cloud's commit, is an acknowledgement. Nothing a broker
//! or a socket says ever is.

pub mod body;
pub mod chain;
pub mod change;
pub mod claim;
pub mod commands;
pub mod cursor;
pub mod hash;
pub mod limits;
pub mod series;
pub mod sync;
pub mod telemetry;
pub mod topic;
pub mod wire;

pub use chain::{Head, Transaction};
pub use change::{Change, Op};
pub use hash::Hash;
pub use uuid::Uuid;
pub use wire::*;

/// Microseconds since the Unix epoch, UTC.
pub type Micros = i64;
