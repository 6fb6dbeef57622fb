//! Tunnels in DNS: a device looks up many different names below one domain, long ones that look like noise.
//!
//! A domain is the last two labels of a name, three where the second last is short (`co.uk`). Names of reverse look-ups do
//! not count. Reputation services that encode what they are asked in a name look the same: see `ignore`.

use std::net::IpAddr;

use super::{Detection, Entries, Found, Kind, Lookup, SECOND, Severity, hash};
use crate::{
    recent::{Distinct, Recent},
    settings::Thresholds,
};

/// Pairs of a client and a domain that are watched at once.
const WATCHED: usize = 4_096;
/// How long names are counted together.
const WINDOW: i64 = 600 * SECOND;
/// Domains below which everything is long and different.
const REVERSE: [&str; 2] = ["in-addr.arpa", "ip6.arpa"];

#[derive(Debug, Default)]
struct Tally {
    names: Distinct,
    /// Characters of different names, without dots.
    characters: u64,
    /// Their entropy, in thousandths of a bit each, added up over names.
    entropy: u64,
}

/// Watches look-ups.
#[derive(Debug)]
pub(super) struct Tunnels {
    tallies: Recent<(IpAddr, String), Tally>,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self { tallies: Recent::new(WATCHED) }
    }
}

impl Tunnels {
    pub(super) fn lookup(&mut self, lookup: &Lookup<'_>, thresholds: &Thresholds, ignore: &Entries, found: &mut Found) {
        if lookup.message.response || lookup.message.opcode != 0 {
            return;
        }
        for question in &lookup.message.questions {
            let Some((below, domain)) = split(&question.name) else { continue };
            let domain = domain.to_ascii_lowercase();
            if REVERSE.contains(&domain.as_str()) || ignore.domain(&domain).is_some() {
                continue;
            }
            let most = thresholds.tunnel_names as usize;
            let tally = self.tallies.entry((lookup.client, domain.clone()), Tally::default);
            let before = (tally.names.count(), tally.names.since());
            let count = tally.names.add(hash(below), lookup.time, WINDOW, most);
            if tally.names.since() != before.1 {
                (tally.characters, tally.entropy) = (0, 0);
            } else if count == before.0 {
                continue;
            }
            let letters: Vec<u8> = below.bytes().filter(|letter| *letter != b'.').collect();
            tally.characters += letters.len() as u64;
            tally.entropy += entropy(&letters);
            if count < most {
                continue;
            }
            let (length, bits) = (tally.characters / count as u64, tally.entropy / count as u64);
            let span = (tally.names.since().min(lookup.time), lookup.time);
            tally.names.clear();
            if length < thresholds.tunnel_length.into() || bits < u64::from(thresholds.tunnel_entropy) * 100 {
                continue;
            }
            let title = format!("{} may send data in names below {domain}", lookup.client);
            let key = format!("{}:{domain}", lookup.client);
            let mut detection = Detection::new(Kind::DnsTunnel, Severity::High, key, title, span)
                .fact("domain", &domain)
                .fact("names", format!("{count}, {length} characters on average"))
                .fact("entropy", format!("{}.{} bits a character", bits / 1_000, bits % 1_000 / 100))
                .fact("last name", &question.name);
            (detection.source, detection.port) = (Some(lookup.client), Some(53));
            found.push(detection);
        }
    }
}

/// What stands below the domain, and the domain.
fn split(name: &str) -> Option<(&str, &str)> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut dots = name.rmatch_indices('.').map(|(at, _)| at);
    let (last, second) = (dots.next()?, dots.next()?);
    let at = if last - second - 1 <= 3 { dots.next()? } else { second };
    Some((&name[..at], &name[at + 1..]))
}

/// Shannon's entropy of a text's letters, in thousandths of a bit a letter.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "between 0 and 8 bits, of at most 255 letters"
)]
fn entropy(letters: &[u8]) -> u64 {
    let mut counts = [0u32; 256];
    for letter in letters {
        counts[usize::from(letter.to_ascii_lowercase())] += 1;
    }
    let all = letters.len().max(1) as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / all)
        .map(|share| -share * share.log2())
        .sum();
    (bits * 1_000.0) as u64
}
