//! What every parser of the wire and of the field makes of input that is nearly right.
//!
//! Each target has seeds under `corpus/`, whole and well formed. A seed is cut, spliced with another, and changed in bytes,
//! numbers and marks a few times; then the parser reads it. It must answer, keep its bounds, and what it took it must write and
//! read again as the same. Each target sees four times `PROPTEST_CASES` changed seeds, the same ones for the same
//! `PROPTEST_RNG_SEED`; a failure is kept under `proptest-regressions` beside this file.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::Path, time::Duration};

use proptest::{collection::vec, prelude::*, sample::Index, test_runner::FileFailurePersistence};
use sent_capital::import::sheet::{Limits, Sheet};
use sent_core::{
    identity::Rights,
    live::{
        Disconnect, Hub, Identity,
        peer::{Output, Peer},
    },
};
use sent_protocol::{
    Batch, Checkpoint, Cursor, Desired, EnrolRequest, EnrolResponse, EpochAnswer, EpochStart, Refusal, Reported, Uuid,
    body, change, limits, telemetry,
    topic::{self, Doorbell, Live, Presence},
};
use sent_pulse::model::{exposition, payload};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// Changes of one seed at most.
const CHANGES: usize = 6;
/// What parsers stumble over: ends of numbers, marks of the formats, and text that is none.
const TOKENS: &[&[u8]] = &[
    b"-1",
    b"0",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1e999",
    b"-0.0",
    b"NaN",
    b"0x7f",
    b"null",
    b"true",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b";",
    b"=",
    b"#",
    b"\n",
    b"\r\n",
    b"\t",
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x92\xa9",
    b"\x30\x84\xff\xff\xff\xff",
    b"\x80\x80\x80\x80\x80",
];

/// One change of a seed.
#[derive(Clone, Debug)]
enum Change {
    /// One bit.
    Flip(Index, u8),
    /// One byte.
    Set(Index, u8),
    /// A token put in.
    Insert(Index, Index),
    /// A token over what is there.
    Over(Index, Index),
    /// The next number made a token.
    Number(Index, Index),
    /// A piece taken out.
    Remove(Index, Index),
    /// A piece repeated so often.
    Repeat(Index, Index, u8),
    /// The rest of another seed from somewhere on.
    Splice(Index, Index),
    /// Nothing from there on.
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 0..8u8).prop_map(|(a, bit)| Change::Flip(a, bit)),
        (at(), any::<u8>()).prop_map(|(a, byte)| Change::Set(a, byte)),
        (at(), at()).prop_map(|(a, token)| Change::Insert(a, token)),
        (at(), at()).prop_map(|(a, token)| Change::Over(a, token)),
        (at(), at()).prop_map(|(a, token)| Change::Number(a, token)),
        (at(), at()).prop_map(|(a, b)| Change::Remove(a, b)),
        (at(), at(), 2..30u8).prop_map(|(a, b, times)| Change::Repeat(a, b, times)),
        (at(), at()).prop_map(|(a, b)| Change::Splice(a, b)),
        at().prop_map(Change::Cut),
    ]
}

impl Change {
    fn of(&self, bytes: &mut Vec<u8>, other: &[u8]) {
        let size = bytes.len();
        let within = |index: &Index| index.index(size + 1);
        let piece = |a: &Index, b: &Index| {
            let (a, b) = (within(a), within(b));
            a.min(b)..a.max(b)
        };
        match self {
            Self::Flip(at, bit) if size > 0 => bytes[at.index(size)] ^= 1 << bit,
            Self::Set(at, byte) if size > 0 => bytes[at.index(size)] = *byte,
            Self::Flip(..) | Self::Set(..) => {}
            Self::Insert(at, token) => drop(bytes.splice(within(at)..within(at), token.get(TOKENS).iter().copied())),
            Self::Over(at, token) => {
                let (start, token) = (within(at), token.get(TOKENS));
                bytes.splice(start..size.min(start + token.len()), token.iter().copied());
            }
            Self::Number(at, token) => {
                let is_digit = |byte: &u8| byte.is_ascii_digit();
                let Some(start) = bytes.iter().skip(within(at)).position(is_digit).map(|n| n + within(at)) else {
                    return;
                };
                let end = bytes[start..].iter().position(|byte| !is_digit(byte)).map_or(size, |n| n + start);
                bytes.splice(start..end, token.get(TOKENS).iter().copied());
            }
            Self::Remove(a, b) => drop(bytes.drain(piece(a, b))),
            Self::Repeat(a, b, times) => {
                let range = piece(a, b);
                // Some kilobytes are enough to find what is not bounded.
                let repeated = bytes[range.start..range.end.min(range.start + 200)].repeat(usize::from(*times));
                bytes.splice(range.start..range.start, repeated);
            }
            Self::Splice(a, b) => {
                bytes.truncate(within(a));
                bytes.extend_from_slice(&other[b.index(other.len() + 1)..]);
            }
            Self::Cut(at) => bytes.truncate(within(at)),
        }
    }
}

