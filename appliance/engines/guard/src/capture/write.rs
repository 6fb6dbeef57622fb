//! Frames into a pcapng file (draft-ietf-opsawg-pcapng): a section, its interfaces, and enhanced packet blocks with times
//! in nanoseconds. Little-endian.

use std::io::{self, Write};

use super::Frame;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
/// `if_tsresol`: times are 10⁻⁹ s.
const NANOSECONDS: [u8; 8] = [9, 0, 1, 0, 9, 0, 0, 0];
/// `if_name`.
const NAME: u16 = 2;

/// Bytes that a frame of so many takes in a file.
pub const fn size(captured: usize) -> u64 {
    (32 + captured.next_multiple_of(4)) as u64
}

/// Writes a file.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    /// Name and link type of each interface block.
    interfaces: Vec<(String, u16)>,
    written: u64,
    block: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = Self { out, interfaces: Vec::new(), written: 0, block: Vec::new() };
        writer.begin(SECTION);
        // Byte order, version 1.0, a section of unknown length.
        writer.block.extend([0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0]);
        writer.block.extend([0xff; 8]);
        writer.end()?;
        Ok(writer)
    }

    /// Bytes written.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// A frame that an interface saw.
    pub fn frame(&mut self, interface: &str, frame: &Frame<'_>) -> io::Result<()> {
        let known = self.interfaces.iter().position(|(name, link)| name == interface && *link == frame.link);
        let index = match known {
            Some(index) => index,
            None => self.interface(interface, frame.link)?,
        };
        // Before 1970 there were no captures.
        let time = u64::try_from(frame.time).unwrap_or_default().to_le_bytes();
        let captured = u32::try_from(frame.data.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.begin(PACKET);
        self.block.extend(u32::try_from(index).unwrap_or(u32::MAX).to_le_bytes());
        self.block.extend(&time[4..]);
        self.block.extend(&time[..4]);
        self.block.extend(captured.to_le_bytes());
        self.block.extend(frame.length.max(captured).to_le_bytes());
        self.block.extend(frame.data);
        self.end()
    }

    /// What is behind it.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Hands what was written on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn interface(&mut self, name: &str, link: u16) -> io::Result<usize> {
        self.begin(INTERFACE);
        self.block.extend(link.to_le_bytes());
        // Reserved, and no snap length.
        self.block.extend([0; 6]);
        if !name.is_empty() {
            let length = u16::try_from(name.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            self.block.extend(NAME.to_le_bytes());
            self.block.extend(length.to_le_bytes());
            self.block.extend(name.as_bytes());
            self.block.resize(self.block.len().next_multiple_of(4), 0);
        }
        self.block.extend(NANOSECONDS);
        self.block.extend([0; 4]);
        self.end()?;
        self.interfaces.push((name.to_owned(), link));
        Ok(self.interfaces.len() - 1)
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.block.extend(kind.to_le_bytes());
        self.block.extend([0; 4]);
    }

    fn end(&mut self) -> io::Result<()> {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
        let length = u32::try_from(self.block.len() + 4).map_err(|_| io::ErrorKind::InvalidInput)?.to_le_bytes();
        self.block.extend(length);
        self.block[4..8].copy_from_slice(&length);
        self.out.write_all(&self.block)?;
        self.written += self.block.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::Reader;

    /// Interface, time, link type, data.
    type Sent = (bool, i64, u16, Vec<u8>);

    proptest! {
        /// What is written is read again, to the nanosecond.
        #[test]
        fn frames_come_back(frames in prop::collection::vec((any::<bool>(), 0i64..1 << 62, 0u16..300, prop::collection::vec(any::<u8>(), 0..90)), 0..20)) {
            let frames: Vec<Sent> = frames;
            let mut writer = Writer::new(Vec::new()).expect("memory");
            for (second, time, link, data) in &frames {
                let length = u32::try_from(data.len()).expect("short") + 7;
                let frame = Frame { time: *time, link: *link, length, data };
                writer.frame(if *second { "eth1" } else { "" }, &frame).expect("memory");
            }
            prop_assert_eq!(writer.written(), writer.out.len() as u64);
            let mut reader = Reader::new(writer.out.as_slice()).expect("a file");
            for (_, time, link, data) in &frames {
                let frame = reader.next().expect("whole").expect("a frame");
                prop_assert_eq!((frame.time, frame.link, frame.data), (*time, *link, data.as_slice()));
                prop_assert_eq!(frame.length as usize, data.len() + 7);
            }
            prop_assert!(reader.next().expect("whole").is_none());
        }
    }
}
