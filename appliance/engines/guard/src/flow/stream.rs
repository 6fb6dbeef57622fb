//! TCP's byte stream put in order, as far as the application asks for it.
//!
//! Policy: the byte that came first stays, whatever a repetition says. Bytes that come too early wait, at most
//! [`EARLY`] bytes and [`PIECES`] pieces a direction; when more come, or the flow ends, what is missing counts as lost
//! and the stream goes on behind the gap. Bytes that the application could not use yet are held, at most [`HELD`] a
//! direction; beyond that it is asked no more. A connection whose beginning was not seen starts with its first segment.

use crate::app::{App, Facts, Session};

use super::Side;

/// Bytes that may wait for the ones before them, a direction.
pub const EARLY: usize = 64 << 10;
/// Pieces that may wait, a direction.
pub const PIECES: usize = 64;
/// Bytes that the application may want to see again, a direction: a TLS record, or the head of an HTTP message.
pub const HELD: usize = 64 << 10;
/// How far ahead of the next byte a segment may lie: the largest window, RFC 7323 §2.3.
const WINDOW: u32 = 1 << 30;

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    /// Sequence number of the next byte.
    next: Option<u32>,
    /// Handed over, but not used.
    held: Vec<u8>,
    /// Too early: by sequence number, apart from each other.
    early: Vec<(u32, Vec<u8>)>,
    early_bytes: usize,
    over: bool,
}

/// What two ends say to each other, and what is understood of it.
#[derive(Debug, Default)]
pub struct Conversation {
    directions: [Direction; 2],
    session: Session,
}

impl Conversation {
    /// A TCP segment with data. `base` is the sequence number of the stream's first byte as far as known, `cut` how
    /// many bytes of the payload's end the capture lacks.
    pub fn segment(&mut self, side: Side, base: u32, sequence: u32, payload: &[u8], cut: u32, ports: [u16; 2]) {
        let direction = &mut self.directions[side.index()];
        if direction.over {
            return;
        }
        let next = *direction.next.get_or_insert(base);
        let ahead = sequence.wrapping_sub(next);
        if ahead == 0 && direction.early.is_empty() {
            direction.next = Some(next.wrapping_add(length(payload)));
            self.deliver(side, payload, ports);
        } else if ahead < WINDOW {
            direction.keep(next, sequence, payload);
            self.advance(side, ports);
            let direction = &self.directions[side.index()];
            if direction.early_bytes > EARLY || direction.early.len() > PIECES {
                self.jump(side, ports);
            }
        } else {
            // Seen before, at least in part.
            let old = next.wrapping_sub(sequence) as usize;
            if let Some(fresh) = payload.get(old..).filter(|fresh| !fresh.is_empty()) {
                let direction = &mut self.directions[side.index()];
                direction.keep(next, next, fresh);
                self.advance(side, ports);
            }
        }
        let direction = &mut self.directions[side.index()];
        if cut > 0 && !direction.over {
            // The rest will never come; do not wait for it.
            let end = sequence.wrapping_add(length(payload)).wrapping_add(cut);
            if direction.next.is_some_and(|next| end.wrapping_sub(next) <= WINDOW) {
                direction.next = Some(end);
                direction.held.clear();
                direction.forget(end);
                self.session.gap(side);
                self.advance(side, ports);
            }
        }
    }

    /// A datagram.
    pub fn datagram(&mut self, side: Side, payload: &[u8], protocol: u8, ports: [u16; 2]) {
        self.session.datagram(side, payload, protocol, ports);
    }

    /// Whether nothing more can be learnt.
    pub fn over(&self) -> bool {
        self.session.over()
    }

    /// The flow has ended: what still waits behind gaps is looked at.
    pub fn finish(&mut self, ports: [u16; 2]) {
        for side in Side::BOTH {
            while !self.directions[side.index()].early.is_empty() && !self.directions[side.index()].over {
                self.jump(side, ports);
            }
        }
        self.session.finish();
    }

    /// What was understood.
    pub fn into_parts(self) -> (Option<App>, Option<Box<Facts>>) {
        self.session.into_parts()
    }

