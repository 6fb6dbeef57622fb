//! Engines and workers, kept alive.
//!
//! An engine in this process is a task, one in a process of its own is a child on a Unix socket; either is restarted with
//! back-off when it ends before it was told to, and its page says so: status, cause, since when, how often. A worker runs
//! under limits (`cgroup v2` where this process may make one, otherwise niceness), so that it cannot slow the main process
//! down, and dies with it.

use std::{
    collections::BTreeMap,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use sent_contract::{Level, Status, home::Service};
use sent_core::{Timestamp, clock::SharedClock, engine::Engine};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{isolation, settings::Workers};

/// First wait before a restart; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longest wait before a restart.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Whoever ran this long has recovered: the wait begins anew.
const RECOVERED: Duration = Duration::from_secs(60);
/// A worker that is told to stop has this long.
const GRACE: Duration = Duration::from_secs(10);

/// Readings of the machine for the first page.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Machine {
    /// When they were taken.
    pub at: Timestamp,
    /// Bytes used and in all, of the disk that holds the data folder.
    pub disk: (u64, u64),
    /// Share of all cores, 0 to 1.
    pub cpu: f64,
    /// Bytes used and in all.
    pub memory: (u64, u64),
}

/// Keeps engines and workers alive; clones share everything.
#[derive(Clone)]
pub struct Supervisor {
    clock: SharedClock,
    data: PathBuf,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    services: BTreeMap<String, Kept>,
    machine: Machine,
}

struct Kept {
    runs: &'static str,
    engine: Option<Arc<dyn Engine>>,
    status: Status,
    restarts: u32,
    process: Option<u32>,
}

impl Supervisor {
    /// Keeps nothing yet.
    pub fn new(clock: SharedClock, data: PathBuf, shutdown: CancellationToken) -> Self {
        Self { clock, data, tracker: TaskTracker::new(), shutdown, state: Arc::default() }
    }

    /// Cancelled when the box stops.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Runs an engine in this process.
    pub fn keep_engine(&self, engine: Arc<dyn Engine>) {
        let name = engine.description().name;
        self.insert(name, "main", Some(engine.clone()));
        let this = self.clone();
        self.tracker.spawn(async move {
            let mut wait = FIRST_WAIT;
            loop {
                let began = Instant::now();
                this.report(name, Level::Ok, "running", None);
                // On a task of its own: an engine that panics has failed, and takes nothing with it.
                let outcome = tokio::spawn(engine.run(this.shutdown.clone())).await;
                if this.shutdown.is_cancelled() {
                    return;
                }
                let cause = match outcome {
                    Ok(Ok(())) => "it ended by itself".to_owned(),
                    Ok(Err(cause)) => cause,
                    Err(_) => "it broke off; see the log".to_owned(),
                };
                wait = this.back_off(name, &cause, began, wait).await;
            }
        });
    }

    /// Runs an engine in a process of its own, serving `socket`.
    pub fn keep_worker(&self, name: &'static str, program: PathBuf, arguments: Vec<String>, limits: Workers) {
        self.insert(name, "worker", None);
        let this = self.clone();
        self.tracker.spawn(async move {
            let mut wait = FIRST_WAIT;
            while !this.shutdown.is_cancelled() {
                let began = Instant::now();
                let cause = match this.run_worker(name, &program, &arguments, &limits).await {
                    Ok(cause) => cause,
                    Err(error) => format!("it could not be started: {error}"),
                };
                if this.shutdown.is_cancelled() {
                    return;
                }
                wait = this.back_off(name, &cause, began, wait).await;
            }
        });
    }

