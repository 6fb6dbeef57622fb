//! What radar does: keeps the ways in open, stores and asks what arrives, and answers for what was found.
//!
//! One pipeline thread reads the queue and hands each batch first to the stored logs, then to the rules: what an alert
//! speaks of can be searched for. Rows say which rules run and what is kept quiet; files say what the rules are. Whoever
//! changes either changes it there, and is followed within seconds.

mod rulebook;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use sent_contract::{
    Level, Micros, Page, Status, Uuid,
    radar::{
        Alert, AlertDetail, Case, CaseChange, CaseCounts, CaseDetail, Comment, Exception, Found, Histogram, Hit,
        RadarStatus, Risk, Values, Way,
    },
};
use sent_core::{Problem, Scope, clock::SharedClock, id, live::Hub};
use sent_store::{Store, StoreError};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::{
    Live,
    detector::{Book, Counts, Detector},
    intake::{inlet::Inlet, names::Names, normalise::Options, pipeline::Pipeline, queue::Queue},
    library::Library,
    listeners::Listeners,
    quiet::Quiet,
    rules::Loaded,
    search::{self, Key, Search, SearchError},
    settings::Settings,
    store::{self, AlertFilter, CaseFilter},
};

/// Between two sweeps of what is older than it is kept.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);
/// Cases of one sweep's transaction.
const SWEEP: u32 = 100;
/// Rows of a page at most.
pub const MOST: u32 = 500;
/// Alerts that a case's page shows.
const MOST_OF_CASE: u32 = 200;
/// µs of a day.
const DAY: i64 = 86_400_000_000;
/// Characters of what people write at most.
const LONGEST_TEXT: usize = 10_000;

/// What a service stands on.
pub struct Parts {
    /// Business rows.
    pub store: Store,
    /// Live bus.
    pub hub: Arc<Hub>,
    /// Whose box it is.
    pub organization: Uuid,
    /// The engine's folder.
    pub folder: PathBuf,
    /// `[radar]`.
    pub settings: Settings,
}

