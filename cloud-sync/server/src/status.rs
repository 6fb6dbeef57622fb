//! One status per box, decided in one place.
//!
//! [`judge`] is a pure function of what is known; nothing else in the cloud says how a box is. The first rule that holds
//! gives level and cause; "since" moves only when level or kind of cause change, and is kept in the database, so that it
//! survives restarts and is the same on every replica.

use sent_core::Timestamp;
use sent_protocol::Level;
use uuid::Uuid;

use crate::{db::Tx, error::Result, live, settings::Fleet};

/// The broker's word that a box is gone counts after so long without a request: a reconnect takes a few seconds.
const PRESENCE_GRACE: i64 = 15_000_000;

/// What is known of a box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Enrolled.
    pub enrolled: bool,
    /// Revoked, µs.
    pub revoked_at: Option<i64>,
    /// Last request, µs.
    pub last_seen: Option<i64>,
    /// The broker's word: online or not, and since when.
    pub presence: Option<(bool, i64)>,
    /// What the box says of itself.
    pub reported: Option<(Level, String)>,
    /// Its transactions in open quarantine.
    pub quarantined: i64,
    /// Its proposals that wait for somebody.
    pub proposals: i64,
    /// Tables it has and this cloud does not know.
    pub unknown_tables: i64,
}

/// A judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How bad.
    pub level: Level,
    /// Kind of the cause and the words after it: `offline: …`.
    pub cause: String,
    /// Since when, µs.
    pub since: i64,
}

/// What a person and the database call a level.
pub fn level_name(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Bad => "bad",
        Level::Unknown => "unknown",
    }
}

/// The level of a name.
pub fn level_of(name: &str) -> Level {
    match name {
        "ok" => Level::Ok,
        "warn" => Level::Warn,
        "bad" => Level::Bad,
        _ => Level::Unknown,
    }
}

/// Judges a box. `before` is the last judgement.
pub fn judge(known: &Known, before: &Status, offline_after: i64, now: i64) -> Status {
    let (level, cause, since) = decide(known, offline_after, now);
    if level == before.level && kind(&cause) == kind(&before.cause) {
        return Status { level, cause, since: before.since };
    }
    // Never earlier than the last change: a box cannot have been offline while it was judged well.
    Status { level, cause, since: since.unwrap_or(now).clamp(before.since.min(now), now) }
}

fn kind(cause: &str) -> &str {
    cause.split(':').next().unwrap_or(cause)
}

/// Level, cause, and since when if that is known better than "now".
fn decide(known: &Known, offline_after: i64, now: i64) -> (Level, String, Option<i64>) {
    if let Some(at) = known.revoked_at {
        return (Level::Bad, "revoked: its certificate was withdrawn".to_owned(), Some(at));
    }
    let Some(seen) = known.last_seen.filter(|_| known.enrolled) else {
        return (Level::Unknown, "never seen".to_owned(), None);
    };
    let silent = now.saturating_sub(seen);
    if let Some((false, at)) = known.presence
        && seen < at
        && now.saturating_sub(at) > PRESENCE_GRACE
    {
        return (Level::Bad, "offline: the broker lost it, and it has not called since".to_owned(), Some(at));
    }
    if silent > offline_after {
        let cause = match known.presence {
            Some((true, _)) => "stuck: the broker still has it, but its sync agent does not call",
            _ => "offline: neither a doorbell nor a poll reaches it",
        };
        return (Level::Bad, cause.to_owned(), Some(seen));
    }
    if known.quarantined > 0 {
        return (Level::Warn, format!("quarantine: {}", count(known.quarantined, "transaction")), None);
    }
    match &known.reported {
        Some((level @ (Level::Warn | Level::Bad), cause)) => (*level, format!("box: {cause}"), None),
        _ if known.proposals > 0 => (Level::Warn, format!("proposals: {} to decide", known.proposals), None),
        _ if known.unknown_tables > 0 => {
            (Level::Warn, "newer: it keeps tables that this cloud does not know; update the cloud".to_owned(), None)
        }
        _ => (Level::Ok, "well".to_owned(), None),
    }
}

fn count(n: i64, what: &str) -> String {
    if n == 1 { format!("1 {what} waits for a decision") } else { format!("{n} {what}s wait for a decision") }
}