/// The seeds of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Seeds of a target, changed; the first of all are the seeds themselves.
fn nearly(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), any::<Index>(), vec(change(), 0..CHANGES)).prop_map(move |(seed, other, changes)| {
        let (mut bytes, other) = (seed.get(&seeds).clone(), other.get(&seeds));
        changes.iter().for_each(|change| change.of(&mut bytes, other));
        bytes
    })
}

/// What is read from `json` as this is written and read again as the same. Compared is the text: changes travel as they
/// were written, so an escape that is no character (`"\\ud800"`) is found by who reads the changes, not before.
fn reads_back<T: Serialize + DeserializeOwned>(json: &[u8]) -> bool {
    let Ok(packed) = body::compress(json) else { return false };
    let Ok(value) = body::decode::<T>(&packed) else { return false };
    let once = serde_json::to_string(&value).unwrap();
    let again: T = serde_json::from_str(&once).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), once);
    true
}

/// Every document of the wire.
fn read_as_any(json: &[u8]) -> usize {
    [
        reads_back::<Batch>(json),
        reads_back::<Checkpoint>(json),
        reads_back::<Cursor>(json),
        reads_back::<Desired>(json),
        reads_back::<EnrolRequest>(json),
        reads_back::<EnrolResponse>(json),
        reads_back::<EpochAnswer>(json),
        reads_back::<EpochStart>(json),
        reads_back::<Refusal>(json),
        reads_back::<Reported>(json),
    ]
    .into_iter()
    .filter(|read| *read)
    .count()
}

#[test]
fn seeds_are_well_formed() {
    for seed in corpus("wire") {
        assert!(read_as_any(&seed) > 0, "{}", String::from_utf8_lossy(&seed));
    }
    for seed in corpus("changes") {
        assert!(parse_changes(&seed).is_some(), "{}", String::from_utf8_lossy(&seed));
    }
    for seed in corpus("telemetry") {
        assert!(!telemetry::decode(&body::compress(&seed).unwrap()).unwrap().points.is_empty());
    }
    for seed in corpus("csv") {
        let sheet = Sheet::read(seed.as_slice(), Limits::default()).unwrap();
        assert!(sheet.errors.is_empty() && !sheet.transactions().is_empty(), "{:?}", sheet.errors);
    }
    for seed in corpus("exposition") {
        assert!(!exposition::parse(std::str::from_utf8(&seed).unwrap(), 1_000).unwrap().is_empty());
    }
    for seed in corpus("snmp") {
        assert!(snmp2::Pdu::from_bytes(&seed).unwrap().varbinds.count() > 0);
    }
    for seed in corpus("live") {
        assert!(seed.split(|b| *b == b'\n').all(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok()));
    }
    assert!(corpus("mqtt").iter().any(|seed| !payload::numbers(seed).is_empty()));
}

fn parse_changes(bytes: &[u8]) -> Option<Vec<change::Change>> {
    let raw: Box<RawValue> = serde_json::from_slice(bytes).ok()?;
    let changes = change::parse(&raw).ok()?;
    let written = change::write(&changes).unwrap();
    assert_eq!(change::parse(&written).unwrap(), changes);
    Some(changes)
}

/// A live client's end of a connection.
fn converse(frames: &[Vec<u8>]) {
    let hub = Hub::with_rule(7, |_, channel| &*channel.name != "forbidden");
    let mut peer = Peer::new(hub.clone(), "fuzz", Duration::ZERO);
    let mut closed = None;
    for frame in frames {
        peer.receive(frame, Duration::ZERO);
        peer.deliver();
        while let Some(output) = peer.poll() {
            assert_eq!(closed, None, "nothing comes after the end");
            match output {
                Output::Send(line) => drop(serde_json::from_slice::<serde_json::Value>(&line).unwrap()),
                Output::Authenticate { .. } => {
                    let (user, login) = (Uuid::nil(), "login".to_owned());
                    let identity = Identity { user, login, organizations: vec![Uuid::nil()], rights: Rights::all() };
                    peer.authenticated(Ok::<_, Disconnect>(identity), Duration::ZERO);
                }
                Output::Close(why) => closed = Some(why),
            }
        }
    }
    drop(peer);
    assert_eq!((hub.connections(), hub.channels()), (0, 0), "nothing stays of a connection");
}

fn config() -> ProptestConfig {
    let standard = ProptestConfig::default();
    ProptestConfig {
        cases: 4 * standard.cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))),
        ..standard
    }
}

