//! Centrifugo's bidirectional JSON client protocol, the part a page needs, without IO and without a clock.
//!
//! [`Machine`] is handed what happens (the socket opened, a frame came, a page wants a channel) and returns what is to be
//! done. It remembers for every channel the epoch and offset of the last publication, so that after a cut it asks the
//! server for what it missed; where the server cannot give that (`recovered: false`), or where it has no memory of the
//! channel, the page is told to fetch again. A publication is therefore never silently lost.

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;

/// Seconds to wait for the server's ping before the connection counts as dead, on top of what the server promised.
const PING_GRACE: u32 = 10;
/// First and longest wait before another attempt, in milliseconds.
const BACKOFF: (u32, u32) = (400, 20_000);

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this text frame.
    Send(String),
    /// Give this publication to those who watch the channel.
    Publication {
        /// Channel.
        channel: String,
        /// What was published.
        data: Value,
    },
    /// Something may have been missed on this channel: those who watch it fetch again.
    Missed {
        /// Channel.
        channel: String,
    },
    /// The session is up; expect a ping at least every so many milliseconds.
    Up {
        /// Milliseconds, none if the server does not ping.
        silence: Option<u32>,
    },
    /// Close the socket and try again after [`Machine::backoff`].
    Reconnect,
    /// Close the socket and do not come back: the server said that another attempt cannot succeed.
    Stop,
}

/// Place in a channel's history.
#[derive(Clone, Debug, Default, PartialEq)]
struct Position {
    epoch: String,
    offset: u64,
}

#[derive(Clone, Debug, Default)]
struct Channel {
    watchers: usize,
    /// Known once the first subscription was confirmed by a server that keeps history.
    position: Option<Position>,
    /// A subscription was confirmed at least once; whatever happened since may have been missed.
    seen: bool,
}

/// One page's end of the protocol.
#[derive(Debug, Default)]
pub struct Machine {
    channels: BTreeMap<String, Channel>,
    connected: bool,
    next_id: u32,
    /// Subscriptions under way: id of the command, channel.
    pending: BTreeMap<u32, String>,
    connect_id: u32,
    failures: u32,
}

#[derive(Serialize)]
struct Command<'a> {
    id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<Connect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribe: Option<Subscribe<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsubscribe: Option<Unsubscribe<'a>>,
}

#[derive(Serialize)]
struct Connect {
    name: &'static str,
}

#[derive(Serialize)]
struct Subscribe<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    recover: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

#[derive(Serialize)]
struct Unsubscribe<'a> {
    channel: &'a str,
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(default)]
    id: u32,
    #[serde(default)]
    error: Option<ReplyError>,
    #[serde(default)]
    connect: Option<Connected>,
    #[serde(borrow, default)]
    subscribe: Option<&'a RawValue>,
    #[serde(default)]
    push: Option<Push>,
}

#[derive(Deserialize)]
struct ReplyError {
    code: u32,
    #[serde(default)]
    temporary: bool,
}

#[derive(Deserialize)]
struct Connected {
    #[serde(default)]
    ping: u32,
}

#[derive(Deserialize)]
struct Subscribed {
    #[serde(default)]
    recoverable: bool,
    #[serde(default)]
    epoch: String,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    recovered: bool,
    #[serde(default)]
    publications: Vec<Publication>,
}

#[derive(Deserialize)]
struct Publication {
    #[serde(default)]
    data: Value,
    #[serde(default)]
    offset: u64,
}

#[derive(Deserialize)]
struct Push {
    #[serde(default)]
    channel: String,
    #[serde(default, rename = "pub")]
    publication: Option<Publication>,
    #[serde(default)]
    unsubscribe: Option<Code>,
    #[serde(default)]
    disconnect: Option<Code>,
}

#[derive(Deserialize)]
struct Code {
    #[serde(default)]
    code: u32,
}

impl Machine {
    /// The socket is open.
    pub fn opened(&mut self) -> Vec<Effect> {
        self.connected = false;
        self.pending.clear();
        self.connect_id = self.id();
        let connect = Command { connect: Some(Connect { name: "sent-ui" }), ..self.command(self.connect_id) };
        vec![Effect::Send(text(&connect))]
    }

    /// The socket is gone.
    pub fn closed(&mut self) {
        self.connected = false;
        self.pending.clear();
        self.failures = self.failures.saturating_add(1);
    }

    /// Milliseconds until the next attempt: doubled at each failure, spread by `chance` (0 to 1), so that the pages of a
    /// whole office do not come back at the same moment.
    pub fn backoff(&self, chance: f64) -> u32 {
        let ceiling = BACKOFF.0.saturating_mul(1 << self.failures.saturating_sub(1).min(10)).min(BACKOFF.1);
        BACKOFF.0 / 2 + (f64::from(ceiling) * chance.clamp(0.0, 1.0)) as u32
    }

    /// One more page part wants this channel.
    pub fn watch(&mut self, channel: &str) -> Vec<Effect> {
        let entry = self.channels.entry(channel.to_owned()).or_default();
        entry.watchers += 1;
        if entry.watchers == 1 && self.connected { vec![self.subscribe(channel)] } else { Vec::new() }
    }

