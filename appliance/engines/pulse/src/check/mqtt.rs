//! Sensors that publish over MQTT.
//!
//! Unlike the other kinds this one is not asked: a subscription stays open as long as the check exists, comes back with
//! back-off when the broker goes, and a run of the check only tells how the subscription stands.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, Transport};
use sent_contract::{Level, Uuid};
use sent_core::clock::SharedClock;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::Reading;
use crate::{
    check::Runnable,
    model::{kind, payload, sample::Sample},
    recorder::Recorder,
};

/// First and longest wait before another connection is tried.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The longest message that is read.
const MOST_MESSAGE: u32 = 64 << 10;

/// How a subscription stands.
#[derive(Debug)]
pub struct Link {
    state: Mutex<(Level, String, u64)>,
}

impl Default for Link {
    fn default() -> Self {
        Self { state: Mutex::new((Level::Unknown, "connecting".to_owned(), 0)) }
    }
}

impl Link {
    /// As the check tells it.
    pub fn reading(&self) -> Reading {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = match (state.0, state.2) {
            (Level::Ok, 0) => "subscribed, nothing published yet".to_owned(),
            (Level::Ok, n) => format!("subscribed, {n} numbers so far"),
            _ => state.1.clone(),
        };
        Reading { level: state.0, cause, latency: None, samples: Vec::new() }
    }

    fn set(&self, level: Level, cause: String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.0, state.1) = (level, cause);
    }

    fn count(&self, numbers: usize) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).2 += numbers as u64;
    }
}

/// Keeps a subscription until it is told to stop.
pub async fn follow(
    check: Arc<Runnable>,
    link: Arc<Link>,
    recorder: Arc<Recorder>,
    clock: SharedClock,
    stop: CancellationToken,
) {
    let sent_contract::pulse::CheckKind::Mqtt { broker, topic } = &check.kind else { return };
    let options = match options(broker, check.id) {
        Ok(options) => options,
        Err(cause) => return link.set(Level::Bad, cause),
    };
    let host = kind::host(&check.kind);
    let mut wait = WAITS.0;
    loop {
        let (client, mut events) = AsyncClient::builder(options.clone()).capacity(16).build();
        let failed = loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.poll() => event,
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    if let Err(e) = client.try_subscribe(topic.clone(), QoS::AtMostOnce) {
                        break e.to_string();
                    }
                }
                Ok(Event::Incoming(Packet::SubAck(answer))) => {
                    use rumqttc::mqttbytes::v5::SubscribeReasonCode::Success;
                    if !answer.return_codes.iter().all(|code| matches!(code, Success(_))) {
                        break format!("the broker refuses the topic filter {topic}");
                    }
                    wait = WAITS.0;
                    link.set(Level::Ok, "subscribed".to_owned());
                }
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    let Ok(name) = std::str::from_utf8(&message.topic) else { continue };
                    let samples = samples(&host, &check.name, name, &message.payload);
                    link.count(samples.len());
                    recorder.record(clock.now().0, samples);
                }
                Ok(Event::Incoming(Packet::Disconnect(_))) => break "the broker ended the connection".to_owned(),
                Ok(_) => {}
                Err(e) => break e.to_string(),
            }
        };
        link.set(Level::Bad, format!("no connection to the broker: {failed}"));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(WAITS.1),
        }
    }
}

/// One series for each topic and, in JSON documents, each field.
fn samples(host: &str, check: &str, topic: &str, payload: &[u8]) -> Vec<Sample> {
    payload::numbers(payload)
        .into_iter()
        .map(|(field, value)| {
            let sample = Sample::new("mqtt_value", "", host, value).with("check", check).with("topic", topic);
            if field.is_empty() { sample } else { sample.with("field", field) }
        })
        .collect()
}

fn options(broker: &str, check: Uuid) -> Result<MqttOptions, String> {
    let url = Url::parse(broker).map_err(|e| format!("the broker's address is wrong: {e}"))?;
    let secure = url.scheme() == "mqtts";
    let host = url.host_str().ok_or("the broker's address names no host")?;
    let port = url.port().unwrap_or(if secure { 8883 } else { 1883 });
    let mut options = MqttOptions::new(format!("sent-pulse-{}", check.simple()), (host, port));
    options.set_keep_alive(30);
    options.set_max_packet_size(Some(MOST_MESSAGE));
    if secure {
        let transport =
            Transport::try_tls_with_default_config().map_err(|e| format!("no TLS client can be made: {e}"))?;
        options.set_transport(transport);
    }
    if !url.username().is_empty() {
        let decode = |text: &str| kind::percent_decode(text);
        options.set_credentials(decode(url.username()), decode(url.password().unwrap_or_default()));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_labels() {
        let found = samples("house", "sensors", "house/kitchen", br#"{"temperature":21.5,"humidity":40}"#);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].labels["field"], "temperature");
        assert_eq!(found[1].labels["topic"], "house/kitchen");
    }
}
