//! Many callers at once: what one of them does, or many do together, must not cost the others anything.

use std::{convert::Infallible, time::Duration};

use futures::{StreamExt as _, stream};
use reqwest::{Client, StatusCode};
use sent_protocol::{Cursor, Level, path};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    control::report,
    support::{PASSWORD, Page, Postgres, Replica, TestBox, World, customer, make_msp, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn many_guesses_at_once_are_no_more_than_many_in_turn() {
    let world = World::new(false).await;
    let guess = |password: &str| {
        let login = json!({ "email": "owner@msp.example", "password": password });
        Client::new().post(format!("http://{}/api/session", world.replica.console)).json(&login).send()
    };
    // One's own logins are no failures, however many.
    for _ in 0..8 {
        assert_eq!(guess(PASSWORD).await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(world.postgres.count("SELECT count(*) FROM login_failures").await, 0);
    let mut guessing = JoinSet::new();
    for _ in 0..40 {
        guessing.spawn(guess("wrong horse battery"));
    }
    let mut tried = 0;
    while let Some(answer) = guessing.join_next().await {
        match answer.unwrap().unwrap().status() {
            StatusCode::UNAUTHORIZED => tried += 1,
            other => assert_eq!(other, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert!(tried <= 5, "{tried} of 40 were tried");
    for _ in tried..5 {
        assert_eq!(guess("wrong horse battery").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(guess(PASSWORD).await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
}

/// A body that never ends.
fn endless() -> reqwest::Body {
    let begin = stream::iter([Ok::<_, Infallible>(vec![0_u8; 1])]);
    reqwest::Body::wrap_stream(begin.chain(stream::pending()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_holds_its_own_place_only() {
    let postgres = Postgres::start().await;
    let replica = Replica::start_with(&postgres, false, |settings| settings.wire.bodies = 1).await;
    make_msp(&replica, "North MSP", "owner@msp.example").await;
    let page = Page::login(&replica, "owner@msp.example").await;
    let customer = customer(&page, "Northwind").await;
    let slow = TestBox::enrol(&replica, &page, &customer, "slow").await;
    let other = TestBox::enrol(&replica, &page, &customer, "other").await;
    let send = |length: Option<u64>| {
        let mut request = slow.client.post(slow.url(path::REPORTED)).header("content-encoding", "zstd").body(endless());
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        tokio::spawn(request.send())
    };
    // A small one that dawdles takes its small part of the room.
    let small = send(Some(100_000));
    until("the slow body has its place", || async {
        (replica.cloud.bodies.available_permits() < sent_cloud::wire::PLACES as usize).then_some(())
    })
    .await;
    assert_eq!(other.post(path::REPORTED, &report(Level::Ok, "")).await.status, StatusCode::NO_CONTENT);
    // One of no length takes all there is; whoever enrols, and whoever sends no body, does not care.
    let large = send(None);
    until("a body waits for the whole room", || async {
        let waiting = tokio::time::timeout(Duration::from_millis(50), replica.cloud.bodies.acquire()).await;
        waiting.is_err().then_some(())
    })
    .await;
    let third = TestBox::enrol(&replica, &page, &customer, "third").await;
    assert_eq!(third.get(path::CURSOR).await.json::<Cursor>().epoch, 0);
    small.abort();
    large.abort();
    until("the room is free again", || async {
        (replica.cloud.bodies.available_permits() == sent_cloud::wire::PLACES as usize).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_bound_wait_for_one_to_end() {
    let postgres = Postgres::start().await;
    let replica = Replica::start_with(&postgres, false, |settings| settings.console.connections = 2).await;
    async fn ask(mut stream: TcpStream) -> TcpStream {
        stream.write_all(b"GET /api/session HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 8];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1");
        stream
    }
    let first = ask(TcpStream::connect(replica.console).await.unwrap()).await;
    let _second = ask(TcpStream::connect(replica.console).await.unwrap()).await;
    let third = tokio::spawn(ask(TcpStream::connect(replica.console).await.unwrap()));
    // Whatever the replica does meanwhile, it does not turn to the third.
    sent_cloud::tasks::look(&replica.cloud).await.unwrap();
    assert!(!third.is_finished());
    drop(first);
    third.await.unwrap();
}
