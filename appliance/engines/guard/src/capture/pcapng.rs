//! The pcapng format: blocks in sections, each with its own byte order and interfaces.

use std::io::Read;

use super::{Fault, MOST, Place, Window};

/// Bytes of a block's head and tail: type, length, and the length again.
const FRAME: usize = 12;
/// Interfaces a section may have; more would only cost memory.
const INTERFACES: usize = 1 << 16;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// The section that is being read.
#[derive(Default)]
pub(super) struct Section {
    big: bool,
    interfaces: Vec<Interface>,
    /// Of the last packet: a simple packet block has none of its own.
    time: i64,
}

#[derive(Clone, Copy)]
struct Interface {
    link: u16,
    /// Bytes a packet was cut to; 0 is "not".
    snap: u32,
    resolution: Resolution,
    /// Seconds to add.
    offset: i64,
}

/// Ticks of a time stamp in a second.
#[derive(Clone, Copy)]
enum Resolution {
    Decimal(u8),
    Binary(u8),
}

impl Interface {
    fn time(&self, high: u32, low: u32) -> i64 {
        let ticks = u128::from(high) << 32 | u128::from(low);
        let nanoseconds = match self.resolution {
            Resolution::Decimal(power @ 0..=9) => ticks * 10u128.pow(u32::from(9 - power)),
            Resolution::Decimal(power) => ticks / 10u128.pow(u32::from(power.min(27)) - 9),
            Resolution::Binary(power) => (ticks * 1_000_000_000) >> power.min(127),
        };
        let base = self.offset.saturating_mul(1_000_000_000);
        i64::try_from(nanoseconds).unwrap_or(i64::MAX).saturating_add(base)
    }
}

impl Section {
    /// Finds the next packet, taking up the blocks before it.
    pub(super) fn record<R: Read>(&mut self, window: &mut Window<R>) -> Result<Option<Place>, Fault> {
        loop {
            let here = window.ask(FRAME)?;
            if here.is_empty() {
                return Ok(None);
            }
            let Some(head) = here.first_chunk::<12>() else { return Err(Fault::Short) };
            let kind = [head[0], head[1], head[2], head[3]];
            if u32::from_be_bytes(kind) == SECTION {
                self.big = match [head[8], head[9], head[10], head[11]] {
                    [0x1a, 0x2b, 0x3c, 0x4d] => true,
                    [0x4d, 0x3c, 0x2b, 0x1a] => false,
                    _ => return Err(Fault::Wrong("a section without its byte order")),
                };
                self.interfaces.clear();
            }
            let kind = self.u32(kind);
            let length = self.u32([head[4], head[5], head[6], head[7]]) as usize;
            if length < FRAME {
                return Err(Fault::Wrong("a block that is shorter than its own head"));
            }
            // Blocks are padded to four bytes; some writers forget to say so in the length.
            let length = length.next_multiple_of(4);
            match kind {
                INTERFACE | OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET => {}
                _ => {
                    if !window.pass(length)? {
                        return Err(Fault::Short);
                    }
                    continue;
                }
            }
            if length > MOST + 4096 {
                return Err(Fault::Wrong("a block that is longer than any packet"));
            }
            let block = window.ask(length)?;
            if block.len() < length {
                return Err(Fault::Short);
            }
            let body = &block[8..length - 4];
            if kind == INTERFACE {
                if self.interfaces.len() == INTERFACES {
                    return Err(Fault::Wrong("more interfaces than a section may have"));
                }
                let interface = self.interface(body).ok_or(Fault::Wrong("an interface that says too little"))?;
                self.interfaces.push(interface);
                window.pass(length)?;
                continue;
            }
            let packet = match kind {
                ENHANCED_PACKET => self.enhanced(body),
                SIMPLE_PACKET => self.simple(body),
                _ => self.obsolete(body),
            };
            let mut place = packet.ok_or(Fault::Wrong("a packet that does not fit its block or its interfaces"))?;
            place.data = place.data.start + 8..place.data.end + 8;
            place.record = length;
            self.time = place.time;
            return Ok(Some(place));
        }
    }

    fn u32(&self, bytes: [u8; 4]) -> u32 {
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn u32_at(&self, bytes: &[u8], at: usize) -> Option<u32> {
        Some(self.u32(*bytes.get(at..)?.first_chunk()?))
    }

    fn u16_at(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let pair = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    }

    fn interface(&self, body: &[u8]) -> Option<Interface> {
        let mut interface = Interface {
            link: self.u16_at(body, 0)?,
            snap: self.u32_at(body, 4)?,
            resolution: Resolution::Decimal(6),
            offset: 0,
        };
        let mut at = 8;
        while let (Some(code), Some(length)) = (self.u16_at(body, at), self.u16_at(body, at + 2)) {
            let length = usize::from(length);
            let Some(value) = body.get(at + 4..at + 4 + length) else { break };
            match (code, value) {
                (0, _) => break,
                (9, [power, ..]) if power & 0x80 != 0 => interface.resolution = Resolution::Binary(power & 0x7f),
                (9, [power, ..]) => interface.resolution = Resolution::Decimal(*power),
                (14, value) => {
                    if let Some(bytes) = value.first_chunk::<8>() {
                        interface.offset =
                            if self.big { i64::from_be_bytes(*bytes) } else { i64::from_le_bytes(*bytes) };
                    }
                }
                _ => {}
            }
            at += 4 + length.next_multiple_of(4);
        }
        Some(interface)
    }

    fn enhanced(&self, body: &[u8]) -> Option<Place> {
        let interface = self.interfaces.get(self.u32_at(body, 0)? as usize)?;
        let time = interface.time(self.u32_at(body, 4)?, self.u32_at(body, 8)?);
        self.packet(body, interface.link, time, self.u32_at(body, 12)?, self.u32_at(body, 16)?, 20)
    }

    fn obsolete(&self, body: &[u8]) -> Option<Place> {
        let interface = self.interfaces.get(usize::from(self.u16_at(body, 0)?))?;
        let time = interface.time(self.u32_at(body, 4)?, self.u32_at(body, 8)?);
        self.packet(body, interface.link, time, self.u32_at(body, 12)?, self.u32_at(body, 16)?, 20)
    }

    fn simple(&self, body: &[u8]) -> Option<Place> {
        let interface = self.interfaces.first()?;
        let length = self.u32_at(body, 0)?;
        let captured = if interface.snap == 0 { length } else { length.min(interface.snap) };
        // The block's own length bounds it too: the snap length may be wrong, the padding is at most three bytes.
        let captured = captured.min(u32::try_from(body.len() - 4).ok()?);
        self.packet(body, interface.link, self.time, captured, length, 4)
    }

    fn packet(&self, body: &[u8], link: u16, time: i64, captured: u32, length: u32, at: usize) -> Option<Place> {
        let end = at.checked_add(captured as usize)?;
        (end <= body.len()).then_some(Place { time, link, length, data: at..end, record: 0 })
    }
}
