//! Beacons: a device calls the same place outside like clockwork, and says each time as much.
//!
//! Kept of each pair are the last starts and sizes. It is a beacon when the median absolute deviation from the median of
//! both intervals and sizes is small; what a few stragglers do does not matter. What is known to tick (time, names,
//! monitoring) is left out, and whatever stays inside. Updates and telemetry of programs tick too: see `ignore`.

use std::net::IpAddr;

use super::{Detection, Found, Kind, SECOND, Severity, Talk};
use crate::{
    app::App,
    packet::{TCP, UDP},
    recent::Recent,
    settings::Thresholds,
};

/// Pairs that are watched at once.
const WATCHED: usize = 4_096;
/// Silence after which a pair begins anew.
const SILENCE: i64 = 24 * 3_600 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Pair {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    port: u16,
}

/// Watches pairs.
#[derive(Debug)]
pub(super) struct Beacons {
    /// Start and bytes sent, of at most [`Thresholds::beacon_flows`] flows, the oldest first.
    pairs: Recent<Pair, Vec<(i64, u64)>>,
}

impl Default for Beacons {
    fn default() -> Self {
        Self { pairs: Recent::new(WATCHED) }
    }
}

impl Beacons {
    pub(super) fn flow(&mut self, talk: &Talk<'_>, thresholds: &Thresholds, found: &mut Found) {
        let flow = talk.flow;
        let spoken = matches!(flow.key.protocol, TCP | UDP) && flow.part == 0;
        if !spoken || !talk.from_inside || talk.to_inside || talk.to_many || flow.app.is_some_and(ticks) {
            return;
        }
        let pair =
            Pair { source: talk.source, destination: talk.destination, protocol: flow.key.protocol, port: talk.port };
        let most = thresholds.beacon_flows as usize;
        let calls = self.pairs.entry(pair, Vec::new);
        if calls.last().is_some_and(|(last, _)| (flow.start - last).abs() > SILENCE) {
            calls.clear();
        }
        // Flows end in another order than they begin.
        let place = calls.partition_point(|(start, _)| *start <= flow.start);
        calls.insert(place, (flow.start, flow.sides[0].octets));
        if calls.len() > most {
            calls.remove(0);
        }
        if calls.len() < most {
            return;
        }
        let mut intervals: Vec<u64> = calls.windows(2).map(|pair| pair[1].0.abs_diff(pair[0].0)).collect();
        let mut sizes: Vec<u64> = calls.iter().map(|(_, size)| *size).collect();
        let (interval, spread) = median_and_deviation(&mut intervals);
        let (size, size_spread) = median_and_deviation(&mut sizes);
        let within = |spread: u64, median: u64| {
            spread.saturating_mul(100) <= median.saturating_mul(thresholds.beacon_percent.into())
        };
        if interval < u64::from(thresholds.beacon_seconds) * SECOND.unsigned_abs()
            || !within(spread, interval)
            || !within(size_spread, size)
        {
            return;
        }
        let seconds = interval / SECOND.unsigned_abs();
        let title = format!("{} calls {} every {seconds} s", talk.source, talk.whom());
        let key = format!("{}:{}:{}/{}", talk.source, talk.destination, pair.protocol, pair.port);
        let start = calls.first().map_or(flow.start, |(start, _)| *start);
        found.push(
            Detection::new(Kind::Beacon, Severity::Medium, key, title, (start, flow.end))
                .fact("calls", most)
                .fact("interval", format!("{seconds} s, give or take {} ms", spread / 1_000_000))
                .fact("bytes each", format!("{size}, give or take {size_spread}"))
                .fact("to", talk.whom())
                .shown_by(talk),
        );
        calls.clear();
    }
}

/// Protocols that tick by themselves.
const fn ticks(app: App) -> bool {
    matches!(
        app,
        App::Dns
            | App::Mdns
            | App::Llmnr
            | App::Netbios
            | App::Dhcp
            | App::Dhcp6
            | App::Ntp
            | App::Snmp
            | App::Ssdp
            | App::Stun
            | App::Syslog
    )
}

/// The median, and the median of the distances from it.
fn median_and_deviation(values: &mut [u64]) -> (u64, u64) {
    let median = median(values);
    for value in values.iter_mut() {
        *value = value.abs_diff(median);
    }
    (median, self::median(values))
}

fn median(values: &mut [u64]) -> u64 {
    let middle = values.len() / 2;
    if values.is_empty() { 0 } else { *values.select_nth_unstable(middle).1 }
}
