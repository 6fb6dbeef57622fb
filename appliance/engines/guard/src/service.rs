//! What guard does, in terms of its parts: interfaces are captured, flows and packets kept, trouble told.
//!
//! Four kinds of threads, each behind a bounded queue: one an interface, the meter, the ring, the recorder. What is for
//! the business store is gathered here and written once a second; a flood of detections is bounded by the minute, and the
//! rest counted. Without an interface in the settings nothing is captured, and what was kept can still be read.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use sent_contract::{Level, Page, Status as Health, Uuid, guard as contract};
use sent_core::{Problem, Scope, clock::SharedClock, error::Kind, id};
use sent_store::{Store, StoreError};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    detection::{Detection, Lists},
    device::{Mac, Makers},
    flow::{self, Flow},
    flows::{Filter, Flows, FlowsError, Stored, Writer},
    live::{Counts, Live, Options},
    meter::{Limits, Meter, Summary},
    pipeline::{self, RingCounts, RingThread, Take},
    recorder::{Faults, Record, Recorder},
    ring::{self, Wanted},
    settings::Settings,
    store::{self, Filter as DetectionFilter},
    view,
    watch::Watch,
};

/// Records that may wait for the disk.
const WAITING: usize = 32_768;
/// Detections that may wait for the store, and that are kept a minute.
const DETECTIONS: usize = 300;
/// Devices are told of again this often, if they were seen.
const SEEN_EVERY: Duration = Duration::from_secs(3_600);
/// Lists are looked at again this often.
const LISTS_EVERY: Duration = Duration::from_secs(30);
/// Old detections are deleted this often.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// Detections deleted in one transaction.
const FORGET: usize = 500;
/// Rows of a page, and rows that may be asked for.
pub const ROWS: (usize, usize) = (100, 1_000);
/// Bytes of one download of packets.
const DOWNLOAD: u64 = 64 << 20;
/// Around a detection, packets of this long are given too, µs.
const AROUND: i64 = 60_000_000;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// What a service stands on.
pub struct Parts {
    /// Business rows.
    pub store: Store,
    /// Whose box it is.
    pub organization: Uuid,
    /// Its own folder.
    pub folder: PathBuf,
    /// `[guard]`.
    pub settings: Settings,
}

/// What was wrong at the start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file of flows.
    #[error(transparent)]
    Flows(#[from] FlowsError),
}

/// What the meter tells.
#[derive(Debug, Default)]
struct Told {
    summary: Summary,
    under_way: usize,
    untold: (u64, u64),
}

/// Counts of a moment ago, and what they make a second.
#[derive(Debug, Default)]
struct Rates {
    before: Vec<Counts>,
    at: Option<Instant>,
    /// Frames and bits.
    rates: Vec<(f64, f64)>,
}

/// The engine's inside.
pub struct Service {
    parts: Parts,
    clock: SharedClock,
    watch: Mutex<Watch>,
    flows: Arc<Flows>,
    writer: Mutex<Option<Writer>>,
    live: Mutex<Option<Live>>,
    told: Mutex<Told>,
    rates: Mutex<Rates>,
    ring: Mutex<Option<Arc<RingCounts>>>,
    lists: Mutex<Vec<(String, u64)>>,
    faults: Arc<Faults>,
    lost: Arc<AtomicU64>,
    suppressed: AtomicU64,
    downloads: Semaphore,
    started: i64,
}

impl Service {
    /// Puts the parts together; nothing runs yet.
    pub fn new(parts: Parts) -> Result<Arc<Self>, StartError> {
        let clock = parts.store.clock().clone();
        let (flows, writer) = Flows::open(&parts.folder)?;
        // Nobody's maker is asked for where nothing is captured.
        let captures = !parts.settings.interfaces.is_empty();
        let makers = if captures { Makers::read(&parts.settings.makers) } else { Makers::default() };
        let watch = Watch::new(&parts.settings, makers, Lists::default());
        let started = clock.now().0;
        Ok(Arc::new(Self {
            parts,
            clock,
            watch: Mutex::new(watch),
            flows: Arc::new(flows),
            writer: Mutex::new(Some(writer)),
            live: Mutex::default(),
            told: Mutex::default(),
            rates: Mutex::default(),
            ring: Mutex::default(),
            lists: Mutex::default(),
            faults: Arc::default(),
            lost: Arc::default(),
            suppressed: AtomicU64::new(0),
            downloads: Semaphore::new(1),
            started,
        }))
    }

