//! The one WebSocket of a page: drives [`centrifugo::Machine`](crate::centrifugo::Machine) and hands what comes to those
//! who watch. A part of a page holds a [`Watch`]; when it is dropped the channel is left.

use crate::centrifugo::{Effect, Machine};
use futures::{
    FutureExt, SinkExt, StreamExt,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
};
use gloo_net::websocket::{Message as Frame, State, futures::WebSocket};
use gloo_timers::future::TimeoutFuture;
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};
use yew::Callback;

/// What those who watch a channel are told.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// This was published.
    Published(Value),
    /// Something may have been missed: fetch.
    Missed,
}

enum Order {
    Watch(String),
    Unwatch(String),
}

#[derive(Default)]
struct Hub {
    orders: Option<UnboundedSender<Order>>,
    watchers: BTreeMap<u32, (String, Callback<News>)>,
    next: u32,
    up: bool,
    state: Option<Callback<bool>>,
}

thread_local! {
    static HUB: RefCell<Hub> = RefCell::default();
}

/// A part of a page watches a channel for as long as this lives.
#[must_use]
pub struct Watch {
    id: u32,
}

impl Drop for Watch {
    fn drop(&mut self) {
        HUB.with_borrow_mut(|hub| {
            if let (Some((channel, _)), Some(orders)) = (hub.watchers.remove(&self.id), &hub.orders) {
                // A closed queue means that the connection is gone for good; there is nobody to tell.
                let _ = orders.unbounded_send(Order::Unwatch(channel));
            }
        });
    }
}

/// Watches a channel.
pub fn watch(channel: &str, tell: Callback<News>) -> Watch {
    HUB.with_borrow_mut(|hub| {
        hub.next += 1;
        let id = hub.next;
        hub.watchers.insert(id, (channel.to_owned(), tell));
        if let Some(orders) = &hub.orders {
            let _ = orders.unbounded_send(Order::Watch(channel.to_owned()));
        }
        Watch { id }
    })
}

/// Opens the connection after a login. `state` is told whenever it comes up or goes down.
pub fn start(state: Callback<bool>) {
    let (sender, receiver) = unbounded();
    HUB.with_borrow_mut(|hub| {
        for (channel, _) in hub.watchers.values() {
            let _ = sender.unbounded_send(Order::Watch(channel.clone()));
        }
        hub.orders = Some(sender);
        hub.state = Some(state);
    });
    wasm_bindgen_futures::spawn_local(run(receiver));
}

/// Closes it at the end of the session.
pub fn stop() {
    HUB.with_borrow_mut(|hub| {
        hub.orders = None;
        hub.up = false;
        hub.state = None;
    });
}

async fn run(mut orders: UnboundedReceiver<Order>) {
    let mut machine = Machine::default();
    while let End::Again = connection(&mut machine, &mut orders).await {
        machine.closed();
        tell_state(false);
        let wait = machine.backoff(js_sys::Math::random());
        let mut pause = TimeoutFuture::new(wait).fuse();
        loop {
            futures::select! {
                () = pause => break,
                order = orders.next() => match order {
                    // The machine is not connected: it only remembers.
                    Some(order) => { obey(&mut machine, order); }
                    None => return,
                },
            }
        }
    }
    tell_state(false);
}

enum End {
    Again,
    Last,
}

async fn connection(machine: &mut Machine, orders: &mut UnboundedReceiver<Order>) -> End {
    let Some(url) = address() else { return End::Last };
    let Ok(mut socket) = WebSocket::open(&url) else { return End::Again };
    let mut effects = machine.opened();
    // Until the server has said how often it pings, silence for half a minute is a dead line.
    let mut silence = Some(30_000);
    loop {
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(text) => {
                    // A browser complains aloud when somebody writes to a line that is being closed.
                    if matches!(socket.state(), State::Closing | State::Closed)
                        || socket.send(Frame::Text(text)).await.is_err()
                    {
                        return End::Again;
                    }
                }
                Effect::Publication { channel, data } => tell(&channel, &News::Published(data)),
                Effect::Missed { channel } => tell(&channel, &News::Missed),
                Effect::Up { silence: promised } => {
                    silence = promised;
                    tell_state(true);
                }
                Effect::Reconnect => return End::Again,
                Effect::Stop => return End::Last,
            }
        }
        let quiet = async {
            match silence {
                Some(wait) => TimeoutFuture::new(wait).await,
                None => std::future::pending().await,
            }
        };
        futures::select! {
            frame = socket.next().fuse() => match frame {
                Some(Ok(Frame::Text(text))) => effects = machine.received(&text),
                Some(Ok(Frame::Bytes(_))) => {}
                Some(Err(_)) | None => return End::Again,
            },
            order = orders.next() => match order {
                Some(order) => effects = obey(machine, order),
                None => return End::Last,
            },
            () = Box::pin(quiet).fuse() => return End::Again,
        }
    }
}

fn obey(machine: &mut Machine, order: Order) -> Vec<Effect> {
    match order {
        Order::Watch(channel) => machine.watch(&channel),
        Order::Unwatch(channel) => machine.unwatch(&channel),
    }
}

fn address() -> Option<String> {
    let location = web_sys::window()?.location();
    let scheme = if location.protocol().ok()? == "https:" { "wss" } else { "ws" };
    Some(format!("{scheme}://{}/connection/websocket", location.host().ok()?))
}

fn tell(channel: &str, news: &News) {
    // Collected first: a callback may start or end a watch.
    let callbacks: Rc<[_]> = HUB.with_borrow(|hub| {
        hub.watchers.values().filter(|(name, _)| name == channel).map(|(_, callback)| callback.clone()).collect()
    });
    for callback in callbacks.iter() {
        callback.emit(news.clone());
    }
}

fn tell_state(up: bool) {
    let callback = HUB.with_borrow_mut(|hub| {
        if hub.up == up {
            return None;
        }
        hub.up = up;
        hub.state.clone()
    });
    if let Some(callback) = callback {
        callback.emit(up);
    }
}
