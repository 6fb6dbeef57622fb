//! What every engine, the store and the cloud stand on.
//!
//! This crate touches no disk, and no socket but that of a mail server ([`mail`]). It fixes the words both ends must agree
//! on: who acts ([`scope`]), when ([`clock`]), what is named how ([`id`], [`table`]), who may do it ([`identity`],
//! [`route`]), how a secret is kept ([`cipher`]), how pages hear of changes ([`live`]), how people do ([`mail`],
//! [`report`]), and what an engine is ([`engine`]).

pub mod chart;
pub mod cipher;
pub mod clock;
pub mod engine;
pub mod error;
pub mod id;
pub mod identity;
pub mod live;
pub mod mail;
pub mod money;
pub mod reference;
pub mod report;
pub mod route;
pub mod scope;
pub mod settings;
pub mod table;

pub use clock::{Clock, Timestamp};
pub use error::Problem;
pub use scope::{Actor, Scope};
