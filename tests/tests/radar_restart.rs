//! `kill -9` of the worker while logs arrive: what was acknowledged is found and was asked about, once, and the windows of
//! correlations go on.

use std::collections::BTreeSet;

use reqwest::Method;
use sent_contract::radar::Found;
use sent_tests::{Result, bail, ensure, logs::Logs, until};

const PROBE: &str = "
title: Probe
id: 33333333-3333-4333-8333-333333333333
level: medium
logsource: {product: linux}
detection:
  words: ['Failed password']
  condition: words
";

/// Comes true once for all of the lines, whatever was killed in between.
const MANY: &str = "
title: Many probes
id: 44444444-4444-4444-8444-444444444444
level: high
correlation:
  type: event_count
  generate: true
  rules: [33333333-3333-4333-8333-333333333333]
  group-by: [product]
  timespan: 1d
  condition:
    gte: 500
";

/// Lines of a request.
const TOGETHER: usize = 20;
/// Requests that are acknowledged before each kill.
const BEFORE_KILL: usize = 9;
const KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn radar_restart() -> Result<()> {
    let logs = Logs::start("", &[("probe.yml", PROBE), ("many.yml", MANY)]).await?;
    let mut acknowledged = BTreeSet::new();
    let mut sent = 0;
    for round in 0..=KILLS {
        let mut good = 0;
        // The last round is not killed: it sends what is missing.
        while good < BEFORE_KILL {
            if send(&logs, sent).await? {
                acknowledged.extend(sent..sent + TOGETHER);
                good += 1;
            } else if logs.worker()?.is_none() {
                until("another worker", 60, || async { logs.worker() }).await?;
            }
            sent += TOGETHER;
        }
        if round < KILLS {
            let Some(worker) = logs.worker()? else { bail!("there is no worker") };
            // In the middle of a request.
            let (answered, killed) = tokio::join!(send(&logs, sent), async {
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), nix::sys::signal::Signal::SIGKILL)
            });
            killed?;
            if answered? {
                acknowledged.extend(sent..sent + TOGETHER);
            }
            sent += TOGETHER;
            until("another worker", 60, || async { Ok(logs.worker()?.filter(|next| *next != worker)) }).await?;
        }
    }
    ensure!(acknowledged.len() >= 500, "{} lines", acknowledged.len());

    // Every acknowledged line is there, and none twice.
    let stored = until("every line is stored and asked about", 60, || async {
        let stored = stored(&logs).await?;
        let counted: u64 = logs.alerts("33333333-3333-4333-8333-333333333333").await?.iter().map(|a| a.count).sum();
        let all = acknowledged.iter().all(|n| stored.contains(n));
        Ok((all && counted >= stored.len() as u64).then_some(stored))
    })
    .await?;
    let distinct: BTreeSet<usize> = stored.iter().copied().collect();
    ensure!(distinct.len() == stored.len(), "a line is stored twice");
    let alerts = logs.alerts("33333333-3333-4333-8333-333333333333").await?;
    let counted: u64 = alerts.iter().map(|alert| alert.count).sum();
    ensure!(counted == stored.len() as u64, "{counted} matches of {} lines", stored.len());
    ensure!(alerts.iter().all(|alert| alert.title == "Probe"), "{alerts:?}");
    // No life of the worker saw 500 lines alone.
    let many = logs.alerts("44444444-4444-4444-8444-444444444444").await?;
    ensure!(!many.is_empty(), "the window did not go on: {} lines", stored.len());
    let mut appliance = logs.appliance;
    appliance.stop().await
}

/// Sends lines from number `from` on; answers whether they were acknowledged.
async fn send(logs: &Logs, from: usize) -> Result<bool> {
    let mut body = String::new();
    for n in from..from + TOGETHER {
        body.push_str(&format!(
            "<38>Nov 23 11:00:00 web-1 sshd[7]: Failed password for root from 10.1.1.1 port 22 ssh2 n{n}\n"
        ));
    }
    let sent = logs.face.send(Method::POST, "/api/radar/intake/lines", Some(("text/plain", body.into()))).await;
    Ok(sent.is_ok_and(|answer| answer.status.is_success()))
}

/// The numbers of the stored lines.
async fn stored(logs: &Logs) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    let mut after = String::new();
    loop {
        let found: Found = logs.face.get(&format!("/api/radar/search?most=1000&q=failed&after={after}")).await?;
        ensure!(found.complete, "the search did not come to its end");
        numbers.extend(found.items.iter().filter_map(|hit| hit.original.rsplit_once(" n")?.1.parse::<usize>().ok()));
        match found.next {
            Some(next) => after = next,
            None => return Ok(numbers),
        }
    }
}
