use std::io::Write as _;

use axum::{body::Body, http::Request as HttpRequest};
use flate2::{Compression, write::GzEncoder};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use sent_core::clock::SystemClock;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::intake::queue::{Blocks, Limits, Queue};

struct World {
    _folder: tempfile::TempDir,
    queue: Arc<Queue>,
    router: Router,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let queue = Queue::open(folder.path(), Limits::default(), &clock).unwrap();
        let inlet = Inlet::new(queue.clone(), clock, 64 << 10);
        let router = router(inlet, Arc::new(|secret: &str| secret == "good"));
        Self { _folder: folder, queue, router }
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> (StatusCode, Value) {
        let mut request = HttpRequest::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    fn stored(&self) -> Vec<(Form, String)> {
        let mut reader = self.queue.reader("test", Some(0));
        let mut blocks = Blocks::default();
        let mut found = Vec::new();
        loop {
            reader.read(100, 1 << 20, &mut blocks).unwrap();
            if blocks.is_empty() {
                return found;
            }
            found.extend(blocks.entries().map(|(_, a)| (a.form, String::from_utf8_lossy(a.bytes).into_owned())));
        }
    }
}

const SPLUNK: (&str, &str) = ("authorization", "Splunk good");
/// `elastic:good`
const BASIC: (&str, &str) = ("authorization", "Basic ZWxhc3RpYzpnb29k");

#[tokio::test]
async fn beats_shake_hands_and_send_bulk() {
    let world = World::new();
    assert_eq!(world.ask("GET", "/", &[], "").await.0, StatusCode::UNAUTHORIZED);
    let (status, root) = world.ask("GET", "/", &[BASIC], "").await;
    assert_eq!((status, &root["version"]["number"]), (StatusCode::OK, &json!("8.17.0")));
    for path in [
        "/_license?human=false",
        "/_xpack",
        "/_ilm/policy/filebeat",
        "/_index_template/filebeat-8.17.0",
        "/_cluster/health",
        "/_nodes/http",
    ] {
        assert_eq!(world.ask("GET", path, &[BASIC], "").await.0, StatusCode::OK, "{path}");
    }
    for (method, path) in [
        ("HEAD", "/_index_template/x"),
        ("PUT", "/_ilm/policy/x"),
        ("PUT", "/_ingest/pipeline/x"),
        ("PUT", "/_data_stream/x"),
    ] {
        assert_eq!(world.ask(method, path, &[BASIC], "{}").await.0, StatusCode::OK, "{path}");
    }
    let body = concat!(
        "{\"create\":{\"_index\":\"filebeat\"}}\n{\"@timestamp\":\"2026-11-23T19:30:42Z\",\"message\":\"a\"}\n",
        "{\"index\":{}}\n{\"message\":\"b\"}\n{\"delete\":{\"_id\":\"1\"}}\n{\"index\":{\"_id\":\"7\"}}\nnothing\n"
    );
    let (status, answer) = world.ask("POST", "/logs/_bulk", &[BASIC], body).await;
    assert_eq!((status, &answer["errors"]), (StatusCode::OK, &json!(true)));
    let statuses: Vec<_> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i.as_object().unwrap().values().next().unwrap()["status"].clone())
        .collect();
    assert_eq!(statuses, [201, 201, 400, 400]);
    assert_eq!(answer["items"][0]["create"]["_index"], "filebeat");
    assert_eq!(answer["items"][1]["index"]["_index"], "logs");
    let stored = world.stored();
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[1], (Form::Json, "{\"message\":\"b\"}".to_owned()));
    assert_eq!(world.ask("POST", "/_bulk", &[BASIC], "{\"index\":{}}\n").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(world.ask("POST", "/logs/_doc", &[BASIC], "{\"message\":\"c\"}").await.0, StatusCode::CREATED);
    assert_eq!(world.ask("POST", "/lines", &[BASIC], "one\ntwo\n").await.1, json!({ "taken": 2 }));
}

