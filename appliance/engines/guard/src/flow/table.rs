//! The flows that are under way.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use serde::Serialize;

use super::{Flow, Inspection, Key, State};
use crate::packet::{Arp, Datagram, Segment, Sink};

const SECOND: i64 = 1_000_000_000;

/// How far behind the newest packet one may lie and still be of the same time.
const STEP: i64 = 30 * SECOND;

/// No slot.
const NONE: u32 = u32::MAX;

/// Flows that silence may end per packet: more than a packet can begin, so that they never pile up.
const PER_PACKET: usize = 2 * crate::packet::DEPTH as usize;

/// How much a table may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows under way.
    pub flows: usize,
    /// Bytes for flows and all that is kept for them.
    pub memory: usize,
    /// Seconds of silence that end what nobody answered.
    pub unanswered: u32,
    /// Seconds of silence that end datagrams.
    pub datagrams: u32,
    /// Seconds of silence that end streams.
    pub streams: u32,
    /// Seconds in which stragglers of an ended stream still belong to it.
    pub ended: u32,
    /// Seconds after which what a flow did so far is handed out as a part of it, at its next packet; 0 is never.
    pub part: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { flows: 1 << 17, memory: 128 << 20, unanswered: 30, datagrams: 60, streams: 300, ended: 5, part: 0 }
    }
}

/// What became of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Flows begun.
    pub begun: u64,
    /// Flows ended early for want of slots or memory.
    pub evicted: u64,
    /// Of those, flows that nobody had answered.
    pub evicted_unanswered: u64,
}

/// Who is evicted first, in this order; also how long silence may last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Ended,
    Unanswered,
    Datagrams,
    Streams,
}

const CLASSES: [Class; 4] = [Class::Ended, Class::Unanswered, Class::Datagrams, Class::Streams];

#[derive(Debug)]
struct Slot {
    flow: Flow,
    /// Bytes on the heap, as last counted.
    heap: usize,
    class: Class,
    before: u32,
    after: u32,
}

/// Flows of one class, the longest silent first.
#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
}

/// Holds the flows that are under way.
#[derive(Debug)]
pub struct Table {
    index: HashMap<Key, u32, RandomState>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    lists: [List; 4],
    heap: usize,
    finished: VecDeque<Flow>,
    arps: VecDeque<Arp>,
    limits: Limits,
    counts: Counts,
    now: i64,
}

impl Table {
    /// Bytes a flow costs before anything is kept for it: its slot, its entry in the index (hash tables are at most half
    /// empty), and its place in the queue of those that are over.
    pub const FLOW: usize = size_of::<Option<Slot>>() + 2 * (size_of::<Key>() + size_of::<u32>() + 1) + 4;

    /// Empty.
    pub fn new(limits: Limits) -> Self {
        Self {
            index: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            lists: [List { first: NONE, last: NONE }; 4],
            heap: 0,
            finished: VecDeque::new(),
            arps: VecDeque::new(),
            limits,
            counts: Counts::default(),
            now: i64::MIN,
        }
    }

    /// What became of flows so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Flows under way.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes held for flows.
    pub fn held(&self) -> usize {
        self.index.len() * Self::FLOW + self.heap
    }

    /// A flow that is over.
    pub fn finished(&mut self) -> Option<Flow> {
        self.finished.pop_front()
    }

    /// An ARP packet that went by.
    pub fn arp(&mut self) -> Option<Arp> {
        self.arps.pop_front()
    }

    /// Ends whatever has been silent for too long at `now`, nanoseconds since 1970 UTC.
    pub fn tick(&mut self, now: i64) {
        self.now = self.now.max(now);
        self.expire(usize::MAX);
    }

    /// Ends all flows.
    pub fn finish(&mut self) {
        for class in CLASSES {
            while self.lists[class as usize].first != NONE {
                self.end(self.lists[class as usize].first);
            }
        }
    }

    fn expire(&mut self, most: usize) {
        let mut left = most;
        for class in CLASSES {
            loop {
                let first = self.lists[class as usize].first;
                let Some(slot) = self.slot(first) else { break };
                if left == 0 || distance(self.now, slot.flow.end) < self.patience(class) {
                    break;
                }
                left -= 1;
                self.end(first);
            }
        }
    }

    fn patience(&self, class: Class) -> i64 {
        let seconds = match class {
            Class::Ended => self.limits.ended,
            Class::Unanswered => self.limits.unanswered,
            Class::Datagrams => self.limits.datagrams,
            Class::Streams => self.limits.streams,
        };
        i64::from(seconds) * SECOND
    }

    fn slot(&self, at: u32) -> Option<&Slot> {
        self.slots.get(at as usize)?.as_ref()
    }

    /// Whether a packet belongs to a new flow although its ends are those of one that is known.
    fn is_over(&self, slot: &Slot, datagram: &Datagram<'_>) -> bool {
        let silence = distance(datagram.time, slot.flow.end);
        if silence >= self.patience(slot.class) {
            return true;
        }
        // Ports are used again.
        let begins = datagram.segment.is_some_and(|segment| segment.has(Segment::SYN) && !segment.has(Segment::ACK));
        begins && slot.flow.has_ended()
    }

