//! What leaves for others: Suricata's EVE in a file, IPFIX to a collector.

pub mod eve;
pub mod ipfix;
