//! From the queue to its consumers: one thread reads blocks, makes records of them once, and hands the batch to each
//! consumer in turn.
//!
//! A consumer's cursor is its own affair and moves with what it stores, in one transaction; a batch that it has seen
//! partly is handed to it whole, and it leaves out what lies before its cursor. A consumer that fails is offered the same
//! batch again, later: nothing is skipped. The queue forgets what all consumers have kept; one that keeps what it did only
//! now and then is handed the rest again after a restart. Whoever must not wait for another gets a pipeline of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    names::Names,
    normalise::{Normaliser, Options},
    queue::{Blocks, Queue, QueueError, Reader},
    record::Batch,
};

/// Records of a batch at most: half a row group of DuckDB, so that the batch and its columns stay small in memory.
const MOST_RECORDS: usize = 61_440;
/// Bytes of a batch, as they arrived.
const MOST_BYTES: usize = 24 << 20;
/// How long the thread sleeps when nothing arrives, so that it notices its end.
const PAUSE: Duration = Duration::from_millis(200);
/// How long it waits after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Takes records in the order of their positions.
pub trait Consumer: Send {
    /// Its name, for the log and for its place in the queue.
    fn name(&self) -> &str;

    /// Everything before this position was taken.
    fn cursor(&self) -> u64;

    /// Everything before this position is stored, durably: the queue may forget it.
    fn kept(&self) -> u64 {
        self.cursor()
    }

    /// Takes a batch that was read up to position `end`. Records before [`cursor`](Self::cursor) are to be left out.
    /// When this returns without an error, the cursor is `end`.
    fn take(&mut self, batch: &Batch, end: u64) -> Result<(), String>;

    /// Called a few times a second while nothing arrives.
    fn rest(&mut self) {}
}

/// How a pipeline is doing.
#[derive(Debug, Default)]
pub struct Progress {
    /// Records made.
    pub records: AtomicU64,
    /// Batches a consumer refused.
    pub failures: AtomicU64,
}

/// A running pipeline. Dropping it ends it, after the batch it is at.
#[derive(Debug)]
pub struct Pipeline {
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Pipeline {
    /// Starts a pipeline; `name` is its place in the queue.
    pub fn start(
        name: &str,
        queue: &Arc<Queue>,
        names: Arc<Names>,
        options: Options,
        consumers: Vec<Box<dyn Consumer>>,
    ) -> Result<Self, QueueError> {
        let cursor = consumers.iter().map(|c| c.cursor()).min().unwrap_or(0);
        let reader = queue.reader(name, Some(cursor));
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(Progress::default());
        let mut run = Run {
            reader,
            normaliser: Normaliser::new(names, options),
            consumers,
            blocks: Blocks::default(),
            batch: Batch::default(),
            forgotten: 0,
            stop: stop.clone(),
            progress: progress.clone(),
        };
        let thread = std::thread::Builder::new().name(format!("logs-{name}")).spawn(move || run.run());
        let thread = thread.map_err(|source| QueueError::Io { path: name.to_owned(), source })?;
        Ok(Self { stop, progress, thread: Some(thread) })
    }

    /// How it is doing.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("a log pipeline panicked");
        }
    }
}

struct Run {
    reader: Reader,
    normaliser: Normaliser,
    consumers: Vec<Box<dyn Consumer>>,
    blocks: Blocks,
    batch: Batch,
    /// What the queue was last told to forget.
    forgotten: u64,
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
}

impl Run {
    fn run(&mut self) {
        while !self.stop.load(Ordering::Acquire) {
            match self.reader.read(MOST_RECORDS, MOST_BYTES, &mut self.blocks) {
                Ok(()) if self.blocks.is_empty() => {
                    if !self.reader.wait(PAUSE) {
                        self.consumers.iter_mut().for_each(|consumer| consumer.rest());
                        self.forget();
                    }
                }
                Ok(()) => self.hand_out(),
                Err(error) => {
                    tracing::error!(%error, "the log queue cannot be read");
                    self.pause();
                }
            }
        }
    }

    fn hand_out(&mut self) {
        self.batch.clear();
        for (position, arrival) in self.blocks.entries() {
            self.normaliser.normalise(position, &arrival, &mut self.batch);
        }
        self.progress.records.fetch_add(self.batch.len() as u64, Ordering::Relaxed);
        let end = self.blocks.end();
        for consumer in &mut self.consumers {
            while consumer.cursor() < end {
                if self.stop.load(Ordering::Acquire) {
                    return;
                }
                if let Err(error) = consumer.take(&self.batch, end) {
                    tracing::error!(consumer = consumer.name(), error, "log records wait in the queue");
                    self.progress.failures.fetch_add(1, Ordering::Relaxed);
                    pause(&self.stop);
                }
            }
        }
        self.forget();
    }

    /// Lets the queue forget what all have kept.
    fn forget(&mut self) {
        let kept = self.consumers.iter().map(|consumer| consumer.kept()).min().unwrap_or(0);
        if std::mem::replace(&mut self.forgotten, kept) != kept
            && let Err(error) = self.reader.stored(kept)
        {
            tracing::warn!(%error, "the log queue cannot forget what is stored");
        }
    }

    fn pause(&self) {
        pause(&self.stop);
    }
}

fn pause(stop: &AtomicBool) {
    let mut left = AFTER_FAILURE;
    while !left.is_zero() && !stop.load(Ordering::Acquire) {
        let step = left.min(PAUSE);
        std::thread::sleep(step);
        left -= step;
    }
}
