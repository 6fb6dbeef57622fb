//! The words of the protocol: commands a client sends, replies and codes it gets back.
//!
//! Source: `definitions/client.proto` of centrifugal/protocol, in its JSON mapping: one object a line, fields by their
//! snake-case names, unknown fields ignored. A client may name several requests in one command; the first known one counts.

use serde::{Deserialize, Serialize};

use super::stream::{Position, Publication};

/// Why the server closes a connection. Sent as the WebSocket's close code and reason.
///
/// Clients come back after 3000–3499 and stay away after 3500–3999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// The close code.
    pub code: u16,
    /// For the log of whoever debugs it.
    pub reason: &'static str,
}

impl Disconnect {
    /// The server stops.
    pub const SHUTDOWN: Self = Self { code: 3001, reason: "shutdown" };
    /// What authenticated the connection has ended.
    pub const EXPIRED: Self = Self { code: 3005, reason: "connection expired" };
    /// The client read too slowly.
    pub const SLOW: Self = Self { code: 3008, reason: "slow" };
    /// The socket did not take what was written.
    pub const WRITE_ERROR: Self = Self { code: 3009, reason: "write error" };
    /// The client did not answer a ping.
    pub const NO_PONG: Self = Self { code: 3012, reason: "no pong" };
    /// More unread commands than a connection may have waiting.
    pub const TOO_MANY_REQUESTS: Self = Self { code: 3013, reason: "too many requests" };
    /// Neither the session nor the token is valid.
    pub const INVALID_TOKEN: Self = Self { code: 3500, reason: "invalid token" };
    /// The client does not speak the protocol.
    pub const BAD_REQUEST: Self = Self { code: 3501, reason: "bad request" };
    /// No `connect` in time.
    pub const STALE: Self = Self { code: 3502, reason: "stale" };
    /// Somebody ended it and it shall not come back by itself.
    pub const FORCED: Self = Self { code: 3503, reason: "force disconnect" };
    /// The client sent a message that nobody here reads.
    pub const NOT_AVAILABLE: Self = Self { code: 3508, reason: "not available" };
    /// RFC 6455 §7.4.1: a message larger than allowed.
    pub const MESSAGE_TOO_BIG: Self = Self { code: 1009, reason: "message too big" };
}

/// Why one command failed; the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The protocol's code.
    pub code: u32,
    /// For the log of whoever debugs it.
    pub message: &'static str,
}

impl Refusal {
    /// The right is missing, or the channel is nobody's.
    pub const PERMISSION_DENIED: Self = Self { code: 103, message: "permission denied" };
    /// One subscription a channel and connection.
    pub const ALREADY_SUBSCRIBED: Self = Self { code: 105, message: "already subscribed" };
    /// Too many channels on one connection.
    pub const LIMIT_EXCEEDED: Self = Self { code: 106, message: "limit exceeded" };
    /// The request makes no sense.
    pub const BAD_REQUEST: Self = Self { code: 107, message: "bad request" };
    /// A part of the protocol that this server does not offer.
    pub const NOT_AVAILABLE: Self = Self { code: 108, message: "not available" };
    /// History of another epoch was asked for.
    pub const UNRECOVERABLE_POSITION: Self = Self { code: 112, message: "unrecoverable position" };
}

/// Why the server ends one subscription; 2500 and above make the client subscribe again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Unsubscribed {
    /// The protocol's code.
    pub code: u32,
    /// For the log of whoever debugs it.
    pub reason: &'static str,
}

impl Unsubscribed {
    /// A right was taken away.
    pub const SERVER: Self = Self { code: 2000, reason: "server unsubscribe" };
    /// A publication is missing: subscribe again and recover.
    pub const INSUFFICIENT_STATE: Self = Self { code: 2500, reason: "insufficient state" };
}

/// One command.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Command {
    pub id: u32,
    pub connect: Option<Connect>,
    pub subscribe: Option<Subscribe>,
    pub unsubscribe: Option<InChannel>,
    pub publish: Option<InChannel>,
    pub presence: Option<InChannel>,
    pub presence_stats: Option<InChannel>,
    pub history: Option<History>,
    pub ping: Option<Nothing>,
    pub send: Option<Nothing>,
    pub rpc: Option<Nothing>,
    pub refresh: Option<Nothing>,
    pub sub_refresh: Option<InChannel>,
}

/// Any object whose content does not matter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Nothing {}

/// `connect`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Connect {
    pub token: String,
}

/// A request about a channel.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct InChannel {
    pub channel: String,
}

/// `subscribe`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Subscribe {
    pub channel: String,
    pub recover: bool,
    pub epoch: String,
    pub offset: u64,
}

/// `history`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct History {
    pub channel: String,
    pub limit: i32,
    pub since: Option<Position>,
    pub reverse: bool,
}

/// The answer to one command.
#[derive(Debug, Default, Serialize)]
pub(super) struct Reply<'a> {
    pub id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Connected<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Subscribed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<Empty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Page<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<Empty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refreshed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_refresh: Option<Empty>,
}

/// `{}`.
#[derive(Debug, Serialize)]
pub(super) struct Empty {}

/// The result of `connect`. `ping` is in seconds; `pong` asks the client to answer pings.
#[derive(Debug, Serialize)]
pub(super) struct Connected<'a> {
    pub client: &'a str,
    pub version: &'a str,
    pub ping: u64,
    pub pong: bool,
}

/// The result of `refresh`: this server expires a connection itself.
#[derive(Debug, Serialize)]
pub(super) struct Refreshed<'a> {
    pub client: &'a str,
    pub version: &'a str,
}

/// The result of `subscribe`.
#[derive(Debug, Serialize)]
pub(super) struct Subscribed<'a> {
    pub recoverable: bool,
    pub positioned: bool,
    pub epoch: &'a str,
    /// Where the client was when it recovers, else the newest offset.
    pub offset: u64,
    pub was_recovering: bool,
    pub recovered: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publications: Vec<&'a Publication>,
}

/// The result of `history`.
#[derive(Debug, Serialize)]
pub(super) struct Page<'a> {
    pub publications: Vec<&'a Publication>,
    pub epoch: &'a str,
    pub offset: u64,
}

/// What the server says unasked, other than a publication.
#[derive(Debug, Serialize)]
pub(super) struct UnsubscribePush<'a> {
    pub push: UnsubscribeIn<'a>,
}

/// The end of a subscription.
#[derive(Debug, Serialize)]
pub(super) struct UnsubscribeIn<'a> {
    pub channel: &'a str,
    pub unsubscribe: Unsubscribed,
}
