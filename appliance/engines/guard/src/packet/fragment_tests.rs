//! Fragments in every order, and against their policy.

use proptest::prelude::*;

use super::*;

fn key(identification: u32, six: bool) -> Key {
    Key { six, source: Address(1), destination: Address(2), protocol: 17, identification, vlan: 0 }
}

fn fragment(time: i64, offset: usize, more: bool, body: &[u8]) -> Fragment<'_> {
    let offset = u32::try_from(offset).expect("short");
    let octets = u32::try_from(body.len() + 20).expect("short");
    Fragment { time, offset, more, whole: true, body, octets }
}

#[test]
fn what_came_first_stays_in_ipv4_and_ends_ipv6() {
    for six in [false, true] {
        let mut reassembler = Reassembler::new(1 << 20);
        assert_eq!(reassembler.add(&key(1, six), &fragment(0, 0, true, b"firstone"), 17), None);
        assert_eq!(reassembler.add(&key(1, six), &fragment(0, 0, true, b"firstone"), 17), None, "a repetition");
        assert_eq!(reassembler.add(&key(1, six), &fragment(0, 0, true, b"OVERWRIT"), 17), None);
        let whole = reassembler.add(&key(1, six), &fragment(0, 8, false, b"end"), 17);
        assert_eq!(whole.map(|whole| whole.body), (!six).then(|| b"firstoneend".to_vec()));
        assert_eq!(reassembler.counts().overlaps, 2);
    }
}

#[test]
fn the_oldest_goes_when_room_is_needed_and_the_late_are_given_up() {
    let mut reassembler = Reassembler::new(16 << 10);
    for identification in 0..100 {
        reassembler.add(&key(identification, false), &fragment(0, 0, true, &[0; 1024]), 17);
        assert!(reassembler.held() <= 16 << 10);
    }
    assert!(reassembler.counts().evicted > 80);
    reassembler.add(&key(1000, false), &fragment(PATIENCE, 0, true, &[0; 8]), 17);
    assert!(reassembler.held() < 1024);
}

proptest! {
    /// Any order, any repetition: the datagram is what was sent, once its last piece is there.
    #[test]
    fn any_order_gives_the_datagram(
        length in 1usize..2000,
        cuts in prop::collection::vec(1usize..40, 0..10),
        six in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let sent: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).expect("below 256")).collect();
        let mut bounds = vec![0];
        for cut in cuts {
            let next = bounds[bounds.len() - 1] + cut * 8;
            if next < length { bounds.push(next); }
        }
        bounds.push(length);
        let mut pieces: Vec<_> = bounds.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let count = pieces.len();
        // A permutation out of the seed.
        for at in (1..count).rev() {
            let other = usize::try_from(seed.rotate_left(u32::try_from(at).expect("few")) % (at as u64 + 1)).expect("few");
            pieces.swap(at, other);
        }
        let mut reassembler = Reassembler::new(1 << 20);
        for (index, (start, end)) in pieces.iter().enumerate() {
            let whole = reassembler.add(&key(9, six), &fragment(0, *start, *end < length, &sent[*start..*end]), 6);
            if index + 1 < count {
                prop_assert_eq!(whole, None);
            } else {
                let whole = whole.expect("all pieces are there");
                prop_assert_eq!(&whole.body, &sent);
                prop_assert_eq!(whole.packets as usize, count);
            }
        }
        prop_assert_eq!(reassembler.held(), 0);
    }

    #[test]
    fn nonsense_stays_in_its_bounds(
        pieces in prop::collection::vec((0u32..70_000, any::<bool>(), 0usize..100, 0u32..4, any::<bool>()), 0..300),
    ) {
        let mut reassembler = Reassembler::new(64 << 10);
        let body = [1; 100];
        for (index, (offset, more, length, identification, six)) in pieces.into_iter().enumerate() {
            let fragment = Fragment { offset, ..fragment(index as i64, 0, more, &body[..length]) };
            reassembler.add(&key(identification, six), &fragment, 17);
            prop_assert!(reassembler.held() <= 64 << 10);
        }
    }
}
