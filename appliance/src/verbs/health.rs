//! `sent status` and `sent doctor`.

use std::{
    net::{SocketAddr, TcpStream},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use sent_contract::sync::Refused;
use sent_core::{clock::SystemClock, identity};
use sent_store::identity::UnfinishedRestore;
use sent_sync::Identity;
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::{serve, settings::Settings};

/// Free bytes below which a box is in trouble: room for the WAL of a large import.
const LOW_DISK: u64 = 256 << 20;
/// Refused edits that are named.
const REFUSED: usize = 5;
/// A running gateway answers within this.
const ANSWER: Duration = Duration::from_secs(2);
/// A machine whose clock is before the day this was written has no time yet: 2026-01-01.
const NO_TIME_BEFORE: i64 = 1_767_225_600_000_000;

/// How a box is, from its data folder.
#[derive(Debug, Serialize)]
struct Report {
    name: String,
    box_id: String,
    organization: String,
    version: &'static str,
    running: bool,
    address: SocketAddr,
    enrolled: bool,
    cloud: Option<String>,
    epoch: u64,
    sequence: u64,
    acknowledged: u64,
    waiting: u64,
    oldest_waiting: Option<String>,
    audit_entries: i64,
    quarantined: u64,
    /// Edits the cloud did not take, newest first.
    refused: Vec<Refused>,
    /// What a restore left for people to do.
    unfinished_restore: UnfinishedRestore,
    reference: u64,
}

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, ANSWER).is_ok()
}

fn report(data: &Path, settings: &Settings, runtime: &Runtime) -> anyhow::Result<Report> {
    let store = super::open(data, settings)?;
    let row = store.identity()?;
    let joined = Identity::load(data)?;
    let waiting = runtime.block_on(store.waiting())?;
    let address = serve::address(data, settings);
    Ok(Report {
        name: row.name,
        box_id: row.box_id.to_string(),
        organization: row.organization.to_string(),
        version: env!("CARGO_PKG_VERSION"),
        running: answers(address),
        address,
        enrolled: joined.is_some(),
        cloud: joined.map(|i| i.cloud.to_string()),
        epoch: row.epoch,
        sequence: row.sequence,
        acknowledged: row.acknowledged,
        waiting: waiting.transactions,
        oldest_waiting: waiting.oldest.map(|t| t.rfc3339()),
        audit_entries: row.audit_sequence,
        quarantined: runtime.block_on(store.quarantined())?,
        refused: store.refused_blocking(&super::scope(&store)?)?,
        unfinished_restore: store.unfinished_restore_blocking()?,
        reference: runtime.block_on(store.reference_version())?,
    })
}

/// Prints how the box is.
pub fn status(data: &Path, settings: &Settings, runtime: &Runtime, json: bool) -> anyhow::Result<ExitCode> {
    let report = report(data, settings, runtime)?;
    if json {
        super::print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} ({})", report.name, report.box_id);
    let answers = if report.running { "answers" } else { "does not answer" };
    println!("  server      {answers} on {}", report.address);
    println!("  cloud       {}", report.cloud.as_deref().unwrap_or("none: this box stands alone"));
    print!("  epoch       {}, transaction {}", report.epoch, report.sequence);
    if report.enrolled {
        print!(", {} with the cloud", report.acknowledged);
    }
    println!();
    match &report.oldest_waiting {
        // Kept for the cloud that this box may join one day.
        _ if !report.enrolled => {}
        Some(oldest) => println!("  waiting     {} since {oldest}", report.waiting),
        None => println!("  waiting     nothing"),
    }
    println!("  audit       {} entries", report.audit_entries);
    if report.quarantined > 0 {
        println!("  quarantine  {} transactions of an earlier epoch no longer fit", report.quarantined);
    }
    let UnfinishedRestore { sleeping_tokens, without_recovery_codes } = report.unfinished_restore;
    if sleeping_tokens > 0 {
        println!("  restored    {sleeping_tokens} API tokens sleep until their owners wake or end them");
    }
    if without_recovery_codes > 0 {
        println!("  restored    {without_recovery_codes} users have a second factor and no recovery code");
    }
    for one in report.refused.iter().take(REFUSED) {
        let at = sent_core::Timestamp(one.at).rfc3339();
        println!("  refused     an edit of {} {}, by {} at {at}: {}", one.table, one.key, one.by, one.cause);
    }
    Ok(ExitCode::SUCCESS)
}

/// Looks for what keeps the box from working well; fails when something does.
pub fn doctor(data: &Path, settings: &Settings, runtime: &Runtime) -> anyhow::Result<ExitCode> {
    let mut ill = 0;
    let mut say = |good: bool, what: &str, detail: String| {
        println!("{} {what:<12} {detail}", if good { "ok  " } else { "FAIL" });
        ill += u32::from(!good);
    };
    match report(data, settings, runtime) {
        Ok(report) => {
            say(true, "store", format!("{} entries, transaction {}", report.audit_entries, report.sequence));
            say(
                report.running,
                "server",
                format!("{} {}", report.address, if report.running { "answers" } else { "does not answer" }),
            );
            say(report.quarantined == 0, "quarantine", format!("{} transactions", report.quarantined));
            let verification = super::open(data, settings)?.verify_audit_blocking()?;
            match verification.broken {
                None => say(true, "audit", format!("{} entries, unbroken", verification.entries)),
                Some(b) => say(false, "audit", format!("broken at entry {}: {}", b.sequence, b.cause)),
            }
        }
        Err(error) => say(false, "store", format!("{error:#}")),
    }
    match Identity::load(data) {
        Ok(Some(identity)) => say(true, "identity", format!("enrolled with {}", identity.cloud)),
        Ok(None) => say(true, "identity", "stands alone".to_owned()),
        Err(error) => say(false, "identity", error.to_string()),
    }
    let now = SystemClock::raw();
    say(now.0 > NO_TIME_BEFORE, "clock", now.rfc3339());
    match nix::sys::statvfs::statvfs(data) {
        Ok(fs) => {
            let free = fs.blocks_available() * fs.fragment_size();
            say(free > LOW_DISK, "disk", format!("{} MiB free", free >> 20));
        }
        Err(error) => say(false, "disk", error.to_string()),
    }
    let hash = identity::hash_password("a password to try").is_ok();
    say(hash, "passwords", "argon2id works".to_owned());
    Ok(if ill == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
