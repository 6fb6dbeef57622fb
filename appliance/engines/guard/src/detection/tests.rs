//! Trouble is told, and what only looks a little like it is not.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::{
    frames::{self, Wire, arp, dhcp, dns, echo, inside, outside, tcp, udp},
    packet::Segment,
};

fn kinds(found: &[Detection]) -> Vec<Kind> {
    found.iter().map(|detection| detection.kind).collect()
}

fn wire() -> Wire {
    Wire::new(&Settings::default())
}

#[test]
fn many_ports_that_refuse_are_a_scan_and_are_told_once() {
    let mut wire = wire();
    for port in 1..=200 {
        wire.send(&tcp((inside(7), 40_000), (inside(9), port), 0, Segment::SYN, &[]), 1);
        wire.send(&tcp((inside(9), port), (inside(7), 40_000), 0, Segment::RST | Segment::ACK, &[]), 1);
    }
    let found = wire.finish();
    assert_eq!(kinds(&found), [Kind::Scan]);
    assert_eq!(found[0].title, "192.168.1.7 tries the ports of 192.168.1.9");
    assert_eq!(found[0].severity, Severity::High);
    assert_eq!(found[0].mac, Some(Mac(inside(7).mac)));
}

#[test]
fn many_hosts_that_do_not_answer_are_a_scan() {
    let mut wire = wire();
    for host in 1..=40 {
        wire.send(&tcp((outside(7), 40_000), (inside(host), 445), 0, Segment::SYN, &[]), 1);
    }
    for host in 41..=80 {
        wire.send(&echo(inside(8), inside(host)), 1);
    }
    let found = wire.finish();
    assert_eq!(kinds(&found), [Kind::Scan, Kind::Scan]);
    assert_eq!((found[0].port, found[0].severity), (Some(445), Severity::Medium));
    assert_eq!(found[1].title, "192.168.1.8 looks for hosts: echo requests");
}

#[test]
fn arp_for_addresses_that_nobody_has_is_a_scan_and_a_busy_router_is_none() {
    let mut wire = wire();
    for host in 2..=100 {
        wire.send(&arp(2, inside(host), inside(1)), 1);
    }
    for host in 2..=100 {
        wire.send(&arp(1, inside(1), inside(host)), 1);
    }
    for host in 100..=200 {
        wire.send(&arp(1, inside(50), inside(host)), 1);
    }
    let found = wire.finish();
    assert_eq!(kinds(&found), [Kind::Scan]);
    assert_eq!(found[0].mac, Some(Mac(inside(50).mac)));
}

#[test]
fn a_page_with_a_hundred_hosts_is_no_scan() {
    let mut wire = wire();
    for host in 1..=100 {
        wire.talk((inside(7), 40_000 + u16::from(host)), (outside(host), 443), b"hello", b"hello yourself");
    }
    assert_eq!(kinds(&wire.finish()), []);
}

#[test]
fn calls_like_clockwork_are_a_beacon_and_calls_of_people_are_none() {
    let mut wire = wire();
    for call in 0..14u16 {
        wire.talk((inside(7), 40_000 + call), (outside(66), 443), &[7; 120], &[8; 90]);
        wire.now += (60 * 1_000 + i64::from(call % 3) * 400) * 1_000_000;
    }
    // People come and go.
    for (call, pause) in [3, 90, 4, 600, 2, 2, 45, 7, 300, 12, 1_800, 5, 33, 8, 70].into_iter().enumerate() {
        let call = u16::try_from(call).expect("few");
        wire.talk((inside(8), 41_000 + call), (outside(66), 443), &vec![7; usize::from(call) * 40], &[8; 90]);
        wire.now += pause * 1_000_000_000;
    }
    let found = wire.finish();
    assert_eq!(kinds(&found), [Kind::Beacon]);
    assert_eq!(found[0].title, "192.168.1.7 calls 203.0.113.66 every 60 s");
}

