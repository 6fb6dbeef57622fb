//! Capture files, frame by frame.
//!
//! [`Reader`] takes any byte source and lends one [`Frame`] after the other out of one buffer: nothing is copied per
//! frame, and memory is bounded by [`MOST`] whatever the file says. A file that ends in the middle is read as far as it
//! goes and then named ([`Error::Truncated`]); after an error there are no more frames.
//!
//! Formats: pcap with all four magics in both byte orders (micro- and nanoseconds, the "modified" 24-byte records), and
//! pcapng (draft-ietf-opsawg-pcapng): several sections and interfaces, enhanced, simple and obsolete packet blocks,
//! `if_tsresol` and `if_tsoffset`.

mod pcap;
mod pcapng;
pub mod write;

use std::io::Read;

/// Bytes a frame may have: libpcap's own limit for USB captures is 128 MiB, for networks 256 KiB.
pub const MOST: usize = 1 << 20;

/// How many bytes are asked for at once.
const CHUNK: usize = 1 << 18;

/// One captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When, in nanoseconds since 1970 UTC.
    pub time: i64,
    /// What the bytes begin with: a number of the LINKTYPE registry.
    pub link: u16,
    /// Bytes on the wire; more than `data` has, where the capture cut it.
    pub length: u32,
    /// What was captured.
    pub data: &'a [u8],
}

/// Why no more frames come.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither pcap nor pcapng.
    #[error("this is neither a pcap nor a pcapng file")]
    Unknown,
    /// The file ends in the middle of a record.
    #[error("the file ends in the middle of a record, {frames} frames before it were read")]
    Truncated {
        /// Frames before it.
        frames: u64,
    },
    /// A record that cannot be.
    #[error("{what} at byte {offset}; {frames} frames before it were read")]
    Malformed {
        /// What cannot be.
        what: &'static str,
        /// Where the record begins.
        offset: u64,
        /// Frames before it.
        frames: u64,
    },
    /// The source failed.
    #[error("reading the capture failed")]
    Io(#[from] std::io::Error),
}

enum Format {
    Pcap(pcap::Header),
    Pcapng(pcapng::Section),
}

/// Where a frame lies in the buffer; the buffer is lent once parsing is over.
struct Place {
    time: i64,
    link: u16,
    length: u32,
    /// From the record's beginning.
    data: std::ops::Range<usize>,
    /// Bytes of the whole record.
    record: usize,
}

/// Reads frames from `R`.
pub struct Reader<R> {
    window: Window<R>,
    format: Format,
    frames: u64,
    over: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the head of the file.
    pub fn new(source: R) -> Result<Self, Error> {
        let mut window = Window { source, buffer: Vec::new(), start: 0, end: 0, offset: 0 };
        let head = window.ask(24)?;
        let format = match head {
            [0x0a, 0x0d, 0x0d, 0x0a, ..] => Format::Pcapng(pcapng::Section::default()),
            _ => {
                let header = pcap::Header::parse(head).ok_or(Error::Unknown)?;
                window.pass(24)?;
                Format::Pcap(header)
            }
        };
        Ok(Self { window, format, frames: 0, over: false })
    }

    /// Frames lent so far.
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// The next frame, or `None` at the end.
    #[allow(clippy::should_implement_trait, reason = "a frame is lent out of the reader, which no Iterator can say")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, Error> {
        if self.over {
            return Ok(None);
        }
        let place = match &mut self.format {
            Format::Pcap(header) => header.record(&mut self.window),
            Format::Pcapng(section) => section.record(&mut self.window),
        };
        match place {
            Ok(Some(place)) => {
                self.frames += 1;
                let at = self.window.start;
                self.window.start += place.record;
                self.window.offset += place.record as u64;
                let data = &self.window.buffer[at + place.data.start..at + place.data.end];
                Ok(Some(Frame { time: place.time, link: place.link, length: place.length, data }))
            }
            Ok(None) => {
                self.over = true;
                Ok(None)
            }
            Err(fault) => {
                self.over = true;
                Err(match fault {
                    Fault::Short => Error::Truncated { frames: self.frames },
                    Fault::Wrong(what) => Error::Malformed { what, offset: self.window.offset, frames: self.frames },
                    Fault::Io(error) => Error::Io(error),
                })
            }
        }
    }
}

/// Why a record could not be read.
enum Fault {
    Short,
    Wrong(&'static str),
    Io(std::io::Error),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// The part of the file that is in memory.
struct Window<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Of `start` in the file.
    offset: u64,
}

impl<R: Read> Window<R> {
    /// At least `length` bytes from here, or all there are.
    fn ask(&mut self, length: usize) -> std::io::Result<&[u8]> {
        if self.end - self.start < length {
            self.fill(length)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    #[cold]
    fn fill(&mut self, length: usize) -> std::io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let room = (length + CHUNK).next_multiple_of(CHUNK);
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        while self.end < length {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // A compressed file that was cut.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Passes over `length` bytes, however many; false when the file ends before.
    fn pass(&mut self, mut length: usize) -> std::io::Result<bool> {
        while length > 0 {
            let here = self.ask(length.min(CHUNK))?.len().min(length);
            if here == 0 {
                return Ok(false);
            }
            self.start += here;
            self.offset += here as u64;
            length -= here;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
