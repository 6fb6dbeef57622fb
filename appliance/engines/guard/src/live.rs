//! Live capture: one thread an interface, frames copied into batches, and a bounded queue between them and the meter.
//!
//! libpcap reads from the kernel's ring (TPACKET_V3 on Linux) and runs the filter inside the kernel. What does not reach
//! the meter is counted where it was lost ([`Counts`]): before the kernel's ring by the interface, in the ring because
//! nobody read it in time, or at the queue because the meter was busy. Frames that were read, and those that were lost,
//! are together what the kernel counted. An interface that fails is tried again until it is there.

use std::{
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, poll};
use pcap::{Active, Capture, Precision, Stat};

use crate::{capture::Frame, settings::Settings};

/// Bytes of a batch that is handed on.
const BATCH: usize = 256 << 10;
/// Frames of a batch that is handed on.
const FRAMES: usize = 2_048;
/// Batches that may wait for the meter: 32 MiB of frames.
const WAITING: usize = 128;
/// How long a frame waits for others at most.
const PATIENCE: Duration = Duration::from_millis(100);
/// The same, in milliseconds.
const WAIT: u16 = 100;
/// How often the kernel's counts are read.
const COUNTED: Duration = Duration::from_secs(1);
/// How long a failed interface is left alone.
const RETRY: Duration = Duration::from_secs(3);

/// Frames of one interface, one after the other.
#[derive(Debug)]
pub struct Batch {
    /// The interface.
    pub interface: Arc<str>,
    link: u16,
    bytes: Vec<u8>,
    /// Time, length on the wire, and where its bytes end.
    frames: Vec<(i64, u32, usize)>,
}

impl Batch {
    /// Empty.
    pub fn new(interface: Arc<str>, link: u16) -> Self {
        Self { interface, link, bytes: Vec::new(), frames: Vec::new() }
    }

    /// Takes a copy of a frame.
    pub fn push(&mut self, time: i64, length: u32, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        self.frames.push((time, length, self.bytes.len()));
    }

    /// Its frames.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut start = 0;
        self.frames.iter().map(move |(time, length, end)| {
            let data = &self.bytes[start..*end];
            start = *end;
            Frame { time: *time, link: self.link, length: *length, data }
        })
    }

    /// How many frames it has.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH || self.frames.len() >= FRAMES
    }
}

/// What an interface did since the capture began.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Its name.
    pub interface: String,
    /// Why it cannot be listened to now.
    pub fault: Option<String>,
    /// Frames handed to the meter.
    pub frames: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Frames that the kernel says it had for us, lost ones included.
    pub received: u64,
    /// Frames that nobody read in time out of the kernel's ring.
    pub dropped_kernel: u64,
    /// Frames that the interface itself lost.
    pub dropped_interface: u64,
    /// Frames that the meter was too busy for.
    pub dropped_queue: u64,
}

#[derive(Debug, Default)]
struct Counters {
    frames: AtomicU64,
    bytes: AtomicU64,
    received: AtomicU64,
    dropped_kernel: AtomicU64,
    dropped_interface: AtomicU64,
    dropped_queue: AtomicU64,
    fault: Mutex<Option<String>>,
}

impl Counters {
    fn set_fault(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn read(&self, interface: &str) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            interface: interface.to_owned(),
            fault: self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            frames: get(&self.frames),
            bytes: get(&self.bytes),
            received: get(&self.received),
            dropped_kernel: get(&self.dropped_kernel),
            dropped_interface: get(&self.dropped_interface),
            dropped_queue: get(&self.dropped_queue),
        }
    }
}

/// Why nothing can be captured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such interface, or no right to listen to it.
    #[error("{interface} cannot be listened to: {source}")]
    Interface {
        /// Which.
        interface: String,
        /// What libpcap says.
        source: pcap::Error,
    },
    /// The filter is none.
    #[error("the filter `{filter}` is wrong: {source}")]
    Filter {
        /// It.
        filter: String,
        /// What libpcap says.
        source: pcap::Error,
    },
    /// A thread could not be begun.
    #[error("a thread could not be begun")]
    Thread(#[from] std::io::Error),
}

/// How interfaces are listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which.
    pub interfaces: Vec<String>,
    /// What the kernel hands over; empty is everything.
    pub filter: String,
    /// Bytes of each frame.
    pub snap: u32,
    /// The kernel's ring, MiB each.
    pub buffer_mib: u32,
    /// Frames for others too.
    pub promiscuous: bool,
}

impl From<&Settings> for Options {
    fn from(settings: &Settings) -> Self {
        Self {
            interfaces: settings.interfaces.clone(),
            filter: settings.filter.clone(),
            snap: settings.snap,
            buffer_mib: settings.buffer_mib,
            promiscuous: settings.promiscuous,
        }
    }
}

