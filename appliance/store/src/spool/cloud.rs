//! The reader that sends the spool to the cloud: the newest first, then the backlog from its oldest end, and nothing
//! twice.
//!
//! A [`Shipment`] is what one telemetry segment on the wire holds. Which positions it covers is on disk before it is
//! handed out, under the segment's number, and the same number gives the same positions until it is settled. So whatever
//! dies in between, the cloud's own cursor decides: it has segment *n* ([`CloudReader::acknowledge`]), or it does not and
//! is sent the same again.
//!
//! While a segment is on its way the next can be read already ([`CloudReader::look_ahead`]), as if the one under way had
//! arrived; it gets its number, on disk, only when it has.
//!
//! A state file that cannot be read any more makes it unknown what the cloud has. Sending all again would count points
//! twice, so what waited is given up instead and reported as a gap.

use std::{collections::BTreeMap, ops::ControlFlow, path::PathBuf, sync::Arc};

use sent_protocol::{
    limits,
    telemetry::{Gap, SeriesDefinition},
};
use serde::{Deserialize, Serialize};

use super::{
    Columns, Ranges, Reader, Spool, SpoolError,
    atomic::{self, Kept},
    definitions,
    folder::{Folder, Step},
    incarnation,
};

/// Definitions in one shipment; when more wait, it holds nothing else, so that no point arrives before its series.
const DEFINITIONS: usize = 16_384;
/// Gap records of one shipment, below the wire's bound.
const GAPS: usize = limits::SEGMENT_GAPS / 4;

/// What one segment on the wire holds.
#[derive(Debug, Default)]
pub struct Shipment {
    /// The segment's number.
    pub number: u64,
    /// Points, not sorted.
    pub points: Columns,
    /// Definitions that the cloud may not know.
    pub definitions: Vec<SeriesDefinition>,
    /// What was lost.
    pub gaps: Vec<Gap>,
}

/// What waits for the cloud.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Points.
    pub points: u64,
    /// Time of the oldest.
    pub oldest: Option<i64>,
}

/// What the cloud has, and what is under way to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    acknowledged: BTreeMap<String, Ranges>,
    /// Bytes of each process's definitions that the cloud has.
    definitions: BTreeMap<String, u64>,
    /// Gaps that no position stands for.
    owed: Vec<Gap>,
    under_way: Option<UnderWay>,
}

