//! Agents as they are: what Filebeat, Vector and Splunk's collectors send over HTTP is taken with a token, answered as they
//! expect, and found under common names.

use std::io::Write as _;

use reqwest::{Client, Response, StatusCode};
use sent_contract::radar::RadarStatus;
use sent_tests::{Context as _, Result, ensure, logs::Logs};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents() -> Result<()> {
    let mut logs = Logs::start("", &[]).await?;
    let (http, token) = (Client::new(), logs.token().await?);
    let door = format!("{}/api/radar/intake", logs.appliance.address());

    // Nobody, somebody else, and somebody who may send but not read.
    let refused = http.post(format!("{door}/_bulk")).body("{}").send().await?;
    ensure!(refused.status() == StatusCode::UNAUTHORIZED, "{}", refused.status());
    let wrong = http.post(format!("{door}/_bulk")).header("authorization", "ApiKey wrong").body("{}").send().await?;
    ensure!(wrong.status() == StatusCode::UNAUTHORIZED, "{}", wrong.status());
    let reading = http.get(format!("{}/api/radar/search", logs.appliance.address())).bearer_auth(&token).send().await?;
    ensure!(reading.status() == StatusCode::FORBIDDEN, "{}", reading.status());

    filebeat(&http, &door, &token).await?;
    vector(&http, &door, &token).await?;
    splunk(&http, &door, &token).await?;

    for (query, message) in [
        ("agent.type:filebeat user.name:eve", "Failed password for eve from 10.1.1.1 port 22 ssh2"),
        ("winlog.event_id:4625", "An account failed to log on."),
        ("process.name:nginx", "GET /login 500"),
        ("host.name:fw-1", "blocked 10.2.2.2"),
        ("third", "a third line"),
    ] {
        let found = logs.lines(query, 1).await.with_context(|| query.to_owned())?;
        ensure!(found.items.iter().any(|hit| hit.message == message), "{query}: {found:?}");
    }
    let status: RadarStatus = logs.status().await?;
    ensure!(status.messages == 7 && status.dropped == 0, "{status:?}");
    // The verb finds the same, beside the running box and without it.
    let beside = logs.appliance.run(&["radar", "search", "process.name:nginx", "--json"])?;
    logs.appliance.stop().await?;
    let alone = logs.appliance.run(&["radar", "search", "process.name:nginx", "--json"])?;
    ensure!(beside == alone && beside.contains("GET /login 500"), "{beside}\n{alone}");
    Ok(())
}

async fn told(response: Response) -> Result<Value> {
    let status = response.status();
    let text = response.text().await?;
    ensure!(status.is_success(), "{status}: {text}");
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// Filebeat and Winlogbeat 8: a handshake, then `_bulk` compressed with gzip; the key as `ApiKey base64(id:key)`.
async fn filebeat(http: &Client, door: &str, token: &str) -> Result<()> {
    let key = format!("ApiKey {}", base64(&format!("agents:{token}")));
    let root = told(http.get(format!("{door}/")).header("authorization", &key).send().await?).await?;
    ensure!(root["version"]["number"].is_string(), "{root}");
    told(http.get(format!("{door}/_license")).header("authorization", &key).send().await?).await?;
    let template = http.head(format!("{door}/_index_template/filebeat-8.17.0")).header("authorization", &key);
    ensure!(template.send().await?.status().is_success(), "the template is asked for");
    let line = json!({
        "@timestamp": "2026-11-23T10:00:00.000Z", "agent": { "type": "filebeat", "version": "8.17.0" },
        "host": { "name": "web-1" }, "user": { "name": "eve" }, "log": { "file": { "path": "/var/log/auth.log" } },
        "message": "Failed password for eve from 10.1.1.1 port 22 ssh2"
    });
    let event = json!({
        "@timestamp": "2026-11-23T10:00:01.000Z", "agent": { "type": "winlogbeat" }, "host": { "name": "dc-1" },
        "winlog": { "channel": "Security", "event_id": "4625", "provider_name": "Microsoft-Windows-Security-Auditing",
            "computer_name": "dc-1", "event_data": { "TargetUserName": "eve" } },
        "message": "An account failed to log on."
    });
    let mut body = Vec::new();
    for document in [line, event] {
        writeln!(body, "{}\n{document}", json!({ "create": { "_index": "filebeat-8.17.0" } }))?;
    }
    let request = http.post(format!("{door}/_bulk")).header("authorization", &key);
    let request = request.header("content-type", "application/x-ndjson").header("content-encoding", "gzip");
    let answer = told(request.body(packed(&body)?).send().await?).await?;
    ensure!(answer["errors"] == false && answer["items"].as_array().is_some_and(|i| i.len() == 2), "{answer}");
    ensure!(answer["items"][0]["create"]["status"] == 201, "{answer}");
    Ok(())
}

/// Vector's `elasticsearch` sink with basic authentication and its `http` sink.
async fn vector(http: &Client, door: &str, token: &str) -> Result<()> {
    let event = json!({
        "appname": "nginx", "facility": "local0", "host": "web-2", "hostname": "web-2", "severity": "err",
        "message": "GET /login 500", "source_type": "syslog", "timestamp": "2026-11-23T10:00:02.123Z"
    });
    let body = format!("{}\n{event}\n", json!({ "index": { "_index": "vector-2026.11.23", "_type": "_doc" } }));
    let answer =
        told(http.post(format!("{door}/_bulk")).basic_auth("vector", Some(token)).body(body).send().await?).await?;
    ensure!(answer["errors"] == false, "{answer}");
    let lines = format!("{}\n{}\n", json!({ "message": "one more", "host": "web-2" }), "a third line");
    let answer = told(http.post(format!("{door}/lines")).bearer_auth(token).body(lines).send().await?).await?;
    ensure!(answer["taken"] == 2, "{answer}");
    Ok(())
}

/// Splunk's collector: events one after the other, with a channel whose acknowledgement is asked for; raw lines.
async fn splunk(http: &Client, door: &str, token: &str) -> Result<()> {
    let key = format!("Splunk {token}");
    let health = http.get(format!("{door}/services/collector/health")).header("authorization", &key);
    told(health.send().await?).await?;
    let event = json!({ "time": 1_795_435_203.5, "host": "fw-1", "source": "pf", "sourcetype": "syslog", "event": "blocked 10.2.2.2" });
    let request = http.post(format!("{door}/services/collector/event")).header("authorization", &key);
    let request = request.header("x-splunk-request-channel", "7d5f2b9c-0000-4000-8000-000000000000");
    let answer = told(request.body(event.to_string()).send().await?).await?;
    ensure!(answer["code"] == 0 && answer["ackId"] == 0, "{answer}");
    let ack = http.post(format!("{door}/services/collector/ack?channel=7d5f2b9c-0000-4000-8000-000000000000"));
    let answer = told(ack.header("authorization", &key).json(&json!({ "acks": [0] })).send().await?).await?;
    ensure!(answer["acks"]["0"] == true, "{answer}");
    let raw = http.post(format!("{door}/services/collector/raw")).header("authorization", &key);
    let answer = told(raw.body("<13>fw-1 app: raw words\n").send().await?).await?;
    ensure!(answer["code"] == 0, "{answer}");
    Ok(())
}

fn base64(text: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(text)
}

fn packed(body: &[u8]) -> Result<Vec<u8>> {
    let mut packing = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packing.write_all(body)?;
    Ok(packing.finish()?)
}
