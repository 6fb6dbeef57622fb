//! Community id, version 1: the name of a flow that Zeek, Suricata, Arkime and others agree on
//! (github.com/corelight/community-id-spec).

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::digest;

use crate::packet::{Address, ICMP, ICMP6, SCTP, TCP, UDP};

/// The id of a flow with seed 0. For ICMP, ports are the pair that [`icmp_ports`] gives for the initiator's message;
/// protocols without ports ignore them.
pub fn id(six: bool, protocol: u8, source: (Address, u16), destination: (Address, u16)) -> String {
    let one_way = match protocol {
        ICMP | ICMP6 => icmp_ports(protocol == ICMP6, source.1, 0).2,
        _ => false,
    };
    let (low, high) = if one_way || source <= destination { (source, destination) } else { (destination, source) };
    let mut bytes = Vec::with_capacity(40);
    bytes.extend_from_slice(&[0, 0]);
    for (address, _) in [low, high] {
        let octets = address.0.to_be_bytes();
        bytes.extend_from_slice(if six { &octets } else { &octets[12..] });
    }
    bytes.extend_from_slice(&[protocol, 0]);
    if matches!(protocol, ICMP | ICMP6 | TCP | UDP | SCTP) {
        bytes.extend_from_slice(&low.1.to_be_bytes());
        bytes.extend_from_slice(&high.1.to_be_bytes());
    }
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let mut id = String::with_capacity(30);
    id.push_str("1:");
    STANDARD.encode_string(hash, &mut id);
    id
}

/// The pair of numbers that stands for ports, and whether no answer belongs to the message: the type, and the type of the
/// answer; or, without one, the code.
pub const fn icmp_ports(six: bool, kind: u16, code: u16) -> (u16, u16, bool) {
    let answer = if six {
        match kind {
            128 => 129, // echo
            129 => 128,
            130 => 131, // multicast listener
            131 => 130,
            133 => 134, // router
            134 => 133,
            135 => 136, // neighbour
            136 => 135,
            139 => 140, // who are you
            140 => 139,
            144 => 145, // home agent
            145 => 144,
            _ => return (kind, code, true),
        }
    } else {
        match kind {
            0 => 8, // echo
            8 => 0,
            9 => 10, // router
            10 => 9,
            13 => 14, // timestamp
            14 => 13,
            15 => 16, // information
            16 => 15,
            17 => 18, // mask
            18 => 17,
            _ => return (kind, code, true),
        }
    };
    (kind, answer, false)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn of(protocol: u8, source: (&str, u16), destination: (&str, u16)) -> String {
        let end = |(address, port): (&str, u16)| match address.parse().expect("an address") {
            IpAddr::V4(four) => (false, (Address::four(four.octets()), port)),
            IpAddr::V6(six) => (true, (Address::six(six.octets()), port)),
        };
        let ((six, source), (_, destination)) = (end(source), end(destination));
        id(six, protocol, source, destination)
    }

    /// The specification's baseline files, seed 0.
    #[test]
    fn the_published_vectors_hold() {
        let vectors = [
            (TCP, ("128.232.110.120", 34855), ("66.35.250.204", 80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            (TCP, ("66.35.250.204", 80), ("128.232.110.120", 34855), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            (UDP, ("192.168.1.52", 54585), ("8.8.8.8", 53), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
            (UDP, ("8.8.8.8", 53), ("192.168.1.52", 54585), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
            (SCTP, ("192.168.170.8", 7), ("192.168.170.56", 80), "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="),
            (ICMP, ("192.168.0.89", 8), ("192.168.0.1", 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
            (ICMP, ("192.168.0.1", 0), ("192.168.0.89", 8), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
            (
                ICMP6,
                ("fe80::200:86ff:fe05:80da", 135),
                ("fe80::260:97ff:fe07:69ea", 136),
                "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=",
            ),
        ];
        for (protocol, source, destination, expected) in vectors {
            assert_eq!(of(protocol, source, destination), expected);
        }
    }
}