    /// Bytes on the heap, itself included.
    pub fn heap(&self) -> usize {
        let directions: usize = self
            .directions
            .iter()
            .map(|direction| {
                direction.held.capacity()
                    + direction.early_bytes
                    + direction.early.capacity() * size_of::<(u32, Vec<u8>)>()
            })
            .sum();
        size_of::<Self>() + directions + self.session.heap()
    }

    /// Hands early pieces over that have become due.
    fn advance(&mut self, side: Side, ports: [u16; 2]) {
        loop {
            let direction = &mut self.directions[side.index()];
            let Some(next) = direction.next else { return };
            if direction.over || direction.early.first().is_none_or(|(sequence, _)| *sequence != next) {
                return;
            }
            let (_, piece) = direction.early.remove(0);
            direction.early_bytes -= piece.len();
            direction.next = Some(next.wrapping_add(length(&piece)));
            self.deliver(side, &piece, ports);
        }
    }

    /// Gives up what is missing and goes on behind it.
    fn jump(&mut self, side: Side, ports: [u16; 2]) {
        let direction = &mut self.directions[side.index()];
        let Some((sequence, _)) = direction.early.first() else { return };
        direction.next = Some(*sequence);
        direction.held.clear();
        self.session.gap(side);
        self.advance(side, ports);
    }

    fn deliver(&mut self, side: Side, bytes: &[u8], ports: [u16; 2]) {
        let unknown = self.session.is_unknown();
        self.hand(side, bytes, ports);
        // What one side says tells how to read what the other has said.
        if unknown && !self.session.is_unknown() {
            let other = side.other();
            if !self.directions[other.index()].held.is_empty() {
                self.hand(other, &[], ports);
            }
        }
        for side in Side::BOTH {
            if !self.session.wants(side) {
                let direction = &mut self.directions[side.index()];
                *direction = Direction { over: true, ..Direction::default() };
            }
        }
    }

    fn hand(&mut self, side: Side, bytes: &[u8], ports: [u16; 2]) {
        let direction = &mut self.directions[side.index()];
        if direction.held.is_empty() {
            let used = self.session.stream(side, bytes, ports);
            if let Some(rest) = bytes.get(used..) {
                direction.held.extend_from_slice(rest);
            }
        } else {
            direction.held.extend_from_slice(bytes);
            let used = self.session.stream(side, &direction.held, ports);
            direction.held.drain(..used.min(direction.held.len()));
        }
        if direction.held.len() > HELD {
            direction.held = Vec::new();
            self.session.give_up(side);
        }
    }
}

impl Direction {
    /// Drops what waits before `next`: behind lost bytes nobody can place it.
    fn forget(&mut self, next: u32) {
        let bytes = &mut self.early_bytes;
        self.early.retain(|(sequence, piece)| {
            let due = sequence.wrapping_sub(next) < WINDOW;
            *bytes -= if due { 0 } else { piece.len() };
            due
        });
    }

    /// Keeps the bytes of a piece that nobody has brought yet. `next` is not behind `sequence`.
    fn keep(&mut self, next: u32, sequence: u32, payload: &[u8]) {
        let distance = |sequence: u32| sequence.wrapping_sub(next);
        let (mut at, end) = (distance(sequence), distance(sequence).saturating_add(length(payload)));
        let start = at;
        let mut index = self.early.partition_point(|(s, piece)| distance(*s).saturating_add(length(piece)) <= at);
        while at < end {
            let (hole, resume) = match self.early.get(index) {
                Some((s, piece)) => (distance(*s).min(end), distance(*s).saturating_add(length(piece))),
                None => (end, end),
            };
            if at < hole {
                let bytes = &payload[(at - start) as usize..(hole - start) as usize];
                self.early_bytes += bytes.len();
                self.early.insert(index, (next.wrapping_add(at), bytes.to_vec()));
                index += 1;
            }
            at = at.max(resume);
            index += 1;
        }
    }
}

/// Payloads are shorter than `capture::MOST`.
fn length(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
