//! Where measurements come together before they go to disk, to the alert rules and to the pages.
//!
//! Sources hand in samples at any time from any task and never wait for a disk. Once a second somebody takes what came in
//! ([`Recorder::take`]), appends it to the spool, and gives it back when that failed. What waits and how many series there
//! are is bounded; what does not fit is dropped and counted, newest series and oldest points first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sent_contract::pulse::QueryAnswer;
use sent_protocol::{
    series::series_id,
    telemetry::{Point, SeriesDefinition},
};

use crate::model::sample::Sample;

/// Series a box keeps in memory.
pub const MOST_SERIES: usize = 100_000;
/// Points that may wait for the disk: over an hour of 200 series every second.
pub const MOST_WAITING: usize = 1_000_000;

/// Why measurements could not be kept or read.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SeriesError {
    /// Why.
    pub message: String,
    /// How many of the points that were handed over are kept all the same: the first ones.
    pub stored: usize,
}

impl SeriesError {
    /// Nothing was kept.
    pub fn new(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), stored: 0 }
    }
}

/// Where points go: the spool.
pub trait Sink: Send + Sync + 'static {
    /// Appends points in order, with the definitions of the series that are new. Returns when they are on disk.
    fn append(&self, definitions: &[SeriesDefinition], points: &[Point]) -> Result<(), SeriesError>;
}

/// Where points are read: the series' store.
pub trait Reader: Send + Sync + 'static {
    /// Every series there is, with its last point.
    fn list(&self) -> Result<Vec<Known>, SeriesError>;
    /// Points of some series between two times, at most about so many each, out of the tier that fits.
    fn query(&self, series: &[u64], from: i64, to: i64, points: usize) -> Result<QueryAnswer, SeriesError>;
}

/// A series and its last point.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it is.
    pub definition: Arc<SeriesDefinition>,
    /// Last value.
    pub last: Option<f64>,
    /// Last point's time.
    pub last_at: Option<i64>,
}

impl Known {
    /// The host it belongs to.
    pub fn host(&self) -> &str {
        self.definition.labels.get("host").map_or("", String::as_str)
    }
}

/// What came in since the last time somebody asked.
#[derive(Debug, Default)]
pub struct Batch {
    /// Series the sink has not heard of.
    pub definitions: Vec<SeriesDefinition>,
    /// Points to keep, in order of arrival.
    pub points: Vec<Point>,
    /// Newest value of each series that changed, also of those that are only looked at.
    pub live: BTreeMap<u64, f64>,
}

#[derive(Default)]
struct Table {
    series: HashMap<u64, Known>,
    batch: Batch,
    dropped: u64,
}

/// The meeting point.
#[derive(Default)]
pub struct Recorder {
    table: Mutex<Table>,
}

impl Recorder {
    /// Starts with series that are known from before.
    pub fn seed(&self, known: Vec<Known>) {
        let mut table = self.table();
        for one in known.into_iter().take(MOST_SERIES) {
            table.series.entry(one.definition.id).or_insert(one);
        }
    }

    /// Takes samples to be kept.
    pub fn record(&self, at: i64, samples: Vec<Sample>) {
        self.put(at, samples, true);
    }

    /// Takes samples that the pages may see now but that are not kept.
    pub fn glance(&self, at: i64, samples: Vec<Sample>) {
        self.put(at, samples, false);
    }

    fn put(&self, at: i64, samples: Vec<Sample>, keep: bool) {
        let mut table = self.table();
        for sample in samples {
            if !sample.value.is_finite() {
                continue;
            }
            let id = series_id(&sample.metric, &sample.labels);
            if !table.series.contains_key(&id) {
                if !keep {
                    continue;
                }
                if table.series.len() >= MOST_SERIES {
                    table.dropped += 1;
                    continue;
                }
                let definition = SeriesDefinition {
                    id,
                    name: sample.metric.into_owned(),
                    labels: sample.labels,
                    unit: sample.unit.into_owned(),
                };
                table.batch.definitions.push(definition.clone());
                table.series.insert(id, Known { definition: Arc::new(definition), last: None, last_at: None });
            }
            if let Some(known) = table.series.get_mut(&id) {
                known.last = Some(sample.value);
                known.last_at = Some(at);
            }
            table.batch.live.insert(id, sample.value);
            if keep {
                table.batch.points.push(Point { series: id, at, value: sample.value });
            }
        }
        table.bound();
    }