proptest! {
    #![proptest_config(config())]

    /// Documents of both ends.
    #[test]
    fn wire_documents(json in nearly(corpus("wire"))) {
        read_as_any(&json);
    }

    /// Bodies as they travel: what is changed is the compressed form.
    #[test]
    fn wire_bodies(body in nearly(corpus("wire").iter().map(|seed| body::compress(seed).unwrap()).collect())) {
        if let Ok(json) = body::decompress(&body, limits::BODY) {
            prop_assert!(json.len() <= limits::BODY);
        }
    }

    /// Row changes of a transaction.
    #[test]
    fn row_changes(json in nearly(corpus("changes"))) {
        parse_changes(&json);
    }

    /// Telemetry segments, changed within the compressed form.
    #[test]
    fn telemetry_segments(stream in nearly(corpus("telemetry"))) {
        if let Ok(segment) = telemetry::decode(&body::compress(&stream).unwrap()) {
            // Whatever was read is a segment that could have been sent.
            if let Ok(bytes) = telemetry::encode(&segment.points, &segment.definitions, &segment.gaps) {
                prop_assert_eq!(telemetry::decode(&bytes).unwrap().points.len(), segment.points.len());
            }
        }
    }

    /// What comes over MQTT: doorbells, presence, live values, and payloads of devices.
    #[test]
    fn mqtt_payloads(bytes in nearly(corpus("mqtt"))) {
        if let Some(bell) = Doorbell::parse(&bytes) {
            prop_assert_eq!(Doorbell::parse(&bell.payload()), Some(bell));
        }
        let _ = Presence::parse(&bytes);
        if let Ok(live) = serde_json::from_slice::<Live>(&bytes) {
            let text = serde_json::to_vec(&live).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Live>(&text).unwrap(), live);
        }
        if let Some((box_id, kind)) = std::str::from_utf8(&bytes).ok().and_then(topic::parse) {
            let written = match kind {
                topic::Kind::Doorbell => topic::doorbell(box_id),
                topic::Kind::Presence => topic::presence(box_id),
                topic::Kind::Live => topic::live(box_id),
            };
            prop_assert_eq!(topic::parse(&written), Some((box_id, kind)));
        }
        prop_assert!(payload::numbers(&bytes).iter().all(|(_, number)| number.is_finite()));
    }

    /// Journals out of other programs.
    #[test]
    fn csv_imports(bytes in nearly(corpus("csv"))) {
        if let Ok(sheet) = Sheet::read(bytes.as_slice(), Limits::default()) {
            for transaction in sheet.transactions() {
                let (_, _) = (sheet.id(transaction), sheet.description(transaction));
                for line in sheet.lines(transaction) {
                    prop_assert!(transaction.spoiled || line.row >= transaction.row);
                }
            }
        }
        let bound = Limits { bytes: 64 };
        prop_assert!(bytes.len() <= 64 || Sheet::read(bytes.as_slice(), bound).is_err(), "the bound holds");
    }

    /// Answers of network gear.
    #[test]
    fn snmp_answers(bytes in nearly(corpus("snmp"))) {
        if let Ok(answer) = snmp2::Pdu::from_bytes(&bytes) {
            // A name and a value are at least four bytes of what came.
            let bound = bytes.len() / 4 + 1;
            let values = answer.varbinds.map(|(name, value)| format!("{name} {value:?}")).take(bound + 1).count();
            prop_assert!(values <= bound);
        }
    }

    /// Metrics pages.
    #[test]
    fn metrics_pages(bytes in nearly(corpus("exposition"))) {
        if let Ok(lines) = exposition::parse(&String::from_utf8_lossy(&bytes), 40) {
            prop_assert!(lines.len() <= 40);
        }
    }

    /// Frames of live clients, several on one connection.
    #[test]
    fn live_frames(frames in vec(nearly(corpus("live")), 1..5)) {
        converse(&frames);
    }
}

/// Makes the seeds that are not text. Run it when the layout of segments changes: `cargo nextest run --run-ignored all seeds_are_made`.
#[test]
#[ignore = "it writes into the source tree"]
fn seeds_are_made() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/telemetry");
    let point =
        |series: u64, n: i64, value: f64| telemetry::Point { series, at: 1_795_435_200_000_000 + n * 1_000_000, value };
    let labels: sent_protocol::series::Labels = [("host".to_owned(), "self".to_owned())].into_iter().collect();
    let definition = telemetry::SeriesDefinition::new("host_cpu_percent", labels, "percent");
    let gap = telemetry::Gap { from: 1, to: 2_000_000, points: 5 };
    let whole: Vec<_> = (0..40).map(|n| point(definition.id, n, n as f64 * 0.25)).collect();
    let wild = [f64::MIN, f64::MAX, f64::MIN_POSITIVE, -0.0, 1e-300, 0.1];
    let wild: Vec<_> = wild.iter().enumerate().map(|(n, value)| point(n as u64, n as i64 - 3, *value)).collect();
    for (name, points, definitions, gaps) in [
        ("steady", &whole, vec![definition], vec![]),
        ("wild", &wild, vec![], vec![gap]),
        ("one", &vec![wild[0]], vec![], vec![]),
    ] {
        let bytes = telemetry::encode(points, &definitions, &gaps).unwrap();
        let stream = body::decompress(&bytes, limits::BODY).unwrap();
        std::io::Write::write_all(&mut std::fs::File::create(folder.join(name)).unwrap(), &stream).unwrap();
    }
}
