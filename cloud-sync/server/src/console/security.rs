//! What boxes found in their logs, over all branches that the caller manages: how much waits where, and what it is.
//!
//! Lists go by their newest evidence. Ids of alerts and cases follow from what was seen, so two boxes may have the same:
//! a row is named by its box and its id, and so is the place where a list goes on.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Query, State},
};
use sent_contract::{
    Page,
    identity::Named,
    radar::{Alert, Case},
    security::{AtBox, BranchSecurity, FleetAlert, FleetCase, SecurityCounts, Severities},
};
use sent_core::{Problem, Scope};
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    Answer,
    page::{limit, page},
};
use crate::{
    Cloud,
    db::{Tenancy, Tx, to_u64},
    error::Result,
};

/// A certificate that ends within so many microseconds waits for a person: 30 days.
pub const ENDING: i64 = 30 * 86_400_000_000;
/// Boxes of a branch that a row names.
const BOXES: i64 = 20;

/// `?organization=&branch=&box=&severity=&state=&kind=&case=&q=&from=&to=&after=&limit=`; times in microseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filter {
    organization: String,
    branch: String,
    #[serde(rename = "box")]
    box_id: String,
    case: String,
    severity: String,
    state: String,
    kind: String,
    q: String,
    from: Option<i64>,
    to: Option<i64>,
    after: String,
    limit: Option<i64>,
}

fn given(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// An id that is none matches nothing, like an id nobody has.
fn id(text: &str) -> Option<Uuid> {
    given(text).map(|text| text.parse().unwrap_or(Uuid::max()))
}

impl Filter {
    pub(super) fn organization(&self) -> Option<Uuid> {
        id(&self.organization)
    }

    pub(super) fn branch(&self) -> Option<Uuid> {
        id(&self.branch)
    }

    pub(super) fn box_id(&self) -> Option<Uuid> {
        id(&self.box_id)
    }

    pub(super) fn severity(&self) -> Option<String> {
        given(&self.severity)
    }

    pub(super) fn state(&self) -> Option<String> {
        given(&self.state)
    }

    pub(super) fn kind(&self) -> Option<String> {
        given(&self.kind)
    }

    /// The text looked for, in lower case.
    pub(super) fn text(&self) -> Option<String> {
        given(&self.q).map(|text| text.to_lowercase())
    }

    /// From when on, and until when, excluded.
    pub(super) fn span(&self) -> (Option<i64>, Option<i64>) {
        (self.from, self.to)
    }

    /// Rows to answer.
    pub(super) fn most(&self) -> i64 {
        limit(self.limit)
    }

    /// The row that the page before ended with, where rows are named by an id alone.
    pub(super) fn row(&self) -> Option<Uuid> {
        id(&self.after)
    }

    /// The row that the page before ended with: time, box, and the rest of its key.
    pub(super) fn after<T: std::str::FromStr>(&self) -> Result<(Option<i64>, Option<Uuid>, Option<T>)> {
        if self.after.is_empty() {
            return Ok((None, None, None));
        }
        let (at, box_id, key) =
            read(&self.after).ok_or_else(|| Problem::field("after", "is no cursor of this list"))?;
        Ok((Some(at), Some(box_id), Some(key)))
    }
}

fn read<T: std::str::FromStr>(cursor: &str) -> Option<(i64, Uuid, T)> {
    let (at, rest) = cursor.split_once('~')?;
    let (box_id, key) = rest.split_once('~')?;
    Some((at.parse().ok()?, box_id.parse().ok()?, key.parse().ok()?))
}

/// Where a list goes on, as [`Filter::after`] reads it.
pub fn cursor<T>(at: i64, row: &AtBox<T>, key: impl std::fmt::Display) -> String {
    format!("{at}~{}~{key}", row.box_ref.id)
}

/// JSON that a box keeps as text; what cannot be read is left out, the row is not.
pub fn kept<T: DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}

/// A count that a row may not have.
fn number(count: Option<i64>) -> u64 {
    count.map_or(0, to_u64)
}

/// `GET /api/fleet/security/counts`.
pub async fn counts(State(cloud): State<Arc<Cloud>>, Extension(scope): Extension<Scope>) -> Answer<SecurityCounts> {
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = rolled_up(&mut tx, &cloud, &Filter::default(), 0, None).await?;
    tx.commit().await?;
    let mut all = SecurityCounts::default();
    for SecurityCounts { cases, detections, devices, certificates, last_at } in rows.into_iter().map(|row| row.counts) {
        all.cases = sum(all.cases, cases);
        all.detections = sum(all.detections, detections);
        all.devices += devices;
        all.certificates += certificates;
        all.last_at = all.last_at.max(last_at);
    }
    Ok(Json(all))
}

