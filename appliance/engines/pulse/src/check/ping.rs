//! ICMP echo.
//!
//! The kernel's unprivileged ICMP socket is tried first and a raw one after it. Where neither is permitted the check says
//! so: a host must not look dead because the box may not knock.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use sent_contract::Level;
use surge_ping::{Client, Config, ICMP, PingIdentifier, PingSequence, SurgeError};

use super::{Failure, Reading, resolve, shown};
use crate::model::sample::Sample;

/// Echoes of one run.
const ECHOES: u32 = 3;

/// The box's two ICMP sockets, opened when they are first needed.
#[derive(Clone, Default)]
pub struct Pings {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    v4: Mutex<Option<Client>>,
    v6: Mutex<Option<Client>>,
    sequence: AtomicU16,
}

impl Pings {
    fn client(&self, to: IpAddr) -> Result<Client, Failure> {
        let (slot, kind) = if to.is_ipv4() { (&self.inner.v4, ICMP::V4) } else { (&self.inner.v6, ICMP::V6) };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = Client::new(&Config::builder().kind(kind).build()).map_err(refused)?;
        Ok(slot.insert(client).clone())
    }

    /// Two runs to one host at once must not take each other's answers.
    fn sequence(&self) -> PingSequence {
        PingSequence(self.inner.sequence.fetch_add(1, Ordering::Relaxed))
    }
}

/// Why no ICMP socket could be opened.
fn refused(e: io::Error) -> Failure {
    Failure(match e.kind() {
        io::ErrorKind::PermissionDenied => {
            "this box may not send ICMP: give the program CAP_NET_RAW, or let its group ping \
             (sysctl net.ipv4.ping_group_range); nothing is known of the host"
                .to_owned()
        }
        _ => format!("no ICMP socket can be opened: {e}"),
    })
}

/// Sends a few echoes, one after the other.
pub async fn run(host: &str, pings: &Pings, limit: Duration) -> Result<Reading, Failure> {
    let to = resolve(host, 0).await?.ip();
    let client = pings.client(to)?;
    // Sixteen bits tell processes on one machine apart.
    let mut pinger = client.pinger(to, PingIdentifier(std::process::id() as u16)).await;
    pinger.timeout(limit.mul_f64(0.9) / ECHOES);
    let (mut answered, mut total, mut last) = (0u32, Duration::ZERO, None);
    for _ in 0..ECHOES {
        match pinger.ping(pings.sequence(), &[0x5e; 32]).await {
            Ok((_, took)) => {
                answered += 1;
                total += took;
            }
            Err(SurgeError::Timeout { .. }) => {}
            Err(SurgeError::IOError(e)) => last = Some(format!("cannot send to {to}: {e}")),
            Err(e) => last = Some(e.to_string()),
        }
    }
    let loss = Sample::new("ping_loss_ratio", "ratio", host, f64::from(ECHOES - answered) / f64::from(ECHOES));
    if answered == 0 {
        let mut reading = Reading::bad(last.unwrap_or_else(|| format!("{to} does not answer")));
        reading.samples.push(loss);
        return Ok(reading);
    }
    let latency = total / answered;
    let mut reading = Reading::ok(format!("answers in {}", shown(latency)), latency);
    if answered < ECHOES {
        reading.level = Level::Warn;
        reading.cause = format!("{} of {ECHOES} echoes lost, answers in {}", ECHOES - answered, shown(latency));
    }
    reading.samples.push(loss);
    Ok(reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permission_is_named() {
        let failure = refused(io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(failure.0.contains("may not send ICMP") && failure.0.contains("nothing is known"));
    }
}
