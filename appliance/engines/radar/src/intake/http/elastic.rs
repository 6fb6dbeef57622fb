//! As much of Elasticsearch's HTTP interface as its shippers need: who is there, what licence it has, templates and
//! policies that are "already there", and `_bulk` with an answer for each item.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use serde_json::{Value, json, value::RawValue};

use super::{Door, Peer};
use crate::intake::{normalise::Form, queue::block::Draft};

/// The version that is claimed: shippers check it for what they may use, and 8 is what all of them know.
const VERSION: &str = "8.17.0";

pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/", get(root))
        .route("/_bulk", post(bulk).put(bulk))
        .route("/{index}/_bulk", post(bulk_into).put(bulk_into))
        .route("/{index}/_doc", post(document))
        .route("/{index}/_doc/{id}", post(document_as).put(document_as))
        .route("/{index}/_create/{id}", post(document_as).put(document_as))
        .route("/_license", get(license))
        .route("/_xpack", get(xpack))
        .route("/_xpack/license", get(license))
        .route("/_cluster/health", get(health))
        .route("/_cat/health", get(|| async { "green" }))
        .route("/_nodes", get(nodes))
        .route("/_nodes/{*rest}", get(nodes))
        .route("/_ilm/{*rest}", any(present))
        .route("/_index_template/{*rest}", any(present))
        .route("/_component_template/{*rest}", any(present))
        .route("/_template/{*rest}", any(present))
        .route("/_data_stream/{*rest}", any(present))
        .route("/_ingest/{*rest}", any(present))
        .route("/_alias/{*rest}", any(present))
        .route("/_security/{*rest}", any(present))
        .layer(middleware::from_fn(product))
}

/// Clients since 7.14 refuse to talk to a server without this header.
async fn product(request: axum::extract::Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-elastic-product"), HeaderValue::from_static("Elasticsearch"));
    response
}

/// An error in Elasticsearch's words.
pub(super) fn error(status: StatusCode, kind: &str, reason: &str) -> Response {
    let cause = json!({ "type": kind, "reason": reason });
    let body = json!({ "error": { "root_cause": [cause], "type": kind, "reason": reason }, "status": status.as_u16() });
    (status, Json(body)).into_response()
}

async fn root() -> Json<Value> {
    Json(json!({
        "name": "sent", "cluster_name": "sent", "cluster_uuid": "c2VudC1yYWRhci1sb2dzMA",
        "version": {
            "number": VERSION, "build_flavor": "default", "build_type": "docker", "build_hash": "0", "build_date": "2025-01-01T00:00:00Z",
            "build_snapshot": false, "lucene_version": "9.12.0",
            "minimum_wire_compatibility_version": "7.17.0", "minimum_index_compatibility_version": "7.0.0"
        },
        "tagline": "You Know, for Search"
    }))
}

async fn license() -> Json<Value> {
    Json(json!({ "license": {
        "status": "active", "uid": "00000000-0000-0000-0000-000000000000", "type": "basic", "mode": "basic",
        "issue_date_in_millis": 0, "max_nodes": 1000, "issued_to": "sent", "issuer": "sent", "start_date_in_millis": -1
    } }))
}

async fn xpack() -> Json<Value> {
    Json(json!({
        "build": { "hash": "0", "date": "2025-01-01T00:00:00Z" },
        "license": { "uid": "00000000-0000-0000-0000-000000000000", "type": "basic", "mode": "basic", "status": "active" },
        "features": { "ilm": { "available": true, "enabled": true }, "security": { "available": true, "enabled": true } },
        "tagline": "You know, for X"
    }))
}

async fn health() -> Json<Value> {
    Json(json!({ "cluster_name": "sent", "status": "green", "timed_out": false, "number_of_nodes": 1 }))
}

async fn nodes() -> Json<Value> {
    Json(json!({ "_nodes": { "total": 1, "successful": 1, "failed": 0 }, "cluster_name": "sent",
        "nodes": { "sent": { "name": "sent", "version": VERSION, "roles": ["data", "ingest"] } } }))
}

/// Templates, policies, pipelines: a probe finds them, a change is acknowledged. The box needs none of them.
async fn present(method: Method, uri: Uri) -> Response {
    match method {
        Method::HEAD => StatusCode::OK.into_response(),
        Method::GET => {
            let name = uri.path().rsplit('/').next().unwrap_or_default();
            let found = match uri.path() {
                path if path.starts_with("/_index_template") => {
                    json!({ "index_templates": [{ "name": name, "index_template": { "index_patterns": [], "priority": 200 } }] })
                }
                path if path.starts_with("/_data_stream") => json!({ "data_streams": [] }),
                path if path.starts_with("/_security") => json!({ "has_all_requested": true, "username": "agent" }),
                _ => json!({ name: { "version": 1, "modified_date": 0, "policy": { "phases": {} } } }),
            };
            Json(found).into_response()
        }
        _ => Json(json!({ "acknowledged": true })).into_response(),
    }
}

