//! What measuring does, in terms of the model, the store and the machinery.
//!
//! Rows are the truth: every change goes through the store, and after it the runner and the alert machines are told to
//! look again ([`Service::reload`]). Points and alerts meet once a second in [`Service::beat`].

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use sent_contract::{
    Level, Page, Status, Uuid,
    pulse::{Alert, Check, Host, LivePoints, NewCheck, QueryAnswer, Rule, Series, Silence},
};
use sent_core::{Problem, Scope, clock::SharedClock, error::Kind, id, live::Hub, mail::Mailer};
use sent_store::{Committed, Store, StoreError};
use tokio::{
    sync::{Notify, broadcast, mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    alert::{Evaluator, Outcome},
    book::{Book, refuse, written},
    host,
    model::{SECOND, rule},
    notify::Notifier,
    prune::Pruner,
    recorder::{Known, Reader, Recorder, SeriesError, Sink},
    runner::{Changed, Runner},
    settings::Settings,
    store::{self, AlertRow, Stored},
    view::{self, Told, page},
};

/// Hold timers are written this often; what an open alert does is written at once.
const MEMORY_EVERY: i64 = 30 * SECOND;
/// Rows are read again when a commit touches them, of this process or another; and this often, should it not be told of one.
const RELOAD_EVERY: Duration = Duration::from_secs(15);
/// The tables that say what runs.
const WATCHED: [&str; 3] = ["checks", "rules", "silences"];
/// Series that were silent for so long are not listed after a restart.
const SHOWN: i64 = 30 * 86_400 * SECOND;
/// Points in one push to the pages.
const MOST_LIVE: usize = 1_000;
/// Series in one list; a filter finds the others.
const MOST_LISTED: usize = 5_000;
/// Series in one query, and points of each.
const MOST_QUERIED: (usize, usize) = (200, 10_000);

/// What a service stands on.
pub struct Parts {
    /// Business rows.
    pub store: Store,
    /// Live bus.
    pub hub: Arc<Hub>,
    /// Whose box it is.
    pub organization: Uuid,
    /// Where points go.
    pub sink: Arc<dyn Sink>,
    /// Where points are read.
    pub reader: Arc<dyn Reader>,
    /// Who takes mails, where a server is set.
    pub mail: Option<Arc<Mailer>>,
    /// `[pulse]`.
    pub settings: Settings,
    /// Seconds between the kept measurements of the box itself: `pulse.interval`, as it is at the time.
    pub interval: watch::Receiver<u32>,
}

/// The engine's inside.
pub struct Service {
    parts: Parts,
    clock: SharedClock,
    recorder: Arc<Recorder>,
    runner: Arc<Runner>,
    notifier: Notifier,
    book: Book,
    evaluator: Mutex<Evaluator>,
    outcomes: Mutex<Vec<Outcome>>,
    remembered_at: AtomicI64,
    changes: Mutex<Option<mpsc::UnboundedReceiver<Changed>>>,
    notify: Arc<Notify>,
    trouble: Mutex<Option<(String, i64)>>,
    /// What will not mend itself in this life of the process.
    lasting: Mutex<Option<(String, i64)>>,
    started: i64,
}

/// What was wrong at the start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No client for checks.
    #[error("{0}")]
    Check(#[from] crate::check::Failure),
}

impl Service {
    /// Puts the parts together; nothing runs yet.
    pub fn new(parts: Parts) -> Result<Arc<Self>, StartError> {
        let clock = parts.store.clock().clone();
        let recorder = Arc::new(Recorder::default());
        let (runner, changes) = Runner::new(recorder.clone(), clock.clone())?;
        let notify = Arc::new(Notify::new());
        let http = runner.http().clone();
        let secret = &parts.settings.webhook_secret;
        let notifier =
            Notifier::new(parts.store.clone(), parts.organization, parts.mail.clone(), secret, http, notify.clone());
        let started = clock.now().0;
        let book = Book::new(parts.store.clone(), parts.organization);
        Ok(Arc::new(Self {
            parts,
            clock,
            recorder,
            runner,
            notifier,
            book,
            evaluator: Mutex::default(),
            outcomes: Mutex::default(),
            remembered_at: AtomicI64::new(started),
            changes: Mutex::new(Some(changes)),
            notify,
            trouble: Mutex::default(),
            lasting: Mutex::default(),
            started,
        }))
    }

    /// The business rows.
    pub(crate) fn rows(&self) -> &Store {
        &self.parts.store
    }

    /// Where measurements meet.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Measures, evaluates and tells until it is told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), Problem> {
        self.restore().await?;
        let changes = lock(&self.changes).take();
        let pruner = Pruner::new(self.parts.store.clone(), self.parts.organization, self.parts.settings.alerts_days);
        tokio::join!(
            self.measure_host(stop.clone()),
            self.runner.clone().run(stop.clone()),
            self.notifier.run(stop.clone()),
            self.beats(stop.clone()),
            self.reloads(stop.clone()),
            pruner.run(stop.clone()),
            self.keep_states(changes, stop.clone()),
        );
        // What came in since the last beat.
        self.beat(true).await;
        Ok(())
    }

    /// Takes up what the last life of the box left.
    async fn restore(&self) -> Result<(), Problem> {
        let (memory, open, states, rules, checks) = self
            .parts
            .store
            .read(&self.scope(), |c| {
                Ok::<_, StoreError>((
                    store::memory(c)?,
                    store::open_alerts(c)?,
                    store::states(c)?,
                    store::rules(c)?,
                    store::checks(c)?,
                ))
            })
            .await?;
        let now = self.clock.now().0;
        let reader = self.parts.reader.clone();
        match tokio::task::spawn_blocking(move || reader.list()).await {
            Ok(Ok(mut known)) => {
                // What a removed check measured, and what has long been silent, is history and not on the pages.
                known.retain(|one| {
                    one.last_at.is_some_and(|at| now - at < SHOWN)
                        && one
                            .definition
                            .labels
                            .get("check")
                            .is_none_or(|name| checks.iter().any(|check| check.name == *name))
                });
                self.recorder.seed(known);
            }
            Ok(Err(e)) => self.in_trouble(format!("old measurements cannot be read: {e}")),
            Err(e) => return Err(Problem::internal(e)),
        }
        let orphans = {
            let evaluator = Evaluator::restore(memory, &rules, &open, now);
            let watched: Vec<Uuid> = evaluator.restored_alerts();
            *lock(&self.evaluator) = evaluator;
            open.into_keys().filter(|alert| !watched.contains(alert)).collect::<Vec<_>>()
        };
        if !orphans.is_empty() {
            // Nothing watches these any more, so nothing would ever end them; what still holds is raised again.
            let close =
                move |tx: &sent_store::Tx<'_>| orphans.iter().try_for_each(|alert| store::close(tx, *alert, now));
            self.parts.store.write(&self.scope(), "pulse.alert.close", close).await?;
        }
        self.load(&states).await
    }

    /// Looks at the rows again.
    pub async fn reload(&self) -> Result<(), Problem> {
        self.load(&HashMap::new()).await
    }

    async fn load(&self, states: &HashMap<Uuid, crate::runner::State>) -> Result<(), Problem> {
        let now = self.clock.now().0;
        let (checks, rules, silences) = self
            .parts
            .store
            .read(&self.scope(), move |c| {
                Ok::<_, StoreError>((store::checks(c)?, store::rules(c)?, store::silences(c, now)?))
            })
            .await?;
        let runnable = checks.into_iter().map(|check| self.book.runnable(check)).collect();
        let gone = self.runner.replace(runnable, states);
        let known = self.recorder.all();
        let mut evaluator = lock(&self.evaluator);
        for name in gone {
            let series = self.recorder.forget(&name);
            evaluator.forget(&series, &mut || self.fresh(), now);
        }
        evaluator.set_silences(silences);
        evaluator.set_rules(rules, &known, &mut || self.fresh(), now);
        Ok(())
    }

    /// Checks by name.
    pub async fn checks(&self, scope: &Scope) -> Result<Page<Check>, Problem> {
        let checks = self.parts.store.read(scope, store::checks).await?;
        Ok(page(checks.into_iter().map(|check| self.shown(check)).collect()))
    }

    fn shown(&self, check: Stored) -> Check {
        let state = self.runner.state(check.id);
        view::check(check, state)
    }

    /// Adds a check, or replaces the one with this id.
    pub async fn put_check(&self, scope: &Scope, id: Option<Uuid>, new: NewCheck) -> Result<Check, Problem> {
        self.own(scope)?;
        let old = match id {
            Some(id) => {
                let found = self.parts.store.read(scope, move |c| store::check(c, id)).await?;
                Some(found.ok_or_else(|| Problem::not_found("check"))?)
            }
            None => None,
        };
        let prepared = self.book.prepare(old.as_ref(), new)?;
        let row = self.parts.store.write(scope, prepared.action(), move |tx| prepared.put(tx)).await;
        let stored = written(row)?;
        self.reload().await?;
        Ok(self.shown(stored))
    }

    /// Removes a check. Its measurements stay until their time is over.
    pub async fn delete_check(&self, scope: &Scope, id: Uuid) -> Result<(), Problem> {
        let there = self.parts.store.write(scope, "pulse.check.delete", move |tx| store::delete_check(tx, id)).await?;
        if !there {
            return Err(Problem::not_found("check"));
        }
        self.reload().await
    }

    /// Runs a check now.
    pub async fn run_check(&self, scope: &Scope, id: Uuid) -> Result<Check, Problem> {
        let stored = self.parts.store.read(scope, move |c| store::check(c, id)).await?;
        let stored = stored.ok_or_else(|| Problem::not_found("check"))?;
        if self.runner.state(id).is_none() {
            self.reload().await?;
        }
        self.runner.run_now(id).await.ok_or_else(|| Problem::not_found("check"))?;
        Ok(self.shown(stored))
    }

    /// Rules by name.
    pub async fn rules(&self, scope: &Scope) -> Result<Page<Rule>, Problem> {
        Ok(page(self.parts.store.read(scope, store::rules).await?))
    }

    /// Adds a rule, or replaces the one with this id.
    pub async fn put_rule(&self, scope: &Scope, id: Option<Uuid>, mut new: Rule) -> Result<Rule, Problem> {
        self.own(scope)?;
        refuse(rule::validate(&new))?;
        new.id = id.unwrap_or_else(|| self.fresh());
        let exists = id.is_some();
        let action = if exists { "pulse.rule.change" } else { "pulse.rule.create" };
        let row = new.clone();
        let there = self.parts.store.write(scope, action, move |tx| store::put_rule(tx, &row, exists)).await?;
        if !there {
            return Err(Problem::not_found("rule"));
        }
        self.reload().await?;
        Ok(new)
    }

    /// Removes a rule; its open alerts end.
    pub async fn delete_rule(&self, scope: &Scope, id: Uuid) -> Result<(), Problem> {
        let there = self.parts.store.write(scope, "pulse.rule.delete", move |tx| store::delete_rule(tx, id)).await?;
        if !there {
            return Err(Problem::not_found("rule"));
        }
        self.reload().await
    }

    /// The rules every box starts with, when it has none. For the making of a box.
    pub fn add_default_rules(store: &Store, scope: &Scope) -> Result<(), StoreError> {
        let clock = store.clock().clone();
        store.write_blocking(scope, "pulse.rule.create", move |tx| -> Result<(), StoreError> {
            if store::rules(tx)?.is_empty() {
                for rule in rule::defaults(|| id::new(&*clock)) {
                    store::put_rule(tx, &rule, false)?;
                }
            }
            Ok(())
        })
    }

    /// Silences that are not over.
    pub async fn silences(&self, scope: &Scope) -> Result<Page<Silence>, Problem> {
        let now = self.clock.now().0;
        Ok(page(self.parts.store.read(scope, move |c| store::silences(c, now)).await?))
    }

    /// Adds a silence.
    pub async fn add_silence(&self, scope: &Scope, mut silence: Silence) -> Result<Silence, Problem> {
        self.own(scope)?;
        let now = self.clock.now().0;
        if silence.until <= silence.from || silence.until <= now {
            return Err(Problem::field("until", "must be after the beginning, and not in the past"));
        }
        if silence.until - silence.from > 366 * 86_400 * SECOND {
            return Err(Problem::field("until", "a silence lasts at most a year; pause the rule instead"));
        }
        if silence.reason.trim().is_empty() || silence.reason.len() > 1_000 {
            return Err(Problem::field("reason", "say why, in at most 1,000 characters"));
        }
        silence.id = self.fresh();
        let row = silence.clone();
        self.parts.store.write(scope, "pulse.silence.create", move |tx| store::add_silence(tx, &row)).await?;
        self.reload().await?;
        Ok(silence)
    }

    /// Ends a silence.
    pub async fn delete_silence(&self, scope: &Scope, id: Uuid) -> Result<(), Problem> {
        let there =
            self.parts.store.write(scope, "pulse.silence.delete", move |tx| store::delete_silence(tx, id)).await?;
        if !there {
            return Err(Problem::not_found("silence"));
        }
        self.reload().await
    }

    /// Alerts, newest first.
    pub async fn alerts(&self, scope: &Scope, state: Option<String>) -> Result<Page<Alert>, Problem> {
        view::known_state(state.as_deref())?;
        let (rows, told) = self.parts.store.read(scope, move |c| view::alerts(c, state.as_deref())).await?;
        Ok(page(rows.into_iter().map(|row| self.shown_alert(row, &told)).collect()))
    }

    /// What is open shows its value now.
    fn shown_alert(&self, row: AlertRow, told: &Told) -> Alert {
        let now = lock(&self.evaluator)
            .open_alerts()
            .find(|(_, _, open)| open.alert == row.id)
            .map(|(_, _, open)| open.value);
        view::alert(row, told, now)
    }

    /// Somebody takes care of an alert: nobody else is called.
    pub async fn acknowledge(&self, scope: &Scope, id: Uuid) -> Result<Alert, Problem> {
        let who = scope.actor.name().to_owned();
        let (there, done) = self
            .parts
            .store
            .write(scope, "pulse.alert.acknowledge", move |tx| -> Result<_, StoreError> {
                Ok((store::alert(tx, id)?.is_some(), store::acknowledge(tx, id, &who)?))
            })
            .await?;
        if !there {
            return Err(Problem::not_found("alert"));
        }
        if !done {
            return Err(Problem::conflict("the alert is over, or somebody has acknowledged it already"));
        }
        lock(&self.evaluator).acknowledge(id, self.fresh(), self.clock.now().0);
        let (row, told) = self
            .parts
            .store
            .read(scope, move |c| Ok::<_, StoreError>((store::alert(c, id)?, store::told(c, &[id])?)))
            .await?;
        let alert = self.shown_alert(row.ok_or_else(|| Problem::not_found("alert"))?, &told);
        self.publish("pulse.alerts", &alert);
        Ok(alert)
    }

    /// Measurements belong to the organisation of the box. Anybody else on it has none.
    fn owns(&self, scope: &Scope) -> bool {
        scope.organization == self.parts.organization
    }

    /// Rows of another organisation would be kept and never run.
    fn own(&self, scope: &Scope) -> Result<(), Problem> {
        if self.owns(scope) {
            Ok(())
        } else {
            Err(Problem::new(Kind::Forbidden, "only the organisation of this box measures with it"))
        }
    }

    /// Series, filtered.
    pub fn series(&self, scope: &Scope, host: Option<&str>, metric: Option<&str>, words: Option<&str>) -> Page<Series> {
        if !self.owns(scope) {
            return page(Vec::new());
        }
        let words: Vec<String> = words.unwrap_or_default().split_whitespace().map(str::to_lowercase).collect();
        let wanted = |known: &Known| {
            let definition = &known.definition;
            let text = || {
                let labels = definition.labels.iter().map(|(n, v)| format!("{n}={v} "));
                format!("{} {}", definition.name, labels.collect::<String>()).to_lowercase()
            };
            host.is_none_or(|host| known.host() == host)
                && metric.is_none_or(|metric| definition.name == metric)
                && (words.is_empty() || {
                    let text = text();
                    words.iter().all(|word| text.contains(word))
                })
        };
        let mut found: Vec<Known> = self.recorder.all().into_iter().filter(wanted).collect();
        let total = Some(found.len() as u64);
        found.truncate(MOST_LISTED);
        Page { items: found.into_iter().map(view::series).collect(), next: None, total }
    }

    /// Points of series between two times.
    pub async fn query(
        &self,
        scope: &Scope,
        series: Vec<u64>,
        from: Option<i64>,
        to: Option<i64>,
        points: Option<usize>,
    ) -> Result<QueryAnswer, Problem> {
        self.own(scope)?;
        let to = to.unwrap_or_else(|| self.clock.now().0);
        let from = from.unwrap_or(to - 3_600 * SECOND);
        if series.is_empty() || series.len() > MOST_QUERIED.0 {
            return Err(Problem::field("series", format!("name between 1 and {} series", MOST_QUERIED.0)));
        }
        if from >= to {
            return Err(Problem::field("from", "must be before the end"));
        }
        let points = points.unwrap_or(500).clamp(1, MOST_QUERIED.1);
        let reader = self.parts.reader.clone();
        let answer = tokio::task::spawn_blocking(move || reader.query(&series, from, to, points))
            .await
            .map_err(Problem::internal)?;
        answer.map_err(|e| {
            Problem::new(Kind::Unavailable, "the measurements cannot be read now; try again").with_detail(e)
        })
    }

    /// Everything that is measured, the box first.
    pub async fn hosts(&self, scope: &Scope) -> Result<Page<Host>, Problem> {
        if !self.owns(scope) {
            return Ok(page(Vec::new()));
        }
        let checks = self.parts.store.read(scope, store::checks).await?;
        let checks = checks.into_iter().map(|check| {
            let state = self.runner.state(check.id);
            (check, state)
        });
        let alerts: Vec<(String, Status)> = lock(&self.evaluator)
            .open_alerts()
            .map(|(rule, labels, open)| {
                let level = if rule.severity == "bad" { Level::Bad } else { Level::Warn };
                let host = labels.get("host").cloned().unwrap_or_default();
                (host, Status { level, cause: crate::alert::title(rule, labels), since: open.raised_at })
            })
            .collect();
        Ok(page(view::hosts(self.recorder.all(), checks.collect(), &alerts, self.started)))
    }

    /// The engine's health.
    pub fn health(&self) -> Status {
        let dropped = self.recorder.dropped();
        let trouble = lock(&self.trouble).clone().or_else(|| lock(&self.lasting).clone());
        match trouble {
            Some((cause, since)) => Status { level: Level::Bad, cause, since },
            None if dropped > 0 => Status {
                level: Level::Warn,
                cause: format!("{dropped} measurements did not fit into memory"),
                since: self.started,
            },
            None => Status { level: Level::Ok, cause: format!("{} series", self.recorder.len()), since: self.started },
        }
    }

    /// Measures the box itself.
    async fn measure_host(&self, stop: CancellationToken) {
        let measured = host::measure(&self.recorder, &self.clock, self.parts.interval.clone(), stop).await;
        if let Err(cause) = measured {
            self.in_trouble(cause);
        }
    }

    async fn beats(&self, stop: CancellationToken) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = ticks.tick() => self.beat(false).await,
            }
        }
    }

    /// Takes what came in: to the alert rules, to the pages, to the disk.
    pub async fn beat(&self, last: bool) {
        let now = self.clock.now().0;
        let batch = self.recorder.take();
        let memory = {
            let mut evaluator = lock(&self.evaluator);
            evaluator.points(&batch.points, |id| self.recorder.get(id), &mut || self.fresh(), now);
            if !last {
                evaluator.tick(&mut || self.fresh(), now);
            }
            lock(&self.outcomes).extend(evaluator.take_outcomes());
            let all = last || now - self.remembered_at.load(Ordering::Relaxed) >= MEMORY_EVERY;
            if all {
                self.remembered_at.store(now, Ordering::Relaxed);
            }
            evaluator.take_memory(all, now)
        };
        let live: Vec<(String, f64)> = batch.live.iter().map(|(id, value)| (id.to_string(), *value)).collect();
        for points in live.chunks(MOST_LIVE) {
            self.publish("pulse.live", &LivePoints { at: now, points: points.to_vec() });
        }
        let kept = self.keep_points(batch.definitions, batch.points).await;
        let written = self.keep_alerts(memory).await;
        let mut trouble = lock(&self.trouble);
        match kept.and(written) {
            Ok(()) => *trouble = None,
            Err(cause) => {
                let since = trouble.take().map_or(now, |(_, since)| since);
                *trouble = Some((cause, since));
            }
        }
    }

    async fn keep_points(
        &self,
        definitions: Vec<sent_protocol::telemetry::SeriesDefinition>,
        points: Vec<sent_protocol::telemetry::Point>,
    ) -> Result<(), String> {
        if points.is_empty() && definitions.is_empty() {
            return Ok(());
        }
        let sink = self.parts.sink.clone();
        let appended = tokio::task::spawn_blocking(move || {
            let outcome = sink.append(&definitions, &points);
            (outcome, definitions, points)
        })
        .await;
        let (outcome, definitions, mut points) = appended.map_err(|e| format!("measurements are lost: {e}"))?;
        let Err(SeriesError { message, stored }) = outcome else { return Ok(()) };
        points.drain(..stored.min(points.len()));
        self.recorder.give_back(definitions, points);
        Err(format!("measurements wait in memory: {message}"))
    }

    /// Writes what the machines decided and remember. What cannot be written is written with the next beat.
    async fn keep_alerts(&self, memory: Vec<crate::alert::Kept>) -> Result<(), String> {
        let outcomes: Vec<Outcome> = std::mem::take(&mut *lock(&self.outcomes));
        if outcomes.is_empty() && memory.is_empty() {
            return Ok(());
        }
        let clock = self.clock.clone();
        let (rows, kept) = (outcomes.clone(), memory);
        let touched: Vec<Uuid> = outcomes.iter().map(|outcome| outcome.effect.alert()).collect();
        let again = kept.clone();
        let written = self
            .parts
            .store
            .write(&self.scope(), "pulse.alert.evaluate", move |tx| store::apply(tx, &rows, &kept, || id::new(&*clock)))
            .await;
        if let Err(e) = written {
            lock(&self.outcomes).splice(0..0, outcomes);
            lock(&self.evaluator).not_written(again);
            return Err(format!("alerts wait in memory: {e}"));
        }
        self.notify.notify_one();
        let read = self
            .parts
            .store
            .read(&self.scope(), move |c| {
                let mut rows: Vec<AlertRow> = Vec::new();
                for id in touched {
                    if !rows.iter().any(|row| row.id == id) {
                        rows.extend(store::alert(c, id)?);
                    }
                }
                let told = store::told(c, &rows.iter().map(|row| row.id).collect::<Vec<_>>())?;
                Ok::<_, StoreError>((rows, told))
            })
            .await;
        if let Ok((rows, told)) = read {
            for row in rows {
                self.publish("pulse.alerts", &self.shown_alert(row, &told));
            }
        }
        Ok(())
    }

    async fn reloads(&self, stop: CancellationToken) {
        let mut changes = self.parts.store.changes();
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = touched(&mut changes) => {}
                () = tokio::time::sleep(RELOAD_EVERY) => {}
            }
            if let Err(e) = self.reload().await {
                tracing::warn!(error = %e, "checks and rules cannot be read");
            }
        }
    }

    /// Keeps since when checks stand as they do.
    async fn keep_states(&self, changes: Option<mpsc::UnboundedReceiver<Changed>>, stop: CancellationToken) {
        let Some(mut changes) = changes else { return };
        let mut waiting: BTreeMap<Uuid, crate::runner::State> = BTreeMap::new();
        loop {
            let mut many = Vec::new();
            tokio::select! {
                () = stop.cancelled() => return,
                received = changes.recv_many(&mut many, 256) => if received == 0 { return },
                () = tokio::time::sleep(Duration::from_secs(10)), if !waiting.is_empty() => {}
            }
            waiting.extend(many.into_iter().map(|changed| (changed.check, changed.state)));
            let states = waiting.clone();
            let kept = self
                .parts
                .store
                .write(&self.scope(), "pulse.check.state", move |tx| -> Result<(), StoreError> {
                    states.iter().try_for_each(|(id, state)| store::put_state(tx, *id, state))
                })
                .await;
            if kept.is_ok() {
                waiting.clear();
            }
        }
    }

    fn publish(&self, channel: &str, value: &impl serde::Serialize) {
        if let Err(e) = self.parts.hub.publish_value(self.parts.organization, channel, value) {
            tracing::warn!(channel, error = %e, "a push cannot be written");
        }
    }

    fn in_trouble(&self, cause: String) {
        tracing::error!(cause, "measuring is in trouble");
        *lock(&self.lasting) = Some((cause, self.clock.now().0));
    }

    fn scope(&self) -> Scope {
        Scope::system(self.parts.organization, "pulse", &*self.clock)
    }

    fn fresh(&self) -> Uuid {
        id::new(&*self.clock)
    }

    /// The page of metrics.
    pub fn metrics(&self, scope: &Scope) -> Result<String, Problem> {
        self.own(scope)?;
        Ok(crate::exporter::page(&self.recorder, self.clock.now().0))
    }
}

/// Returns when a table that says what runs was touched, or may have been.
async fn touched(changes: &mut broadcast::Receiver<Committed>) {
    loop {
        match changes.recv().await {
            Ok(committed) if committed.rows.iter().any(|row| WATCHED.contains(&row.table)) => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            // The store outlives the engine, which holds it.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
