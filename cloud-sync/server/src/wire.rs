//! The port boxes speak to (docs/design/0003).
//!
//! Who calls is the common name of a verified client certificate and nothing else; whose it is and whether it was revoked
//! is asked of the database on every request. Rule 0: a cursor is answered only after the commit it tells of.

mod caller;
mod control;
mod enrol;
mod epoch;
mod objects;
mod reference;
mod telemetry;
mod transactions;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use sent_core::route::end_after_refusal;
use sent_protocol::{limits, path};

pub use caller::{Caller, PLACES};
pub use objects::location as object_location;

use crate::{Cloud, db::run_to_end};

/// A certificate request with names takes about 1 KiB.
const ENROL_BODY: usize = 64 << 10;

/// All routes of the wire.
pub fn router(cloud: Arc<Cloud>) -> Router {
    let bodies = Router::new()
        // Strangers may speak here, so little is read of them.
        .route(path::ENROL, post(enrol::enrol).layer(DefaultBodyLimit::max(ENROL_BODY)))
        .route(path::CERTIFICATE, post(enrol::renew))
        .route(path::CURSOR, get(epoch::cursor))
        .route(path::EPOCH, post(epoch::start))
        .route(path::TRANSACTIONS, post(transactions::receive))
        .route(path::TELEMETRY, post(telemetry::receive))
        .route(path::REFERENCE, get(reference::checkpoint))
        .route(path::DESIRED, get(control::desired))
        .route(path::REPORTED, post(control::reported))
        .layer(DefaultBodyLimit::max(limits::BODY_COMPRESSED));
    let object = format!("{}/{{sha256}}", path::OBJECTS);
    let objects = Router::new()
        .route(&object, get(objects::get).head(objects::head).put(objects::put))
        .layer(DefaultBodyLimit::disable());
    bodies
        .merge(objects)
        .fallback(caller::no_such_endpoint)
        .layer(middleware::from_fn(run_to_end))
        .layer(middleware::from_fn(end_after_refusal))
        .with_state(cloud)
}
