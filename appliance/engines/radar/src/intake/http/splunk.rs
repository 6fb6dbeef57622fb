//! Splunk's HTTP event collector: `event` and `raw` endpoints, health, and indexer acknowledgement. An event is
//! acknowledged when it is durable, which is before its request is answered.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Door, Peer};
use crate::intake::{framing, json as walk, normalise::Form, queue::block::Draft};

/// Channels whose acknowledgements are counted; beyond it the count begins anew, and agents send again at worst.
const MOST_CHANNELS: usize = 10_000;

pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/services/collector", post(event))
        .route("/services/collector/event", post(event))
        .route("/services/collector/event/1.0", post(event))
        .route("/services/collector/raw", post(raw))
        .route("/services/collector/raw/1.0", post(raw))
        .route("/services/collector/ack", post(acknowledged))
}

/// Health is asked without a token.
pub(super) fn open_routes() -> Router<Door> {
    Router::new().route("/services/collector/health", get(health)).route("/services/collector/health/1.0", get(health))
}

fn answer(status: StatusCode, text: &str, code: u8) -> Response {
    (status, Json(json!({ "text": text, "code": code }))).into_response()
}

/// No token, or a wrong one.
pub(super) fn refused(presented: bool) -> Response {
    match presented {
        true => answer(StatusCode::FORBIDDEN, "Invalid token", 4),
        false => answer(StatusCode::UNAUTHORIZED, "Token is required", 2),
    }
}

async fn health(State(door): State<Door>) -> Response {
    match door.inlet.queue().has_room() {
        true => answer(StatusCode::OK, "HEC is healthy", 17),
        false => answer(StatusCode::SERVICE_UNAVAILABLE, "HEC is unhealthy, queues are full", 18),
    }
}

/// Where the events of a body are: JSON objects one after the other, with or without blanks between. On an error the
/// number of the event that is none.
pub(super) fn events(body: &str) -> Result<Vec<&str>, usize> {
    let mut found = Vec::new();
    let mut rest = body.trim_start();
    // Some clients send a list.
    if let Some(inner) = rest.strip_prefix('[') {
        rest = inner.trim_end().strip_suffix(']').ok_or(0usize)?.trim_start();
    }
    while !rest.is_empty() {
        let mut has_event = false;
        let read = walk::each(rest, |path, value, _| {
            has_event |= path.starts_with("event.")
                || path == "event" && !value.is_empty()
                || path.starts_with("fields.metric_name");
        });
        let read = read.ok().filter(|_| has_event && rest.starts_with('{')).ok_or(found.len())?;
        found.push(&rest[..read]);
        rest = rest[read..].trim_start_matches([' ', '\t', '\r', '\n', ',']);
    }
    Ok(found)
}

async fn event(
    State(door): State<Door>,
    Peer(peer): Peer,
    headers: HeaderMap,
    query: Query<Channel>,
    body: Bytes,
) -> Response {
    let Ok(text) = std::str::from_utf8(&body) else { return answer(StatusCode::BAD_REQUEST, "Invalid data format", 6) };
    let found = match events(text) {
        Ok(found) if found.is_empty() => return answer(StatusCode::BAD_REQUEST, "No data", 5),
        Ok(found) => found,
        Err(number) => {
            let body = json!({ "text": "Invalid data format", "code": 6, "invalid-event-number": number });
            return (StatusCode::BAD_REQUEST, Json(body)).into_response();
        }
    };
    let mut draft = Draft::default();
    let received = door.inlet.now();
    found.iter().for_each(|event| door.inlet.draft(&mut draft, Form::Hec, &peer, received, event.as_bytes(), false));
    finish(&door, &mut draft, channel(&headers, query)).await
}

async fn raw(
    State(door): State<Door>,
    Peer(peer): Peer,
    headers: HeaderMap,
    query: Query<Channel>,
    body: Bytes,
) -> Response {
    let mut draft = Draft::default();
    let received = door.inlet.now();
    let source = query.0.source.clone().unwrap_or(peer);
    for line in body.split(|b| *b == b'\n').map(framing::trimmed).filter(|l| !l.is_empty()) {
        door.inlet.draft(&mut draft, Form::Line, &source, received, line, false);
    }
    if draft.is_empty() {
        return answer(StatusCode::BAD_REQUEST, "No data", 5);
    }
    finish(&door, &mut draft, channel(&headers, query)).await
}

/// Parameters that may stand in the address.
#[derive(Debug, Default, Deserialize)]
struct Channel {
    channel: Option<String>,
    source: Option<String>,
}

fn channel(headers: &HeaderMap, query: Query<Channel>) -> Option<String> {
    let named = headers.get("x-splunk-request-channel").and_then(|v| v.to_str().ok()).map(str::to_owned);
    named.or(query.0.channel).filter(|c| !c.is_empty() && c.len() <= 128)
}

async fn finish(door: &Door, draft: &mut Draft, channel: Option<String>) -> Response {
    if door.store(draft).await.is_err() {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "Server is busy", 9);
    }
    match channel {
        None => answer(StatusCode::OK, "Success", 0),
        Some(channel) => {
            let mut channels = door.channels.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if channels.len() >= MOST_CHANNELS && !channels.contains_key(&channel) {
                channels.clear();
            }
            let next = channels.entry(channel).or_default();
            let id = *next;
            *next += 1;
            Json(json!({ "text": "Success", "code": 0, "ackId": id })).into_response()
        }
    }
}

/// What an agent asks about.
#[derive(Debug, Deserialize)]
struct Asked {
    acks: Vec<u64>,
}

async fn acknowledged(
    State(door): State<Door>,
    headers: HeaderMap,
    query: Query<Channel>,
    Json(asked): Json<Asked>,
) -> Response {
    let Some(channel) = channel(&headers, query) else {
        return answer(StatusCode::BAD_REQUEST, "Data channel is missing", 10);
    };
    let given =
        door.channels.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&channel).copied().unwrap_or(0);
    let acks: serde_json::Map<String, Value> =
        asked.acks.iter().take(100_000).map(|id| (id.to_string(), json!(*id < given))).collect();
    Json(json!({ "acks": acks })).into_response()
}
