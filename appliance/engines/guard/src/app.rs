//! What is spoken, told by what is said: content first, ports only where content leaves a doubt.
//!
//! A [`Session`] is handed what both sides of a flow say, in order, and keeps [`Facts`]. It asks for no more bytes than
//! it needs: once all is learnt, its flow is only counted. TLS may begin in the middle of any conversation (STARTTLS, a
//! proxy's CONNECT, SSLRequest): its hello is looked for wherever a message may begin.
//!
//! What is kept of a flow is bounded: so many messages of each kind, so many bytes of each text.

pub mod certificate;
mod detect;
pub mod dhcp;
pub mod dns;
mod dtls;
pub mod hello;
pub mod http;
pub mod ja4;
mod lines;
mod name;
mod quic;
mod telnet;
pub mod tls;

use serde::Serialize;

use crate::{flow::Side, packet::UDP};
use detect::Guess;
pub use name::App;

/// Bytes of each side in which a conversation may turn into TLS.
const WATCHED: usize = 16 << 10;
/// Datagrams of each side that are looked at before a flow stays unknown.
const PATIENCE: u8 = 8;

/// What was said in a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// TLS, DTLS, or QUIC's handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<tls::Tls>,
    /// HTTP requests with their answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<http::Exchange>,
    /// DNS, mDNS, LLMNR and NetBIOS names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<dns::Message>,
    /// DHCP messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dhcp: Vec<dhcp::Message>,
    /// What the initiator called its software: SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What the responder called its software: the banner of SSH, SMTP, FTP, POP3, IMAP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Who logged in where a password went in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plaintext_login: Option<String>,
    /// The telephone call's method or state, as SIP has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip: Option<lines::Sip>,
}

impl Facts {
    /// Bytes on the heap, itself included.
    pub fn heap(&self) -> usize {
        let texts = [&self.client, &self.server, &self.plaintext_login];
        size_of::<Self>()
            + self.tls.as_ref().map_or(0, tls::Tls::heap)
            + self.http.iter().map(http::Exchange::heap).sum::<usize>()
            + self.dns.iter().map(dns::Message::heap).sum::<usize>()
            + self.dhcp.iter().map(dhcp::Message::heap).sum::<usize>()
            + texts.iter().filter_map(|text| text.as_ref()).map(String::capacity).sum::<usize>()
            + self.sip.as_ref().map_or(0, lines::Sip::heap)
    }
}

/// How the conversation goes on.
#[derive(Debug)]
enum Speech {
    /// Nobody knows yet; who has said something that nothing begins with.
    Unknown { refused: [bool; 2], looked: [u8; 2], rtp: [Option<(u16, u32)>; 2] },
    /// TLS.
    Tls(Box<tls::Conversation>),
    /// HTTP.
    Http(Box<http::Conversation>),
    /// Messages with their length before them: DNS over TCP.
    Dns,
    /// Lines of text.
    Lines(Box<lines::Conversation>),
    /// A terminal, until somebody has logged in.
    Telnet(Box<telnet::Conversation>),
    /// Known; TLS may still begin.
    Watched { bytes: [usize; 2] },
    /// QUIC until its hello is complete.
    Quic(Box<quic::Conversation>),
    /// DTLS until its hellos are complete.
    Dtls(Box<dtls::Conversation>),
    /// Datagrams that are read one by one.
    Messages,
    /// Nothing more to learn.
    Over,
}

/// What is known of a flow's content.
#[derive(Debug)]
pub struct Session {
    app: Option<App>,
    speech: Speech,
    facts: Box<Facts>,
    heap: usize,
    silenced: [bool; 2],
}

impl Default for Session {
    fn default() -> Self {
        Self {
            app: None,
            speech: Speech::Unknown { refused: [false; 2], looked: [0; 2], rtp: [None; 2] },
            facts: Box::default(),
            heap: size_of::<Facts>(),
            silenced: [false; 2],
        }
    }
}

