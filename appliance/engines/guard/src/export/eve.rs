//! Suricata's EVE: one JSON object a line, as log shippers know it.
//!
//! Of each flow there is a `flow`, and a `tls`, `http` or `dns` for what was said in it; of each detection an `alert`. The
//! file is `eve.json` in its folder; when it is full it becomes `eve.json.1`, and what was that `eve.json.2`, and so on:
//! whoever follows it by its inode misses nothing.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    net::IpAddr,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    detection::{Detection, Kind, Severity},
    flow::{Flow, Side, State},
    packet::{ICMP, ICMP6, SCTP, TCP, UDP},
};

/// The file's name.
const FILE: &str = "eve.json";
/// Files that are kept besides the one that is written.
const OLD: u32 = 4;
/// Signature ids of detections begin here: a range that no rule set uses.
const SIGNATURES: u64 = 9_100_000;

/// Writes events.
#[derive(Debug)]
pub struct Eve {
    folder: PathBuf,
    most: u64,
    out: BufWriter<File>,
    written: u64,
}

impl Eve {
    /// Opens the file of a folder, or makes it; it is begun anew at `most` bytes.
    pub fn open(folder: &Path, most: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let (out, written) = append(folder)?;
        Ok(Self { folder: folder.to_owned(), most, out, written })
    }

    /// Writes an event.
    pub fn write(&mut self, event: &Value) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        if self.written > 0 && self.written + line.len() as u64 > self.most {
            self.rotate()?;
        }
        self.out.write_all(&line)?;
        self.written += line.len() as u64;
        Ok(())
    }

    /// Hands what was written to the system.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.out.flush()?;
        let old = |number: u32| self.folder.join(format!("{FILE}.{number}"));
        for number in (1..OLD).rev() {
            match fs::rename(old(number), old(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(self.folder.join(FILE), old(1))?;
        (self.out, self.written) = append(&self.folder)?;
        Ok(())
    }
}

fn append(folder: &Path) -> io::Result<(BufWriter<File>, u64)> {
    let file = File::options().append(true).create(true).open(folder.join(FILE))?;
    let length = file.metadata()?.len();
    Ok((BufWriter::new(file), length))
}

/// `2026-11-23T12:00:00.000000+0000`, of nanoseconds since 1970.
fn timestamp(nanoseconds: i64) -> String {
    let stamp = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH);
    stamp.strftime("%Y-%m-%dT%H:%M:%S.%6f+0000").to_string()
}

fn protocol(number: u8) -> String {
    match number {
        TCP => "TCP".into(),
        UDP => "UDP".into(),
        ICMP => "ICMP".into(),
        ICMP6 => "IPv6-ICMP".into(),
        SCTP => "SCTP".into(),
        other => format!("{other:03}"),
    }
}

/// A flow's number: of its community id and its beginning, so that parts of it share one.
fn flow_id(community: &str) -> u64 {
    // Suricata's have 51 bits, which JavaScript can hold.
    crate::detection::hash(community) >> 13
}

fn head(
    kind: &str,
    time: i64,
    ends: [Option<(IpAddr, u16)>; 2],
    number: Option<u8>,
    community: Option<&str>,
) -> Map<String, Value> {
    let mut event = Map::new();
    let mut put = |key: &str, value: Value| event.insert(key.to_owned(), value);
    put("timestamp", timestamp(time).into());
    if let Some(community) = community {
        put("flow_id", flow_id(community).into());
        put("community_id", community.into());
    }
    put("event_type", kind.into());
    for ((address, port), end) in [("src_ip", "src_port"), ("dest_ip", "dest_port")].into_iter().zip(ends) {
        if let Some((ip, number)) = end {
            put(address, ip.to_string().into());
            if number != 0 {
                put(port, number.into());
            }
        }
    }
    if let Some(number) = number {
        put("proto", protocol(number).into());
    }
    event
}

