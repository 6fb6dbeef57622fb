//! From the gateway to a worker's Unix socket and back.
//!
//! The gateway has already turned the session into a scope; it goes along in a header that only this process and the worker
//! see (the socket is the owner's alone). The worker's own routes check the right.

use std::path::PathBuf;

use axum::{
    Extension, Router,
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, Uri},
    response::{IntoResponse, Response},
    routing::any,
};
use sent_core::{Problem, Scope, error::Kind};

/// Carries the scope as JSON.
pub const SCOPE: HeaderName = HeaderName::from_static("x-sent-scope");

/// Routes of an engine that runs as a worker.
pub fn router(name: &str, socket: PathBuf) -> Router {
    let forward = move |scope: Option<Extension<Scope>>, request: Request| {
        let socket = socket.clone();
        async move { forward(socket, scope.map(|s| s.0), request).await.unwrap_or_else(IntoResponse::into_response) }
    };
    Router::new().route(&format!("/api/{name}/{{*rest}}"), any(forward))
}

async fn forward(socket: PathBuf, scope: Option<Scope>, mut request: Request) -> Result<Response, Problem> {
    let down = |detail: String| {
        Problem::new(Kind::Unavailable, "this part of the box is restarting; try again in a moment")
            .with_detail(detail)
            .with_retry_after(2)
    };
    let headers = request.headers_mut();
    // Nobody outside may speak as somebody else.
    headers.remove(&SCOPE);
    if let Some(scope) = scope {
        let text = serde_json::to_string(&scope).map_err(Problem::internal)?;
        // Names are text of any script; a header is bytes.
        headers.insert(SCOPE, HeaderValue::from_bytes(text.as_bytes()).map_err(Problem::internal)?);
    }
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned();
    *request.uri_mut() = path.parse::<Uri>().map_err(Problem::internal)?;
    let stream = tokio::net::UnixStream::connect(&socket).await.map_err(|e| down(e.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream))
        .await
        .map_err(|e| down(e.to_string()))?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|e| down(e.to_string()))?;
    Ok(response.map(Body::new))
}
