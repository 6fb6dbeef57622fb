//! SENTguard: what goes over the office's network, told from packets.
//!
//! Frames come from a capture ([`capture`]) or from interfaces ([`live`]), are taken apart ([`packet`]), become flows
//! ([`flow`]) that are looked into ([`app`]), and leave as records ([`record`]). [`meter::Meter`] joins these parts and
//! does no IO: it is handed frames, and asked for flows. Beside it a [`watch::Watch`] knows names ([`names`]) and devices
//! ([`device`]) and tells what looks like trouble ([`detection`]). [`service`] keeps all of it running: [`pipeline`] is
//! the meter's thread, [`ring`] keeps packets, [`flows`] keeps flows, [`export`] tells others.
//!
//! What always holds: no bytes from the network make it panic; memory is bounded by [`meter::Limits`] and by what each
//! part says of itself, whatever is sent; the clock is the packets' own; what is lost is counted where it is lost; a
//! password is never kept.

pub mod app;
mod assembly;
pub mod capture;
pub mod cli;
pub mod detection;
pub mod device;
pub mod export;
pub mod flow;
pub mod flows;
pub mod live;
pub mod meter;
pub mod names;
pub mod packet;
pub mod pipeline;
pub mod recent;
pub mod record;
pub mod recorder;
mod report;
pub mod ring;
pub mod routes;
pub mod service;
pub mod settings;
pub mod store;
pub mod view;
pub mod watch;
mod wire;

#[cfg(test)]
mod frames;

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

/// Where its events stand in its folder: Suricata's EVE, a file that is followed through its renaming.
pub const EVE: &str = "eve/eve.json";

/// What is constant about this engine.
pub const DESCRIPTION: Description = Description { name: "guard", runs: Runs::Worker, tables: TABLES };

/// The engine.
#[derive(Clone)]
pub struct Guard {
    service: Arc<Service>,
}

impl Guard {
    /// Opens what it stands on; nothing runs yet.
    pub fn new(parts: Parts) -> Result<Self, StartError> {
        Ok(Self { service: Service::new(parts)? })
    }

    /// What it does.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }
}

impl Engine for Guard {
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
