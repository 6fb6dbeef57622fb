//! A [`Peer`] on a real WebSocket.
//!
//! A connection is one task. It never holds more than a frame's worth of lines: whatever the client does not read stays
//! in its bounded mailbox, and overflows there. Lines that wait together leave in one frame.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use bytes::Bytes;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    hub::{Hub, Identity},
    message::Disconnect,
    peer::{Output, Peer},
};
use crate::engine::BoxFuture;

/// A frame is sent when this many bytes of lines are ready, or when there are no more.
const FRAME: usize = 32 * 1024;

/// How long the socket may take no bytes at all.
const WRITE: Duration = Duration::from_secs(10);

/// How long a client may take to answer the close frame.
const FAREWELL: Duration = Duration::from_secs(2);

/// Finds out whose token it is; `None` when it is nobody's.
pub type TokenCheck = Arc<dyn Fn(String) -> BoxFuture<Option<Identity>> + Send + Sync>;

/// How it is known who connects.
#[derive(Clone)]
pub enum Access {
    /// By the request that opened the WebSocket.
    Known(Identity),
    /// By the token in `connect`.
    Token(TokenCheck),
}

impl Access {
    async fn check(&self, token: String) -> Result<Identity, Disconnect> {
        match self {
            Self::Known(identity) => Ok(identity.clone()),
            Self::Token(check) => check(token).await.ok_or(Disconnect::INVALID_TOKEN),
        }
    }
}

/// Sets the sizes: an idle connection holds little, and a message has a bound.
pub fn upgrade(request: WebSocketUpgrade) -> WebSocketUpgrade {
    // Above the protocol's own bound, so that a message somewhat too large is answered with a code.
    const MESSAGE: usize = 4 * super::protocol::MAX_FRAME;
    request.read_buffer_size(1024).write_buffer_size(0).max_message_size(MESSAGE).max_frame_size(MESSAGE)
}

/// Serves a connection until either side ends it, or the server stops.
pub async fn serve(mut socket: WebSocket, hub: Arc<Hub>, access: Access, shutdown: CancellationToken) {
    let client = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    if let Some(why) = converse(&mut socket, hub, client, access, shutdown).await {
        farewell(socket, why).await;
    }
}

/// Returns how to close; `None` when there is nobody left to tell.
async fn converse(
    socket: &mut WebSocket,
    hub: Arc<Hub>,
    client: Uuid,
    access: Access,
    shutdown: CancellationToken,
) -> Option<Disconnect> {
    let opened = Instant::now();
    let mut peer = Peer::new(hub, client.to_string(), Duration::ZERO);
    loop {
        peer.deliver();
        let mut lines = Lines::default();
        while let Some(output) = peer.poll() {
            match output {
                Output::Send(line) => {
                    if let Some(full) = lines.push(line)
                        && let Err(why) = write(socket, &peer, full).await
                    {
                        return Some(why);
                    }
                }
                Output::Authenticate { token } => {
                    let until = opened + peer.deadline().unwrap_or_default();
                    let outcome = tokio::select! {
                        outcome = tokio::time::timeout_at(until, access.check(token)) => outcome.unwrap_or(Err(Disconnect::STALE)),
                        () = shutdown.cancelled() => Err(Disconnect::SHUTDOWN),
                    };
                    peer.authenticated(outcome, opened.elapsed());
                }
                Output::Close(why) => {
                    if let Some(rest) = lines.take() {
                        write(socket, &peer, rest).await.ok()?;
                    }
                    return Some(why);
                }
            }
        }
        if let Some(rest) = lines.take()
            && let Err(why) = write(socket, &peer, rest).await
        {
            return Some(why);
        }
        let deadline = opened + peer.deadline().unwrap_or_default();
        tokio::select! {
            message = socket.recv() => match message? {
                Ok(Message::Text(text)) => peer.receive(text.as_bytes(), opened.elapsed()),
                Ok(Message::Binary(bytes)) => peer.receive(&bytes, opened.elapsed()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) | Err(_) => return None,
            },
            () = peer.changed() => {}
            () = tokio::time::sleep_until(deadline) => peer.tick(opened.elapsed()),
            () = shutdown.cancelled() => peer.close(Disconnect::SHUTDOWN),
        }
    }
}

/// Writes a frame, unless the client takes too long: then the mailbox runs over, or the time out.
async fn write(socket: &mut WebSocket, peer: &Peer, frame: Message) -> Result<(), Disconnect> {
    tokio::select! {
        written = timeout(WRITE, socket.send(frame)) => match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Disconnect::WRITE_ERROR),
        },
        why = peer.ended() => Err(why),
    }
}

/// Sends the close frame and lets the client read it: a socket that is dropped with unread bytes resets the connection,
/// and the reset can overtake the code.
async fn farewell(mut socket: WebSocket, why: Disconnect) {
    let close = Message::Close(Some(CloseFrame { code: why.code, reason: Utf8Bytes::from_static(why.reason) }));
    let farewell = async {
        if socket.send(close).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // Whoever does not answer in time has been told as well as could be.
    let _ = timeout(FAREWELL, farewell).await;
}

/// Lines that will leave together. A single one is not copied.
#[derive(Default)]
struct Lines {
    first: Option<Bytes>,
    joined: Vec<u8>,
}

impl Lines {
    /// Adds a line; gives back a frame when there is enough for one.
    fn push(&mut self, line: Bytes) -> Option<Message> {
        if self.joined.is_empty() {
            match self.first.take() {
                None => self.first = Some(line),
                Some(first) => {
                    self.joined.extend_from_slice(&first);
                    self.append(&line);
                }
            }
        } else {
            self.append(&line);
        }
        let size = self.joined.len().max(self.first.as_ref().map_or(0, Bytes::len));
        if size >= FRAME { self.take() } else { None }
    }

    fn append(&mut self, line: &[u8]) {
        self.joined.push(b'\n');
        self.joined.extend_from_slice(line);
    }

    /// What there is.
    fn take(&mut self) -> Option<Message> {
        let bytes = self.first.take().or_else(|| {
            let joined = std::mem::take(&mut self.joined);
            (!joined.is_empty()).then(|| joined.into())
        })?;
        Some(match Utf8Bytes::try_from(bytes.clone()) {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Binary(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: Option<Message>) -> String {
        message.unwrap().into_text().unwrap().to_string()
    }

    #[test]
    fn lines_leave_together() {
        let mut lines = Lines::default();
        assert!(lines.take().is_none());
        for line in ["one", "two", "three"] {
            assert!(lines.push(Bytes::from(line)).is_none());
        }
        assert_eq!(text(lines.take()), "one\ntwo\nthree");
        assert!(lines.push(Bytes::from("four")).is_none());
        assert_eq!(text(lines.take()), "four");
        assert_eq!(text(lines.push("x".repeat(FRAME).into())).len(), FRAME);
        assert!(lines.take().is_none());
    }
}
