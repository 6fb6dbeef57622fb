//! Conversations with the live protocol, word for word as npm `centrifuge` holds them, and what happens to a client that
//! says anything else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use sent_core::{
    identity::Rights,
    live::{
        Disconnect, Hub, Identity,
        peer::{Output, Peer},
        protocol::{Effect, Joined, MAX_CHANNELS, MAX_FRAME, PING, PONG, STALE, Session},
        stream::{HISTORY, Position, Stream},
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

const OWN: Uuid = Uuid::from_u128(1);
const EPOCH: &str = "0000000000000007";

fn identity() -> Identity {
    Identity { user: Uuid::nil(), login: "login".to_owned(), organizations: vec![OWN], rights: Rights::all() }
}

fn hub() -> Arc<Hub> {
    Hub::with_rule(7, |_, channel| &*channel.name != "forbidden")
}

/// A client that writes lines and reads objects; its token is valid when it is not `wrong`.
struct Client {
    peer: Peer,
    now: Duration,
    closed: Option<Disconnect>,
}

impl Client {
    fn new(hub: &Arc<Hub>) -> Self {
        Self { peer: Peer::new(Arc::clone(hub), "client-1", Duration::ZERO), now: Duration::ZERO, closed: None }
    }

    fn connected(hub: &Arc<Hub>) -> Self {
        let mut client = Self::new(hub);
        client.say(&json!({"id": 1, "connect": {}}).to_string());
        client
    }

    fn say(&mut self, frame: &str) -> Vec<Value> {
        self.send(frame.as_bytes())
    }

    fn send(&mut self, frame: &[u8]) -> Vec<Value> {
        self.peer.receive(frame, self.now);
        self.read()
    }

    fn wait(&mut self, time: Duration) -> Vec<Value> {
        self.now += time;
        self.peer.tick(self.now);
        self.read()
    }

    fn read(&mut self) -> Vec<Value> {
        self.peer.deliver();
        let mut read = Vec::new();
        while let Some(output) = self.peer.poll() {
            assert_eq!(self.closed, None, "nothing comes after the end");
            match output {
                Output::Send(line) => {
                    assert!(!line.contains(&b'\n'));
                    read.push(serde_json::from_slice(&line).unwrap());
                }
                Output::Authenticate { token } => {
                    let outcome = if token == "wrong" { Err(Disconnect::INVALID_TOKEN) } else { Ok(identity()) };
                    self.peer.authenticated(outcome, self.now);
                }
                Output::Close(why) => self.closed = Some(why),
            }
        }
        read
    }
}

fn error(id: u32, code: u32, message: &str) -> Value {
    json!({"id": id, "error": {"code": code, "message": message}})
}

#[test]
fn connect_and_subscribe_in_one_frame() {
    let hub = hub();
    let mut client = Client::new(&hub);

    let replies = client
        .say("{\"connect\":{\"name\":\"js\"},\"id\":1}\n{\"subscribe\":{\"channel\":\"home\",\"flag\":1},\"id\":2}");
    hub.publish_value(OWN, "home", &json!({"n": 1})).unwrap();
    hub.publish_value(OWN, "elsewhere", &json!({"n": 2})).unwrap();
    let pushes = client.read();

    let version = concat!("sent ", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        replies,
        [
            json!({"id": 1, "connect": {"client": "client-1", "version": version, "ping": 25, "pong": true}}),
            json!({"id": 2, "subscribe": {"recoverable": true, "positioned": true, "epoch": EPOCH, "offset": 0,
                "was_recovering": false, "recovered": false}}),
        ]
    );
    assert_eq!(pushes, [json!({"push": {"channel": "home", "pub": {"data": {"n": 1}, "offset": 1}}})]);
}

#[test]
fn a_channel_is_pushed_under_the_name_it_was_asked_by() {
    let hub = hub();
    let mut client = Client::connected(&hub);
    let long = format!("{OWN}:home");
    client.say(&json!({"id": 2, "subscribe": {"channel": long}}).to_string());
    hub.publish_value(OWN, "home", &1).unwrap();
    assert_eq!(client.read(), [json!({"push": {"channel": long, "pub": {"data": 1, "offset": 1}}})]);
}

#[test]
fn what_was_missed_comes_with_the_subscription() {
    let hub = hub();
    for n in 1..=3 {
        hub.publish_value(OWN, "home", &n).unwrap();
    }
    let mut client = Client::connected(&hub);
    let ask = |offset: u64, epoch: &str| {
        json!({"id": 9, "subscribe": {"channel": "home", "recover": true, "offset": offset, "epoch": epoch}})
            .to_string()
    };
    let answer = |offset: u64, recovered: bool, publications: Value| {
        let mut result = json!({"recoverable": true, "positioned": true, "epoch": EPOCH, "offset": offset,
            "was_recovering": true, "recovered": recovered});
        if publications != json!([]) {
            result["publications"] = publications;
        }
        [json!({"id": 9, "subscribe": result})]
    };
    let leave = r#"{"id":10,"unsubscribe":{"channel":"home"}}"#;

    let missed = json!([{"data": 2, "offset": 2}, {"data": 3, "offset": 3}]);
    assert_eq!(client.say(&ask(1, EPOCH)), answer(1, true, missed), "the offset is where the client was");
    assert_eq!(client.say(leave), [json!({"id": 10, "unsubscribe": {}})]);
    assert_eq!(client.say(&ask(3, EPOCH)), answer(3, true, json!([])));
    client.say(leave);
    assert_eq!(client.say(&ask(2, "another")), answer(3, false, json!([])));
    client.say(leave);
    assert_eq!(client.say(&ask(4, EPOCH)), answer(3, false, json!([])));
    client.say(leave);

    for n in 4..4 + HISTORY {
        hub.publish_value(OWN, "home", &n).unwrap();
    }
    let top = 3 + HISTORY as u64;
    assert_eq!(client.say(&ask(2, EPOCH)), answer(top, false, json!([])), "3 is no longer kept");
}

#[test]
fn a_subscription_that_was_renewed_hears_nothing_twice() {
    let hub = hub();
    let mut client = Client::connected(&hub);
    client.say(r#"{"id":2,"subscribe":{"channel":"home"}}"#);
    hub.publish_value(OWN, "home", &1).unwrap();
    // The publication waits in the mailbox while the client leaves and comes back.
    client.peer.receive(
        format!(
            "{{\"id\":3,\"unsubscribe\":{{\"channel\":\"home\"}}}}\n{{\"id\":4,\"subscribe\":{{\"channel\":\"home\",\"recover\":true,\"epoch\":\"{EPOCH}\"}}}}"
        )
        .as_bytes(),
        client.now,
    );
    let mut replies = Vec::new();
    while let Some(Output::Send(line)) = client.peer.poll() {
        replies.push(serde_json::from_slice::<Value>(&line).unwrap());
    }
    assert_eq!(replies[1]["subscribe"]["publications"], json!([{"data": 1, "offset": 1}]));
    assert_eq!(client.read(), [] as [Value; 0]);
    hub.publish_value(OWN, "home", &2).unwrap();
    assert_eq!(client.read(), [json!({"push": {"channel": "home", "pub": {"data": 2, "offset": 2}}})]);
}

#[test]
fn what_is_not_offered_is_refused_with_its_code() {
    let hub = hub();
    let mut client = Client::connected(&hub);
    let cases = [
        (r#"{"id":2,"publish":{"channel":"home","data":{}}}"#, error(2, 103, "permission denied")),
        (r#"{"id":3,"presence":{"channel":"home"}}"#, error(3, 108, "not available")),
        (r#"{"id":4,"presence_stats":{"channel":"home"}}"#, error(4, 108, "not available")),
        (r#"{"id":5,"rpc":{"method":"m","data":{}}}"#, error(5, 108, "not available")),
        (r#"{"id":6,"subscribe":{"channel":"forbidden"}}"#, error(6, 103, "permission denied")),
        (r#"{"id":7,"history":{"channel":"forbidden"}}"#, error(7, 103, "permission denied")),
        (r#"{"id":8,"sub_refresh":{"channel":"home","token":"t"}}"#, error(8, 103, "permission denied")),
        (
            r#"{"id":9,"history":{"channel":"home","since":{"offset":1,"epoch":"x"}}}"#,
            error(9, 112, "unrecoverable position"),
        ),
        (r#"{"id":10,"subscribe":{"channel":"a\u0000b"}}"#, error(10, 107, "bad request")),
    ];
    for (line, reply) in cases {
        assert_eq!(client.say(line), [reply], "{line}");
    }
    client.say(r#"{"id":20,"subscribe":{"channel":"home"}}"#);
    assert_eq!(client.say(r#"{"id":21,"subscribe":{"channel":"home"}}"#), [error(21, 105, "already subscribed")]);
    assert_eq!(client.say(r#"{"id":22,"sub_refresh":{"channel":"home"}}"#), [json!({"id": 22, "sub_refresh": {}})]);
    assert_eq!(client.say(r#"{"id":23,"refresh":{"token":"t"}}"#)[0]["refresh"]["client"], "client-1");
    assert_eq!(client.say(r#"{"id":24,"ping":{}}"#), [json!({"id": 24, "ping": {}})]);
    assert_eq!(client.say(r#"{"id":25,"unsubscribe":{"channel":"never"}}"#), [json!({"id": 25, "unsubscribe": {}})]);
    for n in 1..MAX_CHANNELS {
        client.say(&json!({"id": 30, "subscribe": {"channel": format!("c{n}")}}).to_string());
    }
    assert_eq!(client.say(r#"{"id":31,"subscribe":{"channel":"more"}}"#), [error(31, 106, "limit exceeded")]);
    assert_eq!(client.closed, None);
}

#[test]
fn history_is_read_in_pages() {
    let hub = hub();
    for n in 1..=3 {
        hub.publish_value(OWN, "home", &n).unwrap();
    }
    let mut client = Client::connected(&hub);
    let mut page =
        |request: Value| client.say(&json!({"id": 2, "history": request}).to_string()).remove(0)["history"].take();
    let publication = |n: u64| json!({"data": n, "offset": n});

    let all = json!({"publications": [publication(1), publication(2), publication(3)], "epoch": EPOCH, "offset": 3});
    assert_eq!(page(json!({"channel": "home", "limit": -1})), all);
    assert_eq!(page(json!({"channel": "home"}))["publications"], json!([]), "without a limit only the place");
    let newest = page(json!({"channel": "home", "limit": 1, "reverse": true}));
    assert_eq!(newest["publications"], json!([publication(3)]));
    let since = page(json!({"channel": "home", "limit": 1, "since": {"offset": 1, "epoch": EPOCH}}));
    assert_eq!(since["publications"], json!([publication(2)]));
    assert_eq!(page(json!({"channel": "empty", "limit": -1}))["offset"], 0);
}

#[test]
fn whoever_breaks_the_protocol_is_disconnected() {
    let large = format!("{{\"id\":2,\"ping\":{{}},\"x\":\"{}\"}}", "x".repeat(MAX_FRAME));
    let cases: [(&[u8], Disconnect); 14] = [
        (b"", Disconnect::BAD_REQUEST),
        (b"\n\n", Disconnect::BAD_REQUEST),
        (b"hello", Disconnect::BAD_REQUEST),
        (b"\xff\xfe", Disconnect::BAD_REQUEST),
        (b"[2,null]", Disconnect::BAD_REQUEST),
        (b"{\"id\":2}", Disconnect::BAD_REQUEST),
        (b"{\"id\":-2,\"ping\":{}}", Disconnect::BAD_REQUEST),
        (b"{\"id\":2,\"dance\":{}}", Disconnect::BAD_REQUEST),
        (b"{\"id\":2,\"connect\":{}}", Disconnect::BAD_REQUEST),
        (b"{\"id\":2,\"subscribe\":{}}", Disconnect::BAD_REQUEST),
        (b"{\"id\":2,\"presence\":{}}", Disconnect::BAD_REQUEST),
        (b"{}", Disconnect::BAD_REQUEST),
        (b"{\"send\":{\"data\":1}}", Disconnect::NOT_AVAILABLE),
        (large.as_bytes(), Disconnect::MESSAGE_TOO_BIG),
    ];
    let hub = hub();
    for (frame, why) in cases {
        let mut client = Client::connected(&hub);
        assert_eq!(client.send(frame), [] as [Value; 0]);
        assert_eq!(client.closed, Some(why), "{}", String::from_utf8_lossy(&frame[..frame.len().min(80)]));
        assert_eq!(hub.connections(), 0);
        assert_eq!(client.say(r#"{"id":3,"ping":{}}"#), [] as [Value; 0], "a closed session hears nothing");
    }
    let mut early = Client::new(&hub);
    early.say(r#"{"id":1,"subscribe":{"channel":"home"}}"#);
    assert_eq!(early.closed, Some(Disconnect::BAD_REQUEST));
    let mut stranger = Client::new(&hub);
    stranger.say(r#"{"id":1,"connect":{"token":"wrong"}}"#);
    assert_eq!(stranger.closed, Some(Disconnect::INVALID_TOKEN));
}

#[test]
fn pings_keep_a_connection_and_silence_ends_it() {
    let hub = hub();
    let mut client = Client::connected(&hub);
    assert_eq!(client.peer.deadline(), Some(PING));
    assert_eq!(client.wait(PING), [json!({})]);
    assert_eq!(client.say("{}"), [] as [Value; 0]);
    assert_eq!(client.wait(PING), [json!({})]);
    assert_eq!(client.peer.deadline(), Some(PING * 2 + PONG));
    client.wait(PONG);
    assert_eq!(client.closed, Some(Disconnect::NO_PONG));
    assert_eq!(client.peer.deadline(), None);

    let mut silent = Client::new(&hub);
    silent.wait(STALE);
    assert_eq!(silent.closed, Some(Disconnect::STALE));
}

#[test]
fn a_hole_makes_the_client_subscribe_again() {
    let hub = hub();
    let mut stream = Stream::new(sent_core::live::stream::ChannelName::parse("home", OWN));
    let one = serde_json::value::to_raw_value(&1).unwrap();
    let publications: Vec<_> = (0..3).map(|_| stream.push(&one)).collect();
    drop(hub);

    let mut session = Session::new("c", Duration::ZERO);
    session.receive(b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"home\"}}", Duration::ZERO);
    assert!(matches!(session.poll(), Some(Effect::Authenticate { .. })));
    assert_eq!(session.poll(), None, "the subscription waits for the connection");
    session.authenticated(Ok(()), Duration::ZERO);
    session.poll();
    let Some(Effect::Subscribe { key, .. }) = session.poll() else { panic!("expected a subscription") };
    session.subscribed(Ok(Joined { top: Position { offset: 1, epoch: "e".to_owned() }, missed: None }));
    session.poll();

    session.publication(key, &publications[0]);
    assert_eq!(session.poll(), None, "1 was seen");
    session.publication(key, &publications[2]);
    assert_eq!(session.poll(), Some(Effect::Unsubscribe { key }));
    let Some(Effect::Send(line)) = session.poll() else { panic!("expected a push") };
    let push: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(
        push,
        json!({"push": {"channel": "home", "unsubscribe": {"code": 2500, "reason": "insufficient state"}}})
    );
    session.publication(key, &publications[1]);
    assert_eq!(session.poll(), None);
}

/// Commands as a client may put them, and some that none would.
fn command() -> impl Strategy<Value = (u32, String)> {
    let channel = prop_oneof![Just("home"), Just("b"), Just("forbidden"), Just("é\u{1f600}")].prop_map(str::to_owned);
    let body = (channel, any::<bool>(), 0u64..5, -2i32..5).prop_flat_map(|(channel, flag, offset, limit)| {
        prop_oneof![
            Just(json!({"subscribe": {"channel": &channel, "recover": flag, "offset": offset, "epoch": EPOCH}})),
            Just(json!({"unsubscribe": {"channel": &channel}})),
            Just(json!({"history": {"channel": &channel, "limit": limit, "reverse": flag}})),
            Just(json!({"publish": {"channel": &channel, "data": {"x": [1, null]}}})),
            Just(json!({"presence": {"channel": &channel}})),
            Just(json!({"ping": {}})),
            Just(json!({"refresh": {"token": "t"}})),
            Just(json!({"rpc": {"method": "m"}, "unknown": [1, 2, 3]})),
        ]
    });
    (1u32..1000, body).prop_map(|(id, mut body)| {
        body["id"] = id.into();
        (id, body.to_string())
    })
}

proptest! {
    /// Any bytes: no panic, and a connection that is over stays over.
    #[test]
    fn any_bytes_are_answered_or_end_the_connection(
        connect: bool,
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..5),
    ) {
        let hub = hub();
        let mut client = if connect { Client::connected(&hub) } else { Client::new(&hub) };
        for frame in &frames {
            let replies = client.send(frame);
            prop_assert!(client.closed.is_some() || !replies.is_empty());
        }
        drop(client);
        prop_assert_eq!(hub.connections(), 0);
        prop_assert_eq!(hub.channels(), 0);
    }

    /// Bytes that are almost commands.
    #[test]
    fn damaged_commands_are_answered_or_end_the_connection(
        commands in prop::collection::vec(command(), 1..5),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let hub = hub();
        let mut client = Client::connected(&hub);
        let lines: Vec<_> = commands.iter().map(|(_, line)| line.as_str()).collect();
        let mut frame = lines.join("\n").into_bytes();
        let at = at.index(frame.len());
        frame[at] = byte;
        let replies = client.send(&frame);
        prop_assert!(client.closed.is_some() || !replies.is_empty());
    }

    /// Every command gets one reply, in order, whatever was published meanwhile and however the frames are cut.
    #[test]
    fn each_command_gets_one_reply(
        frames in prop::collection::vec((prop::collection::vec(command(), 1..6), 0usize..3), 1..6),
    ) {
        let hub = hub();
        let mut client = Client::connected(&hub);
        for (commands, publications) in frames {
            for n in 0..publications {
                hub.publish_value(OWN, "home", &n).unwrap();
            }
            let lines: Vec<_> = commands.iter().map(|(_, line)| line.as_str()).collect();
            let replies = client.say(&lines.join("\n"));
            let asked: Vec<_> = commands.iter().map(|(id, _)| u64::from(*id)).collect();
            let answered: Vec<_> = replies.iter().filter_map(|r| r["id"].as_u64()).collect();
            prop_assert_eq!(asked, answered);
            prop_assert_eq!(client.closed, None);
        }
    }
}
