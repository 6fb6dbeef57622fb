//! SENTpulse: what the box and everything around it measure, and who hears when something is wrong.
//!
//! Measurements of the box itself, of checks, of network gear and of sensors become points of series
//! (docs/design/0006). They meet in the [`recorder`], go to the spool and from there to DuckDB and to the cloud; alert
//! rules watch them on the way.
//!
//! What always holds: a check that hangs delays nobody; there are never two open alerts for one rule and series; an alert
//! and what is told of it are written together, and each word is told at least once; hold timers, silences and the history
//! of flapping survive a restart; a full disk loses no alert and no measurement that fits into memory.

pub mod alert;
pub mod book;
pub mod check;
pub mod cli;
pub mod exporter;
pub mod host;
pub mod model;
pub mod notify;
pub mod prune;
pub mod recorder;
pub mod report;
pub mod routes;
pub mod runner;
pub mod service;
pub mod settings;
pub mod store;
pub mod view;

use std::sync::Arc;

use sent_contract::Status;
use sent_core::{
    Problem, Scope,
    engine::{BoxFuture, Description, Engine, Runs},
    report::{Period, Section},
    route::Routes,
};
use tokio_util::sync::CancellationToken;

pub use service::{Parts, Service, StartError};
pub use store::TABLES;

/// What is constant about this engine.
pub const DESCRIPTION: Description = Description { name: "pulse", runs: Runs::Main, tables: TABLES };

/// The engine.
#[derive(Clone)]
pub struct Pulse {
    service: Arc<Service>,
}

impl Pulse {
    /// Puts the engine together; nothing runs yet.
    pub fn new(parts: Parts) -> Result<Self, StartError> {
        Ok(Self { service: Service::new(parts)? })
    }

    /// What it does.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }
}

impl Engine for Pulse {
    fn description(&self) -> Description {
        DESCRIPTION
    }

    fn routes(&self) -> Routes {
        routes::routes(self.service.clone())
    }

    fn run(&self, shutdown: CancellationToken) -> BoxFuture<Result<(), String>> {
        let service = self.service.clone();
        Box::pin(
            async move { service.run(shutdown).await.map_err(|problem| problem.detail.unwrap_or(problem.message)) },
        )
    }

    fn health(&self) -> Status {
        self.service.health()
    }

    fn report(&self, scope: &Scope, period: Period) -> BoxFuture<Result<Vec<Section>, Problem>> {
        let (service, scope) = (self.service.clone(), scope.clone());
        Box::pin(async move { service.report(&scope, period).await })
    }
}
