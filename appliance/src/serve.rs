//! `sent`: everything. Puts store, spool, engines, workers, sync agent and gateway together and takes them apart in the
//! opposite order.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use axum::Router;
use sent_core::{
    clock::SharedClock,
    live::{Hub, Identity as Listener, stream::ChannelName},
    route::Routes,
};
use sent_store::{
    Store, StoreError,
    spool::{Limits, Spool},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    agent,
    desired::{DESIRED, Knobs},
    engines,
    gateway::{self, Gateway, Peer, forward},
    reports::{Reporters, Source},
    settings::Settings,
    supervisor::Supervisor,
    sync::SyncHandle,
    tls, worker,
};

/// The file in the data folder that holds the address of the running box.
const ADDRESS: &str = "gateway.address";
/// How long requests under way may take once the box stops.
const GRACE: Duration = Duration::from_secs(5);

/// Opens a process's folder of the spool.
pub fn open_spool(
    data: &Path,
    process: &str,
    settings: &Settings,
    clock: SharedClock,
) -> Result<Arc<Spool>, StoreError> {
    let limits = Limits { process: process.to_owned(), max_bytes: settings.spool.max_mib << 20, ..Limits::default() };
    Spool::open(&data.join("spool"), limits, clock).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// Who may hear what: the right a channel needs.
fn may_listen(listener: &Listener, channel: &ChannelName) -> bool {
    let right = match channel.name.split_once(['.', ':']) {
        Some(("table", "entries" | "lines")) | Some(("capital", _)) => "capital.entry.read",
        Some(("table", "accounts" | "fx_rates" | "tax_rates" | "items")) => "capital.account.read",
        Some(("table", "users" | "roles" | "branches" | "organizations")) => "user.read",
        Some(("table", "organization_settings")) => "settings.read",
        Some(("table", "checks" | "rules" | "silences" | "alerts")) | Some(("pulse", _)) => "pulse.read",
        Some(("table", table)) if table.starts_with("guard_") => "guard.read",
        Some(("table", table)) if table.starts_with("radar_") => "radar.read",
        Some(("radar", _)) => "radar.read",
        _ => match &*channel.name {
            "home" => "home.read",
            "sync" => "sync.read",
            "audit" => "audit.read",
            _ => return listener.rights.allow("*"),
        },
    };
    listener.rights.allow(right)
}

/// Where the running box listens, for verbs that ask whether it answers: the command line may have named another address
/// than the settings. A box whose disk is full runs without it.
fn remember_address(data: &Path, address: SocketAddr) {
    if let Err(error) = sent_store::file::write_atomically(&data.join(ADDRESS), address.to_string().as_bytes()) {
        tracing::warn!(%error, "the address is not noted");
    }
}

/// Where the box of a data folder listens, or would if it ran.
pub fn address(data: &Path, settings: &Settings) -> SocketAddr {
    let noted = std::fs::read_to_string(data.join(ADDRESS)).ok();
    noted.and_then(|text| text.trim().parse().ok()).unwrap_or(settings.gateway.listen)
}

/// Runs the box until told to stop.
pub async fn run(
    data: PathBuf,
    settings_file: Option<PathBuf>,
    settings: Settings,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let store = engines::open_store(data.clone(), &settings)?;
    let identity = store.identity()?;
    let clock = store.clock().clone();
    let started = clock.now();
    let listener = TcpListener::bind(settings.gateway.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.gateway.listen))?;
    let spool = open_spool(&data, "main", &settings, clock.clone())?;
    let hub = Hub::with_rule(rand::random(), may_listen);
    let supervisor = Supervisor::new(clock.clone(), data.clone(), shutdown.clone());
    let sync = SyncHandle::new(spool.clone(), started.0);

    // What was desired once holds after a restart too, with or without a cloud in reach, and before anything is deleted.
    let knobs = Arc::new(Knobs::new(&settings));
    if let Some(text) = store.state(DESIRED).await? {
        knobs.apply(&serde_json::from_str(&text).context("the desired document")?);
    }
    let (routes, workers, sockets) =
        start_engines(&store, &settings, settings_file.as_deref(), &hub, &spool, &supervisor, &knobs)?;
    supervisor.watch_machine();
    let _others = store.watch_others()?;
    let settings = Arc::new(settings);
    let publishing = tokio::spawn(publish_commits(store.clone(), hub.clone(), sync.clone(), shutdown.clone()));
    let agent = tokio::spawn(agent::keep(
        agent::Parts {
            store: store.clone(),
            spool: spool.clone(),
            sync: sync.clone(),
            hub: hub.clone(),
            supervisor: supervisor.clone(),
            settings: settings.clone(),
            knobs,
        },
        shutdown.clone(),
    ));

    let gateway = Gateway {
        store: store.clone(),
        hub,
        supervisor: supervisor.clone(),
        sync,
        settings: settings.clone(),
        shutdown: shutdown.clone(),
        started,
        list: Arc::from([]),
        workers: sockets.into(),
    };
    let router = gateway::router(gateway, routes, workers);
    let scheme = if settings.gateway.certificate.as_os_str().is_empty() { "http" } else { "https" };
    let address = listener.local_addr()?;
    remember_address(&data, address);
    println!("READY {scheme}://{address}");
    tracing::info!(name = identity.name, %address, "ready");
    // Nobody supervises a box that was started by hand.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let watchdog = tokio::spawn(feed_watchdog(store.clone(), shutdown.clone()));

    let served = listen(listener, router, &settings, shutdown.clone()).await;
    shutdown.cancel();
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    supervisor.ended().await;
    for task in [publishing, agent, watchdog] {
        task.await?;
    }
    if let Err(error) = spool.flush() {
        tracing::error!(%error, "the spool could not be flushed");
    }
    // What stays behind names an address where nobody answers, which is what is said then.
    let _ = std::fs::remove_file(data.join(ADDRESS));
    served
}

