//! The reading side of one process's folder: its segments, what was dropped, and a walk over positions.
//!
//! A walk tells of every position exactly one thing: it is in a block, it is lost, or it never was (the void between
//! two incarnations of a writer). A folder only reads; the writing process is the only one that writes here.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
};

use sent_protocol::telemetry::Gap;
use serde::{Deserialize, Serialize};

use super::{
    atomic::{self, Kept},
    block::Columns,
    incarnation,
    segment::{Entry, Index},
};

/// Indexes kept at a time: the newest segment, the one the backlog is at, and their neighbours.
const INDEXES: usize = 4;
/// The list of what the bound dropped.
pub const DROPPED_FILE: &str = "dropped.state";

/// A run of positions that the bound dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// First position.
    pub first: u64,
    /// One after the last.
    pub end: u64,
    /// Earliest time.
    pub from: i64,
    /// Latest time.
    pub to: i64,
}

/// One step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A block that can be read with [`Folder::read`].
    Block {
        /// First position of its segment.
        segment: u64,
        /// The block.
        entry: Entry,
    },
    /// Dropped or damaged positions.
    Lost(Entry),
    /// Positions that never were.
    Void {
        /// First of them.
        first: u64,
        /// One after the last.
        end: u64,
    },
}

impl Step {
    /// Its positions.
    pub fn range(&self) -> Range<u64> {
        match self {
            Self::Block { entry, .. } | Self::Lost(entry) => entry.range(),
            Self::Void { first, end } => *first..*end,
        }
    }

    /// The part of it within `range`; blocks are not divided.
    pub fn clipped(self, range: &Range<u64>) -> Option<Self> {
        let own = self.range();
        let (first, end) = (own.start.max(range.start), own.end.min(range.end));
        if first >= end {
            return None;
        }
        match self {
            Self::Block { .. } => (own.start == first && own.end == end).then_some(self),
            Self::Lost(entry) => Some(Self::Lost(Entry { first, points: end - first, ..entry })),
            Self::Void { .. } => Some(Self::Void { first, end }),
        }
    }

    /// Points it stands for.
    pub fn points(&self) -> u64 {
        match self {
            Self::Block { entry, .. } | Self::Lost(entry) => entry.points,
            Self::Void { .. } => 0,
        }
    }
}

/// A process's folder, as a reader sees it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    segments: Vec<u64>,
    dropped: Vec<Dropped>,
    indexes: BTreeMap<u64, Index>,
}

