//! SENTshield: what happened at a branch, told to the people it belongs to.
//!
//! A report is made of the sections that the engines give ([`sent_core::report`]), drawn under the logo of whoever sends it,
//! as a PDF: on demand, or each week by a schedule. Shield knows no other engine, and no engine knows how a report looks.
//!
//! What always holds: a report that is listed can be read, and its bytes are those that were made; a week is reported once
//! by a schedule, whatever stops the box and whenever it comes back; a mail is sent at least once, each time with the same
//! id; an engine that does not answer costs its section, which the report says, and nothing else.

pub mod drawing;
pub mod model;
pub mod render;
pub mod routes;
pub mod service;
pub mod store;

use std::sync::Arc;

use sent_contract::Status;
use sent_core::{
    engine::{BoxFuture, Description, Engine, Runs},
    route::Routes,
};
use tokio_util::sync::CancellationToken;

pub use service::{Parts, Service};
pub use store::TABLES;

/// What is constant about this engine.
pub const DESCRIPTION: Description = Description { name: "shield", runs: Runs::Main, tables: TABLES };

/// The engine.
#[derive(Clone)]
pub struct Shield {
    service: Arc<Service>,
}

impl Shield {
    /// Puts the engine together; nothing runs yet.
    pub fn new(parts: Parts) -> Self {
        Self { service: Arc::new(Service::new(parts)) }
    }

    /// What it does.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }
}

impl Engine for Shield {
    fn description(&self) -> Description {
        DESCRIPTION
    }

    fn routes(&self) -> Routes {
        routes::routes(self.service.clone())
    }

    fn run(&self, shutdown: CancellationToken) -> BoxFuture<Result<(), String>> {
        let service = self.service.clone();
        Box::pin(async move { service.run(shutdown).await.map_err(|e| e.detail.unwrap_or(e.message)) })
    }

    fn health(&self) -> Status {
        self.service.health()
    }
}
