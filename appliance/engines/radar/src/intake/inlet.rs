//! Where all services hand in what they received: the queue, the clock and the counters that show what happened.

use std::{
    fmt::Write as _,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sent_core::clock::SharedClock;

use super::{
    framing::Counted,
    normalise::{Arrival, Form},
    queue::{Queue, QueueError, block::Draft},
};

/// How long a sender that is pushed back waits before there is another look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What happened, by what can be done about it. All only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages taken.
    pub messages: AtomicU64,
    /// Bytes of them.
    pub bytes: AtomicU64,
    /// Messages longer than the bound; their ends are gone.
    pub cut: AtomicU64,
    /// Bytes of those ends.
    pub cut_bytes: AtomicU64,
    /// Datagrams that found the queue full and are gone.
    pub dropped: AtomicU64,
    /// Times a sender was made to wait.
    pub pushed_back: AtomicU64,
    /// Connections taken.
    pub connections: AtomicU64,
    /// Connections refused because there were too many, or whose TLS failed.
    pub refused: AtomicU64,
}

impl Counters {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// The way in. A cheap handle.
#[derive(Clone)]
pub struct Inlet {
    queue: Arc<Queue>,
    clock: SharedClock,
    counters: Arc<Counters>,
    longest: usize,
}

impl std::fmt::Debug for Inlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inlet").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl Inlet {
    /// A way into `queue` for messages of `longest` bytes at most.
    pub fn new(queue: Arc<Queue>, clock: SharedClock, longest: usize) -> Self {
        Self { queue, clock, counters: Arc::default(), longest }
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes of a message at most.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The queue.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The present, µs.
    pub fn now(&self) -> i64 {
        self.clock.now().0
    }

    /// Adds a message to a draft; one beyond the bound is cut.
    pub fn draft(&self, draft: &mut Draft, form: Form, source: &str, received: i64, bytes: &[u8], cut: bool) {
        let kept = &bytes[..bytes.len().min(self.longest)];
        let short = bytes.len() - kept.len();
        if short > 0 {
            Counters::add(&self.counters.cut, 1);
            Counters::add(&self.counters.cut_bytes, short as u64);
        }
        draft.push(&Arrival { source, received, form, cut: cut || short > 0, bytes: kept });
        Counters::add(&self.counters.bytes, kept.len() as u64);
    }

    /// Adds what a stream's framing cut since `before`.
    pub fn framed(&self, before: Counted, after: Counted) {
        if after.cut > before.cut || after.skipped > before.skipped {
            Counters::add(&self.counters.cut, after.cut - before.cut);
            Counters::add(&self.counters.cut_bytes, after.skipped - before.skipped);
        }
    }

    /// Puts a draft into the queue. On an error the draft keeps its messages.
    pub fn append(&self, draft: &mut Draft) -> Result<u64, QueueError> {
        let messages = u64::from(draft.len());
        let end = self.queue.append(draft)?;
        Counters::add(&self.counters.messages, messages);
        Ok(end)
    }

    /// Puts a draft into the queue, waiting for room.
    pub async fn append_patiently(&self, draft: &mut Draft) -> u64 {
        loop {
            match self.append(draft) {
                Ok(end) => return end,
                Err(error) => {
                    Counters::add(&self.counters.pushed_back, 1);
                    tracing::debug!(%error, "a sender waits");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// Returns when the queue has room: until then the sender's own buffers fill, and it waits.
    pub async fn room(&self) {
        if self.queue.has_room() {
            return;
        }
        Counters::add(&self.counters.pushed_back, 1);
        while !self.queue.has_room() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// An address as text, an IPv4 one in its own form even when it came over an IPv6 socket.
pub fn write_address(address: IpAddr, into: &mut String) {
    into.clear();
    // Writing to a string cannot fail.
    let _ = write!(into, "{}", address.to_canonical());
}
