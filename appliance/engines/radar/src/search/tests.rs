use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use sent_core::clock::{Clock as _, ManualClock, Timestamp};

use super::*;
use crate::intake::{
    names::{Interner, Names},
    normalise::{Arrival, Form, Normaliser, Options},
};

/// 2026-11-23T19:30:42Z
const NOW: i64 = 1_795_462_242_000_000;
const DAY: i64 = 86_400_000_000;

struct World {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    store: Store,
    normaliser: Normaliser,
    position: u64,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(Timestamp(NOW));
        let store = Store::open(folder.path(), settings(), clock.clone()).unwrap();
        let normaliser = Normaliser::new(Arc::new(Names::default()), Options::default());
        Self { folder, clock, store, normaliser, position: 1 }
    }

    fn add<'a>(&mut self, form: Form, lines: impl IntoIterator<Item = &'a [u8]>) {
        let mut batch = Batch::default();
        for line in lines {
            let received = self.clock.now().0;
            self.normaliser.normalise(
                self.position,
                &Arrival { source: "10.0.0.1", received, form, cut: false, bytes: line },
                &mut batch,
            );
            self.position += 1;
        }
        self.store.store(&batch, self.position).unwrap();
    }

    fn syslog(&mut self, lines: &[&str]) {
        self.add(Form::Syslog, lines.iter().map(|l| l.as_bytes()));
    }

    fn messages(&self, query: &str) -> Vec<String> {
        let page = self.store.page(&patient(query), None, 1_000).unwrap();
        assert!(page.complete);
        page.hits.into_iter().map(|hit| hit.message.unwrap_or_default()).collect()
    }

    fn reopen(self) -> Self {
        let Self { folder, clock, store, normaliser, position } = self;
        drop(store);
        let store = Store::open(folder.path(), settings(), clock.clone()).unwrap();
        Self { folder, clock, store, normaliser, position }
    }
}

/// A search that a busy machine finishes too.
fn patient(query: &str) -> Search {
    Search { within: Duration::from_secs(120), ..Search::new(query).unwrap() }
}

fn settings() -> Settings {
    let class = |name: &str, days, logs| Class { name: name.to_owned(), days, logs };
    let auth = vec![("linux".to_owned(), String::new(), "sshd".to_owned())];
    Settings { classes: vec![class("auth", 90, auth), class("default", 7, Vec::new())], ..Settings::default() }
}

#[test]
fn finds_lines_by_words_and_fields() {
    let mut world = World::new();
    world.syslog(&[
        "<38>Nov 23 19:30:01 web-1 sshd[4711]: Failed password for root from 10.9.8.7 port 50022 ssh2",
        "<38>Nov 23 19:30:02 web-1 sshd[4712]: Accepted publickey for ada from 192.168.1.20 port 50023 ssh2",
        "<13>Nov 23 19:30:03 db-1 app: level=warn msg=\"slow query\" took=350 table=Orders",
        "<13>Nov 23 19:30:04 db-1 app: plain words, Größe: 10.9.8.70",
    ]);
    let found = |query: &str| -> Vec<char> {
        let letter = |m: String| m.chars().next().unwrap();
        world.messages(query).into_iter().map(letter).collect()
    };
    for (query, expected) in [
        ("*", "plAF"),
        ("failed", "F"),
        ("10.9.8.7", "F"),
        ("10.9.8", "pF"),
        ("\"password for\"", "F"),
        ("web", "AF"),
        ("größe", "p"),
        ("pass*", "F"),
        ("passw", ""),
        ("user.name:ROOT", "F"),
        ("user.name:(root OR ada)", "AF"),
        ("user.name:* -user.name:ada", "F"),
        ("NOT user.name:*", "pl"),
        ("took:350", "l"),
        ("took:>=300 took:<351", "l"),
        ("table:ord*", "l"),
        ("table:/^Ord/", "l"),
        ("table:/^ord/", ""),
        ("source.port:[50022 TO 50022]", "F"),
        ("source.port:50023", "A"),
        ("source.ip:10.0.0.0/8", "F"),
        ("host.name:web-?", "AF"),
        ("process.pid:4712", "A"),
        ("logsource.service:sshd failed", "F"),
        ("/pass.ord/ OR /slow q/", "lF"),
        ("@timestamp:[2026-11-23T19:30:02Z TO 2026-11-23T19:30:03Z]", "lA"),
        ("absent", ""),
        ("user.name:absent", ""),
    ] {
        assert_eq!(found(query).into_iter().collect::<String>(), expected, "{query}");
    }
}

#[test]
fn the_original_is_given_back_byte_for_byte() {
    let mut world = World::new();
    let lines: [&[u8]; 4] = [
        b"<13>Nov 23 19:30:03 db-1 app: caf\xe9",
        "<13>Nov 23 19:30:03 db-1 app: k=\u{1f}x\u{1e}y k=z".as_bytes(),
        br#"{"message":"a \"b\"","n":1}"#,
        br#"{"n":2,"message":"plain","z":null}"#,
    ];
    world.add(Form::Syslog, lines);
    let page = world.store.page(&patient(""), None, 10).unwrap();
    let mut originals: Vec<_> = page.hits.iter().map(|hit| (hit.key.position, hit.original.clone())).collect();
    originals.sort();
    assert_eq!(originals.into_iter().map(|(_, o)| o).collect::<Vec<_>>(), lines);
    assert_eq!(world.messages("n:1"), ["a \"b\""]);
    assert_eq!(world.messages("x:y"), Vec::<String>::new());
}

