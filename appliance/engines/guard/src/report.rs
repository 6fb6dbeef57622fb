//! What the network has to say in a report: devices that look like trouble, certificates that end or are weak, and who
//! used the line for what.
//!
//! Flows are kept for some days only: where the time begins before the first flow, the traffic says so.

use sent_contract::{
    Level,
    guard::{Certificate, Detection, Device, Traffic},
};
use sent_core::{
    Problem, Scope, Timestamp,
    report::{Bar, Block, Column, Figure, Finding, MOST_ROWS, Period, Section, bytes},
};

use crate::{
    flows::Filter,
    service::{ROWS, Service},
    store::Filter as DetectionFilter,
};

/// Where the sections stand among the others.
const DEVICES: u16 = 200;
const CERTIFICATES: u16 = 300;
const TRAFFIC: u16 = 400;
/// A certificate that ends within so many µs after the time is told.
const ENDS_SOON: i64 = 30 * 86_400 * 1_000_000;
/// Microseconds of an hour.
const HOUR: i64 = 3_600 * 1_000_000;

impl Service {
    /// What there is to report about a time. Nothing, where nothing was ever captured.
    ///
    /// # Errors
    /// The store or the flows cannot be read.
    pub async fn report(&self, scope: &Scope, period: Period) -> Result<Vec<Section>, Problem> {
        let devices = self.devices(scope).await?.items;
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = self.detections(scope, DetectionFilter::default(), ROWS.1).await?.items;
        found.retain(|detection| detection.last_at >= period.from.0 && detection.started_at < period.to.0);
        let certificates = self.certificates(scope).await?.items;
        let filter = Filter { from: Some(period.from.0), to: Some(period.to.0), ..Filter::default() };
        let traffic = self.traffic(scope, filter).await?;
        let sections =
            [on_devices(&devices, &found, period), on_certificates(&certificates, period), on_traffic(&traffic)];
        Ok(sections.into_iter().flatten().collect())
    }
}

fn rank(severity: &str) -> u8 {
    match severity {
        "high" => 2,
        "medium" => 1,
        _ => 0,
    }
}

