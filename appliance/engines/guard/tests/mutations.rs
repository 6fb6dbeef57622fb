//! Real captures, changed at random: whatever comes of it, nothing panics and records can be written.

use std::io::Cursor;

use proptest::prelude::*;
use sent_guard::{
    capture::Reader,
    meter::{Limits, Meter},
    record::Record,
};

#[path = "corpus/captures.rs"]
mod captures;

/// Those that exercise parsers: each kind of capture, none of them large.
fn samples() -> &'static [Vec<u8>] {
    static SAMPLES: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    SAMPLES.get_or_init(|| {
        let read = |(_, file): (String, std::path::PathBuf)| std::fs::read(file).expect("a capture");
        captures::all().into_iter().map(read).filter(|bytes| (200..60_000).contains(&bytes.len())).collect()
    })
}

fn meter(bytes: &[u8]) {
    let mut meter = Meter::new(Limits::default());
    if let Ok(mut reader) = Reader::new(Cursor::new(bytes)) {
        while let Ok(Some(frame)) = reader.next() {
            meter.frame(&frame);
        }
    }
    meter.finish();
    while let Some(flow) = meter.finished() {
        serde_json::to_string(&Record::of(&flow)).expect("a record is JSON");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn changed_captures_are_read(
        sample in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..60),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = sample.get(samples()).clone();
        for (at, value) in changes {
            // The file's own header stays: what is behind it is to be read.
            let at = 24 + at.index(bytes.len() - 24);
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        meter(&bytes);
    }
}
