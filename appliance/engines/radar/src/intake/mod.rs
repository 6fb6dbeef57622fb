//! The intake: what devices and agents send becomes entries of the disk queue, and entries become records.
//!
//! Bytes are framed and appended as they are, so that nothing which can fail stands between a sender and the disk. Reading
//! them is the work of whoever consumes the queue ([`normalise`]). Every parser is pure and bounded: any bytes at all
//! have an answer, and what was cut, dropped or damaged is counted and named in the record.

pub mod cef;
pub mod files;
pub mod framing;
pub mod http;
pub mod inlet;
pub mod journal;
pub mod json;
pub mod leef;
pub mod names;
pub mod net;
pub mod normalise;
pub mod pairs;
pub mod pipeline;
pub mod queue;
pub mod record;
pub mod syslog;
pub mod text;
pub mod time;
pub mod windows;