impl State {
    /// What is under way has arrived.
    fn settle(&mut self) {
        let Some(under_way) = self.under_way.take() else { return };
        for (process, ranges) in under_way.positions {
            let acknowledged = self.acknowledged.entry(process).or_default();
            ranges.iter().for_each(|r| acknowledged.insert(r));
        }
        self.definitions.extend(under_way.definitions);
        self.owed.clear();
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct UnderWay {
    number: u64,
    positions: BTreeMap<String, Ranges>,
    definitions: BTreeMap<String, u64>,
}

/// Sends the spool to the cloud.
#[derive(Debug)]
pub struct CloudReader {
    spool: Arc<Spool>,
    path: PathBuf,
    folders: BTreeMap<String, Folder>,
    state: State,
    /// What follows the segment under way, read ahead.
    ahead: Option<UnderWay>,
}

impl CloudReader {
    /// Goes on where it stood. At first use, with what the spool holds then.
    pub fn open(spool: Arc<Spool>) -> Result<Self, SpoolError> {
        let path = spool.root().join(super::CLOUD_FILE);
        let kept = atomic::load(&path).map_err(|e| SpoolError::io(&path, e))?;
        spool.register(Reader::Cloud);
        let damaged = matches!(kept, Kept::Damaged);
        let state = match kept {
            Kept::Sound(state) => state,
            Kept::Nothing | Kept::Damaged => State::default(),
        };
        let mut reader = Self { spool, path, folders: BTreeMap::new(), state, ahead: None };
        reader.refresh()?;
        if damaged {
            reader.give_up()?;
        }
        reader.save()?;
        for (process, ranges) in &reader.state.acknowledged {
            reader.spool.passed(Reader::Cloud, process, ranges)?;
        }
        Ok(reader)
    }

    /// Number of the segment that is under way, to be settled after a start: [`acknowledge`](Self::acknowledge) it when
    /// the cloud's cursor is there, send it again otherwise.
    pub fn under_way(&self) -> Option<u64> {
        self.state.under_way.as_ref().map(|u| u.number)
    }

    /// What to send as segment `number`, of about `max_points`; `None` when nothing waits. The same number gives the
    /// same until it is settled. What is handed out is durable here.
    pub fn next(&mut self, number: u64, max_points: usize) -> Result<Option<Shipment>, SpoolError> {
        self.refresh()?;
        match self.under_way() {
            Some(pending) if pending != number => return Err(SpoolError::UnderWay { pending, asked: number }),
            Some(_) => {}
            None => match choose(&mut self.folders, &self.state, max_points)? {
                Some(chosen) => self.begin(number, chosen)?,
                None => return Ok(None),
            },
        }
        let under_way = self.state.under_way.clone().unwrap_or_default();
        load(&mut self.folders, &self.state, &under_way).map(Some)
    }

    /// What will follow the segment under way once that has arrived; `None` when nothing waits behind it. It has no number
    /// yet: [`begin_ahead`](Self::begin_ahead) gives it one, unless the segment under way is abandoned.
    pub fn look_ahead(&mut self, max_points: usize) -> Result<Option<Shipment>, SpoolError> {
        self.refresh()?;
        let mut then = self.state.clone();
        then.settle();
        self.ahead = choose(&mut self.folders, &then, max_points)?;
        self.ahead.as_ref().map(|ahead| load(&mut self.folders, &then, ahead)).transpose()
    }

    /// Makes what was read ahead segment `number`; whether there was something. The same durability as
    /// [`next`](Self::next).
    pub fn begin_ahead(&mut self, number: u64) -> Result<bool, SpoolError> {
        if let Some(pending) = self.under_way() {
            return Err(SpoolError::UnderWay { pending, asked: number });
        }
        let Some(ahead) = self.ahead.take() else { return Ok(false) };
        self.begin(number, ahead)?;
        Ok(true)
    }

    fn begin(&mut self, number: u64, chosen: UnderWay) -> Result<(), SpoolError> {
        self.ahead = None;
        self.state.under_way = Some(UnderWay { number, ..chosen });
        self.save().inspect_err(|_| self.state.under_way = None)
    }

    /// The cloud has segment `number`. Saying so again changes nothing.
    pub fn acknowledge(&mut self, number: u64) -> Result<(), SpoolError> {
        match self.under_way() {
            None => return Ok(()),
            Some(pending) if pending != number => return Err(SpoolError::UnderWay { pending, asked: number }),
            Some(_) => self.state.settle(),
        }
        self.save()?;
        for (process, ranges) in &self.state.acknowledged {
            self.spool.passed(Reader::Cloud, process, ranges)?;
        }
        Ok(())
    }

    /// The cloud does not have the segment under way and never will under its number (a new epoch numbers anew): its
    /// points wait again.
    pub fn abandon(&mut self) -> Result<(), SpoolError> {
        self.state.under_way = None;
        self.ahead = None;
        self.save()
    }

    /// The cloud knows no series any more: all definitions are sent again.
    pub fn define_again(&mut self) -> Result<(), SpoolError> {
        self.state.definitions.clear();
        self.ahead = None;
        self.save()
    }

    /// No cloud any more: the spool is no longer kept for it.
    pub fn retire(self) -> Result<(), SpoolError> {
        self.spool.retire(Reader::Cloud);
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(SpoolError::io(&self.path, e)),
            _ => Ok(()),
        }
    }

    /// What waits, the segment under way included.
    pub fn backlog(&mut self) -> Result<Backlog, SpoolError> {
        self.refresh()?;
        let mut backlog = Backlog::default();
        for (process, folder) in &mut self.folders {
            let io = |e| SpoolError::io(&self.path, e);
            let Some(acknowledged) = self.state.acknowledged.get(process) else { continue };
            for range in folder.spans().map_err(io)? {
                backlog.points += acknowledged.missing(range).iter().map(|r| r.end - r.start).sum::<u64>();
            }
            folder
                .walk(acknowledged.next_missing(0), |step| match step {
                    Step::Void { .. } => ControlFlow::Continue(()),
                    Step::Block { entry, .. } | Step::Lost(entry) => {
                        backlog.oldest = Some(backlog.oldest.map_or(entry.from, |o| o.min(entry.from)));
                        ControlFlow::Break(())
                    }
                })
                .map_err(io)?;
        }
        Ok(backlog)
    }

    /// Looks which folders and segments there are, and lets each process begin somewhere.
    fn refresh(&mut self) -> Result<(), SpoolError> {
        for process in self.spool.processes()? {
            let path = self.spool.root().join(&process);
            let folder = self.folders.entry(process.clone()).or_insert_with(|| Folder::new(path.clone()));
            folder.refresh().map_err(|e| SpoolError::io(&path, e))?;
            let Some(oldest) = folder.oldest() else { continue };
            let acknowledged = self.state.acknowledged.entry(process.clone()).or_default();
            let newest = folder.segments().last().copied().unwrap_or(oldest);
            // What was acknowledged of a folder that was deleted and made anew says nothing about the new one.
            if acknowledged.end() > 0 && incarnation(newest) < incarnation(acknowledged.end() - 1) {
                *acknowledged = Ranges::default();
                self.state.definitions.remove(&process);
            }
            if acknowledged.end() == 0 {
                acknowledged.insert(0..oldest);
            }
        }
        Ok(())
    }

    /// What waits is lost, because what of it the cloud has is not known.
    fn give_up(&mut self) -> Result<(), SpoolError> {
        tracing::error!(path = %self.path.display(), "what the cloud has acknowledged can no longer be read: telemetry that waited is given up");
        for (process, folder) in &mut self.folders {
            let mut gap = Gap { from: i64::MAX, to: i64::MIN, points: 0 };
            let acknowledged = self.state.acknowledged.entry(process.clone()).or_default();
            let walked = folder.walk(acknowledged.next_missing(0), |step| {
                if let Step::Block { entry, .. } | Step::Lost(entry) = step {
                    gap.from = gap.from.min(entry.from);
                    gap.to = gap.to.max(entry.to);
                    gap.points += entry.points;
                }
                acknowledged.insert(step.range());
                ControlFlow::Continue(())
            });
            walked.map_err(|e| SpoolError::io(folder.path(), e))?;
            if gap.points > 0 {
                self.state.owed.push(gap);
            }
        }
        Ok(())
    }

    fn save(&self) -> Result<(), SpoolError> {
        atomic::save(&self.path, &self.state).map_err(|e| SpoolError::io(&self.path, e))
    }
}

/// What to send next where the cloud stands as in `state`, without a number.
fn choose(
    folders: &mut BTreeMap<String, Folder>,
    state: &State,
    max_points: usize,
) -> Result<Option<UnderWay>, SpoolError> {
    let max_points = max_points.clamp(1, limits::SEGMENT_POINTS);
    let mut chosen = UnderWay::default();
    let mut definitions_wait = 0;
    for (process, folder) in &*folders {
        let offset = state.definitions.get(process).copied().unwrap_or(0);
        let room = DEFINITIONS - definitions_wait;
        let found = definitions::read(folder.path(), offset, room);
        let found = found.map_err(|e| SpoolError::io(folder.path(), e))?;
        definitions_wait += found.definitions.len() + found.damaged as usize;
        if found.offset != offset {
            chosen.definitions.insert(process.clone(), found.offset);
        }
    }
    if definitions_wait >= DEFINITIONS {
        return Ok(Some(chosen));
    }
    let mut room = Room { points: max_points as u64, gaps: GAPS, any: false };
    // The newest of each process gets its share; what is left goes to the backlog.
    let share = max_points as u64 / folders.len().max(1) as u64;
    for (process, folder) in &mut *folders {
        let Some(acknowledged) = state.acknowledged.get(process) else { continue };
        let positions = chosen.positions.entry(process.clone()).or_default();
        let mut own = Room { points: share, gaps: room.gaps, any: room.any };
        let walked = folder.walk_back(acknowledged.end(), |step| own.take(&step, acknowledged, positions));
        walked.map_err(|e| SpoolError::io(folder.path(), e))?;
        room.points = room.points.saturating_sub(share.saturating_sub(own.points));
        room.gaps = own.gaps;
        room.any = own.any;
    }
    for (process, folder) in &mut *folders {
        let Some(acknowledged) = state.acknowledged.get(process) else { continue };
        let positions = chosen.positions.entry(process.clone()).or_default();
        choose_backlog(folder, acknowledged, positions, &mut room)?;
    }
    chosen.positions.retain(|_, p| p.end() > 0);
    let is_empty = chosen.positions.is_empty() && chosen.definitions.is_empty() && state.owed.is_empty();
    Ok((!is_empty).then_some(chosen))
}

/// Reads what was chosen from the files.
fn load(folders: &mut BTreeMap<String, Folder>, state: &State, chosen: &UnderWay) -> Result<Shipment, SpoolError> {
    let mut shipment = Shipment { number: chosen.number, gaps: state.owed.clone(), ..Shipment::default() };
    for (process, end) in &chosen.definitions {
        let Some(folder) = folders.get(process) else { continue };
        let offset = state.definitions.get(process).copied().filter(|o| o < end).unwrap_or(0);
        let found = definitions::read(folder.path(), offset, DEFINITIONS);
        shipment.definitions.extend(found.map_err(|e| SpoolError::io(folder.path(), e))?.definitions);
    }
    shipment.definitions.truncate(limits::SEGMENT_SERIES);
    for (process, ranges) in &chosen.positions {
        let Some(folder) = folders.get_mut(process) else { continue };
        for range in ranges.iter() {
            load_range(folder, range, &mut shipment)?;
        }
    }
    condense(&mut shipment.gaps, limits::SEGMENT_GAPS);
    Ok(shipment)
}

/// What still fits into a shipment.
struct Room {
    points: u64,
    gaps: usize,
    any: bool,
}

impl Room {
    /// Takes a step's positions if it fits; a block that is larger than the whole room fits when it is the first.
    fn take(&mut self, step: &Step, acknowledged: &Ranges, positions: &mut Ranges) -> ControlFlow<()> {
        let fits = match step {
            Step::Block { entry, .. } => entry.points <= self.points || !self.any,
            Step::Lost(_) => self.gaps > 0,
            Step::Void { .. } => true,
        };
        if !fits {
            return ControlFlow::Break(());
        }
        match step {
            Step::Block { entry, .. } => {
                self.points = self.points.saturating_sub(entry.points);
                self.any = true;
            }
            Step::Lost(_) => self.gaps -= 1,
            Step::Void { .. } => {}
        }
        // Of a run that was dropped, parts may have arrived before.
        acknowledged.missing(step.range()).into_iter().for_each(|part| positions.insert(part));
        ControlFlow::Continue(())
    }
}

/// Takes what waits from the oldest on, jumping over what the cloud has or is already chosen.
fn choose_backlog(
    folder: &mut Folder,
    acknowledged: &Ranges,
    positions: &mut Ranges,
    room: &mut Room,
) -> Result<(), SpoolError> {
    let mut start = Some(0);
    while let Some(from) = start.take() {
        let mut from = from;
        loop {
            let next = positions.next_missing(acknowledged.next_missing(from));
            if next == from {
                break;
            }
            from = next;
        }
        let walked = folder.walk(from, |step| {
            let range = step.range();
            if acknowledged.covers(&range) || positions.covers(&range) {
                start = Some(range.end);
                return ControlFlow::Break(());
            }
            room.take(&step, acknowledged, positions)
        });
        walked.map_err(|e| SpoolError::io(folder.path(), e))?;
    }
    Ok(())
}

/// Joins neighbours until at most `bound` gaps are left.
fn condense(gaps: &mut Vec<Gap>, bound: usize) {
    if gaps.len() <= bound {
        return;
    }
    gaps.sort_unstable();
    let together = gaps.len().div_ceil(bound);
    let join = |run: &[Gap]| {
        run.iter().copied().reduce(|a, b| Gap {
            from: a.from.min(b.from),
            to: a.to.max(b.to),
            points: a.points + b.points,
        })
    };
    *gaps = gaps.chunks(together).filter_map(join).collect();
}

fn load_range(folder: &mut Folder, range: std::ops::Range<u64>, shipment: &mut Shipment) -> Result<(), SpoolError> {
    let mut steps = Vec::new();
    let walked = folder.walk(range.start, |step| {
        // What was dropped or damaged since may reach beyond what this shipment stands for.
        steps.extend(step.clipped(&range));
        if step.range().end >= range.end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let io = |e| SpoolError::io(folder.path(), e);
    walked.map_err(io)?;
    let mut synced = None;
    for step in steps {
        match &step {
            Step::Block { segment, entry } => {
                if synced != Some(*segment) {
                    folder.sync(*segment).map_err(|e| SpoolError::io(folder.path(), e))?;
                    synced = Some(*segment);
                }
                let read = folder.read(*segment, entry, &mut shipment.points);
                shipment.gaps.extend(read.map_err(|e| SpoolError::io(folder.path(), e))?);
            }
            Step::Lost(entry) => shipment.gaps.push(Gap { from: entry.from, to: entry.to, points: entry.points }),
            Step::Void { .. } => {}
        }
    }
    Ok(())
}
