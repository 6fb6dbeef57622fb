//! The nouns and rules of measuring: pure, no IO, no clock.
//!
//! Everything here is handed bytes, values and times (microseconds) and answers with values, so that property tests can
//! drive years of it in milliseconds.

pub mod alert;
pub mod counter;
pub mod exposition;
pub mod kind;
pub mod payload;
pub mod rule;
pub mod sample;
pub mod schedule;
pub mod target;

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
