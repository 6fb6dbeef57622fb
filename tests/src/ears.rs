//! A page's WebSocket, as far as stories need one: it subscribes, and hears what is published.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{SinkExt as _, StreamExt as _};
use reqwest::header;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::Face;

/// Whatever is waited for comes sooner.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that listens.
pub struct Ears {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// Something that was published.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Where.
    pub channel: String,
    /// What.
    pub data: Value,
}

impl Ears {
    /// Connects as whoever is logged in at a face, and subscribes.
    pub async fn open(face: &Face, channels: &[&str]) -> Result<Self> {
        let url = format!("{}/connection/websocket", face.base().replacen("http", "ws", 1));
        let mut request = url.into_client_request()?;
        if let Some(cookie) = face.cookie() {
            request.headers_mut().insert(header::COOKIE, cookie.parse()?);
        }
        let (socket, _) = connect_async(request).await?;
        let mut ears = Self { socket };
        ears.ask(json!({ "id": 1, "connect": {} })).await?;
        for (n, channel) in channels.iter().enumerate() {
            ears.ask(json!({ "id": n + 2, "subscribe": { "channel": channel } })).await?;
        }
        Ok(ears)
    }

    /// Sends a command and waits for its answer.
    async fn ask(&mut self, command: Value) -> Result<()> {
        self.socket.send(Message::text(command.to_string())).await?;
        let answered = |line: &Value| line["id"] == command["id"];
        let answer = self.line(answered).await.with_context(|| format!("no answer to {command}"))?;
        if answer["error"].is_object() {
            bail!("{command}: {answer}");
        }
        Ok(())
    }

    /// Waits until something is published that fits.
    pub async fn until(&mut self, what: &str, fits: impl Fn(&Heard) -> bool) -> Result<Heard> {
        let line = self.line(|line| heard(line).is_some_and(|heard| fits(&heard))).await;
        line.ok().as_ref().and_then(heard).with_context(|| format!("{what}: nobody published it"))
    }

    async fn line(&mut self, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let wait = async {
            loop {
                let Message::Text(text) = self.socket.next().await.context("the connection ended")?? else { continue };
                for line in text.lines() {
                    let line: Value = serde_json::from_str(line)?;
                    // A ping is an empty command.
                    if line == json!({}) {
                        self.socket.send(Message::text("{}")).await?;
                    } else if fits(&line) {
                        return Ok(line);
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await?
    }
}

fn heard(line: &Value) -> Option<Heard> {
    let push = line.get("push")?;
    let (channel, data) = (push["channel"].as_str()?.to_owned(), push.get("pub")?.get("data")?.clone());
    Some(Heard { channel, data })
}
