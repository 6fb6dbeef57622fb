//! The live protocol over real sockets: who is let in, who is cut off and with which code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::WebSocketUpgrade, routing::get};
use futures::{SinkExt, StreamExt};
use sent_core::{
    identity::Rights,
    live::{self, Access, Hub, Identity},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const OWN: Uuid = Uuid::from_u128(1);

/// Long enough for a busy machine; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn identity() -> Identity {
    Identity { user: Uuid::nil(), login: "login".to_owned(), organizations: vec![OWN], rights: Rights::all() }
}

/// A server that lets in whoever has the token `secret`, and stops when the token is cancelled.
async fn serve(hub: Arc<Hub>) -> (String, CancellationToken) {
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let upgrade = move |request: WebSocketUpgrade| async move {
        let check: live::TokenCheck = Arc::new(|token| Box::pin(async move { (token == "secret").then(identity) }));
        live::upgrade(request).on_upgrade(|socket| live::serve(socket, hub, Access::Token(check), stop))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", get(upgrade));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, shutdown)
}

async fn open(url: &str) -> Socket {
    tokio_tungstenite::connect_async(url).await.unwrap().0
}

async fn say(socket: &mut Socket, line: &Value) {
    socket.send(Message::text(line.to_string())).await.unwrap();
}

async fn next(socket: &mut Socket) -> Message {
    tokio::time::timeout(PATIENCE, socket.next()).await.expect("an answer in time").expect("no end yet").unwrap()
}

async fn hear(socket: &mut Socket) -> Value {
    serde_json::from_str(next(socket).await.to_text().unwrap()).unwrap()
}

/// Reads until the server closes, and returns the code.
async fn closed(socket: &mut Socket) -> u16 {
    loop {
        if let Message::Close(frame) = next(socket).await {
            return frame.unwrap().code.into();
        }
    }
}

async fn subscribed(url: &str, channel: &str) -> Socket {
    let mut socket = open(url).await;
    say(&mut socket, &json!({"id": 1, "connect": {"token": "secret"}})).await;
    assert_eq!(hear(&mut socket).await["id"], 1);
    say(&mut socket, &json!({"id": 2, "subscribe": {"channel": channel}})).await;
    assert_eq!(hear(&mut socket).await["id"], 2);
    socket
}

#[tokio::test]
async fn a_connection_says_who_it_is() {
    let hub = Hub::new(1);
    let (url, _shutdown) = serve(Arc::clone(&hub)).await;
    let mut socket = subscribed(&url, "home").await;
    hub.publish_value(OWN, "home", &"news").unwrap();
    assert_eq!(hear(&mut socket).await["push"]["pub"]["data"], "news");

    let mut stranger = open(&url).await;
    say(&mut stranger, &json!({"id": 1, "connect": {"token": "guessed"}})).await;
    assert_eq!(closed(&mut stranger).await, 3500);
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let (url, shutdown) = serve(Hub::new(1)).await;
    let mut socket = subscribed(&url, "home").await;
    shutdown.cancel();
    assert_eq!(closed(&mut socket).await, 3001);
}

#[tokio::test]
async fn a_login_that_ends_takes_its_connections_with_it() {
    let hub = Hub::new(1);
    let (url, _shutdown) = serve(Arc::clone(&hub)).await;
    let mut socket = subscribed(&url, "home").await;
    assert_eq!(hub.close(|identity| identity.login == "login", live::Disconnect::EXPIRED), 1);
    assert_eq!(closed(&mut socket).await, 3005);
    assert_eq!(hub.connections(), 0);
}

#[tokio::test]
async fn a_message_too_large_is_refused_with_its_code() {
    let (url, _shutdown) = serve(Hub::new(1)).await;
    let mut socket = subscribed(&url, "home").await;
    let padding = "x".repeat(live::protocol::MAX_FRAME);
    say(&mut socket, &json!({"id": 3, "ping": {}, "padding": padding})).await;
    assert_eq!(closed(&mut socket).await, 1009);
}

/// A client that stops reading: the publisher goes on, others hear everything, and the client learns why it was cut off.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_cut_off_and_nobody_waits() {
    let hub = Hub::new(1);
    let (url, _shutdown) = serve(Arc::clone(&hub)).await;
    let mut slow = subscribed(&url, "home").await;
    let mut quick = subscribed(&url, "home").await;
    assert_eq!(hub.connections(), 2);

    // More than the sockets' buffers and the mailbox hold together.
    let data = "x".repeat(50_000);
    let mut published: u64 = 0;
    while hub.connections() == 2 {
        published = hub.publish_value(OWN, "home", &data).unwrap();
        assert!(published < 10_000, "the slow client is still there");
        loop {
            let frame = next(&mut quick).await;
            let last = frame.to_text().unwrap().lines().last().unwrap().to_owned();
            if serde_json::from_str::<Value>(&last).unwrap()["push"]["pub"]["offset"] == published {
                break;
            }
        }
    }

    assert!(published > 0);
    assert_eq!(closed(&mut slow).await, 3008);
    hub.publish_value(OWN, "home", &"after").unwrap();
    assert_eq!(hear(&mut quick).await["push"]["pub"]["data"], "after");
}