    fn link(&mut self, at: u32, class: Class) {
        let last = std::mem::replace(&mut self.lists[class as usize].last, at);
        match self.slots.get_mut(last as usize).and_then(Option::as_mut) {
            Some(slot) => slot.after = at,
            None => self.lists[class as usize].first = at,
        }
        if let Some(slot) = self.slots.get_mut(at as usize).and_then(Option::as_mut) {
            (slot.class, slot.before, slot.after) = (class, last, NONE);
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(slot) = self.slot(at) else { return };
        let (class, before, after) = (slot.class, slot.before, slot.after);
        match self.slots.get_mut(before as usize).and_then(Option::as_mut) {
            Some(slot) => slot.after = after,
            None => self.lists[class as usize].first = after,
        }
        match self.slots.get_mut(after as usize).and_then(Option::as_mut) {
            Some(slot) => slot.before = before,
            None => self.lists[class as usize].last = before,
        }
    }

    fn end(&mut self, at: u32) {
        self.unlink(at);
        let Some(mut slot) = self.slots.get_mut(at as usize).and_then(Option::take) else { return };
        self.free.push(at);
        self.index.remove(&slot.flow.key);
        self.heap -= slot.heap;
        slot.flow.conclude();
        // Of a long flow, parts that say nothing new are not told.
        if slot.flow.part == 0 || slot.flow.sides.iter().any(|side| side.packets > 0) {
            self.finished.push_back(slot.flow);
        }
    }

    /// Makes room until the table is within its limits.
    fn evict(&mut self, keep: u32) {
        while self.index.len() > self.limits.flows || self.held() > self.limits.memory {
            let victim = CLASSES.iter().find_map(|class| {
                let first = self.lists[*class as usize].first;
                let next = if first == keep { self.slot(first)?.after } else { first };
                (next != NONE).then_some(next)
            });
            let Some(victim) = victim else { break };
            self.counts.evicted += 1;
            if self.slot(victim).is_some_and(|slot| slot.class == Class::Unanswered) {
                self.counts.evicted_unanswered += 1;
            }
            self.end(victim);
        }
    }

    fn begin(&mut self, key: Key, forward: bool, datagram: &Datagram<'_>) -> u32 {
        self.counts.begun += 1;
        let flow = Flow::new(key, forward, datagram);
        let slot = Slot { flow, heap: 0, class: Class::Unanswered, before: NONE, after: NONE };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = Some(slot);
                at
            }
            None => {
                self.slots.push(Some(slot));
                u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
            }
        };
        self.index.insert(key, at);
        self.link(at, Class::Unanswered);
        at
    }
}

/// Time between two packets, whichever was first: flows from before a clock was set back end as those do that are silent.
const fn distance(one: i64, other: i64) -> i64 {
    one.saturating_sub(other).saturating_abs()
}

fn class(flow: &Flow) -> Class {
    match flow.state {
        State::Unanswered => Class::Unanswered,
        State::Refused | State::Reset | State::Closed => Class::Ended,
        State::Answered if flow.is_stream() => Class::Streams,
        State::Answered => Class::Datagrams,
    }
}

impl Sink for Table {
    fn datagram(&mut self, datagram: &Datagram<'_>) {
        // Captures of several interfaces run back and forth a little. A larger step back is a clock that was set.
        if datagram.time > self.now || self.now.saturating_sub(datagram.time) > STEP {
            self.now = datagram.time;
        }
        self.expire(PER_PACKET);
        let (key, forward) = Key::of(datagram);
        let known = self.index.get(&key).copied();
        let at = match known.and_then(|at| Some((at, self.slot(at)?))) {
            Some((at, slot)) if self.is_over(slot, datagram) => {
                self.end(at);
                self.begin(key, forward, datagram)
            }
            Some((at, _)) => at,
            None => self.begin(key, forward, datagram),
        };
        let Some(slot) = self.slots.get_mut(at as usize).and_then(Option::as_mut) else { return };
        slot.flow.add(datagram, forward);
        if !matches!(slot.flow.inspection, Inspection::Over) || slot.flow.facts.is_some() {
            let heap = slot.flow.heap();
            self.heap = self.heap - slot.heap + heap;
            slot.heap = heap;
        }
        let class = class(&slot.flow);
        let last = self.lists[class as usize].last == at;
        if slot.class != class || !last {
            self.unlink(at);
            self.link(at, class);
        }
        if self.limits.part > 0
            && let Some(part) = self.slots[at as usize].as_mut().and_then(|slot| slot.flow.part(self.limits.part))
        {
            self.finished.push_back(part);
        }
        if self.index.len() > self.limits.flows || self.held() > self.limits.memory {
            self.evict(at);
        }
    }

    fn arp(&mut self, arp: &Arp) {
        /// Nobody takes them: forget the oldest.
        const WAITING: usize = 1024;
        if self.arps.len() == WAITING {
            self.arps.pop_front();
        }
        self.arps.push_back(*arp);
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
