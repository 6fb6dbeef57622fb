//! A flow's, a host's or a device's packets out of the ring.

use std::{
    fs::File,
    io::{self, Write},
    net::IpAddr,
    path::Path,
};

use serde::Serialize;

use crate::{
    capture::{
        self, Frame, Reader,
        write::{Writer, size},
    },
    device::Mac,
    flow::{Key, community},
    packet::{Arp, Datagram, Decoder, Sink},
    recent::Recent,
};

/// How far frames of one segment may lie before its first, or behind the next one's: interfaces run back and forth.
const SLACK: i64 = 5_000_000_000;
/// Flows whose identity is remembered while one is looked for.
const REMEMBERED: usize = 1 << 16;
/// Bytes of datagrams in pieces that are put together while looking.
const FRAGMENTS: usize = 1 << 20;

/// Which packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those of a flow, by its community id.
    Flow(String),
    /// Those that a host sends or receives.
    Host(IpAddr),
    /// Those between two hosts.
    Pair(IpAddr, IpAddr),
    /// Those that a device sends or receives.
    Device(Mac),
    /// All of them.
    All,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Extracted {
    /// Frames.
    pub frames: u64,
    /// Whether all of them fitted.
    pub complete: bool,
}

/// Writes what is wanted and was captured from `from` to `to` (nanoseconds since 1970 UTC, both included) as pcapng, at most
/// `most` bytes. Of a datagram in pieces the last piece is found by its flow, all of them by their hosts.
pub fn extract(
    folder: &Path,
    wanted: &Wanted,
    from: i64,
    to: i64,
    most: u64,
    out: &mut impl Write,
) -> io::Result<Extracted> {
    let mut writer = Writer::new(out)?;
    let mut extracted = Extracted { frames: 0, complete: true };
    let mut looking = Looking { wanted, known: Recent::new(REMEMBERED), hit: false };
    let mut decoder = Decoder::new(FRAGMENTS);
    let segments = match super::segments(folder) {
        Ok(segments) => segments,
        // Nothing was ever captured.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    for (index, segment) in segments.iter().enumerate() {
        let until = segments.get(index + 1).map_or(i64::MAX, |next| next.first.saturating_add(SLACK));
        if segment.first.saturating_sub(SLACK) > to || until < from {
            continue;
        }
        let file = match File::open(segment.path(folder)) {
            Ok(file) => file,
            // The ring went on meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // A segment without even a head was cut at once.
        let Ok(mut reader) = Reader::new(file) else { continue };
        loop {
            let frame = match reader.next() {
                Ok(Some(frame)) => frame,
                Err(capture::Error::Io(error)) => return Err(error),
                // The torn end of a life.
                Ok(None) | Err(_) => break,
            };
            if frame.time < from || frame.time > to || !looking.finds(&frame, &mut decoder) {
                continue;
            }
            // An interface's block may come before it.
            if writer.written() + size(frame.data.len()) + 64 > most {
                extracted.complete = false;
                writer.flush()?;
                return Ok(extracted);
            }
            writer.frame("", &frame)?;
            extracted.frames += 1;
        }
    }
    writer.flush()?;
    Ok(extracted)
}

struct Looking<'a> {
    wanted: &'a Wanted,
    /// Whether a flow is the wanted one.
    known: Recent<Key, bool>,
    hit: bool,
}

impl Looking<'_> {
    fn finds(&mut self, frame: &Frame<'_>, decoder: &mut Decoder) -> bool {
        if *self.wanted == Wanted::All {
            return true;
        }
        self.hit = false;
        if let Wanted::Device(mac) = self.wanted
            && frame.link == 1
            && let Some((head, _)) = frame.data.split_first_chunk::<12>()
        {
            return head[..6] == mac.0 || head[6..] == mac.0;
        }
        decoder.frame(frame, self);
        self.hit
    }

    fn between(&mut self, source: IpAddr, destination: IpAddr) {
        self.hit |= match self.wanted {
            Wanted::Host(host) => [source, destination].contains(host),
            Wanted::Pair(one, other) => {
                (source, destination) == (*one, *other) || (source, destination) == (*other, *one)
            }
            Wanted::Flow(_) | Wanted::Device(_) | Wanted::All => false,
        };
    }
}

impl Sink for Looking<'_> {
    fn datagram(&mut self, datagram: &Datagram<'_>) {
        if let Wanted::Flow(wanted) = self.wanted {
            let (key, _) = Key::of(datagram);
            let six = datagram.six;
            self.hit |= *self.known.entry(key, || {
                community::id(six, key.protocol, (key.low, key.low_port), (key.high, key.high_port)) == *wanted
            });
        }
        self.between(datagram.source.ip(datagram.six), datagram.destination.ip(datagram.six));
    }

    fn arp(&mut self, arp: &Arp) {
        self.between(IpAddr::V4(arp.sender.1), IpAddr::V4(arp.target.1));
    }
}
