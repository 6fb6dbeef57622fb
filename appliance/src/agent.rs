//! The sync agent's place in the program: what it tells the cloud of this box, what commands do, and its restart when it ends.

use std::{sync::Arc, time::Duration};

use sent_contract::{Level, Status};
use sent_core::{engine::BoxFuture, live::Hub};
use sent_protocol::topic::Live;
use sent_store::{Store, spool::Spool};
use sent_sync::{Agent, Config, Handle, Handlers, Host, Identity, StoreLedger, StoreSpool};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    desired::{DESIRED, Knobs},
    log,
    packs::Keeper,
    settings::Settings,
    supervisor::Supervisor,
    sync::SyncHandle,
    worker,
};

/// Between two looks for an identity while the box stands alone, and before an agent that ended starts again.
const LOOK: Duration = Duration::from_secs(2);
/// Telemetry is sent at least this often.
const TELEMETRY_EVERY: Duration = Duration::from_secs(10);

/// The badge is told at most this often.
const BADGE: Duration = Duration::from_millis(250);

/// While somebody watches, whether they still do is asked this often.
const STILL: Duration = Duration::from_secs(5);

/// The channel of the newest readings.
const READINGS: &str = "pulse.live";

/// What the agent is put together from.
#[derive(Clone)]
pub struct Parts {
    /// Business rows.
    pub store: Store,
    /// Points.
    pub spool: Arc<Spool>,
    /// The badge.
    pub sync: SyncHandle,
    /// Pages.
    pub hub: Arc<Hub>,
    /// Engines and workers.
    pub supervisor: Supervisor,
    /// Settings.
    pub settings: Arc<Settings>,
    /// What of them the cloud may change.
    pub knobs: Arc<Knobs>,
}

/// This program, as the cloud sees it.
struct Program {
    supervisor: Supervisor,
    store: Store,
    knobs: Arc<Knobs>,
}

impl Host for Program {
    fn document(&self) -> Value {
        let machine = self.supervisor.machine();
        let services: Vec<Value> = self
            .supervisor
            .services()
            .into_iter()
            .map(|s| json!({ "name": s.name, "runs": s.runs, "level": s.status.level, "cause": s.status.cause, "restarts": s.restarts }))
            .collect();
        let own = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "architecture": std::env::consts::ARCH,
            "cores": std::thread::available_parallelism().map_or(1, usize::from),
            "memory_bytes": machine.memory.1,
            "disk_bytes": machine.disk.1,
            "disk_used_bytes": machine.disk.0,
            "services": services,
        });
        match (own, self.knobs.report()) {
            (Value::Object(mut own), Value::Object(knobs)) => {
                own.extend(knobs);
                Value::Object(own)
            }
            (own, _) => own,
        }
    }

    fn apply(&self, desired: Value) -> BoxFuture<Result<(), String>> {
        let (store, knobs) = (self.store.clone(), self.knobs.clone());
        Box::pin(async move {
            knobs.apply(&desired);
            let text = serde_json::to_string(&desired).map_err(|e| e.to_string())?;
            store.set_state(DESIRED, &text).await.map_err(|e| e.to_string())
        })
    }

    fn health(&self) -> Status {
        let (used, total) = self.supervisor.machine().disk;
        if total > 0 && used * 100 >= total * 97 {
            let cause = format!("disk {} % full", used * 100 / total);
            return Status { level: Level::Warn, cause, since: self.supervisor.machine().at.0 };
        }
        let sleeping = self.store.unfinished_restore_blocking().map_or(0, |left| left.sleeping_tokens);
        if sleeping > 0 {
            let cause =
                format!("restored from a backup: {sleeping} API tokens sleep until their owners wake or end them");
            return Status { level: Level::Warn, cause, since: self.supervisor.machine().at.0 };
        }
        let worst = self.supervisor.services().into_iter().max_by_key(|s| match s.status.level {
            Level::Ok | Level::Unknown => 0,
            Level::Warn => 1,
            Level::Bad => 2,
        });
        match worst {
            Some(s) if matches!(s.status.level, Level::Warn | Level::Bad) => {
                Status { level: Level::Warn, cause: format!("{}: {}", s.name, s.status.cause), since: s.status.since }
            }
            _ => Status { level: Level::Ok, cause: "healthy".to_owned(), since: 0 },
        }
    }

    fn alerts(&self) -> u32 {
        let Ok(identity) = self.store.identity() else { return 0 };
        let scope = sent_core::Scope::system(identity.organization, "sync", &**self.store.clock());
        self.store
            .read_blocking(&scope, |db| -> Result<u32, sent_store::StoreError> {
                Ok(db.query_row("SELECT count(*) FROM alerts WHERE resolved_at IS NULL", [], |r| r.get(0))?)
            })
            .unwrap_or(0)
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }
}