    async fn run_worker(
        &self,
        name: &'static str,
        program: &Path,
        arguments: &[String],
        limits: &Workers,
    ) -> std::io::Result<String> {
        let mut command = std::process::Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = Command::from(command).kill_on_drop(true).spawn()?;
        let pid = child.id();
        if let Some(pid) = pid {
            isolation::confine(name, pid, limits);
        }
        let out = child.stdout.take();
        let this = self.clone();
        let reader = tokio::spawn(async move {
            let Some(out) = out else { return };
            let mut lines = BufReader::new(out).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("READY") {
                    this.report(name, Level::Ok, "running", pid);
                }
            }
        });
        let status = tokio::select! {
            status = child.wait() => status?,
            () = self.shutdown.cancelled() => {
                if let Some(pid) = pid.and_then(|p| i32::try_from(p).ok()) {
                    // Already gone is as good.
                    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
                }
                match timeout(GRACE, child.wait()).await {
                    Ok(status) => status?,
                    Err(_) => {
                        child.kill().await?;
                        child.wait().await?
                    }
                }
            }
        };
        reader.abort();
        isolation::release(name);
        Ok(format!("it ended with {status}"))
    }

    async fn back_off(&self, name: &str, cause: &str, began: Instant, wait: Duration) -> Duration {
        let wait = if began.elapsed() > RECOVERED { FIRST_WAIT } else { wait };
        tracing::warn!(service = name, cause, ?wait, "restarting");
        {
            let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
            if let Some(kept) = state.services.get_mut(name) {
                kept.restarts += 1;
            }
        }
        self.report(name, Level::Bad, &format!("{cause}; restarting in {:.1} s", wait.as_secs_f64()), None);
        tokio::select! {
            () = sleep(wait) => {}
            () = self.shutdown.cancelled() => {}
        }
        (wait * 2).min(LONGEST_WAIT)
    }

    fn insert(&self, name: &'static str, runs: &'static str, engine: Option<Arc<dyn Engine>>) {
        let status = Status { level: Level::Warn, cause: "starting".to_owned(), since: self.clock.now().0 };
        let kept = Kept { runs, engine, status, restarts: 0, process: None };
        self.state.lock().unwrap_or_else(|e| e.into_inner()).services.insert(name.to_owned(), kept);
    }

    fn report(&self, name: &str, level: Level, cause: &str, process: Option<u32>) {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(kept) = state.services.get_mut(name) {
            kept.process = process;
            if kept.status.level != level || kept.status.cause != cause {
                kept.status = Status { level, cause: cause.to_owned(), since: self.clock.now().0 };
            }
        }
    }

    /// How every engine and worker is. An engine that runs says so itself.
    pub fn services(&self) -> Vec<Service> {
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        state
            .services
            .iter()
            .map(|(name, kept)| Service {
                name: name.clone(),
                runs: kept.runs.to_owned(),
                status: match &kept.engine {
                    Some(engine) if kept.status.level == Level::Ok => engine.health(),
                    _ => kept.status.clone(),
                },
                restarts: kept.restarts,
                memory: kept.process.and_then(resident_memory),
            })
            .collect()
    }

    /// The last readings of the machine.
    pub fn machine(&self) -> Machine {
        self.state.lock().unwrap_or_else(|e| e.into_inner()).machine
    }

    /// Reads the machine every few seconds until the end.
    pub fn watch_machine(&self) {
        let this = self.clone();
        self.tracker.spawn(async move {
            let mut system = match sysinfo::System::new() {
                Ok(system) => system,
                Err(error) => {
                    tracing::error!(%error, "the machine cannot be read");
                    return;
                }
            };
            loop {
                system.refresh_cpu_usage();
                system.refresh_memory();
                let disk = disk_of(&this.data);
                let machine = Machine {
                    at: this.clock.now(),
                    disk,
                    cpu: f64::from(system.global_cpu_usage()) / 100.0,
                    memory: (system.used_memory(), system.total_memory()),
                };
                this.state.lock().unwrap_or_else(|e| e.into_inner()).machine = machine;
                tokio::select! {
                    () = sleep(Duration::from_secs(5)) => {}
                    () = this.shutdown.cancelled() => return,
                }
            }
        });
    }

    /// Waits until everything has ended after the shutdown.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn resident_memory(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    // Linux on x86-64 and on 64-bit ARM as shipped: 4 KiB pages.
    Some(pages * 4096)
}

/// Used and total bytes of the file system that holds a folder.
fn disk_of(folder: &Path) -> (u64, u64) {
    let Ok(disks) = sysinfo::Disks::new_with_refreshed_list() else { return (0, 0) };
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    disks
        .iter()
        .filter(|d| folder.starts_with(d.mount_point()))
        .max_by_key(|d| d.mount_point().as_os_str().len())
        .map(|d| (d.total_space().saturating_sub(d.available_space()), d.total_space()))
        .unwrap_or_default()
}
