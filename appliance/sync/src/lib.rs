//! The box's end of the wire: the IO around the machine of [`sent_protocol::sync`].
//!
//! One task talks to the cloud, one request at a time, over mutual TLS; a second keeps the doorbell's session with the
//! broker, whose loss costs nothing but the time to the next poll. What must survive a crash is in the [`Ledger`] (the
//! store) and the [`Spool`]; this crate keeps nothing of its own but the box's [`identity`].
//!
//! * [`enrol`] makes a key, claims the box with its code and keeps the [`Identity`].
//! * [`Agent::run`] exchanges rows, telemetry, reference data, documents and commands until it is told to stop.
//! * [`Handle`] tells the badge how it is ([`Handle::status`]) and hurries it.

mod agent;
mod commands;
mod doorbell;
mod enrol;
mod exchange;
mod host;
pub mod identity;
mod ledger;
mod status;
mod store;
mod tls;

pub use agent::{Agent, Config, Handle};
pub use commands::Handlers;
pub use enrol::{EnrolError, Enrolment, enrol};
pub use host::{Host, Quiet};
pub use identity::Identity;
pub use ledger::{Ledger, LedgerError, LedgerState, Spool};
pub use status::{brought_up_to_date, left_over, standalone};
pub use store::{StoreLedger, StoreSpool};
