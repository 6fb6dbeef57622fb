//! Who goes first, and when.

use super::*;
use crate::packet::{Address, TCP, UDP};

fn datagram(time: i64, source: (u128, u16), destination: (u128, u16), protocol: u8, flags: u8) -> Datagram<'static> {
    Datagram {
        time,
        six: false,
        source: Address(source.0),
        destination: Address(destination.0),
        protocol,
        hops: 64,
        source_port: source.1,
        destination_port: destination.1,
        segment: (protocol == TCP).then_some(Segment { sequence: 0, acknowledgement: 0, flags, window: 0 }),
        payload: &[],
        cut: 0,
        packets: 1,
        octets: 40,
        vlan: 0,
        tunnel: None,
        carries: None,
        macs: None,
    }
}

fn drain(table: &mut Table) -> Vec<Flow> {
    std::iter::from_fn(|| table.finished()).collect()
}

#[test]
fn a_flood_of_syns_evicts_itself_and_is_counted() {
    let limits = Limits { flows: 100, ..Limits::default() };
    let mut table = Table::new(limits);
    table.datagram(&datagram(0, (1, 1000), (2, 443), TCP, Segment::SYN));
    table.datagram(&datagram(1, (2, 443), (1, 1000), TCP, Segment::SYN | Segment::ACK));
    table.datagram(&datagram(2, (3, 5000), (4, 53), UDP, 0));
    table.datagram(&datagram(3, (4, 53), (3, 5000), UDP, 0));
    for source in 0..10_000 {
        table.datagram(&datagram(4, (100 + source, 9), (2, 443), TCP, Segment::SYN));
        assert!(table.len() <= 100);
    }
    let evicted = drain(&mut table);
    assert_eq!(evicted.len(), 10_002 - 100);
    assert!(evicted.iter().all(|flow| flow.state == State::Unanswered));
    assert_eq!(table.counts().evicted_unanswered, 10_002 - 100);
    table.finish();
    let answered = drain(&mut table).iter().filter(|flow| flow.state == State::Answered).count();
    assert_eq!(answered, 2, "the office's own flows are still there");
}

#[test]
fn memory_is_a_bound_of_its_own() {
    let limits = Limits { memory: 50 * Table::FLOW, ..Limits::default() };
    let mut table = Table::new(limits);
    for source in 0..500 {
        table.datagram(&datagram(0, (source, 9), (2, 443), UDP, 0));
        assert!(table.held() <= limits.memory);
    }
}

#[test]
fn silence_ends_flows_and_a_port_used_again_begins_one() {
    let mut table = Table::new(Limits::default());
    table.datagram(&datagram(0, (1, 1000), (2, 80), TCP, Segment::SYN));
    table.datagram(&datagram(1, (2, 80), (1, 1000), TCP, Segment::RST | Segment::ACK));
    table.datagram(&datagram(2, (1, 1000), (2, 80), TCP, Segment::SYN));
    let first = drain(&mut table);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].state, State::Refused);
    table.tick(31 * SECOND);
    assert_eq!(drain(&mut table).len(), 1);
    assert!(table.is_empty());
}

#[test]
fn a_long_flow_is_told_in_parts_that_add_up() {
    let mut table = Table::new(Limits { part: 60, ..Limits::default() });
    table.datagram(&datagram(0, (1, 1000), (2, 80), TCP, Segment::SYN));
    table.datagram(&datagram(1, (2, 80), (1, 1000), TCP, Segment::SYN | Segment::ACK));
    for time in 1..=200 {
        table.datagram(&datagram(time * SECOND, (1, 1000), (2, 80), TCP, Segment::ACK));
    }
    table.finish();
    let parts = drain(&mut table);
    assert_eq!(parts.iter().map(|flow| flow.part).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(parts.iter().map(|flow| flow.sides[0].packets + flow.sides[1].packets).sum::<u64>(), 202);
    assert!(parts.iter().all(|flow| flow.initiator() == (Address(1), 1000) && flow.state == State::Answered));
    assert!(parts.windows(2).all(|pair| pair[0].end <= pair[1].start));
}

#[test]
fn a_clock_that_is_set_back_stops_nothing() {
    let mut table = Table::new(Limits::default());
    table.datagram(&datagram(4_000_000_000 * SECOND, (9, 9), (8, 8), UDP, 0));
    for time in 0..3 {
        table.datagram(&datagram(time, (1, 1000), (2, 80), UDP, 0));
    }
    let ended = drain(&mut table);
    assert_eq!(ended.len(), 1, "only what is of another time ends");
    table.finish();
    assert_eq!(drain(&mut table)[0].sides[0].packets, 3);
}

#[test]
fn whoever_answers_a_syn_did_not_begin() {
    let mut table = Table::new(Limits::default());
    table.datagram(&datagram(0, (2, 80), (1, 1000), TCP, Segment::SYN | Segment::ACK));
    table.datagram(&datagram(1, (1, 1000), (2, 80), TCP, Segment::ACK));
    table.finish();
    let flows = drain(&mut table);
    assert_eq!(flows[0].initiator(), (Address(1), 1000));
    assert_eq!((flows[0].sides[0].packets, flows[0].sides[1].packets), (1, 1));
}
