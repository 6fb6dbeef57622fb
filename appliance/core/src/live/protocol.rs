//! One connection's side of the protocol, without IO: bytes and the time go in, lines and effects come out.
//!
//! Commands are taken strictly in order. While an effect waits for its answer ([`Session::authenticated`],
//! [`Session::subscribed`], [`Session::history`]) no further command is read, so that a `subscribe` in the same frame as
//! the `connect` finds the connection open. Every command gets exactly one reply, or the connection ends with a code.
//!
//! A subscriber sees offsets without holes or repetition: what it has already seen is dropped, and a hole ends the
//! subscription with the code that makes the client subscribe again and recover.
//!
//! Time is the monotonic duration since any fixed moment; only differences matter.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;

use super::{
    message::{
        Command, Connect, Connected, Disconnect, Empty, History, InChannel, Page, Refreshed, Refusal, Reply, Subscribe,
        Subscribed, UnsubscribeIn, UnsubscribePush, Unsubscribed,
    },
    stream::{HistoryFilter, Position, Publication, split_organization},
};

/// How often the server says `{}`; a client that hears nothing for this long and 10 s more comes back by itself.
pub const PING: Duration = Duration::from_secs(25);

/// How long the client may take to answer.
pub const PONG: Duration = Duration::from_secs(10);

/// How long a connection may stay without a successful `connect`.
pub const STALE: Duration = Duration::from_secs(15);

/// Bytes of one frame, and of all commands that wait to be read.
pub const MAX_FRAME: usize = 64 * 1024;

/// Subscriptions on one connection.
pub const MAX_CHANNELS: usize = 128;

/// Bytes of a channel's name, its organisation included.
pub const MAX_CHANNEL_NAME: usize = 255;

/// A burst of effects that needed more room than this gives it back.
const KEEP_CAPACITY: usize = 32;

/// What the server calls itself in the answer to `connect`.
const VERSION: &str = concat!("sent ", env!("CARGO_PKG_VERSION"));

/// What the session wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send this line.
    Send(Bytes),
    /// Find out who it is; answer with [`Session::authenticated`].
    Authenticate {
        /// The token in `connect`; empty when the client gave none.
        token: String,
    },
    /// Join a channel; answer with [`Session::subscribed`].
    Subscribe {
        /// What the session calls this subscription; it grows and is never used twice.
        key: u64,
        /// What the client calls the channel.
        channel: Arc<str>,
        /// Where the client was, when it wants what it missed.
        recover: Option<Position>,
    },
    /// Leave the channel.
    Unsubscribe {
        /// The subscription.
        key: u64,
    },
    /// Read what is kept; answer with [`Session::history`].
    History {
        /// What the client calls the channel.
        channel: Arc<str>,
        /// Which part.
        filter: HistoryFilter,
    },
    /// Close with this code. The last effect of a session.
    Close(Disconnect),
}

/// A channel that was joined.
#[derive(Debug)]
pub struct Joined {
    /// The newest place, from which publications will follow.
    pub top: Position,
    /// All that was missed, when that could be told.
    pub missed: Option<Vec<Arc<Publication>>>,
}

/// A page of a channel's history.
#[derive(Debug)]
pub struct Kept {
    /// The newest place.
    pub top: Position,
    /// What was asked for.
    pub publications: Vec<Arc<Publication>>,
}

#[derive(Debug)]
enum State {
    /// Nobody is authenticated; ends at this moment.
    Fresh { until: Duration },
    /// Authenticated.
    Open { ping_at: Duration, pong_by: Option<Duration> },
    /// Over.
    Closed,
}

#[derive(Debug)]
enum Waiting {
    Authentication { id: u32 },
    Subscription { id: u32, recover: Option<Position>, subscription: Subscription },
    History { id: u32 },
}

#[derive(Debug)]
struct Subscription {
    key: u64,
    channel: Arc<str>,
    qualified: bool,
    offset: u64,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    client: Box<str>,
    state: State,
    now: Duration,
    /// Commands not read yet: lines, from `read` on.
    frame: Vec<u8>,
    read: usize,
    waiting: Option<Waiting>,
    /// By ascending key.
    subscriptions: Vec<Subscription>,
    next_key: u64,
    effects: VecDeque<Effect>,
}

