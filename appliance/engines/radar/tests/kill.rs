//! `kill -9` at any instant: what was acknowledged is found, and nothing twice.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use sent_core::clock::SystemClock;
use sent_radar::{
    intake::{
        inlet::Inlet,
        names::Names,
        normalise::{Form, Options},
        pipeline::Pipeline,
        queue::{Blocks, Limits, Queue, block::Draft},
    },
    search::{Search, Settings, Store},
};

const FOLDER: &str = "RADAR_KILL_FOLDER";

fn open(folder: &Path) -> (Arc<Queue>, Store, Pipeline) {
    let clock = SystemClock::shared();
    let limits = Limits { segment_bytes: 64 << 10, ..Limits::default() };
    let queue = Queue::open(&folder.join("queue"), limits, &clock).expect("the queue");
    let store = Store::open(&folder.join("logs"), Settings::default(), clock).expect("the store");
    let pipeline =
        Pipeline::start("store", &queue, Arc::new(Names::default()), Options::default(), vec![Box::new(store.clone())]);
    (queue, store, pipeline.expect("the pipeline"))
}

/// The process that is killed: appends, and says what is durable.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (queue, _store, _pipeline) = open(Path::new(&folder));
    let inlet = Inlet::new(queue.clone(), SystemClock::shared(), 1_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut draft = Draft::default();
    let run = std::process::id();
    for n in 0.. {
        for part in 0..50 {
            let line = format!("<13>app: run{run}n{n}p{part}");
            inlet.draft(&mut draft, Form::Syslog, "test", inlet.now(), line.as_bytes(), false);
        }
        let end = inlet.append(&mut draft).expect("room");
        runtime.block_on(queue.durable(end)).expect("durable");
        println!("acknowledged run{run}n{n}");
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_comes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..6u64 {
        let me = std::env::current_exe().unwrap();
        let mut child = Command::new(me)
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = 0;
        // Another instant each time, told by what was acknowledged.
        for line in lines.map_while(Result::ok).filter_map(|l| l.strip_prefix("acknowledged ").map(str::to_owned)) {
            acknowledged.insert(line);
            heard += 1;
            if heard > 20 + round * 13 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (queue, store, pipeline) = open(folder.path());
    let mut reader = queue.reader("probe", Some(0));
    let mut blocks = Blocks::default();
    reader.read(usize::MAX, usize::MAX, &mut blocks).unwrap();
    let begin = Instant::now();
    while store.cursor() < blocks.end() {
        assert!(begin.elapsed() < Duration::from_secs(120), "the pipeline stands still");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut found = Vec::new();
    let mut before = None;
    let everything = Search { within: Duration::from_secs(120), ..Search::new("").unwrap() };
    loop {
        let page = store.page(&everything, before, 1_000).unwrap();
        assert!(page.complete);
        found.extend(page.hits.into_iter().filter_map(|hit| hit.message));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    drop(pipeline);
    let distinct: BTreeSet<&String> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "a line came twice");
    for group in &acknowledged {
        for part in 0..50 {
            assert!(distinct.contains(&format!("{group}p{part}")), "{group}p{part} was acknowledged and is gone");
        }
    }
    assert!(acknowledged.len() > 100);
}
