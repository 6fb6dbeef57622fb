//! The ring of packets on disk: segments of pcapng, the oldest deleted for the newest.
//!
//! A segment is `NUMBER-TIME.pcapng` in the ring's folder: a running number, and the time of its first frame. Together they
//! never have more bytes than [`Limits::bytes`]. What was written survives a restart; a segment that a crash cut in the
//! middle is read as far as it goes, and the next one begins anew. Nothing is synced: a power cut may take the last
//! seconds.

mod extract;

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use crate::{
    capture::write::{Writer, size},
    live::Batch,
};

pub use extract::{Extracted, Wanted, extract};

/// What a segment's name ends with.
const ENDING: &str = ".pcapng";
/// Bytes of a segment's own head, generously: its section and interface blocks.
const HEAD: u64 = 4_096;

/// How much the ring may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes of one.
    pub segment: u64,
}

impl Limits {
    /// A ring of so many bytes, in segments of a sixteenth, between 64 KiB and 64 MiB.
    pub fn of(bytes: u64) -> Self {
        Self { bytes, segment: (bytes / 16).clamp(64 << 10, 64 << 20) }
    }
}

/// A segment on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    number: u64,
    /// First frame, nanoseconds since 1970 UTC.
    first: i64,
    bytes: u64,
}

impl Segment {
    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{:012}-{}{ENDING}", self.number, self.first))
    }

    /// Of a file's name.
    fn of(name: &str, bytes: u64) -> Option<Self> {
        let (number, first) = name.strip_suffix(ENDING)?.split_once('-')?;
        Some(Self { number: number.parse().ok()?, first: first.parse().ok()?, bytes })
    }
}

/// The segments of a folder, the oldest first.
fn segments(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A segment may be deleted meanwhile.
        let Ok(metadata) = entry.metadata() else { continue };
        found.extend(entry.file_name().to_str().and_then(|name| Segment::of(name, metadata.len())));
    }
    found.sort_by_key(|segment| segment.number);
    Ok(found)
}

/// Writes the ring.
#[derive(Debug)]
pub struct Ring {
    folder: PathBuf,
    limits: Limits,
    /// Those that are complete, the oldest first.
    segments: VecDeque<Segment>,
    current: Option<(Segment, Writer<BufWriter<File>>)>,
    next: u64,
}

