//! What end-to-end tests stand on: the real programs, a real PostgreSQL, a real broker, a real browser, and a network that
//! can be cut.
//!
//! Everything listens on a free port of the loopback interface and keeps its data in one temporary folder. Every program
//! is a child in a process group of its own that dies with the test, whatever ends it. Nobody sleeps to wait for a state:
//! [`wait::until`] asks for it until a deadline. When a test fails, the ends of all logs are printed.

pub mod appliance;
pub mod books;
pub mod broker;
pub mod browser;
pub mod cloud;
pub mod cluster;
pub mod compare;
pub mod ears;
pub mod exporter;
pub mod face;
pub mod findings;
pub mod logs;
pub mod measure;
pub mod postgres;
pub mod program;
pub mod relay;
pub mod wait;
pub mod wire;

pub use anyhow::{Context, Result, bail, ensure};
pub use appliance::Appliance;
pub use cluster::{Cluster, Setup};
pub use face::Face;
pub use wait::until;

/// A new id, a UUID of version 4.
pub fn new_id() -> sent_contract::Uuid {
    sent_contract::Uuid::from_u128(rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62))
}
