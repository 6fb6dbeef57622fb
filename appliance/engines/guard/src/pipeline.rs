//! From captured batches to flows, detections and the ring, on one thread.
//!
//! The meter's thread does nothing that waits: what goes to disk goes through bounded queues, and what does not fit into
//! them is counted ([`RingCounts`]). The clock of flows is the packets' own; when none come, the machine's is
//! used to end what is silent.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    capture::Frame,
    detection::Detection,
    flow::Flow,
    live::Batch,
    meter::{Meter, Summary},
    ring::{Limits, Ring},
    watch::Watch,
};

/// How often whoever takes is asked although nothing comes.
const BEAT: Duration = Duration::from_millis(500);
/// Batches that may wait for the disk: 16 MiB of frames.
const WAITING: usize = 64;

/// Takes what the meter finds.
pub trait Take {
    /// A flow, or a part of one, is over; `name` is what its destination is called.
    fn flow(&mut self, flow: Flow, name: Option<String>);
    /// Something looks like trouble.
    fn detection(&mut self, detection: Detection);
    /// About twice a second.
    fn beat(&mut self, watch: &Mutex<Watch>, summary: Summary, under_way: usize);
}

/// What became of the ring.
#[derive(Debug, Default)]
pub struct RingCounts {
    /// Bytes on disk.
    pub bytes: AtomicU64,
    /// First frame on disk, nanoseconds since 1970 UTC; 0 without.
    pub since: AtomicI64,
    /// Frames that were not written: the disk was too slow or failed.
    pub dropped: AtomicU64,
    /// Why the last write failed.
    pub fault: Mutex<Option<String>>,
}

/// The ring's thread.
#[derive(Debug)]
pub struct RingThread {
    queue: Option<SyncSender<Arc<Batch>>>,
    counts: Arc<RingCounts>,
    thread: Option<JoinHandle<()>>,
}

impl RingThread {
    /// Opens the ring of a folder and begins to write.
    pub fn start(folder: &Path, limits: Limits) -> io::Result<Self> {
        let mut ring = Ring::open(folder, limits)?;
        let counts = Arc::<RingCounts>::default();
        let (queue, batches) = sync_channel::<Arc<Batch>>(WAITING);
        let told = counts.clone();
        told.tell(&ring);
        let thread = thread::Builder::new().name("ring".to_owned()).spawn(move || {
            for batch in batches {
                let fault = ring.write(&batch).err().map(|error| error.to_string());
                if fault.is_some() {
                    told.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                }
                *told.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
                told.tell(&ring);
            }
        })?;
        Ok(Self { queue: Some(queue), counts, thread: Some(thread) })
    }

    /// What became of it so far.
    pub fn counts(&self) -> Arc<RingCounts> {
        self.counts.clone()
    }

    fn take(&self, batch: &Arc<Batch>) {
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) = queue.try_send(batch.clone()) {
            self.counts.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
    }
}

impl RingCounts {
    fn tell(&self, ring: &Ring) {
        self.bytes.store(ring.bytes(), Ordering::Relaxed);
        self.since.store(ring.since().unwrap_or_default(), Ordering::Relaxed);
    }
}

impl Drop for RingThread {
    /// What waits is written.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended too.
            let _ = thread.join();
        }
    }
}

/// Meters batches until no more come, then ends all flows. `now` is the machine's clock, nanoseconds since 1970 UTC.
pub fn run(
    batches: &Receiver<Arc<Batch>>,
    mut meter: Meter,
    watch: &Mutex<Watch>,
    ring: Option<&RingThread>,
    taker: &mut impl Take,
    now: impl Fn() -> i64,
) -> Summary {
    let mut beaten = Instant::now();
    loop {
        match batches.recv_timeout(BEAT) {
            Ok(batch) => {
                if let Some(ring) = ring {
                    ring.take(&batch);
                }
                let mut watch = lock(watch);
                for frame in batch.frames() {
                    step(&mut meter, &frame, &mut watch, taker);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                meter.tick(now());
                drain(&mut meter, &mut lock(watch), taker);
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if beaten.elapsed() >= BEAT {
            beaten = Instant::now();
            taker.beat(watch, meter.summary(), meter.under_way());
        }
    }
    meter.finish();
    drain(&mut meter, &mut lock(watch), taker);
    taker.beat(watch, meter.summary(), 0);
    meter.summary()
}

fn step(meter: &mut Meter, frame: &Frame<'_>, watch: &mut Watch, taker: &mut impl Take) {
    meter.frame_beside(frame, watch);
    drain(meter, watch, taker);
}

fn drain(meter: &mut Meter, watch: &mut Watch, taker: &mut impl Take) {
    while let Some(flow) = meter.finished() {
        let name = watch.flow(&flow);
        taker.flow(flow, name);
    }
    while let Some(detection) = watch.found() {
        taker.detection(detection);
    }
}

fn lock(watch: &Mutex<Watch>) -> MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}
