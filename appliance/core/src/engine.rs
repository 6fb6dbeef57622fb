//! The Engine contract: what an engine gives, and what it is handed.
//!
//! An engine knows nothing of processes: the same code runs in the main process or behind a Unix socket as a worker.
//! `sent-core` does not know the store, so the contract is generic over what engines are handed (`C`, in the box
//! `sent_store::Context`).

use std::{future::Future, pin::Pin};

use sent_contract::Status;
use tokio_util::sync::CancellationToken;

use crate::{
    Problem, Scope,
    report::{Period, Section},
    route::Routes,
    table::Table,
};

/// A boxed future.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where an engine runs when nothing else is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// In the main process.
    Main,
    /// In a process of its own.
    Worker,
}

/// What is constant about an engine.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Name: `capital`. Routes live under `/api/{name}/`, verbs under `sent {name}`.
    pub name: &'static str,
    /// Where it runs.
    pub runs: Runs,
    /// Tables it owns.
    pub tables: &'static [Table],
}

/// A running engine.
pub trait Engine: Send + Sync + 'static {
    /// What is constant about it.
    fn description(&self) -> Description;

    /// Its routes, each with its right. Paths are absolute (`/api/capital/entries`).
    fn routes(&self) -> Routes;

    /// Its background work; ends soon after `shutdown` is cancelled. An error makes the supervisor restart it with back-off.
    fn run(&self, shutdown: CancellationToken) -> BoxFuture<Result<(), String>>;

    /// Its health now.
    fn health(&self) -> Status;

    /// What it has to say in a report about a time, to whoever asks; nothing, where it has nothing to say.
    fn report(&self, _scope: &Scope, _period: Period) -> BoxFuture<Result<Vec<Section>, Problem>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}
