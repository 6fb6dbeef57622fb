//! IPFIX (RFC 7011) over UDP: each flow as a bidirectional record (RFC 5103).
//!
//! Two templates, one a family of addresses. Over UDP a collector may miss them: they go out with the first message and
//! again every minute (§8.1). A message fits into a packet that nobody cuts. The sequence number counts records, so that
//! a collector sees what it lost.

use crate::{
    flow::{Flow, Side, State},
    packet::TCP,
};

/// Version, RFC 7011 §3.1.
const VERSION: u16 = 10;
/// Bytes of a message: Ethernet's 1,500, less IPv6's and UDP's heads and room for a tunnel.
const MESSAGE: usize = 1_400;
/// Set id of templates, and ids of ours.
const TEMPLATES: u16 = 2;
const FOUR: u16 = 256;
const SIX: u16 = 257;
/// Seconds after which templates are told again.
const REFRESH: i64 = 60;
/// The enterprise of a biflow's other direction, RFC 5103 §6.1.
const REVERSE: u32 = 29_305;
/// Length of a field that says its own.
const VARIABLE: u16 = 65_535;

/// Element, length, whether it is the other direction's.
type Field = (u16, u16, bool);

/// What follows the addresses, by IANA's register.
const FIELDS: [Field; 15] = [
    (7, 2, false),         // sourceTransportPort
    (11, 2, false),        // destinationTransportPort
    (4, 1, false),         // protocolIdentifier
    (136, 1, false),       // flowEndReason
    (6, 2, false),         // tcpControlBits
    (58, 2, false),        // vlanId
    (2, 8, false),         // packetDeltaCount
    (1, 8, false),         // octetDeltaCount
    (6, 2, true),          // reverse tcpControlBits
    (2, 8, true),          // reverse packetDeltaCount
    (1, 8, true),          // reverse octetDeltaCount
    (156, 8, false),       // flowStartNanoseconds
    (157, 8, false),       // flowEndNanoseconds
    (56, 6, false),        // sourceMacAddress
    (96, VARIABLE, false), // applicationName
];

/// Turns flows into messages.
#[derive(Debug)]
pub struct Exporter {
    domain: u32,
    sequence: u32,
    told: Option<i64>,
    /// Data sets under way: their bytes and how many records.
    sets: [(Vec<u8>, u32); 2],
}

impl Exporter {
    /// Of an observation domain.
    pub fn new(domain: u32) -> Self {
        Self { domain, sequence: 0, told: None, sets: Default::default() }
    }

    /// Takes a flow up; answers a message when one is full. `now` is seconds since 1970 UTC.
    pub fn flow(&mut self, flow: &Flow, now: i64) -> Option<Vec<u8>> {
        let record = record(flow);
        let full =
            self.sets.iter().map(|(set, _)| set.len()).sum::<usize>() + record.len() + self.overhead(now) > MESSAGE;
        let message = if full { self.message(now) } else { None };
        let (set, count) = &mut self.sets[usize::from(flow.key.six)];
        set.extend(record);
        *count += 1;
        message
    }

    /// What is under way, as a message; nothing when there is none.
    pub fn message(&mut self, now: i64) -> Option<Vec<u8>> {
        if self.sets.iter().all(|(_, count)| *count == 0) {
            return None;
        }
        let mut body = Vec::new();
        if self.is_due(now) {
            self.told = Some(now);
            body.extend(templates());
        }
        let sequence = self.sequence;
        for ((set, count), id) in self.sets.iter_mut().zip([FOUR, SIX]) {
            if *count > 0 {
                self.sequence = self.sequence.wrapping_add(*count);
                body.extend(set_of(id, &std::mem::take(set)));
                *count = 0;
            }
        }
        let length = u16::try_from(body.len() + 16).unwrap_or(u16::MAX);
        let time = u32::try_from(now).unwrap_or_default();
        let mut message = [VERSION.to_be_bytes(), length.to_be_bytes()].concat();
        for number in [time, sequence, self.domain] {
            message.extend(number.to_be_bytes());
        }
        message.extend(body);
        Some(message)
    }

    fn is_due(&self, now: i64) -> bool {
        self.told.is_none_or(|told| (now - told).abs() >= REFRESH)
    }

    /// Bytes of a message besides its records.
    fn overhead(&self, now: i64) -> usize {
        16 + 2 * 4 + if self.is_due(now) { templates().len() } else { 0 }
    }
}

fn set_of(id: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 4).unwrap_or(u16::MAX);
    [&id.to_be_bytes()[..], &length.to_be_bytes(), body].concat()
}

fn templates() -> Vec<u8> {
    let mut body = Vec::new();
    // sourceIPv4Address and destinationIPv4Address, or those of IPv6.
    for (id, addresses) in [(FOUR, [(8, 4, false), (12, 4, false)]), (SIX, [(27, 16, false), (28, 16, false)])] {
        let count = u16::try_from(addresses.len() + FIELDS.len()).unwrap_or_default();
        body.extend([id.to_be_bytes(), count.to_be_bytes()].concat());
        for (element, length, reverse) in addresses.into_iter().chain(FIELDS) {
            let element: u16 = element;
            body.extend((element | if reverse { 0x8000 } else { 0 }).to_be_bytes());
            body.extend(u16::to_be_bytes(length));
            if reverse {
                body.extend(REVERSE.to_be_bytes());
            }
        }
    }
    set_of(TEMPLATES, &body)
}