impl Session {
    /// Whether it is not yet known what is spoken.
    pub const fn is_unknown(&self) -> bool {
        matches!(self.speech, Speech::Unknown { .. })
    }

    /// Whether nothing more can be learnt.
    pub fn over(&self) -> bool {
        matches!(self.speech, Speech::Over)
    }

    /// Whether a side's stream is still listened to.
    pub fn wants(&self, side: Side) -> bool {
        if self.silenced[side.index()] {
            return false;
        }
        match &self.speech {
            Speech::Over => false,
            Speech::Tls(conversation) => conversation.wants(side),
            Speech::Watched { bytes } => bytes[side.index()] < WATCHED,
            _ => true,
        }
    }

    /// Bytes on the heap.
    pub const fn heap(&self) -> usize {
        self.heap
    }

    /// What was understood.
    pub fn into_parts(self) -> (Option<App>, Option<Box<Facts>>) {
        let facts = (*self.facts != Facts::default()).then_some(self.facts);
        (self.app, facts)
    }

    /// Bytes of a stream, in order, beginning with those that were not used before; returns how many were used.
    pub fn stream(&mut self, side: Side, bytes: &[u8], ports: [u16; 2]) -> usize {
        let used = self.read(side, bytes, ports);
        self.settle();
        used
    }

    fn read(&mut self, side: Side, bytes: &[u8], ports: [u16; 2]) -> usize {
        if !matches!(self.speech, Speech::Unknown { .. } | Speech::Tls(_) | Speech::Over) {
            match tls::begins(bytes) {
                Some(true) => self.speech = Speech::Tls(Box::default()),
                Some(false) => {}
                None if bytes.is_empty() => {}
                None => return 0,
            }
        }
        match &mut self.speech {
            Speech::Unknown { refused, .. } => match detect::stream(side, bytes, ports) {
                Guess::More if bytes.len() < detect::ENOUGH => 0,
                Guess::More | Guess::No => {
                    refused[side.index()] = true;
                    if *refused == [true, true] {
                        self.speech = Speech::Watched { bytes: [0; 2] };
                    }
                    // Kept until the other side has spoken.
                    if bytes.len() < detect::ENOUGH { 0 } else { bytes.len() }
                }
                Guess::App(app) => {
                    self.app = Some(app);
                    self.speech = match app {
                        App::Tls => Speech::Tls(Box::default()),
                        App::Http => Speech::Http(Box::default()),
                        App::Dns => Speech::Dns,
                        App::Telnet => Speech::Telnet(Box::default()),
                        app if lines::speaks(app) => Speech::Lines(Box::default()),
                        _ => Speech::Watched { bytes: [0; 2] },
                    };
                    self.read(side, bytes, ports)
                }
            },
            Speech::Tls(conversation) => conversation.stream(side, bytes),
            Speech::Http(conversation) => {
                let used = conversation.stream(side, bytes, &mut self.facts);
                if conversation.left() {
                    self.speech = Speech::Watched { bytes: [0; 2] };
                }
                used
            }
            Speech::Dns => {
                let used = dns::stream(bytes, &mut self.facts.dns);
                if self.facts.dns.len() >= dns::MESSAGES {
                    self.speech = Speech::Over;
                }
                used
            }
            Speech::Lines(conversation) => {
                let app = self.app.unwrap_or(App::Smtp);
                let used = conversation.stream(side, bytes, app, &mut self.facts);
                if conversation.left() {
                    self.speech = Speech::Watched { bytes: [0; 2] };
                }
                used
            }
            Speech::Telnet(conversation) => {
                conversation.stream(side, bytes, &mut self.facts);
                if conversation.left() {
                    self.speech = Speech::Watched { bytes: [0; 2] };
                }
                bytes.len()
            }
            Speech::Watched { bytes: watched } => {
                watched[side.index()] += bytes.len();
                bytes.len()
            }
            Speech::Quic(_) | Speech::Dtls(_) | Speech::Messages | Speech::Over => bytes.len(),
        }
    }

