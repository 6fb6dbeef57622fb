//! DTLS's handshake in the clear: RFC 6347 and RFC 9147. Messages may be cut into fragments, and come in any order.

use super::{
    hello::{ClientHello, ServerHello},
    ja4::Transport,
    tls::Tls,
};
use crate::{assembly::Assembly, wire::Cursor};

/// Bytes of a handshake message that are put together.
const MESSAGE: usize = 1 << 15;
/// Messages that are put together at once.
const MESSAGES: usize = 8;
/// Datagrams that are read.
const DATAGRAMS: u8 = 32;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
/// After it the client, which has shown its certificate by then, encrypts.
const CLIENT_KEY_EXCHANGE: u8 = 16;

/// Whether a datagram begins with a record in the clear, or with one that has a connection id.
pub fn is_record(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes);
    let (Some(kind), Some(version), Some(_), Some(length)) =
        (cursor.u8(), cursor.u16(), cursor.array::<8>(), cursor.u16())
    else {
        return false;
    };
    matches!(kind, 20..=22) && matches!(version, 0xfeff | 0xfefd | 0x0100) && cursor.rest().len() >= usize::from(length)
}

/// A message that is not complete.
#[derive(Debug)]
struct Partial {
    sequence: u16,
    kind: u8,
    length: usize,
    body: Assembly,
}

/// A DTLS connection in its clear part.
#[derive(Debug, Default)]
pub struct Conversation {
    partial: Vec<Partial>,
    datagrams: u8,
    over: bool,
    tls: Tls,
}

impl Conversation {
    /// What was read so far.
    pub fn into_facts(self) -> Tls {
        self.tls
    }

    /// Whether no more is to be read.
    pub const fn over(&self) -> bool {
        self.over || self.datagrams >= DATAGRAMS
    }

    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        let partial = self.partial.iter().map(|partial| size_of::<Partial>() + partial.body.heap());
        size_of::<Self>() + partial.sum::<usize>() + self.tls.heap()
    }

    /// Reads the records of one datagram.
    pub fn datagram(&mut self, bytes: &[u8]) {
        self.datagrams += 1;
        let mut cursor = Cursor::new(bytes);
        while let (Some(kind), Some(_), Some(epoch)) = (cursor.u8(), cursor.u16(), cursor.u16()) {
            let (Some(_), Some(body)) = (cursor.array::<6>(), cursor.vector16()) else { return };
            // Later epochs are encrypted.
            if kind == HANDSHAKE && epoch == 0 {
                self.fragments(body);
            }
        }
    }

    fn fragments(&mut self, bytes: &[u8]) -> Option<()> {
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let (kind, length, sequence) = (cursor.u8()?, cursor.u24()? as usize, cursor.u16()?);
            let (offset, body) = (cursor.u24()? as usize, cursor.vector24()?);
            if length > MESSAGE || offset + body.len() > length {
                return None;
            }
            if body.len() == length {
                self.message(kind, body);
                continue;
            }
            let same = |partial: &Partial| (partial.sequence, partial.kind, partial.length) == (sequence, kind, length);
            let at = self.partial.iter().position(same).unwrap_or_else(|| {
                if self.partial.len() == MESSAGES {
                    self.partial.remove(0);
                }
                self.partial.push(Partial { sequence, kind, length, body: Assembly::default() });
                self.partial.len() - 1
            });
            self.partial[at].body.add(offset, body);
            if self.partial[at].body.prefix().len() == length {
                let whole = self.partial.remove(at);
                self.message(kind, whole.body.prefix());
            }
        }
        Some(())
    }

    fn message(&mut self, kind: u8, body: &[u8]) {
        match kind {
            CLIENT_HELLO => {
                if let Some(hello) = ClientHello::parse(body, true) {
                    self.tls.client(&hello, Transport::Datagrams);
                }
            }
            SERVER_HELLO => {
                if let Some(hello) = ServerHello::parse(body) {
                    self.tls.server(&hello);
                    self.over |= hello.version == 0xfefc && !hello.retry;
                }
            }
            CERTIFICATE => {
                let mut list = Cursor::new(Cursor::new(body).vector24().unwrap_or_default());
                let ders: Vec<_> = std::iter::from_fn(|| list.vector24()).collect();
                self.tls.chain(&ders, self.tls.certificates.is_empty());
            }
            CLIENT_KEY_EXCHANGE => self.over = true,
            _ => {}
        }
    }
}
