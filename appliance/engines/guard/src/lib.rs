//! SENTguard: what goes over the office's network, told from packets.
//!
//! Frames come from a capture ([`capture`]), are taken apart ([`packet`]), become flows ([`flow`]) that are looked into
//! ([`app`]), and leave as records ([`record`]). [`meter::Meter`] joins these parts and does no IO: it is handed frames,
//! and asked for flows.
//!
//! What always holds: no bytes from the network make it panic; memory is bounded by [`meter::Limits`] whatever is sent;
//! the clock is the packets' own.

pub mod app;
mod assembly;
pub mod capture;
pub mod cli;
pub mod flow;
pub mod meter;
pub mod packet;
pub mod record;
mod wire;