fn sum(a: Severities, b: Severities) -> Severities {
    Severities {
        critical: a.critical + b.critical,
        high: a.high + b.high,
        medium: a.medium + b.medium,
        low: a.low + b.low,
        informational: a.informational + b.informational,
    }
}

/// `GET /api/fleet/security/branches`. Its order changes with what boxes find, so its cursor is a number of rows.
pub async fn branches(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(filter): Query<Filter>,
) -> Answer<Page<BranchSecurity>> {
    let most = filter.most();
    let before = match filter.after.as_str() {
        "" => 0,
        rows => rows.parse::<u32>().map_err(|_| Problem::field("after", "is no cursor of this list"))?.into(),
    };
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = rolled_up(&mut tx, &cloud, &filter, before, Some(most + 1)).await?;
    tx.commit().await?;
    Ok(Json(page(rows, most, |_| (before + most).to_string())))
}

/// Branches with boxes, and what waits there, the worst first.
async fn rolled_up(
    tx: &mut Tx,
    cloud: &Cloud,
    filter: &Filter,
    before: i64,
    most: Option<i64>,
) -> Result<Vec<BranchSecurity>> {
    let rows = sqlx::query!(
        "WITH cases AS (
             SELECT b.branch_id, count(*) FILTER (WHERE c.severity = 'critical') AS critical,
                    count(*) FILTER (WHERE c.severity = 'high') AS high,
                    count(*) FILTER (WHERE c.severity = 'medium') AS medium,
                    count(*) FILTER (WHERE c.severity = 'low') AS low,
                    count(*) FILTER (WHERE c.severity = 'informational') AS informational, max(c.last_at) AS last_at
             FROM radar_cases c JOIN boxes b ON b.id = c.box_id WHERE c.state <> 'closed' GROUP BY 1),
         detections AS (
             SELECT b.branch_id, count(*) FILTER (WHERE d.severity = 'high') AS high,
                    count(*) FILTER (WHERE d.severity = 'medium') AS medium,
                    count(*) FILTER (WHERE d.severity = 'low') AS low,
                    count(DISTINCT d.mac) AS devices, max(d.last_at) AS last_at
             FROM guard_detections d JOIN boxes b ON b.id = d.box_id WHERE d.state = 'open' GROUP BY 1),
         certificates AS (
             SELECT b.branch_id, count(*) AS ending
             FROM guard_certificates c JOIN boxes b ON b.id = c.box_id
             WHERE c.own = 1 AND c.not_after < $1 AND NOT EXISTS (
                 SELECT FROM guard_certificates n WHERE n.box_id = c.box_id AND n.server = c.server AND n.port = c.port
                     AND n.name IS NOT DISTINCT FROM c.name AND n.first_seen > c.first_seen) GROUP BY 1)
         SELECT br.id, br.name, br.organization_id, o.name AS organization, bx.ids AS \"boxes!\", bx.names AS \"box_names!\",
                c.critical AS \"critical?\", c.high AS \"high?\", c.medium AS \"medium?\", c.low AS \"low?\",
                c.informational AS \"informational?\", c.last_at AS \"case_at?\",
                d.high AS \"seen_high?\", d.medium AS \"seen_medium?\", d.low AS \"seen_low?\", d.devices AS \"devices?\",
                d.last_at AS \"seen_at?\", e.ending AS \"ending?\"
         FROM branches br
         JOIN organizations o ON o.organization_id = br.organization_id
         JOIN LATERAL (SELECT (array_agg(b.id ORDER BY b.name, b.id))[:$7] AS ids,
                              (array_agg(b.name ORDER BY b.name, b.id))[:$7] AS names
                       FROM boxes b WHERE b.branch_id = br.id) AS bx ON bx.ids IS NOT NULL
         LEFT JOIN cases c ON c.branch_id = br.id
         LEFT JOIN detections d ON d.branch_id = br.id
         LEFT JOIN certificates e ON e.branch_id = br.id
         WHERE ($2::uuid IS NULL OR br.organization_id = $2) AND ($3::uuid IS NULL OR br.id = $3)
           AND ($4::text IS NULL OR strpos(lower(br.name || ' ' || o.name), $4) > 0)
         ORDER BY coalesce(c.critical, 0) DESC, coalesce(c.high, 0) + coalesce(d.high, 0) DESC,
                  coalesce(c.medium, 0) + coalesce(d.medium, 0) DESC, coalesce(c.low, 0) + coalesce(d.low, 0) DESC,
                  coalesce(e.ending, 0) DESC, o.name, br.name, br.id
         OFFSET $5 LIMIT $6",
        cloud.clock.now().0 + ENDING,
        filter.organization(),
        filter.branch(),
        filter.text(),
        before,
        most,
        i32::try_from(BOXES).unwrap_or(i32::MAX)
    )
    .fetch_all(&mut *tx)
    .await?;
    let rows = rows.into_iter().map(|row| BranchSecurity {
        branch: Named { id: row.id, name: row.name },
        organization: Named { id: row.organization_id, name: row.organization },
        boxes: row.boxes.into_iter().zip(row.box_names).map(|(id, name)| Named { id, name }).collect(),
        counts: SecurityCounts {
            cases: Severities {
                critical: number(row.critical),
                high: number(row.high),
                medium: number(row.medium),
                low: number(row.low),
                informational: number(row.informational),
            },
            detections: Severities {
                high: number(row.seen_high),
                medium: number(row.seen_medium),
                low: number(row.seen_low),
                ..Severities::default()
            },
            devices: number(row.devices),
            certificates: number(row.ending),
            last_at: row.case_at.max(row.seen_at),
        },
    });
    Ok(rows.collect())
}