#[test]
fn noise_in_names_is_a_tunnel_and_a_content_network_is_none() {
    let mut wire = wire();
    for number in 0..80u64 {
        let noise = hex::encode(hash(number).to_be_bytes()) + &hex::encode(hash(number + 1_000).to_be_bytes());
        wire.send(&udp((inside(7), 5_000), (inside(1), 53), &dns(&format!("{noise}.t.example.com"), &[])), 10);
        wire.send(&udp((inside(8), 5_000), (inside(1), 53), &dns(&format!("img{number}.cdn.example.net"), &[])), 10);
    }
    let found = wire.finish();
    assert_eq!(kinds(&found), [Kind::DnsTunnel]);
    assert_eq!(found[0].facts["domain"], "example.com");
    assert_eq!(found[0].source, Some(inside(7).address.into()));
}

#[test]
fn a_lot_that_goes_out_is_an_upload_under_the_name_that_was_looked_up() {
    let mut wire = Wire::new(&Settings {
        thresholds: Thresholds { upload_mib: 1, ..Thresholds::default() },
        ..Settings::default()
    });
    let answer = dns("drop.example.com", &[outside(9).address]);
    wire.send(&udp((inside(1), 53), (inside(7), 5_000), &answer), 1);
    for (from, to) in [((inside(7), 40_000), (outside(9), 443)), ((inside(8), 40_000), (inside(9), 445))] {
        for sequence in 0..1_000 {
            wire.send(&tcp(from, to, sequence * 1_200, Segment::ACK, &[7; 1_200]), 1);
            wire.send(&tcp(to, from, 0, Segment::ACK, &[]), 1);
        }
    }
    let found = wire.finish();
    assert_eq!(kinds(&found), [Kind::LargeUpload], "what stays inside is no upload");
    assert!(found[0].title.ends_with("to drop.example.com"), "{}", found[0].title);
}

#[test]
fn a_new_device_is_told_once_the_others_are_learnt() {
    let mut wire = wire();
    wire.send(&arp(1, inside(7), inside(1)), 1);
    wire.now += 25 * 3_600 * SECOND;
    wire.send(&arp(1, inside(7), inside(1)), 1);
    wire.send(&arp(1, inside(8), inside(1)), 1);
    wire.send(&arp(1, inside(8), inside(1)), 1);
    let found = wire.finish();
    assert_eq!(kinds(&found), [Kind::NewDevice]);
    assert_eq!((found[0].mac, found[0].source), (Some(Mac(inside(8).mac)), Some(inside(8).address.into())));
}

#[test]
fn a_second_dhcp_server_is_a_rogue_and_named_ones_are_not() {
    let offer = |server: frames::Host| {
        let option = [&[54, 4][..], &server.address.octets(), &[3, 4], &server.address.octets()].concat();
        udp((server, 67), (inside(7), 68), &dhcp(2, inside(7).mac, inside(7).address, &[&option]))
    };
    let mut first = wire();
    first.send(&offer(inside(1)), 1);
    first.send(&offer(inside(66)), 1);
    first.send(&offer(inside(1)), 1);
    let found = first.finish();
    assert_eq!(kinds(&found), [Kind::RogueDhcp]);
    assert_eq!(found[0].source, Some(inside(66).address.into()));
    assert_eq!(found[0].facts["routers it tells"], "192.168.1.66");

    let named = Settings { dhcp_servers: vec![inside(66).address, inside(1).address], ..Settings::default() };
    let mut second = Wire::new(&named);
    second.send(&offer(inside(1)), 1);
    second.send(&offer(inside(66)), 1);
    assert_eq!(kinds(&second.finish()), []);
}

