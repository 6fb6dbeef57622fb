//! What boxes found on their networks, over all branches that the caller manages.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Query, State},
};
use sent_contract::{
    Page,
    guard::{Certificate, Detection, Device},
    identity::Named,
    security::{AtBox, FleetCertificate, FleetDetection, FleetDevice, RiskyDevice, Severities},
};
use sent_core::Scope;
use uuid::Uuid;

use super::{
    Answer,
    page::page,
    security::{ENDING, Filter, cursor, kept},
};
use crate::{
    Cloud,
    db::{Tenancy, to_u64},
};

/// Where a device's best name is heard, the best first.
const NAMES: [&str; 5] = ["dhcp", "mdns", "netbios", "llmnr", "dns"];

/// `GET /api/fleet/network/detections?state=open&kind=`.
pub async fn detections(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(filter): Query<Filter>,
) -> Answer<Page<FleetDetection>> {
    let most = filter.most();
    let (at, in_box, after) = filter.after::<Uuid>()?;
    let (from, to) = filter.span();
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!(
        "SELECT d.id, d.box_id, b.name AS box_name, b.branch_id, br.name AS branch, d.organization_id,
                o.name AS organization, d.kind, d.severity, d.title, d.state, d.facts, d.mac, d.source, d.destination, d.port,
                d.community_id, d.started_at, d.last_at, d.count, d.acknowledged_by
         FROM (SELECT * FROM guard_detections d
               WHERE ($1::uuid IS NULL OR d.organization_id = $1) AND ($2::uuid IS NULL OR d.box_id = $2)
                 AND ($3::uuid IS NULL OR d.box_id IN (SELECT id FROM boxes WHERE branch_id = $3))
                 AND ($4::text IS NULL OR d.severity = $4) AND ($5::text IS NULL OR d.state = $5)
                 AND ($6::text IS NULL OR d.kind = $6)
                 AND ($7::text IS NULL OR strpos(lower(concat_ws(' ', d.title, d.mac, d.source, d.destination)), $7) > 0)
                 AND ($8::bigint IS NULL OR d.last_at >= $8) AND ($9::bigint IS NULL OR d.last_at < $9)
                 AND ($10::bigint IS NULL OR (d.last_at, d.box_id, d.id) < ($10, $11, $12))
               ORDER BY d.last_at DESC, d.box_id DESC, d.id DESC LIMIT $13) AS d
         JOIN boxes b ON b.id = d.box_id
         JOIN branches br ON br.organization_id = b.organization_id AND br.id = b.branch_id
         JOIN organizations o ON o.organization_id = d.organization_id
         ORDER BY d.last_at DESC, d.box_id DESC, d.id DESC",
        filter.organization(),
        filter.box_id(),
        filter.branch(),
        filter.severity(),
        filter.state(),
        filter.kind(),
        filter.text(),
        from,
        to,
        at,
        in_box,
        after,
        most + 1
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let rows = rows.into_iter().map(|row| AtBox {
        row: Detection {
            id: row.id,
            kind: row.kind,
            severity: row.severity,
            title: row.title,
            state: row.state,
            facts: kept(&row.facts),
            mac: row.mac,
            source: row.source,
            destination: row.destination,
            port: port(row.port),
            community_id: row.community_id,
            started_at: row.started_at,
            last_at: row.last_at,
            count: to_u64(row.count),
            acknowledged_by: row.acknowledged_by,
        },
        box_ref: Named { id: row.box_id, name: row.box_name },
        branch: Named { id: row.branch_id, name: row.branch },
        organization: Named { id: row.organization_id, name: row.organization },
    });
    Ok(Json(page(rows.collect(), most, |d: &FleetDetection| cursor(d.row.last_at, d, d.row.id))))
}

/// A port as boxes keep it.
fn port(number: Option<i32>) -> Option<u16> {
    number.and_then(|number| u16::try_from(number).ok())
}

/// `GET /api/fleet/network/devices`.
pub async fn devices(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(filter): Query<Filter>,
) -> Answer<Page<FleetDevice>> {
    let most = filter.most();
    let (at, in_box, after) = filter.after::<String>()?;
    let (from, to) = filter.span();
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!(
        "SELECT v.mac, v.box_id, b.name AS box_name, b.branch_id, br.name AS branch, v.organization_id,
                o.name AS organization, v.maker, v.addresses, v.names, v.system, v.system_basis, v.roles, v.first_seen,
                v.last_seen, x.high AS \"high!\", x.medium AS \"medium!\", x.low AS \"low!\", x.kinds AS \"kinds!\",
                x.detected_at AS \"detected_at!\"
         FROM (SELECT d.box_id, d.mac, count(*) FILTER (WHERE d.severity = 'high') AS high,
                      count(*) FILTER (WHERE d.severity = 'medium') AS medium,
                      count(*) FILTER (WHERE d.severity = 'low') AS low,
                      array_agg(DISTINCT d.kind) AS kinds, max(d.last_at) AS detected_at
               FROM guard_detections d
               WHERE d.state = 'open' AND d.mac IS NOT NULL AND ($1::uuid IS NULL OR d.organization_id = $1)
                 AND ($2::uuid IS NULL OR d.box_id = $2)
                 AND ($3::uuid IS NULL OR d.box_id IN (SELECT id FROM boxes WHERE branch_id = $3))
               GROUP BY 1, 2) AS x
         JOIN guard_devices v ON v.box_id = x.box_id AND v.mac = x.mac
         JOIN boxes b ON b.id = v.box_id
         JOIN branches br ON br.organization_id = b.organization_id AND br.id = b.branch_id
         JOIN organizations o ON o.organization_id = v.organization_id
         WHERE ($4::text IS NULL OR ($4 = 'high' AND x.high > 0) OR ($4 = 'medium' AND x.medium > 0)
                OR ($4 = 'low' AND x.low > 0))
           AND ($5::text IS NULL OR strpos(lower(concat_ws(' ', v.mac, v.maker, v.addresses, v.names, v.system)), $5) > 0)
           AND ($6::bigint IS NULL OR x.detected_at >= $6) AND ($7::bigint IS NULL OR x.detected_at < $7)
           AND ($8::bigint IS NULL OR (x.detected_at, x.box_id, x.mac) < ($8, $9, $10))
         ORDER BY x.detected_at DESC, x.box_id DESC, x.mac DESC LIMIT $11",
        filter.organization(),
        filter.box_id(),
        filter.branch(),
        filter.severity(),
        filter.text(),
        from,
        to,
        at,
        in_box,
        after,
        most + 1
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let rows = rows.into_iter().map(|row| {
        let names: BTreeMap<String, String> = kept(&row.names);
        AtBox {
            row: RiskyDevice {
                device: Device {
                    random: is_random(&row.mac),
                    name: NAMES.iter().find_map(|source| names.get(*source)).cloned(),
                    mac: row.mac,
                    maker: row.maker,
                    addresses: kept(&row.addresses),
                    names,
                    system: row.system,
                    system_basis: row.system_basis,
                    roles: kept(&row.roles),
                    first_seen: row.first_seen,
                    last_seen: row.last_seen,
                },
                detections: Severities {
                    high: to_u64(row.high),
                    medium: to_u64(row.medium),
                    low: to_u64(row.low),
                    ..Severities::default()
                },
                kinds: row.kinds,
                detected_at: row.detected_at,
            },
            box_ref: Named { id: row.box_id, name: row.box_name },
            branch: Named { id: row.branch_id, name: row.branch },
            organization: Named { id: row.organization_id, name: row.organization },
        }
    });
    Ok(Json(page(rows.collect(), most, |d: &FleetDevice| cursor(d.row.detected_at, d, &d.row.device.mac))))
}

/// Whether a device made its MAC address up: the bit of locally administered ones (IEEE 802, 8.2.2).
fn is_random(mac: &str) -> bool {
    mac.get(..2).and_then(|first| u8::from_str_radix(first, 16).ok()).is_some_and(|first| first & 2 != 0)
}

/// `GET /api/fleet/network/certificates?state=ending&kind=own`: `ending` are those that have ended or end within 30 days,
/// `own` those of servers of the office. One that its server has replaced is not listed.
pub async fn certificates(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(filter): Query<Filter>,
) -> Answer<Page<FleetCertificate>> {
    let most = filter.most();
    let (at, in_box, after) = filter.after::<String>()?;
    let (from, to) = filter.span();
    let ending = (filter.state().as_deref() == Some("ending")).then(|| cloud.clock.now().0 + ENDING);
    let own = filter.kind().as_deref() == Some("own");
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!(
        "SELECT c.box_id, b.name AS box_name, b.branch_id, br.name AS branch, c.organization_id, o.name AS organization,
                c.server, c.port, c.sha256, c.name, c.subject, c.issuer, c.names, c.not_before, c.not_after, c.public_key,
                c.signature, c.self_signed, c.weak, c.own, c.first_seen
         FROM (SELECT c.*, concat_ws('~', c.server, c.port, c.sha256) AS key FROM guard_certificates c
               WHERE ($1::uuid IS NULL OR c.organization_id = $1) AND ($2::uuid IS NULL OR c.box_id = $2)
                 AND ($3::uuid IS NULL OR c.box_id IN (SELECT id FROM boxes WHERE branch_id = $3))
                 AND ($4::bigint IS NULL OR c.not_after < $4) AND (NOT $5 OR c.own = 1)
                 AND ($6::text IS NULL OR strpos(lower(concat_ws(' ', c.server, c.name, c.subject, c.issuer)), $6) > 0)
                 AND ($7::bigint IS NULL OR c.not_after >= $7) AND ($8::bigint IS NULL OR c.not_after < $8)
                 AND ($9::bigint IS NULL
                      OR (c.not_after, c.box_id, concat_ws('~', c.server, c.port, c.sha256)) > ($9, $10, $11))
                 AND NOT EXISTS (
                     SELECT FROM guard_certificates n WHERE n.box_id = c.box_id AND n.server = c.server AND n.port = c.port
                         AND n.name IS NOT DISTINCT FROM c.name AND n.first_seen > c.first_seen)
               ORDER BY c.not_after, c.box_id, key LIMIT $12) AS c
         JOIN boxes b ON b.id = c.box_id
         JOIN branches br ON br.organization_id = b.organization_id AND br.id = b.branch_id
         JOIN organizations o ON o.organization_id = c.organization_id
         ORDER BY c.not_after, c.box_id, c.key",
        filter.organization(),
        filter.box_id(),
        filter.branch(),
        ending,
        own,
        filter.text(),
        from,
        to,
        at,
        in_box,
        after,
        most + 1
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let rows = rows.into_iter().map(|row| AtBox {
        row: Certificate {
            server: row.server,
            port: port(Some(row.port)).unwrap_or_default(),
            sha256: row.sha256,
            name: row.name,
            subject: row.subject,
            issuer: row.issuer,
            names: kept(&row.names),
            not_before: row.not_before,
            not_after: row.not_after,
            key: row.public_key,
            signature: row.signature,
            self_signed: row.self_signed == 1,
            weak: kept(&row.weak),
            own: row.own == 1,
            first_seen: row.first_seen,
        },
        box_ref: Named { id: row.box_id, name: row.box_name },
        branch: Named { id: row.branch_id, name: row.branch },
        organization: Named { id: row.organization_id, name: row.organization },
    });
    let key = |c: &FleetCertificate| format!("{}~{}~{}", c.row.server, c.row.port, c.row.sha256);
    Ok(Json(page(rows.collect(), most, |c: &FleetCertificate| cursor(c.row.not_after, c, key(c)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_was_made_up_says_so() {
        assert!(is_random("02:00:5e:10:00:01") && is_random("da:a1:19:00:00:01"));
        for other in ["00:1b:21:00:00:01", "", "é", "zz:00"] {
            assert!(!is_random(other), "{other}");
        }
    }
}
