//! The session with the broker: doorbell in, presence and live values out.
//!
//! Nothing that matters depends on it. It never holds anything up: what cannot be said at once is not said, and a bell
//! that is lost costs one poll interval. Live values go out only while somebody in the cloud watches this box: the bell says
//! so, again and again.
use crate::{Identity, tls};
use rumqttc::{
    AsyncClient, Event, Incoming, MqttOptions, PublishOptions, TlsConfiguration, Transport,
    mqttbytes::{QoS, v5::LastWill},
};
use sent_protocol::{
    limits,
    sync::Event as SyncEvent,
    topic::{self, Doorbell, DoorbellKind, Live, Presence},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use url::Url;

const KEEP_ALIVE: u16 = 30;
/// After a broken session: 2 to 30 s, doubling.
const RETRY_LEAST: Duration = Duration::from_secs(2);
const RETRY_MOST: Duration = Duration::from_secs(30);
/// After the last bell that said so, this box is no longer watched. The cloud rings more than twice in that time.
const WATCHED: Duration = Duration::from_secs(45);
/// For saying goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// What goes through the session besides bells.
pub struct Lively {
    /// Values to be shown.
    pub values: mpsc::Receiver<Live>,
    /// Until when somebody watches.
    pub watched: watch::Sender<Option<Instant>>,
}

/// Keeps a session until `shutdown`. Each new session uses the identity of that moment.
pub async fn keep(
    identity: watch::Receiver<Arc<Identity>>,
    events: mpsc::Sender<SyncEvent>,
    mut live: Lively,
    shutdown: CancellationToken,
) {
    let mut delay = RETRY_LEAST;
    while !shutdown.is_cancelled() {
        let current = identity.borrow().clone();
        match session(&current, &events, &mut live, &shutdown).await {
            Ok(true) => delay = RETRY_LEAST,
            Ok(false) => {}
            Err(cause) => tracing::warn!(cause, "no session with the broker is possible"),
        }
        let wait = delay.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        delay = (delay * 2).min(RETRY_MOST);
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One session. True when it stood at some time.
async fn session(
    identity: &Identity,
    events: &mpsc::Sender<SyncEvent>,
    live: &mut Lively,
    shutdown: &CancellationToken,
) -> Result<bool, String> {
    let url = Url::parse(&identity.mqtt_url).map_err(|e| format!("the broker's address is no address: {e}"))?;
    let host = url.host_str().ok_or("the broker's address names no host")?.to_owned();
    let presence = topic::presence(identity.box_id);
    let mut options = MqttOptions::new(identity.box_id.to_string(), (host, url.port().unwrap_or(8883)));
    options.set_keep_alive(KEEP_ALIVE);
    options.set_max_packet_size(u32::try_from(limits::MQTT_PAYLOAD + 1024).ok());
    options.set_last_will(LastWill::new(&presence, Presence::Offline.as_str(), QoS::AtLeastOnce, true, None));
    let config = tls::mutual(identity).map_err(|e| e.to_string())?;
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))));
    let (client, mut session) = AsyncClient::builder(options).capacity(64).build();

    let say = |word: Presence| {
        client.try_publish(presence.as_str(), word.as_str(), PublishOptions::new(QoS::AtLeastOnce).retained())
    };
    let live_topic = topic::live(identity.box_id);
    let mut stood = false;
    let mut leaving = false;
    let mut goodbye = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled(), if !leaving => {
                leaving = true;
                goodbye = Instant::now() + GOODBYE;
                if !stood || say(Presence::Offline).is_err() || client.try_disconnect().is_err() {
                    break;
                }
            }
            () = tokio::time::sleep_until(goodbye), if leaving => break,
            Some(values) = live.values.recv(), if stood && !leaving => {
                if let Ok(payload) = serde_json::to_vec(&values) && payload.len() <= limits::MQTT_PAYLOAD {
                    // Best effort: a full queue drops it.
                    let _ = client.try_publish(live_topic.as_str(), payload, PublishOptions::at_most_once());
                }
            }
            event = session.poll() => match event {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                    stood = true;
                    let bell = topic::doorbell(identity.box_id);
                    if client.try_subscribe(bell, QoS::AtLeastOnce).is_err() || say(Presence::Online).is_err() {
                        break;
                    }
                }
                // Only now is no bell missed any more.
                Ok(Event::Incoming(Incoming::SubAck(_))) => tell(events, SyncEvent::Doorbell(true)).await,
                Ok(Event::Incoming(Incoming::Publish(publish))) => {
                    match Doorbell::parse(&publish.payload) {
                        Some(Doorbell { kind: DoorbellKind::Live }) => {
                            live.watched.send_replace(Some(Instant::now() + WATCHED));
                        }
                        Some(bell) => tell(events, SyncEvent::Rang(bell.kind)).await,
                        None => {}
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    if !leaving {
                        tracing::debug!(%error, "session with the broker ended");
                    }
                    break;
                }
            }
        }
    }
    if stood && !leaving {
        tell(events, SyncEvent::Doorbell(false)).await;
    }
    Ok(stood)
}

/// The agent may have gone first; then nobody needs to know.
async fn tell(events: &mpsc::Sender<SyncEvent>, event: SyncEvent) {
    let _ = events.send(event).await;
}