impl Session {
    /// A connection that has just been opened. `client` is the id the client is told; it is unique among connections.
    pub fn new(client: impl Into<Box<str>>, now: Duration) -> Self {
        Self {
            client: client.into(),
            state: State::Fresh { until: now + STALE },
            now,
            frame: Vec::new(),
            read: 0,
            waiting: None,
            subscriptions: Vec::new(),
            next_key: 1,
            effects: VecDeque::new(),
        }
    }

    /// Takes a frame: one or more commands, each on a line.
    pub fn receive(&mut self, frame: &[u8], now: Duration) {
        self.now = now;
        if matches!(self.state, State::Closed) {
            return;
        }
        if frame.len() > MAX_FRAME {
            return self.close(Disconnect::MESSAGE_TOO_BIG);
        }
        if frame.iter().all(u8::is_ascii_whitespace) {
            return self.close(Disconnect::BAD_REQUEST);
        }
        self.frame.drain(..self.read);
        self.read = 0;
        if self.frame.len() + frame.len() > MAX_FRAME {
            return self.close(Disconnect::TOO_MANY_REQUESTS);
        }
        self.frame.extend_from_slice(frame);
        self.frame.push(b'\n');
    }

    /// The next thing to do, or `None` until something else happens.
    pub fn poll(&mut self) -> Option<Effect> {
        loop {
            if let Some(effect) = self.effects.pop_front() {
                return Some(effect);
            }
            if self.effects.capacity() > KEEP_CAPACITY {
                self.effects = VecDeque::new();
            }
            if self.waiting.is_some() || self.frame.is_empty() {
                return None;
            }
            self.read_command();
        }
    }