fn record(flow: &Flow) -> Vec<u8> {
    let ((source, sport), (destination, dport)) = (flow.initiator(), flow.responder());
    let mut out = Vec::new();
    for address in [source, destination] {
        let bytes = address.0.to_be_bytes();
        out.extend(if flow.key.six { &bytes[..] } else { &bytes[12..] });
    }
    let [ours, theirs] = Side::BOTH.map(|side| flow.sides[side.index()]);
    let flags = |flags: u8| if flow.key.protocol == TCP { u16::from(flags).to_be_bytes() } else { [0; 2] };
    out.extend(sport.to_be_bytes());
    out.extend(dport.to_be_bytes());
    out.push(flow.key.protocol);
    // §5.11.3 of RFC 5102: 1 is silence, 3 is its end.
    out.push(if matches!(flow.state, State::Closed | State::Reset | State::Refused) { 3 } else { 1 });
    out.extend(flags(ours.flags));
    // The outer tag stands in the upper half where there are two.
    let vlan = if flow.key.vlan >> 12 != 0 { flow.key.vlan >> 12 } else { flow.key.vlan };
    out.extend(u16::try_from(vlan & 0xfff).unwrap_or_default().to_be_bytes());
    out.extend(ours.packets.to_be_bytes());
    out.extend(ours.octets.to_be_bytes());
    out.extend(flags(theirs.flags));
    out.extend(theirs.packets.to_be_bytes());
    out.extend(theirs.octets.to_be_bytes());
    out.extend(ntp(flow.start));
    out.extend(ntp(flow.end));
    out.extend(flow.macs.map_or([0; 6], |[from, _]| from));
    let app = flow.app.map_or("", |app| app.name());
    // Names of applications are short: one byte says how long.
    out.push(u8::try_from(app.len()).unwrap_or_default());
    out.extend(app.as_bytes());
    out
}

/// NTP's 64 bits, RFC 7011 §6.1.9: seconds since 1900 and a fraction.
fn ntp(nanoseconds: i64) -> [u8; 8] {
    /// Seconds between 1900 and 1970.
    const EPOCH: i64 = 2_208_988_800;
    let seconds = nanoseconds.div_euclid(1_000_000_000).saturating_add(EPOCH).unsigned_abs();
    let fraction = (nanoseconds.rem_euclid(1_000_000_000).unsigned_abs() << 32) / 1_000_000_000;
    // The era goes round in 2036.
    ((seconds & 0xffff_ffff) << 32 | fraction).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        capture::{Frame, write::Writer},
        frames::{self, Wire, inside, outside},
        settings::Settings,
    };

    /// Wireshark reads each message as it was meant.
    #[test]
    fn tshark_decodes_what_is_sent() {
        let mut wire = Wire::new(&Settings::default());
        let mut exporter = Exporter::new(9);
        let mut messages = Vec::new();
        for port in 0..40 {
            let said = vec![b'x'; usize::from(port)];
            let flow = wire.flow_of((inside(7), 40_000 + port), (outside(9), 443), &said, b"ho");
            messages.extend(exporter.flow(&flow, 1_795_435_200));
        }
        messages.extend(exporter.message(1_795_435_300));
        assert!(messages.len() > 2 && messages.iter().all(|message| message.len() <= MESSAGE));
        assert_eq!(exporter.message(1_795_435_300), None);

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ipfix.pcapng");
        let mut writer = Writer::new(std::fs::File::create(&path).expect("a file")).expect("writes");
        for message in &messages {
            let data = frames::udp((inside(1), 9_000), (inside(2), 4_739), message);
            let length = u32::try_from(data.len()).expect("short");
            writer.frame("", &Frame { time: 1, link: 1, length, data: &data }).expect("writes");
        }
        writer.flush().expect("writes");
        let fields =
            ["cflow.srcaddr", "cflow.dstport", "cflow.srcport", "cflow.packets", "cflow.timestart", "_ws.malformed"];
        let mut tshark = std::process::Command::new("tshark");
        tshark.args(["-r"]).arg(&path).args(["-d", "udp.port==4739,cflow", "-T", "fields"]);
        for field in fields {
            tshark.args(["-e", field]);
        }
        let output = tshark.output().expect("tshark is installed by scripts/deps.sh");
        let text = String::from_utf8_lossy(&output.stdout);
        let column = |place: usize| {
            text.lines()
                .flat_map(move |line| {
                    line.split('\t').nth(place).unwrap_or_default().split(',').map(str::to_owned).collect::<Vec<_>>()
                })
                .filter(|value| !value.is_empty())
                .collect::<Vec<_>>()
        };
        assert_eq!(column(0), vec!["192.168.1.7"; 40], "{text}");
        assert_eq!(column(1), vec!["443"; 40]);
        assert_eq!(column(2), (40_000..40_040).map(|port| port.to_string()).collect::<Vec<_>>());
        assert_eq!(column(5), [""; 0]);
        let packets = column(3);
        assert!(packets.chunks(2).all(|pair| pair == ["3", "3"]), "{packets:?}");
    }
}
