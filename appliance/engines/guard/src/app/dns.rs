//! DNS messages (RFC 1035), and those of mDNS (RFC 6762), LLMNR (RFC 4795) and NetBIOS (RFC 1002), which have its form.
//!
//! Names keep their case. A message is read as far as it goes; pointers lead backwards only, so that reading ends.

use std::{
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
};

use serde::Serialize;

use crate::wire::{Cursor, text, u16_at};

/// Messages of one flow that are kept.
pub const MESSAGES: usize = 32;
/// Questions, and answers, of one message that are kept.
const RECORDS: usize = 32;
/// Bytes of a name: RFC 1035 §2.3.4.
const NAME: usize = 255;
/// Bytes of other texts.
const TEXT: usize = 255;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Its number.
    pub id: u16,
    /// Whether it answers.
    pub response: bool,
    /// 0 is a query, 5 an update.
    #[serde(skip_serializing_if = "is_zero")]
    pub opcode: u8,
    /// How it went: 0 is well, 3 is "no such name".
    #[serde(skip_serializing_if = "is_zero")]
    pub rcode: u8,
    /// What is asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// What is answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// About which name.
    pub name: String,
    /// Which kind of record.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A record of the answer section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// About which name.
    pub name: String,
    /// Which kind of record.
    #[serde(rename = "type")]
    pub kind: String,
    /// Seconds it may be kept.
    pub ttl: u32,
    /// What it says: addresses, names and texts; empty for other kinds.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data: String,
}

impl Message {
    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        let questions = self.questions.iter().map(|q| size_of::<Question>() + q.name.capacity() + q.kind.capacity());
        let answers = self
            .answers
            .iter()
            .map(|a| size_of::<Answer>() + a.name.capacity() + a.kind.capacity() + a.data.capacity());
        size_of::<Self>() + questions.sum::<usize>() + answers.sum::<usize>()
    }

    /// Reads as much as there is; `None` without a header.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes).map(|(message, _)| message)
    }

    /// The message, and whether all of it could be read, to the last byte.
    fn read(bytes: &[u8]) -> Option<(Self, bool)> {
        let mut cursor = Cursor::new(bytes);
        let (id, flags) = (cursor.u16()?, cursor.u16()?);
        let counts = [cursor.u16()?, cursor.u16()?, cursor.u16()?, cursor.u16()?];
        let [.., rcode] = (flags & 0x0f).to_be_bytes();
        let [.., opcode] = (flags >> 11 & 0x0f).to_be_bytes();
        let mut message = Self { id, response: flags & 0x8000 != 0, opcode, rcode, ..Self::default() };
        let whole = message.sections(bytes, counts).is_some_and(|end| end == bytes.len());
        Some((message, whole))
    }

    fn sections(&mut self, bytes: &[u8], counts: [u16; 4]) -> Option<usize> {
        let mut at = 12;
        for _ in 0..counts[0] {
            let (name, next) = name(bytes, at)?;
            let (kind, class) = (u16_at(bytes, next)?, u16_at(bytes, next + 2)?);
            at = next + 4;
            if self.questions.len() < RECORDS {
                let name = if is_netbios(kind, class, &name) { netbios(&name) } else { name };
                self.questions.push(Question { name, kind: kind_name(kind) });
            }
        }
        for index in 0..u32::from(counts[1]) + u32::from(counts[2]) + u32::from(counts[3]) {
            let (name, next) = name(bytes, at)?;
            let mut cursor = Cursor::new(bytes.get(next..)?);
            let (kind, class, ttl, length) = (cursor.u16()?, cursor.u16()?, cursor.u32()?, cursor.u16()?);
            let start = next + 10;
            at = start + usize::from(length);
            let body = bytes.get(start..at)?;
            if index < u32::from(counts[1]) && self.answers.len() < RECORDS {
                let name = if is_netbios(kind, class, &name) { netbios(&name) } else { name };
                let data = data(bytes, kind, start, body).unwrap_or_default();
                self.answers.push(Answer { name, kind: kind_name(kind), ttl, data });
            }
        }
        Some(at)
    }
}

/// Keeps a datagram's message.
pub fn keep(bytes: &[u8], messages: &mut Vec<Message>) {
    if messages.len() < MESSAGES {
        messages.extend(Message::parse(bytes));
    }
}

/// Keeps the messages of a stream, each with its length before it (RFC 1035 §4.2.2); returns how many bytes were used.
pub fn stream(bytes: &[u8], messages: &mut Vec<Message>) -> usize {
    let mut cursor = Cursor::new(bytes);
    let mut used = 0;
    while let Some(message) = cursor.vector16() {
        used += 2 + message.len();
        keep(message, messages);
    }
    used
}

/// Whether a datagram can be nothing else: every record is in its place, and something is asked or answered.
pub fn is_message(bytes: &[u8]) -> bool {
    is_header(bytes)
        && Message::read(bytes).is_some_and(|(message, whole)| {
            let named = message.questions.iter().all(|question| !question.kind.starts_with("TYPE"));
            whole && named && (!message.questions.is_empty() || message.response && !message.answers.is_empty())
        })
}

