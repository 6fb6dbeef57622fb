//! The promise of the live protocol, against a model: across cuts, renewed subscriptions and restarts of the server, a
//! client gets every publication exactly once and in order, or is told that it did not (`recovered` is false), after which
//! it reads the page's data again and goes on from there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::VecDeque, sync::Arc, time::Duration};

use proptest::prelude::*;
use sent_core::{
    identity::Rights,
    live::{
        Hub, Identity,
        peer::{Output, Peer},
        stream::HISTORY,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

const OWN: Uuid = Uuid::from_u128(1);
const CHANNELS: [&str; 2] = ["home", "table:entries"];

#[derive(Clone, Debug)]
enum Step {
    /// The server says so much in a channel.
    Publish(usize, u16),
    /// The server writes what there is to the socket.
    Write,
    /// The client reads so many lines.
    Read(usize),
    /// The connection breaks; what was not read is lost.
    Cut,
    /// The client connects and subscribes again to all it wants.
    Connect,
    /// The client leaves a channel, keeping its place, and comes back.
    Renew(usize),
    /// The server stops and starts with empty memory.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..CHANNELS.len(), prop_oneof![8 => 1..20u16, 1 => 250..260u16, 1 => 300..400u16])
            .prop_map(|(channel, count)| Step::Publish(channel, count)),
        4 => Just(Step::Write),
        4 => (0usize..30).prop_map(Step::Read),
        2 => Just(Step::Cut),
        4 => Just(Step::Connect),
        2 => (0..CHANNELS.len()).prop_map(Step::Renew),
        1 => Just(Step::Restart),
    ]
}

/// What the client knows of a channel; it handles replies as npm `centrifuge` does.
#[derive(Debug, Default)]
struct View {
    /// Where it stands, to recover from.
    position: Option<(u64, String)>,
    /// The last number it has seen, by a publication or by reading the page's data.
    seen: u64,
    subscribed: bool,
    /// It gave up its place at the server, so that publications from before may still be on their way.
    leaving: bool,
}

struct World {
    hub: Arc<Hub>,
    restarts: u64,
    /// Numbers said in each channel, over all restarts.
    said: [u64; CHANNELS.len()],
    /// In the present life of the server.
    offsets: [u64; CHANNELS.len()],
    peer: Option<Peer>,
    wire: VecDeque<Value>,
    views: [View; CHANNELS.len()],
    next_id: u64,
}

impl World {
    fn new() -> Self {
        Self {
            hub: Hub::new(0),
            restarts: 0,
            said: [0; CHANNELS.len()],
            offsets: [0; CHANNELS.len()],
            peer: None,
            wire: VecDeque::new(),
            views: Default::default(),
            next_id: 1,
        }
    }

    fn apply(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Publish(channel, count) => {
                for _ in 0..count {
                    self.said[channel] += 1;
                    self.offsets[channel] += 1;
                    let offset = self.hub.publish_value(OWN, CHANNELS[channel], &self.said[channel]).unwrap();
                    prop_assert_eq!(offset, self.offsets[channel]);
                }
            }
            Step::Write => self.write(),
            Step::Read(lines) => self.read(lines)?,
            Step::Cut => self.cut(),
            Step::Connect => {
                if self.peer.is_none() {
                    self.peer = Some(Peer::new(Arc::clone(&self.hub), "c", Duration::ZERO));
                    let mut frame = json!({"id": self.id(), "connect": {}}).to_string();
                    for channel in 0..CHANNELS.len() {
                        frame.push('\n');
                        frame.push_str(&self.subscription(channel));
                    }
                    self.send(&frame);
                }
            }
            Step::Renew(channel) => {
                if self.peer.is_some() && self.views[channel].subscribed {
                    self.views[channel].subscribed = false;
                    self.views[channel].leaving = true;
                    let leave = json!({"id": self.id(), "unsubscribe": {"channel": CHANNELS[channel]}}).to_string();
                    let frame = format!("{leave}\n{}", self.subscription(channel));
                    self.send(&frame);
                }
            }
            Step::Restart => {
                self.cut();
                self.restarts += 1;
                self.hub = Hub::new(self.restarts);
                self.offsets = [0; CHANNELS.len()];
            }
        }
        Ok(())
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn subscription(&mut self, channel: usize) -> String {
        let mut request = json!({"channel": CHANNELS[channel]});
        if let Some((offset, epoch)) = &self.views[channel].position {
            request["recover"] = true.into();
            request["offset"] = (*offset).into();
            request["epoch"] = epoch.as_str().into();
        }
        // The id says which channel the reply is about.
        json!({"id": 1_000_000 + channel, "subscribe": request}).to_string()
    }

    fn send(&mut self, frame: &str) {
        if let Some(peer) = &mut self.peer {
            peer.receive(frame.as_bytes(), Duration::ZERO);
        }
        self.write();
    }

    fn write(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        peer.deliver();
        while let Some(output) = peer.poll() {
            match output {
                Output::Send(line) => self.wire.push_back(serde_json::from_slice(&line).unwrap()),
                Output::Authenticate { .. } => {
                    let (login, rights) = (String::new(), Rights::all());
                    let identity = Identity { user: Uuid::nil(), login, organizations: vec![OWN], rights };
                    peer.authenticated(Ok(identity), Duration::ZERO);
                }
                Output::Close(why) => panic!("a client that reads is not disconnected: {why:?}"),
            }
        }
    }

    fn cut(&mut self) {
        self.peer = None;
        self.wire.clear();
        for view in &mut self.views {
            view.subscribed = false;
            view.leaving = false;
        }
    }

    fn read(&mut self, lines: usize) -> Result<(), TestCaseError> {
        for _ in 0..lines {
            let Some(line) = self.wire.pop_front() else { break };
            if let Some(push) = line.get("push") {
                let channel = CHANNELS.iter().position(|c| push["channel"] == **c).unwrap();
                self.publication(channel, &push["pub"])?;
            } else if let Some(result) = line.get("subscribe") {
                let channel = line["id"].as_u64().unwrap() - 1_000_000;
                self.subscribed(usize::try_from(channel).unwrap(), result)?;
            } else {
                prop_assert!(line.get("error").is_none(), "{}", line);
            }
        }
        Ok(())
    }

    fn subscribed(&mut self, channel: usize, result: &Value) -> Result<(), TestCaseError> {
        let view = &mut self.views[channel];
        let offset = result["offset"].as_u64().unwrap();
        let epoch = result["epoch"].as_str().unwrap().to_owned();
        let before = view.position.replace((offset, epoch.clone()));
        view.subscribed = true;
        view.leaving = false;
        prop_assert_eq!(result["was_recovering"].as_bool(), Some(before.is_some()));
        if result["recovered"] == true {
            prop_assert_eq!(before, Some((offset, epoch)));
        } else {
            // It reads the page's data, which holds all that had been said up to this offset.
            let page = self.said[channel] - self.offsets[channel] + offset;
            if let Some((offset_before, epoch_before)) = before
                && epoch_before == epoch
            {
                prop_assert!(offset - offset_before > HISTORY as u64, "it could have recovered");
            }
            prop_assert!(page >= view.seen);
            view.seen = page;
        }
        for publication in result["publications"].as_array().into_iter().flatten() {
            self.publication(channel, publication)?;
        }
        Ok(())
    }

    fn publication(&mut self, channel: usize, publication: &Value) -> Result<(), TestCaseError> {
        let view = &mut self.views[channel];
        if view.leaving {
            return Ok(());
        }
        prop_assert!(view.subscribed, "a publication before its subscription");
        prop_assert_eq!(publication["data"].as_u64(), Some(view.seen + 1), "exactly once and in order");
        view.seen += 1;
        if let Some((offset, _)) = &mut view.position {
            prop_assert_eq!(publication["offset"].as_u64(), Some(*offset + 1));
            *offset += 1;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_publication_arrives_once_or_its_loss_is_told(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.apply(step)?;
        }
        for step in [Step::Connect, Step::Write, Step::Read(usize::MAX)] {
            world.apply(&step)?;
        }
        for (view, said) in world.views.iter().zip(world.said) {
            prop_assert_eq!(view.seen, said);
        }
    }
}
