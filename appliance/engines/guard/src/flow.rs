//! Flows: both directions of one conversation, counted and looked into.
//!
//! [`Table`] holds the flows that are under way, in bounded memory ([`Limits`]); those that end, by their protocol, by
//! silence or because room is needed, are taken out with [`Table::finished`]. Time is what the packets say. A flow that
//! is evicted loses nothing that was known of it, and is counted ([`Counts`]). Who goes first when room is needed: what
//! has ended, then what nobody answered (a flood of SYNs lives there), then datagrams, then streams; among equals, whoever
//! has been silent longest.

pub mod community;
pub mod stream;
mod table;

use crate::{
    app::{App, Facts},
    packet::{Address, Datagram, ICMP, ICMP6, Segment, TCP, Tunnel},
};

pub use table::{Counts, Limits, Table};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Who began.
    Initiator = 0,
    /// Who was asked.
    Responder = 1,
}

impl Side {
    /// Both, in the order of arrays that hold something for each.
    pub const BOTH: [Self; 2] = [Self::Initiator, Self::Responder];

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    /// Place in an array that holds something for each.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What packets of one flow have in common. The same for both directions: the lower end stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The lower end's address.
    pub low: Address,
    /// The higher end's address.
    pub high: Address,
    /// The lower end's port.
    pub low_port: u16,
    /// The higher end's port.
    pub high_port: u16,
    /// Outer and inner VLAN: two networks may use the same addresses.
    pub vlan: u32,
    /// IP protocol.
    pub protocol: u8,
    /// Whether addresses are IPv6.
    pub six: bool,
}

impl Key {
    /// Of a datagram, and whether the lower end sent it.
    pub fn of(datagram: &Datagram<'_>) -> (Self, bool) {
        let (mut from, mut to) = (datagram.source_port, datagram.destination_port);
        if matches!(datagram.protocol, ICMP | ICMP6) {
            (from, to, _) = community::icmp_ports(datagram.protocol == ICMP6, from, to);
        }
        let source = (datagram.source, from);
        let destination = (datagram.destination, to);
        let forward = source <= destination;
        let ((low, low_port), (high, high_port)) = if forward { (source, destination) } else { (destination, source) };
        let (vlan, protocol, six) = (datagram.vlan, datagram.protocol, datagram.six);
        (Self { low, high, low_port, high_port, vlan, protocol, six }, forward)
    }
}

/// What one side sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// IP packets.
    pub packets: u64,
    /// Their bytes, IP headers included.
    pub octets: u64,
    /// Bytes of what TCP or UDP carried, repetitions included.
    pub payload: u64,
    /// All TCP flags that were set.
    pub flags: u8,
}

/// How a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Only one side has spoken.
    Unanswered,
    /// Both have.
    Answered,
    /// The responder refused: a reset is its answer to the first packet.
    Refused,
    /// A reset ended it.
    Reset,
    /// Both sides said that they have no more data.
    Closed,
}

impl State {
    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unanswered => "unanswered",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Closed => "closed",
        }
    }
}

/// One flow.
#[derive(Debug)]
pub struct Flow {
    /// Its ends.
    pub key: Key,
    /// Whether the lower end began.
    pub low_began: bool,
    /// First packet, nanoseconds since 1970 UTC.
    pub start: i64,
    /// Last packet, nanoseconds since 1970 UTC.
    pub end: i64,
    /// What each side sent.
    pub sides: [Traffic; 2],
    /// How it stands.
    pub state: State,
    /// The tunnel it came out of.
    pub tunnel: Option<Tunnel>,
    /// The tunnel it is.
    pub carries: Option<Tunnel>,
    /// MAC addresses of initiator and responder, as seen here.
    pub macs: Option<[[u8; 6]; 2]>,
    /// What is spoken.
    pub app: Option<App>,
    /// What was said.
    pub facts: Option<Box<Facts>>,
    /// Which part of a long flow this is, from 0; counters and times are the part's own.
    pub part: u32,
    inspection: Inspection,
    /// Sequence numbers of the first bytes, where a SYN told them.
    bases: [Option<u32>; 2],
}

#[derive(Debug)]
enum Inspection {
    /// Nothing was carried yet.
    Fresh,
    /// Under way.
    Active(Box<stream::Conversation>),
    /// Nothing more to learn.
    Over,
}

impl Flow {
    fn new(key: Key, forward: bool, datagram: &Datagram<'_>) -> Self {
        // Whoever answers a SYN did not begin.
        let answers = datagram.segment.is_some_and(|segment| segment.has(Segment::SYN) && segment.has(Segment::ACK));
        let macs = datagram.macs.map(|(to, from)| if answers { [to, from] } else { [from, to] });
        Self {
            key,
            low_began: forward != answers,
            start: datagram.time,
            end: datagram.time,
            sides: [Traffic::default(); 2],
            state: State::Unanswered,
            tunnel: datagram.tunnel,
            carries: datagram.carries,
            macs,
            app: datagram.carries.map(App::Tunnel),
            facts: None,
            part: 0,
            inspection: if datagram.carries.is_some() { Inspection::Over } else { Inspection::Fresh },
            bases: [None; 2],
        }
    }

