//! What begins like what. Each rule names bytes that its protocol always begins with; where other protocols could begin
//! so too, the port must agree ([`Ports::either`]).

use memchr::{memchr, memmem};

use super::{App, dhcp, dns, dtls, http, quic, tls};
use crate::{
    flow::Side,
    wire::{Cursor, u16_at, u32_at},
};

/// Bytes after which a stream that nothing was recognised in stays unknown.
pub const ENOUGH: usize = 1024;

/// What a stream's beginning says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// This is spoken.
    App(App),
    /// More bytes could tell.
    More,
    /// Nothing that is known begins so.
    No,
}

#[derive(Clone, Copy)]
struct Ports([u16; 2]);

impl Ports {
    fn either(self, known: &[u16]) -> bool {
        self.0.iter().any(|port| known.contains(port))
    }
}

/// Tells a stream by what one side says first.
pub fn stream(side: Side, bytes: &[u8], ports: [u16; 2]) -> Guess {
    let ports = Ports(ports);
    match tls::begins(bytes) {
        Some(true) => return Guess::App(App::Tls),
        None => return Guess::More,
        Some(false) => {}
    }
    if tls::ssl2(bytes).is_some() {
        return Guess::App(App::Tls);
    }
    match binary(bytes, ports) {
        Some(app) => Guess::App(app),
        None => textual(side, bytes, ports),
    }
}