/// Whether a datagram that came to a port of DNS has its form.
pub fn is_header(bytes: &[u8]) -> bool {
    let (Some(flags), Some(questions)) = (u16_at(bytes, 2), u16_at(bytes, 4)) else { return false };
    // Opcodes up to 9 are those of NetBIOS.
    bytes.len() >= 12 && flags >> 11 & 0x0f <= 9 && questions <= 64
}

/// A name, and where what follows it begins.
fn name(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut limit, mut end) = (start, start, None);
    let mut out = String::new();
    let mut length = 0;
    loop {
        let size = *bytes.get(at)?;
        match size >> 6 {
            0 if size == 0 => {
                if out.is_empty() {
                    out.push('.');
                }
                return Some((out, end.unwrap_or(at + 1)));
            }
            0 => {
                let label = bytes.get(at + 1..at + 1 + usize::from(size))?;
                length += label.len() + 1;
                if length > NAME {
                    return None;
                }
                if !out.is_empty() {
                    out.push('.');
                }
                write_label(&mut out, label);
                at += 1 + label.len();
            }
            3 => {
                let target = usize::from(u16_at(bytes, at)? & 0x3fff);
                end.get_or_insert(at + 2);
                // Backwards only: this ends.
                if target >= limit {
                    return None;
                }
                (at, limit) = (target, target);
            }
            _ => return None,
        }
    }
}

/// A label as master files have it: RFC 1035 §5.1. Letters beyond ASCII are mDNS's UTF-8.
fn write_label(out: &mut String, label: &[u8]) {
    match std::str::from_utf8(label) {
        Ok(label) if label.chars().all(|c| !c.is_control() && c != '.' && c != '\\') => out.push_str(label),
        _ => {
            for &byte in label {
                match byte {
                    b'.' | b'\\' => out.extend(['\\', char::from(byte)]),
                    0x21..=0x7e | b' ' => out.push(char::from(byte)),
                    // Writing to a string cannot fail.
                    byte => _ = write!(out, "\\{byte:03}"),
                }
            }
        }
    }
}

fn data(bytes: &[u8], kind: u16, start: usize, body: &[u8]) -> Option<String> {
    Some(match kind {
        1 => Ipv4Addr::from(*body.first_chunk::<4>()?).to_string(),
        28 => Ipv6Addr::from(*body.first_chunk::<16>()?).to_string(),
        2 | 5 | 12 | 39 => name(bytes, start)?.0,
        15 => format!("{} {}", u16_at(bytes, start)?, name(bytes, start + 2)?.0),
        33 if body.len() >= 7 => {
            let [priority, weight, port] = [u16_at(body, 0)?, u16_at(body, 2)?, u16_at(body, 4)?];
            format!("{priority} {weight} {port} {}", name(bytes, start + 6)?.0)
        }
        16 | 99 => {
            let mut cursor = Cursor::new(body);
            let mut out = String::new();
            while let Some(part) = cursor.vector8() {
                out.push_str(&text(part, TEXT.saturating_sub(out.len())));
            }
            out
        }
        // NetBIOS: flags, then an address.
        32 if body.len() == 6 => Ipv4Addr::from(*body.get(2..)?.first_chunk::<4>()?).to_string(),
        _ => return None,
    })
}

fn is_netbios(kind: u16, class: u16, name: &str) -> bool {
    matches!(kind, 32 | 33)
        && class == 1
        && name
            .split('.')
            .next()
            .is_some_and(|first| first.len() == 32 && first.bytes().all(|byte| (b'A'..=b'P').contains(&byte)))
}

/// A NetBIOS name out of its half-bytes (RFC 1001 §14.1): `FILESERVER<20>`, with its scope where there is one.
fn netbios(name: &str) -> String {
    let (first, scope) = name.split_once('.').unwrap_or((name, ""));
    let bytes: Vec<u8> =
        first.as_bytes().chunks_exact(2).map(|pair| (pair[0] - b'A') << 4 | (pair[1] - b'A')).collect();
    let Some((kind, letters)) = bytes.split_last() else { return name.to_owned() };
    let letters = text(letters, 15);
    let mut out = format!("{}<{kind:02x}>", letters.trim_end_matches([' ']));
    if !scope.is_empty() {
        out.push('.');
        out.push_str(scope);
    }
    out
}

fn kind_name(kind: u16) -> String {
    let name = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        11 => "WKS",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        18 => "AFSDB",
        24 => "SIG",
        25 => "KEY",
        28 => "AAAA",
        29 => "LOC",
        // The number is NetBIOS's too.
        32 => "NB",
        33 => "SRV",
        35 => "NAPTR",
        39 => "DNAME",
        41 => "OPT",
        43 => "DS",
        44 => "SSHFP",
        45 => "IPSECKEY",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        59 => "CDS",
        60 => "CDNSKEY",
        61 => "OPENPGPKEY",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        other => return format!("TYPE{other}"),
    };
    name.to_owned()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_zero(value: &u8) -> bool {
    *value == 0
}
