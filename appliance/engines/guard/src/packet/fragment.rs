//! IP fragments put together again, in bounded memory.
//!
//! Policy on overlaps: in IPv4 the byte that came first stays (and the overlap is counted); in IPv6 a datagram with an
//! overlap is dropped as a whole, exact repetitions excepted (RFC 5722, RFC 8200 §4.5). A datagram is given up 30 s
//! after its first fragment, or when the room is needed: the oldest goes first. A datagram has at most 65,535 bytes and
//! [`PIECES`] fragments.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use serde::Serialize;

use super::Address;
use crate::assembly::{Assembly, Fit};

/// Linux' `ip_frag_time`: 30 s, in nanoseconds.
const PATIENCE: i64 = 30_000_000_000;
/// Fragments of one datagram: 64 KiB in the smallest that IPv6 allows on a path of 1,280 bytes would be 53.
const PIECES: usize = 128;
/// Longest datagram.
const LONGEST: usize = 65_535;
/// What a datagram in pieces costs besides its bytes.
const OVERHEAD: usize = size_of::<Partial>() + size_of::<Key>() * 2 + 64;

/// What fragments of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whether it is IPv6.
    pub six: bool,
    /// From.
    pub source: Address,
    /// To.
    pub destination: Address,
    /// Protocol, for IPv4.
    pub protocol: u8,
    /// Identification.
    pub identification: u32,
    /// VLANs.
    pub vlan: u32,
}

/// One fragment.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// When, in nanoseconds.
    pub time: i64,
    /// Where its bytes belong.
    pub offset: u32,
    /// Whether more follow.
    pub more: bool,
    /// Whether the capture holds all of it.
    pub whole: bool,
    /// Its bytes.
    pub body: &'a [u8],
    /// Bytes of its IP packet.
    pub octets: u32,
}

/// A datagram in one piece again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// What it carries: the first fragment says so.
    pub protocol: u8,
    /// Its bytes.
    pub body: Vec<u8>,
    /// Fragments it came in.
    pub packets: u32,
    /// Bytes of their IP packets.
    pub octets: u32,
}

/// What became of fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Fragments seen.
    pub fragments: u64,
    /// Datagrams put together.
    pub reassembled: u64,
    /// Fragments that overlapped.
    pub overlaps: u64,
    /// Datagrams given up: late, too many pieces, contradicting, or cut by the capture.
    pub dropped: u64,
    /// Datagrams given up for want of room.
    pub evicted: u64,
}

#[derive(Debug)]
struct Partial {
    time: i64,
    body: Assembly,
    /// Where it ends, once known.
    end: Option<usize>,
    protocol: u8,
    packets: u32,
    octets: u32,
}

impl Partial {
    fn cost(&self) -> usize {
        self.body.heap() + OVERHEAD
    }
}

/// Puts fragments together.
#[derive(Debug)]
pub struct Reassembler {
    partial: HashMap<Key, Partial, RandomState>,
    /// In order of their first fragment; keys whose datagram has gone may linger.
    order: VecDeque<(i64, Key)>,
    held: usize,
    room: usize,
    counts: Counts,
}

impl Reassembler {
    /// With room for `room` bytes.
    pub fn new(room: usize) -> Self {
        Self { partial: HashMap::default(), order: VecDeque::new(), held: 0, room, counts: Counts::default() }
    }

    /// What became of fragments so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes held now.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Takes a fragment; the whole datagram when it was the last one missing.
    pub fn add(&mut self, key: &Key, fragment: &Fragment<'_>, protocol: u8) -> Option<Whole> {
        self.counts.fragments += 1;
        self.expire(fragment.time);
        let end = fragment.offset as usize + fragment.body.len();
        if end > LONGEST || !fragment.whole || fragment.body.is_empty() {
            self.drop_datagram(key);
            return None;
        };
        if !self.partial.contains_key(key) {
            let partial =
                Partial { time: fragment.time, body: Assembly::default(), end: None, protocol, packets: 0, octets: 0 };
            self.held += partial.cost();
            self.partial.insert(*key, partial);
            self.order.push_back((fragment.time, *key));
        }
        let partial = self.partial.get_mut(key)?;
        let before = partial.cost();
        partial.packets += 1;
        partial.octets = partial.octets.saturating_add(fragment.octets);
        if fragment.offset == 0 {
            partial.protocol = protocol;
        }
        let kept = partial.place(key.six, end, fragment, &mut self.counts);
        let after = partial.cost();
        let complete = partial.complete();
        self.held = self.held + after - before;
        if !kept {
            self.drop_datagram(key);
            return None;
        }
        if complete {
            let partial = self.take(key)?;
            self.counts.reassembled += 1;
            return Some(Whole {
                protocol: partial.protocol,
                body: partial.body.into_bytes(),
                packets: partial.packets,
                octets: partial.octets,
            });
        }
        while self.held > self.room {
            let Some((time, oldest)) = self.order.pop_front() else { break };
            if self.is(time, &oldest) && self.take(&oldest).is_some() {
                self.counts.evicted += 1;
            }
        }
        None
    }

    fn expire(&mut self, now: i64) {
        while let Some((time, key)) = self.order.front().copied() {
            let gone = !self.is(time, &key);
            if !gone && now.saturating_sub(time) < PATIENCE {
                break;
            }
            self.order.pop_front();
            if !gone && self.take(&key).is_some() {
                self.counts.dropped += 1;
            }
        }
        // Datagrams that were completed behind one that is still waited for leave their keys behind.
        if self.order.len() > 2 * self.partial.len() + 64 {
            let partial = &self.partial;
            self.order.retain(|(time, key)| partial.get(key).is_some_and(|partial| partial.time == *time));
        }
    }

    fn is(&self, time: i64, key: &Key) -> bool {
        self.partial.get(key).is_some_and(|partial| partial.time == time)
    }

    fn drop_datagram(&mut self, key: &Key) {
        self.counts.dropped += 1;
        self.take(key);
    }

    fn take(&mut self, key: &Key) -> Option<Partial> {
        let partial = self.partial.remove(key)?;
        self.held -= partial.cost();
        Some(partial)
    }
}

impl Partial {
    /// Puts a fragment in its place; false when the datagram must be dropped.
    fn place(&mut self, six: bool, end: usize, fragment: &Fragment<'_>, counts: &mut Counts) -> bool {
        // All but the last are multiples of eight: RFC 791 §3.2, RFC 8200 §4.5.
        let aligned = !fragment.more || fragment.body.len().is_multiple_of(8);
        let fits = match (self.end, fragment.more) {
            (Some(known), true) => end <= known,
            (Some(known), false) => end == known,
            (None, true) => true,
            (None, false) => self.body.end() <= end,
        };
        if !aligned || !fits || self.packets as usize > PIECES {
            return false;
        }
        if !fragment.more {
            self.end = Some(end);
        }
        let fit = self.body.add(fragment.offset as usize, fragment.body);
        counts.overlaps += u64::from(fit != Fit::New);
        !(six && fit == Fit::Overlapping)
    }

    fn complete(&self) -> bool {
        self.end.is_some_and(|end| self.body.prefix().len() == end)
    }
}

#[cfg(test)]
#[path = "fragment_tests.rs"]
mod tests;