    /// True while an effect waits for its answer.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// True once [`Effect::Close`] was given out or is about to be.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// When [`Session::tick`] has something to do; `None` when it is over.
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Fresh { until } => Some(until),
            State::Open { ping_at, pong_by } => Some(pong_by.map_or(ping_at, |by| by.min(ping_at))),
            State::Closed => None,
        }
    }

    /// Lets time pass: pings, and ends a connection that is stale or does not answer.
    pub fn tick(&mut self, now: Duration) {
        self.now = now;
        match &mut self.state {
            State::Fresh { until } if now >= *until => self.close(Disconnect::STALE),
            State::Open { pong_by: Some(by), .. } if now >= *by => self.close(Disconnect::NO_PONG),
            State::Open { ping_at, pong_by } if now >= *ping_at => {
                *ping_at = now + PING;
                *pong_by = Some(now + PONG);
                self.effects.push_back(Effect::Send(Bytes::from_static(b"{}")));
            }
            State::Fresh { .. } | State::Open { .. } | State::Closed => {}
        }
    }

    /// Ends the connection from the server's side.
    pub fn close(&mut self, why: Disconnect) {
        if matches!(self.state, State::Closed) {
            return;
        }
        self.state = State::Closed;
        self.waiting = None;
        self.frame = Vec::new();
        self.read = 0;
        self.subscriptions = Vec::new();
        self.effects.push_back(Effect::Close(why));
    }

    /// The answer to [`Effect::Authenticate`].
    pub fn authenticated(&mut self, outcome: Result<(), Disconnect>, now: Duration) {
        self.now = now;
        let Some(Waiting::Authentication { id }) = self.take_waiting(|w| matches!(w, Waiting::Authentication { .. }))
        else {
            return;
        };
        match outcome {
            Err(why) => self.close(why),
            Ok(()) => {
                self.state = State::Open { ping_at: now + PING, pong_by: None };
                let client = std::mem::take(&mut self.client);
                let connect = Connected { client: &client, version: VERSION, ping: PING.as_secs(), pong: true };
                self.reply(Reply { id, connect: Some(connect), ..Reply::default() });
                self.client = client;
            }
        }
    }

    /// The answer to [`Effect::Subscribe`].
    pub fn subscribed(&mut self, outcome: Result<Joined, Refusal>) {
        let waiting = self.take_waiting(|w| matches!(w, Waiting::Subscription { .. }));
        let Some(Waiting::Subscription { id, recover, mut subscription }) = waiting else { return };
        let joined = match outcome {
            Err(refusal) => return self.refuse(id, refusal),
            Ok(joined) => joined,
        };
        subscription.offset = joined.top.offset;
        self.subscriptions.push(subscription);
        // The client adds the publications to the place it asked from, and arrives at the top by itself.
        let missed = recover.as_ref().and(joined.missed.as_ref());
        let offset = match (&recover, missed) {
            (Some(from), Some(_)) => from.offset,
            _ => joined.top.offset,
        };
        let subscribe = Subscribed {
            recoverable: true,
            positioned: true,
            epoch: &joined.top.epoch,
            offset,
            was_recovering: recover.is_some(),
            recovered: missed.is_some(),
            publications: missed.into_iter().flatten().map(Arc::as_ref).collect(),
        };
        self.reply(Reply { id, subscribe: Some(subscribe), ..Reply::default() });
    }

    /// The answer to [`Effect::History`].
    pub fn history(&mut self, outcome: Result<Kept, Refusal>) {
        let Some(Waiting::History { id }) = self.take_waiting(|w| matches!(w, Waiting::History { .. })) else { return };
        match outcome {
            Err(refusal) => self.refuse(id, refusal),
            Ok(kept) => {
                let publications = kept.publications.iter().map(Arc::as_ref).collect();
                let history = Page { publications, epoch: &kept.top.epoch, offset: kept.top.offset };
                self.reply(Reply { id, history: Some(history), ..Reply::default() });
            }
        }
    }

    /// Something was said in a channel that was joined under `key`.
    pub fn publication(&mut self, key: u64, publication: &Publication) {
        let Ok(at) = self.subscriptions.binary_search_by_key(&key, |s| s.key) else { return };
        let subscription = &mut self.subscriptions[at];
        if publication.offset() <= subscription.offset {
            return;
        }
        if publication.offset() > subscription.offset + 1 {
            return self.evict(key, Unsubscribed::INSUFFICIENT_STATE);
        }
        subscription.offset = publication.offset();
        self.effects.push_back(Effect::Send(publication.frame(subscription.qualified)));
    }

    /// Ends one subscription from the server's side.
    pub fn evict(&mut self, key: u64, why: Unsubscribed) {
        let Ok(at) = self.subscriptions.binary_search_by_key(&key, |s| s.key) else { return };
        let subscription = self.subscriptions.remove(at);
        self.effects.push_back(Effect::Unsubscribe { key });
        self.send(&UnsubscribePush { push: UnsubscribeIn { channel: &subscription.channel, unsubscribe: why } });
    }

    fn read_command(&mut self) {
        let rest = &self.frame[self.read..];
        let line = rest.split(|b| *b == b'\n').next().unwrap_or_default();
        self.read += line.len() + 1;
        let line = line.trim_ascii();
        let command = if line.is_empty() { None } else { Some(parse(line)) };
        if self.read >= self.frame.len() {
            // Nothing is left to read: an idle connection keeps no buffer.
            self.frame = Vec::new();
            self.read = 0;
        }
        match command {
            None => {}
            Some(None) => self.close(Disconnect::BAD_REQUEST),
            Some(Some(command)) => self.command(command),
        }
    }

    fn command(&mut self, command: Command) {
        let id = command.id;
        if let State::Fresh { .. } = self.state {
            return match command.connect {
                Some(connect) if id > 0 => self.connect(id, connect),
                _ => self.close(Disconnect::BAD_REQUEST),
            };
        }
        if command.send.is_some() {
            return self.close(Disconnect::NOT_AVAILABLE);
        }
        if id == 0 {
            return self.pong();
        }
        if command.connect.is_some() {
            self.close(Disconnect::BAD_REQUEST);
        } else if command.ping.is_some() {
            self.reply(Reply { id, ping: Some(Empty {}), ..Reply::default() });
        } else if let Some(request) = command.subscribe {
            self.subscribe(id, request);
        } else if let Some(request) = command.unsubscribe {
            self.unsubscribe(id, &request.channel);
        } else if let Some(request) = command.publish {
            self.refuse_in(id, &request, Refusal::PERMISSION_DENIED);
        } else if let Some(request) = command.presence.or(command.presence_stats) {
            self.refuse_in(id, &request, Refusal::NOT_AVAILABLE);
        } else if let Some(request) = command.history {
            self.read_history(id, request);
        } else if command.rpc.is_some() {
            self.refuse(id, Refusal::NOT_AVAILABLE);
        } else if command.refresh.is_some() {
            let client = std::mem::take(&mut self.client);
            let refresh = Refreshed { client: &client, version: VERSION };
            self.reply(Reply { id, refresh: Some(refresh), ..Reply::default() });
            self.client = client;
        } else if let Some(request) = command.sub_refresh {
            self.refresh_subscription(id, &request.channel);
        } else {
            self.close(Disconnect::BAD_REQUEST);
        }
    }

    fn connect(&mut self, id: u32, connect: Connect) {
        self.waiting = Some(Waiting::Authentication { id });
        self.effects.push_back(Effect::Authenticate { token: connect.token });
    }

    /// An empty command answers a ping, and is wrong when there was none.
    fn pong(&mut self) {
        match &mut self.state {
            State::Open { pong_by: pong_by @ Some(_), .. } => *pong_by = None,
            _ => self.close(Disconnect::BAD_REQUEST),
        }
    }

    fn subscribe(&mut self, id: u32, request: Subscribe) {
        if request.channel.is_empty() {
            return self.close(Disconnect::BAD_REQUEST);
        }
        if request.channel.len() > MAX_CHANNEL_NAME || request.channel.contains(char::is_control) {
            return self.refuse(id, Refusal::BAD_REQUEST);
        }
        if self.find(&request.channel).is_some() {
            return self.refuse(id, Refusal::ALREADY_SUBSCRIBED);
        }
        if self.subscriptions.len() >= MAX_CHANNELS {
            return self.refuse(id, Refusal::LIMIT_EXCEEDED);
        }
        let key = self.next_key;
        self.next_key += 1;
        let qualified = split_organization(&request.channel).is_some();
        let channel: Arc<str> = request.channel.into();
        let recover = request.recover.then_some(Position { offset: request.offset, epoch: request.epoch });
        let subscription = Subscription { key, channel: Arc::clone(&channel), qualified, offset: 0 };
        self.waiting = Some(Waiting::Subscription { id, recover: recover.clone(), subscription });
        self.effects.push_back(Effect::Subscribe { key, channel, recover });
    }

    fn unsubscribe(&mut self, id: u32, channel: &str) {
        if channel.is_empty() {
            return self.close(Disconnect::BAD_REQUEST);
        }
        if let Some(at) = self.find(channel) {
            let subscription = self.subscriptions.remove(at);
            self.effects.push_back(Effect::Unsubscribe { key: subscription.key });
        }
        self.reply(Reply { id, unsubscribe: Some(Empty {}), ..Reply::default() });
    }

    fn read_history(&mut self, id: u32, request: History) {
        if request.channel.is_empty() {
            return self.close(Disconnect::BAD_REQUEST);
        }
        // A negative limit asks for everything, 0 only for the place.
        let limit = usize::try_from(request.limit).ok();
        let filter = HistoryFilter { since: request.since, limit, reverse: request.reverse };
        self.waiting = Some(Waiting::History { id });
        self.effects.push_back(Effect::History { channel: request.channel.into(), filter });
    }

    fn refresh_subscription(&mut self, id: u32, channel: &str) {
        if channel.is_empty() {
            self.close(Disconnect::BAD_REQUEST);
        } else if self.find(channel).is_none() {
            self.refuse(id, Refusal::PERMISSION_DENIED);
        } else {
            self.reply(Reply { id, sub_refresh: Some(Empty {}), ..Reply::default() });
        }
    }

    fn find(&self, channel: &str) -> Option<usize> {
        self.subscriptions.iter().position(|s| &*s.channel == channel)
    }

    fn take_waiting(&mut self, is: impl FnOnce(&Waiting) -> bool) -> Option<Waiting> {
        self.waiting.take_if(|waiting| is(waiting))
    }

    fn refuse_in(&mut self, id: u32, request: &InChannel, refusal: Refusal) {
        if request.channel.is_empty() {
            self.close(Disconnect::BAD_REQUEST);
        } else {
            self.refuse(id, refusal);
        }
    }

    fn refuse(&mut self, id: u32, refusal: Refusal) {
        self.reply(Reply { id, error: Some(refusal), ..Reply::default() });
    }

    fn reply(&mut self, reply: Reply<'_>) {
        self.send(&reply);
    }

    fn send(&mut self, message: &impl Serialize) {
        let line = serde_json::to_vec(message).expect("replies have text keys and valid JSON in them");
        self.effects.push_back(Effect::Send(line.into()));
    }
}

/// One command out of a line; `None` when it is none.
fn parse(line: &[u8]) -> Option<Command> {
    // A derived reader would take an array for the fields in order.
    if line.first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(line).ok()
}
