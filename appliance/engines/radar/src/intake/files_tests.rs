use std::{fs::OpenOptions, io::Write};

use proptest::prelude::*;
use sent_core::clock::SystemClock;

use super::*;
use crate::intake::queue::{Blocks, Limits, Queue, Reader};

struct World {
    folder: tempfile::TempDir,
    run: Run,
    reader: Reader,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (run, reader) = Self::open(folder.path());
        Self { folder, run, reader }
    }

    fn open(folder: &Path) -> (Run, Reader) {
        let clock = SystemClock::shared();
        let queue = Queue::open(&folder.join("queue"), Limits::default(), &clock).unwrap();
        let reader = queue.reader("test", None);
        let inlet = Inlet::new(queue, clock, 100);
        let pattern = folder.join("logs/**/*.log*").to_str().unwrap().to_owned();
        (Run::new(vec![pattern], inlet, folder.join("files.state")).unwrap(), reader)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("logs").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn read(&mut self) -> Vec<String> {
        while self.run.look() {}
        self.run.inlet.queue().flush().unwrap();
        let mut blocks = Blocks::default();
        let mut found = Vec::new();
        loop {
            self.reader.read(1_000, 1 << 20, &mut blocks).unwrap();
            if blocks.is_empty() {
                self.reader.done(self.reader.cursor()).unwrap();
                return found;
            }
            found.extend(blocks.entries().map(|(_, a)| String::from_utf8_lossy(a.bytes).into_owned()));
        }
    }

    fn restart(self) -> Self {
        let Self { folder, run, reader } = self;
        drop((run, reader));
        let (run, reader) = Self::open(folder.path());
        Self { folder, run, reader }
    }
}

const FIRST: &str = "the first line is long enough to tell files apart\n";

#[test]
fn files_come_late_grow_and_survive_restarts() {
    let mut world = World::new();
    assert!(world.read().is_empty());
    world.write("deep/er/a.log", "one\ntwo\nthr");
    world.write("other.txt", "no\n");
    world.write("old.log.gz", "no\n");
    assert_eq!(world.read(), ["one", "two"]);
    world.write("deep/er/a.log", "ee\n");
    let mut world = world.restart();
    assert_eq!(world.read(), ["three"]);
    assert!(world.restart().read().is_empty());
}

#[test]
fn a_renamed_file_is_read_to_its_end() {
    let mut world = World::new();
    world.write("a.log", FIRST);
    assert_eq!(world.read().len(), 1);
    world.write("a.log", "before the turn\nno end");
    fs::rename(world.path("a.log"), world.path("gone")).unwrap();
    world.write("a.log", "after the turn\n");
    let mut found = world.read();
    found.extend(world.read());
    found.sort();
    assert_eq!(found, ["after the turn", "before the turn", "no end"]);
    let mut world = world.restart();
    assert!(world.read().is_empty());
}

#[test]
fn a_copy_is_not_read_twice_and_the_truncated_begins_anew() {
    let mut world = World::new();
    world.write("a.log", FIRST);
    world.write("a.log", "second\n");
    assert_eq!(world.read().len(), 2);
    fs::copy(world.path("a.log"), world.path("a.log.1")).unwrap();
    OpenOptions::new().write(true).truncate(true).open(world.path("a.log")).unwrap();
    world.write("a.log", "new\n");
    assert_eq!(world.read(), ["new"]);
    assert!(world.restart().read().is_empty());
}

#[test]
fn a_long_line_is_cut_once() {
    let mut world = World::new();
    world.write("a.log", &"x".repeat(3 << 20));
    world.write("a.log", "\nnext\n");
    let found = world.read();
    assert_eq!((found.len(), found[0].len(), found[1].as_str()), (2, 100, "next"));
    assert_eq!(world.run.inlet.counters().cut.load(Ordering::Relaxed), 1);
}

proptest! {
    #[test]
    fn pieces_do_not_matter(text in "[ab\n]{0,60}", size in 1..20usize, longest in 1..8usize) {
        let mut whole = Vec::new();
        lines(text.as_bytes(), longest, true, &mut false, |l, cut| whole.push((l.to_vec(), cut)));
        let mut pieces = Vec::new();
        let (mut at, mut end, mut skipping) = (0, 0, false);
        while at < text.len() {
            end = (end + size).min(text.len());
            at += lines(&text.as_bytes()[at..end], longest, end == text.len(), &mut skipping, |l, cut| pieces.push((l.to_vec(), cut)));
        }
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn names_fit_as_a_regular_expression_says(pattern in "[ab*?]{0,6}", name in "[ab]{0,8}") {
        let regex = format!("^{}$", pattern.replace('*', ".*").replace('?', "."));
        prop_assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), regex::Regex::new(&regex).unwrap().is_match(&name));
    }
}
