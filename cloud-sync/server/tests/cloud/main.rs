//! The cloud against a real PostgreSQL, over its real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod console;
mod control;
mod crowd;
mod enrol;
mod identity;
mod ingest;
mod projection;
mod reference;
mod schema;
mod support;
mod telemetry;
