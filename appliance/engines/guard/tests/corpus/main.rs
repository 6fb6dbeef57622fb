//! Every capture of the corpus is read: within a fixed bound of memory, and with tshark's answers.

mod answers;
mod captures;
mod memory;

use std::path::Path;

use sent_guard::{
    cli,
    flow::Flow,
    meter::{Limits, Meter},
    record::Record,
};

/// Reads a capture and hands its flows over; what is wrong with the file's end is no matter here.
fn flows(file: &Path, limits: Limits, mut each: impl FnMut(&Flow)) {
    let mut meter = Meter::new(limits);
    if let Ok(mut reader) = cli::open(file) {
        while let Ok(Some(frame)) = reader.next() {
            meter.frame(&frame);
            while let Some(flow) = meter.finished() {
                each(&flow);
            }
        }
    }
    meter.finish();
    while let Some(flow) = meter.finished() {
        each(&flow);
    }
}

#[test]
fn every_capture_is_read_and_every_flow_can_be_written() {
    let captures = captures::all();
    assert_eq!(captures.len(), 805);
    let mut written = 0;
    for (name, file) in &captures {
        flows(file, Limits::default(), |flow| {
            let line = serde_json::to_value(Record::of(flow)).expect("a record is JSON");
            assert!(line["community_id"].as_str().is_some_and(|id| id.starts_with("1:")), "{name}");
            assert!(line["packets"].as_u64() > Some(0), "{name}");
            written += 1;
        });
    }
    assert!(written > 5_000, "{written} flows");
}
