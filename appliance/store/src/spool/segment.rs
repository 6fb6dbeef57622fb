//! The index of one segment file: which positions are in it and where, and which of them are lost.
//!
//! An index covers its segment without a hole: a position is in a [`Block`](Entry), or in an entry without a place
//! because damage took it. The file of a writer that is still at work grows, and its last block may be half written; so
//! an *open* segment's unreadable tail is waited for, a *sealed* segment's is lost. Only the headers are read here; a
//! payload's damage shows when it is read.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, path::Path};

use super::block::{self, Columns, HEADER, Header};

/// Bytes read at once while looking for headers. Small blocks come by the hundred, large payloads are skipped.
const WINDOW: usize = 64 * 1024;

/// A run of positions of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First position.
    pub first: u64,
    /// How many.
    pub points: u64,
    /// Earliest time; of a lost run, of the last point before it.
    pub from: i64,
    /// Latest time; of a lost run, of the first point after it.
    pub to: i64,
    /// Where the block's header begins; `None` when the run is lost.
    pub offset: Option<u64>,
}

impl Entry {
    /// Its positions.
    pub fn range(&self) -> Range<u64> {
        self.first..self.first.saturating_add(self.points)
    }
}

/// The index of a segment file.
#[derive(Debug)]
pub struct Index {
    file: File,
    entries: Vec<Entry>,
    /// Bytes understood so far.
    offset: u64,
    /// The position after the last entry.
    next: u64,
    last_time: i64,
    sealed: bool,
    damaged: u64,
}

impl Index {
    /// Opens a segment whose first position is `first`. Nothing is read yet.
    pub fn open(path: &Path, first: u64) -> io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            entries: Vec::new(),
            offset: 0,
            next: first,
            last_time: 0,
            sealed: false,
            damaged: 0,
        })
    }

    /// What is known so far.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries that hold `position` and what follows.
    pub fn entries_from(&self, position: u64) -> &[Entry] {
        &self.entries[self.entries.partition_point(|e| e.range().end <= position)..]
    }

    /// The position after the last entry.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Bytes that were skipped because no header could be found in them.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Bytes of sound blocks, the length to which a torn file is cut.
    pub fn sound_length(&self) -> u64 {
        self.offset
    }

    /// Reads on to the end of the file. `successor` is the first position of the segment after this one, which says that
    /// this one is sealed. Returns whether anything was found.
    pub fn extend(&mut self, successor: Option<u64>) -> io::Result<bool> {
        if self.sealed {
            return Ok(false);
        }
        let known = self.entries.len();
        let length = self.file.metadata()?.len();
        let mut window = Window::default();
        while self.offset < length {
            if self.offset == 0 {
                let mark = window.get(&self.file, 0, block::SEGMENT_MARK.len(), length)?;
                if mark == Some(&block::SEGMENT_MARK[..]) {
                    self.offset = mark.map_or(0, |m| m.len() as u64);
                    continue;
                }
            }
            let header = window.get(&self.file, self.offset, HEADER, length)?.and_then(block::header);
            match header.filter(|h| self.follows(h, successor)) {
                Some(header) => {
                    let end = self.offset + HEADER as u64 + u64::from(header.length);
                    if end > length {
                        break;
                    }
                    self.push(&header);
                    self.offset = end;
                }
                None => match self.resynchronise(length, successor)? {
                    Some(offset) => {
                        self.damaged += offset - self.offset;
                        self.offset = offset;
                    }
                    None => break,
                },
            }
        }
        if let Some(successor) = successor {
            self.seal(length, successor);
        }
        Ok(self.entries.len() > known)
    }

    /// Appends a block's points to `into`. `Ok(false)`: the block is damaged, and `into` is as it was.
    pub fn read(&self, entry: &Entry, into: &mut Columns) -> io::Result<bool> {
        let Some(offset) = entry.offset else { return Ok(false) };
        let mut head = [0; HEADER];
        match self.file.read_exact_at(&mut head, offset) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        let Some(header) = block::header(&head).filter(|h| h.first == entry.first) else { return Ok(false) };
        let mut payload = vec![0; header.length as usize];
        match self.file.read_exact_at(&mut payload, offset + HEADER as u64) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        Ok(block::decode(&header, &payload, into).is_some())
    }

    /// Makes what was written durable, whichever process wrote it.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// A header is believed when it continues this segment: a stale or copied block does not.
    fn follows(&self, header: &Header, successor: Option<u64>) -> bool {
        header.first >= self.next
            && super::incarnation(header.first) == super::incarnation(self.next)
            && successor.is_none_or(|s| header.first + u64::from(header.points) <= s)
    }

    fn push(&mut self, header: &Header) {
        self.lose_until(header.first, header.from);
        self.entries.push(Entry {
            first: header.first,
            points: u64::from(header.points),
            from: header.from,
            to: header.to,
            offset: Some(self.offset),
        });
        self.next = header.first + u64::from(header.points);
        self.last_time = header.to;
    }

    fn lose_until(&mut self, first: u64, time: i64) {
        if first > self.next {
            let before = if self.entries.is_empty() { time } else { self.last_time };
            self.entries.push(Entry {
                first: self.next,
                points: first - self.next,
                from: before.min(time),
                to: before.max(time),
                offset: None,
            });
            self.next = first;
        }
    }

    fn resynchronise(&self, length: u64, successor: Option<u64>) -> io::Result<Option<u64>> {
        // Damage is rare and a segment small: the rest of it is read as a whole.
        let mut rest = vec![0; usize::try_from(length - self.offset).unwrap_or(0)];
        self.file.read_exact_at(&mut rest, self.offset)?;
        let mut start = 1;
        while let Some(found) = block::find_header(&rest, start) {
            if block::header(&rest[found..]).is_some_and(|h| self.follows(&h, successor)) {
                return Ok(Some(self.offset + found as u64));
            }
            start = found + 1;
        }
        Ok(None)
    }

    fn seal(&mut self, length: u64, successor: u64) {
        self.damaged += length.saturating_sub(self.offset);
        self.offset = self.offset.max(length);
        if super::incarnation(successor) == super::incarnation(self.next) {
            let time = self.last_time;
            self.lose_until(successor, time);
        }
        self.sealed = true;
    }
}

/// A piece of the file in memory.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// `count` bytes at `offset`, `None` when the file ends before.
    fn get(&mut self, file: &File, offset: u64, count: usize, length: u64) -> io::Result<Option<&[u8]>> {
        if offset + count as u64 > length {
            return Ok(None);
        }
        let inside = offset >= self.start && offset + count as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            let size = (length - offset).min(WINDOW as u64) as usize;
            self.bytes.resize(size, 0);
            file.read_exact_at(&mut self.bytes, offset)?;
            self.start = offset;
        }
        let begin = (offset - self.start) as usize;
        Ok(Some(&self.bytes[begin..begin + count]))
    }
}