#[test]
fn pages_go_on_where_they_ended_across_chunks_and_disorder() {
    let mut world = World::new();
    let count = 3 * catalogue::CHUNK_LINES as usize / 2;
    let lines: Vec<String> = (0..count)
        .map(|n| format!("<13>Nov 23 1{}:{:02}:{:02} h a: line {n} of {}", n * 7 % 9, n * 13 % 60, n % 60, n % 1_000))
        .collect();
    for some in lines.chunks(40_000) {
        world.add(Form::Syslog, some.iter().map(|l| l.as_bytes()));
    }
    for reopened in [false, true] {
        if reopened {
            world = world.reopen();
        }
        let search = patient("of.777 OR \"of 777\"");
        let mut keys = Vec::new();
        let mut before = None;
        loop {
            let page = world.store.page(&search, before, 40).unwrap();
            keys.extend(page.hits.iter().map(|hit| hit.key));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(keys.len(), lines.iter().filter(|l| l.ends_with("of 777")).count());
        assert!(keys.is_sorted_by(|a, b| a > b));
        assert_eq!(world.store.lines(), count as u64);
    }
    let page = world.store.page(&patient("nowhere"), None, 10).unwrap();
    assert_eq!((page.hits.len(), page.ruled_out), (0, catalogue::CHUNK_LINES));
    let search = Search { times: NOW - DAY..NOW, ..patient("") };
    let histogram = world.store.histogram(&search, 50).unwrap();
    assert_eq!(histogram.bars.iter().map(|b| b.lines).sum::<u64>(), count as u64);
    let values = world.store.values(&patient("777"), "host.name", 5).unwrap();
    assert_eq!(values.values[0].0, "h");
}

#[test]
fn a_batch_is_stored_once_and_old_days_are_dropped_by_class() {
    let mut world = World::new();
    world.syslog(&[
        "<38>h sshd[1]: x",
        "<38>sshd[1]: Failed password for root from 10.0.0.1 port 1 ssh2",
        "<13>app: y",
    ]);
    let mut batch = Batch::default();
    let again = Arrival { source: "x", received: NOW, form: Form::Syslog, cut: false, bytes: b"<13>app: y" };
    world.normaliser.normalise(2, &again, &mut batch);
    assert_eq!(world.store.store(&batch, 3).unwrap(), 0);
    assert_eq!(world.store.lines(), 3);
    assert_eq!(world.store.cursor(), 4);
    world.clock.set(Timestamp(NOW + 10 * DAY));
    assert_eq!(world.store.retain().unwrap(), 1);
    assert_eq!(world.messages("*").len(), 1);
    let world = world.reopen();
    assert_eq!(world.messages("*").len(), 1);
}

#[test]
fn history_is_what_it_was() {
    let mut world = World::new();
    world.syslog(&["<38>sshd[1]: Failed password for root from 10.0.0.1 port 1 ssh2", "<13>app: took=3 x=\"y z\""]);
    world.add(Form::Syslog, [&b"<13>app: caf\xe9 k=v l=w"[..]]);
    let mut seen = Vec::new();
    let mut interner = Interner::new(Arc::new(Names::default()));
    let see = |batch: &Batch| {
        seen.extend(batch.records().map(|r| {
            let mut fields: Vec<_> = r.fields().map(|f| (f.name, f.value.to_owned())).collect();
            fields.sort();
            (r.original().to_vec(), r.message().map(str::to_owned), r.time(), r.log().service.to_owned(), fields)
        }));
        std::ops::ControlFlow::Continue(())
    };
    let lines =
        world.store.replay(&query::Query::All, i64::MIN..i64::MAX, &mut interner, &Cancel::default(), see).unwrap();
    assert_eq!((lines, seen[2].0.as_slice()), (3, &b"<13>app: caf\xe9 k=v l=w"[..]));
    assert_eq!(seen[0].3, "sshd");
    assert!(seen[0].4.contains(&("user.name", "root".to_owned())));
    assert_eq!(seen[1].4.iter().find(|(name, _)| *name == "x").unwrap().1, "y z");
    assert_eq!(seen[2].4.iter().filter(|(name, _)| *name == "radar.defect").count(), 1);
}

#[test]
fn a_search_that_is_cancelled_says_so() {
    let mut world = World::new();
    world.syslog(&["<13>app: y"]);
    let search = patient("y");
    search.cancel.cancel();
    let page = world.store.page(&search, None, 10).unwrap();
    assert!(!page.complete && page.hits.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is asked, DuckDB understands the SQL.
    #[test]
    fn every_query_is_good_sql(text in "(user\\.name|took|@timestamp|source\\.port|message)?:?([ab\"/*?<>=\\[\\]'%é()0-9-]| OR | TO |NOT ){0,12}") {
        if let Ok(search) = Search::new(&text) {
            let page = WORLD.with(|world| world.store.page(&search, None, 10));
            prop_assert!(matches!(page, Ok(_) | Err(SearchError::Query(_))), "{text}: {page:?}");
        }
    }
}

thread_local! {
    static WORLD: World = {
        let mut world = World::new();
        world.syslog(&["<13>app: took=3 user=b a b 1"]);
        world
    };
}
