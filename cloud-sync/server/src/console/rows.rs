//! Rows of the fleet as they were projected, the audit, and the settings.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Query, State},
};
use rust_decimal::Decimal;
use sent_contract::{
    Page,
    audit::{Entry, Verification},
    fleet::FleetEntry,
    home::Setting,
    identity::Named,
};
use sent_core::{Scope, settings::reference};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Answer,
    page::{limit, page},
};
use crate::{
    Cloud, audit,
    db::Tenancy,
    settings::{EXAMPLE, Settings},
};

/// `?organization=&box=&q=&after=&limit=`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filter {
    organization: Option<String>,
    #[serde(rename = "box")]
    box_id: Option<String>,
    q: Option<String>,
    state: Option<String>,
    after: Option<String>,
    limit: Option<i64>,
}

impl Filter {
    fn id(text: Option<&String>) -> Option<Uuid> {
        // An id that is none matches nothing, like an id nobody has.
        text.filter(|t| !t.is_empty()).map(|t| t.parse().unwrap_or(Uuid::max()))
    }

    fn organization(&self) -> Option<Uuid> {
        Self::id(self.organization.as_ref())
    }

    fn box_id(&self) -> Option<Uuid> {
        Self::id(self.box_id.as_ref())
    }

    fn text(&self) -> Option<String> {
        self.q.as_ref().map(|q| q.trim().to_lowercase()).filter(|q| !q.is_empty())
    }

    /// The cursor `TIME-ID`.
    fn after(&self) -> (Option<i64>, Option<Uuid>) {
        self.after
            .as_ref()
            .and_then(|a| a.split_once('~'))
            .map_or((None, None), |(at, id)| (at.parse().ok(), id.parse().ok()))
    }
}

/// `GET /api/fleet/entries`.
pub async fn entries(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(filter): Query<Filter>,
) -> Answer<Page<FleetEntry>> {
    let most = limit(filter.limit);
    let (after_at, after_id) = filter.after();
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!(
        "SELECT e.id, e.box_id, b.name AS box_name, e.organization_id, o.name AS organization, e.number,
                e.date::text AS \"date!\", e.description, e.posted_at, e.received_at
         FROM (SELECT * FROM entries e
               WHERE ($1::uuid IS NULL OR e.organization_id = $1) AND ($2::uuid IS NULL OR e.box_id = $2)
                 AND ($3::text IS NULL OR strpos(lower(e.description || ' ' || e.number), $3) > 0)
                 AND ($4::bigint IS NULL OR (e.posted_at, e.id) < ($4, $5))
               ORDER BY e.posted_at DESC, e.id DESC LIMIT $6) AS e
         JOIN boxes b ON b.id = e.box_id
         JOIN organizations o ON o.organization_id = e.organization_id
         ORDER BY e.posted_at DESC, e.id DESC",
        filter.organization(),
        filter.box_id(),
        filter.text(),
        after_at,
        after_id,
        most + 1
    )
    .fetch_all(&mut *tx)
    .await?;
    let boxes: Vec<Uuid> = rows.iter().map(|row| row.box_id).collect();
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut debits: HashMap<(Uuid, Uuid), Vec<(String, Decimal)>> = HashMap::new();
    let sums = sqlx::query!(
        "SELECT l.box_id, l.entry_id, l.currency, sum(l.amount)::text AS \"sum!\"
         FROM unnest($1::uuid[], $2::uuid[]) AS w (box_id, entry_id) JOIN lines l USING (box_id, entry_id)
         WHERE l.amount > 0 GROUP BY 1, 2, 3 ORDER BY 3",
        &boxes,
        &ids
    );
    for row in sums.fetch_all(&mut *tx).await? {
        // A sum beyond 28 digits cannot be shown exactly, so it is not shown.
        if let Ok(sum) = row.sum.parse() {
            debits.entry((row.box_id, row.entry_id)).or_default().push((row.currency, sum));
        }
    }
    tx.commit().await?;
    let items = rows
        .into_iter()
        .map(|row| FleetEntry {
            debits: debits.remove(&(row.box_id, row.id)).unwrap_or_default(),
            id: row.id,
            box_ref: Named { id: row.box_id, name: row.box_name },
            organization: Named { id: row.organization_id, name: row.organization },
            number: row.number,
            date: row.date,
            description: row.description,
            posted_at: row.posted_at,
            received_at: row.received_at,
        })
        .collect();
    Ok(Json(page(items, most, |e: &FleetEntry| format!("{}~{}", e.posted_at, e.id))))
}

/// A row of `GET /api/fleet/alerts`: a box's alert with the box it is from.
#[derive(Clone, Debug, Serialize)]
pub struct FleetAlert {
    /// The alert.
    #[serde(flatten)]
    pub alert: sent_contract::pulse::Alert,
    /// Box.
    pub box_ref: Named,
    /// Customer.
    pub organization: Named,
}

