//! The reading side: blocks in order from a cursor, only what is durable, damage passed over and counted.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    Queue, QueueError,
    block::{self, Entries, HEADER, Header, SEGMENT_MARK},
};
use crate::intake::normalise::Arrival;

/// Blocks that were read together. Used again for the next ones.
#[derive(Debug, Default)]
pub struct Blocks {
    blocks: Vec<(Header, std::ops::Range<usize>)>,
    payloads: Vec<u8>,
    from: u64,
    end: u64,
}

impl Blocks {
    /// Their entries with their positions, in order, from the reader's cursor on.
    pub fn entries(&self) -> impl Iterator<Item = (u64, Arrival<'_>)> {
        let all = self.blocks.iter().flat_map(|(header, range)| Entries::new(header, &self.payloads[range.clone()]));
        all.skip_while(|(position, _)| *position < self.from)
    }

    /// How many entries, those before the cursor included.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|(header, _)| header.entries as usize).sum()
    }

    /// Nothing was there to read.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Where the reader stands after them.
    pub fn end(&self) -> u64 {
        self.end
    }
}

/// A consumer's way through the queue.
#[derive(Debug)]
pub struct Reader {
    queue: Arc<Queue>,
    name: String,
    cursor: u64,
    /// Where the durable part ended when it last read: nothing before that is left.
    seen: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    first: u64,
    file: File,
    offset: u64,
}

impl Reader {
    pub(super) fn new(queue: Arc<Queue>, name: String, cursor: u64) -> Self {
        Self { queue, name, cursor, seen: 0, open: None }
    }

    /// Everything before this was read.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Reads the next durable blocks, about `most` entries or `bytes` bytes of them, into `blocks`, which is empty
    /// afterwards when there are none. A single block may be larger.
    pub fn read(&mut self, most: usize, bytes: usize, blocks: &mut Blocks) -> Result<(), QueueError> {
        blocks.blocks.clear();
        blocks.payloads.clear();
        blocks.from = self.cursor;
        let durable = self.queue.durable_end();
        self.seen = durable;
        let mut entries = 0;
        while entries < most && blocks.payloads.len() < bytes && self.cursor < durable {
            let Some(header) = self.next(durable, &mut blocks.payloads)? else { break };
            entries += header.entries as usize;
            let end = blocks.payloads.len();
            blocks.blocks.push((header, end - header.length as usize..end));
            self.cursor = header.first + u64::from(header.entries);
        }
        blocks.end = self.cursor;
        Ok(())
    }

    /// After a read that found nothing: waits on the calling thread until more is durable, `most` at the longest. Answers
    /// whether there is more.
    pub fn wait(&self, most: Duration) -> bool {
        self.queue.wait(self.seen, most)
    }

    /// Says that everything before `cursor` is stored elsewhere, cursor included: the queue may forget it.
    pub fn stored(&self, cursor: u64) -> Result<(), QueueError> {
        self.queue.passed(&self.name, cursor, false)
    }

    /// Says that everything before `cursor` is done with, and keeps the cursor here, durably.
    pub fn done(&self, cursor: u64) -> Result<(), QueueError> {
        self.queue.passed(&self.name, cursor, true)
    }

