//! The doorbell, presence and live values, over MQTT.
//!
//! A ring tells a box that there is something to fetch; losing one costs a poll interval, so rings are dropped rather than
//! waited for, and without a broker everything works at the pace of the polls. Presence comes by a shared subscription, so
//! that each word reaches one replica.
//!
//! A page that watches a box's values listens to `fleet.live.BOX`. As long as somebody does, the replica that has the page
//! hears that box's live topic and rings at the box, which sends only while it is rung at; so replicas share the work as
//! pages share the replicas, and a fleet that nobody looks at says nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rumqttc::{
    AsyncClient, Event, Incoming, MqttOptions, PublishOptions, TlsConfiguration, Transport,
    mqttbytes::{QoS, v5::Publish},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use sent_core::live::stream::ChannelName;
use sent_protocol::{
    limits,
    topic::{self, Doorbell, DoorbellKind, Live, Presence},
};
use tokio::{sync::mpsc, time::Instant};
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
/// Pages that watch a box listen to this and its id.
const LIVE: &str = "fleet.live.";
/// Between two looks at who watches.
const LOOK: Duration = Duration::from_millis(500);
/// A watched box is rung at this often; it sends for 45 s after each ring.
const REMIND: Duration = Duration::from_secs(15);
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
    let watched = Watched::default();
    // Each side keeps its own loop: the client's poll is not made to be dropped half way.
    let listening = async {
        loop {
            match events.poll().await.map_err(broker)? {
                Event::Incoming(Incoming::ConnAck(_)) => {
                    client.subscribe(PRESENCE, QoS::AtLeastOnce).await.map_err(broker)?;
                    watched.begin_anew();
                }
                Event::Incoming(Incoming::Publish(publish)) => hear(cloud, &watched, &publish).await,
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
        outcome = watched.follow(cloud, &client) => outcome,
    }
}

/// The boxes that somebody watches at this replica.
#[derive(Default)]
struct Watched(Mutex<BTreeMap<Uuid, Watch>>);

struct Watch {
    /// Who watches: organisations of the console whose box it is.
    organizations: Vec<Uuid>,
    /// When the box was rung at.
    rung: Option<Instant>,
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Watch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new session with the broker knows of no subscription.
    fn begin_anew(&self) {
        self.lock().clear();
    }

    /// Follows who watches: subscribes, rings, and ends what nobody watches any more.
    async fn follow(&self, cloud: &Cloud, client: &AsyncClient) -> Result<()> {
        // What was asked for once need not be asked again: a box does not change hands under the eyes of a page.
        let mut may: BTreeMap<(Uuid, Uuid), bool> = BTreeMap::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let heard = cloud.hub.heard(LIVE);
            if heard.is_empty() {
                may.clear();
            }
            let mut wanted: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
            for (organization, box_id) in heard.iter().filter_map(named) {
                let known = may.get(&(organization, box_id)).copied();
                let visible = match known {
                    Some(visible) => visible,
                    None => is_of(cloud, organization, box_id).await?,
                };
                may.insert((organization, box_id), visible);
                if visible {
                    wanted.entry(box_id).or_default().push(organization);
                }
            }
            self.turn(wanted, client);
        }
    }

    /// Whatever does not get through at once is tried at the next look.
    fn turn(&self, wanted: BTreeMap<Uuid, Vec<Uuid>>, client: &AsyncClient) {
        let mut watched = self.lock();
        watched
            .retain(|box_id, _| wanted.contains_key(box_id) || client.try_unsubscribe(topic::live(*box_id)).is_err());
        for (box_id, organizations) in wanted {
            let watch = match watched.entry(box_id) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    if client.try_subscribe(topic::live(box_id), QoS::AtMostOnce).is_err() {
                        continue;
                    }
                    new.insert(Watch { organizations: Vec::new(), rung: None })
                }
            };
            watch.organizations = organizations;
            if watch.rung.is_none_or(|rung| rung.elapsed() >= REMIND) {
                let bell = Doorbell { kind: DoorbellKind::Live }.payload();
                let rang = client.try_publish(topic::doorbell(box_id), bell, PublishOptions::at_most_once());
                watch.rung = rang.is_ok().then(Instant::now).or(watch.rung);
            }
        }
    }

    /// Shows a box's values to whoever watches it.
    fn show(&self, cloud: &Cloud, box_id: Uuid, values: &Live) {
        let organizations = self.lock().get(&box_id).map(|watch| watch.organizations.clone()).unwrap_or_default();
        for organization in organizations {
            if let Err(error) = cloud.hub.publish_value(organization, &format!("{LIVE}{box_id}"), values) {
                tracing::warn!(%box_id, %error, "live values cannot be told");
            }
        }
    }
}

/// Organisation and box of a channel.
fn named(channel: &ChannelName) -> Option<(Uuid, Uuid)> {
    Some((channel.organization, channel.name.strip_prefix(LIVE)?.parse().ok()?))
}

/// Whether a box belongs to an organisation, or to a customer of it.
async fn is_of(cloud: &Cloud, organization: Uuid, box_id: Uuid) -> Result<bool> {
    let mut tx = cloud.db.begin(Tenancy::Tree(organization)).await?;
    let row = sqlx::query!("SELECT organization_id, revoked_at FROM boxes WHERE id = $1", box_id)
        .fetch_optional(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(row.is_some_and(|row| row.revoked_at.is_none()))
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

async fn hear(cloud: &Cloud, watched: &Watched, publish: &Publish) {
    let Ok(name) = std::str::from_utf8(&publish.topic) else { return };
    let Some((box_id, kind)) = topic::parse(name) else { return };
    match kind {
        topic::Kind::Presence => {}
        topic::Kind::Live => {
            // Values only; whatever else a box may say does not reach a page.
            if publish.payload.len() <= limits::MQTT_PAYLOAD
                && let Ok(values) = serde_json::from_slice(&publish.payload)
            {
                watched.show(cloud, box_id, &values);
            }
            return;
        }
        topic::Kind::Doorbell => return,
    }
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
