//! `--mode=worker --service=NAME`: one engine on a Unix socket.
//!
//! A worker has its own connections to the shared business database and its own folder of the spool. What it publishes goes to
//! the main process, which has the pages: whoever asks the socket for `/live` gets it line by line. It ends when the main process
//! tells it to, and with the main process, however that ends: the next one begins its own workers at once.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, anyhow, ensure};
use axum::{
    Extension, Json,
    body::Body,
    extract::{ConnectInfo, Query, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use futures::StreamExt as _;
use nix::sys::signal::Signal;
use sent_core::{
    Problem, Scope,
    engine::Engine,
    live::{Hub, Said},
    report::{Nobody, Period, Section},
    route::Listed,
};
use tokio::net::UnixListener;
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};
use tokio_util::sync::CancellationToken;

use crate::{
    desired::Knobs,
    engines,
    gateway::forward::{LIVE, PEER, ROUTES, SCOPE},
    reports::REPORT,
    serve,
    settings::Settings,
};

/// Where a worker listens.
pub fn socket(data: &std::path::Path, name: &str) -> PathBuf {
    data.join("run").join(format!("{name}.sock"))
}

/// Serves one engine until told to stop.
pub async fn run(
    data: PathBuf,
    settings: Settings,
    name: &str,
    socket: PathBuf,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    end_with_parent()?;
    let store = engines::open_store(data.clone(), &settings)?;
    let _others = store.watch_others()?;
    let hub = Hub::new(rand::random());
    let spool = serve::open_spool(&data, &format!("worker-{name}"), &settings, store.clock().clone())?;
    let context = engines::context(&store, &settings, hub.clone(), spool, Arc::new(Nobody), name)?;
    // A worker heeds its settings file alone: what the cloud desires reaches the main process.
    let knobs = Knobs::new(&settings);
    let engine = engines::build(name, &context, &knobs)
        .ok_or_else(|| anyhow!("there is no engine {name}"))?
        .map_err(|e| anyhow!(e))?;

    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    // A socket left behind by a worker that was killed.
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;

    let health = engine.clone();
    let ending = shutdown.clone();
    let routes = engine.routes();
    let listed: Vec<Listed> = routes.list().iter().map(Listed::from).collect();
    let router = routes
        .into_router()
        .route("/health", get(move || async move { Json(health.health()) }))
        .route(ROUTES, get(move || async move { Json(listed) }))
        .route(REPORT, get(reported).with_state(engine.clone()))
        .route(LIVE, get(move || async move { published(&hub, ending) }))
        .layer(middleware::from_fn(take_scope));
    let work = tokio::spawn(engine.run(shutdown.clone()));
    println!("READY {}", socket.display());
    let ending = shutdown.clone();
    axum::serve(listener, router).with_graceful_shutdown(async move { ending.cancelled().await }).await?;
    shutdown.cancel();
    work.await?.map_err(|e| anyhow!(e))
}

/// What is published from now on, one [`Said`] a line, until the worker stops.
fn published(hub: &Hub, shutdown: CancellationToken) -> Response {
    let lines = BroadcastStream::new(hub.overhear()).filter_map(|said| async {
        match said {
            Ok(said) => Some(line(&said)),
            Err(BroadcastStreamRecvError::Lagged(missed)) => {
                tracing::warn!(missed, "the main process did not take what was published in time");
                None
            }
        }
    });
    Body::from_stream(lines.take_until(shutdown.cancelled_owned())).into_response()
}

fn line(said: &Said) -> Result<Bytes, serde_json::Error> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    Ok(line.into())
}

async fn reported(
    State(engine): State<Arc<dyn Engine>>,
    scope: Option<Extension<Scope>>,
    Query(period): Query<Period>,
) -> Result<Json<Vec<Section>>, Problem> {
    // Only the main process asks, and it says for whom.
    let Some(Extension(scope)) = scope else { return Err(Problem::invalid("a report is somebody's")) };
    engine.report(&scope, period).await.map(Json)
}

async fn take_scope(mut request: Request, next: Next) -> Response {
    let scope = request.headers().get(&SCOPE).and_then(|h| serde_json::from_slice::<Scope>(h.as_bytes()).ok());
    if let Some(scope) = scope {
        request.extensions_mut().insert(scope);
    }
    let peer = request.headers().get(&PEER).and_then(|h| h.to_str().ok()?.parse::<SocketAddr>().ok());
    if let Some(peer) = peer {
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    next.run(request).await
}

/// The kernel kills this process once the main one is gone (`PR_SET_PDEATHSIG`, prctl(2)). It does so when the thread that
/// began this process ends, which is one of the runtime's and lives as long as the main process does.
fn end_with_parent() -> anyhow::Result<()> {
    let parent = nix::unistd::getppid();
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("cannot ask to end with the main process")?;
    // It may have gone before the kernel was asked.
    ensure!(nix::unistd::getppid() == parent, "the main process is gone");
    Ok(())
}
