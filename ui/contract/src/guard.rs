//! Traffic, devices, certificates, detections.
use crate::{Micros, Uuid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `GET /api/guard/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Interfaces that are listened to.
    pub interfaces: Vec<Interface>,
    /// Flows under way.
    pub flows: u64,
    /// Flows that were ended early for want of room.
    pub flows_evicted: u64,
    /// Flows that were seen but not stored, because the disk was too slow or full.
    pub flows_lost: u64,
    /// Detections that were not told again, since they had been told shortly before.
    pub detections_repeated: u64,
    /// Detections that nobody could take in time.
    pub detections_lost: u64,
    /// The packets on disk; none when they are not kept.
    pub ring: Option<Ring>,
    /// Listed addresses, networks and domains: list, entries.
    pub lists: Vec<(String, u64)>,
    /// What does not work, in words.
    pub faults: Vec<String>,
}

/// An interface that is listened to. Counters begin with the worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Why it cannot be listened to now.
    pub fault: Option<String>,
    /// Frames that were looked at.
    pub frames: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Frames a second, lately.
    pub frames_rate: f64,
    /// Bits a second, lately.
    pub bits_rate: f64,
    /// Frames that the kernel says there were, those it lost included.
    pub received: u64,
    /// Frames the kernel lost because nobody read them in time.
    pub dropped_kernel: u64,
    /// Frames the interface lost.
    pub dropped_interface: u64,
    /// Frames that guard was too busy for.
    pub dropped_queue: u64,
}

/// The ring of packets on disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ring {
    /// Bytes it has.
    pub bytes: u64,
    /// Bytes it may have.
    pub limit: u64,
    /// Its first frame.
    pub since: Option<Micros>,
    /// Frames that were not written, because the disk was too slow or full.
    pub dropped: u64,
}

/// A row of `GET /api/guard/flows?from=&to=&address=&mac=&port=&app=&q=&after=&limit=`, the newest first. Of two addresses
/// with a space between them each is one end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Cursor.
    pub id: u64,
    /// Community id.
    pub community_id: String,
    /// Which part of a long flow, from 0.
    pub part: u32,
    /// First packet.
    pub start: Micros,
    /// Last packet.
    pub end: Micros,
    /// `tcp`, `udp`, `icmp` …, or the protocol's number.
    pub proto: String,
    /// Who began.
    pub src: String,
    /// Its port.
    pub sport: u16,
    /// Its MAC address.
    pub src_mac: Option<String>,
    /// Who was asked.
    pub dst: String,
    /// Its port.
    pub dport: u16,
    /// Its MAC address.
    pub dst_mac: Option<String>,
    /// The name it was looked up by, or asked for by.
    pub name: Option<String>,
    /// What is spoken.
    pub app: Option<String>,
    /// `unanswered`, `answered`, `refused`, `reset`, `closed`.
    pub state: String,
    /// TLS client fingerprint.
    pub ja4: Option<String>,
    /// Packets that who began sent.
    pub packets_out: u64,
    /// Packets it received.
    pub packets_in: u64,
    /// Bytes it sent.
    pub bytes_out: u64,
    /// Bytes it received.
    pub bytes_in: u64,
}

/// `GET /api/guard/talkers?from=&to=&limit=`: a row for each pair, the most bytes first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Talker {
    /// Who began.
    pub src: String,
    /// The device's name, where it has one.
    pub src_name: Option<String>,
    /// Who was asked.
    pub dst: String,
    /// The name it was looked up by.
    pub dst_name: Option<String>,
    /// What was spoken most.
    pub app: Option<String>,
    /// Flows.
    pub flows: u64,
    /// Bytes from `src` to `dst`.
    pub bytes_out: u64,
    /// Bytes from `dst` to `src`.
    pub bytes_in: u64,
}

/// `GET /api/guard/traffic?from=&to=&address=&mac=&port=&app=&q=`: what those flows add up to, the most bytes first
/// everywhere. A flow under way counts as far as it was told of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Flows.
    pub flows: u64,
    /// Bytes that those sent who began.
    pub bytes_out: u64,
    /// Bytes that they received.
    pub bytes_in: u64,
    /// How many began flows.
    pub sources: u64,
    /// How many were asked: names, or addresses that have none.
    pub destinations: u64,
    /// Who began, the first of them.
    pub top_sources: Vec<End>,
    /// Who was asked, the first of them.
    pub top_destinations: Vec<End>,
    /// What was spoken: all of it.
    pub apps: Vec<Spoken>,
    /// Who talks to whom in what, the first of them.
    pub links: Vec<Link>,
    /// Width of a column, µs; 0 where no time was asked for.
    pub step: i64,
    /// Bytes over time; columns without any are left out.
    pub columns: Vec<Spell>,
}

/// One end of flows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// An address; of who was asked the name it was looked up by, where it has one.
    pub key: String,
    /// The device's name, where the address is one's that has a name.
    pub name: Option<String>,
    /// The device's MAC address, where the address is one's.
    pub mac: Option<String>,
    /// Flows.
    pub flows: u64,
    /// Bytes that who began sent.
    pub bytes_out: u64,
    /// Bytes it received.
    pub bytes_in: u64,
}

/// What was spoken, and how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spoken {
    /// Its name; none is what was not recognised.
    pub app: Option<String>,
    /// Flows.
    pub flows: u64,
    /// Bytes that who began sent.
    pub bytes_out: u64,
    /// Bytes it received.
    pub bytes_in: u64,
}

/// Who talks to whom in what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Key of who began.
    pub source: String,
    /// Key of who was asked.
    pub destination: String,
    /// What is spoken.
    pub app: Option<String>,
    /// Bytes that who began sent.
    pub bytes_out: u64,
    /// Bytes it received.
    pub bytes_in: u64,
}

/// Bytes of a column of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spell {
    /// Its beginning.
    pub at: Micros,
    /// One of the first four applications; none is all the rest.
    pub app: Option<String>,
    /// Bytes, both ways, of flows that ended in it.
    pub bytes: u64,
}

/// A row of `GET /api/guard/devices`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// MAC address.
    pub mac: String,
    /// Whether the device made its address up, as telephones do.
    pub random: bool,
    /// Best name.
    pub name: Option<String>,
    /// Who made it.
    pub maker: Option<String>,
    /// Its addresses, the newest first.
    pub addresses: Vec<String>,
    /// Names by where they were heard: `dhcp`, `mdns`, `netbios`, `llmnr`, `dns`.
    pub names: BTreeMap<String, String>,
    /// What runs on it: a guess.
    pub system: Option<String>,
    /// From what it was guessed: `dhcp_vendor`, `dhcp_options`, `tcp_syn`.
    pub system_basis: Option<String>,
    /// What it does for others: `dhcp`, `resolver`, `router`, `server`.
    pub roles: Vec<String>,
    /// First seen.
    pub first_seen: Micros,
    /// Last seen.
    pub last_seen: Micros,
}

/// `GET /api/guard/devices/{mac}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceDetail {
    /// The device.
    pub device: Device,
    /// Bytes it sent since the worker began.
    pub sent: u64,
    /// Bytes it received since the worker began.
    pub received: u64,
    /// Whom it talks to, the most bytes first, as far as flows are kept.
    pub peers: Vec<Talker>,
    /// What was detected about it, the newest first.
    pub detections: Vec<Detection>,
}

/// A row of `GET /api/guard/certificates`, the first to end first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Who shows it.
    pub server: String,
    /// On which port.
    pub port: u16,
    /// SHA-256 of its DER form, in hexadecimal.
    pub sha256: String,
    /// The name it was asked for by.
    pub name: Option<String>,
    /// For whom.
    pub subject: String,
    /// By whom.
    pub issuer: String,
    /// Names it is good for.
    pub names: Vec<String>,
    /// Good from.
    pub not_before: Micros,
    /// Good until.
    pub not_after: Micros,
    /// Kind and size of its key.
    pub key: String,
    /// How it is signed.
    pub signature: String,
    /// It signs itself.
    pub self_signed: bool,
    /// What is weak.
    pub weak: Vec<String>,
    /// Whether the server is the office's own.
    pub own: bool,
    /// First seen.
    pub first_seen: Micros,
}

