//! The cloud against a real PostgreSQL, over its real sockets.

mod console;
mod control;
mod ingest;
mod projection;
mod reference;
mod schema;
mod support;
mod telemetry;