/// Interfaces that are listened to, until it is dropped.
#[derive(Debug)]
pub struct Live {
    counters: Vec<(Arc<str>, Arc<Counters>)>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Live {
    /// Begins to listen: batches come out of the receiver. With `patient`, an interface that is not there now is tried again
    /// until it is; without, it is an error.
    pub fn start(options: &Options, patient: bool) -> Result<(Self, Receiver<Arc<Batch>>), Error> {
        let (send, receive) = sync_channel(WAITING);
        let mut live = Self { counters: Vec::new(), stop: Arc::default(), threads: Vec::new() };
        for interface in &options.interfaces {
            let opened = match open(interface, options) {
                Ok(capture) => Some(capture),
                Err(error @ Error::Filter { .. }) => return Err(error),
                Err(error) if !patient => return Err(error),
                Err(_) => None,
            };
            let name: Arc<str> = interface.as_str().into();
            let counters = Arc::<Counters>::default();
            let listener = Listener {
                name: name.clone(),
                options: options.clone(),
                counters: counters.clone(),
                stop: live.stop.clone(),
                queue: send.clone(),
            };
            live.counters.push((name, counters));
            let thread = thread::Builder::new().name(format!("capture-{interface}"));
            live.threads.push(thread.spawn(move || listener.run(opened))?);
        }
        Ok((live, receive))
    }

    /// What each interface did.
    pub fn counts(&self) -> Vec<Counts> {
        self.counters.iter().map(|(name, counters)| counters.read(name)).collect()
    }

    /// A handle that tells the threads to end: the receiver then runs dry.
    pub fn stopper(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Tells the threads to end, and waits: what they had read is in the receiver, and the counts are final.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that panicked has ended too.
            let _ = thread.join();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn open(interface: &str, options: &Options) -> Result<Capture<Active>, Error> {
    let failed = |source| Error::Interface { interface: interface.to_owned(), source };
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let mut capture = Capture::from_device(interface)
        .map_err(failed)?
        .snaplen(number(options.snap))
        .promisc(options.promiscuous)
        .buffer_size(number(options.buffer_mib.saturating_mul(1 << 20)))
        // How long the kernel gathers before it wakes us.
        .timeout(50)
        .precision(Precision::Nano)
        .open()
        .map_err(failed)?;
    if !options.filter.is_empty() {
        let wrong = |source| Error::Filter { filter: options.filter.clone(), source };
        capture.filter(&options.filter, true).map_err(wrong)?;
    }
    capture.setnonblock().map_err(failed)
}

/// Waits for frames, a while at most. libpcap's own waiting has no end where nothing comes, with TPACKET_V3.
fn wait(capture: &Capture<Active>) {
    // Whatever is wrong with it, the next read says.
    let _ = poll(&mut [PollFd::new(capture.as_fd(), PollFlags::POLLIN)], WAIT);
}

/// One interface's thread.
struct Listener {
    name: Arc<str>,
    options: Options,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    queue: SyncSender<Arc<Batch>>,
}

impl Listener {
    fn run(&self, mut opened: Option<Capture<Active>>) {
        while !self.stop.load(Ordering::Relaxed) {
            let capture = match opened.take() {
                Some(capture) => Ok(capture),
                None => open(&self.name, &self.options).map_err(|error| error.to_string()),
            };
            match capture.and_then(|capture| self.listen(capture)) {
                Ok(()) => return,
                Err(fault) => {
                    tracing::warn!(interface = &*self.name, fault, "capture is interrupted");
                    self.counters.set_fault(Some(fault));
                }
            }
            let again = Instant::now() + RETRY;
            while Instant::now() < again && !self.stop.load(Ordering::Relaxed) {
                thread::sleep(PATIENCE);
            }
        }
    }

    /// Reads frames until it is told to stop or the interface fails.
    fn listen(&self, mut capture: Capture<Active>) -> Result<(), String> {
        let link = u16::try_from(capture.get_datalink().0).map_err(|_| "its link type is unknown".to_owned())?;
        self.counters.set_fault(None);
        let mut batch = Batch::new(self.name.clone(), link);
        let (mut begun, mut counted) = (Instant::now(), Instant::now());
        let mut seen = Stat { received: 0, dropped: 0, if_dropped: 0 };
        let outcome = loop {
            match capture.next_packet() {
                Ok(packet) => {
                    if batch.is_empty() {
                        begun = Instant::now();
                    }
                    // With nanoseconds asked for, the field of microseconds holds them (pcap_set_tstamp_precision(3)).
                    let stamp = packet.header.ts;
                    batch.push(stamp.tv_sec * 1_000_000_000 + stamp.tv_usec, packet.header.len, packet.data);
                }
                Err(pcap::Error::TimeoutExpired) => wait(&capture),
                Err(error) => break Err(error.to_string()),
            }
            if batch.is_full() || !batch.is_empty() && begun.elapsed() >= PATIENCE {
                self.hand_on(&mut batch, link);
            }
            if counted.elapsed() >= COUNTED {
                counted = Instant::now();
                self.count(&mut capture, &mut seen);
            }
            if self.stop.load(Ordering::Relaxed) {
                break Ok(());
            }
        };
        self.hand_on(&mut batch, link);
        self.count(&mut capture, &mut seen);
        outcome
    }

    fn hand_on(&self, batch: &mut Batch, link: u16) {
        if batch.is_empty() {
            return;
        }
        let full = std::mem::replace(batch, Batch::new(self.name.clone(), link));
        let (frames, bytes) = (full.len() as u64, full.frames.iter().map(|(_, length, _)| u64::from(*length)).sum());
        let (counter, bytes) = match self.queue.try_send(Arc::new(full)) {
            Ok(()) => (&self.counters.frames, bytes),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => (&self.counters.dropped_queue, 0),
        };
        counter.fetch_add(frames, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds what the kernel counted since last time; its numbers have 32 bits and begin anew with each capture.
    fn count(&self, capture: &mut Capture<Active>, seen: &mut Stat) {
        let Ok(now) = capture.stats() else { return };
        let add = |counter: &AtomicU64, now: u32, before: u32| {
            counter.fetch_add(now.wrapping_sub(before).into(), Ordering::Relaxed);
        };
        add(&self.counters.received, now.received, seen.received);
        add(&self.counters.dropped_kernel, now.dropped, seen.dropped);
        add(&self.counters.dropped_interface, now.if_dropped, seen.if_dropped);
        *seen = now;
    }
}
