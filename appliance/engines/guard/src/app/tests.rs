//! What is spoken, however it is cut; and bytes that mean nothing.

use proptest::prelude::*;

use super::*;

const WEB: [u16; 2] = [40_000, 80];

/// Both sides speak in turns, each turn in pieces of `size` bytes; what could not be used is handed over again.
fn converse(turns: &[(Side, &[u8])], size: usize, ports: [u16; 2]) -> (Option<App>, Facts) {
    let mut conversation = crate::flow::stream::Conversation::default();
    let mut next = [0u32; 2];
    for (side, said) in turns {
        for piece in said.chunks(size) {
            let sequence = &mut next[side.index()];
            conversation.segment(*side, 0, *sequence, piece, 0, ports);
            *sequence += u32::try_from(piece.len()).expect("short");
        }
    }
    conversation.finish(ports);
    let (app, facts) = conversation.into_parts();
    (app, facts.map_or_else(Facts::default, |facts| *facts))
}

fn hello(name: &str, padding: usize) -> Vec<u8> {
    let short = |bytes: &[u8]| [&u16::try_from(bytes.len()).expect("short").to_be_bytes()[..], bytes].concat();
    let name = short(&short(&[&[0][..], &short(name.as_bytes())].concat()));
    let extensions = [&[0, 0][..], &name, &[0, 21], &short(&vec![0; padding])].concat();
    let body = [&[3, 3][..], &[7; 32], &[0], &short(&[0x13, 1]), &[1, 0], &short(&extensions)].concat();
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&[1][..], &length[1..], &body].concat()
}

/// A message in records of `size` bytes each.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message
        .chunks(size)
        .flat_map(|part| [&[22, 3, 1][..], &u16::try_from(part.len()).expect("short").to_be_bytes(), part].concat())
        .collect()
}

#[test]
fn http_keeps_its_exchanges_apart() {
    let request = b"GET /a HTTP/1.1\r\nHost: one.example\r\nUser-Agent: test\r\n\r\nPOST /b HTTP/1.1\r\nHost: two.example\r\nContent-Length: 3\r\n\r\nxyzHEAD /c HTTP/1.1\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/html\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\ngoneHTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n";
    for size in [1, 7, 1000] {
        let (app, facts) = converse(&[(Side::Initiator, request), (Side::Responder, answer)], size, WEB);
        assert_eq!(app, Some(App::Http));
        let told: Vec<_> = facts.http.iter().map(|e| (e.target.as_deref(), e.host.as_deref(), e.status)).collect();
        let expected = [
            (Some("/a"), Some("one.example"), Some(200)),
            (Some("/b"), Some("two.example"), Some(404)),
            (Some("/c"), None, Some(304)),
        ];
        assert_eq!(told, expected, "in pieces of {size}");
    }
}

#[test]
fn tls_is_found_behind_starttls_and_connect() {
    let hello = records(&hello("inner.example", 1800), 900);
    let smtp: [(Side, &[u8]); 5] = [
        (Side::Responder, b"220 mx.example ESMTP\r\n"),
        (Side::Initiator, b"EHLO me\r\n"),
        (Side::Responder, b"250-mx\r\n250 STARTTLS\r\n"),
        (Side::Initiator, b"STARTTLS\r\n"),
        (Side::Responder, b"220 go\r\n"),
    ];
    let proxy: [(Side, &[u8]); 2] = [
        (Side::Initiator, b"CONNECT inner.example:443 HTTP/1.1\r\n\r\n"),
        (Side::Responder, b"HTTP/1.1 200 Connected\r\n\r\n"),
    ];
    for (turns, app) in [(&smtp[..], App::Smtp), (&proxy[..], App::Http)] {
        for size in [1, 100, 5000] {
            let turns = [turns, &[(Side::Initiator, &hello[..])]].concat();
            let (spoken, facts) = converse(&turns, size, [40_000, 2000]);
            assert_eq!(spoken, Some(app));
            let sni = facts.tls.and_then(|tls| tls.sni);
            assert_eq!(sni.as_deref(), Some("inner.example"), "{app:?} in pieces of {size}");
        }
    }
}

#[test]
fn who_logs_in_in_the_clear_is_told_without_the_password() {
    let ftp: [(Side, &[u8]); 3] = [
        (Side::Responder, b"220 FTP ready\r\n"),
        (Side::Initiator, b"USER anna\r\n"),
        (Side::Initiator, b"PASS hunter2\r\n"),
    ];
    let web: [(Side, &[u8]); 1] =
        [(Side::Initiator, b"GET / HTTP/1.1\r\nAuthorization: Basic YW5uYTpodW50ZXIy\r\n\r\n")];
    let mail: [(Side, &[u8]); 3] = [
        (Side::Responder, b"220 SMTP\r\n"),
        (Side::Initiator, b"EHLO me\r\nAUTH PLAIN\r\n"),
        (Side::Initiator, b"AGFubmEAaHVudGVyMg==\r\n"),
    ];
    for turns in [&ftp[..], &web, &mail] {
        let (_, facts) = converse(turns, 1000, [40_000, 2000]);
        assert_eq!(facts.plaintext_login.as_deref(), Some("anna"));
        assert!(!format!("{facts:?}").contains("hunter2"));
    }
}

proptest! {
    /// However records and segments cut it, the name comes out.
    #[test]
    fn a_hello_may_span_records_and_segments(padding in 0usize..4000, record in 1usize..3000, segment in 1usize..1500) {
        let sent = records(&hello("office.example", padding), record.max(5));
        let (app, facts) = converse(&[(Side::Initiator, &sent)], segment, [40_000, 443]);
        prop_assert_eq!(app, Some(App::Tls));
        prop_assert_eq!(facts.tls.and_then(|tls| tls.sni), Some("office.example".to_owned()));
    }

    #[test]
    fn any_stream_ends(
        start in prop::sample::select(vec![&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n", b"220 ", b"EHLO x\r\n", b"\x00\x20", b"SIP/2.0 ", b"+OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]),
        turns in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20),
        size in 1usize..400,
    ) {
        let mut all = vec![(Side::Initiator, start)];
        all.extend(turns.iter().map(|(side, said)| (if *side { Side::Initiator } else { Side::Responder }, &said[..])));
        converse(&all, size, [53, 21]);
    }

    #[test]
    fn any_datagram_ends(
        start in prop::sample::select(vec![&b""[..], &[0xc0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44], &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40], &[0x30, 0x20, 2, 1], b"SIP/2.0 200 x\r\n"]),
        rest in prop::collection::vec(any::<u8>(), 0..500),
        port in prop::sample::select(vec![53u16, 137, 443, 123, 69, 40_000]),
    ) {
        let bytes = [start, &rest].concat();
        let mut session = Session::default();
        for side in [Side::Initiator, Side::Responder, Side::Initiator] {
            session.datagram(side, &bytes, UDP, [50_000, port]);
        }
        session.finish();
        dns::Message::parse(&bytes);
        dns::is_message(&bytes);
        dhcp::Message::parse(&bytes);
        certificate::Certificate::parse(&bytes);
        hello::ClientHello::parse(&bytes, true);
        hello::ServerHello::parse(&bytes);
    }
}