/// Judges boxes anew and keeps what changed; how many did.
pub async fn refresh(tx: &mut Tx, fleet: &Fleet, now: Timestamp, boxes: &[Uuid]) -> Result<usize> {
    let rows = sqlx::query!(
        "SELECT b.id, b.organization_id, b.enrolled_at, b.revoked_at, s.last_seen, s.presence, s.presence_at,
                s.reported_level, s.reported_cause, s.status_level, s.status_cause, s.status_since,
                (SELECT count(*) FROM quarantine q WHERE q.box_id = b.id AND q.state = 'open') AS \"quarantined!\",
                (SELECT count(*) FROM proposals p WHERE p.box_id = b.id AND p.state = 'open') AS \"proposals!\",
                (SELECT count(*) FROM unknown_tables u WHERE u.box_id = b.id) AS \"unknown_tables!\"
         FROM boxes b JOIN box_states s ON s.box_id = b.id
         WHERE b.id = ANY ($1)",
        boxes
    )
    .fetch_all(&mut *tx)
    .await?;
    let offline_after = i64::from(fleet.offline_after) * 1_000_000;
    let mut changed = 0;
    for row in rows {
        let known = Known {
            enrolled: row.enrolled_at.is_some(),
            revoked_at: row.revoked_at,
            last_seen: row.last_seen,
            presence: row.presence.zip(row.presence_at).map(|(word, at)| (word == "online", at)),
            reported: row.reported_level.map(|l| (level_of(&l), row.reported_cause.unwrap_or_default())),
            quarantined: row.quarantined,
            proposals: row.proposals,
            unknown_tables: row.unknown_tables,
        };
        let before = Status { level: level_of(&row.status_level), cause: row.status_cause, since: row.status_since };
        let after = judge(&known, &before, offline_after, now.0);
        if after == before {
            continue;
        }
        changed += 1;
        sqlx::query!(
            "UPDATE box_states SET status_level = $2, status_cause = $3, status_since = $4 WHERE box_id = $1",
            row.id,
            level_name(after.level),
            after.cause,
            after.since
        )
        .execute(&mut *tx)
        .await?;
        let event = serde_json::json!({
            "box": row.id, "level": level_name(after.level), "cause": after.cause, "since": after.since
        });
        live::tell(tx, row.organization_id, "fleet.boxes", &event).await?;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: i64 = 180_000_000;
    const NOW: i64 = 1_700_000_000_000_000;

    fn well() -> Known {
        Known { enrolled: true, last_seen: Some(NOW - 1_000_000), ..Known::default() }
    }

    fn before() -> Status {
        Status { level: Level::Unknown, cause: "never seen".into(), since: NOW - 3_600_000_000 }
    }

    fn judged(known: &Known) -> (Level, String) {
        let status = judge(known, &before(), LIMIT, NOW);
        (status.level, kind(&status.cause).to_owned())
    }

    #[test]
    fn each_cause_has_its_name() {
        assert_eq!(judged(&well()), (Level::Ok, "well".into()));
        assert_eq!(judged(&Known::default()), (Level::Unknown, "never seen".into()));
        let silent = Known { last_seen: Some(NOW - LIMIT - 1), ..well() };
        assert_eq!(judged(&silent), (Level::Bad, "offline".into()));
        let stuck = Known { presence: Some((true, NOW - 2 * LIMIT)), ..silent };
        assert_eq!(judged(&stuck), (Level::Bad, "stuck".into()));
        let lost = Known { last_seen: Some(NOW - 60_000_000), presence: Some((false, NOW - 30_000_000)), ..well() };
        assert_eq!(judged(&lost), (Level::Bad, "offline".into()));
        let back = Known { last_seen: Some(NOW - 10_000_000), ..lost };
        assert_eq!(judged(&back), (Level::Ok, "well".into()));
        assert_eq!(judged(&Known { quarantined: 2, ..well() }), (Level::Warn, "quarantine".into()));
        assert_eq!(judged(&Known { unknown_tables: 1, ..well() }), (Level::Warn, "newer".into()));
        let ill = Known { reported: Some((Level::Bad, "disk full".into())), ..well() };
        assert_eq!(judge(&ill, &before(), LIMIT, NOW).cause, "box: disk full");
        assert_eq!(judged(&Known { revoked_at: Some(1), ..ill }), (Level::Bad, "revoked".into()));
    }

    fn known() -> impl Strategy<Value = Known> {
        let time = proptest::option::of(NOW - 10 * LIMIT..NOW + LIMIT);
        let level = prop_oneof![Just(Level::Ok), Just(Level::Warn), Just(Level::Bad), Just(Level::Unknown)];
        (
            any::<bool>(),
            time.clone(),
            time,
            proptest::option::of((any::<bool>(), NOW - 10 * LIMIT..NOW)),
            proptest::option::of((level, "[a-z: ]{0,9}")),
            (0i64..3, 0i64..3, 0i64..3),
        )
            .prop_map(
                |(enrolled, revoked_at, last_seen, presence, reported, (quarantined, proposals, unknown_tables))| {
                    Known {
                        enrolled,
                        revoked_at,
                        last_seen,
                        presence,
                        reported,
                        quarantined,
                        proposals,
                        unknown_tables,
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn since_moves_only_with_the_kind(steps in proptest::collection::vec((known(), 0i64..LIMIT), 1..20)) {
            let mut now = NOW;
            let mut status = before();
            for (known, later) in steps {
                now += later;
                let next = judge(&known, &status, LIMIT, now);
                prop_assert!(next.since <= now);
                prop_assert!(next.since >= status.since);
                if next.level == status.level && kind(&next.cause) == kind(&status.cause) {
                    prop_assert_eq!(next.since, status.since);
                }
                // Judging again changes nothing.
                prop_assert_eq!(&judge(&known, &next, LIMIT, now), &next);
                if known.revoked_at.is_some() {
                    prop_assert_eq!(next.level, Level::Bad);
                }
                status = next;
            }
        }
    }
}
