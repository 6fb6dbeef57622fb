//! SENTradar: what happens in the logs.
//!
//! [`intake`] takes logs in, keeps them on disk until all have them, and makes records of them; [`search`] stores the
//! records and finds them again; [`detector`] asks Sigma rules of each, as fast as the machine can, and what they find
//! becomes alerts and cases. [`service`] keeps all of it running.
//!
//! What always holds: what was acknowledged is on disk; a line is stored once and an event is counted in an alert once,
//! wherever the process dies; what is cut, dropped or refused is counted and named; a broken rule is named and the rest
//! run; new rules are taken up without dropping an event; a search ends in its time.
//!
//! Rules are loaded and checked by [`rules`], compiled into an immutable [`RuleSet`] and swapped whole by [`Live`]. A
//! thread matches events with a [`Scratch`] of its own and allocates nothing while it does. Sigma is meant as its
//! specification 2.1 has it; where that leaves room, as pySigma does it.

pub mod cli;
pub mod correlation;
pub mod detector;
pub mod document;
pub mod events;
pub mod intake;
pub mod library;
mod listeners;
mod live;
mod matcher;
pub mod model;
pub mod quiet;
mod report;
pub mod routes;
pub mod rules;
pub mod search;
pub mod service;
pub mod settings;
pub mod source;
pub mod store;

use std::sync::Arc;

use sent_contract::Status;
use sent_core::{
    Problem, Scope,
    engine::{BoxFuture, Description, Engine, Runs},
    report::{Period, Section},
    route::Routes,
};
use tokio_util::sync::CancellationToken;

pub use live::Live;
pub use matcher::{DetectionError, EventError, RuleError, RuleSet, Scratch};
pub use service::{Parts, Service, StartError};
pub use source::Routing;
pub use store::TABLES;

/// What is constant about this engine.
pub const DESCRIPTION: Description = Description { name: "radar", runs: Runs::Worker, tables: TABLES };

/// The engine.
#[derive(Clone)]
pub struct Radar {
    service: Arc<Service>,
}

impl Radar {
    /// Opens what it stands on; nothing runs yet.
    pub fn new(parts: Parts) -> Result<Self, StartError> {
        Ok(Self { service: Service::new(parts)? })
    }

    /// What it does.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }
}

impl Engine for Radar {
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