/// `GET /api/fleet/security/cases?state=active`: those that are not closed.
pub async fn cases(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(filter): Query<Filter>,
) -> Answer<Page<FleetCase>> {
    let most = filter.most();
    let (at, in_box, after) = filter.after::<Uuid>()?;
    let (from, to) = filter.span();
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!(
        "SELECT c.id, c.box_id, b.name AS box_name, b.branch_id, br.name AS branch, c.organization_id,
                o.name AS organization, c.title, c.rule, c.severity, c.state, c.verdict, c.owner, c.host, c.\"user\",
                c.techniques, c.opened_at, c.last_at, c.closed_at, a.alerts AS \"alerts!\", a.events AS \"events!\"
         FROM (SELECT * FROM radar_cases c
               WHERE ($1::uuid IS NULL OR c.organization_id = $1) AND ($2::uuid IS NULL OR c.box_id = $2)
                 AND ($3::uuid IS NULL OR c.box_id IN (SELECT id FROM boxes WHERE branch_id = $3))
                 AND ($4::text IS NULL OR c.severity = $4)
                 AND ($5::text IS NULL OR c.state = $5 OR ($5 = 'active' AND c.state <> 'closed'))
                 AND ($6::text IS NULL OR strpos(lower(c.title || ' ' || c.host || ' ' || c.\"user\" || ' ' || c.techniques
                      || ' ' || c.owner), $6) > 0)
                 AND ($7::bigint IS NULL OR c.last_at >= $7) AND ($8::bigint IS NULL OR c.last_at < $8)
                 AND ($9::bigint IS NULL OR (c.last_at, c.box_id, c.id) < ($9, $10, $11))
               ORDER BY c.last_at DESC, c.box_id DESC, c.id DESC LIMIT $12) AS c
         JOIN boxes b ON b.id = c.box_id
         JOIN branches br ON br.organization_id = b.organization_id AND br.id = b.branch_id
         JOIN organizations o ON o.organization_id = c.organization_id
         JOIN LATERAL (SELECT count(*) AS alerts, coalesce(sum(x.count), 0)::bigint AS events FROM radar_alerts x
                       WHERE x.box_id = c.box_id AND x.case_id = c.id) AS a ON true
         ORDER BY c.last_at DESC, c.box_id DESC, c.id DESC",
        filter.organization(),
        filter.box_id(),
        filter.branch(),
        filter.severity(),
        filter.state(),
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
        row: Case {
            id: row.id,
            title: row.title,
            rule: row.rule,
            severity: row.severity,
            state: row.state,
            verdict: row.verdict,
            owner: row.owner,
            host: row.host,
            user: row.user,
            techniques: kept(&row.techniques),
            opened_at: row.opened_at,
            last_at: row.last_at,
            closed_at: row.closed_at,
            alerts: to_u64(row.alerts),
            events: to_u64(row.events),
        },
        box_ref: Named { id: row.box_id, name: row.box_name },
        branch: Named { id: row.branch_id, name: row.branch },
        organization: Named { id: row.organization_id, name: row.organization },
    });
    Ok(Json(page(rows.collect(), most, |c: &FleetCase| cursor(c.row.last_at, c, c.row.id))))
}

