//! The pcap format (draft-ietf-opsawg-pcap): a header of 24 bytes, then records.

use std::io::Read;

use super::{Fault, MOST, Place, Window};

/// What the file's header says about its records.
pub(super) struct Header {
    big: bool,
    nanoseconds: bool,
    /// Bytes before a record's data.
    head: usize,
    link: u16,
}

impl Header {
    /// Reads the file's header; `None` when it is no pcap file.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 24] = bytes.first_chunk()?;
        let magic = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let (big, nanoseconds, head) = match magic {
            0xa1b2_c3d4 => (false, false, 16),
            0xd4c3_b2a1 => (true, false, 16),
            0xa1b2_3c4d => (false, true, 16),
            0x4d3c_b2a1 => (true, true, 16),
            // Kuznetzov's patched libpcap: interface, protocol and packet type follow each record's header.
            0xa1b2_cd34 => (false, false, 24),
            0x34cd_b2a1 => (true, false, 24),
            _ => return None,
        };
        let [.., a, b, c, d] = *bytes;
        // The upper half says how long the frame check sequence is.
        let link = if big { u16::from_be_bytes([c, d]) } else { u16::from_le_bytes([a, b]) };
        Some(Self { big, nanoseconds, head, link })
    }

    /// Finds the next record.
    pub(super) fn record<R: Read>(&mut self, window: &mut Window<R>) -> Result<Option<Place>, Fault> {
        let here = window.ask(self.head)?;
        if here.is_empty() {
            return Ok(None);
        }
        let Some(head) = here.first_chunk::<16>().filter(|_| here.len() >= self.head) else {
            return Err(Fault::Short);
        };
        let number = |at: usize| {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let scale = if self.nanoseconds { 1 } else { 1_000 };
        let time = i64::from(number(0)) * 1_000_000_000 + i64::from(number(4)) * scale;
        let (captured, length) = (number(8) as usize, number(12));
        if captured > MOST {
            return Err(Fault::Wrong("a frame that is longer than any network carries"));
        }
        let record = self.head + captured;
        if window.ask(record)?.len() < record {
            return Err(Fault::Short);
        }
        Ok(Some(Place { time, link: self.link, length, data: self.head..record, record }))
    }
}