impl Ring {
    /// Opens or makes the ring of a folder.
    pub fn open(folder: &Path, limits: Limits) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let segments: VecDeque<Segment> = segments(folder)?.into();
        let next = segments.back().map_or(0, |segment| segment.number + 1);
        let mut ring = Self { folder: folder.to_owned(), limits, segments, current: None, next };
        ring.make_room(0)?;
        Ok(ring)
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |(_, writer)| writer.written());
        self.segments.iter().map(|segment| segment.bytes).sum::<u64>() + current
    }

    /// The first frame that it still has, nanoseconds since 1970 UTC.
    pub fn since(&self) -> Option<i64> {
        self.segments.front().or(self.current.as_ref().map(|(segment, _)| segment)).map(|segment| segment.first)
    }

    /// Writes frames, so that they can be read again.
    pub fn write(&mut self, batch: &Batch) -> io::Result<()> {
        for frame in batch.frames() {
            let size = size(frame.data.len());
            let full = self.current.as_ref().is_some_and(|(_, writer)| writer.written() + size > self.limits.segment);
            if full {
                self.close()?;
            }
            if self.current.is_none() {
                self.make_room(self.limits.segment + HEAD + size)?;
                let segment = Segment { number: self.next, first: frame.time, bytes: 0 };
                let file = File::options().write(true).create_new(true).open(segment.path(&self.folder))?;
                self.next += 1;
                self.current = Some((segment, Writer::new(BufWriter::with_capacity(64 << 10, file))?));
            }
            if let Some((_, writer)) = &mut self.current
                && let Err(error) = writer.frame(&batch.interface, &frame)
            {
                // What is half written is the torn end of this segment.
                self.abandon();
                return Err(error);
            }
        }
        match &mut self.current {
            Some((_, writer)) => writer.flush(),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> io::Result<()> {
        let Some((mut segment, mut writer)) = self.current.take() else { return Ok(()) };
        segment.bytes = writer.written();
        self.segments.push_back(segment);
        writer.flush()
    }

    fn abandon(&mut self) {
        let Some((mut segment, writer)) = self.current.take() else { return };
        segment.bytes = writer.written();
        self.segments.push_back(segment);
    }

    /// Deletes the oldest until so many bytes more fit.
    fn make_room(&mut self, wanted: u64) -> io::Result<()> {
        while self.bytes() + wanted > self.limits.bytes {
            let Some(oldest) = self.segments.pop_front() else { break };
            match fs::remove_file(oldest.path(&self.folder)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.segments.push_front(oldest);
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        capture::Reader,
        flow::community,
        frames::{self, inside, outside},
        packet::{Address, UDP},
    };

    fn batch(frames: &[(i64, Vec<u8>)]) -> Batch {
        let mut batch = Batch::new(Arc::from("eth0"), 1);
        for (time, data) in frames {
            batch.push(*time, u32::try_from(data.len()).expect("short"), data);
        }
        batch
    }

    fn id(host: u8, port: u16) -> String {
        let address = |host: frames::Host| Address::four(host.address.octets());
        community::id(false, UDP, (address(inside(host)), port), (address(outside(9)), 53))
    }

    fn times(file: &[u8]) -> Vec<i64> {
        let mut reader = Reader::new(file).expect("a file");
        let mut times = Vec::new();
        while let Some(frame) = reader.next().expect("whole") {
            times.push(frame.time);
        }
        times
    }

    #[test]
    fn a_flows_packets_come_back_across_segments_restarts_and_a_torn_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = Limits { bytes: 1 << 20, segment: 2_000 };
        let mut sent = Vec::new();
        for life in 0..3i64 {
            let mut ring = Ring::open(folder.path(), limits).expect("opens");
            for number in 0..40i64 {
                let time = (life * 100 + number) * 1_000_000_000;
                let client = if number % 4 == 0 { 7 } else { 8 };
                let frame = frames::udp((inside(client), 5_000), (outside(9), 53), &[7; 100]);
                ring.write(&batch(&[(time, frame)])).expect("writes");
                if client == 7 {
                    sent.push(time);
                }
            }
            // The program is killed in the middle of a block.
            let (segment, _) = ring.current.as_ref().expect("one is open");
            let path = segment.path(folder.path());
            let length = fs::metadata(&path).expect("is there").len();
            File::options().write(true).open(&path).expect("opens").set_len(length - 30).expect("is cut");
        }
        let wanted = Wanted::Flow(id(7, 5_000));
        let mut out = Vec::new();
        let extracted = extract(folder.path(), &wanted, 0, i64::MAX, 1 << 20, &mut out).expect("reads");
        assert_eq!(times(&out), sent, "the last frame of each life was another's");
        assert_eq!((extracted.frames, extracted.complete), (30, true));

        let mut out = Vec::new();
        extract(folder.path(), &wanted, sent[3], sent[5], 1 << 20, &mut out).expect("reads");
        assert_eq!(times(&out), sent[3..=5]);
        let mut out = Vec::new();
        let extracted = extract(folder.path(), &wanted, 0, i64::MAX, 500, &mut out).expect("reads");
        assert!(!extracted.complete && out.len() <= 500);
        let mut out = Vec::new();
        let host = Wanted::Host(inside(8).address.into());
        assert_eq!(extract(folder.path(), &host, 0, i64::MAX, 1 << 20, &mut out).expect("reads").frames, 87);
        let mut out = Vec::new();
        assert_eq!(extract(folder.path(), &Wanted::All, 0, i64::MAX, 1 << 20, &mut out).expect("reads").frames, 117);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        /// However frames are cut into batches and lives: the bound holds, and what is there is the newest.
        #[test]
        fn the_bound_holds(lives in prop::collection::vec(prop::collection::vec(0usize..1_500, 1..60), 1..4)) {
            let folder = tempfile::tempdir().expect("a folder");
            let limits = Limits { bytes: 40_000, segment: 4_000 };
            let mut time = 0;
            for sizes in &lives {
                let mut ring = Ring::open(folder.path(), limits).expect("opens");
                for size in sizes {
                    time += 1;
                    ring.write(&batch(&[(time, vec![7; *size])])).expect("writes");
                    let on_disk: u64 = segments(folder.path()).expect("lists").iter().map(|segment| segment.bytes).sum();
                    prop_assert!(on_disk <= limits.bytes, "{on_disk}");
                    prop_assert_eq!(on_disk, ring.bytes());
                }
            }
            let mut all = Vec::new();
            for segment in segments(folder.path()).expect("lists") {
                all.extend(times(&fs::read(segment.path(folder.path())).expect("reads")));
            }
            let first = all.first().copied().unwrap_or(time + 1);
            prop_assert_eq!(all, (first..=time).collect::<Vec<_>>());
        }
    }
}