    /// The initiator's address and port.
    pub const fn initiator(&self) -> (Address, u16) {
        if self.low_began { (self.key.low, self.key.low_port) } else { (self.key.high, self.key.high_port) }
    }

    /// The responder's address and port.
    pub const fn responder(&self) -> (Address, u16) {
        if self.low_began { (self.key.high, self.key.high_port) } else { (self.key.low, self.key.low_port) }
    }

    /// What it did so far, if it began at least `seconds` ago: its counters begin anew, what is known of it stays.
    fn part(&mut self, seconds: u32) -> Option<Self> {
        if self.end.saturating_sub(self.start) < i64::from(seconds) * 1_000_000_000 || self.has_ended() {
            return None;
        }
        let part = Self {
            key: self.key,
            low_began: self.low_began,
            start: self.start,
            end: self.end,
            sides: std::mem::take(&mut self.sides),
            state: self.state,
            tunnel: self.tunnel,
            carries: self.carries,
            macs: self.macs,
            app: self.app,
            facts: self.facts.clone(),
            part: self.part,
            inspection: Inspection::Over,
            bases: self.bases,
        };
        // Which flags were seen decides how the flow ends.
        for side in Side::BOTH {
            self.sides[side.index()].flags = part.sides[side.index()].flags;
        }
        (self.start, self.part) = (self.end, self.part + 1);
        Some(part)
    }

    /// Its community id, version 1, seed 0.
    pub fn community_id(&self) -> String {
        let ((source, source_port), (destination, destination_port)) = (self.initiator(), self.responder());
        let key = &self.key;
        community::id(key.six, key.protocol, (source, source_port), (destination, destination_port))
    }

    /// Takes a datagram; `forward` says that the lower end sent it.
    fn add(&mut self, datagram: &Datagram<'_>, forward: bool) {
        let side = if forward == self.low_began { Side::Initiator } else { Side::Responder };
        self.end = self.end.max(datagram.time);
        let traffic = &mut self.sides[side.index()];
        traffic.packets += u64::from(datagram.packets);
        traffic.octets += u64::from(datagram.octets);
        traffic.payload += datagram.payload.len() as u64;
        match &datagram.segment {
            Some(segment) => self.segment(side, segment, datagram),
            None => {
                if self.state == State::Unanswered && side == Side::Responder {
                    self.state = State::Answered;
                }
                if !datagram.payload.is_empty() && !matches!(self.inspection, Inspection::Over) {
                    let ports = self.ports();
                    let protocol = self.key.protocol;
                    self.inspect(|conversation| conversation.datagram(side, datagram.payload, protocol, ports));
                }
            }
        }
    }

    fn segment(&mut self, side: Side, segment: &Segment, datagram: &Datagram<'_>) {
        self.sides[side.index()].flags |= segment.flags;
        if segment.has(Segment::SYN) {
            self.bases[side.index()] = Some(segment.sequence.wrapping_add(1));
        }
        let [ours, theirs] = [self.sides[0].flags, self.sides[1].flags];
        match self.state {
            State::Unanswered | State::Answered => {
                if segment.has(Segment::RST) {
                    let first = side == Side::Responder && self.sides[1].packets == 1 && theirs & Segment::SYN == 0;
                    self.state = if first { State::Refused } else { State::Reset };
                } else if ours & theirs & Segment::FIN != 0 {
                    self.state = State::Closed;
                } else if self.sides[1].packets > 0 {
                    self.state = State::Answered;
                }
            }
            State::Refused | State::Reset | State::Closed => {}
        }
        if !datagram.payload.is_empty() && !matches!(self.inspection, Inspection::Over) && !segment.has(Segment::RST) {
            let ports = self.ports();
            let syn = u32::from(segment.has(Segment::SYN));
            let sequence = segment.sequence.wrapping_add(syn);
            let base = self.bases[side.index()].unwrap_or(sequence);
            let cut = datagram.cut;
            self.inspect(|conversation| conversation.segment(side, base, sequence, datagram.payload, cut, ports));
        }
    }

    fn ports(&self) -> [u16; 2] {
        [self.initiator().1, self.responder().1]
    }

    fn inspect(&mut self, look: impl FnOnce(&mut stream::Conversation)) {
        if matches!(self.inspection, Inspection::Fresh) {
            self.inspection = Inspection::Active(Box::default());
        }
        if let Inspection::Active(conversation) = &mut self.inspection {
            look(conversation);
            if conversation.over() {
                self.conclude();
            }
        }
    }

    /// Takes what is known out of the inspection and ends it.
    fn conclude(&mut self) {
        if let Inspection::Active(mut conversation) = std::mem::replace(&mut self.inspection, Inspection::Over) {
            let ports = self.ports();
            conversation.finish(ports);
            (self.app, self.facts) = conversation.into_parts();
        }
    }

    /// Bytes on the heap.
    fn heap(&self) -> usize {
        let active = match &self.inspection {
            Inspection::Active(conversation) => conversation.heap(),
            Inspection::Fresh | Inspection::Over => 0,
        };
        active + self.facts.as_ref().map_or(0, |facts| facts.heap())
    }

    const fn has_ended(&self) -> bool {
        matches!(self.state, State::Refused | State::Reset | State::Closed)
    }

    fn is_stream(&self) -> bool {
        self.key.protocol == TCP
    }
}
