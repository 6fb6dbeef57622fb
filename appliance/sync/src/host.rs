//! What the agent asks of the program around it.
use sent_contract::{Level, Status};
use sent_core::engine::BoxFuture;
use serde_json::Value;

/// The program, as the cloud sees it.
pub trait Host: Send + Sync + 'static {
    /// The reported document: versions, engines, addresses.
    fn document(&self) -> Value;

    /// Makes the box as the desired document says. Called again with the same document until it succeeds.
    fn apply(&self, desired: Value) -> BoxFuture<Result<(), String>>;

    /// How the box is, exchange aside.
    fn health(&self) -> Status;

    /// Open alerts.
    fn alerts(&self) -> u32;

    /// Version of the program.
    fn version(&self) -> String;
}

/// A host that has nothing to say: for simulated boxes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Host for Quiet {
    fn document(&self) -> Value {
        Value::Object(serde_json::Map::new())
    }

    fn apply(&self, _: Value) -> BoxFuture<Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn health(&self) -> Status {
        Status { level: Level::Ok, cause: "all is well".into(), since: 0 }
    }

    fn alerts(&self) -> u32 {
        0
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").into()
    }
}
