//! What radar and guard could have found, written into a box's rows, where a test is not about finding.

use sent_contract::Uuid;

use crate::{Appliance, Result, new_id};

/// Ids of what is there.
#[derive(Clone, Debug)]
pub struct Findings {
    /// A case of radar's.
    pub case: Uuid,
    /// Its alert.
    pub alert: Uuid,
    /// An exception.
    pub exception: Uuid,
    /// A detection of guard's.
    pub detection: Uuid,
    /// The MAC address of the device that it is about.
    pub device: &'static str,
}

impl Findings {
    /// One of each, now, with a name in every text.
    pub fn put(appliance: &Appliance, organization: Uuid, name: &str) -> Result<Self> {
        let found = Self {
            case: new_id(),
            alert: new_id(),
            exception: new_id(),
            detection: new_id(),
            device: "02:00:5e:10:00:01",
        };
        let rows = rusqlite::Connection::open(appliance.data().join("business.sqlite"))?;
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_micros())?;
        let (whose, case, rule) = (organization.to_string(), found.case.to_string(), new_id().to_string());
        rows.execute(
            "INSERT INTO radar_cases_rows (organization_id, id, title, rule, severity, state, host, user, techniques, \
             opened_at, last_at) VALUES (?1, ?2, ?3, ?4, 'high', 'open', ?3, '', '[]', ?5, ?5)",
            (&whose, &case, name, &rule, now),
        )?;
        rows.execute(
            "INSERT INTO radar_alerts_rows (organization_id, id, case_id, rule, title, author, severity, techniques, \
             host, user, count, first_at, last_at, position) \
             VALUES (?1, ?2, ?3, ?4, ?5, '', 'high', '[]', ?5, '', 1, ?6, ?6, 0)",
            (&whose, found.alert.to_string(), &case, &rule, name, now),
        )?;
        rows.execute(
            "INSERT INTO radar_exceptions_rows (organization_id, id, rule, fields, reason, author, created_at) \
             VALUES (?1, ?2, '', '[[\"user.name\",\"x\"]]', ?3, '', ?4)",
            (&whose, found.exception.to_string(), name, now),
        )?;
        rows.execute(
            "INSERT INTO guard_devices_rows (organization_id, mac, maker, addresses, names, roles, first_seen, last_seen) \
             VALUES (?1, ?2, ?3, '[]', '{}', '[]', ?4, ?4)",
            (&whose, found.device, name, now),
        )?;
        rows.execute(
            "INSERT INTO guard_detections_rows (organization_id, id, key, kind, severity, title, facts, mac, started_at, \
             last_at) VALUES (?1, ?2, 'k', 'scan', 'high', ?3, '{}', ?4, ?5, ?5)",
            (&whose, found.detection.to_string(), name, found.device, now),
        )?;
        rows.execute(
            "INSERT INTO guard_certificates_rows (organization_id, server, port, sha256, name, subject, issuer, names, \
             not_before, not_after, public_key, signature, self_signed, weak, own, first_seen) \
             VALUES (?1, '192.0.2.1', 443, 'ab', ?2, ?2, ?2, '[]', 0, ?3, 'RSA 1024', 'sha1', 0, '[\"RSA 1024\"]', 1, 0)",
            (&whose, name, now - 1),
        )?;
        Ok(found)
    }
}