#[tokio::test]
async fn splunk_events_are_acknowledged_once_durable() {
    let world = World::new();
    let path = "/services/collector/event";
    assert_eq!(world.ask("POST", path, &[], "{}").await.1["code"], 2);
    assert_eq!(world.ask("POST", path, &[("authorization", "Splunk bad")], "{}").await.1["code"], 4);
    assert_eq!(world.ask("GET", "/services/collector/health", &[], "").await.1["code"], 17);
    assert_eq!(world.ask("POST", path, &[SPLUNK], "").await.1["code"], 5);
    let (_, wrong) = world.ask("POST", path, &[SPLUNK], "{\"event\":\"a\"}{\"event\":").await;
    assert_eq!((&wrong["code"], &wrong["invalid-event-number"]), (&json!(6), &json!(1)));
    let body = "{\"time\":1795462242.5,\"host\":\"h\",\"event\":\"a\"}{\"event\":{\"b\":1}}\n{\"event\":\"c\"}";
    let channel = ("x-splunk-request-channel", "0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba");
    assert_eq!(
        world.ask("POST", path, &[SPLUNK, channel], body).await.1,
        json!({ "text": "Success", "code": 0, "ackId": 0 })
    );
    assert_eq!(world.stored().len(), 3);
    let json = ("content-type", "application/json");
    let (_, acks) = world.ask("POST", "/services/collector/ack", &[SPLUNK, channel, json], "{\"acks\":[0,1]}").await;
    assert_eq!(acks, json!({ "acks": { "0": true, "1": false } }));
    assert_eq!(world.ask("POST", "/services/collector/raw?token=good", &[], "x\ny").await.1["code"], 0);
    assert_eq!(world.stored().len(), 5);
}

#[tokio::test]
async fn packed_bodies_are_unpacked_within_their_bound() {
    let world = World::new();
    let gzip = ("content-encoding", "gzip");
    let bulk = pack(b"{\"index\":{}}\n{\"message\":\"a\"}\n");
    let (status, answer) = world.ask("POST", "/logs/_bulk", &[BASIC, gzip], bulk).await;
    assert_eq!((status, &answer["errors"]), (StatusCode::OK, &json!(false)));
    let event = pack(b"{\"event\":\"b\"}");
    let (status, answer) = world.ask("POST", "/services/collector/event", &[SPLUNK, gzip], event).await;
    assert_eq!((status, &answer["code"]), (StatusCode::OK, &json!(0)));
    assert_eq!(world.ask("POST", "/lines", &[BASIC, gzip], pack(b"c\nd\n")).await.1, json!({ "taken": 2 }));
    let stored: Vec<String> = world.stored().into_iter().map(|(_, line)| line).collect();
    assert_eq!(stored, ["{\"message\":\"a\"}", "{\"event\":\"b\"}", "c", "d"]);

    // A thousand times smaller than what it unpacks to, and refused unread by who has no secret.
    let bomb = pack(&vec![b'\n'; LONGEST_BODY + 1]);
    assert!(bomb.len() < LONGEST_BODY / 500);
    assert_eq!(world.ask("POST", "/lines", &[gzip], bomb.clone()).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.ask("POST", "/lines", &[BASIC, gzip], bomb).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.ask("POST", "/lines", &[BASIC, gzip], "not packed").await.0, StatusCode::BAD_REQUEST);
    let unknown = ("content-encoding", "x-own");
    assert_eq!(world.ask("POST", "/lines", &[BASIC, unknown], "e").await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(world.stored().len(), 4);
}

fn pack(body: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(body).unwrap();
    packer.finish().unwrap()
}

proptest! {
    #[test]
    fn any_body_is_answered(body in "[\\[\\]{}\":,\n a-ceventindx1]{0,80}") {
        let _ = elastic::read_bulk(body.as_bytes(), "x", |_| {});
        let _ = splunk::events(&body);
    }
}