fn start_engines(
    store: &Store,
    settings: &Settings,
    settings_file: Option<&Path>,
    hub: &Arc<Hub>,
    spool: &Arc<Spool>,
    supervisor: &Supervisor,
    knobs: &Knobs,
) -> anyhow::Result<(Routes, Router, Vec<PathBuf>)> {
    let mut routes = Routes::new();
    let (mut workers, mut sockets) = (Router::new(), Vec::new());
    let (reporters, mut sources) = (Reporters::default(), Vec::new());
    for name in settings.engines.workers.iter().chain(&settings.engines.disabled) {
        if !engines::ALL.iter().any(|d| d.name == name) {
            bail!("the settings name an engine that does not exist: {name}");
        }
    }
    for description in engines::ALL {
        let name = description.name;
        if settings.engines.disabled.iter().any(|d| d == name) {
            continue;
        }
        let apart =
            description.runs == sent_core::engine::Runs::Worker || settings.engines.workers.iter().any(|w| w == name);
        if apart {
            let socket = worker::socket(store.data(), name);
            let program = std::env::current_exe().context("cannot find this program")?;
            let mut arguments: Vec<String> =
                vec!["--data".into(), store.data().display().to_string(), "--mode=worker".into()];
            arguments.extend([format!("--service={name}"), "--socket".into(), socket.display().to_string()]);
            if let Some(file) = settings_file {
                arguments.extend(["--config".into(), file.display().to_string()]);
            }
            supervisor.keep_worker(name, program, arguments, settings.workers.clone());
            tokio::spawn(forward::overhear(name, socket.clone(), hub.clone(), supervisor.shutdown().clone()));
            sources.push(Source::Worker(name, socket.clone()));
            workers = workers.merge(forward::router(name, socket.clone()));
            sockets.push(socket);
        } else {
            let context =
                engines::context(store, settings, hub.clone(), spool.clone(), Arc::new(reporters.clone()), name)?;
            let engine = engines::build(name, &context, knobs)
                .ok_or_else(|| anyhow!("there is no engine {name}"))?
                .map_err(|e| anyhow!(e))?;
            routes = routes.merge(engine.routes());
            sources.push(Source::Here(Arc::downgrade(&engine)));
            supervisor.keep_engine(engine);
        }
    }
    reporters.fill(sources);
    Ok((routes, workers, sockets))
}

/// Tells the pages what was committed, and the sync agent that something waits.
async fn publish_commits(store: Store, hub: Arc<Hub>, sync: SyncHandle, shutdown: CancellationToken) {
    let mut changes = store.changes();
    loop {
        let committed = tokio::select! {
            committed = changes.recv() => committed,
            () = shutdown.cancelled() => return,
        };
        match committed {
            Ok(committed) => {
                for row in committed.rows.iter() {
                    let data = format!("{{\"table\":\"{}\",\"op\":\"{}\",\"key\":{}}}", row.table, row.op, row.key);
                    if let Ok(data) = serde_json::value::RawValue::from_string(data) {
                        hub.publish(committed.organization, &format!("table:{}", row.table), &data);
                    }
                }
                let noted = serde_json::json!({ "action": committed.action });
                for channel in ["audit", "home"] {
                    hub.publish_value(committed.organization, channel, &noted).unwrap_or_else(|error| {
                        tracing::error!(%error, "a commit could not be told");
                        0
                    });
                }
                if committed.travels {
                    sync.wake();
                }
            }
            // Pages that missed something read anew when they recover; the agent reads the outbox itself.
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => sync.wake(),
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Tells systemd that the box is alive, as long as its store writes.
async fn feed_watchdog(store: Store, shutdown: CancellationToken) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(period / 3) => {}
            () = shutdown.cancelled() => return,
        }
        if store.alive().await.is_ok() {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

async fn listen(
    listener: TcpListener,
    router: Router,
    settings: &Settings,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let service = router.into_make_service_with_connect_info::<Peer>();
    if settings.gateway.certificate.as_os_str().is_empty() {
        let ending = shutdown.clone();
        let serving = axum::serve(listener, service).with_graceful_shutdown(async move { ending.cancelled().await });
        tokio::select! {
            served = serving => Ok(served?),
            // A page's WebSocket or a slow download does not keep the box from stopping.
            () = async { shutdown.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(()),
        }
    } else {
        tls::serve(listener, service, &settings.gateway.certificate, &settings.gateway.key, shutdown).await
    }
}