/// Protocols of bytes.
fn binary(bytes: &[u8], ports: Ports) -> Option<App> {
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    let long = |length: usize| bytes.len() >= length;
    if long(8) && (at(0) == 0 && matches!(bytes[4..8], [0xfc..=0xff, b'S', b'M', b'B'])) {
        return Some(App::Smb);
    }
    // NetBIOS session request for two encoded names, RFC 1002 §4.3.2, and what answers it.
    if starts(&[0x81, 0, 0, 68, 32]) || ports.either(&[139]) && (starts(&[0x82, 0, 0, 0]) || starts(&[0x83, 0, 0, 1])) {
        return Some(App::Smb);
    }
    if starts(b"\x13BitTorrent protocol") {
        return Some(App::Bittorrent);
    }
    if long(14)
        && matches!(at(0), 0x10)
        && memmem::find(&bytes[..14], b"\x00\x04MQTT")
            .or_else(|| memmem::find(&bytes[..14], b"\x00\x06MQIsdp"))
            .is_some()
    {
        return Some(App::Mqtt);
    }
    if starts(b"AMQP") {
        return Some(App::Amqp);
    }
    if starts(&[0xff; 16]) {
        return Some(App::Bgp);
    }
    // RFC 2637 §2: the magic cookie.
    if long(8) && u32_at(bytes, 4) == Some(0x1a2b_3c4d) {
        return Some(App::Pptp);
    }
    // TPKT (RFC 1006) and X.224's connection request or confirm.
    if long(7)
        && starts(&[3, 0])
        && matches!(at(5), 0xe0 | 0xd0)
        && usize::from(at(4)) + 5 == usize::from(u16_at(bytes, 2)?)
    {
        let rdp = memmem::find(bytes, b"Cookie: mstshash=").is_some()
            || ports.either(&[3389])
            || long(19) && matches!(at(11), 1 | 2) && bytes.get(12..15) == Some(&[0, 8, 0]);
        return Some(if rdp { App::Rdp } else { App::Iso });
    }
    if starts(&[0x05, 0x64])
        && at(2) >= 5
        && long(10)
        && (ports.either(&[20000]) || at(3) & 0x30 != 0 || at(3) & 0xc0 != 0)
    {
        return Some(App::Dnp3);
    }
    // Modbus: MBAP's protocol is 0 and its length is true.
    if long(8) && u16_at(bytes, 2) == Some(0) && (2..=254).contains(&u16_at(bytes, 4)?) && ports.either(&[502]) {
        return Some(App::Modbus);
    }
    if long(8) && u32_at(bytes, 0) == Some(8) && matches!(u32_at(bytes, 4)?, 80_877_103 | 80_877_104) {
        return Some(App::Postgresql);
    }
    if long(12) && matches!(u32_at(bytes, 4)?, 0x0003_0000 | 0x0003_0002) && memmem::find(bytes, b"user\0").is_some() {
        return Some(App::Postgresql);
    }
    if long(20)
        && at(3) == 0
        && at(4) == 0x0a
        && at(2) == 0
        && memchr(0, &bytes[5..]).is_some_and(|end| end > 3 && bytes[5].is_ascii_digit())
    {
        return Some(App::Mysql);
    }
    // MongoDB: length, and OP_QUERY, OP_COMPRESSED or OP_MSG.
    if long(16)
        && matches!(Cursor::new(&bytes[12..]).u32_le()?, 2004 | 2012 | 2013)
        && Cursor::new(bytes).u32_le()? >= 16
    {
        return Some(App::Mongodb);
    }
    // TDS pre-login.
    if long(8)
        && at(0) == 0x12
        && at(1) == 1
        && u16_at(bytes, 2)? as usize <= bytes.len()
        && starts(&[0x12, 1])
        && at(6) <= 1
        && at(7) == 0
    {
        return Some(App::Mssql);
    }
    // DCE/RPC 5.0: bind and its answers, little-endian data.
    if long(16) && starts(&[5]) && at(1) <= 1 && matches!(at(2), 0 | 2 | 3 | 11..=16) && at(4) == 0x10 && at(5) == 0 {
        return Some(App::Dcerpc);
    }
    if kerberos(bytes.get(4..).unwrap_or_default()) && u32_at(bytes, 0).is_some_and(|length| length < 1 << 16) {
        return Some(App::Kerberos);
    }
    if ldap(bytes) {
        return Some(App::Ldap);
    }
    if rpc(bytes.get(4..).unwrap_or_default()) && at(0) & 0x80 != 0 {
        return Some(App::Rpc);
    }
    // SOCKS 5 offers methods, RFC 1928 §3; SOCKS 4 asks at once.
    if long(3)
        && at(0) == 5
        && bytes.len() == 2 + usize::from(at(1))
        && bytes[2..].iter().all(|method| matches!(method, 0..=9 | 0x80..=0xff))
    {
        return Some(App::Socks);
    }
    if long(9) && at(0) == 4 && matches!(at(1), 1 | 2) && bytes.last() == Some(&0) {
        return Some(App::Socks);
    }
    // Telnet's commands, RFC 854: will, won't, do, don't, subnegotiation.
    if long(3) && at(0) == 0xff && matches!(at(1), 0xfa..=0xfe) {
        return Some(App::Telnet);
    }
    if long(14) && usize::from(u16_at(bytes, 0)?) + 2 <= bytes.len() {
        let message = &bytes[2..2 + usize::from(u16_at(bytes, 0)?)];
        if dns::is_message(message) || ports.either(&[53]) && dns::is_header(message) {
            return Some(App::Dns);
        }
    }
    // rsh and rlogin begin with a zero or a port, then names.
    if long(4) && at(0) == 0 && ports.either(&[513, 514]) {
        return Some(App::Rlogin);
    }
    None
}

