//! HTTP/1 (RFC 9112): who is asked for what, and how it was answered. Bodies are passed over, never kept.
//!
//! Heads are read as tolerantly as servers read them: bare line feeds, odd methods, no version. After CONNECT and after
//! "101 Switching Protocols" another protocol begins ([`Conversation::left`]).

use base64::{Engine, engine::general_purpose::STANDARD};
use memchr::{memchr, memmem};
use serde::Serialize;

use super::Facts;
use crate::{flow::Side, wire::text};

/// Exchanges of one flow that are kept; after them the flow is only counted.
const EXCHANGES: usize = 16;
/// Bytes of a head that are waited for.
const HEAD: usize = 32 << 10;
/// Bytes of a text that are kept.
const TEXT: usize = 512;

/// A request and its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exchange {
    /// `GET` …; missing where only the answer was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Which host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What of it, as it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// How it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What the server calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What the answer holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

impl Exchange {
    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        let texts = [&self.method, &self.host, &self.target, &self.user_agent, &self.server, &self.content_type];
        size_of::<Self>() + texts.iter().filter_map(|text| text.as_ref()).map(String::capacity).sum::<usize>()
    }
}

/// Where a side is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// A head is next.
    #[default]
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// The length of a chunk is next.
    Chunk,
    /// So many bytes of a chunk, with its line's end.
    ChunkBody(u64),
    /// Lines behind the last chunk.
    Trailer,
    /// A body that ends with the connection, or nothing that can be read.
    Rest,
}

/// An HTTP connection.
#[derive(Debug, Default)]
pub struct Conversation {
    places: [Place; 2],
    /// Exchanges that were answered.
    answered: usize,
    /// Whether those that are under way ask for no body: HEAD.
    headless: Vec<bool>,
    left: bool,
}

impl Conversation {
    /// Whether something else is spoken from now on.
    pub const fn left(&self) -> bool {
        self.left
    }

    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        size_of::<Self>() + self.headless.capacity()
    }

    /// Bytes were lost: what follows is part of a body, for all that is known.
    pub fn gap(&mut self, side: Side) {
        self.places[side.index()] = Place::Rest;
    }

    /// Reads what one side says; returns how many bytes were used.
    pub fn stream(&mut self, side: Side, bytes: &[u8], facts: &mut Facts) -> usize {
        let mut used = 0;
        while used < bytes.len() && !self.left {
            let rest = &bytes[used..];
            let place = &mut self.places[side.index()];
            used += match *place {
                Place::Body(left) | Place::ChunkBody(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let left = left - here as u64;
                    *place = match *place {
                        Place::Body(_) if left > 0 => Place::Body(left),
                        Place::Body(_) => Place::Head,
                        _ if left > 0 => Place::ChunkBody(left),
                        _ => Place::Chunk,
                    };
                    here
                }
                Place::Chunk => {
                    let Some(end) = memchr(b'\n', rest) else { break };
                    *place = match chunk(&rest[..end]) {
                        Some(0) => Place::Trailer,
                        Some(length) => Place::ChunkBody(length.saturating_add(2)),
                        None => Place::Rest,
                    };
                    end + 1
                }
                Place::Trailer => {
                    let Some(end) = memchr(b'\n', rest) else { break };
                    if matches!(&rest[..end], [] | [b'\r']) {
                        *place = Place::Head;
                    }
                    end + 1
                }
                Place::Rest => rest.len(),
                Place::Head => {
                    // Empty lines before a request: RFC 9112 §2.2.
                    let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                    if blank > 0 {
                        used += blank;
                        continue;
                    }
                    match head(rest) {
                        Some(length) => {
                            self.head(side, &rest[..length], facts);
                            length
                        }
                        None if rest.len() >= HEAD => {
                            self.places[side.index()] = Place::Rest;
                            rest.len()
                        }
                        None => break,
                    }
                }
            };
        }
        used
    }

    fn head(&mut self, side: Side, head: &[u8], facts: &mut Facts) {
        let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = lines.next().unwrap_or_default();
        let fields = Fields::read(lines);
        if first.starts_with(b"HTTP/") || first.starts_with(b"ICY ") {
            self.answer(side, first, &fields, facts);
        } else {
            self.request(side, first, &fields, facts);
        }
    }

    fn request(&mut self, side: Side, first: &[u8], fields: &Fields<'_>, facts: &mut Facts) {
        let mut words = first.splitn(3, |byte| *byte == b' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !is_method(method) {
            self.places[side.index()] = Place::Rest;
            return;
        }
        if facts.http.len() >= EXCHANGES {
            self.left = true;
            return;
        }
        let kept = |value: &[u8]| text(value, TEXT);
        facts.http.push(Exchange {
            method: Some(kept(method)),
            host: fields.host.or_else(|| authority(target)).map(kept),
            target: Some(kept(target)),
            user_agent: fields.user_agent.map(kept),
            ..Exchange::default()
        });
        if let Some(user) = fields.authorization.and_then(basic) {
            facts.plaintext_login.get_or_insert(user);
        }
        self.headless.push(method == b"HEAD");
        // Without a version there is no head either: HTTP/0.9.
        self.places[side.index()] = match fields.body() {
            _ if words.next().is_none() && fields.is_empty => Place::Head,
            Place::Rest => Place::Head,
            place => place,
        };
    }

    fn answer(&mut self, side: Side, first: &[u8], fields: &Fields<'_>, facts: &mut Facts) {
        let status = first.split(|byte| *byte == b' ').nth(1).and_then(|word| std::str::from_utf8(word).ok());
        let status = status.and_then(|word| word.trim().parse::<u16>().ok());
        // "100 Continue" and its like are not the answer yet: RFC 9110 §15.2.
        let interim = matches!(status, Some(100 | 102..=199));
        if interim {
            return;
        }
        if self.answered == facts.http.len() {
            if facts.http.len() >= EXCHANGES {
                self.left = true;
                return;
            }
            facts.http.push(Exchange::default());
            self.headless.push(false);
        }
        let kept = |value: &[u8]| text(value, TEXT);
        let Some(exchange) = facts.http.get_mut(self.answered) else { return };
        exchange.status = status;
        exchange.server = fields.server.map(kept);
        exchange.content_type = fields.content_type.map(kept);
        let connected = exchange.method.as_deref() == Some("CONNECT") && status.is_some_and(|status| status / 100 == 2);
        self.left = connected || status == Some(101);
        let bodiless = self.headless.get(self.answered) == Some(&true) || matches!(status, Some(204 | 304));
        self.answered += 1;
        self.places[side.index()] = if bodiless { Place::Head } else { fields.body() };
    }
}