/// What was wrong at the start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings make no sense.
    #[error(transparent)]
    Settings(#[from] crate::settings::SettingsError),
    /// The queue cannot be opened.
    #[error(transparent)]
    Queue(#[from] crate::intake::queue::QueueError),
    /// The stored logs cannot be opened.
    #[error("the stored logs cannot be opened: {0}")]
    Logs(#[from] SearchError),
    /// The folders of rules cannot be made.
    #[error("the folders of rules cannot be made: {0}")]
    Rules(std::io::Error),
}

/// The engine's inside.
pub struct Service {
    parts: Parts,
    clock: SharedClock,
    names: Arc<Names>,
    inlet: Inlet,
    logs: search::Store,
    library: Library,
    live: Arc<Live>,
    quiet: Arc<ArcSwap<Quiet>>,
    counts: Arc<Counts>,
    failures: AtomicU64,
    broken: AtomicU64,
    ways: Mutex<Vec<Way>>,
    trouble: Mutex<Option<(String, Micros)>>,
    /// Why a way in is closed; it stays so until the next start.
    closed: Mutex<Option<(String, Micros)>>,
    started: Micros,
}

impl Service {
    /// Opens the queue and the stored logs; nothing runs yet.
    pub fn new(parts: Parts) -> Result<Arc<Self>, StartError> {
        let clock = parts.store.clock().clone();
        let queue = Queue::open(&parts.folder.join("queue"), parts.settings.limits(), &clock)?;
        let logs = search::Store::open(&parts.folder.join("logs"), parts.settings.logs()?, clock.clone())?;
        let library = Library::open(&parts.folder).map_err(StartError::Rules)?;
        let inlet = Inlet::new(queue, clock.clone(), parts.settings.longest_kib << 10);
        let quiet = Quiet::new(clock.clone(), Vec::new(), Vec::new());
        Ok(Arc::new(Self {
            names: Arc::default(),
            inlet,
            logs,
            library,
            live: Arc::new(Live::new(Loaded::none())),
            quiet: Arc::new(ArcSwap::from_pointee(quiet)),
            counts: Arc::default(),
            failures: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            ways: Mutex::default(),
            trouble: Mutex::default(),
            closed: Mutex::default(),
            started: clock.now().0,
            clock,
            parts,
        }))
    }

    /// Where messages are handed in.
    pub fn inlet(&self) -> &Inlet {
        &self.inlet
    }

    /// What is found in the logs.
    pub(crate) fn store(&self) -> &Store {
        &self.parts.store
    }

    /// Whose logs these are.
    pub fn organization(&self) -> Uuid {
        self.parts.organization
    }

    fn scope(&self) -> Scope {
        Scope::system(self.parts.organization, "radar", &*self.clock)
    }

    fn options(&self) -> Options {
        Options { utc_offset: self.parts.settings.utc_offset * 60 }
    }

    /// Takes in, stores and asks until it is told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), Problem> {
        // Before the first line is asked.
        let seen = self.load().await;
        self.hush().await?;
        let pipeline = self.clone();
        let pipeline = tokio::task::spawn_blocking(move || pipeline.start()).await.map_err(Problem::internal)??;
        let mut listeners = Listeners::open(&self.parts.settings, &self.parts.folder, &self.inlet, &stop).await;
        *lock(&self.ways) = listeners.ways();
        for fault in listeners.faults() {
            tracing::error!(%fault, "a way in stays closed");
        }
        *lock(&self.closed) = listeners.faults().first().map(|fault| (fault.to_string(), self.clock.now().0));
        tokio::join!(
            self.follow_rules(seen, stop.clone()),
            self.follow_rows(stop.clone()),
            self.sweep(stop.clone()),
            self.watch(&pipeline, stop.clone()),
            listeners.ended(),
        );
        // Joining a thread blocks.
        tokio::task::spawn_blocking(move || drop((listeners, pipeline))).await.map_err(Problem::internal)
    }

    fn start(&self) -> Result<Pipeline, Problem> {
        let book = Book {
            store: self.parts.store.clone(),
            hub: self.parts.hub.clone(),
            organization: self.parts.organization,
        };
        let place = self.parts.folder.join("detector.state");
        let detector = Detector::new(self.live.clone(), self.quiet.clone(), self.counts.clone(), book, place);
        let detector = detector.map_err(|e| Problem::internal(format!("the state of the rules: {e}")))?;
        let consumers: Vec<Box<dyn crate::intake::pipeline::Consumer>> =
            vec![Box::new(self.logs.clone()), Box::new(detector)];
        Pipeline::start("logs", self.inlet.queue(), self.names.clone(), self.options(), consumers)
            .map_err(Problem::internal)
    }

    /// Follows the pipeline's figures.
    async fn watch(&self, pipeline: &Pipeline, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.failures.store(pipeline.progress().failures.load(Ordering::Relaxed), Ordering::Relaxed);
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    /// Takes up what is kept quiet.
    async fn hush(&self) -> Result<(), Problem> {
        let now = self.clock.now().0;
        let scope = self.scope();
        let read = self
            .parts
            .store
            .read(&scope, move |c| Ok::<_, StoreError>((store::disabled(c)?, store::exceptions(c, now)?)));
        let (disabled, exceptions) = read.await?;
        self.quiet.store(Arc::new(Quiet::new(self.clock.clone(), disabled, exceptions)));
        Ok(())
    }

    /// Takes up rows that somebody changed, here or in another process.
    async fn follow_rows(&self, stop: CancellationToken) {
        let mut changes = self.parts.store.changes();
        let mut touched = true;
        loop {
            if touched && let Err(problem) = self.hush().await {
                tracing::warn!(%problem, "exceptions cannot be read");
            }
            touched = tokio::select! {
                () = stop.cancelled() => return,
                change = changes.recv() => match change {
                    Ok(commit) => commit.rows.iter().any(|row| matches!(row.table, "radar_rules" | "radar_exceptions")),
                    Err(RecvError::Lagged(_)) => true,
                    Err(RecvError::Closed) => return,
                },
            };
        }
    }

    /// Lets go of what is older than it is kept.
    async fn sweep(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let logs = self.logs.clone();
            match tokio::task::spawn_blocking(move || logs.retain()).await {
                Ok(Ok(0)) => {}
                Ok(Ok(partitions)) => tracing::info!(partitions, "logs whose time was over are gone"),
                Ok(Err(error)) => tracing::warn!(%error, "old logs cannot be let go of now"),
                Err(error) => tracing::error!(%error, "old logs cannot be let go of"),
            }
            if let Err(error) = self.sweep_cases().await {
                tracing::warn!(%error, "old cases cannot be let go of now");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
        }
    }

    async fn sweep_cases(&self) -> Result<(), StoreError> {
        if self.parts.settings.cases_days == 0 {
            return Ok(());
        }
        loop {
            let before = self.clock.now().0 - i64::from(self.parts.settings.cases_days) * DAY;
            let prune = move |tx: &sent_store::Tx<'_>| store::prune(tx, before, SWEEP);
            if self.parts.store.write(&self.scope(), "radar.case.prune", prune).await? < SWEEP {
                return Ok(());
            }
        }
    }

    fn in_trouble(&self, cause: String) {
        tracing::warn!(cause, "radar is in trouble");
        let mut trouble = lock(&self.trouble);
        let since = trouble.as_ref().filter(|(before, _)| *before == cause).map_or(self.clock.now().0, |(_, at)| *at);
        *trouble = Some((cause, since));
    }

    fn out_of_trouble(&self) {
        *lock(&self.trouble) = None;
    }

    /// Its health now.
    pub fn health(&self) -> Status {
        if let Some((cause, since)) = lock(&self.closed).clone() {
            return Status { level: Level::Bad, cause, since };
        }
        if let Some((cause, since)) = lock(&self.trouble).clone() {
            return Status { level: Level::Warn, cause, since };
        }
        let stats = self.inlet.queue().stats();
        let since = self.started;
        if !self.inlet.queue().has_room() {
            let cause = "the log queue is full: senders wait, and datagrams are lost".to_owned();
            return Status { level: Level::Bad, cause, since };
        }
        if stats.bytes > self.parts.settings.limits().most_bytes / 2 {
            return Status { level: Level::Warn, cause: "the log queue is half full".to_owned(), since };
        }
        let broken = self.broken.load(Ordering::Relaxed);
        if broken > 0 {
            let cause = match broken {
                1 => "a rule is broken and does not run".to_owned(),
                broken => format!("{broken} rules are broken and do not run"),
            };
            return Status { level: Level::Warn, cause, since };
        }
        Status { level: Level::Ok, cause: format!("{} rules run", self.running()), since }
    }

    fn running(&self) -> u64 {
        let loaded = self.live.rules();
        (loaded.rules.rules().len() + loaded.correlations.len()) as u64
    }

    /// How it is doing.
    pub fn status(&self) -> RadarStatus {
        let counters = self.inlet.counters();
        let stats = self.inlet.queue().stats();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let udp = Settings::listener(&self.parts.settings.syslog_udp);
        let ways = lock(&self.ways).clone();
        RadarStatus {
            status: self.health(),
            messages: count(&counters.messages),
            bytes: count(&counters.bytes),
            cut: count(&counters.cut),
            dropped: count(&counters.dropped),
            dropped_by_kernel: udp
                .map_or(0, |address| crate::intake::net::kernel_drops(address.port()).unwrap_or_default()),
            pushed_back: count(&counters.pushed_back),
            refused: count(&counters.refused) + stats.refused,
            queue: (stats.bytes, self.parts.settings.limits().most_bytes),
            damaged: stats.damaged,
            stored: self.logs.lines(),
            asked: count(&self.counts.asked),
            matches: count(&self.counts.matches),
            quiet: count(&self.counts.quiet),
            failures: count(&self.failures),
            rules: self.running(),
            broken: count(&self.broken),
            ways,
        }
    }

    /// Alerts, newest first.
    pub async fn alerts(&self, scope: &Scope, filter: AlertFilter, most: u32) -> Result<Page<Alert>, Problem> {
        let most = most.clamp(1, MOST);
        let items = self.parts.store.read(scope, move |c| store::alerts(c, &filter, most)).await?;
        let next = full(&items, most).map(|last| cursor(last.last_at, last.id));
        Ok(Page { items, next, total: None })
    }

    /// One alert with its evidence.
    pub async fn alert(&self, scope: &Scope, id: Uuid) -> Result<AlertDetail, Problem> {
        let read =
            self.parts.store.read(scope, move |c| Ok::<_, StoreError>((store::alert(c, id)?, store::evidence(c, id)?)));
        let (alert, evidence) = read.await?;
        let alert = alert.ok_or_else(|| Problem::not_found("alert"))?;
        let kept = evidence.unwrap_or_default();
        Ok(AlertDetail {
            alert,
            description: kept.description,
            false_positives: kept.false_positives,
            tags: kept.tags,
            source: kept.source,
            original: kept.original,
            fields: kept.fields,
            group: kept.group,
        })
    }

    /// Cases, newest first.
    pub async fn cases(&self, scope: &Scope, filter: CaseFilter, most: u32) -> Result<Page<Case>, Problem> {
        let most = most.clamp(1, MOST);
        let items = self.parts.store.read(scope, move |c| store::cases(c, &filter, most)).await?;
        let next = full(&items, most).map(|last| cursor(last.last_at, last.id));
        Ok(Page { items, next, total: None })
    }

    /// How many cases are under way.
    pub async fn case_counts(&self, scope: &Scope) -> Result<CaseCounts, Problem> {
        Ok(self.parts.store.read(scope, store::case_counts).await?)
    }

    /// One case with its alerts and what was said.
    pub async fn case(&self, scope: &Scope, id: Uuid) -> Result<CaseDetail, Problem> {
        let read = self.parts.store.read(scope, move |c| {
            Ok::<_, StoreError>((store::case(c, id)?, store::alerts_of(c, id, MOST_OF_CASE)?, store::comments(c, id)?))
        });
        let (case, alerts, comments) = read.await?;
        Ok(CaseDetail { case: case.ok_or_else(|| Problem::not_found("case"))?, alerts, comments })
    }

    /// Changes a case.
    pub async fn change_case(&self, scope: &Scope, id: Uuid, change: CaseChange) -> Result<Case, Problem> {
        let known = |field: &str, value: &Option<String>, among: &[&str]| match value {
            Some(value) if !among.contains(&value.as_str()) => {
                Err(Problem::field(field, format!("is one of {}", among.join(", "))))
            }
            _ => Ok(()),
        };
        known("state", &change.state, &["open", "working", "closed"])?;
        known("verdict", &change.verdict, &["", "true_positive", "false_positive", "benign"])?;
        known("severity", &change.severity, &crate::model::risk::SEVERITIES.map(|(name, _)| name))?;
        if let Some(owner) = &change.owner {
            bounded("owner", owner, 200)?;
        }
        let write = self.parts.store.write(scope, "radar.case.change", move |tx| store::change_case(tx, id, &change));
        write.await?.ok_or_else(|| Problem::not_found("case"))
    }

    /// Says something about a case.
    pub async fn comment(&self, scope: &Scope, case: Uuid, text: String) -> Result<Comment, Problem> {
        bounded("text", &text, LONGEST_TEXT)?;
        if text.trim().is_empty() {
            return Err(Problem::field("text", "is empty"));
        }
        let comment = Comment {
            id: id::new(&*self.clock),
            at: self.clock.now().0,
            author: scope.actor.name().to_owned(),
            text: text.trim().to_owned(),
        };
        let row = comment.clone();
        let write = self.parts.store.write(scope, "radar.case.comment", move |tx| store::add_comment(tx, case, &row));
        if write.await? { Ok(comment) } else { Err(Problem::not_found("case")) }
    }

    /// Exceptions that have not ended.
    pub async fn exceptions(&self, scope: &Scope) -> Result<Page<Exception>, Problem> {
        let now = self.clock.now().0;
        let items = self.parts.store.read(scope, move |c| store::exceptions(c, now)).await?;
        Ok(Page { items, next: None, total: None })
    }

    /// Adds an exception.
    pub async fn add_exception(&self, scope: &Scope, new: Exception) -> Result<Exception, Problem> {
        if new.rule.is_empty() && new.fields.is_empty() {
            return Err(Problem::field("fields", "name a rule or a field: this exception would keep everything quiet"));
        }
        if new.reason.trim().is_empty() {
            return Err(Problem::field("reason", "say why, for whoever reads it in a year"));
        }
        bounded("reason", &new.reason, LONGEST_TEXT)?;
        if new.fields.len() > 20 || new.fields.iter().any(|(name, value)| name.is_empty() || value.len() > 1_000) {
            return Err(Problem::field("fields", "at most 20 fields with names, of at most 1000 characters"));
        }
        let now = self.clock.now().0;
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(Problem::field("expires_at", "lies in the past"));
        }
        let exception = Exception {
            id: id::new(&*self.clock),
            author: scope.actor.name().to_owned(),
            created_at: now,
            reason: new.reason.trim().to_owned(),
            ..new
        };
        let row = exception.clone();
        self.parts.store.write(scope, "radar.exception.create", move |tx| store::add_exception(tx, &row)).await?;
        self.hush().await?;
        Ok(exception)
    }

    /// Removes an exception.
    pub async fn delete_exception(&self, scope: &Scope, id: Uuid) -> Result<(), Problem> {
        let write = self.parts.store.write(scope, "radar.exception.delete", move |tx| store::delete_exception(tx, id));
        if !write.await? {
            return Err(Problem::not_found("exception"));
        }
        self.hush().await
    }

    /// How dangerous hosts and users look.
    pub async fn risks(&self, scope: &Scope) -> Result<Page<Risk>, Problem> {
        let now = self.clock.now().0;
        let mut items = self.parts.store.read(scope, move |c| store::risks(c, now)).await?;
        items.truncate(MOST as usize);
        Ok(Page { items, next: None, total: None })
    }

    /// Lines of the stored logs, newest first.
    pub async fn search(&self, search: Search, after: Option<Key>, most: usize) -> Result<Found, Problem> {
        found(&self.logs, search, after, most).await
    }

    /// How many lines match, over time.
    pub async fn histogram(&self, search: Search, bars: i64) -> Result<Histogram, Problem> {
        let histogram = self.logs.histogram_async(search, bars).await.map_err(unfound)?;
        Ok(Histogram {
            step: histogram.step,
            bars: histogram.bars.iter().map(|bar| (bar.at, bar.lines)).collect(),
            complete: histogram.complete,
            reached: histogram.reached,
        })
    }

    /// The values of a field.
    pub async fn values(&self, search: Search, field: String, most: usize) -> Result<Values, Problem> {
        let values = self.logs.values_async(search, field, most).await.map_err(unfound)?;
        Ok(Values { values: values.values, lines: values.lines, complete: values.complete })
    }
}

/// A page of stored lines. For the routes and for the verb on a box that does not run.
pub async fn found(logs: &search::Store, search: Search, after: Option<Key>, most: usize) -> Result<Found, Problem> {
    let page = logs.page_async(search, after, most).await.map_err(unfound)?;
    let items = page.hits.into_iter().map(|hit| Hit {
        at: hit.key.time,
        received: hit.received,
        position: hit.key.position,
        message: hit.message.unwrap_or_default(),
        original: String::from_utf8_lossy(&hit.original).into_owned(),
        fields: hit.fields,
    });
    Ok(Found {
        items: items.collect(),
        next: page.next.map(|key| format!("{}.{}", key.time, key.position)),
        complete: page.complete,
        reached: page.reached,
    })
}

/// What went wrong with a search.
pub fn unfound(error: SearchError) -> Problem {
    match error {
        SearchError::Query(error) => Problem::field("q", error.to_string()),
        error => Problem::internal(error),
    }
}

fn bounded(field: &str, text: &str, most: usize) -> Result<(), Problem> {
    if text.len() > most { Err(Problem::field(field, format!("is longer than {most} bytes"))) } else { Ok(()) }
}

/// The last row of a page that has no room left.
fn full<T>(items: &[T], most: u32) -> Option<&T> {
    items.last().filter(|_| items.len() == most as usize)
}

/// Where a list goes on.
fn cursor(at: Micros, id: Uuid) -> String {
    format!("{at}.{id}")
}

/// What [`cursor`] wrote.
pub fn after(text: &str) -> Option<(Micros, String)> {
    let (at, id) = text.split_once('.')?;
    Some((at.parse().ok()?, id.parse::<Uuid>().ok()?.to_string()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
