//! From the gateway to a worker's Unix socket and back.
//!
//! The gateway has already turned the session into a scope; it goes along in a header that only this process and the worker
//! see (the socket is the owner's alone). The worker's own routes check the right.
//!
//! What a worker publishes comes over the same socket and is published again in the hub that has the pages. Nothing durable
//! rides on it: what is lost while a worker restarts, a page reads at its next request.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderName, HeaderValue, Uri},
    response::{IntoResponse, Response},
    routing::any,
};
use http_body_util::{BodyExt as _, Limited};
use sent_core::{
    Problem, Scope,
    error::Kind,
    live::{Hub, Said},
    route::Listed,
};
use tokio_util::sync::CancellationToken;

use super::Peer;

/// Carries the scope as JSON.
pub const SCOPE: HeaderName = HeaderName::from_static("x-sent-scope");

/// Carries the caller's address.
pub const PEER: HeaderName = HeaderName::from_static("x-sent-peer");

/// Where a worker tells what it publishes.
pub const LIVE: &str = "/live";

/// Where a worker lists its routes.
pub const ROUTES: &str = "/routes";

/// A list of routes is far shorter.
const MOST_ROUTES: usize = 1 << 20;

/// Before a worker that does not answer is asked again.
const AGAIN: Duration = Duration::from_millis(250);

/// Longest line that a worker may publish: as much as a connection may have unread.
const MOST_LINE: usize = 1 << 20;

/// Routes of an engine that runs as a worker.
pub fn router(name: &str, socket: PathBuf) -> Router {
    let forward = move |scope: Option<Extension<Scope>>, request: Request| {
        let socket = socket.clone();
        async move { forward(socket, scope.map(|s| s.0), request).await.unwrap_or_else(IntoResponse::into_response) }
    };
    Router::new().route(&format!("/api/{name}/{{*rest}}"), any(forward))
}

/// The routes of a worker.
///
/// # Errors
/// The worker does not answer: it is restarting.
pub async fn routes(socket: &Path) -> Result<Vec<Listed>, Problem> {
    let listed = async {
        let request = Request::builder().uri(ROUTES).body(Body::empty())?;
        let body = Limited::new(ask(socket, request).await?.into_body(), MOST_ROUTES);
        Ok::<_, Fault>(serde_json::from_slice(&body.collect().await?.to_bytes())?)
    };
    listed.await.map_err(down)
}

/// A worker cannot be reached.
fn down(detail: impl ToString) -> Problem {
    Problem::new(Kind::Unavailable, "this part of the box is restarting; try again in a moment")
        .with_detail(detail.to_string())
        .with_retry_after(2)
}

async fn forward(socket: PathBuf, scope: Option<Scope>, mut request: Request) -> Result<Response, Problem> {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.0.to_string());
    let headers = request.headers_mut();
    // Nobody outside may speak as somebody else.
    headers.remove(&SCOPE);
    headers.remove(&PEER);
    if let Some(peer) = peer {
        headers.insert(PEER, HeaderValue::from_str(&peer).map_err(Problem::internal)?);
    }
    if let Some(scope) = scope {
        let text = serde_json::to_string(&scope).map_err(Problem::internal)?;
        // Names are text of any script; a header is bytes.
        headers.insert(SCOPE, HeaderValue::from_bytes(text.as_bytes()).map_err(Problem::internal)?);
    }
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned();
    *request.uri_mut() = path.parse::<Uri>().map_err(Problem::internal)?;
    let response = ask(&socket, request).await.map_err(down)?;
    Ok(response.map(Body::new))
}

/// What can go wrong between two processes.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// One request over a worker's socket.
pub async fn ask(socket: &Path, request: Request) -> Result<Response<hyper::body::Incoming>, Fault> {
    let stream = tokio::net::UnixStream::connect(socket).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// Publishes what a worker publishes, through all of its lives, until the box stops.
pub async fn overhear(name: &'static str, socket: PathBuf, hub: Arc<Hub>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            ended = repeat(&socket, &hub) => if let Err(error) = ended {
                tracing::debug!(worker = name, %error, "what the worker publishes does not come");
            },
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// One life of a worker.
async fn repeat(socket: &Path, hub: &Hub) -> Result<(), Fault> {
    let request = Request::builder().uri(LIVE).body(Body::empty())?;
    let mut body = ask(socket, request).await?.into_body();
    let mut waiting: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        waiting.extend_from_slice(&data);
        let Some(end) = waiting.iter().rposition(|byte| *byte == b'\n') else {
            if waiting.len() > MOST_LINE {
                return Err(format!("a line of more than {MOST_LINE} bytes").into());
            }
            continue;
        };
        for line in waiting[..end].split(|byte| *byte == b'\n') {
            let said: Said = serde_json::from_slice(line)?;
            hub.publish(said.organization, &said.channel, &said.data);
        }
        waiting.drain(..=end);
    }
    Ok(())
}
