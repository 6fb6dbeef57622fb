//! The whole way of a line: over TCP into the queue, to a record, into the store, and found again.

use std::{sync::Arc, time::Duration};

use sent_core::clock::SystemClock;
use sent_radar::{
    intake::{
        inlet::Inlet,
        names::Names,
        net::{self, Bounds},
        normalise::Options,
        pipeline::Pipeline,
        queue::{Limits, Queue},
    },
    search::{Search, Settings, Store},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

/// Ends a test that would hang; nothing is expected to take so long.
const PATIENCE: Duration = Duration::from_secs(120);

fn search(query: &str) -> Search {
    Search { within: PATIENCE, ..Search::new(query).expect("a query") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_over_tcp_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let clock = SystemClock::shared();
    let queue = Queue::open(&folder.path().join("queue"), Limits::default(), &clock).unwrap();
    let store = Store::open(&folder.path().join("logs"), Settings::default(), clock.clone()).unwrap();
    let names = Arc::new(Names::default());
    let pipeline = Pipeline::start("store", &queue, names, Options::default(), vec![Box::new(store.clone())]).unwrap();
    let inlet = Inlet::new(queue, clock, 64 << 10);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(net::serve_tcp(listener, inlet, Bounds::default(), shutdown.clone()));

    let mut sender = TcpStream::connect(address).await.unwrap();
    sender
        .write_all(b"<38>Nov 23 19:30:01 web-1 sshd[4711]: Failed password for root from 10.9.8.7 port 50022 ssh2\n")
        .await
        .unwrap();
    sender.write_all(&b"x".repeat(200_000)).await.unwrap();
    sender.write_all(b"\nlast line without an end").await.unwrap();
    drop(sender);

    let stored = async {
        while store.lines() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, stored).await.expect("the lines were never stored");
    let found = store.page_async(search("user.name:root 10.9.8.7"), None, 10).await.unwrap();
    assert_eq!(found.hits.len(), 1);
    assert!(found.hits[0].fields.contains(&("log.source.address".to_owned(), "127.0.0.1".to_owned())));
    let cut = store.page_async(search("radar.defect:cut"), None, 10).await.unwrap();
    assert_eq!(cut.hits[0].original.len(), 64 << 10);
    shutdown.cancel();
    serving.await.unwrap();
    drop(pipeline);
}
