//! The agents' door: one axum `Router` that answers as Elasticsearch, as Splunk's HTTP event collector, and plainly as a
//! taker of JSON lines, so that Filebeat, Winlogbeat, Vector, Fluent Bit, Logstash and Splunk's forwarders send to the box
//! by changing an address.
//!
//! An answer that says "stored" is only given when the lines survive a power cut. A full queue answers 429, which all of
//! these agents answer with a later retry. Bodies may be compressed; what they unpack to is bounded.

mod elastic;
mod splunk;

use std::{collections::HashMap, net::SocketAddr, sync::Arc, sync::Mutex};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use tower_http::decompression::RequestDecompressionLayer;

use super::{
    inlet::{Inlet, write_address},
    normalise::Form,
    queue::block::{Draft, MOST_BYTES},
};

/// Bytes of a body at most, unpacked; below the largest block of the queue.
const LONGEST_BODY: usize = MOST_BYTES - (1 << 20);

/// Decides about a secret that an agent presents: a token, an API key, or `user:password`.
pub trait Access: Send + Sync + 'static {
    /// Whether who knows this may send. Called for each request: compare in constant time.
    fn admits(&self, secret: &str) -> bool;
}

impl<F: Fn(&str) -> bool + Send + Sync + 'static> Access for F {
    fn admits(&self, secret: &str) -> bool {
        self(secret)
    }
}

/// What the handlers share.
#[derive(Clone)]
struct Door {
    inlet: Inlet,
    /// Acknowledgements given, by Splunk's channel.
    channels: Arc<Mutex<HashMap<String, u64>>>,
}

/// The agents' routes: `/` and below for Elasticsearch's clients, `/services/collector…` for Splunk's, `/lines` for
/// everybody else. Whoever is not let in by `access` is turned away in the words of whom it believes to talk to.
pub fn router(inlet: Inlet, access: Arc<dyn Access>) -> Router {
    let door = Door { inlet, channels: Arc::default() };
    let guarded = taking().route_layer(middleware::from_fn_with_state(access, admit));
    bounded(guarded).merge(splunk::open_routes()).with_state(door)
}

/// The same routes, for whoever has asked for a right before.
pub fn admitted(inlet: Inlet) -> Router {
    let door = Door { inlet, channels: Arc::default() };
    bounded(taking()).merge(splunk::open_routes()).with_state(door)
}

fn taking() -> Router<Door> {
    Router::new().route("/lines", post(lines)).merge(elastic::routes()).merge(splunk::routes())
}

/// Bodies are bounded, unpacked too.
fn bounded(routes: Router<Door>) -> Router<Door> {
    routes.layer(DefaultBodyLimit::max(LONGEST_BODY)).layer(RequestDecompressionLayer::new())
}

/// Turns away who presents no good secret, in the words of whom the agent believes to talk to.
async fn admit(State(access): State<Arc<dyn Access>>, request: Request, next: Next) -> Response {
    let splunk = request.uri().path().starts_with("/services/");
    match secret(request.headers(), request.uri().query()) {
        Some(secret) if access.admits(&secret) => next.run(request).await,
        presented if splunk => splunk::refused(presented.is_some()),
        _ => {
            let refused =
                elastic::error(StatusCode::UNAUTHORIZED, "security_exception", "missing or wrong credentials");
            ([(header::WWW_AUTHENTICATE, "Basic realm=\"logs\"")], refused).into_response()
        }
    }
}

/// The secret of a request: `Splunk T`, `Bearer T`, `ApiKey base64(id:key)`, `Basic base64(user:password)` of which
/// Splunk's and Elastic's users put the token into the password, or `?token=`.
fn secret(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let Some(value) = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()) else {
        let token = query?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
        return Some(token.to_owned());
    };
    let (scheme, value) = value.split_once(' ')?;
    let value = value.trim();
    let decoded = || String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok();
    match scheme.to_ascii_lowercase().as_str() {
        "splunk" | "bearer" => Some(value.to_owned()),
        "apikey" => Some(
            decoded().and_then(|pair| Some(pair.split_once(':')?.1.to_owned())).unwrap_or_else(|| value.to_owned()),
        ),
        "basic" => decoded().and_then(|pair| Some(pair.split_once(':')?.1.to_owned())),
        _ => None,
    }
}

/// Who sends, as an address; empty when the server was started without telling.
struct Peer(String);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let mut text = String::new();
        if let Some(ConnectInfo(address)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
            write_address(address.ip(), &mut text);
        }
        Ok(Self(text))
    }
}

impl Door {
    /// Puts a draft into the queue and waits until it is durable. An error is what the agent should hear: 429 when
    /// there is no room, 503 when the disk fails.
    async fn store(&self, draft: &mut Draft) -> Result<(), StatusCode> {
        if draft.is_empty() {
            return Ok(());
        }
        if !self.inlet.queue().has_room() {
            return Err(StatusCode::TOO_MANY_REQUESTS);
        }
        let refused = |error: super::queue::QueueError| {
            tracing::warn!(%error, "an agent has to try again");
            if error.is_full() { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::SERVICE_UNAVAILABLE }
        };
        let end = self.inlet.append(draft).map_err(refused)?;
        self.inlet.queue().durable(end).await.map_err(refused)
    }
}

/// `POST /lines`: a line each, JSON or not.
async fn lines(State(door): State<Door>, Peer(peer): Peer, body: Bytes) -> Response {
    let mut draft = Draft::default();
    let received = door.inlet.now();
    for line in body.split(|b| *b == b'\n').map(super::framing::trimmed).filter(|l| !l.is_empty()) {
        door.inlet.draft(&mut draft, Form::Line, &peer, received, line, false);
    }
    let taken = draft.len();
    match door.store(&mut draft).await {
        Ok(()) => Json(serde_json::json!({ "taken": taken })).into_response(),
        Err(status) => (status, [(header::RETRY_AFTER, "1")]).into_response(),
    }
}

#[cfg(test)]
mod tests;