    fn scope(&self) -> Scope {
        Scope::system(self.parts.organization, "guard", &*self.clock)
    }

    fn ring_folder(&self) -> PathBuf {
        self.parts.folder.join("ring")
    }

    /// Captures until it is told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), Problem> {
        if self.parts.settings.interfaces.is_empty() {
            stop.cancelled().await;
            return Ok(());
        }
        let known = self.parts.store.read(&self.scope(), store::devices).await?;
        {
            let mut watch = lock(&self.watch);
            known.iter().filter_map(view::restored).for_each(|device| watch.restore(device));
        }
        let (detections, mut waiting) = mpsc::channel(DETECTIONS);
        let this = self.clone();
        let began = tokio::task::spawn_blocking(move || this.begin(detections)).await.map_err(Problem::internal)?;
        let meter = began.map_err(Problem::internal)?;
        self.keep(&mut waiting, stop).await;
        let this = self.clone();
        let ending = tokio::task::spawn_blocking(move || {
            if let Some(live) = lock(&this.live).as_mut() {
                live.stop();
            }
            meter.join().is_ok()
        });
        let orderly = ending.await.map_err(Problem::internal)?;
        // The end of all flows may have shown something.
        self.tell_detections(std::iter::from_fn(|| waiting.try_recv().ok()).collect()).await;
        self.tell_devices(true).await;
        if orderly { Ok(()) } else { Err(Problem::internal("the meter broke off; see the log")) }
    }

    /// Starts the threads; answers the meter's, which ends when nothing is captured any more.
    fn begin(self: &Arc<Self>, detections: mpsc::Sender<Detection>) -> Result<thread::JoinHandle<()>, String> {
        let settings = &self.parts.settings;
        let words = |error: &dyn std::error::Error| error.to_string();
        let ring = match settings.ring_mib {
            0 => None,
            mib => {
                let limits = ring::Limits::of(u64::from(mib) << 20);
                Some(RingThread::start(&self.ring_folder(), limits).map_err(|e| words(&e))?)
            }
        };
        *lock(&self.ring) = ring.as_ref().map(RingThread::counts);
        let Some(writer) = lock(&self.writer).take() else {
            return Err("the flows are being written already".to_owned());
        };
        let recorder = Recorder {
            writer,
            days: settings.flows_days,
            eve: (settings.eve_mib > 0).then(|| (self.parts.folder.join("eve"), u64::from(settings.eve_mib) << 20)),
            collector: settings.ipfix.clone(),
            faults: self.faults.clone(),
            lost: self.lost.clone(),
            clock: self.clock.clone(),
        };
        let (records, waiting) = sync_channel(WAITING);
        let (live, batches) = Live::start(&Options::from(settings), true).map_err(|e| words(&e))?;
        *lock(&self.live) = Some(live);
        let limits = Limits {
            flows: flow::Limits {
                memory: (settings.memory_mib as usize) << 20,
                part: settings.part_seconds,
                ..flow::Limits::default()
            },
            ..Limits::default()
        };
        let recording = thread::Builder::new().name("recorder".to_owned()).spawn(move || recorder.run(&waiting));
        let recording = recording.map_err(|e| words(&e))?;
        let this = self.clone();
        let metering = thread::Builder::new().name("meter".to_owned()).spawn(move || {
            let mut taker = Taker { service: this.clone(), records, detections };
            let clock = this.clock.clone();
            let now = move || clock.now().0.saturating_mul(1_000);
            pipeline::run(&batches, Meter::new(limits), &this.watch, ring.as_ref(), &mut taker, now);
            // The recorder ends when nothing more can come; the ring, when it is let go.
            drop((taker, ring));
            if let Ok(writer) = recording.join() {
                *lock(&this.writer) = Some(writer);
            }
        });
        metering.map_err(|e| words(&e))
    }

    /// Writes what was found, until it is told to stop.
    async fn keep(&self, waiting: &mut mpsc::Receiver<Detection>, stop: CancellationToken) {
        let mut beat = interval(Duration::from_secs(1));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut lists, mut forgotten) = (Instant::now(), None::<Instant>, None::<Instant>);
        let mut lists_as_of = None;
        let mut minute = (Instant::now(), 0usize);
        loop {
            tokio::select! {
                _ = beat.tick() => {}
                () = stop.cancelled() => {}
            }
            let ending = stop.is_cancelled();
            let mut found = Vec::new();
            while let Ok(detection) = waiting.try_recv() {
                found.push(detection);
            }
            if minute.0.elapsed() >= Duration::from_secs(60) {
                minute = (Instant::now(), 0);
            }
            let room = DETECTIONS.saturating_sub(minute.1);
            if found.len() > room {
                self.suppressed.fetch_add((found.len() - room) as u64, Ordering::Relaxed);
                found.truncate(room);
            }
            minute.1 += found.len();
            self.tell_detections(found).await;
            let all = seen.elapsed() >= SEEN_EVERY;
            if all {
                seen = Instant::now();
            }
            self.tell_devices(all).await;
            self.measure();
            if lists.is_none_or(|at| at.elapsed() >= LISTS_EVERY) {
                lists = Some(Instant::now());
                self.read_lists(&mut lists_as_of).await;
            }
            if forgotten.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
                forgotten = Some(Instant::now());
                self.forget().await;
            }
            if ending {
                return;
            }
        }
    }

    async fn tell_detections(&self, found: Vec<Detection>) {
        if found.is_empty() {
            return;
        }
        let count = found.len() as u64;
        let ids: Vec<Uuid> = found.iter().map(|_| id::new(&*self.clock)).collect();
        let write = move |tx: &sent_store::Tx<'_>| {
            ids.iter().zip(&found).try_for_each(|(id, detection)| store::put_detection(tx, *id, detection))
        };
        let outcome = self.parts.store.write::<_, StoreError, _>(&self.scope(), "guard.detect", write).await;
        if outcome.is_err() {
            self.suppressed.fetch_add(count, Ordering::Relaxed);
        }
        self.faults.set("the store", outcome);
    }

    /// Devices and certificates of which something has changed; with `all`, every device that was seen.
    async fn tell_devices(&self, all: bool) {
        let (devices, certificates) = {
            let mut watch = lock(&self.watch);
            let changed = watch.changed_devices();
            let devices: Vec<_> = match all {
                true => watch.inventory().iter().map(view::device).collect(),
                false => changed.iter().map(view::device).collect(),
            };
            let certificates: Vec<_> = watch.changed_certificates().iter().map(view::certificate).collect();
            (devices, certificates)
        };
        if devices.is_empty() && certificates.is_empty() {
            return;
        }
        let write = move |tx: &sent_store::Tx<'_>| {
            devices.iter().try_for_each(|device| store::put_device(tx, device))?;
            certificates.iter().try_for_each(|certificate| store::put_certificate(tx, certificate))
        };
        let outcome = self.parts.store.write::<_, StoreError, _>(&self.scope(), "guard.inventory", write).await;
        self.faults.set("the store", outcome);
    }

    /// Reads the lists again when one of them has changed.
    async fn read_lists(&self, as_of: &mut Option<Vec<Option<SystemTime>>>) {
        let files = self.parts.settings.lists.clone();
        let stamp = |file: &PathBuf| std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
        let stamps: Vec<_> = files.iter().map(stamp).collect();
        if as_of.as_ref() == Some(&stamps) {
            return;
        }
        let Ok((lists, errors)) = tokio::task::spawn_blocking(move || Lists::read(&files)).await else { return };
        *as_of = Some(stamps);
        self.faults.set("a list", errors.into_iter().next().map_or(Ok(()), Err));
        *lock(&self.lists) = lists.iter().map(|list| (list.name.clone(), list.entries.len() as u64)).collect();
        lock(&self.watch).set_lists(lists);
    }

    async fn forget(&self) {
        let days = self.parts.settings.detections_days;
        if days == 0 {
            return;
        }
        let before = self.clock.now().0 - i64::from(days) * DAY;
        loop {
            let write = move |tx: &sent_store::Tx<'_>| store::forget_detections(tx, before, FORGET);
            match self.parts.store.write::<_, StoreError, _>(&self.scope(), "guard.forget", write).await {
                Ok(FORGET) => {}
                Ok(_) => return,
                Err(error) => return self.faults.set("the store", Err(error)),
            }
        }
    }

    /// What the interfaces did since the last time, a second.
    fn measure(&self) {
        let Some(now) = lock(&self.live).as_ref().map(Live::counts) else { return };
        let mut rates = lock(&self.rates);
        let passed = rates.at.replace(Instant::now()).map_or(0.0, |at| at.elapsed().as_secs_f64());
        if passed > 0.0 {
            // Counters of a second are far below 2^52.
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / passed;
            let pairs = now.iter().zip(&rates.before);
            let made = pairs.map(|(n, b)| (rate(n.frames, b.frames), rate(n.bytes, b.bytes) * 8.0)).collect();
            rates.rates = made;
        }
        rates.before = now;
    }

    /// How it stands.
    pub fn status(&self, scope: &Scope) -> Result<contract::Status, Problem> {
        self.own(scope)?;
        let counts = lock(&self.live).as_ref().map(Live::counts).unwrap_or_default();
        let rates = lock(&self.rates).rates.clone();
        let interfaces = counts.into_iter().enumerate().map(|(place, counts)| {
            let (frames_rate, bits_rate) = rates.get(place).copied().unwrap_or_default();
            contract::Interface {
                name: counts.interface,
                fault: counts.fault,
                frames: counts.frames,
                bytes: counts.bytes,
                frames_rate,
                bits_rate,
                received: counts.received,
                dropped_kernel: counts.dropped_kernel,
                dropped_interface: counts.dropped_interface,
                dropped_queue: counts.dropped_queue,
            }
        });
        let told = lock(&self.told);
        let mut faults = self.faults.list();
        let ring = lock(&self.ring).as_ref().map(|ring| {
            faults.extend(lock(&ring.fault).as_ref().map(|fault| format!("the ring: {fault}")));
            let since = ring.since.load(Ordering::Relaxed);
            contract::Ring {
                bytes: ring.bytes.load(Ordering::Relaxed),
                limit: u64::from(self.parts.settings.ring_mib) << 20,
                since: (since != 0).then_some(since.div_euclid(1_000)),
                dropped: ring.dropped.load(Ordering::Relaxed),
            }
        });
        Ok(contract::Status {
            interfaces: interfaces.collect(),
            flows: told.under_way as u64,
            flows_evicted: told.summary.flows.evicted,
            flows_lost: self.lost.load(Ordering::Relaxed),
            detections_repeated: told.untold.0,
            detections_lost: told.untold.1 + self.suppressed.load(Ordering::Relaxed),
            ring,
            lists: lock(&self.lists).clone(),
            faults,
        })
    }

    /// Its health.
    pub fn health(&self) -> Health {
        let counts = lock(&self.live).as_ref().map(Live::counts).unwrap_or_default();
        let silent = counts.iter().find_map(|c| c.fault.as_ref().map(|fault| format!("{}: {fault}", c.interface)));
        let (level, cause) = match (silent, self.faults.list().into_iter().next()) {
            (Some(fault), _) => (Level::Bad, fault),
            (None, Some(fault)) => (Level::Warn, fault),
            (None, None) if counts.is_empty() => (Level::Ok, "no interface is set: nothing is captured".to_owned()),
            (None, None) => (Level::Ok, "running".to_owned()),
        };
        Health { level, cause, since: self.started }
    }

    /// Flows are those of the box's own organisation.
    fn own(&self, scope: &Scope) -> Result<(), Problem> {
        if scope.organization == self.parts.organization {
            return Ok(());
        }
        Err(Problem::new(Kind::Forbidden, "only the organisation of this box sees its network"))
    }

    async fn ask<T: Send + 'static>(
        &self,
        scope: &Scope,
        question: impl FnOnce(&Flows) -> Result<T, FlowsError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.own(scope)?;
        let flows = self.flows.clone();
        let answer = tokio::task::spawn_blocking(move || question(&flows)).await.map_err(Problem::internal)?;
        Ok(answer?)
    }

    /// Flows, the newest first.
    pub async fn flows(&self, scope: &Scope, filter: Filter, limit: usize) -> Result<Page<contract::Flow>, Problem> {
        let items = self.ask(scope, move |flows| flows.list(&filter, limit)).await?;
        let next = (items.len() == limit).then(|| items.last().map(|flow| flow.id.to_string())).flatten();
        Ok(Page { items, next, total: None })
    }

    /// Who talks to whom, the most bytes first.
    pub async fn talkers(
        &self,
        scope: &Scope,
        filter: Filter,
        limit: usize,
    ) -> Result<Page<contract::Talker>, Problem> {
        let mut items = self.ask(scope, move |flows| flows.talkers(&filter, limit)).await?;
        let watch = lock(&self.watch);
        let name = |address: &str| {
            let mac = address.parse().ok().and_then(|address| watch.inventory().holder(address))?;
            watch.inventory().get(mac)?.name().map(str::to_owned)
        };
        for talker in &mut items {
            talker.src_name = name(&talker.src);
            talker.dst_name = talker.dst_name.take().or_else(|| name(&talker.dst));
        }
        Ok(Page { items, next: None, total: None })
    }

    /// What flows add up to.
    pub async fn traffic(&self, scope: &Scope, filter: Filter) -> Result<contract::Traffic, Problem> {
        let mut traffic = self.ask(scope, move |flows| flows.traffic(&filter)).await?;
        let watch = lock(&self.watch);
        let inventory = watch.inventory();
        for end in traffic.top_sources.iter_mut().chain(&mut traffic.top_destinations) {
            let mac = end.key.parse().ok().and_then(|address| inventory.holder(address));
            end.mac = mac.map(|mac| mac.to_string());
            end.name = mac.and_then(|mac| inventory.get(mac)?.name().map(str::to_owned));
        }
        Ok(traffic)
    }

    /// Devices, those seen last first.
    pub async fn devices(&self, scope: &Scope) -> Result<Page<contract::Device>, Problem> {
        let mut items = self.parts.store.read(scope, store::devices).await?;
        if self.own(scope).is_ok() {
            let watch = lock(&self.watch);
            for device in &mut items {
                let now = device.mac.parse().ok().and_then(|mac: Mac| watch.inventory().get(mac));
                device.last_seen = now.map_or(device.last_seen, |now| now.last_seen.div_euclid(1_000));
            }
        }
        items.sort_by(|one, other| (other.last_seen, &one.mac).cmp(&(one.last_seen, &other.mac)));
        let total = Some(items.len() as u64);
        Ok(Page { items, next: None, total })
    }

    /// A device, and what is known of it.
    pub async fn device(&self, scope: &Scope, mac: &str) -> Result<contract::DeviceDetail, Problem> {
        let missing = || Problem::not_found("device");
        let mac: Mac = mac.parse().map_err(|_| missing())?;
        let device = self.devices(scope).await?.items.into_iter().find(|device| device.mac == mac.to_string());
        let device = device.ok_or_else(missing)?;
        let filter = Filter { mac: Some(mac.to_string()), ..Filter::default() };
        let peers = self.talkers(scope, filter, crate::device::PEERS).await?.items;
        let filter = DetectionFilter { mac: Some(mac.to_string()), ..DetectionFilter::default() };
        let detections = self.parts.store.read(scope, move |c| store::detections(c, &filter, ROWS.0)).await?;
        let (sent, received) = {
            let watch = lock(&self.watch);
            watch.inventory().get(mac).map_or((0, 0), |device| (device.sent, device.received))
        };
        Ok(contract::DeviceDetail { device, sent, received, peers, detections })
    }

    /// Certificates, the first to end first.
    pub async fn certificates(&self, scope: &Scope) -> Result<Page<contract::Certificate>, Problem> {
        let items = self.parts.store.read(scope, |c| store::certificates(c, ROWS.1)).await?;
        Ok(Page { items, next: None, total: None })
    }

    /// Detections, the newest evidence first.
    pub async fn detections(
        &self,
        scope: &Scope,
        filter: DetectionFilter,
        limit: usize,
    ) -> Result<Page<contract::Detection>, Problem> {
        let items = self.parts.store.read(scope, move |c| store::detections(c, &filter, limit)).await?;
        let last = items.last().filter(|_| items.len() == limit);
        let next = last.map(|detection| format!("{}_{}", detection.last_at, detection.id));
        Ok(Page { items, next, total: None })
    }

    /// Somebody has seen to a detection.
    pub async fn acknowledge(&self, scope: &Scope, id: Uuid) -> Result<contract::Detection, Problem> {
        let (who, now) = (scope.actor.name().to_owned(), self.clock.now().0);
        let write = move |tx: &sent_store::Tx<'_>| -> Result<_, StoreError> {
            let done = store::acknowledge(tx, id, &who, now)?;
            Ok((store::detection(tx, id)?, done))
        };
        let (detection, done) = self.parts.store.write(scope, "guard.detection.acknowledge", write).await?;
        let detection = detection.ok_or_else(|| Problem::not_found("detection"))?;
        if done { Ok(detection) } else { Err(Problem::conflict("somebody has acknowledged it already")) }
    }

    /// The packets that show a detection, or others between two times: a file of pcapng, and whether all of them are in it.
    /// Whoever takes packets is written down.
    pub async fn packets(&self, scope: &Scope, which: Packets) -> Result<(std::fs::File, bool), Problem> {
        self.own(scope)?;
        let (wanted, from, to) = match which {
            Packets::Between { wanted, from, to } => (wanted, from, to),
            Packets::Detection(id) => {
                let found = self.parts.store.read(scope, move |c| store::detection(c, id)).await?;
                let detection = found.ok_or_else(|| Problem::not_found("detection"))?;
                let wanted =
                    wanted(&detection).ok_or_else(|| Problem::conflict("it names nobody whose packets to look for"))?;
                (wanted, detection.started_at - AROUND, detection.last_at + AROUND)
            }
        };
        let _turn = self.downloads.acquire().await.map_err(Problem::internal)?;
        let taken = |tx: &sent_store::Tx<'_>| -> Result<(), StoreError> {
            tx.event();
            Ok(())
        };
        self.parts.store.write(scope, "guard.packets.take", taken).await?;
        let folder = self.ring_folder();
        let extracted = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
            let mut file = tempfile::tempfile()?;
            let mut out = std::io::BufWriter::new(&mut file);
            let found = ring::extract(
                &folder,
                &wanted,
                from.saturating_mul(1_000),
                to.saturating_mul(1_000),
                DOWNLOAD,
                &mut out,
            )?;
            drop(out);
            std::io::Seek::rewind(&mut file)?;
            Ok((file, found))
        });
        let (file, found) = extracted.await.map_err(Problem::internal)?.map_err(Problem::internal)?;
        if found.frames == 0 {
            return Err(Problem::new(Kind::NotFound, "the ring has none of these packets any more"));
        }
        Ok((file, found.complete))
    }
}

