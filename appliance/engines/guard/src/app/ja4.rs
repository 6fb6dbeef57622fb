//! JA4, the fingerprint of a TLS client (FoxIO's technical details of JA4; BSD 3-clause, as only this one of its family).
//!
//! `t13d1516h2_8daaf6152771_e5627efa2ab1`: transport, version, whether a name is given, numbers of cipher suites and of
//! extensions, the first protocol's first and last character; a hash of the sorted cipher suites; a hash of the sorted
//! extensions and of the signature algorithms in their order. GREASE never counts.

use std::fmt::Write;

use ring::digest;

use super::hello::{ClientHello, is_grease};

/// What carries the hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS over TCP.
    Tcp,
    /// TLS in QUIC.
    Quic,
    /// DTLS.
    Datagrams,
}

/// The fingerprint of a hello.
pub fn fingerprint(hello: &ClientHello, transport: Transport) -> String {
    let transport = match transport {
        Transport::Tcp => 't',
        Transport::Quic => 'q',
        Transport::Datagrams => 'd',
    };
    let version = match hello.newest() {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    };
    let named = if hello.extensions.contains(&0) { 'd' } else { 'i' };
    let mut ciphers = meaningful(&hello.ciphers);
    let mut extensions = meaningful(&hello.extensions);
    let (cipher_count, extension_count) = (ciphers.len().min(99), extensions.len().min(99));
    let (first, last) = hello.alpn.first().map_or(('0', '0'), |protocol| ends(protocol));

    ciphers.sort_unstable();
    // The name and the protocols are told apart already.
    extensions.retain(|kind| !matches!(kind, 0x0000 | 0x0010));
    extensions.sort_unstable();
    let mut tail = list(&extensions);
    let signatures = meaningful(&hello.signatures);
    if !tail.is_empty() && !signatures.is_empty() {
        tail.push('_');
        tail.push_str(&list(&signatures));
    }
    let (ciphers, tail) = (hash(&list(&ciphers)), hash(&tail));
    format!("{transport}{version}{named}{cipher_count:02}{extension_count:02}{first}{last}_{ciphers}_{tail}")
}

fn meaningful(values: &[u16]) -> Vec<u16> {
    values.iter().copied().filter(|value| !is_grease(*value)).collect()
}

fn list(values: &[u16]) -> String {
    let mut out = String::with_capacity(values.len() * 5);
    for value in values {
        if !out.is_empty() {
            out.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(out, "{value:04x}");
    }
    out
}

fn hash(text: &str) -> String {
    if text.is_empty() {
        return "000000000000".into();
    }
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hex::encode(&hash.as_ref()[..6])
}

/// First and last character; of the hexadecimal form, where either is neither letter nor digit.
fn ends(protocol: &[u8]) -> (char, char) {
    let (Some(&first), Some(&last)) = (protocol.first(), protocol.last()) else { return ('0', '0') };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return (char::from(first), char::from(last));
    }
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    (digit(first >> 4), digit(last & 0x0f))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of FoxIO's technical details.
    fn example() -> ClientHello {
        ClientHello {
            version: 0x0303,
            versions: vec![0x2a2a, 0x0304, 0x0303],
            ciphers: vec![
                0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
                0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x0a0a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
                0xff01, 0x000b, 0x000a, 0x0015,
            ],
            name: Some(b"example.com".to_vec()),
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            signatures: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            encrypted: false,
        }
    }

    #[test]
    fn the_published_example_holds() {
        assert_eq!(fingerprint(&example(), Transport::Tcp), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn without_signature_algorithms_only_extensions_are_hashed() {
        let hello = ClientHello { signatures: Vec::new(), ..example() };
        assert_eq!(fingerprint(&hello, Transport::Tcp), "t13d1516h2_8daaf6152771_6d807ffa2a79");
    }

    #[test]
    fn what_is_missing_is_zero() {
        let nothing = ClientHello { version: 0x0301, ..ClientHello::default() };
        assert_eq!(fingerprint(&nothing, Transport::Quic), "q10i000000_000000000000_000000000000");
    }

    #[test]
    fn protocols_that_are_no_text_are_told_in_hexadecimal() {
        for (protocol, expected) in [
            (&b"h2"[..], "h2"),
            (b"http/1.1", "h1"),
            (b"a", "aa"),
            (&[0xab], "ab"),
            (&[0xab, 0xcd], "ad"),
            (&[0x30, 0x31, 0xab, 0xcd], "3d"),
            (&[0x30, 0xab, 0xcd, 0x31], "01"),
        ] {
            let (first, last) = ends(protocol);
            assert_eq!(format!("{first}{last}"), expected);
        }
    }
}