    /// One datagram.
    pub fn datagram(&mut self, side: Side, bytes: &[u8], protocol: u8, ports: [u16; 2]) {
        if protocol != UDP {
            self.speech = Speech::Over;
            return;
        }
        if let Speech::Unknown { looked, rtp, .. } = &mut self.speech {
            match detect::datagram(side, bytes, ports) {
                // Finds the way for what follows on the same ports: WebRTC's DTLS, telephony's RTP.
                Some(App::Stun) => self.app = Some(App::Stun),
                Some(app) => {
                    self.app = Some(app);
                    self.speech = match app {
                        App::Quic => Speech::Quic(Box::default()),
                        App::Dtls => Speech::Dtls(Box::default()),
                        App::Dns | App::Mdns | App::Llmnr | App::Netbios | App::Dhcp | App::Sip => Speech::Messages,
                        _ => Speech::Over,
                    };
                }
                None => {
                    looked[side.index()] += 1;
                    let seen = std::mem::replace(&mut rtp[side.index()], detect::rtp(bytes));
                    if let (Some((before, source)), Some((number, same))) = (seen, rtp[side.index()]) {
                        // The next packet of the same source.
                        if source == same && number == before.wrapping_add(1) {
                            self.app = Some(App::Rtp);
                            self.speech = Speech::Over;
                        }
                    } else if looked[side.index()] >= PATIENCE {
                        self.speech = Speech::Over;
                    }
                }
            }
        }
        match &mut self.speech {
            Speech::Quic(conversation) => conversation.datagram(side, bytes),
            Speech::Dtls(conversation) => conversation.datagram(bytes),
            Speech::Messages => match self.app {
                Some(App::Dhcp) => dhcp::keep(bytes, &mut self.facts.dhcp),
                Some(App::Sip) => lines::sip(bytes, &mut self.facts),
                _ => dns::keep(bytes, &mut self.facts.dns),
            },
            _ => {}
        }
        self.settle();
    }

    /// Bytes of a stream were lost.
    pub fn gap(&mut self, side: Side) {
        match &mut self.speech {
            Speech::Unknown { .. } | Speech::Watched { .. } | Speech::Over => {}
            Speech::Tls(conversation) => conversation.gap(side),
            Speech::Http(conversation) => conversation.gap(side),
            Speech::Lines(conversation) => conversation.gap(side),
            _ => self.silenced[side.index()] = true,
        }
        self.settle();
    }

    /// A side says nothing that can be used.
    pub fn give_up(&mut self, side: Side) {
        self.silenced[side.index()] = true;
        self.settle();
    }

    /// The flow has ended.
    pub fn finish(&mut self) {
        match std::mem::replace(&mut self.speech, Speech::Over) {
            Speech::Tls(conversation) => self.facts.tls = Some(conversation.into_facts()),
            Speech::Quic(conversation) => self.facts.tls = conversation.into_facts(),
            Speech::Dtls(conversation) => self.facts.tls = Some(conversation.into_facts()),
            _ => {}
        }
    }

    /// Ends what has nothing more to tell, and counts what is kept.
    fn settle(&mut self) {
        let over = match &self.speech {
            Speech::Quic(conversation) => conversation.over(),
            Speech::Dtls(conversation) => conversation.over(),
            Speech::Messages => self.facts.dns.len() >= dns::MESSAGES || self.facts.dhcp.len() >= dhcp::MESSAGES,
            Speech::Over => false,
            // Datagrams silence nobody.
            _ => !self.wants(Side::Initiator) && !self.wants(Side::Responder),
        };
        if over {
            self.finish();
        }
        let speech = match &self.speech {
            Speech::Tls(conversation) => conversation.heap(),
            Speech::Http(conversation) => conversation.heap(),
            Speech::Lines(_) => size_of::<lines::Conversation>(),
            Speech::Telnet(conversation) => conversation.heap(),
            Speech::Quic(conversation) => conversation.heap(),
            Speech::Dtls(conversation) => conversation.heap(),
            _ => 0,
        };
        self.heap = speech + self.facts.heap();
    }
}

#[cfg(test)]
mod tests;