/// `GET /api/fleet/alerts?state=open`.
pub async fn alerts(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(filter): Query<Filter>,
) -> Answer<Page<FleetAlert>> {
    let most = limit(filter.limit);
    let (after_at, after_id) = filter.after();
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!(
        "SELECT a.id, a.box_id, b.name AS box_name, a.organization_id, o.name AS organization, a.rule_id, a.title, a.state,
                a.severity, a.series, a.value, a.raised_at, a.resolved_at, a.acknowledged_by,
                coalesce((SELECT array_agg(n.target || ': ' || n.state ORDER BY n.created_at) FROM notifications n
                          WHERE n.box_id = a.box_id AND n.alert_id = a.id), '{}') AS \"notifications!\"
         FROM (SELECT * FROM alerts a
               WHERE ($1::uuid IS NULL OR a.organization_id = $1) AND ($2::uuid IS NULL OR a.box_id = $2)
                 AND ($3::text IS NULL OR strpos(lower(a.title), $3) > 0)
                 AND ($4::text IS NULL OR a.state = $4 OR ($4 = 'open' AND a.resolved_at IS NULL))
                 AND ($5::bigint IS NULL OR (a.raised_at, a.id) < ($5, $6))
               ORDER BY a.raised_at DESC, a.id DESC LIMIT $7) AS a
         JOIN boxes b ON b.id = a.box_id
         JOIN organizations o ON o.organization_id = a.organization_id
         ORDER BY a.raised_at DESC, a.id DESC",
        filter.organization(),
        filter.box_id(),
        filter.text(),
        filter.state.clone().filter(|s| !s.is_empty()),
        after_at,
        after_id,
        most + 1
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let items = rows
        .into_iter()
        .map(|row| FleetAlert {
            alert: sent_contract::pulse::Alert {
                id: row.id,
                rule: row.rule_id,
                title: row.title,
                state: row.state,
                severity: row.severity,
                series: row.series,
                value: row.value.unwrap_or_default(),
                raised_at: row.raised_at,
                resolved_at: row.resolved_at,
                acknowledged_by: row.acknowledged_by,
                notifications: row.notifications,
            },
            box_ref: Named { id: row.box_id, name: row.box_name },
            organization: Named { id: row.organization_id, name: row.organization },
        })
        .collect();
    Ok(Json(page(items, most, |a: &FleetAlert| format!("{}~{}", a.alert.raised_at, a.alert.id))))
}

/// `GET /api/audit`.
pub async fn audit(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(filter): Query<audit::Filter>,
) -> Answer<Page<Entry>> {
    let most = limit(filter.limit);
    let given = |text: Option<String>| text.filter(|t| !t.is_empty());
    let filter = audit::Filter {
        actor: given(filter.actor),
        action: given(filter.action),
        table: given(filter.table),
        key: given(filter.key),
        ..filter
    };
    let mut tx = cloud.db.begin(Tenancy::One(scope.organization)).await?;
    let rows = audit::list(&mut tx, scope.organization, &filter, most + 1).await?;
    tx.commit().await?;
    Ok(Json(page(rows, most, |e: &Entry| e.sequence.to_string())))
}

/// `POST /api/audit/verify`.
pub async fn verify_audit(State(cloud): State<Arc<Cloud>>, Extension(scope): Extension<Scope>) -> Answer<Verification> {
    let mut tx = cloud.db.begin(Tenancy::One(scope.organization)).await?;
    let verification = audit::verify(&mut tx, scope.organization).await?;
    tx.commit().await?;
    Ok(Json(verification))
}

/// `GET /api/settings`: as the reference page lists them, secrets and passwords left out.
pub async fn settings(State(cloud): State<Arc<Cloud>>) -> Answer<Vec<Setting>> {
    let effective = effective(&cloud.settings)?;
    let list = reference(EXAMPLE).into_iter().map(|key| {
        let value = effective.get(&key.key).cloned().unwrap_or_default();
        let source = if value == key.default { "default" } else { "file" };
        Setting { key: key.key, value, default: key.default, help: key.help, source: source.to_owned() }
    });
    Ok(Json(list.collect()))
}

fn effective(settings: &Settings) -> crate::error::Result<HashMap<String, String>> {
    let tree = toml::Table::try_from(settings).map_err(|e| crate::Error::Stored(e.to_string()))?;
    let mut values = HashMap::new();
    for (section, keys) in tree {
        let toml::Value::Table(keys) = keys else { continue };
        for (key, value) in keys {
            let shown = match (section.as_str(), key.as_str()) {
                ("keys", _) => "\"•••\"".to_owned(),
                ("database", "url" | "owner_url") => toml::Value::from(without_password(&value)).to_string(),
                _ => value.to_string(),
            };
            values.insert(format!("{section}.{key}"), shown);
        }
    }
    Ok(values)
}

fn without_password(url: &toml::Value) -> String {
    let text = url.as_str().unwrap_or_default();
    match url::Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some("•••"));
            url.to_string()
        }
        Ok(_) => text.to_owned(),
        Err(_) if text.is_empty() => String::new(),
        Err(_) => "•••".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_show_no_secret() {
        let mut settings = Settings::default();
        settings.database.url = "postgres://app:geheim@db/sent".into();
        settings.keys.master = "5e".repeat(32);
        let shown = effective(&settings).unwrap();
        let text = format!("{shown:?}");
        assert!(!text.contains("geheim") && !text.contains("5e5e"), "{text}");
        assert_eq!(shown.len(), reference(EXAMPLE).len());
        let defaults = effective(&Settings::default()).unwrap();
        for key in reference(EXAMPLE).iter().filter(|k| !k.key.starts_with("keys.")) {
            assert_eq!(defaults[&key.key], key.default, "{}", key.key);
        }
    }
}
