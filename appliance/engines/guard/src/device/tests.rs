//! What devices tell of themselves is kept, and what others say of them is not.

use std::net::Ipv4Addr;

use super::*;
use crate::{
    frames::{Wire, arp, dhcp, dns, inside, outside, udp},
    settings::Settings,
};

fn device(wire: &Wire, number: u8) -> Device {
    wire.watch.inventory().get(Mac(inside(number).mac)).cloned().expect("a device")
}

#[test]
fn a_device_is_named_and_guessed_from_what_it_says() {
    let mut wire = Wire::new(&Settings::default());
    let options: [&[u8]; 3] = [
        &[12, 6, b'l', b'a', b'p', b't', b'o', b'p'],
        &[60, 8, b'M', b'S', b'F', b'T', b' ', b'5', b'.', b'0'],
        &[55, 3, 1, 3, 6],
    ];
    let ask = dhcp(3, inside(7).mac, Ipv4Addr::UNSPECIFIED, &options);
    wire.send(&udp((inside(7), 68), (inside(1), 67), &ask), 1);
    let grant = dhcp(5, inside(7).mac, inside(7).address, &[&[54, 4, 192, 168, 1, 1, 3, 4, 192, 168, 1, 1]]);
    wire.send(&udp((inside(1), 67), (inside(7), 68), &grant), 1);
    wire.send(&arp(2, inside(1), inside(7)), 1);
    let laptop = device(&wire, 7);
    assert_eq!(laptop.name(), Some("laptop"));
    assert_eq!(laptop.system.map(|system| (system.name, system.basis)), Some(("Windows".into(), Basis::DhcpVendor)));
    assert_eq!(laptop.addresses[0].0, IpAddr::V4(inside(7).address));
    assert_eq!(device(&wire, 1).roles, [Role::Dhcp, Role::Router]);
}

#[test]
fn what_a_device_talks_to_has_the_name_it_was_looked_up_by() {
    let mut wire = Wire::new(&Settings::default());
    wire.send(&udp((inside(1), 53), (inside(7), 5_000), &dns("shop.example.com", &[outside(9).address])), 1);
    wire.talk((inside(7), 40_000), (outside(9), 443), b"hi", b"ho");
    wire.wait(60);
    let peers = device(&wire, 7).peers;
    assert_eq!(peers.len(), 1);
    assert_eq!((peers[0].name.as_deref(), peers[0].flows), (Some("shop.example.com"), 1));
    assert!(wire.watch.inventory().get(Mac(outside(9).mac)).is_none_or(|router| {
        router.addresses.iter().all(|(address, _)| *address != IpAddr::V4(outside(9).address))
    }));
}

#[test]
fn a_device_keeps_those_it_says_most_to() {
    let mut wire = Wire::new(&Settings::default());
    wire.talk((inside(7), 40_000), (outside(250), 443), &[1; 1_000], &[2; 1_000]);
    for host in 0..200 {
        wire.talk((inside(7), 41_000 + u16::from(host)), (outside(host), 443), b"hi", b"ho");
    }
    wire.wait(60);
    let peers = device(&wire, 7).peers;
    assert_eq!(peers.len(), PEERS);
    assert_eq!(peers[0].address, IpAddr::V4(outside(250).address));
}

#[test]
fn mac_addresses_are_read_as_they_are_written() {
    let mac = Mac([0, 0x16, 0x3e, 1, 2, 0xff]);
    assert_eq!(mac.to_string().parse(), Ok(mac));
    for wrong in ["", "00:16:3e:01:02", "00:16:3e:01:02:ff:00", "0:16:3e:1:2:ff", "00:16:3e:01:02:fg"] {
        assert_eq!(wrong.parse::<Mac>(), Err(NoMac), "{wrong}");
    }
    assert!(Mac([2, 0, 0, 0, 0, 1]).is_random() && Mac([0, 0, 0x5e, 0, 1, 9]).is_shared());
}

#[test]
fn systems_are_guessed_from_their_habits() {
    let by_dhcp = |asks: &[u8], vendor| System::of_dhcp(asks, vendor).map(|system| system.name);
    assert_eq!(by_dhcp(&[], Some("android-dhcp-13")).as_deref(), Some("Android 13"));
    assert_eq!(by_dhcp(&[1, 121, 3, 6, 15, 114, 119, 252], None).as_deref(), Some("Apple"));
    assert_eq!(by_dhcp(&[1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121], None).as_deref(), Some("Windows"));
    assert_eq!(by_dhcp(&[9], Some("something")), None);
    assert_eq!(System::of_syn(128, 8_192).map(|system| system.name).as_deref(), Some("Windows"));
    assert_eq!(System::of_syn(64, 64_240).map(|system| system.name).as_deref(), Some("Linux"));
}
