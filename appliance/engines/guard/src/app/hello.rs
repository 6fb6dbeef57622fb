//! What TLS's hellos say: RFC 8446 §4.1, RFC 5246 §7.4.1, and the extensions that name things.

use crate::wire::Cursor;

/// Random of a ServerHello that asks for another ClientHello: RFC 8446 §4.1.3.
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
/// RFC 9849: the name that is shown is the provider's, not the destination's.
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// What a client offers. Lists are in its order, GREASE (RFC 8701) included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// `legacy_version`.
    pub version: u16,
    /// `supported_versions`.
    pub versions: Vec<u16>,
    /// Cipher suites.
    pub ciphers: Vec<u16>,
    /// Types of all extensions.
    pub extensions: Vec<u16>,
    /// The server's name.
    pub name: Option<Vec<u8>>,
    /// Application protocols.
    pub alpn: Vec<Vec<u8>>,
    /// Signature algorithms.
    pub signatures: Vec<u16>,
    /// Whether there is an encrypted hello besides.
    pub encrypted: bool,
}

impl ClientHello {
    /// Reads the message's body. `None` when it ends before its cipher suites do; extensions are read as far as they go.
    pub fn parse(body: &[u8], datagrams: bool) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let version = cursor.u16()?;
        cursor.skip(32)?;
        cursor.vector8()?;
        if datagrams {
            // The cookie of RFC 6347 §4.2.1.
            cursor.vector8()?;
        }
        let ciphers = numbers(cursor.vector16()?);
        let mut hello = Self { version, ciphers, ..Self::default() };
        if cursor.vector8().is_some() {
            hello.read_extensions(&mut cursor);
        }
        Some(hello)
    }

    fn read_extensions(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let length = usize::from(cursor.u16()?);
        let rest = cursor.rest();
        let mut cursor = Cursor::new(rest.get(..length).unwrap_or(rest));
        while !cursor.is_empty() {
            let (kind, body) = (cursor.u16()?, cursor.vector16()?);
            self.extensions.push(kind);
            let mut body = Cursor::new(body);
            match kind {
                SERVER_NAME => {
                    let mut list = Cursor::new(body.vector16().unwrap_or_default());
                    if let (Some(0), Some(name)) = (list.u8(), list.vector16()) {
                        self.name = Some(name.to_vec());
                    }
                }
                ALPN => {
                    let mut list = Cursor::new(body.vector16().unwrap_or_default());
                    while let Some(protocol) = list.vector8() {
                        self.alpn.push(protocol.to_vec());
                    }
                }
                SIGNATURE_ALGORITHMS => self.signatures = numbers(body.vector16().unwrap_or_default()),
                SUPPORTED_VERSIONS => self.versions = numbers(body.vector8().unwrap_or_default()),
                ENCRYPTED_CLIENT_HELLO => self.encrypted = true,
                _ => {}
            }
        }
        Some(())
    }

    /// The newest version that is offered.
    pub fn newest(&self) -> u16 {
        self.versions.iter().copied().filter(|version| !is_grease(*version)).max().unwrap_or(self.version)
    }
}

/// What a server chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHello {
    /// The version that is spoken from now on.
    pub version: u16,
    /// Cipher suite.
    pub cipher: u16,
    /// Application protocol, where it is told in the clear (before TLS 1.3).
    pub alpn: Option<Vec<u8>>,
    /// It asks for another ClientHello.
    pub retry: bool,
}

impl ServerHello {
    /// Reads the message's body. `None` when it ends before its cipher suite does.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let version = cursor.u16()?;
        let retry = cursor.array::<32>()? == RETRY;
        // Drafts 18 to 21 of TLS 1.3 had no session id here.
        if version >> 8 != 0x7f {
            cursor.vector8()?;
        }
        let mut hello = Self { version, cipher: cursor.u16()?, alpn: None, retry };
        if version >> 8 != 0x7f {
            let _ = cursor.u8();
        }
        let mut extensions = Cursor::new(cursor.vector16().unwrap_or_default());
        while let (Some(kind), Some(body)) = (extensions.u16(), extensions.vector16()) {
            let mut body = Cursor::new(body);
            match kind {
                SUPPORTED_VERSIONS => hello.version = body.u16().unwrap_or(version),
                ALPN => {
                    let mut list = Cursor::new(body.vector16().unwrap_or_default());
                    hello.alpn = list.vector8().map(<[u8]>::to_vec);
                }
                _ => {}
            }
        }
        Some(hello)
    }
}

/// A version's name.
pub fn version_name(version: u16) -> String {
    match version {
        0x0002 => "SSL 2.0".into(),
        0x0300 => "SSL 3.0".into(),
        0x0301 => "TLS 1.0".into(),
        0x0302 => "TLS 1.1".into(),
        0x0303 => "TLS 1.2".into(),
        0x0304 => "TLS 1.3".into(),
        0x0100 | 0xfeff => "DTLS 1.0".into(),
        0xfefd => "DTLS 1.2".into(),
        0xfefc => "DTLS 1.3".into(),
        draft if draft >> 8 == 0x7f => format!("TLS 1.3 draft {}", draft & 0xff),
        other => format!("0x{other:04x}"),
    }
}

/// Values that mean nothing, RFC 8701.
pub const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

fn numbers(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}