fn level(severity: &str) -> Level {
    match rank(severity) {
        2 => Level::Bad,
        1 => Level::Warn,
        _ => Level::Unknown,
    }
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// The name of a device, else who made it, else its address.
fn called(device: &Device) -> String {
    device.name.clone().or_else(|| device.maker.clone()).unwrap_or_else(|| device.mac.clone())
}

fn on_devices(devices: &[Device], found: &[Detection], period: Period) -> Option<Section> {
    let within = |at: i64| (period.from.0..period.to.0).contains(&at);
    let active = devices.iter().filter(|device| device.last_seen >= period.from.0).count();
    let new = devices.iter().filter(|device| within(device.first_seen)).count();
    let open = found.iter().filter(|detection| detection.state == "open").count();
    let mut worst: Vec<&Detection> = found.iter().collect();
    worst.sort_by_key(|detection| (std::cmp::Reverse(rank(&detection.severity)), std::cmp::Reverse(detection.last_at)));
    let who = |detection: &Detection| {
        let device = detection.mac.as_ref().and_then(|mac| devices.iter().find(|device| device.mac == *mac));
        device.map(called).or_else(|| detection.source.clone()).unwrap_or_default()
    };
    let row = |detection: &&Detection| {
        vec![
            detection.title.clone(),
            detection.severity.clone(),
            who(detection),
            detection.destination.clone().unwrap_or_default(),
            Timestamp(detection.last_at).rfc3339(),
            if detection.state == "open" { "open" } else { "acknowledged" }.to_owned(),
        ]
    };
    let blocks = vec![
        Block::Figures {
            figures: vec![
                Figure {
                    label: "Devices seen".to_owned(),
                    value: active.to_string(),
                    note: Some(format!("{} known in all", devices.len())),
                    level: Level::Unknown,
                },
                Figure { label: "New devices".to_owned(), value: new.to_string(), note: None, level: Level::Unknown },
                Figure {
                    label: "Findings still open".to_owned(),
                    value: open.to_string(),
                    note: Some(format!("of {}", found.len())),
                    level: if open > 0 { Level::Warn } else { Level::Ok },
                },
            ],
        },
        Block::Table {
            title: "What looked like trouble on the network".to_owned(),
            columns: ["Finding", "Severity", "Device", "To", "Last seen (UTC)", "State"].map(Column::words).into(),
            rows: worst.iter().take(MOST_ROWS).map(row).collect(),
            more: worst.len().saturating_sub(MOST_ROWS) as u64,
            empty: "Nothing on the network looked like trouble.".to_owned(),
        },
    ];
    let bad = worst.iter().find(|detection| detection.state == "open").copied();
    let summary = Some(match bad {
        None => Finding {
            level: Level::Ok,
            text: format!("{} on the network; no finding is open.", plural(active, "device")),
        },
        Some(detection) => Finding {
            level: if level(&detection.severity) == Level::Bad { Level::Bad } else { Level::Warn },
            text: format!("{} on the network still open; the worst: {}.", plural(open, "finding"), detection.title),
        },
    });
    Some(Section { title: "Devices on the network".to_owned(), place: DEVICES, summary, blocks })
}

/// What is wrong with a certificate at the end of the time, and how bad that is. Of servers elsewhere only what is weak or
/// over matters: they renew theirs without the office.
fn fault(certificate: &Certificate, end: i64) -> Option<(Level, String)> {
    let (own, ends) = (certificate.own, certificate.not_after);
    if ends <= end {
        return Some((Level::Bad, "has ended".to_owned()));
    }
    if let Some(weak) = certificate.weak.first() {
        return Some((Level::Warn, format!("weak: {weak}")));
    }
    match (own, ends <= end + ENDS_SOON, certificate.self_signed) {
        (true, true, _) => Some((Level::Warn, format!("ends in {} days", (ends - end) / (24 * HOUR)))),
        (true, _, true) => Some((Level::Unknown, "signs itself".to_owned())),
        _ => None,
    }
}

fn on_certificates(certificates: &[Certificate], period: Period) -> Option<Section> {
    if certificates.is_empty() {
        return None;
    }
    let mut faulty: Vec<(&Certificate, Level, String)> = certificates
        .iter()
        .filter_map(|certificate| fault(certificate, period.to.0).map(|(level, why)| (certificate, level, why)))
        .collect();
    faulty.sort_by_key(|(certificate, level, _)| {
        let weight = match level {
            Level::Bad => 0,
            Level::Warn => 1,
            _ => 2,
        };
        (!certificate.own, weight, certificate.not_after)
    });
    let count =
        |wanted: Level| faulty.iter().filter(|(certificate, level, _)| certificate.own && *level == wanted).count();
    let (over, soon) = (count(Level::Bad), count(Level::Warn));
    let row = |(certificate, _, why): &(&Certificate, Level, String)| {
        vec![
            certificate.name.clone().unwrap_or_else(|| certificate.subject.clone()),
            format!("{} port {}", certificate.server, certificate.port),
            if certificate.own { "the office" } else { "elsewhere" }.to_owned(),
            certificate.issuer.clone(),
            Timestamp(certificate.not_after).rfc3339(),
            why.clone(),
        ]
    };
    let summary = match (over, soon) {
        (0, 0) => {
            Finding { level: Level::Ok, text: "The certificates of the office's own servers are sound.".to_owned() }
        }
        (0, soon) => Finding {
            level: Level::Warn,
            text: format!("{} of the office's own servers to be renewed soon.", plural(soon, "certificate")),
        },
        (over, _) => Finding {
            level: Level::Bad,
            text: format!("{} of the office's own servers ended already.", plural(over, "certificate")),
        },
    };
    let figure = |label: &str, count: usize, level: Level| Figure {
        label: label.to_owned(),
        value: count.to_string(),
        note: None,
        level: if count > 0 { level } else { Level::Ok },
    };
    Some(Section {
        title: "Certificates".to_owned(),
        place: CERTIFICATES,
        summary: Some(summary),
        blocks: vec![
            Block::Figures {
                figures: vec![
                    Figure {
                        label: "Seen on the wire".to_owned(),
                        value: certificates.len().to_string(),
                        note: None,
                        level: Level::Unknown,
                    },
                    figure("Own, ended", over, Level::Bad),
                    figure("Own, ending or weak", soon, Level::Warn),
                ],
            },
            Block::Table {
                title: "Certificates to look after".to_owned(),
                columns: ["Name", "Server", "Whose", "Issued by", "Ends (UTC)", "What"].map(Column::words).into(),
                rows: faulty.iter().take(MOST_ROWS).map(row).collect(),
                more: faulty.len().saturating_sub(MOST_ROWS) as u64,
                empty: "None ends soon, none is weak.".to_owned(),
            },
        ],
    })
}

fn on_traffic(traffic: &Traffic) -> Option<Section> {
    if traffic.flows == 0 {
        return None;
    }
    let total = (traffic.bytes_out + traffic.bytes_in) as f64;
    let bar = |label: String, moved: u64| Bar { label, value: moved as f64, level: Level::Unknown };
    let ends = |ends: &[sent_contract::guard::End]| {
        ends.iter()
            .take(10)
            .map(|end| {
                let label = end.name.as_ref().map_or_else(|| end.key.clone(), |name| format!("{name} ({})", end.key));
                bar(label, end.bytes_out + end.bytes_in)
            })
            .collect::<Vec<_>>()
    };
    let mut apps: Vec<_> = traffic.apps.iter().collect();
    apps.sort_by_key(|app| std::cmp::Reverse(app.bytes_out + app.bytes_in));
    let spoken = apps
        .iter()
        .take(10)
        .map(|app| bar(app.app.clone().unwrap_or_else(|| "not recognised".to_owned()), app.bytes_out + app.bytes_in));
    let bars = |title: &str, bars: Vec<Bar>| Block::Bars { title: title.to_owned(), unit: "bytes".to_owned(), bars };
    let figure = |label: &str, value: String, note: String| Figure {
        label: label.to_owned(),
        value,
        note: Some(note),
        level: Level::Unknown,
    };
    let text = traffic.top_sources.first().map(|first| {
        let name = first.name.as_ref().unwrap_or(&first.key);
        format!("{} went over the network; {name} moved the most of it.", bytes(total))
    });
    Some(Section {
        title: "Traffic".to_owned(),
        place: TRAFFIC,
        summary: text.map(|text| Finding { level: Level::Unknown, text }),
        blocks: vec![
            Block::Figures {
                figures: vec![
                    figure("Moved", bytes(total), format!("in {} connections", traffic.flows)),
                    figure("Sent", bytes(traffic.bytes_out as f64), format!("by {} devices", traffic.sources)),
                    figure(
                        "Received",
                        bytes(traffic.bytes_in as f64),
                        format!("from {} destinations", traffic.destinations),
                    ),
                ],
            },
            bars("Who used the line", ends(&traffic.top_sources)),
            bars("For what", spoken.collect()),
            bars("With whom", ends(&traffic.top_destinations)),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR;
    const PERIOD: Period = Period { from: Timestamp(0), to: Timestamp(7 * DAY) };

    fn certificate(own: bool, ends: i64) -> Certificate {
        Certificate {
            server: "10.0.0.2".to_owned(),
            port: 443,
            sha256: String::new(),
            name: Some("shop.example".to_owned()),
            subject: "CN=shop.example".to_owned(),
            issuer: "CN=R3".to_owned(),
            names: Vec::new(),
            not_before: 0,
            not_after: ends,
            key: "EC 256".to_owned(),
            signature: "ecdsa-with-SHA256".to_owned(),
            self_signed: false,
            weak: Vec::new(),
            own,
            first_seen: 0,
        }
    }

    #[test]
    fn the_office_s_own_certificates_are_told_before_they_end() {
        assert_eq!(fault(&certificate(true, 6 * DAY), PERIOD.to.0), Some((Level::Bad, "has ended".to_owned())));
        assert_eq!(fault(&certificate(true, 17 * DAY), PERIOD.to.0), Some((Level::Warn, "ends in 10 days".to_owned())));
        assert_eq!(fault(&certificate(false, 17 * DAY), PERIOD.to.0), None);
        let section = on_certificates(&[certificate(true, 17 * DAY), certificate(false, 400 * DAY)], PERIOD).unwrap();
        assert_eq!(section.summary.unwrap().text, "1 certificate of the office's own servers to be renewed soon.");
    }

    #[test]
    fn a_network_without_trouble_says_so() {
        let device = Device {
            mac: "02:00:00:00:00:01".to_owned(),
            random: true,
            name: None,
            maker: None,
            addresses: Vec::new(),
            names: std::collections::BTreeMap::new(),
            system: None,
            system_basis: None,
            roles: Vec::new(),
            first_seen: DAY,
            last_seen: 2 * DAY,
        };
        let section = on_devices(&[device], &[], PERIOD).unwrap();
        assert_eq!(section.summary.unwrap().text, "1 device on the network; no finding is open.");
        assert!(on_certificates(&[], PERIOD).is_none());
    }
}