    /// One page part wants it no more.
    pub fn unwatch(&mut self, channel: &str) -> Vec<Effect> {
        let Some(entry) = self.channels.get_mut(channel) else { return Vec::new() };
        entry.watchers = entry.watchers.saturating_sub(1);
        if entry.watchers > 0 {
            return Vec::new();
        }
        self.channels.remove(channel);
        self.pending.retain(|_, pending| pending != channel);
        if !self.connected {
            return Vec::new();
        }
        let id = self.id();
        vec![Effect::Send(text(&Command { unsubscribe: Some(Unsubscribe { channel }), ..self.command(id) }))]
    }

    /// A text frame came: one or several replies, one a line. What is not understood ends the connection, because
    /// whatever follows could be missed.
    pub fn received(&mut self, frame: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for line in frame.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match serde_json::from_str::<Reply<'_>>(line) {
                Ok(reply) => self.reply(reply, &mut effects),
                Err(_) => {
                    effects.push(Effect::Reconnect);
                    break;
                }
            }
        }
        effects
    }

    fn reply(&mut self, reply: Reply<'_>, effects: &mut Vec<Effect>) {
        if let Some(push) = reply.push {
            return self.push(push, effects);
        }
        if reply.id == 0 {
            // An empty reply is the server's ping; the answer is an empty command.
            return effects.push(Effect::Send("{}".to_owned()));
        }
        if reply.id == self.connect_id {
            return match (reply.connect, reply.error) {
                (Some(connected), None) => self.up(&connected, effects),
                (_, Some(error)) if !error.temporary => effects.push(Effect::Stop),
                _ => effects.push(Effect::Reconnect),
            };
        }
        let Some(channel) = self.pending.remove(&reply.id) else { return };
        match (reply.subscribe.map(|raw| serde_json::from_str(raw.get())), reply.error) {
            (Some(Ok(subscribed)), None) => self.subscribed(&channel, subscribed, effects),
            (_, Some(error)) if error.temporary => effects.push(Effect::Reconnect),
            // 112: the position is too old or unknown; start afresh and fetch.
            (_, Some(error)) if error.code == 112 => {
                if let Some(entry) = self.channels.get_mut(&channel) {
                    entry.position = None;
                    effects.push(self.subscribe(&channel));
                }
            }
            // A channel that this session may not see stays silent; its page still works by fetching.
            (_, Some(_)) => {}
            _ => effects.push(Effect::Reconnect),
        }
    }

    fn up(&mut self, connected: &Connected, effects: &mut Vec<Effect>) {
        self.connected = true;
        self.failures = 0;
        let silence = (connected.ping > 0).then(|| connected.ping.saturating_add(PING_GRACE).saturating_mul(1000));
        effects.push(Effect::Up { silence });
        let channels: Vec<_> = self.channels.keys().cloned().collect();
        effects.extend(channels.iter().map(|channel| self.subscribe(channel)));
    }

    fn subscribe(&mut self, channel: &str) -> Effect {
        let id = self.id();
        self.pending.insert(id, channel.to_owned());
        let position = self.channels.get(channel).and_then(|entry| entry.position.as_ref());
        let subscribe = Subscribe {
            channel,
            recover: position.is_some(),
            epoch: position.map(|position| position.epoch.as_str()),
            offset: position.map(|position| position.offset),
        };
        Effect::Send(text(&Command { subscribe: Some(subscribe), ..self.command(id) }))
    }

    fn subscribed(&mut self, channel: &str, answer: Subscribed, effects: &mut Vec<Effect>) {
        let Some(entry) = self.channels.get_mut(channel) else { return };
        let again = std::mem::replace(&mut entry.seen, true);
        let whole = answer.recovered && entry.position.is_some();
        entry.position = answer.recoverable.then(|| Position { epoch: answer.epoch.clone(), offset: answer.offset });
        if whole {
            effects.extend(
                answer
                    .publications
                    .into_iter()
                    .map(|publication| Effect::Publication { channel: channel.to_owned(), data: publication.data }),
            );
        } else if again {
            effects.push(Effect::Missed { channel: channel.to_owned() });
        }
    }

    fn push(&mut self, push: Push, effects: &mut Vec<Effect>) {
        if let Some(publication) = push.publication
            && let Some(entry) = self.channels.get_mut(&push.channel)
        {
            if let Some(position) = &mut entry.position
                && publication.offset > 0
            {
                let jumped = publication.offset > position.offset + 1;
                if publication.offset <= position.offset {
                    return;
                }
                position.offset = publication.offset;
                if jumped {
                    effects.push(Effect::Missed { channel: push.channel.clone() });
                }
            }
            effects.push(Effect::Publication { channel: push.channel, data: publication.data });
        } else if let Some(code) = push.unsubscribe {
            // 2500 and above ask the client to come again (a lost position, a restarted node).
            if code.code >= 2500 && self.channels.contains_key(&push.channel) {
                effects.push(self.subscribe(&push.channel));
            }
        } else if let Some(code) = push.disconnect {
            // 3500–3999 and 4500–4999 are final, the rest invites another attempt.
            let last = matches!(code.code, 3500..=3999 | 4500..=4999);
            effects.push(if last { Effect::Stop } else { Effect::Reconnect });
        }
    }

    fn id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1).max(1);
        self.next_id
    }

    fn command<'a>(&self, id: u32) -> Command<'a> {
        Command { id, connect: None, subscribe: None, unsubscribe: None }
    }
}