#[test]
fn an_address_that_goes_back_and_forth_is_claimed_by_two_and_one_that_moves_is_not() {
    let liar = frames::Host { mac: inside(66).mac, ..inside(9) };
    let mut both = wire();
    for _ in 0..3 {
        both.send(&arp(2, inside(9), inside(7)), 1_000);
        both.send(&arp(2, liar, inside(7)), 1_000);
    }
    let found = both.finish();
    assert_eq!(kinds(&found), [Kind::ArpSpoofing]);
    assert_eq!(found[0].title, "two devices claim the address 192.168.1.9");

    let mut moved = wire();
    moved.send(&arp(2, inside(9), inside(7)), 1_000);
    moved.send(&arp(2, liar, inside(7)), 1_000);
    moved.send(&arp(2, liar, inside(7)), 1_000);
    assert_eq!(kinds(&moved.finish()), []);
}

#[test]
fn a_routers_address_does_not_move_at_all() {
    let mut wire = wire();
    let option = [&[54, 4][..], &inside(1).address.octets(), &[3, 4], &inside(1).address.octets()].concat();
    wire.send(&udp((inside(1), 67), (inside(7), 68), &dhcp(5, inside(7).mac, inside(7).address, &[&option])), 1);
    wire.send(&arp(2, inside(1), inside(7)), 1_000);
    wire.send(&arp(2, frames::Host { mac: inside(66).mac, ..inside(1) }, inside(7)), 1_000);
    let found = wire.finish();
    assert_eq!(kinds(&found), [Kind::ArpSpoofing]);
    assert!(found[0].title.starts_with("the router's address"), "{}", found[0].title);
}

