//! One client at the hub: the session's effects on channels are carried out here, what remains is IO.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    hub::{Connection, Hub, Identity},
    message::{Disconnect, Refusal},
    protocol::{Effect, Session},
};

/// What is left to do for whoever holds the socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this line.
    Send(Bytes),
    /// Find out who it is; answer with [`Peer::authenticated`].
    Authenticate {
        /// The token in `connect`; empty when the client gave none.
        token: String,
    },
    /// Close with this code.
    Close(Disconnect),
}

/// One client.
#[derive(Debug)]
pub struct Peer {
    hub: Arc<Hub>,
    session: Session,
    connection: Option<Connection>,
}

impl Peer {
    /// A client that has just opened its connection; `client` is unique among connections.
    pub fn new(hub: Arc<Hub>, client: impl Into<Box<str>>, now: Duration) -> Self {
        Self { hub, session: Session::new(client, now), connection: None }
    }

    /// Takes a frame.
    pub fn receive(&mut self, frame: &[u8], now: Duration) {
        self.session.receive(frame, now);
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Duration) {
        self.session.tick(now);
    }

    /// When [`Peer::tick`] has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        self.session.deadline()
    }

    /// Ends the connection.
    pub fn close(&mut self, why: Disconnect) {
        self.session.close(why);
    }

    /// The answer to [`Output::Authenticate`].
    pub fn authenticated(&mut self, outcome: Result<Identity, Disconnect>, now: Duration) {
        let outcome = outcome.map(|identity| self.connection = Some(self.hub.connect(identity)));
        self.session.authenticated(outcome, now);
        if self.session.is_closed() {
            self.connection = None;
        }
    }

    /// Hands on what was said in the channels it listens to.
    pub fn deliver(&mut self) {
        let Some(connection) = &self.connection else { return };
        let (waiting, end) = connection.take();
        for delivery in waiting {
            self.session.publication(delivery.key, &delivery.publication);
        }
        if let Some(why) = end {
            self.session.close(why);
        }
    }

    /// The next thing to do, or `None` until something else happens.
    pub fn poll(&mut self) -> Option<Output> {
        while let Some(effect) = self.session.poll() {
            match effect {
                Effect::Send(line) => return Some(Output::Send(line)),
                Effect::Authenticate { token } => return Some(Output::Authenticate { token }),
                Effect::Close(why) => {
                    self.connection = None;
                    return Some(Output::Close(why));
                }
                Effect::Subscribe { key, channel, recover } => {
                    let joined = self.connection.as_mut().map(|c| c.join(key, &channel, recover.as_ref()));
                    self.session.subscribed(joined.unwrap_or(Err(Refusal::PERMISSION_DENIED)));
                }
                Effect::Unsubscribe { key } => {
                    if let Some(connection) = &mut self.connection {
                        connection.leave(key);
                    }
                }
                Effect::History { channel, filter } => {
                    let kept = self.connection.as_ref().map(|c| c.history(&channel, &filter));
                    self.session.history(kept.unwrap_or(Err(Refusal::PERMISSION_DENIED)));
                }
            }
        }
        None
    }

    /// Waits until [`Peer::deliver`] has something to do.
    pub async fn changed(&self) {
        match &self.connection {
            Some(connection) => connection.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until the hub wants the connection to end.
    pub async fn ended(&self) -> Disconnect {
        match &self.connection {
            Some(connection) => connection.ended().await,
            None => std::future::pending().await,
        }
    }
}
