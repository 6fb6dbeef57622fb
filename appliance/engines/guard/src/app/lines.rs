//! Protocols of lines: SSH's and mail's banners, logins in the clear, SIP's heads.
//!
//! Only the beginning of a conversation is read; passwords are never kept.

use base64::{Engine, engine::general_purpose::STANDARD};
use memchr::memchr;
use serde::Serialize;

use super::{App, Facts};
use crate::{flow::Side, wire::text};

/// Lines of each side that are read.
const LINES: u8 = 48;
/// Bytes of a line that are waited for.
const LINE: usize = 4096;
/// Bytes of a text that are kept.
const TEXT: usize = 255;

/// Whether a protocol is one of lines.
pub const fn speaks(app: App) -> bool {
    matches!(app, App::Ssh | App::Smtp | App::Ftp | App::Pop3 | App::Imap | App::Irc | App::Sip)
}

/// What SIP says first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sip {
    /// `INVITE`, `REGISTER` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Who calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The last final status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What the caller's device calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

impl Sip {
    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        let texts = [&self.method, &self.from, &self.to, &self.user_agent];
        texts.into_iter().flatten().map(String::capacity).sum()
    }
}

/// A conversation in lines.
#[derive(Debug, Default)]
pub struct Conversation {
    lines: [u8; 2],
    user: Option<String>,
    /// The client will send its name, or its name and password, in the next line: SMTP's and POP3's AUTH.
    credentials: Option<Credentials>,
    left: bool,
}

#[derive(Clone, Copy, Debug)]
enum Credentials {
    Plain,
    Login,
}

impl Conversation {
    /// Whether enough was read.
    pub const fn left(&self) -> bool {
        self.left
    }

    /// Bytes were lost: the next line is no line.
    pub const fn gap(&mut self, _side: Side) {}

    /// Reads what one side says; returns how many bytes were used.
    pub fn stream(&mut self, side: Side, bytes: &[u8], app: App, facts: &mut Facts) -> usize {
        let mut used = 0;
        while let Some(end) = memchr(b'\n', &bytes[used..]) {
            let line = &bytes[used..used + end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // TLS may begin behind any line.
            used += end + 1;
            self.lines[side.index()] += 1;
            self.line(side, line, app, facts);
            self.left |= self.lines[side.index()] >= LINES;
            if self.left || bytes.get(used) == Some(&0x16) {
                return used;
            }
        }
        if bytes.len() - used > LINE {
            self.left = true;
            return bytes.len();
        }
        used
    }

    fn line(&mut self, side: Side, line: &[u8], app: App, facts: &mut Facts) {
        let kept = || Some(text(line, TEXT));
        match app {
            App::Ssh => {
                if line.starts_with(b"SSH-") {
                    let name = if side == Side::Initiator { &mut facts.client } else { &mut facts.server };
                    *name = kept();
                    self.lines[side.index()] = LINES - 1;
                    let both = facts.client.is_some() && facts.server.is_some();
                    self.left = both;
                }
            }
            App::Sip => self.sip_line(line, facts),
            _ => {
                if side == Side::Responder
                    && facts.server.is_none()
                    && matches!(app, App::Smtp | App::Ftp | App::Pop3 | App::Imap)
                {
                    facts.server = kept();
                }
                self.login(side, line, app, facts);
            }
        }
    }

    fn sip_line(&mut self, line: &[u8], facts: &mut Facts) {
        let sip = facts.sip.get_or_insert_default();
        head_line(line, sip);
        self.left |= line.is_empty();
    }

    /// Notices who logs in with a password in the clear.
    fn login(&mut self, side: Side, line: &[u8], app: App, facts: &mut Facts) {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).take(4).collect();
        let verb = |at: usize| words.get(at).map(|word| word.to_ascii_uppercase()).unwrap_or_default();
        if let Some(kind) = self.credentials.take_if(|_| side == Side::Initiator) {
            facts.plaintext_login = credentials(kind, line);
            return;
        }
        match (app, verb(0).as_slice(), verb(1).as_slice()) {
            (App::Ftp | App::Pop3, b"USER", _) => self.user = words.get(1).map(|user| text(user, TEXT)),
            (App::Ftp | App::Pop3, b"PASS", _) => facts.plaintext_login = self.user.clone(),
            (App::Imap, _, b"LOGIN") => {
                let quoted = words.get(2).map(|user| user.strip_prefix(b"\"").unwrap_or(user));
                let user = quoted.map(|user| text(user.strip_suffix(b"\"").unwrap_or(user), TEXT));
                facts.plaintext_login = user;
            }
            (App::Imap, _, b"AUTHENTICATE") if words.get(2).is_some_and(|kind| kind.eq_ignore_ascii_case(b"plain")) => {
                match words.get(3) {
                    Some(initial) => facts.plaintext_login = credentials(Credentials::Plain, initial),
                    None => self.credentials = Some(Credentials::Plain),
                }
            }
            (App::Smtp | App::Pop3, b"AUTH", b"PLAIN") => match words.get(2) {
                Some(initial) => facts.plaintext_login = credentials(Credentials::Plain, initial),
                None => self.credentials = Some(Credentials::Plain),
            },
            (App::Smtp | App::Pop3, b"AUTH", b"LOGIN") => match words.get(2) {
                Some(initial) => facts.plaintext_login = credentials(Credentials::Login, initial),
                None => self.credentials = Some(Credentials::Login),
            },
            (App::Smtp, b"DATA" | b"BDAT", _) if side == Side::Initiator => self.left = true,
            _ => {}
        }
    }
}

/// Who logs in: RFC 4616 for PLAIN (authorization, name, password between zeros); LOGIN sends the name alone.
fn credentials(kind: Credentials, line: &[u8]) -> Option<String> {
    let decoded = STANDARD.decode(line.get(..line.len().min(1024))?.trim_ascii()).ok()?;
    let user = match kind {
        Credentials::Plain => decoded.split(|byte| *byte == 0).nth(1)?,
        Credentials::Login => &decoded,
    };
    Some(text(user, TEXT))
}

/// Reads a SIP message in a datagram.
pub fn sip(bytes: &[u8], facts: &mut Facts) {
    let sip = facts.sip.get_or_insert_default();
    for line in bytes.split(|byte| *byte == b'\n').take(usize::from(LINES)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        head_line(line, sip);
    }
}

fn head_line(line: &[u8], sip: &mut Sip) {
    if let Some(rest) = line.strip_prefix(b"SIP/2.0 ") {
        let status = rest.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok());
        sip.status = status.filter(|status| *status >= 200).or(sip.status);
        return;
    }
    if line.ends_with(b" SIP/2.0") {
        let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        sip.method.get_or_insert_with(|| text(method, TEXT));
        return;
    }
    let Some(colon) = memchr(b':', line) else { return };
    let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
    let field = match name.to_ascii_lowercase().as_slice() {
        b"from" | b"f" => &mut sip.from,
        b"to" | b"t" => &mut sip.to,
        b"user-agent" => &mut sip.user_agent,
        _ => return,
    };
    field.get_or_insert_with(|| text(value, TEXT));
}
