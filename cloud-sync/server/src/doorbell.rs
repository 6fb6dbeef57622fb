//! The doorbell and presence, over MQTT.
//!
//! A ring tells a box that there is something to fetch; losing one costs a poll interval, so rings are dropped rather than
//! waited for, and without a broker everything works at the pace of the polls. Presence comes by a shared subscription, so
//! that each word reaches one replica.

use std::{sync::Arc, time::Duration};

use rumqttc::{
    AsyncClient, Event, Incoming, MqttOptions, PublishOptions, TlsConfiguration, Transport,
    mqttbytes::{QoS, v5::Publish},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use sent_protocol::topic::{self, Doorbell, DoorbellKind, Presence};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Cloud,
    db::Tenancy,
    error::{Error, Result},
    status,
};

/// All replicas share the words about presence.
const PRESENCE: &str = "$share/cloud/sent/+/presence";
/// Rings that wait for the broker; more are dropped.
const WAITING: usize = 10_000;
const KEEP_ALIVE: u16 = 30;
/// The client's certificate is issued anew with each connection of at most this length.
const RENEW: Duration = Duration::from_secs(30 * 86_400);

/// Where rings are put.
#[derive(Clone, Debug)]
pub struct Bell {
    rings: mpsc::Sender<(Uuid, DoorbellKind)>,
}

/// Where they are taken out.
#[derive(Debug)]
pub struct Rings(mpsc::Receiver<(Uuid, DoorbellKind)>);

impl Bell {
    /// A bell and its rings.
    pub fn new() -> (Self, Rings) {
        let (rings, waiting) = mpsc::channel(WAITING);
        (Self { rings }, Rings(waiting))
    }

    /// Rings at a box; never waits.
    pub fn ring(&self, box_id: Uuid, kind: DoorbellKind) {
        if self.rings.try_send((box_id, kind)).is_err() {
            tracing::debug!(%box_id, "a ring was dropped; the box polls");
        }
    }
}

/// Connects, rings and listens until `stop`.
pub async fn run(cloud: Arc<Cloud>, mut rings: Rings, stop: CancellationToken) {
    if cloud.settings.mqtt.url.is_empty() {
        // Rings are taken out and forgotten: boxes poll.
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                ring = rings.0.recv() => if ring.is_none() { return },
            }
        }
    }
    while !stop.is_cancelled() {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = converse(&cloud, &mut rings) => outcome,
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "the broker is out of reach; boxes poll");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
    }
}

async fn converse(cloud: &Cloud, rings: &mut Rings) -> Result<()> {
    let options = options(cloud)?;
    let (client, mut events) = AsyncClient::builder(options).capacity(64).build();
    // Each side keeps its own loop: the client's poll is not made to be dropped half way.
    let listening = async {
        loop {
            match events.poll().await.map_err(broker)? {
                Event::Incoming(Incoming::ConnAck(_)) => {
                    client.subscribe(PRESENCE, QoS::AtLeastOnce).await.map_err(broker)?;
                }
                Event::Incoming(Incoming::Publish(publish)) => hear(cloud, &publish).await,
                _ => {}
            }
        }
    };
    let ringing = async {
        while let Some((box_id, kind)) = rings.0.recv().await {
            let payload = Doorbell { kind }.payload();
            let options = PublishOptions::new(QoS::AtLeastOnce);
            if client.try_publish(topic::doorbell(box_id), payload, options).is_err() {
                tracing::debug!(%box_id, "a ring was dropped; the box polls");
            }
        }
        Ok(())
    };
    tokio::select! {
        () = tokio::time::sleep(RENEW) => Ok(()),
        outcome = listening => outcome,
        outcome = ringing => outcome,
    }
}

fn broker(error: impl std::fmt::Display) -> Error {
    Error::Io(std::io::Error::other(format!("broker: {error}")))
}

fn options(cloud: &Cloud) -> Result<MqttOptions> {
    let wrong = |message: &str| Error::Setting { key: "mqtt.url", message: message.to_owned() };
    let url = url::Url::parse(&cloud.settings.mqtt.url).map_err(|e| wrong(&e.to_string()))?;
    let host = url.host_str().ok_or_else(|| wrong("has no host"))?.trim_matches(['[', ']']).to_owned();
    let secure = match url.scheme() {
        "mqtts" => true,
        "mqtt" => false,
        _ => return Err(wrong("use mqtts://host:port")),
    };
    let port = url.port().unwrap_or(if secure { 8883 } else { 1883 });
    // Two clients of one name would throw each other out.
    let name = format!("cloud-{}", Uuid::from_u128(rand::random()));
    let mut options = MqttOptions::new(name, (host, port));
    options.set_keep_alive(KEEP_ALIVE);
    if secure {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls(cloud)?))));
    }
    Ok(options)
}

fn tls(cloud: &Cloud) -> Result<ClientConfig> {
    let certificate = |e: rustls::Error| Error::Certificate(e.to_string());
    let identity = cloud.authority.issue_cloud(cloud.clock.now())?;
    let mut roots = RootCertStore::empty();
    roots.add(cloud.authority.root().clone()).map_err(certificate)?;
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(certificate)?
        .with_root_certificates(roots)
        .with_client_auth_cert(identity.issued.chain, identity.key)
        .map_err(certificate)
}

async fn hear(cloud: &Cloud, publish: &Publish) {
    let Ok(name) = std::str::from_utf8(&publish.topic) else { return };
    let Some((box_id, topic::Kind::Presence)) = topic::parse(name) else { return };
    let Some(presence) = Presence::parse(&publish.payload) else { return };
    if let Err(error) = note(cloud, box_id, presence).await {
        tracing::warn!(%box_id, %error, "a box's presence could not be kept");
    }
}

/// Keeps a box's presence and judges it anew.
pub async fn note(cloud: &Cloud, box_id: Uuid, presence: Presence) -> Result<()> {
    let now = cloud.clock.now();
    let mut tx = cloud.db.begin(Tenancy::All).await?;
    sqlx::query!(
        "UPDATE box_states SET presence = $2, presence_at = $3
         WHERE box_id = $1 AND presence IS DISTINCT FROM $2",
        box_id,
        presence.as_str(),
        now.0
    )
    .execute(&mut *tx)
    .await?;
    status::refresh(&mut tx, &cloud.settings.fleet, now, &[box_id]).await?;
    tx.commit().await?;
    Ok(())
}
