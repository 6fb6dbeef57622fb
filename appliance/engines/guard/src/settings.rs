//! The section `[guard]` of the settings file.

use std::{net::Ipv4Addr, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Network interfaces that are listened to; none: nothing is captured.
    pub interfaces: Vec<String>,
    /// What the kernel hands over, in the language of pcap-filter(7); empty is everything.
    pub filter: String,
    /// Bytes of each frame that are captured.
    pub snap: u32,
    /// What the kernel holds for each interface until it is read, MiB.
    pub buffer_mib: u32,
    /// Whether frames for others are captured too.
    pub promiscuous: bool,
    /// Memory for flows under way, MiB.
    pub memory_mib: u32,
    /// Seconds after which a flow under way is told of.
    pub part_seconds: u32,
    /// The office's own networks.
    pub networks: Vec<IpNet>,
    /// Networks and domains that are never the cause of a detection.
    pub ignore: Vec<String>,
    /// Files of listed addresses, networks and domains.
    pub lists: Vec<PathBuf>,
    /// DHCP servers that may give addresses; none: whoever did first.
    pub dhcp_servers: Vec<Ipv4Addr>,
    /// Folder with IEEE's lists of makers.
    pub makers: PathBuf,
    /// Bound of the ring of packets on disk, MiB; 0 keeps none.
    pub ring_mib: u32,
    /// Days a flow is kept.
    pub flows_days: u32,
    /// Days a detection is kept once it was acknowledged or is silent; 0 keeps it for ever.
    pub detections_days: u32,
    /// Size at which the file of events is begun anew, MiB; 0 writes none.
    pub eve_mib: u32,
    /// IPFIX collector, `host:port`, over UDP; empty sends nothing.
    pub ipfix: String,
    /// `[guard.thresholds]`.
    pub thresholds: Thresholds,
}

/// When something is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Minutes in which the same trouble is told once.
    pub repeat_minutes: u32,
    /// Seconds in which a scan's connections are counted.
    pub scan_seconds: u32,
    /// Ports of one host without an answer.
    pub scan_ports: u32,
    /// Hosts without an answer on one port.
    pub scan_hosts: u32,
    /// Connections that make a beacon.
    pub beacon_flows: u32,
    /// Seconds between them at least.
    pub beacon_seconds: u32,
    /// How much intervals and sizes may differ, per cent of their median.
    pub beacon_percent: u32,
    /// Names below one domain within ten minutes.
    pub tunnel_names: u32,
    /// Characters such a name has on average.
    pub tunnel_length: u32,
    /// Tenths of a bit each of its characters carries on average.
    pub tunnel_entropy: u32,
    /// What one device sends to one address outside within an hour, MiB.
    pub upload_mib: u32,
    /// Hours in which devices are learnt before a new one is told.
    pub learn_hours: u32,
    /// Days before a certificate's end.
    pub certificate_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        let networks = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"];
        Self {
            interfaces: Vec::new(),
            filter: String::new(),
            snap: 65_535,
            buffer_mib: 16,
            promiscuous: true,
            memory_mib: 64,
            part_seconds: 300,
            // Each of them is written above as a network is.
            networks: networks.iter().filter_map(|network| network.parse().ok()).collect(),
            ignore: Vec::new(),
            lists: Vec::new(),
            dhcp_servers: Vec::new(),
            makers: PathBuf::from("/usr/share/ieee-data"),
            ring_mib: 1024,
            flows_days: 14,
            detections_days: 365,
            eve_mib: 16,
            ipfix: String::new(),
            thresholds: Thresholds::default(),
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            repeat_minutes: 60,
            scan_seconds: 300,
            scan_ports: 30,
            scan_hosts: 30,
            beacon_flows: 12,
            beacon_seconds: 5,
            beacon_percent: 10,
            tunnel_names: 50,
            tunnel_length: 24,
            tunnel_entropy: 30,
            upload_mib: 1024,
            learn_hours: 24,
            certificate_days: 14,
        }
    }
}

/// Why the section cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the settings section [guard] is wrong: {0}")]
pub struct SettingsError(pub String);

impl Settings {
    /// Reads the section.
    pub fn read(section: &toml::Table) -> Result<Self, SettingsError> {
        let settings: Self =
            section.clone().try_into().map_err(|e: toml::de::Error| SettingsError(e.message().to_owned()))?;
        match settings.fault() {
            Some(fault) => Err(SettingsError(fault)),
            None => Ok(settings),
        }
    }

    /// What is wrong beyond the form, if anything is.
    pub fn fault(&self) -> Option<String> {
        let t = &self.thresholds;
        let numbers = [
            ("snap", self.snap, 64..=262_144),
            ("buffer_mib", self.buffer_mib, 1..=1_024),
            ("memory_mib", self.memory_mib, 4..=4_096),
            ("part_seconds", self.part_seconds, 10..=3_600),
            ("ring_mib", self.ring_mib, 0..=16_777_216),
            ("flows_days", self.flows_days, 1..=3_650),
            ("detections_days", self.detections_days, 0..=36_500),
            ("eve_mib", self.eve_mib, 0..=4_096),
            ("thresholds.repeat_minutes", t.repeat_minutes, 1..=100_000),
            ("thresholds.scan_seconds", t.scan_seconds, 1..=86_400),
            ("thresholds.scan_ports", t.scan_ports, 2..=65_535),
            ("thresholds.scan_hosts", t.scan_hosts, 2..=65_535),
            ("thresholds.beacon_flows", t.beacon_flows, 4..=64),
            ("thresholds.beacon_seconds", t.beacon_seconds, 1..=86_400),
            ("thresholds.beacon_percent", t.beacon_percent, 0..=100),
            ("thresholds.tunnel_names", t.tunnel_names, 2..=10_000),
            ("thresholds.tunnel_length", t.tunnel_length, 1..=253),
            ("thresholds.tunnel_entropy", t.tunnel_entropy, 0..=80),
            ("thresholds.upload_mib", t.upload_mib, 1..=100_000_000),
            ("thresholds.learn_hours", t.learn_hours, 0..=8_760),
            ("thresholds.certificate_days", t.certificate_days, 0..=3_650),
        ];
        numbers.into_iter().find_map(|(key, value, range)| {
            (!range.contains(&value))
                .then(|| format!("{key} is from {} to {}, not {value}", range.start(), range.end()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_unknown_keys_are_refused() {
        assert_eq!(Settings::read(&toml::Table::new()), Ok(Settings::default()));
        assert_eq!(Settings::default().networks.len(), 6);
        for wrong in ["interface = []", "snap = 1", "networks = [\"10.0.0.0/33\"]", "[thresholds]\nscan_ports = 0"] {
            assert!(Settings::read(&wrong.parse().expect("toml")).is_err(), "{wrong}");
        }
    }
}
