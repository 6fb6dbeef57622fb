//! The spool as its users see it: threads, crashes, damage, the bound, and a cloud that comes and goes.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader},
    os::unix::fs::FileExt,
    process::{Command, Stdio},
};

use proptest::prelude::*;
use sent_core::clock::{ManualClock, SystemClock, Timestamp};
use tempfile::TempDir;

use super::*;

const NOW: i64 = 1_800_000_000_000_000;

/// A spool whose segments are 4 KiB.
fn small(root: &Path) -> Arc<Spool> {
    spool(root, "main", 64 << 10)
}

fn spool(root: &Path, process: &str, max_bytes: u64) -> Arc<Spool> {
    let limits = Limits { process: process.to_owned(), max_bytes, ..Limits::default() };
    Spool::open(root, limits, ManualClock::new(Timestamp(NOW))).unwrap()
}

/// Points `from..to`, told apart by their times.
fn points(range: std::ops::Range<i64>) -> Vec<Point> {
    range.map(|i| Point { series: i.cast_unsigned() % 7, at: i, value: i as f64 / 3.0 }).collect()
}

fn follow(spool: &Arc<Spool>) -> Follower {
    Follower::new(spool.clone(), BTreeMap::new()).unwrap()
}

/// Reads all there is in batches of about `size`: times of points, and points lost.
fn read_all(follower: &mut Follower, size: usize) -> (Vec<i64>, u64) {
    let (mut times, mut lost) = (Vec::new(), 0);
    loop {
        let batch = follower.read(size).unwrap();
        if batch.is_empty() {
            return (times, lost);
        }
        follower.advance(&batch).unwrap();
        assert!(batch.points.points().all(|p| points(p.at..p.at + 1) == [p]));
        times.extend(&batch.points.at);
        lost += batch.gaps.iter().map(|g| g.points).sum::<u64>();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's file need not survive a crash")]
fn put(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).unwrap();
}

fn segment_files(folder: &Path) -> Vec<PathBuf> {
    folder::segments(folder).unwrap().into_iter().map(|s| folder::segment_path(folder, s)).collect()
}

#[test]
fn threads_and_processes_append_and_nothing_is_lost_or_doubled() {
    let dir = TempDir::new().unwrap();
    let (main, radar) = (spool(dir.path(), "main", 1 << 20), spool(dir.path(), "radar", 1 << 20));
    std::thread::scope(|scope| {
        for thread in 0..4i64 {
            let spool = if thread % 2 == 0 { &main } else { &radar };
            scope.spawn(move || {
                for i in 0..50 {
                    let first = thread * 10_000 + i * 10;
                    spool.append(&points(first..first + 10), &[]).unwrap();
                }
            });
        }
    });
    let (mut times, lost) = read_all(&mut follow(&main), 37);
    times.sort_unstable();
    let expected: Vec<i64> = (0..4).flat_map(|t| t * 10_000..t * 10_000 + 500).collect();
    assert_eq!((times, lost), (expected, 0));
}

#[test]
fn what_is_no_measurement_is_left_out_and_counted() {
    let dir = TempDir::new().unwrap();
    let spool = small(dir.path());
    let mut some = points(1..5);
    some[0].value = f64::NAN;
    some[1].value = f64::NEG_INFINITY;
    some[2].at = -1;
    spool.append(&some, &[]).unwrap();
    assert_eq!(read_all(&mut follow(&spool), 10), (vec![4], 0));
    assert_eq!((spool.stats().stored, spool.stats().refused), (1, 3));
}

#[test]
fn definitions_are_told_once_and_after_a_restart_from_the_file() {
    let dir = TempDir::new().unwrap();
    let definition = SeriesDefinition::new("up", [("host".to_owned(), "a".to_owned())].into(), "count");
    let spool = small(dir.path());
    spool.append(&points(0..1), std::slice::from_ref(&definition)).unwrap();
    spool.append(&points(1..2), std::slice::from_ref(&definition)).unwrap();
    assert_eq!(follow(&spool).read(10).unwrap().definitions, std::slice::from_ref(&definition));
    drop(spool);
    let spool = small(dir.path());
    spool.append(&points(2..3), std::slice::from_ref(&definition)).unwrap();
    assert_eq!(follow(&spool).read(10).unwrap().definitions, std::slice::from_ref(&definition));
    let forged = SeriesDefinition { id: definition.id, ..SeriesDefinition::new("down", [].into(), "") };
    let why = |appended: Result<(), AppendError>| appended.unwrap_err().cause;
    assert!(matches!(why(spool.append(&[], &[forged])), SpoolError::Definition { .. }));
    let unknown = SeriesDefinition { id: 1, ..definition };
    assert!(matches!(why(spool.append(&[], &[unknown])), SpoolError::Definition { .. }));
}

#[test]
fn a_label_with_too_many_values_is_refused() {
    let dir = TempDir::new().unwrap();
    let limits = Limits { max_series: 2, ..Limits::default() };
    let spool = Spool::open(dir.path(), limits, SystemClock::shared()).unwrap();
    let define = |i: i32| SeriesDefinition::new("m", [("id".to_owned(), i.to_string())].into(), "");
    spool.append(&[], &[define(1), define(2)]).unwrap();
    let beyond = spool.append(&[], &[define(3)]).unwrap_err();
    assert!(matches!(beyond.cause, SpoolError::TooManySeries { bound: 2 }));
    spool.append(&points(0..1), &[define(1)]).unwrap();
}

#[test]
fn beyond_the_bound_the_oldest_goes_and_is_reported() {
    let dir = TempDir::new().unwrap();
    let spool = small(dir.path());
    let mut cloud = CloudReader::open(spool.clone()).unwrap();
    for i in 0..1_000 {
        spool.append(&points(i * 20..i * 20 + 20), &[]).unwrap();
    }
    let stats = spool.stats();
    assert!(stats.bytes <= 64 << 10 && stats.dropped > 0, "{stats:?}");
    let (times, lost) = read_all(&mut follow(&spool), 1_000);
    assert_eq!(times.len() as u64 + lost, 20_000);
    assert_eq!(lost, stats.dropped);
    assert_eq!(times, (lost as i64..20_000).collect::<Vec<_>>());
    let shipment = cloud.next(1, 100_000).unwrap().unwrap();
    assert_eq!(shipment.gaps.iter().map(|g| g.points).sum::<u64>(), lost);
    assert_eq!(shipment.gaps.iter().map(|g| g.from).min(), Some(0));
    assert_eq!(shipment.points.len() as u64, 20_000 - lost);
}

#[test]
fn whatever_ends_an_append_early_it_says_how_many_points_are_in() {
    let dir = TempDir::new().unwrap();
    // Segments of two full blocks.
    let spool = spool(dir.path(), "main", 16 * 600_000);
    spool.append(&points(0..1), &[]).unwrap();
    let mut many = points(1..4 * block::MAX_POINTS as i64);
    many.insert(5, Point { value: f64::NAN, ..many[0] });
    // The open segment can be written, another one cannot be begun.
    let (folder, aside) = (dir.path().join("main"), dir.path().join("aside"));
    fs::rename(&folder, &aside).unwrap();
    let error = spool.append(&many, &[]).unwrap_err();
    assert!(matches!(error.cause, SpoolError::Io { .. }), "{error}");
    assert!(error.stored > 0 && error.stored < many.len(), "{error}");
    fs::rename(&aside, &folder).unwrap();
    spool.append(&many[error.stored..], &[]).unwrap();
    let (times, lost) = read_all(&mut follow(&spool), 1 << 20);
    assert_eq!((times, lost), ((0..4 * block::MAX_POINTS as i64).collect(), 0));
}

#[test]
fn what_all_readers_have_passed_takes_no_room() {
    let dir = TempDir::new().unwrap();
    let spool = small(dir.path());
    spool.retire(Reader::Cloud);
    for i in 0..100 {
        spool.append(&points(i * 20..i * 20 + 20), &[]).unwrap();
    }
    let full = spool.stats().bytes;
    read_all(&mut follow(&spool), 1_000);
    let on_disk: u64 = segment_files(&dir.path().join("main")).iter().map(|f| f.metadata().unwrap().len()).sum();
    assert_eq!(spool.stats().bytes, on_disk);
    assert!(on_disk < full, "{on_disk} of {full} bytes are left");
}

#[test]
fn what_was_dropped_is_counted_for_ever_and_over_all_processes() {
    let dir = TempDir::new().unwrap();
    let fill = |spool: &Spool| (0..1_000).for_each(|i| spool.append(&points(i * 20..i * 20 + 20), &[]).unwrap());
    let main = small(dir.path());
    fill(&main);
    let first = main.stats().dropped;
    assert!(first > 0);
    drop(main);

    let again = small(dir.path());
    assert_eq!(again.stats().dropped, first, "a restart forgets nothing");
    fill(&again);
    let second = again.stats().dropped;
    assert!(second > first);

    let worker = spool(dir.path(), "worker", 64 << 10);
    assert_eq!(worker.stats().dropped, second, "the other process's count is part of it");
    fill(&worker);
    assert_eq!(again.stats().dropped, worker.stats().dropped);
    assert!(again.stats().dropped > second);
}

#[test]
fn a_segment_goes_when_all_readers_have_passed_it() {
    let dir = TempDir::new().unwrap();
    let spool = spool(dir.path(), "main", 128 << 10);
    let mut cloud = CloudReader::open(spool.clone()).unwrap();
    for i in 0..200 {
        spool.append(&points(i * 20..i * 20 + 20), &[]).unwrap();
    }
    let folder = dir.path().join("main");
    let before = segment_files(&folder).len();
    assert!(before > 5);
    let mut follower = follow(&spool);
    read_all(&mut follower, 500);
    assert_eq!(segment_files(&folder).len(), before);
    for number in 1.. {
        let Some(shipment) = cloud.next(number, 500).unwrap() else { break };
        cloud.acknowledge(shipment.number).unwrap();
    }
    assert_eq!(segment_files(&folder).len(), 1);
    // And the next start goes on after it.
    drop((cloud, follower));
    spool.append(&points(4_000..4_001), &[]).unwrap();
    let mut cloud = CloudReader::open(spool).unwrap();
    assert_eq!(cloud.next(100, 500).unwrap().unwrap().points.at, [4_000]);
}

#[test]
fn the_cloud_gets_the_newest_first_then_the_oldest() {
    let dir = TempDir::new().unwrap();
    let spool = spool(dir.path(), "main", 1 << 20);
    let mut cloud = CloudReader::open(spool.clone()).unwrap();
    for i in 0..100 {
        spool.append(&points(i * 10..i * 10 + 10), &[]).unwrap();
    }
    assert_eq!(cloud.backlog().unwrap(), Backlog { points: 1_000, oldest: Some(0) });
    let first = cloud.next(1, 50).unwrap().unwrap();
    assert_eq!(first.points.at, (950..1_000).collect::<Vec<_>>());
    // The same until it is settled, whatever came since and whoever asks.
    spool.append(&points(1_000..1_020), &[]).unwrap();
    drop(cloud);
    let mut cloud = CloudReader::open(spool.clone()).unwrap();
    assert_eq!(cloud.under_way(), Some(1));
    assert!(matches!(cloud.next(2, 50), Err(SpoolError::UnderWay { pending: 1, asked: 2 })));
    assert_eq!(cloud.next(1, 50).unwrap().unwrap().points, first.points);
    cloud.acknowledge(1).unwrap();
    cloud.acknowledge(1).unwrap();
    let second = cloud.next(2, 50).unwrap().unwrap();
    assert_eq!(second.points.at, (0..30).chain(1_000..1_020).collect::<Vec<_>>());
    cloud.acknowledge(2).unwrap();
    assert_eq!(cloud.backlog().unwrap(), Backlog { points: 920, oldest: Some(30) });
}

#[test]
fn a_damaged_state_file_loses_loudly_and_doubles_nothing() {
    let dir = TempDir::new().unwrap();
    let spool = small(dir.path());
    let mut cloud = CloudReader::open(spool.clone()).unwrap();
    spool.append(&points(0..30), &[]).unwrap();
    cloud.next(1, 100).unwrap().unwrap();
    drop(cloud);
    put(dir.path().join(CLOUD_FILE), b"00000000 {}");
    let mut cloud = CloudReader::open(spool.clone()).unwrap();
    spool.append(&points(30..40), &[]).unwrap();
    let shipment = cloud.next(2, 100).unwrap().unwrap();
    assert_eq!(shipment.points.at, (30..40).collect::<Vec<_>>());
    assert_eq!(shipment.gaps.iter().map(|g| g.points).sum::<u64>(), 30);
    cloud.acknowledge(2).unwrap();
    assert!(cloud.next(3, 100).unwrap().is_none());
}

#[test]
fn a_folder_made_anew_is_read_from_its_start() {
    let dir = TempDir::new().unwrap();
    let first = small(dir.path());
    first.append(&points(0..3), &[]).unwrap();
    let mut follower = follow(&first);
    let cursors = follower.read(10).unwrap().cursors;
    drop((first, follower));
    fs::remove_dir_all(dir.path().join("main")).unwrap();
    // The clock stands earlier than it did for the folder that was deleted.
    let limits = Limits { max_bytes: 64 << 10, ..Limits::default() };
    let again = Spool::open(dir.path(), limits, ManualClock::new(Timestamp(NOW - 60_000_000_000))).unwrap();
    again.append(&points(3..5), &[]).unwrap();
    let mut follower = Follower::new(again, cursors).unwrap();
    assert_eq!(read_all(&mut follower, 10), (vec![3, 4], 0));
}

#[test]
fn a_folder_has_one_writer_and_the_next_waits_until_it_is_gone() {
    let dir = TempDir::new().unwrap();
    let first = small(dir.path());
    first.append(&points(0..3), &[]).unwrap();
    let limits = Limits { max_bytes: 64 << 10, ..Limits::default() };
    let clock = ManualClock::new(Timestamp(NOW));
    let refused = Spool::open(dir.path(), limits.clone(), clock.clone());
    assert!(matches!(refused, Err(SpoolError::Taken(_))));
    let root = dir.path().to_owned();
    let next = std::thread::spawn(move || Spool::open(&root, limits, clock).unwrap());
    first.append(&points(3..5), &[]).unwrap();
    drop(first);
    let next = next.join().unwrap();
    next.append(&points(5..6), &[]).unwrap();
    assert_eq!(read_all(&mut follow(&next), 10), ((0..6).collect(), 0));
}

#[test]
fn a_writer_that_was_killed_loses_nothing_acknowledged() {
    if let Ok(root) = std::env::var("SENT_TEST_SPOOL") {
        return append_until_killed(Path::new(&root));
    }
    let dir = TempDir::new().unwrap();
    let mut acknowledged = 0;
    let mut follower_cursors = BTreeMap::new();
    let mut times = Vec::new();
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "spool::tests::a_writer_that_was_killed_loses_nothing_acknowledged", "--nocapture"])
            .env("SENT_TEST_SPOOL", dir.path())
            .env("SENT_TEST_FIRST", (round * 1_000_000).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = 0;
        for line in lines {
            // The harness writes its own lines too, and a killed writer may leave half of one.
            if let Some(n) = line.unwrap().rsplit_once("acknowledged ").and_then(|(_, n)| n.parse::<i64>().ok()) {
                last = n;
                if n > 300 + round * 97 {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged += last;
        let spool = spool(dir.path(), "main", 16 << 20);
        let mut follower = Follower::new(spool, follower_cursors.clone()).unwrap();
        loop {
            let batch = follower.read(1_000).unwrap();
            if batch.is_empty() {
                break;
            }
            follower.advance(&batch).unwrap();
            follower_cursors.extend(batch.cursors.clone());
            assert_eq!(batch.gaps, []);
            times.extend(batch.points.at.clone());
        }
        assert!((0..last).all(|i| times.contains(&(round * 1_000_000 + i))));
    }
    assert!(times.len() as i64 >= acknowledged);
    assert_eq!(times.iter().collect::<HashSet<_>>().len(), times.len());
}

fn append_until_killed(root: &Path) {
    let first: i64 = std::env::var("SENT_TEST_FIRST").unwrap().parse().unwrap();
    let spool = spool(root, "main", 16 << 20);
    for i in 0..200_000 {
        spool.append(&points(first + i..first + i + 1), &[]).unwrap();
        println!("acknowledged {}", i + 1);
    }
}

#[test]
fn a_full_disk_says_so_and_keeps_what_it_acknowledged() {
    if let Ok(root) = std::env::var("SENT_TEST_FULL") {
        return append_until_full(Path::new(&root));
    }
    // In a process of its own: the limit on the size of its files stands in for a disk that is full in mid-block.
    let dir = TempDir::new().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "spool::tests::a_full_disk_says_so_and_keeps_what_it_acknowledged"])
        .env("SENT_TEST_FULL", dir.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let spool = spool(dir.path(), "main", 16 << 20);
    spool.append(&points(1_000..1_010), &[]).unwrap();
    let (times, lost) = read_all(&mut follow(&spool), 1_000);
    let stored: i64 = fs::read_to_string(dir.path().join("stored")).unwrap().parse().unwrap();
    assert_eq!((times, lost), ((0..stored).chain(1_000..1_010).collect(), 0));
}

fn append_until_full(root: &Path) {
    use nix::sys::{
        resource::{Resource, setrlimit},
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
    };
    let spool = spool(root, "main", 16 << 20);
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGXFSZ);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 3_000, 3_000).unwrap();
    let mut stored = 0;
    for i in 0..100 {
        match spool.append(&points(i * 10..i * 10 + 10), &[]) {
            Ok(()) => stored = i * 10 + 10,
            Err(error) => {
                assert!(matches!(error, AppendError { stored: 0, cause: SpoolError::Full }), "{error}");
                break;
            }
        }
    }
    assert!(stored > 0);
    // What was acknowledged can be read while the disk is full.
    assert_eq!(read_all(&mut follow(&spool), 1_000), ((0..stored).collect(), 0));
    put(root.join("stored"), stored.to_string());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// A flipped bit costs the block it is in, and the count of what it cost is exact.
    #[test]
    fn damage_costs_its_block(sizes in prop::collection::vec(1..60i64, 2..40), hits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..8u8), 1..4)) {
        let dir = TempDir::new().unwrap();
        let spool = small(dir.path());
        let mut total = 0;
        for size in sizes {
            spool.append(&points(total..total + size), &[]).unwrap();
            total += size;
        }
        // One more block that stays whole, so that nothing is at the open end.
        spool.append(&points(total..total + 1), &[]).unwrap();
        let folder = dir.path().join("main");
        let last_header = {
            let files = segment_files(&folder);
            (files.last().unwrap().clone(), fs::metadata(files.last().unwrap()).unwrap().len() - (44 + 17))
        };
        let mut hit = HashSet::new();
        for (file, byte, bit) in hits {
            let path = file.get(&segment_files(&folder)).clone();
            let end = if path == last_header.0 { last_header.1 } else { fs::metadata(&path).unwrap().len() };
            let at = byte.index(end as usize) as u64;
            let first = u64::from_str_radix(path.file_stem().unwrap().to_str().unwrap(), 16).unwrap();
            let handle = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            // Which block that is, before anything is damaged.
            let mut found = [0];
            handle.read_exact_at(&mut found, at).unwrap();
            hit.insert((path, first, at, bit));
        }
        let mut expected: Vec<i64> = (0..=total).collect();
        for (path, first, at, _) in &hit {
            let mut index = segment::Index::open(path, *first).unwrap();
            index.extend(None).unwrap();
            let block = index.entries().iter().rev().find(|e| e.offset.is_some_and(|o| o <= *at));
            if let Some(block) = block {
                expected.retain(|t| !(block.from..=block.to).contains(t));
            }
        }
        for (path, _, at, bit) in &hit {
            let handle = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
            let mut byte = [0];
            handle.read_exact_at(&mut byte, *at).unwrap();
            handle.write_all_at(&[byte[0] ^ (1 << bit)], *at).unwrap();
        }
        let (times, lost) = read_all(&mut follow(&spool), 50);
        prop_assert_eq!(times.len() as u64 + lost, total as u64 + 1);
        prop_assert_eq!(times, expected);
    }

    /// A file cut anywhere, as after a power cut, gives its whole blocks; the next writer goes on after them.
    #[test]
    fn a_torn_tail_is_cut(sizes in prop::collection::vec(1..30i64, 1..10), cut in any::<prop::sample::Index>()) {
        let dir = TempDir::new().unwrap();
        let mut total = 0;
        let mut ends = vec![(8u64, 0i64)];
        let folder = dir.path().join("main");
        {
            let spool = spool(dir.path(), "main", 16 << 20);
            for size in &sizes {
                spool.append(&points(total..total + size), &[]).unwrap();
                total += size;
                ends.push((fs::metadata(&segment_files(&folder)[0]).unwrap().len(), total));
            }
        }
        let path = &segment_files(&folder)[0];
        let length = cut.index(ends.last().unwrap().0 as usize + 1) as u64;
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
        let whole = ends.iter().rev().find(|e| e.0 <= length).map_or(0, |e| e.1);
        let spool = spool(dir.path(), "main", 16 << 20);
        spool.append(&points(5_000..5_003), &[]).unwrap();
        let (times, lost) = read_all(&mut follow(&spool), 7);
        prop_assert_eq!(times, (0..whole).chain(5_000..5_003).collect::<Vec<_>>());
        prop_assert_eq!(lost, 0);
    }

    /// Whatever is lost on the way, dies in between or is dropped by the bound: the cloud counts each point once, as a
    /// point or in a gap.
    #[test]
    fn the_cloud_counts_each_point_once(steps in prop::collection::vec((0..8u8, 1..120i64), 1..80)) {
        let dir = TempDir::new().unwrap();
        let mut main = small(dir.path());
        let mut cloud = CloudReader::open(main.clone()).unwrap();
        let (mut total, mut committed) = (0i64, 0u64);
        let (mut times, mut lost) = (HashSet::new(), 0u64);
        let mut ahead: Option<Shipment> = None;
        let receive = |shipment: &Shipment, times: &mut HashSet<i64>, lost: &mut u64| {
            for at in &shipment.points.at {
                assert!(times.insert(*at), "{at} came twice");
            }
            *lost += shipment.gaps.iter().map(|g| g.points).sum::<u64>();
        };
        for (step, size) in steps {
            match step {
                0..=3 => {
                    for part in 0..step as i64 * 3 + 1 {
                        main.append(&points(total..total + size + part), &[]).unwrap();
                        total += size + part;
                    }
                }
                // Sent and acknowledged; committed but the answer lost; never arrived.
                4..=6 => {
                    // What was read while the one before was under way goes next, if it still can.
                    let ready = ahead.take().filter(|_| cloud.under_way().is_none());
                    let shipment = match ready {
                        Some(shipment) if cloud.begin_ahead(committed + 1).unwrap() => Some(shipment),
                        _ => cloud.next(committed + 1, size as usize * 5).unwrap(),
                    };
                    if let Some(shipment) = shipment {
                        ahead = cloud.look_ahead(size as usize * 5).unwrap();
                        if step < 6 {
                            receive(&shipment, &mut times, &mut lost);
                            committed += 1;
                        }
                        if step == 4 {
                            cloud.acknowledge(committed).unwrap();
                        }
                    }
                    settle(&mut cloud, committed, step != 6);
                }
                _ => {
                    drop(cloud);
                    ahead = None;
                    drop(std::mem::replace(&mut main, spool(dir.path(), "other", 64 << 10)));
                    main = small(dir.path());
                    cloud = CloudReader::open(main.clone()).unwrap();
                    settle(&mut cloud, committed, true);
                }
            }
        }
        settle(&mut cloud, committed, true);
        while let Some(shipment) = cloud.next(committed + 1, 400).unwrap() {
            receive(&shipment, &mut times, &mut lost);
            committed += 1;
            cloud.acknowledge(committed).unwrap();
        }
        prop_assert_eq!(times.len() as u64 + lost, total as u64);
        prop_assert_eq!(cloud.backlog().unwrap().points, 0);
    }
}

/// What the sync agent does when it hears where the cloud stands.
fn settle(cloud: &mut CloudReader, committed: u64, heard: bool) {
    if heard && cloud.under_way().is_some_and(|n| n <= committed) {
        cloud.acknowledge(committed).unwrap();
    }
}
