//! MQTT topics and what is said on them. The broker lets a client use only the topics of its own certificate's name.
use crate::Micros;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Topics of every box, for the cloud's subscriptions.
pub const ALL_PRESENCE: &str = "sent/+/presence";

/// `sent/{box}/doorbell`: cloud → box, QoS 1.
pub fn doorbell(box_id: Uuid) -> String {
    format!("sent/{box_id}/doorbell")
}

/// `sent/{box}/presence`: box → cloud, retained, QoS 1; the last will says [`Presence::Offline`].
pub fn presence(box_id: Uuid) -> String {
    format!("sent/{box_id}/presence")
}

/// `sent/{box}/live`: box → cloud, QoS 0.
pub fn live(box_id: Uuid) -> String {
    format!("sent/{box_id}/live")
}

/// The kind of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`doorbell`].
    Doorbell,
    /// [`presence`].
    Presence,
    /// [`live`].
    Live,
}

/// Takes a topic apart; `None` for a topic that is not ours.
pub fn parse(topic: &str) -> Option<(Uuid, Kind)> {
    let (id, kind) = topic.strip_prefix("sent/")?.split_once('/')?;
    let kind = match kind {
        "doorbell" => Kind::Doorbell,
        "presence" => Kind::Presence,
        "live" => Kind::Live,
        _ => return None,
    };
    Some((Uuid::try_parse(id).ok()?, kind))
}

/// The doorbell: there is something new to fetch. Losing one costs at most one poll interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doorbell {
    /// What to fetch.
    pub kind: DoorbellKind,
}

/// What a doorbell is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DoorbellKind {
    /// A newer reference checkpoint.
    Reference,
    /// A newer desired document.
    Desired,
    /// A command.
    Command,
    /// Nothing: somebody watches the box's values and would see them live. Rung again and again while it is so.
    Live,
}

impl Doorbell {
    /// Reads a payload; `None` when it is not a doorbell.
    pub fn parse(payload: &[u8]) -> Option<Doorbell> {
        serde_json::from_slice(payload).ok()
    }

    /// Its payload.
    pub fn payload(self) -> Vec<u8> {
        serde_json::to_vec(&self).expect("an enumeration always serialises")
    }
}

/// Whether a box's session with the broker stands. The payload is the bare word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// `online`.
    Online,
    /// `offline`.
    Offline,
}

impl Presence {
    /// The payload.
    pub fn as_str(self) -> &'static str {
        match self {
            Presence::Online => "online",
            Presence::Offline => "offline",
        }
    }

    /// Reads a payload; `None` when it is neither.
    pub fn parse(payload: &[u8]) -> Option<Presence> {
        match payload {
            b"online" => Some(Presence::Online),
            b"offline" => Some(Presence::Offline),
            _ => None,
        }
    }
}

/// The newest values of a box, for a page that watches. Never stored. The page knows the series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// When.
    pub at: Micros,
    /// Series id, decimal, and its value.
    pub points: Vec<(String, f64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_round_trip() {
        let id = Uuid::from_u128(5);
        assert_eq!(parse(&doorbell(id)), Some((id, Kind::Doorbell)));
        assert_eq!(parse(&presence(id)), Some((id, Kind::Presence)));
        assert_eq!(parse(&live(id)), Some((id, Kind::Live)));
        for topic in ["", "sent", "sent/x/live", "sent//live", "sent/00000000-0000-0000-0000-000000000005/live/x"] {
            assert_eq!(parse(topic), None, "{topic}");
        }
    }

    #[test]
    fn payloads_are_as_documented() {
        let bell = Doorbell { kind: DoorbellKind::Reference };
        assert_eq!(bell.payload(), br#"{"kind":"reference"}"#);
        assert_eq!(Doorbell::parse(&bell.payload()), Some(bell));
        assert_eq!(Doorbell::parse(b"{"), None);
        let live = Live { at: 5, points: vec![("7".to_owned(), 0.5)] };
        assert_eq!(serde_json::to_string(&live).unwrap(), r#"{"at":5,"points":[["7",0.5]]}"#);
        assert_eq!(Presence::parse(b"offline"), Some(Presence::Offline));
        assert_eq!(Presence::parse(b"gone"), None);
    }
}