fn handlers(parts: &Parts, shutdown: &CancellationToken) -> Handlers {
    let (verify, collect, sync, hub) =
        (parts.store.clone(), parts.supervisor.clone(), parts.sync.clone(), parts.hub.clone());
    let (identify, restart) = (parts.store.clone(), shutdown.clone());
    Handlers::default()
        .on("sync_now", move |_| {
            let sync = sync.clone();
            async move {
                sync.wake();
                Ok("synchronising".to_owned())
            }
        })
        .on("verify_audit", move |_| {
            let store = verify.clone();
            async move {
                let v = store.verify_audit().await.map_err(|e| e.to_string())?;
                match v.broken {
                    None => Ok(format!("{} entries, unbroken", v.entries)),
                    Some(b) => Err(format!("broken at entry {}: {}", b.sequence, b.cause)),
                }
            }
        })
        .on("collect_diagnostics", move |_| {
            let supervisor = collect.clone();
            async move { serde_json::to_string(&supervisor.services()).map_err(|e| e.to_string()) }
        })
        .on("identify", move |_| {
            let (store, hub) = (identify.clone(), hub.clone());
            async move {
                let identity = store.identity().map_err(|e| e.to_string())?;
                hub.publish_value(identity.organization, "home", &json!({ "identify": true }))
                    .map_err(|e| e.to_string())?;
                Ok(format!("{} shows itself on its pages", identity.name))
            }
        })
        .on("set_log_level", |arguments| async move {
            let level = arguments.get("level").and_then(Value::as_str).ok_or("the command names no level")?;
            log::set(level)?;
            Ok(format!("{level} is logged until the next start"))
        })
        .on("restart", move |_| {
            let restart = restart.clone();
            async move {
                tokio::spawn(async move {
                    // The answer goes out first.
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    restart.cancel();
                });
                Ok("restarting".to_owned())
            }
        })
}

/// Runs the agent whenever the box has an identity, and what of the desired takes its time, until the shutdown.
pub async fn keep(parts: Parts, shutdown: CancellationToken) {
    let has_radar = !parts.settings.engines.disabled.iter().any(|name| name == "radar");
    let packs = Keeper {
        board: &parts.knobs.packs,
        store: &parts.store,
        sync: &parts.sync,
        radar: has_radar.then(|| worker::socket(parts.store.data(), "radar")),
    };
    tokio::join!(keep_agent(&parts, &shutdown), packs.keep(&shutdown));
}

async fn keep_agent(parts: &Parts, shutdown: &CancellationToken) {
    while !shutdown.is_cancelled() {
        match Identity::load(parts.store.data()) {
            Ok(Some(identity)) => {
                if let Err(error) = run(parts, identity, shutdown).await {
                    tracing::error!(error, "the sync agent could not start");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the box's identity cannot be read"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn run(parts: &Parts, identity: Identity, shutdown: &CancellationToken) -> Result<(), String> {
    let spool = parts.spool.clone();
    let outgoing = tokio::task::spawn_blocking(move || StoreSpool::open(spool))
        .await
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())?;
    let config = Config {
        data: Some(parts.store.data().to_owned()),
        identity,
        clock: parts.store.clock().clone(),
        host: Arc::new(Program {
            supervisor: parts.supervisor.clone(),
            store: parts.store.clone(),
            knobs: parts.knobs.clone(),
        }),
        handlers: handlers(parts, shutdown),
        telemetry_every: TELEMETRY_EVERY,
        poll: parts.knobs.poll.subscribe(),
        doorbell: parts.settings.sync.doorbell,
    };
    let ledger = StoreLedger::new(parts.store.clone());
    let (agent, handle) = Agent::new(ledger, outgoing, config).await.map_err(|e| e.to_string())?;
    parts.sync.joined(handle.clone());
    let organization = parts.store.identity().map_err(|e| e.to_string())?.organization;
    let shown = tokio::spawn(show_readings(handle.clone(), parts.hub.clone(), organization));
    let told = tokio::spawn(tell_pages(handle, parts.hub.clone(), organization));
    agent.run(shutdown.clone()).await;
    shown.abort();
    told.abort();
    Ok(())
}

/// The badge on every page follows the agent.
async fn tell_pages(handle: Handle, hub: Arc<Hub>, organization: Uuid) {
    let mut changes = handle.watch();
    while changes.changed().await.is_ok() {
        let status = changes.borrow_and_update().clone();
        if let Err(error) = hub.publish_value(organization, "sync", &status) {
            tracing::error!(%error, "the sync status could not be told");
        }
        tokio::time::sleep(BADGE).await;
    }
}

/// Whoever watches this box from the cloud sees the readings that its own pages see. Nobody watching, nothing is overheard.
async fn show_readings(handle: Handle, hub: Arc<Hub>, organization: Uuid) {
    loop {
        handle.watched().await;
        let mut said = hub.overhear();
        while handle.is_watched() {
            // Missing some is no harm: the next ones come in a second.
            if let Ok(Ok(said)) = tokio::time::timeout(STILL, said.recv()).await
                && said.organization == organization
                && &*said.channel == READINGS
                && let Ok(values) = serde_json::from_str::<Live>(said.data.get())
            {
                handle.publish_live(values);
            }
        }
    }
}
