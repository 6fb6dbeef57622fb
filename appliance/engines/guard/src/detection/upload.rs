//! Large uploads: a device sends a lot to one address outside within an hour, and gets little back.

use std::net::IpAddr;

use super::{Detection, Found, Kind, SECOND, Severity, Talk};
use crate::{recent::Recent, settings::Thresholds};

/// Pairs that are watched at once.
const WATCHED: usize = 8_192;
/// How long bytes are added up.
const WINDOW: i64 = 3_600 * SECOND;
/// So many times as much must go out as comes in.
const RATIO: u64 = 3;

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    since: i64,
    sent: u64,
    received: u64,
}

/// Adds up.
#[derive(Debug)]
pub(super) struct Uploads {
    tallies: Recent<(IpAddr, IpAddr), Tally>,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { tallies: Recent::new(WATCHED) }
    }
}

impl Uploads {
    pub(super) fn flow(&mut self, talk: &Talk<'_>, thresholds: &Thresholds, found: &mut Found) {
        // What is in a tunnel is counted with the tunnel.
        if talk.from_inside == talk.to_inside || talk.to_many || talk.flow.tunnel.is_some() {
            return;
        }
        let [ours, theirs] = talk.flow.sides.map(|side| side.octets);
        // A server inside that is asked from outside sends too.
        let (pair, sent, received) = match talk.from_inside {
            true => ((talk.source, talk.destination), ours, theirs),
            false => ((talk.destination, talk.source), theirs, ours),
        };
        let tally = self.tallies.entry(pair, || Tally { since: talk.flow.start, ..Tally::default() });
        if (talk.flow.end - tally.since).abs() > WINDOW {
            *tally = Tally { since: talk.flow.start, ..Tally::default() };
        }
        tally.sent += sent;
        tally.received += received;
        let Tally { since, sent, received } = *tally;
        if sent < u64::from(thresholds.upload_mib) << 20 || sent / RATIO < received {
            return;
        }
        *tally = Tally { since: talk.flow.end, ..Tally::default() };
        let whom = if talk.from_inside { talk.whom() } else { pair.1.to_string() };
        let title = format!("{} sent {} MiB to {whom}", pair.0, sent >> 20);
        let key = format!("{}:{}", pair.0, pair.1);
        let span = (since.min(talk.flow.start), talk.flow.end);
        let mut detection = Detection::new(Kind::LargeUpload, Severity::Medium, key, title, span)
            .fact("sent", format!("{sent} bytes"))
            .fact("received", format!("{received} bytes"))
            .fact("to", whom)
            .shown_by(talk);
        if !talk.from_inside {
            detection.mac = None;
            (detection.source, detection.destination) = (Some(pair.0), Some(pair.1));
        }
        found.push(detection);
    }
}
