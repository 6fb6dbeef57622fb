//! Capture files are written here byte by byte, as their specifications have them.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn pcap(big: bool, magic: u32, link: u32, records: &[(u32, u32, &[u8])], extra: usize) -> Vec<u8> {
    let u32 = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let u16 = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut out = Vec::new();
    out.extend(u32(magic));
    out.extend(u16(2));
    out.extend(u16(4));
    out.extend([0; 8]);
    out.extend(u32(262_144));
    out.extend(u32(link));
    for (seconds, fraction, data) in records {
        let length = u32::try_from(data.len()).expect("short");
        for value in [*seconds, *fraction, length, length + 7] {
            out.extend(if big { value.to_be_bytes() } else { value.to_le_bytes() });
        }
        out.extend(vec![0; extra]);
        out.extend(*data);
    }
    out
}

fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let u32 = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let length = u32::try_from(body.len().next_multiple_of(4) + 12).expect("short");
    let mut out = Vec::new();
    out.extend(u32(kind));
    out.extend(u32(length));
    out.extend(body);
    out.resize(body.len().next_multiple_of(4) + 8, 0);
    out.extend(u32(length));
    out
}

/// Time, link, length on the wire, bytes.
type Told = (i64, u16, u32, Vec<u8>);

fn all(bytes: &[u8]) -> (Vec<Told>, Option<Error>) {
    let mut reader = match Reader::new(Cursor::new(bytes)) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut frames = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(frame)) => frames.push((frame.time, frame.link, frame.length, frame.data.to_vec())),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

#[test]
fn every_magic_of_pcap_is_read() {
    for (magic, scale, extra) in [(0xa1b2_c3d4, 1_000, 0), (0xa1b2_3c4d, 1, 0), (0xa1b2_cd34, 1_000, 8)] {
        for big in [false, true] {
            let (frames, error) = all(&pcap(big, magic, 0x1000_0001, &[(5, 9, b"abc"), (6, 0, b"")], extra));
            assert!(error.is_none());
            assert_eq!(frames[0], (5_000_000_000 + 9 * scale, 1, 10, b"abc".to_vec()), "{magic:x} {big}");
            assert_eq!(frames[1], (6_000_000_000, 1, 7, Vec::new()));
        }
    }
}

#[test]
fn a_file_that_was_cut_is_read_as_far_as_it_goes() {
    let whole = pcap(false, 0xa1b2_c3d4, 1, &[(1, 0, b"first"), (2, 0, b"second")], 0);
    for end in whole.len() - 21..whole.len() {
        let (frames, error) = all(&whole[..end]);
        assert_eq!(frames.len(), 1);
        assert!(matches!(error, Some(Error::Truncated { frames: 1 })), "{end}");
    }
    assert!(matches!(all(b"no capture at all, whatever it is").1, Some(Error::Unknown)));
    assert!(matches!(all(b"").1, Some(Error::Unknown)));
}

#[test]
fn pcapng_knows_sections_interfaces_and_their_clocks() {
    for big in [false, true] {
        let u32 = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let u16 = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let section = || {
            let mut body = u32(0x1a2b_3c4d).to_vec();
            body.extend([0; 12]);
            block(big, SECTION_BLOCK, &body)
        };
        let interface = |link: u16, snap: u32, options: &[(u16, &[u8])]| {
            let mut body = [u16(link), u16(0)].concat();
            body.extend(u32(snap));
            for (code, value) in options {
                body.extend(u16(*code));
                body.extend(u16(u16::try_from(value.len()).expect("short")));
                body.extend(*value);
                body.resize(body.len().next_multiple_of(4), 0);
            }
            block(big, 1, &body)
        };
        let enhanced = |interface: u32, ticks: u64, data: &[u8]| {
            let length = u32(u32::try_from(data.len()).expect("short"));
            let [high, low] = [ticks >> 32, ticks & 0xffff_ffff].map(|half| u32(u32::try_from(half).expect("a half")));
            block(big, 6, &[&u32(interface)[..], &high, &low, &length, &length, data].concat())
        };
        let offset: i64 = 100;
        let offset = if big { offset.to_be_bytes() } else { offset.to_le_bytes() };
        let file = [
            section(),
            interface(1, 0, &[]),
            interface(101, 3, &[(9, &[9])]),
            interface(113, 0, &[(9, &[0x80 | 10]), (14, &offset)]),
            block(big, 0x0bad, b"a block nobody knows"),
            enhanced(0, 5_000_000, b"microseconds"),
            enhanced(1, 6_000_000_000, b"ns"),
            enhanced(2, 2048, b"binary, and later"),
            section(),
            interface(228, 4, &[]),
            block(big, 3, &[&u32(9)[..], b"cut to 4 "].concat()),
        ]
        .concat();
        let (frames, error) = all(&file);
        assert!(error.is_none(), "{error:?}");
        let told: Vec<_> = frames.iter().map(|(time, link, length, data)| (*time, *link, *length, &data[..])).collect();
        assert_eq!(
            told,
            [
                (5_000_000_000, 1, 12, &b"microseconds"[..]),
                (6_000_000_000, 101, 2, b"ns"),
                (102_000_000_000, 113, 17, b"binary, and later"),
                (102_000_000_000, 228, 9, b"cut "),
            ]
        );
    }
}

const SECTION_BLOCK: u32 = 0x0a0d_0d0a;

proptest! {
    #[test]
    fn arbitrary_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..400), magic in 0usize..4) {
        let mut file = [&[0xd4, 0xc3, 0xb2, 0xa1][..], &[0x0a, 0x0d, 0x0d, 0x0a], &[0xa1, 0xb2, 0x3c, 0x4d], &[]][magic].to_vec();
        file.extend(bytes);
        let _ = all(&file);
    }

    /// Whatever the source hands over at once, the same frames come out.
    #[test]
    fn sources_may_be_slow(sizes in prop::collection::vec(1usize..9, 1..50), lengths in prop::collection::vec(0usize..300, 0..20)) {
        struct Slow<'a>(&'a [u8], Vec<usize>, usize);
        impl Read for Slow<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let most = self.1[self.2 % self.1.len()].min(buffer.len()).min(self.0.len());
                self.2 += 1;
                buffer[..most].copy_from_slice(&self.0[..most]);
                self.0 = &self.0[most..];
                Ok(most)
            }
        }
        let data = [7; 300];
        let records: Vec<_> = lengths.iter().map(|length| (1, 2, &data[..*length])).collect();
        let file = pcap(true, 0xa1b2_c3d4, 1, &records, 0);
        let mut reader = Reader::new(Slow(&file, sizes, 0)).expect("a header");
        for length in lengths {
            prop_assert_eq!(reader.next().expect("a frame").expect("a frame").data.len(), length);
        }
        prop_assert!(reader.next().expect("the end").is_none());
    }
}