/// The events of a flow; `name` is what its destination was looked up by.
pub fn flow(flow: &Flow, name: Option<&str>) -> Vec<Value> {
    let community = flow.community_id();
    let ends = [flow.initiator(), flow.responder()].map(|(address, port)| Some((address.ip(flow.key.six), port)));
    let head = |kind, time| head(kind, time, ends, Some(flow.key.protocol), Some(&community));
    let mut events = Vec::new();
    let mut event = head("flow", flow.end);
    if let Some(app) = flow.app {
        event.insert("app_proto".into(), app.name().into());
    }
    if let Some(name) = name {
        event.insert("dest_name".into(), name.into());
    }
    let [ours, theirs] = Side::BOTH.map(|side| flow.sides[side.index()]);
    let state = match flow.state {
        State::Unanswered => "new",
        State::Answered => "established",
        State::Refused | State::Reset | State::Closed => "closed",
    };
    event.insert(
        "flow".into(),
        json!({
            "pkts_toserver": ours.packets, "pkts_toclient": theirs.packets,
            "bytes_toserver": ours.octets, "bytes_toclient": theirs.octets,
            "start": timestamp(flow.start), "end": timestamp(flow.end),
            "age": (flow.end - flow.start) / 1_000_000_000,
            "state": state, "reason": if flow.state == State::Answered { "timeout" } else { state },
        }),
    );
    events.push(Value::Object(event));
    // What was said is told once, with the first part.
    let Some(facts) = flow.facts.as_ref().filter(|_| flow.part == 0) else { return events };
    if let Some(tls) = &facts.tls {
        let mut said = Map::new();
        let mut put = |key: &str, value: Option<Value>| value.map(|value| said.insert(key.to_owned(), value));
        put("sni", tls.sni.as_deref().map(Value::from));
        put("version", tls.version.as_deref().map(Value::from));
        put("ja4", tls.ja4.as_deref().map(Value::from));
        if let Some(certificate) = tls.certificates.first() {
            put("subject", Some(certificate.subject.as_str().into()));
            put("issuerdn", Some(certificate.issuer.as_str().into()));
            put("serial", Some(certificate.serial.as_str().into()));
            put("fingerprint_sha256", Some(certificate.sha256.as_str().into()));
            put("notbefore", Some(timestamp(certificate.not_before.saturating_mul(1_000_000_000)).into()));
            put("notafter", Some(timestamp(certificate.not_after.saturating_mul(1_000_000_000)).into()));
        }
        let mut event = head("tls", flow.start);
        event.insert("tls".into(), said.into());
        events.push(event.into());
    }
    for exchange in &facts.http {
        let mut event = head("http", flow.start);
        let said = json!({
            "hostname": exchange.host, "url": exchange.target, "http_method": exchange.method,
            "http_user_agent": exchange.user_agent, "status": exchange.status,
            "http_content_type": exchange.content_type,
        });
        event.insert("http".into(), without_nulls(said));
        events.push(event.into());
    }
    for message in &facts.dns {
        let mut event = head("dns", flow.start);
        let question = message.questions.first();
        let answers: Vec<Value> = message
            .answers
            .iter()
            .map(|a| json!({ "rrname": a.name, "rrtype": a.kind, "ttl": a.ttl, "rdata": a.data }))
            .collect();
        let said = json!({
            "type": if message.response { "answer" } else { "query" }, "id": message.id, "version": 2,
            "rrname": question.map(|q| &q.name), "rrtype": question.map(|q| &q.kind),
            "rcode": message.response.then(|| rcode(message.rcode)),
            "answers": (!answers.is_empty()).then_some(answers),
        });
        event.insert("dns".into(), without_nulls(said));
        events.push(event.into());
    }
    events
}

/// The event of a detection.
pub fn detection(detection: &Detection) -> Value {
    let ends = [
        detection.source.map(|address| (address, 0)),
        detection.destination.map(|address| (address, detection.port.unwrap_or_default())),
    ];
    let mut event = head("alert", detection.end, ends, detection.protocol, detection.community_id.as_deref());
    if let Some(mac) = detection.mac {
        event.insert("ether".into(), json!({ "src_mac": mac.to_string() }));
    }
    let number = Kind::ALL.iter().position(|kind| *kind == detection.kind).unwrap_or_default() as u64;
    let severity = match detection.severity {
        Severity::High => 1,
        Severity::Medium => 2,
        Severity::Low => 3,
    };
    event.insert(
        "alert".into(),
        json!({
            "action": "allowed", "gid": 1, "signature_id": SIGNATURES + number, "rev": 1,
            "signature": detection.title, "category": detection.kind.name(), "severity": severity,
            "metadata": detection.facts.iter().map(|(key, value)| ((*key).to_owned(), json!([value]))).collect::<Map<_, _>>(),
        }),
    );
    event.into()
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>().into(),
        other => other,
    }
}

/// RFC 6895 §2.3.
fn rcode(code: u8) -> String {
    let name = match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        other => return other.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frames::{Wire, inside, outside},
        settings::Settings,
    };

    #[test]
    fn a_flow_and_what_was_said_in_it_are_events_of_one_number() {
        let mut wire = Wire::new(&Settings::default());
        let (asked, answered) =
            (b"GET /a HTTP/1.1\r\nHost: web.example\r\n\r\n", b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
        let flow = wire.flow_of((inside(7), 40_000), (outside(9), 80), asked, answered);
        let events = super::flow(&flow, Some("web.example"));
        assert_eq!(events.iter().map(|event| event["event_type"].clone()).collect::<Vec<_>>(), ["flow", "http"]);
        assert_eq!(events[0]["flow_id"], events[1]["flow_id"]);
        assert_eq!(events[0]["timestamp"], "2026-11-23T12:00:00.005000+0000");
        assert_eq!(events[0]["flow"]["pkts_toserver"], 3);
        assert_eq!((events[0]["src_ip"].as_str(), events[0]["dest_port"].as_u64()), (Some("192.168.1.7"), Some(80)));
        assert_eq!(
            events[1]["http"],
            json!({ "hostname": "web.example", "url": "/a", "http_method": "GET", "status": 404 })
        );
    }

    #[test]
    fn the_file_is_begun_anew_when_it_is_full_and_nothing_is_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut eve = Eve::open(folder.path(), 200).expect("opens");
        for number in 0..30 {
            eve.write(&json!({ "number": number, "text": "0123456789" })).expect("writes");
            if number == 15 {
                eve.flush().expect("writes");
                eve = Eve::open(folder.path(), 200).expect("opens again");
            }
        }
        eve.flush().expect("writes");
        let read = |name: String| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let files: Vec<String> = (1..=OLD).rev().map(|old| format!("{FILE}.{old}")).chain([FILE.to_owned()]).collect();
        assert!(files.iter().all(|file| read(file.clone()).len() <= 200));
        let all: String = files.into_iter().map(read).collect();
        let numbers: Vec<i64> = all
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["number"].as_i64().expect("a number"))
            .collect();
        let first = numbers[0];
        assert!(first > 0 && numbers.len() > 15);
        assert_eq!(numbers, (first..30).collect::<Vec<_>>());
    }
}