impl Folder {
    /// A folder that may or may not be there yet; [`refresh`](Self::refresh) looks.
    pub fn new(path: PathBuf) -> Self {
        Self { path, segments: Vec::new(), dropped: Vec::new(), indexes: BTreeMap::new() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks which segments there are now.
    pub fn refresh(&mut self) -> io::Result<()> {
        // In this order: a writer lists a run before it deletes the segment, so what is missing here is listed there.
        self.segments = segments(&self.path)?;
        self.dropped = dropped(&self.path)?.runs;
        let present = &self.segments;
        self.indexes.retain(|first, _| present.binary_search(first).is_ok());
        Ok(())
    }

    /// First positions of the segments, in order.
    pub fn segments(&self) -> &[u64] {
        &self.segments
    }

    /// The position of the oldest point there is, or was dropped.
    pub fn oldest(&self) -> Option<u64> {
        let dropped = self.dropped.first().map(|d| d.first);
        dropped.into_iter().chain(self.segments.first().copied()).min()
    }

    /// Steps from `from` to the end, in order, as long as `visit` wants to go on.
    pub fn walk(&mut self, from: u64, mut visit: impl FnMut(Step) -> ControlFlow<()>) -> io::Result<()> {
        let mut at = from;
        let begin = self.segments.partition_point(|s| *s <= from).saturating_sub(1);
        for place in begin..self.segments.len() {
            let first = self.segments[place];
            let successor = self.segments.get(place + 1).copied();
            let entries = match self.index(first, successor) {
                Ok(index) => index.entries_from(at).to_vec(),
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            for mut entry in entries {
                if entry.first < at {
                    // Whoever stands inside a block has met all of it; of a lost run, the part before.
                    if entry.offset.is_some() {
                        at = entry.range().end;
                        continue;
                    }
                    entry = Entry { first: at, points: entry.range().end - at, ..entry };
                }
                for step in self.between(at, entry.first, entry.from) {
                    if visit(step).is_break() {
                        return Ok(());
                    }
                }
                at = entry.range().end;
                let step = match entry.offset {
                    Some(_) => Step::Block { segment: first, entry },
                    None => Step::Lost(entry),
                };
                if visit(step).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Steps from the end down to `floor`, newest first, as long as `visit` wants to go on. Lost and void positions
    /// between segments are left to [`walk`](Self::walk).
    pub fn walk_back(&mut self, floor: u64, mut visit: impl FnMut(Step) -> ControlFlow<()>) -> io::Result<()> {
        for place in (0..self.segments.len()).rev() {
            let first = self.segments[place];
            let successor = self.segments.get(place + 1).copied();
            if successor.is_some_and(|s| s <= floor) {
                return Ok(());
            }
            let entries = match self.index(first, successor) {
                Ok(index) => index.entries_from(floor).to_vec(),
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            for entry in entries.into_iter().rev().filter(|e| e.first >= floor) {
                let step = match entry.offset {
                    Some(_) => Step::Block { segment: first, entry },
                    None => Step::Lost(entry),
                };
                if visit(step).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Appends a block's points to `into`; a block that is damaged or gone answers with what is lost.
    pub fn read(&mut self, segment: u64, entry: &Entry, into: &mut Columns) -> io::Result<Option<Gap>> {
        let successor = self.segments.iter().copied().find(|s| *s > segment);
        let read = match self.index(segment, successor) {
            Ok(index) => index.read(entry, into)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(e),
        };
        if read {
            return Ok(None);
        }
        tracing::warn!(folder = %self.path.display(), position = entry.first, points = entry.points, "a spool block is damaged");
        Ok(Some(Gap { from: entry.from, to: entry.to, points: entry.points }))
    }

    /// The runs of positions that its segments cover, damage included, in order.
    pub fn spans(&mut self) -> io::Result<Vec<Range<u64>>> {
        let mut spans = Vec::with_capacity(self.segments.len());
        for place in 0..self.segments.len() {
            let first = self.segments[place];
            let successor = self.segments.get(place + 1).copied();
            let end = match successor.filter(|s| incarnation(*s) == incarnation(first)) {
                Some(successor) => successor,
                None => match self.index(first, successor) {
                    Ok(index) => index.next(),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                    Err(e) => return Err(e),
                },
            };
            spans.push(first..end);
        }
        Ok(spans)
    }

    /// Makes the segment at `segment` durable.
    pub fn sync(&mut self, segment: u64) -> io::Result<()> {
        match self.indexes.get(&segment) {
            Some(index) => index.sync(),
            None => fs::File::open(segment_path(&self.path, segment))?.sync_data(),
        }
    }

    fn index(&mut self, first: u64, successor: Option<u64>) -> io::Result<&mut Index> {
        if !self.indexes.contains_key(&first) {
            while self.indexes.len() >= INDEXES {
                // The farthest one is the least likely to be wanted again.
                let farthest = self.indexes.keys().copied().max_by_key(|k| k.abs_diff(first));
                farthest.map(|k| self.indexes.remove(&k));
            }
            let index = Index::open(&segment_path(&self.path, first), first)?;
            self.indexes.insert(first, index);
        }
        let index = self.indexes.get_mut(&first).ok_or(io::ErrorKind::NotFound)?;
        let before = index.damaged();
        index.extend(successor)?;
        if index.damaged() > before {
            tracing::warn!(folder = %self.path.display(), segment = first, bytes = index.damaged() - before, "a spool segment is damaged");
        }
        Ok(index)
    }

    /// What became of the positions between two blocks, `end` being the first of a block that begins at time `time`.
    fn between(&self, at: u64, end: u64, time: i64) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut at = at;
        for dropped in &self.dropped {
            if dropped.end <= at || dropped.first >= end {
                continue;
            }
            missing(at..dropped.first.max(at), dropped.from, &mut steps);
            let first = dropped.first.max(at);
            let last = dropped.end.min(end);
            steps.push(Step::Lost(Entry {
                first,
                points: last - first,
                from: dropped.from,
                to: dropped.to,
                offset: None,
            }));
            at = last;
        }
        missing(at..end, time, &mut steps);
        steps
    }
}

/// Positions that nothing accounts for: the tail of an incarnation never was; within one, they are lost.
fn missing(range: Range<u64>, time: i64, steps: &mut Vec<Step>) {
    if range.is_empty() {
        return;
    }
    let begin = if incarnation(range.start) == incarnation(range.end) {
        range.start
    } else {
        let begin = super::incarnation_start(range.end);
        steps.push(Step::Void { first: range.start, end: begin });
        begin
    };
    if begin < range.end {
        steps.push(Step::Lost(Entry { first: begin, points: range.end - begin, from: time, to: time, offset: None }));
    }
}

/// First positions of the segments of a folder, in order; empty when there is no such folder.
pub fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(e) => return Err(e),
    };
    for entry in entries {
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

/// What the bound dropped from a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedList {
    /// Points, since the folder was made.
    pub ever: u64,
    /// The runs that are still told apart, in order.
    pub runs: Vec<Dropped>,
}

/// What the bound dropped from a folder. A list that cannot be read is as good as none: the positions still show as lost,
/// only their times and the count are not known.
pub fn dropped(folder: &Path) -> io::Result<DroppedList> {
    let mut list: DroppedList = match atomic::load(&folder.join(DROPPED_FILE))? {
        Kept::Sound(list) => list,
        Kept::Nothing => return Ok(DroppedList::default()),
        Kept::Damaged => {
            tracing::warn!(folder = %folder.display(), "the list of dropped telemetry is damaged");
            return Ok(DroppedList::default());
        }
    };
    list.runs.retain(|d| d.first < d.end);
    list.runs.sort_unstable_by_key(|d| d.first);
    Ok(list)
}
