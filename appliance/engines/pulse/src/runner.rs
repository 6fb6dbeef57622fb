//! Runs checks when they are due.
//!
//! Each run is a task of its own with a timeout of its own, so a check that hangs, or panics, costs nobody else anything;
//! how many run at once is bounded. A check never runs twice at the same time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sent_contract::{Level, Micros, Uuid, pulse::CheckKind};
use sent_core::clock::SharedClock;
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    check::{self, Failure, Memory, Reading, Runnable, Tools, mqtt},
    model::schedule::Schedule,
    recorder::Recorder,
};

/// Checks that run at once. A run mostly waits; with the longest timeout this still lets a thousand dead targets be
/// asked once in five minutes.
const AT_ONCE: usize = 256;

/// How a check stands.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// How bad.
    pub level: Level,
    /// Why.
    pub cause: String,
    /// Since when it has been so bad.
    pub since: Micros,
    /// Last run.
    pub last_run: Option<Micros>,
    /// Latency of the last run that got an answer.
    pub latency: Option<Duration>,
}

/// A check whose level changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// Which.
    pub check: Uuid,
    /// How it stands now.
    pub state: State,
}

struct Slot {
    check: Arc<Runnable>,
    state: State,
    memory: Arc<tokio::sync::Mutex<Memory>>,
    subscription: Option<CancellationToken>,
}

/// Runs checks.
pub struct Runner {
    tools: Tools,
    recorder: Arc<Recorder>,
    clock: SharedClock,
    slots: Mutex<HashMap<Uuid, Slot>>,
    schedule: Mutex<Schedule>,
    permits: Arc<Semaphore>,
    wake: Notify,
    changed: mpsc::UnboundedSender<Changed>,
    start: Instant,
}

impl Runner {
    /// A runner without checks, and where it tells of changed levels.
    pub fn new(
        recorder: Arc<Recorder>,
        clock: SharedClock,
    ) -> Result<(Arc<Self>, mpsc::UnboundedReceiver<Changed>), Failure> {
        let (changed, changes) = mpsc::unbounded_channel();
        let runner = Self {
            tools: Tools::new()?,
            recorder,
            clock,
            slots: Mutex::default(),
            schedule: Mutex::default(),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            wake: Notify::new(),
            changed,
            start: Instant::now(),
        };
        Ok((Arc::new(runner), changes))
    }

    /// The checks there are from now on. `known` gives how they stood before the box last stopped. Answers the names of
    /// those that are gone or were renamed.
    pub fn replace(self: &Arc<Self>, checks: Vec<Runnable>, known: &HashMap<Uuid, State>) -> Vec<String> {
        let mut slots = self.slots();
        let mut schedule = self.schedule();
        let now = self.passed();
        let mut gone = Vec::new();
        slots.retain(|id, slot| {
            let stays = checks.iter().any(|check| check.id == *id);
            if !stays {
                gone.push(slot.check.name.clone());
                schedule.remove(*id);
                slot.end();
            }
            stays
        });
        for check in checks {
            let id = check.id;
            if check.paused {
                schedule.remove(id);
            } else {
                schedule.put(id, check.interval, now);
            }
            match slots.get_mut(&id) {
                Some(slot) if *slot.check == check => continue,
                Some(slot) => {
                    if slot.check.name != check.name {
                        gone.push(slot.check.name.clone());
                    }
                    slot.end();
                    if slot.check.kind != check.kind {
                        slot.memory = Arc::default();
                    }
                    slot.check = Arc::new(check);
                }
                None => {
                    let state = known.get(&id).cloned().unwrap_or_else(|| State {
                        level: Level::Unknown,
                        cause: "not run yet".to_owned(),
                        since: self.clock.now().0,
                        last_run: None,
                        latency: None,
                    });
                    slots
                        .insert(id, Slot { check: Arc::new(check), state, memory: Arc::default(), subscription: None });
                }
            }
            if let Some(slot) = slots.get_mut(&id) {
                self.subscribe(slot);
            }
        }
        drop((slots, schedule));
        self.wake.notify_one();
        gone
    }

    /// An MQTT check listens all the time.
    fn subscribe(&self, slot: &mut Slot) {
        if !matches!(slot.check.kind, CheckKind::Mqtt { .. }) || slot.check.paused {
            return;
        }
        let stop = CancellationToken::new();
        let link = Arc::new(mqtt::Link::default());
        slot.memory = Arc::new(tokio::sync::Mutex::new(Memory::of_link(link.clone())));
        slot.subscription = Some(stop.clone());
        tokio::spawn(mqtt::follow(slot.check.clone(), link, self.recorder.clone(), self.clock.clone(), stop));
    }

    /// The HTTP client, for whoever else needs one.
    pub fn http(&self) -> &reqwest::Client {
        self.tools.http()
    }

    /// How a check stands.
    pub fn state(&self, id: Uuid) -> Option<State> {
        self.slots().get(&id).map(|slot| slot.state.clone())
    }

    /// Runs a check now, whatever its schedule says; answers `None` when there is no such check.
    pub async fn run_now(self: &Arc<Self>, id: Uuid) -> Option<Reading> {
        let (check, memory) = {
            let slots = self.slots();
            let slot = slots.get(&id)?;
            (slot.check.clone(), slot.memory.clone())
        };
        Some(self.once(check, memory).await)
    }

    /// Starts what is due until it is told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let due = self.schedule().take_due(self.passed());
            for id in due {
                let runner = self.clone();
                tokio::spawn(async move {
                    // The semaphore is never closed.
                    let _permit = runner.permits.acquire().await;
                    runner.run_now(id).await;
                    runner.schedule().finished(id);
                });
            }
            let next = self.schedule().next_due();
            let wait = next.map_or(Duration::from_secs(3_600), |due| {
                Duration::from_micros((due - self.passed()).max(1_000).unsigned_abs())
            });
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.slots().values_mut().for_each(Slot::end);
    }

    async fn once(self: &Arc<Self>, check: Arc<Runnable>, memory: Arc<tokio::sync::Mutex<Memory>>) -> Reading {
        let runner = self.clone();
        let what = check.clone();
        // A task of its own: a panic in a protocol library ends this run and nothing else.
        let task = tokio::spawn(async move {
            let mut memory = memory.lock().await;
            let at = runner.clock.now().0;
            let reading = check::run(&what, &runner.tools, &mut memory, at).await;
            (at, reading)
        });
        let (at, reading) = task.await.unwrap_or_else(|e| {
            tracing::error!(check = check.name, error = %e, "a check broke off");
            (self.clock.now().0, Reading::bad("the check broke off; the log says why"))
        });
        self.finish(&check, at, &reading);
        reading
    }

    fn finish(&self, check: &Arc<Runnable>, at: i64, reading: &Reading) {
        let mut slots = self.slots();
        // What was changed or removed meanwhile is not what was measured.
        let Some(slot) = slots.get_mut(&check.id).filter(|slot| slot.check == *check) else { return };
        let state = &mut slot.state;
        let changed = state.level != reading.level;
        if changed {
            state.since = at;
        }
        state.level = reading.level;
        state.cause.clone_from(&reading.cause);
        state.last_run = Some(at);
        state.latency = reading.latency;
        if changed {
            // The receiver lives as long as the engine; without one nobody asks.
            let _ = self.changed.send(Changed { check: check.id, state: state.clone() });
        }
        drop(slots);
        self.recorder.record(at, reading.samples.clone());
    }

    fn passed(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Uuid, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn end(&mut self) {
        if let Some(subscription) = self.subscription.take() {
            subscription.cancel();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.end();
    }
}
