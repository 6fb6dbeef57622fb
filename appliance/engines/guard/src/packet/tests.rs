//! Any bytes under any link type end, and what is wrapped comes out.

use proptest::prelude::*;

use super::*;

/// Protocol, ports, tunnel, payload.
type Found = (u8, u16, u16, Option<Tunnel>, Vec<u8>);

#[derive(Default)]
struct Collected(Vec<Found>);

impl Sink for Collected {
    fn datagram(&mut self, datagram: &Datagram<'_>) {
        let (source, destination) = (datagram.source_port, datagram.destination_port);
        self.0.push((datagram.protocol, source, destination, datagram.tunnel, datagram.payload.to_vec()));
    }
}

fn decode(link: u16, data: &[u8]) -> (Collected, Counts) {
    let (mut decoder, mut found) = (Decoder::new(1 << 20), Collected::default());
    let length = u32::try_from(data.len()).expect("short");
    decoder.frame(&Frame { time: 0, link, length, data }, &mut found);
    (found, decoder.counts())
}

fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).expect("short");
    [&source.to_be_bytes()[..], &destination.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

fn four(protocol: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 20).expect("short").to_be_bytes();
    [&[0x45, 0][..], &length, &[0, 1, 0, 0, 64, protocol, 0, 0], &[10, 0, 0, 1], &[10, 0, 0, 2], body].concat()
}

fn six(next: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    [&[0x60, 0, 0, 0][..], &length, &[next, 64], &[1; 16], &[2; 16], body].concat()
}

fn ethernet(kind: u16, body: &[u8]) -> Vec<u8> {
    [&[1; 6][..], &[2; 6], &kind.to_be_bytes(), body].concat()
}

#[test]
fn what_is_wrapped_comes_out_with_its_wrapping_before_it() {
    let inner = four(UDP, &udp(1000, 2000, b"hello"));
    let frame = ethernet(0x0800, &inner);
    let tagged = ethernet(0x88a8, &[&[0, 5, 0x81, 0, 0, 7, 8, 0][..], &inner].concat());
    let mpls = ethernet(0x8847, &[&[0, 0, 0x10, 64, 0, 0, 0x21, 64, 0, 0, 0, 0][..], &frame].concat());
    let pppoe = ethernet(0x8864, &[&[0x11, 0, 0, 1, 0, 0, 0, 0x21][..], &inner].concat());
    let vxlan = four(UDP, &udp(9, 4789, &[&[8, 0, 0, 0, 0, 0, 1, 0][..], &frame].concat()));
    let geneve = four(UDP, &udp(9, 6081, &[&[1, 0, 0x65, 0x58, 0, 0, 1, 0, 1, 2, 3, 4][..], &frame].concat()));
    let gre = four(47, &[&[0x30, 0, 8, 0, 1, 2, 3, 4, 0, 0, 0, 9][..], &inner].concat());
    let erspan = four(47, &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], &frame].concat());
    let gtp =
        four(UDP, &udp(2152, 2152, &[&[0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 9, 0][..], &inner].concat()));
    let teredo =
        four(UDP, &udp(3544, 9, &[&[0, 0, 1, 2, 3, 4, 5, 6][..], &six(UDP, &udp(1000, 2000, b"hello"))].concat()));
    let extended = six(
        0,
        &[&[60, 0, 1, 4, 0, 0, 0, 0][..], &[51, 0, 1, 4, 0, 0, 0, 0], &[UDP, 4], &[0; 22], &udp(1000, 2000, b"hello")]
            .concat(),
    );
    let cases: [(u16, Vec<u8>, Option<Tunnel>); 13] = [
        (1, frame.clone(), None),
        (1, tagged, None),
        (1, mpls, None),
        (1, pppoe, None),
        (101, inner.clone(), None),
        (0, [&[2, 0, 0, 0][..], &inner].concat(), None),
        (101, vxlan, Some(Tunnel::Vxlan)),
        (101, geneve, Some(Tunnel::Geneve)),
        (101, gre, Some(Tunnel::Gre)),
        (101, erspan, Some(Tunnel::Erspan)),
        (101, gtp, Some(Tunnel::Gtp)),
        (101, teredo, Some(Tunnel::Teredo)),
        (101, extended, None),
    ];
    for (index, (link, data, tunnel)) in cases.iter().enumerate() {
        let (found, counts) = decode(*link, data);
        let last = found.0.last().unwrap_or_else(|| panic!("case {index} is empty: {counts:?}"));
        assert_eq!(last, &(UDP, 1000, 2000, *tunnel, b"hello".to_vec()), "case {index}");
        assert_eq!(found.0.len(), if tunnel.is_some() { 2 } else { 1 }, "case {index}");
        assert_eq!(counts.malformed + counts.cut, 0, "case {index}");
    }
}

#[test]
fn nesting_ends() {
    let mut packet = four(UDP, &udp(1, 2, b""));
    for _ in 0..40 {
        packet = four(4, &packet);
    }
    let (found, counts) = decode(101, &packet);
    assert_eq!(counts.too_deep, 1);
    assert_eq!(found.0.len(), usize::from(DEPTH) + 1);
}

proptest! {
    #[test]
    fn any_bytes_end(
        link in prop::sample::select(vec![0u16, 1, 9, 10, 50, 51, 101, 104, 105, 108, 113, 119, 127, 163, 192, 228, 239, 274, 276, 999]),
        data in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        decode(link, &data);
    }

    #[test]
    fn any_bytes_behind_an_address_end(
        kind in prop::sample::select(vec![0x0800u16, 0x86dd, 0x8100, 0x8847, 0x8864, 0x88e7, 0x8903, 0x8926, 0x0806, 40]),
        first in prop::sample::select(vec![0x45u8, 0x60, 0x4f, 0x00]),
        protocol in prop::sample::select(vec![0u8, 1, 4, 6, 17, 41, 43, 44, 47, 51, 58, 60, 132, 135]),
        mut data in prop::collection::vec(any::<u8>(), 40..300),
    ) {
        data[0] = first;
        data[if first == 0x60 { 6 } else { 9 }] = protocol;
        decode(1, &ethernet(kind, &data));
    }
}