#[test]
fn a_password_in_the_clear_names_its_user_and_is_not_kept() {
    let mut wire = wire();
    wire.talk(
        (inside(7), 40_000),
        (inside(9), 21),
        b"USER anna\r\nPASS hunter2\r\n",
        b"220 FTP ready\r\n331 go on\r\n",
    );
    wire.talk(
        (inside(7), 40_001),
        (outside(9), 80),
        b"GET / HTTP/1.1\r\nHost: web.example\r\nAuthorization: Basic YmVydDpodW50ZXIy\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    let found = wire.finish();
    assert_eq!(kinds(&found), [Kind::PlaintextPassword, Kind::PlaintextPassword]);
    assert_eq!((found[0].facts["user"].as_str(), found[0].severity), ("anna", Severity::Medium));
    assert_eq!((found[1].facts["user"].as_str(), found[1].severity), ("bert", Severity::High));
    assert!(found[1].title.contains("web.example"));
    assert!(!format!("{found:?}").contains("hunter2"));
}

#[test]
fn lists_name_addresses_networks_and_domains() {
    let list = lists::List::parse(
        "bad",
        "# a comment\n203.0.113.9\n198.51.100.0/24 ; a network\n0.0.0.0 evil.example\n*.worse.example\nnot an entry!\n\n",
    );
    assert_eq!((list.entries.len(), list.refused), (4, 1));
    let mut wire = wire();
    wire.watch.set_lists(Lists::new(vec![list]));
    wire.talk((inside(7), 40_000), (outside(9), 443), b"hi", b"ho");
    wire.talk((inside(8), 40_000), (outside(10), 443), b"hi", b"ho");
    wire.send(&udp((inside(8), 5_000), (inside(1), 53), &dns("www.worse.example", &[])), 1);
    wire.send(&udp((inside(8), 5_000), (inside(1), 53), &dns("notworse.example", &[])), 1);
    let found = wire.finish();
    assert_eq!(kinds(&found), [Kind::Listed, Kind::Listed]);
    assert_eq!(found[0].facts["entry"], "worse.example", "a name is told as it is looked up, a flow when it is over");
    assert_eq!((found[1].facts["entry"].as_str(), found[1].severity), ("203.0.113.9", Severity::High));
}

#[test]
fn what_is_to_be_ignored_is_no_detection() {
    let mut wire = Wire::new(&Settings { ignore: vec!["203.0.113.0/24".into()], ..Settings::default() });
    for call in 0..14u16 {
        wire.talk((inside(7), 40_000 + call), (outside(66), 443), &[7; 120], &[8; 90]);
        wire.now += 60 * SECOND;
    }
    assert_eq!(kinds(&wire.finish()), []);
}

#[test]
fn certificates_say_what_is_wrong_with_them() {
    use crate::app::certificate::Certificate;
    let now = 1_795_435_200;
    let good = Certificate { subject: "CN=a".into(), not_after: now + 90 * 86_400, ..Certificate::default() };
    let words = |certificate: &Certificate, own| {
        let faults = certificates::faults(certificate, now, 14, own);
        faults.into_iter().map(|(_, words)| words).collect::<Vec<_>>()
    };
    assert_eq!(words(&good, true), [""; 0]);
    let soon = Certificate { not_after: now + 5 * 86_400 + 60, ..good.clone() };
    assert_eq!(words(&soon, true), ["ends in 5 days"]);
    assert_eq!(words(&soon, false), [""; 0], "others mend their own");
    let bad = Certificate {
        not_after: now - 2 * 86_400,
        self_signed: true,
        weak: vec!["rsa key of 1024 bits".into()],
        ..good.clone()
    };
    assert_eq!(words(&bad, true), ["ended 2 days ago", "signs itself", "is weak: rsa key of 1024 bits"]);
    assert_eq!(words(&bad, false), ["ended 2 days ago", "signs itself"]);
}

#[test]
fn the_same_trouble_is_counted_and_told_again_after_a_while() {
    let mut wire = wire();
    let login = |wire: &mut Wire| {
        wire.talk((inside(7), 40_000), (inside(9), 21), b"USER anna\r\nPASS x\r\n", b"220 FTP ready\r\n331 go on\r\n");
    };
    login(&mut wire);
    wire.wait(600);
    login(&mut wire);
    wire.wait(3_600);
    assert_eq!(wire.watch.untold(), (1, 0));
    login(&mut wire);
    assert_eq!(kinds(&wire.finish()), [Kind::PlaintextPassword; 2]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is sent, from however many: what is remembered is bounded, and nothing panics.
    #[test]
    fn floods_are_forgotten(seed in any::<u64>(), spread in 1u32..100_000) {
        let mut wire = wire();
        for number in 0..3_000u32 {
            let random = hash((seed, number));
            let [a, b, c, d, port, kind, ..] = random.to_be_bytes();
            let host = frames::Host {
                mac: [0, 0x16, a, b, c, d],
                address: Ipv4Addr::from(0xc0a8_0000 | (u32::from_be_bytes([a, b, c, d]) % spread)),
            };
            let to = inside(port);
            let frame = match kind % 5 {
                0 => tcp((host, 1), (to, port.into()), 0, Segment::SYN, &[]),
                1 => udp((host, 53), (to, port.into()), &dns(&format!("{random:x}.example.com"), &[host.address])),
                2 => arp(u16::from(kind % 2), host, to),
                3 => udp((host, 67), (to, 68), &dhcp(kind % 8, host.mac, host.address, &[&[54, 4, a, b, c, d]])),
                _ => echo(host, to),
            };
            wire.send(&frame, i64::from(kind));
        }
        prop_assert!(wire.watch.inventory().iter().count() <= crate::device::DEVICES);
        prop_assert!(wire.finish().len() <= WAITING);
    }

    /// An entry matches exactly what lies under it.
    #[test]
    fn domains_match_whole_labels(labels in prop::collection::vec("[a-z]{1,6}", 2..5), above in "[a-z]{1,6}") {
        let domain = labels.join(".");
        let entries = Entries::of(std::slice::from_ref(&domain));
        let below = format!("{above}.{domain}.");
        let beside = format!("{above}{domain}");
        prop_assert_eq!(entries.domain(&below), Some(domain.clone()));
        prop_assert_eq!(entries.domain(&domain.to_uppercase()), Some(domain));
        prop_assert_eq!(entries.domain(&beside), None);
    }
}
