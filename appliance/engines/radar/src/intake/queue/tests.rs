use std::sync::Arc;

use sent_core::clock::{ManualClock, SharedClock, Timestamp};

use super::*;
use crate::intake::normalise::{Arrival, Form};

fn clock() -> SharedClock {
    ManualClock::new(Timestamp(1_795_462_242_000_000))
}

fn open(folder: &Path, limits: Limits) -> Arc<Queue> {
    Queue::open(folder, limits, &clock()).unwrap()
}

fn append(queue: &Queue, lines: &[&str]) -> Result<u64, QueueError> {
    let mut draft = Draft::default();
    for line in lines {
        draft.push(&Arrival {
            source: "10.0.0.1",
            received: 1,
            form: Form::Syslog,
            cut: false,
            bytes: line.as_bytes(),
        });
    }
    queue.append(&mut draft)
}

fn read(reader: &mut Reader) -> Vec<String> {
    let mut blocks = Blocks::default();
    let mut lines = Vec::new();
    loop {
        reader.read(3, 1 << 20, &mut blocks).unwrap();
        if blocks.is_empty() {
            return lines;
        }
        lines.extend(blocks.entries().map(|(_, a)| String::from_utf8(a.bytes.to_vec()).unwrap()));
    }
}

const SMALL: Limits = Limits { most_bytes: 4_096, segment_bytes: 256 };

#[test]
fn consumers_go_on_where_they_stopped() {
    let folder = tempfile::tempdir().unwrap();
    {
        let queue = open(folder.path(), Limits::default());
        append(&queue, &["a", "b"]).unwrap();
        queue.flush().unwrap();
        let mut reader = queue.reader("matcher", None);
        assert_eq!(read(&mut reader), ["a", "b"]);
        reader.done(reader.cursor() - 1).unwrap();
        append(&queue, &["c"]).unwrap();
    }
    let queue = open(folder.path(), Limits::default());
    append(&queue, &["d"]).unwrap();
    queue.flush().unwrap();
    assert_eq!(read(&mut queue.reader("matcher", None)), ["b", "c", "d"]);
    assert_eq!(read(&mut queue.reader("other", None)), ["a", "b", "c", "d"]);
}

#[test]
fn only_what_is_durable_is_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), Limits::default());
    // The ticker syncs within its second; until then the durable end is the one watched.
    let end = append(&queue, &["a"]).unwrap();
    let mut reader = queue.reader("x", None);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(queue.durable(end)).unwrap();
    assert_eq!(queue.durable_end(), end);
    assert_eq!(read(&mut reader), ["a"]);
}

#[test]
fn a_consumer_with_nothing_to_read_waits() {
    let folder = tempfile::tempdir().unwrap();
    // An empty queue begins at its incarnation, far after a new consumer's cursor; so does one that was opened again.
    for _ in 0..2 {
        let queue = open(folder.path(), Limits::default());
        let mut reader = queue.reader("x", Some(0));
        while !read(&mut reader).is_empty() {}
        assert!(!reader.wait(Duration::from_millis(1)));
        append(&queue, &["a"]).unwrap();
        queue.flush().unwrap();
        assert!(reader.wait(Duration::from_secs(60)));
        assert_eq!(read(&mut reader), ["a"]);
        assert!(read(&mut reader).is_empty());
        assert!(!reader.wait(Duration::from_millis(1)));
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "damage is what this test wants")]
fn a_torn_tail_is_cut_and_damage_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    {
        let queue = open(folder.path(), Limits::default());
        for line in ["one", "two", "three"] {
            append(&queue, &[line]).unwrap();
        }
    }
    let first = reader::segments(folder.path()).unwrap()[0];
    let path = reader::segment_path(folder.path(), first);
    let mut bytes = fs::read(&path).unwrap();
    let whole = bytes.clone();
    for cut in 1..36 + 16 {
        fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let queue = open(folder.path(), Limits::default());
        assert_eq!(read(&mut queue.reader("x", None)), ["one", "two"], "cut by {cut}");
    }
    // A bit flipped in the second block: the others are read.
    let two = memchr::memmem::find(&bytes, b"two").unwrap();
    bytes[two] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let queue = open(folder.path(), Limits::default());
    append(&queue, &["four"]).unwrap();
    queue.flush().unwrap();
    assert_eq!(read(&mut queue.reader("y", None)), ["one", "three", "four"]);
    assert!(queue.stats().damaged > 0);
}

#[test]
fn a_full_queue_refuses_until_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), SMALL);
    let mut appended = 0;
    let refused = loop {
        match append(&queue, &["a line of some length"]) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, QueueError::Full), "{refused}");
    queue.flush().unwrap();
    assert!(queue.stats().bytes <= SMALL.most_bytes);
    let mut reader = queue.reader("x", None);
    assert_eq!(read(&mut reader).len(), appended);
    reader.done(reader.cursor()).unwrap();
    append(&queue, &["again"]).unwrap();
    queue.flush().unwrap();
    assert_eq!(read(&mut reader), ["again"]);
}

#[test]
fn another_process_waits_for_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), SMALL);
    let waiting = std::thread::spawn({
        let folder = folder.path().to_owned();
        move || Queue::open(&folder, SMALL, &clock()).map(|_| ())
    });
    drop(queue);
    waiting.join().unwrap().unwrap();
}