async fn bulk(state: State<Door>, peer: Peer, body: Bytes) -> Response {
    take(state, peer, "", body).await
}

async fn bulk_into(state: State<Door>, peer: Peer, Path(index): Path<String>, body: Bytes) -> Response {
    take(state, peer, &index, body).await
}

async fn document(state: State<Door>, peer: Peer, Path(index): Path<String>, body: Bytes) -> Response {
    one(state, peer, &index, None, body).await
}

async fn document_as(
    state: State<Door>,
    peer: Peer,
    Path((index, id)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    one(state, peer, &index, Some(id), body).await
}

async fn one(State(door): State<Door>, Peer(peer): Peer, index: &str, id: Option<String>, body: Bytes) -> Response {
    if serde_json::from_slice::<&RawValue>(&body).map_or(true, |raw| !raw.get().starts_with('{')) {
        return error(StatusCode::BAD_REQUEST, "document_parsing_exception", "the document is not a JSON object");
    }
    let mut draft = Draft::default();
    door.inlet.draft(&mut draft, Form::Json, &peer, door.inlet.now(), super::super::framing::trimmed(&body), false);
    match door.store(&mut draft).await {
        Ok(()) => {
            let item = Item { action: "index", index: index.to_owned(), id, problem: None };
            (StatusCode::CREATED, Json(item.created())).into_response()
        }
        Err(status) => busy(status),
    }
}

fn busy(status: StatusCode) -> Response {
    error(status, "es_rejected_execution_exception", "the log queue is full: try again later")
}

/// One action of a bulk body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    action: &'static str,
    index: String,
    id: Option<String>,
    problem: Option<&'static str>,
}

impl Item {
    fn created(&self) -> Value {
        // An id is only for the reader of the answer: nothing is looked up by it here.
        let id = self.id.as_deref().unwrap_or("-");
        json!({ "_index": self.index, "_id": id, "_version": 1, "result": "created", "_shards": { "total": 1, "successful": 1, "failed": 0 }, "_seq_no": 0, "_primary_term": 1 })
    }

    fn answer(&self) -> Value {
        let mut answer = match self.problem {
            None => self.created(),
            Some(reason) => {
                json!({ "_index": self.index, "_id": self.id, "error": { "type": "illegal_argument_exception", "reason": reason } })
            }
        };
        answer["status"] = json!(if self.problem.is_some() { 400 } else { 201 });
        json!({ self.action: answer })
    }
}

/// Takes a bulk body apart: each action line, and the document after it for those that have one.
pub(super) fn read_bulk<'a>(
    body: &'a [u8],
    index: &str,
    mut document: impl FnMut(&'a [u8]),
) -> Result<Vec<Item>, usize> {
    let mut items = Vec::new();
    let mut lines = body.split(|b| *b == b'\n').map(super::super::framing::trimmed).zip(1..);
    while let Some((line, number)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let action: serde_json::Map<String, Value> = serde_json::from_slice(line).map_err(|_| number)?;
        let (name, target) = action.iter().next().ok_or(number)?;
        let text = |key: &str| target.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut item = Item {
            action: "index",
            index: text("_index").unwrap_or_else(|| index.to_owned()),
            id: text("_id"),
            problem: None,
        };
        match name.as_str() {
            "index" | "create" => {
                item.action = if name == "create" { "create" } else { "index" };
                let (source, _) = lines.next().filter(|(l, _)| !l.is_empty()).ok_or(number)?;
                if source.first() == Some(&b'{') {
                    document(source);
                } else {
                    item.problem = Some("the document is not a JSON object");
                }
            }
            "update" => {
                item.action = "update";
                item.problem = Some("stored logs cannot be changed");
                lines.next();
            }
            "delete" => {
                item.action = "delete";
                item.problem = Some("stored logs cannot be deleted");
            }
            _ => return Err(number),
        }
        items.push(item);
    }
    Ok(items)
}

async fn take(State(door): State<Door>, Peer(peer): Peer, index: &str, body: Bytes) -> Response {
    let mut draft = Draft::default();
    let received = door.inlet.now();
    let read =
        read_bulk(&body, index, |source| door.inlet.draft(&mut draft, Form::Json, &peer, received, source, false));
    let items = match read {
        Ok(items) if items.is_empty() => {
            return error(StatusCode::BAD_REQUEST, "parse_exception", "request body is required");
        }
        Ok(items) => items,
        Err(line) => {
            let reason = format!("Malformed action/metadata line [{line}]");
            return error(StatusCode::BAD_REQUEST, "illegal_argument_exception", &reason);
        }
    };
    if let Err(status) = door.store(&mut draft).await {
        return busy(status);
    }
    let errors = items.iter().any(|i| i.problem.is_some());
    let answers: Vec<Value> = items.iter().map(Item::answer).collect();
    Json(json!({ "took": 0, "errors": errors, "items": answers })).into_response()
}
