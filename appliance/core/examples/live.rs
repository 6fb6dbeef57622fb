//! A live server to try a client against: `cargo run -p sent-core --example live [ADDRESS]`.
//!
//! Prints the address it listens on. Whoever sends `Authorization: Bearer secret` with the upgrade is let in, and so is
//! the token `secret` in `connect`. `POST /publish/CHANNEL` says the body in the channel, `POST /close/CODE` ends every
//! connection, `GET /metrics` counts.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::IntoResponse,
    routing::{get, post},
};
use sent_core::{
    identity::Rights,
    live::{self, Access, Disconnect, Hub, Identity},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const OWN: Uuid = Uuid::from_u128(1);

fn identity() -> Identity {
    Identity { user: Uuid::nil(), login: "example".to_owned(), organizations: vec![OWN], rights: Rights::all() }
}

async fn connection(State(hub): State<Arc<Hub>>, headers: HeaderMap, request: WebSocketUpgrade) -> impl IntoResponse {
    let known = headers.get(AUTHORIZATION).is_some_and(|value| value == "Bearer secret");
    let access = if known {
        Access::Known(identity())
    } else {
        Access::Token(Arc::new(|token| Box::pin(async move { (token == "secret").then(identity) })))
    };
    live::upgrade(request).on_upgrade(|socket| live::serve(socket, hub, access, CancellationToken::new()))
}

async fn publish(State(hub): State<Arc<Hub>>, Path(channel): Path<String>, body: String) -> impl IntoResponse {
    match serde_json::value::RawValue::from_string(body) {
        Ok(data) => (StatusCode::OK, hub.publish(OWN, &channel, &data).to_string()),
        Err(e) => (StatusCode::UNPROCESSABLE_ENTITY, e.to_string()),
    }
}

async fn close(State(hub): State<Arc<Hub>>, Path(code): Path<u16>) -> String {
    hub.close(|_| true, Disconnect { code, reason: "asked to" }).to_string()
}

async fn metrics(State(hub): State<Arc<Hub>>) -> String {
    format!("connections {}\nchannels {}\n", hub.connections(), hub.channels())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("ws://{}/connection/websocket", listener.local_addr()?);
    let router = Router::new()
        .route("/connection/websocket", get(connection))
        .route("/publish/{channel}", post(publish))
        .route("/close/{code}", post(close))
        .route("/metrics", get(metrics))
        .with_state(Hub::new(rand::random()));
    axum::serve(listener, router).await
}
