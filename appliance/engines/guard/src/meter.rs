//! Frames in, flows out.
//!
//! Memory: a [`Meter`] holds at most [`Limits::total`] bytes, whatever it is handed, besides the flows that are over and
//! not yet taken with [`Meter::finished`]: take them after each frame.

use crate::{
    capture::Frame,
    flow::{self, Flow, Table},
    packet::{self, Arp, Datagram, Decoder, Sink, fragment},
};

/// How much a meter may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of flows.
    pub flows: flow::Limits,
    /// Of datagrams in pieces.
    pub fragments: Room,
}

/// Bytes for datagrams in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room(pub usize);

impl Default for Room {
    /// Linux' `ipfrag_high_thresh`: 4 MiB.
    fn default() -> Self {
        Self(4 << 20)
    }
}

impl Limits {
    /// Bytes a meter holds at most: flows, fragments, and one packet's worth of both over their bounds.
    pub const fn total(&self) -> usize {
        self.flows.memory + self.fragments.0 + (1 << 20)
    }
}

/// What was seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Frames and packets.
    pub packets: packet::Counts,
    /// Fragments.
    pub fragments: fragment::Counts,
    /// Flows.
    pub flows: flow::Counts,
}

/// Turns frames into flows.
#[derive(Debug)]
pub struct Meter {
    decoder: Decoder,
    table: Table,
}

impl Meter {
    /// Empty.
    pub fn new(limits: Limits) -> Self {
        Self { decoder: Decoder::new(limits.fragments.0), table: Table::new(limits.flows) }
    }

    /// Takes a frame.
    pub fn frame(&mut self, frame: &Frame<'_>) {
        self.decoder.frame(frame, &mut self.table);
    }

    /// Takes a frame, and hands what is in it to somebody else too.
    pub fn frame_beside(&mut self, frame: &Frame<'_>, beside: &mut impl Sink) {
        self.decoder.frame(frame, &mut Both { table: &mut self.table, beside });
    }

    /// Time went by without frames: nanoseconds since 1970 UTC.
    pub fn tick(&mut self, now: i64) {
        self.table.tick(now);
    }

    /// No more frames will come: all flows are over.
    pub fn finish(&mut self) {
        self.table.finish();
    }

    /// A flow that is over.
    pub fn finished(&mut self) -> Option<Flow> {
        self.table.finished()
    }

    /// An ARP packet that went by.
    pub fn arp(&mut self) -> Option<Arp> {
        self.table.arp()
    }

    /// Flows under way.
    pub fn under_way(&self) -> usize {
        self.table.len()
    }

    /// Bytes held for flows under way.
    pub fn held(&self) -> usize {
        self.table.held()
    }

    /// What was seen so far.
    pub const fn summary(&self) -> Summary {
        Summary { packets: self.decoder.counts(), fragments: self.decoder.fragments(), flows: self.table.counts() }
    }
}

/// The table, and somebody beside it.
struct Both<'a, S> {
    table: &'a mut Table,
    beside: &'a mut S,
}

impl<S: Sink> Sink for Both<'_, S> {
    fn datagram(&mut self, datagram: &Datagram<'_>) {
        self.beside.datagram(datagram);
        self.table.datagram(datagram);
    }

    fn arp(&mut self, arp: &Arp) {
        self.beside.arp(arp);
    }
}