/// The fields that matter.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    server: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    length: Option<u64>,
    chunked: bool,
    is_empty: bool,
}

impl<'a> Fields<'a> {
    fn read(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut fields = Self { is_empty: true, ..Self::default() };
        for line in lines {
            let Some(colon) = memchr(b':', line) else { continue };
            let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
            fields.is_empty = false;
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            if is("host") {
                fields.host.get_or_insert(value);
            } else if is("user-agent") {
                fields.user_agent.get_or_insert(value);
            } else if is("server") {
                fields.server.get_or_insert(value);
            } else if is("content-type") {
                fields.content_type.get_or_insert(value);
            } else if is("authorization") {
                fields.authorization.get_or_insert(value);
            } else if is("content-length") {
                fields.length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            } else if is("transfer-encoding") {
                fields.chunked |= value.to_ascii_lowercase().ends_with(b"chunked");
            }
        }
        fields
    }

    /// What follows the head: RFC 9112 §6.3, transfer coding before length.
    fn body(&self) -> Place {
        match self.length {
            _ if self.chunked => Place::Chunk,
            Some(0) => Place::Head,
            Some(length) => Place::Body(length),
            None => Place::Rest,
        }
    }
}

/// Bytes of the head with the empty line that ends it.
fn head(bytes: &[u8]) -> Option<usize> {
    let window = &bytes[..bytes.len().min(HEAD)];
    // A request line without a version is a head of its own.
    if let Some(end) = memchr(b'\n', window) {
        let line = window[..end].trim_ascii_end();
        if line.starts_with(b"GET ") && memmem::find(line, b" HTTP/").is_none() {
            return Some(end + 1);
        }
    }
    let mut from = 0;
    while let Some(end) = memchr(b'\n', &window[from..]) {
        let next = from + end + 1;
        match window.get(next..) {
            Some([b'\n', ..]) => return Some(next + 1),
            Some([b'\r', b'\n', ..]) => return Some(next + 2),
            _ => from = next,
        }
    }
    None
}

/// Whether a word can be a method: RFC 9110 §9.1 allows more, but nobody uses it.
pub fn is_method(word: &[u8]) -> bool {
    (3..=20).contains(&word.len()) && word.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_'))
}

/// The host of a target that names one.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let start = memmem::find(target, b"://")? + 3;
    target.get(start..)?.split(|byte| *byte == b'/').next().filter(|host| !host.is_empty())
}

fn chunk(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Who logs in with the Basic scheme; the password is not kept.
fn basic(value: &[u8]) -> Option<String> {
    let (scheme, credentials) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = STANDARD.decode(credentials.get(..credentials.len().min(TEXT * 2 / 4 * 4))?.trim_ascii()).ok()?;
    let user = decoded.split(|byte| *byte == b':').next()?;
    Some(text(user, TEXT))
}