/// Protocols of lines.
fn textual(side: Side, bytes: &[u8], ports: Ports) -> Guess {
    let end = memchr(b'\n', bytes);
    let line = &bytes[..end.unwrap_or(bytes.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let upper = line.get(..line.len().min(256)).unwrap_or_default().to_ascii_uppercase();
    let starts = |prefix: &str| upper.starts_with(prefix.as_bytes());
    let holds = |part: &str| memmem::find(&upper, part.as_bytes()).is_some();

    if starts("SSH-") {
        return Guess::App(App::Ssh);
    }
    if starts("RFB 00") {
        return Guess::App(App::Vnc);
    }
    if starts("PRI * HTTP/2.0") {
        return Guess::App(App::Http2);
    }
    if starts("GNUTELLA ") {
        return Guess::App(App::Gnutella);
    }
    if starts("HTTP/1.") || starts("HTTP/0.9") {
        return Guess::App(App::Http);
    }
    if starts("RTSP/1.0") || line.ends_with(b" RTSP/1.0") {
        return Guess::App(App::Rtsp);
    }
    if starts("SIP/2.0 ") || line.ends_with(b" SIP/2.0") {
        return Guess::App(App::Sip);
    }
    if http_request(line, ports) {
        return Guess::App(App::Http);
    }
    if starts("<STREAM:STREAM") || starts("<?XML") && memmem::find(bytes, b"stream").is_some() {
        return Guess::App(App::Xmpp);
    }
    if redis(bytes) {
        return Guess::App(App::Redis);
    }
    if starts("* OK") || starts("* PREAUTH") {
        return Guess::App(App::Imap);
    }
    if starts("+OK") && (side == Side::Responder || ports.either(&[110])) {
        return Guess::App(App::Pop3);
    }
    if starts("220") && (holds("SMTP") || holds("MAIL")) || starts("EHLO ") || starts("HELO ") || starts("MAIL FROM:") {
        return Guess::App(App::Smtp);
    }
    if starts("220") && holds("FTP") || starts("AUTH TLS") || starts("AUTH SSL") {
        return Guess::App(App::Ftp);
    }
    if starts("220") || starts("421 ") || starts("554 ") {
        return match ports {
            ports if ports.either(&[21]) => Guess::App(App::Ftp),
            ports if ports.either(&[25, 465, 587, 2525]) => Guess::App(App::Smtp),
            _ => Guess::More,
        };
    }
    if irc(&upper, ports) {
        return Guess::App(App::Irc);
    }
    if end.is_some() && (starts("USER ") || starts("PASS ")) {
        return Guess::App(if ports.either(&[110, 995]) { App::Pop3 } else { App::Ftp });
    }
    // A tag, then a command that only IMAP has.
    if side == Side::Initiator
        && [" CAPABILITY", " LOGIN ", " STARTTLS", " AUTHENTICATE "].iter().any(|command| holds(command))
        && ports.either(&[143])
    {
        return Guess::App(App::Imap);
    }
    if syslog(bytes) {
        return Guess::App(App::Syslog);
    }
    if ports.either(&[79]) && side == Side::Initiator && end.is_some() {
        return Guess::App(App::Finger);
    }
    let printable = bytes.iter().take(64).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    if printable && end.is_none() || bytes.len() < 12 { Guess::More } else { Guess::No }
}

fn http_request(line: &[u8], ports: Ports) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let known =
        [&b"GET"[..], b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE", b"PROPFIND"]
            .contains(&method);
    let version = memmem::find(line, b" HTTP/").is_some();
    let form = matches!(target.first(), Some(b'/' | b'*')) || memmem::find(target, b"://").is_some();
    http::is_method(method) && (version || known && form || known && !target.is_empty() && ports.either(&[80, 8080]))
}

/// RESP: an array of bulk strings, or an inline command that only Redis has.
fn redis(bytes: &[u8]) -> bool {
    match bytes {
        [b'*', count @ b'0'..=b'9', rest @ ..] => {
            let _ = count;
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            rest[digits..].starts_with(b"\r\n$") || rest[digits..].starts_with(b"\r\n*")
        }
        _ => bytes.starts_with(b"PING\r\n") || bytes.starts_with(b"INFO\r\n"),
    }
}

fn irc(upper: &[u8], ports: Ports) -> bool {
    let words = upper.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).count();
    let starts = |prefix: &[u8]| upper.starts_with(prefix);
    starts(b"NICK ") && words == 2
        || starts(b"USER ") && words >= 5
        || starts(b"CAP LS")
        || starts(b"CAP REQ")
        || starts(b":") && words >= 3 && memmem::find(upper, b" NOTICE ").is_some()
        || starts(b"NOTICE AUTH")
        || starts(b":") && words >= 4 && ports.either(&[6666, 6667, 6668, 6669])
        || starts(b"PASS ") && ports.either(&[6666, 6667, 6668, 6669])
}

fn syslog(bytes: &[u8]) -> bool {
    let digits = bytes.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
    bytes.first() == Some(&b'<') && (1..=3).contains(&digits) && bytes.get(digits + 1) == Some(&b'>')
}

/// A DER element's content; the rest may be missing.
fn element(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let mut cursor = Cursor::new(bytes);
    let (tag, length) = (cursor.u8()?, cursor.u8()?);
    let length = match length {
        0..=0x7f => usize::from(length),
        0x81 => usize::from(cursor.u8()?),
        0x82 => usize::from(cursor.u16()?),
        0x83 => cursor.u24()? as usize,
        0x84 => cursor.u32()? as usize,
        _ => return None,
    };
    let rest = cursor.rest();
    Some((tag, rest.get(..length).unwrap_or(rest)))
}

/// RFC 4120 §5: an application tag of its messages, a sequence, and version 5.
fn kerberos(bytes: &[u8]) -> bool {
    let version = || {
        let (tag, body) = element(bytes)?;
        let (sequence, body) = element(body)?;
        let (_, version) = element(body)?;
        Some(matches!(tag, 0x6a..=0x7e) && sequence == 0x30 && version == [2, 1, 5])
    };
    version() == Some(true)
}

/// RFC 4511 §4.1.1: a sequence of message id and operation.
fn ldap(bytes: &[u8]) -> bool {
    let operation = || {
        let mut cursor = Cursor::new(bytes);
        let (tag, body) = element(bytes)?;
        let mut inner = Cursor::new(body);
        let (integer, id) = (inner.u8()?, inner.vector8()?);
        let operation = inner.u8()?;
        cursor.skip(2)?;
        let known = matches!(operation, 0x42 | 0x4a | 0x50 | 0x60..=0x70 | 0x73 | 0x77 | 0x78 | 0x79);
        Some(tag == 0x30 && integer == 2 && (1..=4).contains(&id.len()) && known)
    };
    operation() == Some(true)
}

/// SNMP: a sequence of version and community, or version 3's header.
fn snmp(bytes: &[u8]) -> bool {
    let version = || {
        let (tag, body) = element(bytes)?;
        let mut inner = Cursor::new(body);
        let (integer, version, next) = (inner.u8()?, inner.vector8()?, inner.u8()?);
        let form = matches!((version, next), ([0 | 1], 0x04) | ([3], 0x30));
        Some(tag == 0x30 && integer == 2 && form)
    };
    version() == Some(true)
}

/// RFC 5531 §9: a call with RPC version 2, or an accepted or denied reply.
fn rpc(bytes: &[u8]) -> bool {
    let call = u32_at(bytes, 4) == Some(0)
        && u32_at(bytes, 8) == Some(2)
        && u32_at(bytes, 12).is_some_and(|program| program >= 100_000);
    let reply = u32_at(bytes, 4) == Some(1)
        && u32_at(bytes, 8).is_some_and(|state| state <= 1)
        && u32_at(bytes, 12).is_some_and(|flavor| flavor <= 6);
    call || reply && bytes.len() >= 24
}

/// RFC 2865 §3 and §5: the length is the datagram's, and attributes fill it.
fn radius(bytes: &[u8]) -> bool {
    let Some(attributes) = bytes.get(20..) else { return false };
    let mut cursor = Cursor::new(attributes);
    while !cursor.is_empty() {
        let (Some(_), Some(length @ 2..)) = (cursor.u8(), cursor.u8()) else { return false };
        if cursor.skip(usize::from(length) - 2).is_none() {
            return false;
        }
    }
    matches!(bytes[0], 1..=5 | 11..=13 | 40..=45) && u16_at(bytes, 2).map(usize::from) == Some(bytes.len())
}

/// Tells a datagram.
pub fn datagram(_side: Side, bytes: &[u8], ports: [u16; 2]) -> Option<App> {
    let ports = Ports(ports);
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    let long = |length: usize| bytes.len() >= length;

    for (port, app) in [(53, App::Dns), (5353, App::Mdns), (5355, App::Llmnr), (137, App::Netbios)] {
        if ports.either(&[port]) && dns::is_header(bytes) {
            return Some(app);
        }
    }
    if dhcp::is_message(bytes) {
        return Some(App::Dhcp);
    }
    if quic::is_long_header(bytes) {
        return Some(App::Quic);
    }
    if dtls::is_record(bytes) {
        return Some(App::Dtls);
    }
    // RFC 8489 §5: two zero bits, a length in words, the cookie.
    if long(20) && at(0) < 0x40 && u32_at(bytes, 4) == Some(0x2112_a442) && u16_at(bytes, 2)?.is_multiple_of(4) {
        return Some(App::Stun);
    }
    if long(48) && ports.either(&[123]) && matches!(at(0) >> 3 & 7, 1..=4)
        || ports.either(&[123]) && long(12) && matches!(at(0) & 7, 6 | 7)
    {
        return Some(App::Ntp);
    }
    if ports.either(&[546, 547]) && matches!(at(0), 1..=13) && long(4) {
        return Some(App::Dhcp6);
    }
    if snmp(bytes) {
        return Some(App::Snmp);
    }
    let line = &bytes[..memchr(b'\n', bytes).unwrap_or(bytes.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.ends_with(b" SIP/2.0") || starts(b"SIP/2.0 ") {
        return Some(App::Sip);
    }
    if starts(b"M-SEARCH * HTTP/1") || starts(b"NOTIFY * HTTP/1") || ports.either(&[1900]) && starts(b"HTTP/1") {
        return Some(App::Ssdp);
    }
    if kerberos(bytes) {
        return Some(App::Kerberos);
    }
    if radius(bytes) {
        return Some(App::Radius);
    }
    if ldap(bytes) {
        return Some(App::Ldap);
    }
    if starts(b"d1:ad2:id20:") || starts(b"d1:rd2:id20:") {
        return Some(App::Bittorrent);
    }
    if rpc(bytes) {
        return Some(App::Rpc);
    }
    if starts(&[0x05, 0x64]) && at(2) >= 5 && long(10) {
        return Some(App::Dnp3);
    }
    if matches!((bytes, bytes.len()), ([1, 0, 0, 0, ..], 148) | ([2, 0, 0, 0, ..], 92)) {
        return Some(App::Wireguard);
    }
    // RFC 7296 §3.1; behind four zeros on port 4500.
    let ike = if ports.either(&[4500]) { bytes.strip_prefix(&[0; 4]).unwrap_or(bytes) } else { bytes };
    if ports.either(&[500, 4500]) && u32_at(ike, 24).is_some_and(|length| length as usize == ike.len()) {
        return Some(App::Ike);
    }
    if ports.either(&[1701]) && at(1) & 0x0f == 2 {
        return Some(App::L2tp);
    }
    if ports.either(&[138]) && matches!(at(0), 0x10..=0x16) && long(14) {
        return Some(App::NetbiosDatagram);
    }
    if ports.either(&[47808]) && at(0) == 0x81 && u16_at(bytes, 2).map(usize::from) == Some(bytes.len()) {
        return Some(App::Bacnet);
    }
    if ports.either(&[69]) && at(0) == 0 && matches!(at(1), 1..=6) {
        return Some(App::Tftp);
    }
    // GTP's control plane: its version, and a length that is true.
    if ports.either(&[2123, 3386]) && matches!(at(0) >> 5, 0..=2) && long(8) {
        return Some(App::GtpControl);
    }
    if ports.either(&[443]) && matches!(at(0), 0x09 | 0x0d | 0x08 | 0x0c) && long(14) && at(9) == b'Q' {
        return Some(App::Quic);
    }
    if starts(b"SSH-") {
        return Some(App::Ssh);
    }
    if syslog(bytes) {
        return Some(App::Syslog);
    }
    if dns::is_message(bytes) {
        return Some(App::Dns);
    }
    None
}

/// RTP's fixed header, RFC 3550 §5.1: its sequence number and source. One alone proves nothing.
pub fn rtp(bytes: &[u8]) -> Option<(u16, u32)> {
    let (first, kind) = (*bytes.first()?, *bytes.get(1)? & 0x7f);
    let audio_or_video = matches!(kind, 0..=34 | 96..=127);
    (first >> 6 == 2 && audio_or_video && bytes.len() > 12).then_some((u16_at(bytes, 2)?, u32_at(bytes, 8)?))
}
