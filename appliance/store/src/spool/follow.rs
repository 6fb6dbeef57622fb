//! The reader that goes through the spool in order and keeps its cursor elsewhere: in the transaction of whoever stores
//! the points.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use sent_protocol::telemetry::{Gap, SeriesDefinition};

use super::{
    Columns, Ranges, Reader, Spool, SpoolError, definitions,
    folder::{Folder, Step},
    incarnation,
};

/// Definitions read at once.
const DEFINITIONS: usize = 16_384;

/// What comes next in the spool.
#[derive(Debug, Default)]
pub struct Batch {
    /// Points, in the order of the folders and their positions.
    pub points: Columns,
    /// What some series are; may repeat what is known.
    pub definitions: Vec<SeriesDefinition>,
    /// What was lost.
    pub gaps: Vec<Gap>,
    /// Where the reader stands after this batch, by process. Goes into the same transaction as the points.
    pub cursors: BTreeMap<String, u64>,
    offsets: BTreeMap<String, u64>,
}

impl Batch {
    /// Nothing to store and nowhere to move.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.definitions.is_empty() && self.gaps.is_empty() && self.cursors.is_empty()
    }
}

/// Reads the spool in order.
#[derive(Debug)]
pub struct Follower {
    spool: Arc<Spool>,
    folders: BTreeMap<String, Folder>,
    cursors: BTreeMap<String, u64>,
    offsets: BTreeMap<String, u64>,
    turn: usize,
}

impl Follower {
    /// Goes on at `cursors`; a process without one is read from its beginning. Definitions are all read again.
    pub fn new(spool: Arc<Spool>, cursors: BTreeMap<String, u64>) -> Result<Self, SpoolError> {
        let follower = Self { spool, folders: BTreeMap::new(), cursors, offsets: BTreeMap::new(), turn: 0 };
        for (process, cursor) in &follower.cursors {
            follower.tell(process, *cursor)?;
        }
        Ok(follower)
    }

    /// The next batch, of about `max_points`. Reading again without [`advance`](Self::advance) gives the same.
    pub fn read(&mut self, max_points: usize) -> Result<Batch, SpoolError> {
        let mut processes = self.spool.processes()?;
        if !processes.is_empty() {
            let turn = self.turn % processes.len();
            processes.rotate_left(turn);
        }
        let mut batch = Batch::default();
        for process in processes {
            self.read_definitions(&process, &mut batch)?;
            if batch.points.len() < max_points {
                self.read_points(&process, max_points, &mut batch)?;
            }
        }
        Ok(batch)
    }

    /// The batch is stored, durably: segments it ends are no longer needed by this reader.
    pub fn advance(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        self.offsets.extend(batch.offsets.iter().map(|(p, o)| (p.clone(), *o)));
        self.turn = self.turn.wrapping_add(1);
        for (process, cursor) in &batch.cursors {
            self.cursors.insert(process.clone(), *cursor);
            self.tell(process, *cursor)?;
        }
        Ok(())
    }

    fn read_definitions(&self, process: &str, batch: &mut Batch) -> Result<(), SpoolError> {
        let path = self.spool.root().join(process);
        let offset = self.offsets.get(process).copied().unwrap_or(0);
        let found = definitions::read(&path, offset, DEFINITIONS).map_err(|e| SpoolError::io(&path, e))?;
        if found.offset != offset {
            batch.offsets.insert(process.to_owned(), found.offset);
        }
        batch.definitions.extend(found.definitions);
        Ok(())
    }

    fn read_points(&mut self, process: &str, max_points: usize, batch: &mut Batch) -> Result<(), SpoolError> {
        let path = self.spool.root().join(process);
        let folder = self.folders.entry(process.to_owned()).or_insert_with(|| Folder::new(path.clone()));
        let io = |e| SpoolError::io(&path, e);
        folder.refresh().map_err(io)?;
        let cursor = self.cursors.get(process).copied().filter(|c| {
            // A cursor beyond the newest incarnation belongs to a folder that was deleted and made anew.
            folder.segments().last().is_none_or(|s| incarnation(*s) >= incarnation(*c))
        });
        let Some(start) = cursor.or_else(|| folder.oldest()) else { return Ok(()) };
        let mut steps = Vec::new();
        let mut room = (max_points - batch.points.len()) as u64;
        folder
            .walk(start, |step| {
                steps.push(step);
                room = room.saturating_sub(step.points());
                if room == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .map_err(io)?;
        let mut synced = None;
        for step in steps {
            match &step {
                Step::Block { segment, entry } => {
                    if synced != Some(*segment) {
                        // Whoever stores these points keeps them through a power cut; the cloud must find them here, too.
                        folder.sync(*segment).map_err(io)?;
                        synced = Some(*segment);
                    }
                    batch.gaps.extend(folder.read(*segment, entry, &mut batch.points).map_err(io)?);
                }
                Step::Lost(entry) => batch.gaps.push(Gap { from: entry.from, to: entry.to, points: entry.points }),
                Step::Void { .. } => {}
            }
            batch.cursors.insert(process.to_owned(), step.range().end);
        }
        Ok(())
    }

    fn tell(&self, process: &str, cursor: u64) -> Result<(), SpoolError> {
        let mut passed = Ranges::default();
        passed.insert(0..cursor);
        self.spool.passed(Reader::Series, process, &passed)
    }
}