/// Header of an answer with packets that did not all fit.
pub const CUT: &str = "x-sent-cut";

/// A row of `GET /api/guard/detections?state=open&kind=&after=`, the newest first, and the answer of
/// `POST /api/guard/detections/{id}/acknowledge`. Its packets: `GET /api/guard/packets.pcapng?detection=`; others:
/// `?from=&to=` with `flow=COMMUNITY_ID`, `address=`, `mac=` or neither. An answer with [`CUT`] has the first of them only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Id.
    pub id: Uuid,
    /// `scan`, `beacon`, `dns_tunnel`, `large_upload`, `new_device`, `rogue_dhcp`, `arp_spoofing`, `plaintext_password`,
    /// `listed`, `certificate`.
    pub kind: String,
    /// `low`, `medium`, `high`.
    pub severity: String,
    /// Headline.
    pub title: String,
    /// `open` or `acknowledged`.
    pub state: String,
    /// What was seen.
    pub facts: BTreeMap<String, String>,
    /// The device.
    pub mac: Option<String>,
    /// Who did it.
    pub source: Option<String>,
    /// To whom.
    pub destination: Option<String>,
    /// On which port.
    pub port: Option<u16>,
    /// The flow that shows it.
    pub community_id: Option<String>,
    /// First evidence.
    pub started_at: Micros,
    /// Last evidence.
    pub last_at: Micros,
    /// How often it was told.
    pub count: u64,
    /// Who acknowledged it.
    pub acknowledged_by: Option<String>,
}
