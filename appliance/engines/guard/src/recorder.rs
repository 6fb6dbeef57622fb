//! What is found goes to disk and to others, on a thread of its own: flows into DuckDB, events into EVE, records to the
//! IPFIX collector.
//!
//! The meter never waits for it: the queue is bounded, and what does not fit is counted. Whatever fails is told as a fault
//! and tried again with the next batch; flows that could not be written are counted as lost.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, ToSocketAddrs, UdpSocket},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use sent_core::clock::SharedClock;

use crate::{
    detection::Detection,
    export::{
        eve::{self, Eve},
        ipfix::Exporter,
    },
    flows::{Stored, Writer},
};

/// What is found.
#[derive(Debug)]
pub enum Record {
    /// A flow, or a part of one.
    Flow(Box<Stored>),
    /// Something that looks like trouble.
    Detection(Box<Detection>),
}

/// How long flows wait for others: one transaction a second.
const PAUSE: Duration = Duration::from_secs(1);
/// Flows of one transaction.
const BATCH: usize = 20_000;
/// How often old flows are deleted.
const FORGET_EVERY: Duration = Duration::from_secs(600);
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// What does not work, by its part.
#[derive(Debug, Default)]
pub struct Faults(Mutex<BTreeMap<&'static str, String>>);

impl Faults {
    /// A part failed, or works again.
    pub fn set<E: std::fmt::Display>(&self, part: &'static str, outcome: Result<(), E>) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                faults.remove(part);
            }
            Err(error) => {
                let fault = format!("{part}: {error}");
                if faults.get(part) != Some(&fault) {
                    tracing::warn!(part, %error, "guard cannot do all of its work");
                    faults.insert(part, fault);
                }
            }
        }
    }

    /// All of them.
    pub fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Where things go.
pub struct Recorder {
    /// Flows.
    pub writer: Writer,
    /// Days flows are kept.
    pub days: u32,
    /// Folder and size of the file of events; none writes none.
    pub eve: Option<(PathBuf, u64)>,
    /// The collector; empty sends nothing.
    pub collector: String,
    /// What does not work.
    pub faults: Arc<Faults>,
    /// Flows that could not be stored.
    pub lost: Arc<AtomicU64>,
    /// Time.
    pub clock: SharedClock,
}

impl Recorder {
    /// Takes what comes until nothing more does; gives the writer back.
    pub fn run(mut self, records: &Receiver<Record>) -> Writer {
        let mut eve = self.eve.take().and_then(|(folder, most)| {
            let opened = Eve::open(&folder, most);
            opened.map_err(|error| self.faults.set("the file of events", Err(error))).ok()
        });
        let mut sender = Sender::new(&self.collector);
        let mut flows = Vec::new();
        let (mut written, mut forgotten) = (Instant::now(), None::<Instant>);
        loop {
            let record = records.recv_timeout(PAUSE.saturating_sub(written.elapsed()));
            let over = matches!(record, Err(RecvTimeoutError::Disconnected));
            let now = self.clock.now().0;
            match record {
                Ok(Record::Flow(stored)) => {
                    if let Some(eve) = &mut eve {
                        let events = eve::flow(&stored.flow, stored.name.as_deref());
                        let outcome = events.iter().try_for_each(|event| eve.write(event));
                        self.faults.set("the file of events", outcome);
                    }
                    if let Some(sender) = &mut sender {
                        self.faults.set("the IPFIX collector", sender.flow(&stored, now));
                    }
                    flows.push(*stored);
                }
                Ok(Record::Detection(detection)) => {
                    if let Some(eve) = &mut eve {
                        self.faults.set("the file of events", eve.write(&eve::detection(&detection)));
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if over || flows.len() >= BATCH || written.elapsed() >= PAUSE {
                written = Instant::now();
                self.store(&mut flows);
                if let Some(eve) = &mut eve {
                    self.faults.set("the file of events", eve.flush());
                }
                if let Some(sender) = &mut sender {
                    self.faults.set("the IPFIX collector", sender.flush(now));
                }
                if forgotten.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
                    forgotten = Some(Instant::now());
                    self.faults.set("old flows", self.writer.forget(now - i64::from(self.days) * DAY));
                }
            }
            if over {
                return self.writer;
            }
        }
    }

    fn store(&mut self, flows: &mut Vec<Stored>) {
        if flows.is_empty() {
            return;
        }
        let outcome = self.writer.write(flows);
        if outcome.is_err() {
            self.lost.fetch_add(flows.len() as u64, Ordering::Relaxed);
        }
        self.faults.set("the file of flows", outcome);
        flows.clear();
    }
}

/// Why the collector does not get what it should.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("{0} is no host and port")]
    Address(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Sends flows to a collector.
struct Sender {
    collector: String,
    socket: Option<UdpSocket>,
    exporter: Exporter,
}

impl Sender {
    fn new(collector: &str) -> Option<Self> {
        // The observation domain is this box: it has one.
        (!collector.is_empty()).then(|| Self {
            collector: collector.to_owned(),
            socket: None,
            exporter: Exporter::new(1),
        })
    }

    fn flow(&mut self, stored: &Stored, now: i64) -> Result<(), SendError> {
        match self.exporter.flow(&stored.flow, now.div_euclid(1_000_000)) {
            Some(message) => self.send(&message),
            None => Ok(()),
        }
    }

    fn flush(&mut self, now: i64) -> Result<(), SendError> {
        match self.exporter.message(now.div_euclid(1_000_000)) {
            Some(message) => self.send(&message),
            None => Ok(()),
        }
    }

    fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        // A socket that failed is made anew, and its collector looked up again.
        socket.send(message)?;
        self.socket = Some(socket);
        Ok(())
    }

    fn connect(&self) -> Result<UdpSocket, SendError> {
        let collector: SocketAddr = self
            .collector
            .to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next())
            .ok_or_else(|| SendError::Address(self.collector.clone()))?;
        let own: SocketAddr = if collector.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(own)?;
        socket.connect(collector)?;
        Ok(socket)
    }
}