/// `GET /api/fleet/security/alerts?case=`; `state` is that of the alert's case.
pub async fn alerts(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(filter): Query<Filter>,
) -> Answer<Page<FleetAlert>> {
    let most = filter.most();
    let (at, in_box, after) = filter.after::<Uuid>()?;
    let (from, to) = filter.span();
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!(
        "SELECT a.id, a.box_id, b.name AS box_name, b.branch_id, br.name AS branch, a.organization_id,
                o.name AS organization, a.rule, a.title, a.author, a.severity, a.techniques, a.host, a.\"user\", a.case_id,
                a.case_state AS \"case_state!\", a.owner AS \"owner!\", a.count, a.first_at, a.last_at
         FROM (SELECT a.*, coalesce(c.state, 'open') AS case_state, coalesce(c.owner, '') AS owner
               FROM radar_alerts a LEFT JOIN radar_cases c ON c.box_id = a.box_id AND c.id = a.case_id
               WHERE ($1::uuid IS NULL OR a.organization_id = $1) AND ($2::uuid IS NULL OR a.box_id = $2)
                 AND ($3::uuid IS NULL OR a.box_id IN (SELECT id FROM boxes WHERE branch_id = $3))
                 AND ($4::uuid IS NULL OR a.case_id = $4) AND ($5::text IS NULL OR a.severity = $5)
                 AND ($6::text IS NULL OR c.state = $6 OR ($6 = 'active' AND c.state IS DISTINCT FROM 'closed'))
                 AND ($7::text IS NULL OR strpos(lower(a.title || ' ' || a.host || ' ' || a.\"user\" || ' '
                      || a.techniques), $7) > 0)
                 AND ($8::bigint IS NULL OR a.last_at >= $8) AND ($9::bigint IS NULL OR a.last_at < $9)
                 AND ($10::bigint IS NULL OR (a.last_at, a.box_id, a.id) < ($10, $11, $12))
               ORDER BY a.last_at DESC, a.box_id DESC, a.id DESC LIMIT $13) AS a
         JOIN boxes b ON b.id = a.box_id
         JOIN branches br ON br.organization_id = b.organization_id AND br.id = b.branch_id
         JOIN organizations o ON o.organization_id = a.organization_id
         ORDER BY a.last_at DESC, a.box_id DESC, a.id DESC",
        filter.organization(),
        filter.box_id(),
        filter.branch(),
        id(&filter.case),
        filter.severity(),
        filter.state(),
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
        row: Alert {
            id: row.id,
            rule: row.rule,
            title: row.title,
            author: row.author,
            severity: row.severity,
            techniques: kept(&row.techniques),
            host: row.host,
            user: row.user,
            case: row.case_id,
            case_state: row.case_state,
            owner: row.owner,
            count: to_u64(row.count),
            first_at: row.first_at,
            last_at: row.last_at,
        },
        box_ref: Named { id: row.box_id, name: row.box_name },
        branch: Named { id: row.branch_id, name: row.branch },
        organization: Named { id: row.organization_id, name: row.organization },
    });
    Ok(Json(page(rows.collect(), most, |a: &FleetAlert| cursor(a.row.last_at, a, a.row.id))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_goes_on_where_it_ended() {
        let none = Named { id: Uuid::nil(), name: String::new() };
        let box_ref = Named { id: Uuid::from_u128(7), ..none.clone() };
        let row = AtBox { row: (), box_ref, branch: none.clone(), organization: none };
        let filter = |after: String| Filter { after, ..Filter::default() };
        let read = filter(cursor(-5, &row, "10.0.0.1~443~ab")).after::<String>().unwrap();
        assert_eq!(read, (Some(-5), Some(Uuid::from_u128(7)), Some("10.0.0.1~443~ab".to_owned())));
        assert_eq!(filter(String::new()).after::<Uuid>().unwrap(), (None, None, None));
        for wrong in ["x", "1~2", "1~~", "1~00000000-0000-0000-0000-000000000007~no id"] {
            assert!(filter(wrong.to_owned()).after::<Uuid>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_filter_is_read(text in "\\PC{0,40}") {
            let filter = Filter { organization: text.clone(), q: text.clone(), after: text, ..Filter::default() };
            let _ = (filter.organization(), filter.text(), filter.after::<Uuid>().is_ok());
        }
    }
}