/// Which packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packets {
    /// Those that show a detection.
    Detection(Uuid),
    /// Those of a time.
    Between {
        /// Which.
        wanted: Wanted,
        /// From, µs.
        from: i64,
        /// To, µs.
        to: i64,
    },
}

/// Whose packets show a detection.
fn wanted(detection: &contract::Detection) -> Option<Wanted> {
    if let Some(flow) = &detection.community_id {
        return Some(Wanted::Flow(flow.clone()));
    }
    let address = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
    match (address(&detection.source), address(&detection.destination)) {
        (Some(source), Some(destination)) => Some(Wanted::Pair(source, destination)),
        (Some(source), None) if detection.mac.is_none() => Some(Wanted::Host(source)),
        _ => detection.mac.as_ref()?.parse().ok().map(Wanted::Device),
    }
}

/// What the meter finds, on its way.
struct Taker {
    service: Arc<Service>,
    records: SyncSender<Record>,
    detections: mpsc::Sender<Detection>,
}

impl Take for Taker {
    fn flow(&mut self, flow: Flow, name: Option<String>) {
        let record = Record::Flow(Box::new(Stored { flow, name }));
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.records.try_send(record) {
            self.service.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn detection(&mut self, detection: Detection) {
        // An event that does not fit is in the store all the same.
        let _ = self.records.try_send(Record::Detection(Box::new(detection.clone())));
        if self.detections.try_send(detection).is_err() {
            self.service.suppressed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn beat(&mut self, watch: &Mutex<Watch>, summary: Summary, under_way: usize) {
        let untold = lock(watch).untold();
        *lock(&self.service.told) = Told { summary, under_way, untold };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
