//! Streams in every order. HTTP is spoken, since it tells what arrived.

use proptest::prelude::*;

use super::*;

const PORTS: [u16; 2] = [40_000, 80];
const BASE: u32 = u32::MAX - 20;

fn speak(segments: &[(u32, &[u8])]) -> Option<String> {
    let mut conversation = Conversation::default();
    for (sequence, bytes) in segments {
        conversation.segment(Side::Initiator, BASE, BASE.wrapping_add(*sequence), bytes, 0, PORTS);
    }
    conversation.finish(PORTS);
    let (_, facts) = conversation.into_parts();
    facts?.http.first()?.target.clone()
}

#[test]
fn repetitions_do_not_change_what_was_said() {
    let said = speak(&[(0, b"GET /first"), (5, b"SECOND HTTP/1.1\r\n\r\n"), (10, b" HTTP/1.1\r\n\r\n")]);
    // "SECON" was there already; its tail was not.
    assert_eq!(said.as_deref(), Some("/firstD"));
    let early = speak(&[(10, b" HTTP/1.1\r\n\r\n"), (4, b"/bytesEVIL HTTP/1.0\r\n\r\n"), (0, b"GET ")]);
    assert_eq!(early.as_deref(), Some("/bytes"));
}

#[test]
fn behind_a_gap_the_stream_goes_on() {
    let mut conversation = Conversation::default();
    conversation.segment(Side::Initiator, 0, 0, b"GET /x HTTP/1.1\r\n\r\n", 0, PORTS);
    for index in 0..1000u32 {
        conversation.segment(Side::Responder, 0, 100 + index * 1000, &[b'x'; 1000], 0, PORTS);
        assert!(conversation.heap() < 2 * EARLY + HELD + (16 << 10), "{}", conversation.heap());
    }
}

#[test]
fn what_the_capture_cut_is_not_waited_for() {
    let mut conversation = Conversation::default();
    conversation.segment(Side::Responder, 0, 0, b"220 mx ESMTP\r\n250-first, then cut", 500, [40_000, 25]);
    let next = u32::try_from(b"220 mx ESMTP\r\n250-first, then cut".len()).expect("short") + 500;
    conversation.segment(Side::Responder, 0, next, b"250 on\r\n", 0, [40_000, 25]);
    assert!(conversation.directions[1].early.is_empty());
    assert_eq!(conversation.directions[1].next, Some(next + 8));
}

proptest! {
    #[test]
    fn any_order_gives_the_stream(
        cuts in prop::collection::vec(1usize..12, 1..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 12),
        repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let sent = b"GET /the/whole/path/as/it/was/sent HTTP/1.1\r\nHost: office.example\r\n\r\n";
        let mut bounds = vec![0];
        for cut in cuts {
            let next = bounds[bounds.len() - 1] + cut;
            if next < sent.len() { bounds.push(next); }
        }
        bounds.push(sent.len());
        let mut pieces: Vec<_> = bounds.windows(2).map(|pair| (u32::try_from(pair[0]).expect("short"), &sent[pair[0]..pair[1]])).collect();
        for (at, index) in order.iter().enumerate().take(pieces.len()) {
            let other = index.index(pieces.len());
            pieces.swap(at, other);
        }
        for index in repeats {
            let piece = pieces[index.index(pieces.len())];
            let at = index.index(pieces.len());
            pieces.insert(at, piece);
        }
        let said = speak(&pieces);
        prop_assert_eq!(said.as_deref(), Some("/the/whole/path/as/it/was/sent"));
    }

    #[test]
    fn nonsense_stays_in_its_bounds(
        segments in prop::collection::vec((any::<bool>(), 0u32..200_000, prop::collection::vec(any::<u8>(), 0..600)), 0..200),
    ) {
        let mut conversation = Conversation::default();
        for (side, sequence, bytes) in segments {
            let side = if side { Side::Initiator } else { Side::Responder };
            conversation.segment(side, BASE, BASE.wrapping_add(sequence), &bytes, 0, PORTS);
            prop_assert!(conversation.heap() < 2 * (EARLY + HELD) + (64 << 10));
        }
        conversation.finish(PORTS);
    }
}