fn text(command: &Command<'_>) -> String {
    serde_json::to_string(command).expect("a command holds only numbers and texts, which always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn up() -> Machine {
        let mut machine = Machine::default();
        assert_eq!(machine.opened(), [Effect::Send(r#"{"id":1,"connect":{"name":"sent-ui"}}"#.into())]);
        assert_eq!(
            machine.received(r#"{"id":1,"connect":{"client":"c","version":"5","ping":25,"pong":true}}"#),
            [Effect::Up { silence: Some(35_000) }]
        );
        machine
    }

    fn publication(offset: u64) -> String {
        format!(r#"{{"push":{{"channel":"sync","pub":{{"data":{offset},"offset":{offset}}}}}}}"#)
    }

    #[test]
    fn a_channel_is_subscribed_once_and_left_with_its_last_watcher() {
        let mut machine = up();
        assert_eq!(machine.watch("sync"), [Effect::Send(r#"{"id":2,"subscribe":{"channel":"sync"}}"#.into())]);
        assert_eq!(machine.watch("sync"), []);
        assert_eq!(machine.unwatch("sync"), []);
        assert_eq!(machine.unwatch("sync"), [Effect::Send(r#"{"id":3,"unsubscribe":{"channel":"sync"}}"#.into())]);
    }

    #[test]
    fn a_ping_is_answered() {
        assert_eq!(up().received("{}"), [Effect::Send("{}".into())]);
    }

    #[test]
    fn what_was_missed_is_recovered_by_offset_and_epoch() {
        let mut machine = up();
        machine.watch("sync");
        assert_eq!(machine.received(r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":7}}"#), []);
        machine.received(&publication(8));
        machine.closed();
        machine.opened();
        let effects = machine.received(r#"{"id":3,"connect":{"ping":25}}"#);
        assert_eq!(
            effects[1],
            Effect::Send(r#"{"id":4,"subscribe":{"channel":"sync","recover":true,"epoch":"e","offset":8}}"#.into())
        );
        let effects = machine.received(
            r#"{"id":4,"subscribe":{"recoverable":true,"epoch":"e","offset":9,"recovered":true,"publications":[{"data":9,"offset":9}]}}"#,
        );
        assert_eq!(effects, [Effect::Publication { channel: "sync".into(), data: 9.into() }]);
    }

    #[test]
    fn what_cannot_be_recovered_is_fetched_again() {
        let mut machine = up();
        machine.watch("sync");
        machine.received(r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":7}}"#);
        machine.closed();
        machine.opened();
        machine.received(r#"{"id":3,"connect":{}}"#);
        let effects =
            machine.received(r#"{"id":4,"subscribe":{"recoverable":true,"epoch":"f","offset":1,"recovered":false}}"#);
        assert_eq!(effects, [Effect::Missed { channel: "sync".into() }]);
    }

    #[test]
    fn final_and_passing_disconnects_differ() {
        assert_eq!(up().received(r#"{"push":{"disconnect":{"code":3501,"reason":"bad request"}}}"#), [Effect::Stop]);
        assert_eq!(up().received(r#"{"push":{"disconnect":{"code":3000,"reason":"shutdown"}}}"#), [Effect::Reconnect]);
        assert_eq!(up().received("not json"), [Effect::Reconnect]);
    }

    #[test]
    fn backoff_grows_and_is_bounded() {
        let mut machine = Machine::default();
        let mut last = 0;
        for _ in 0..40 {
            machine.closed();
            let wait = machine.backoff(1.0);
            assert!(wait >= last && wait <= BACKOFF.0 / 2 + BACKOFF.1);
            last = wait;
        }
    }

    proptest! {
        /// Whatever comes in whatever order, every publication that a watcher gets is newer than the one before, and a
        /// jump is always announced.
        #[test]
        fn publications_never_go_back_and_jumps_are_told(offsets in proptest::collection::vec(1_u64..20, 0..40)) {
            let mut machine = up();
            machine.watch("sync");
            machine.received(r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":0}}"#);
            let mut last = 0;
            for offset in offsets {
                let effects = machine.received(&publication(offset));
                let missed = effects.contains(&Effect::Missed { channel: "sync".into() });
                let given = effects.iter().any(|effect| matches!(effect, Effect::Publication { .. }));
                prop_assert_eq!(given, offset > last);
                prop_assert_eq!(missed, offset > last + 1);
                last = last.max(offset);
            }
        }

        #[test]
        fn no_frame_can_break_it(frame in any::<String>()) {
            up().received(&frame);
        }
    }
}
