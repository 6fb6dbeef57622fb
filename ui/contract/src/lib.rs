//! What pages and servers say to each other: plain request and response types, compiled for wasm and for both servers.
//!
//! No IO and no clock. Times are microseconds since the Unix epoch, UTC (`i64`); money is a decimal string
//! (`rust_decimal::Decimal`, serialised by `serde-str`); ids are UUIDs. A field that is added later must be optional,
//! because a page may be older than its server.

pub mod audit;
pub mod capital;
pub mod fleet;
pub mod guard;
pub mod home;
pub mod identity;
pub mod packs;
pub mod pulse;
pub mod radar;
pub mod reference;
pub mod rights;
pub mod security;
pub mod shield;
pub mod sync;

pub use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
pub use uuid::Uuid;

/// Microseconds since the Unix epoch, UTC.
pub type Micros = i64;

/// Every error answer of every route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// Stable, machine-readable: `not_found`, `forbidden`, `invalid`, `conflict`, `too_many`, `unavailable`, `internal`, …
    pub code: String,
    /// What the reader can do, lower case, one sentence.
    pub message: String,
    /// Errors beside the field they belong to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldError>,
    /// Names the request in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Uuid>,
}

/// One field's error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// JSON path of the field (`lines.2.amount`).
    pub field: String,
    /// What is wrong with it, in words.
    pub message: String,
}

/// One page of a list. `next` is the cursor to hand back as `?after=`; `None` at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Cursor of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many rows match in all, when that is cheap to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// The one status of anything that has health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All is well.
    Ok,
    /// Works, but somebody should look.
    Warn,
    /// Does not work.
    Bad,
    /// Nothing is known.
    Unknown,
}

/// Health with its cause and since when. There is never a second light beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// How bad it is.
    pub level: Level,
    /// Why, in words: "offline: last seen on LTE, then no doorbell and no poll".
    pub cause: String,
    /// Since when it has been so.
    pub since: Micros,
}