    /// What came in since the last time.
    pub fn take(&self) -> Batch {
        std::mem::take(&mut self.table().batch)
    }

    /// Puts back what could not be written, before what came in meanwhile.
    pub fn give_back(&self, definitions: Vec<SeriesDefinition>, points: Vec<Point>) {
        let mut table = self.table();
        let batch = &mut table.batch;
        batch.definitions.splice(0..0, definitions);
        batch.points.splice(0..0, points);
        table.bound();
    }

    /// A series.
    pub fn get(&self, id: u64) -> Option<Known> {
        self.table().series.get(&id).cloned()
    }

    /// Every series, in order of host, metric and labels.
    pub fn all(&self) -> Vec<Known> {
        let mut all: Vec<Known> = self.table().series.values().cloned().collect();
        all.sort_by(|a, b| {
            let (left, right) = (&a.definition, &b.definition);
            a.host().cmp(b.host()).then_with(|| left.name.cmp(&right.name)).then_with(|| left.labels.cmp(&right.labels))
        });
        all
    }

    /// Forgets the series that a check made, so that nothing waits for more of them. What was kept stays kept.
    pub fn forget(&self, check: &str) -> Vec<u64> {
        let mut table = self.table();
        let gone: Vec<u64> = table
            .series
            .iter()
            .filter(|(_, known)| known.definition.labels.get("check").is_some_and(|c| c == check))
            .map(|(id, _)| *id)
            .collect();
        for id in &gone {
            table.series.remove(id);
        }
        gone
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.table().series.len()
    }

    /// Whether nothing was measured yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many points and new series did not fit since the start.
    pub fn dropped(&self) -> u64 {
        self.table().dropped
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn bound(&mut self) {
        let over = self.batch.points.len().saturating_sub(MOST_WAITING);
        if over > 0 {
            // Some room at once, so that a full buffer is not moved for every sample.
            let over = over.max(MOST_WAITING / 100);
            self.batch.points.drain(..over);
            self.dropped += over as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(n: usize, value: f64) -> Sample {
        Sample::new("m", "count", "h", value).with("n", n.to_string())
    }

    #[test]
    fn keeps_and_shows() {
        let recorder = Recorder::default();
        recorder.record(1, vec![sample(1, 5.0), sample(2, f64::NAN)]);
        recorder.glance(2, vec![sample(1, 6.0), sample(3, 7.0)]);
        let batch = recorder.take();
        assert_eq!((batch.definitions.len(), batch.points.len()), (1, 1), "not a number is no measurement");
        assert_eq!(batch.live.values().copied().collect::<Vec<_>>(), [6.0], "a glance makes no series");
        let all = recorder.all();
        assert_eq!((all.len(), all[0].last, all[0].last_at), (1, Some(6.0), Some(2)));
        recorder.give_back(batch.definitions, batch.points);
        recorder.record(3, vec![sample(1, 8.0)]);
        let again = recorder.take();
        assert_eq!(again.points.iter().map(|p| p.at).collect::<Vec<_>>(), [1, 3], "what came first is written first");
        assert_eq!(again.definitions.len(), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let recorder = Recorder::default();
        recorder.record(0, (0..MOST_SERIES + 10).map(|n| sample(n, 1.0)).collect());
        assert_eq!(recorder.all().len(), MOST_SERIES);
        for at in 0..12 {
            recorder.record(at, (0..MOST_SERIES).map(|n| sample(n, 1.0)).collect());
        }
        assert!(recorder.take().points.len() <= MOST_WAITING);
        assert!(recorder.dropped() > 0);
    }

    #[test]
    fn forgets_what_a_check_made() {
        let recorder = Recorder::default();
        recorder.record(1, vec![sample(1, 1.0).with("check", "a"), sample(2, 1.0).with("check", "b")]);
        assert_eq!(recorder.forget("a").len(), 1);
        assert_eq!(recorder.all().len(), 1);
    }
}