    /// The next sound block at or after the cursor; its payload is appended to `into`.
    fn next(&mut self, durable: u64, into: &mut Vec<u8>) -> Result<Option<Header>, QueueError> {
        loop {
            self.find()?;
            let Some(open) = &mut self.open else { return Ok(None) };
            let path = segment_path(self.queue.folder(), open.first);
            let io = |e| QueueError::io(&path, e);
            let length = open.file.metadata().map_err(io)?.len();
            let mut head = [0; HEADER];
            let header = match open.file.read_exact_at(&mut head, open.offset) {
                Ok(()) => block::header(&head),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => None,
                Err(e) => return Err(io(e)),
            };
            if let Some(header) = header.filter(|h| open.offset + HEADER as u64 + u64::from(h.length) <= length) {
                if header.first >= durable {
                    return Ok(None);
                }
                let begin = into.len();
                into.resize(begin + header.length as usize, 0);
                let at = open.offset + HEADER as u64;
                open.file.read_exact_at(&mut into[begin..], at).map_err(io)?;
                let whole = block::is_whole(&header, &into[begin..]);
                let wanted = header.first + u64::from(header.entries) > self.cursor;
                open.offset = at + u64::from(header.length);
                if whole && wanted {
                    return Ok(Some(header));
                }
                into.truncate(begin);
                if !whole {
                    tracing::warn!(path = %path.display(), position = header.first, "a block of the log queue is damaged");
                    self.queue.damaged(u64::from(header.length));
                }
                continue;
            }
            // Nothing more here: the segment's end, or damage.
            let sealed = segments(self.queue.folder()).map_err(io)?.into_iter().find(|s| *s > open.first);
            if open.offset < length && sealed.is_some() {
                let mut rest = vec![0; (length - open.offset) as usize];
                open.file.read_exact_at(&mut rest, open.offset).map_err(io)?;
                let found = block::find_header(&rest, 1).map_or(length, |at| open.offset + at as u64);
                tracing::warn!(path = %path.display(), bytes = found - open.offset, "a part of the log queue is damaged");
                self.queue.damaged(found - open.offset);
                open.offset = found;
                continue;
            }
            match sealed {
                Some(next) => self.open = Some(open_segment(self.queue.folder(), next)?),
                None => return Ok(None),
            }
        }
    }

    /// Opens the segment the cursor is in, if there is one.
    fn find(&mut self) -> Result<(), QueueError> {
        if self.open.is_none() {
            let folder = self.queue.folder();
            let present = segments(folder).map_err(|e| QueueError::io(folder, e))?;
            let place = present.partition_point(|s| *s <= self.cursor).saturating_sub(1);
            if let Some(first) = present.get(place) {
                self.open = Some(open_segment(folder, *first)?);
            }
        }
        Ok(())
    }
}

fn open_segment(folder: &Path, first: u64) -> Result<Open, QueueError> {
    let path = segment_path(folder, first);
    let file = File::open(&path).map_err(|e| QueueError::io(&path, e))?;
    Ok(Open { first, file, offset: SEGMENT_MARK.len() as u64 })
}

/// First positions of the segments, in order.
pub fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let first = name.to_str().and_then(|n| n.strip_suffix(".seg")).filter(|n| n.len() == 16);
        found.extend(first.and_then(|n| u64::from_str_radix(n, 16).ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Where a segment is.
pub fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:016x}.seg"))
}

/// Cuts a half written block off the last segment of the process before. Answers with the position after its last entry.
pub fn cut_torn_tail(folder: &Path, first: u64) -> Result<u64, QueueError> {
    let path = segment_path(folder, first);
    let io = |e| QueueError::io(&path, e);
    let bytes = fs::read(&path).map_err(io)?;
    let (mut at, mut end) = (SEGMENT_MARK.len().min(bytes.len()), first);
    loop {
        let found = block::header(&bytes[at..]).and_then(|header| {
            let payload = bytes.get(at + HEADER..at + HEADER + header.length as usize)?;
            block::is_whole(&header, payload).then_some(header)
        });
        if let Some(header) = found {
            at += HEADER + header.length as usize;
            end = header.first + u64::from(header.entries);
            continue;
        }
        // Damage in the middle is for the reader to pass over; only what no block follows is cut.
        match block::find_header(&bytes, at + 1) {
            Some(next) => at = next,
            None => break,
        }
    }
    if at < bytes.len() {
        tracing::warn!(path = %path.display(), bytes = bytes.len() - at, "cut a torn block off the log queue");
        let file = OpenOptions::new().write(true).open(&path).map_err(io)?;
        file.set_len(at as u64).map_err(io)?;
        file.sync_data().map_err(io)?;
    }
    // The process before may have died before it synced: what is read from now on is durable.
    File::open(&path).and_then(|f| f.sync_data()).map_err(io)?;
    Ok(end)
}
