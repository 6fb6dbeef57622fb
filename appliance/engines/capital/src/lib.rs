//! The books: chart of accounts, journal, trial balance.
//!
//! What always holds, and is held by the database itself (`migrations/box/0010_capital.sql`), whoever writes:
//! * a posted entry and its lines can be neither changed nor removed, only reversed, once, by their exact opposite;
//! * an entry adds up to zero in every currency, exactly, and in base currency wherever rates are known;
//! * numbers of a series have no gap;
//! * accounts are used while they are open and for the currency they take.
//!
//! [`model`] has the rules without IO, [`store`] and `poster` the SQL, [`service`] and `reference` what the ledger does with
//! both, [`import`] files of many entries, [`routes`] and [`cli`] the ways in.

pub mod cli;
mod error;
pub mod import;
pub mod model;
mod poster;
mod reference;
pub mod routes;
pub mod service;
pub mod store;

use sent_contract::{Level, Status};
use sent_core::{
    engine::{BoxFuture, Description, Engine, Runs},
    route::Routes,
};
use sent_store::Store;
use tokio_util::sync::CancellationToken;

pub use error::LedgerError;
pub use service::Ledger;
pub use store::TABLES;

/// What is constant about the engine.
pub const DESCRIPTION: Description = Description { name: "capital", runs: Runs::Main, tables: TABLES };

/// The engine.
pub struct Capital {
    ledger: Ledger,
    started: i64,
}

impl Capital {
    /// On the store the box hands every engine; it needs nothing else.
    pub fn new(store: Store) -> Self {
        let started = store.clock().now().0;
        Self { ledger: Ledger::new(store), started }
    }
}

impl Engine for Capital {
    fn description(&self) -> Description {
        DESCRIPTION
    }

    fn routes(&self) -> Routes {
        routes::routes(self.ledger.clone())
    }

    /// The ledger works only when it is asked.
    fn run(&self, shutdown: CancellationToken) -> BoxFuture<Result<(), String>> {
        Box::pin(async move {
            shutdown.cancelled().await;
            Ok(())
        })
    }

    /// Its invariants hold in every transaction, so it is well whenever the store is.
    fn health(&self) -> Status {
        match self.ledger.store().identity() {
            Ok(_) => Status { level: Level::Ok, cause: "ready".to_owned(), since: self.started },
            Err(error) => Status { level: Level::Bad, cause: error.to_string(), since: self.started },
        }
    }
}
