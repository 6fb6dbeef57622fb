//! The badge: one status with its cause, made of what the machine and the ledger say.
use crate::{Identity, LedgerState};
use sent_contract::{Level, Micros, Status, sync::SyncStatus};
use sent_protocol::{BoxStatus, sync::Health};

/// Difference of the clocks from which the badge warns: 2 minutes, in microseconds.
const SKEW: Micros = 120_000_000;

/// Everything the badge is made of.
pub(crate) struct Facts<'a> {
    pub identity: &'a Identity,
    pub health: &'a Health,
    pub last_sync: Option<Micros>,
    pub ledger: &'a LedgerState,
    pub spool_bytes: u64,
    pub telemetry_waiting: Option<u64>,
    pub dropped_points: u64,
    /// Cloud's clock less ours, and since when it is known.
    pub skew: Option<(Micros, Micros)>,
    pub now: Micros,
}

/// The badge of a box that joined no cloud.
pub fn standalone(ledger: &LedgerState, since: Micros) -> SyncStatus {
    SyncStatus {
        status: Status { level: Level::Ok, cause: "stand-alone: this box has not joined a cloud".into(), since },
        enrolled: false,
        cloud: None,
        last_sync: None,
        waiting: ledger.waiting,
        oldest: ledger.oldest,
        epoch: ledger.head.epoch,
        sequence: ledger.head.sequence,
        acknowledged: ledger.acknowledged.sequence,
        spool_bytes: 0,
        telemetry_waiting: None,
        dropped_points: 0,
        reference: ledger.reference,
        quarantined: ledger.quarantined,
        certificate_expires: None,
    }
}

/// The badge of an enrolled box.
pub(crate) fn badge(facts: &Facts<'_>) -> SyncStatus {
    SyncStatus {
        status: status(facts),
        enrolled: true,
        cloud: Some(facts.identity.cloud.to_string()),
        last_sync: facts.last_sync,
        spool_bytes: facts.spool_bytes,
        telemetry_waiting: facts.telemetry_waiting,
        dropped_points: facts.dropped_points,
        certificate_expires: Some(facts.identity.expires_at),
        ..standalone(facts.ledger, facts.now)
    }
}

/// The agent's badge is as old as its last turn, which may be as long as a request takes. What the ledger says is of now.
pub fn brought_up_to_date(badge: SyncStatus, ledger: &LedgerState) -> SyncStatus {
    let cause = match badge.status.level {
        Level::Ok => going_well(ledger.waiting),
        _ => badge.status.cause,
    };
    SyncStatus {
        status: Status { cause, ..badge.status },
        waiting: ledger.waiting,
        oldest: ledger.oldest,
        epoch: ledger.head.epoch,
        sequence: ledger.head.sequence,
        acknowledged: ledger.acknowledged.sequence,
        reference: ledger.reference,
        quarantined: ledger.quarantined,
        ..badge
    }
}

fn going_well(waiting: u64) -> String {
    if waiting == 0 { "in sync".into() } else { format!("sending{}", and_waiting(waiting)) }
}

fn and_waiting(waiting: u64) -> String {
    match waiting {
        0 => String::new(),
        1 => "; 1 transaction waiting".into(),
        n => format!("; {n} transactions waiting"),
    }
}

/// The cause of a badge that waits for somebody to decide about the box's own quarantine.
pub fn left_over(quarantined: u64) -> String {
    match quarantined {
        1 => "1 transaction of an earlier epoch could not be brought back".into(),
        n => format!("{n} transactions of an earlier epoch could not be brought back"),
    }
}

fn status(facts: &Facts<'_>) -> Status {
    let waiting = and_waiting(facts.ledger.waiting);
    let Health { level, cause, since } = facts.health;
    let level = contract_level(*level);
    if level != Level::Ok {
        return Status { level, cause: format!("{cause}{waiting}"), since: *since };
    }
    if facts.ledger.quarantined > 0 {
        return Status { level: Level::Warn, cause: left_over(facts.ledger.quarantined), since: *since };
    }
    if let Some((skew, since)) = facts.skew.filter(|(skew, _)| skew.abs() > SKEW) {
        let side = if skew > 0 { "behind" } else { "ahead of" };
        let cause = format!("this box's clock is {} minutes {side} the cloud's{waiting}", skew.abs() / 60_000_000);
        return Status { level: Level::Warn, cause, since };
    }
    let left = facts.identity.expires_at.saturating_sub(facts.now);
    if left < facts.identity.expires_at.saturating_sub(facts.identity.issued_at) / 6 {
        let cause = format!("the certificate ends in {} hours and could not be renewed", left.max(0) / 3_600_000_000);
        return Status { level: Level::Warn, cause, since: *since };
    }
    Status { level: Level::Ok, cause: going_well(facts.ledger.waiting), since: *since }
}

/// What the cloud is told: the worse of the program's health and the badge's.
pub(crate) fn report(badge: &SyncStatus, host: &dyn crate::Host, now: Micros) -> BoxStatus {
    let own = host.health();
    let worst = if rank(badge.status.level) > rank(own.level) { &badge.status } else { &own };
    BoxStatus {
        level: wire_level(worst.level),
        cause: worst.cause.clone(),
        since: worst.since,
        version: host.version(),
        at: now,
        sequence: badge.sequence,
        waiting: badge.waiting,
        oldest: badge.oldest,
        spool_bytes: badge.spool_bytes,
        dropped_points: badge.dropped_points,
        quarantined: badge.quarantined,
        reference: badge.reference,
        alerts: host.alerts(),
    }
}

/// What is known to be bad outweighs what is not known.
fn rank(level: Level) -> u8 {
    match level {
        Level::Ok => 0,
        Level::Unknown => 1,
        Level::Warn => 2,
        Level::Bad => 3,
    }
}

fn contract_level(level: sent_protocol::Level) -> Level {
    match level {
        sent_protocol::Level::Ok => Level::Ok,
        sent_protocol::Level::Warn => Level::Warn,
        sent_protocol::Level::Bad => Level::Bad,
        sent_protocol::Level::Unknown => Level::Unknown,
    }
}

fn wire_level(level: Level) -> sent_protocol::Level {
    match level {
        Level::Ok => sent_protocol::Level::Ok,
        Level::Warn => sent_protocol::Level::Warn,
        Level::Bad => sent_protocol::Level::Bad,
        Level::Unknown => sent_protocol::Level::Unknown,
    }
}
