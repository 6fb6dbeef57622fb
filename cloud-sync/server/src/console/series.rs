//! A box's telemetry: its series, and curves out of the tier that fits the range.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use sent_contract::pulse::{Curve, QueryAnswer, Series};
use sent_core::{Problem, Scope};
use serde::Deserialize;
use uuid::Uuid;

use super::Answer;
use crate::{
    Cloud,
    db::{Tenancy, Tx},
    error::{Error, Result},
};

/// Most series of one list.
const MOST_SERIES: i64 = 5_000;
/// Most curves of one answer.
const MOST_CURVES: usize = 500;
/// Most buckets of a curve.
const MOST_POINTS: i64 = 5_000;
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
/// Raw points are kept so long.
const RAW_KEPT: i64 = 30 * 24 * HOUR;
/// Minutes are kept so long.
const MINUTES_KEPT: i64 = 90 * 24 * HOUR;
/// A last value is looked for so far back.
const RECENT: i64 = 2 * HOUR;

/// `?metric=&q=`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    metric: Option<String>,
    q: Option<String>,
}

/// `GET /api/fleet/boxes/{id}/series`.
pub async fn list(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(box_id): Path<Uuid>,
    Query(asked): Query<Asked>,
) -> Answer<Vec<Series>> {
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!(
        "SELECT key, series, metric, labels, unit FROM series
         WHERE box_id = $1 AND ($2::text IS NULL OR metric = $2)
           AND ($3::text IS NULL OR strpos(lower(metric || ' ' || labels::text), lower($3)) > 0)
         ORDER BY metric, labels::text LIMIT $4",
        box_id,
        asked.metric.filter(|m| !m.is_empty()),
        asked.q.filter(|q| !q.is_empty()),
        MOST_SERIES
    )
    .fetch_all(&mut *tx)
    .await?;
    let keys: Vec<i64> = rows.iter().map(|row| row.key).collect();
    let since = cloud.clock.now().plus_micros(-RECENT).0;
    let mut last: HashMap<i64, (i64, f64)> = HashMap::new();
    let newest = sqlx::query!(
        "SELECT DISTINCT ON (key) key AS \"key!\", last AS \"last!\",
                (extract(epoch FROM bucket) * 1000000)::bigint AS \"at!\"
         FROM points_1m WHERE key = ANY ($1) AND bucket >= to_timestamp($2::bigint / 1000000.0)
         ORDER BY key, bucket DESC",
        &keys,
        since as _
    );
    for row in newest.fetch_all(&mut *tx).await? {
        last.insert(row.key, (row.at, row.last));
    }
    tx.commit().await?;
    let series = rows.into_iter().map(|row| {
        let newest = last.get(&row.key).copied();
        Ok(Series {
            id: row.series.cast_unsigned().to_string(),
            metric: row.metric,
            labels: serde_json::from_value::<BTreeMap<String, String>>(row.labels)?,
            unit: row.unit,
            last: newest.map(|(_, value)| value),
            last_at: newest.map(|(at, _)| at),
        })
    });
    Ok(Json(series.collect::<Result<_, Error>>()?))
}

/// `?series=1,2&from=&to=&points=`.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    series: String,
    from: i64,
    to: i64,
    #[serde(default)]
    points: Option<i64>,
}

/// Where a query is answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    Raw,
    Minutes,
    Hours,
}

/// The tier whose points are as near as possible to the width asked for and still kept, and the width of a bucket.
fn choose(from: i64, to: i64, points: i64, now: i64) -> (Tier, i64) {
    let width = (to - from).div_euclid(points).max(1);
    let age = now.saturating_sub(from);
    if width < MINUTE && age < RAW_KEPT {
        // At least a tenth of a second, so that a narrow range does not ask for the impossible.
        return (Tier::Raw, width.max(100_000));
    }
    if width < HOUR && age < MINUTES_KEPT {
        return (Tier::Minutes, (width.div_euclid(MINUTE) * MINUTE).max(MINUTE));
    }
    (Tier::Hours, (width.div_euclid(HOUR) * HOUR).max(HOUR))
}

/// `GET /api/fleet/boxes/{id}/query`.
pub async fn query(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(box_id): Path<Uuid>,
    Query(wanted): Query<Wanted>,
) -> Answer<QueryAnswer> {
    if wanted.to <= wanted.from {
        return Err(Problem::field("to", "the range ends before it begins").into());
    }
    let ids = wanted
        .series
        .split(',')
        .filter(|id| !id.is_empty())
        .map(|id| {
            id.trim()
                .parse::<u64>()
                .map_err(|_| Problem::field("series", "ids are decimal numbers, with commas between"))
        })
        .collect::<Result<Vec<u64>, Problem>>()?;
    if ids.len() > MOST_CURVES {
        return Err(Problem::field("series", format!("at most {MOST_CURVES} series at a time")).into());
    }
    let points = wanted.points.unwrap_or(300).clamp(1, MOST_POINTS);
    let (tier, step) = choose(wanted.from, wanted.to, points, cloud.clock.now().0);
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let signed: Vec<i64> = ids.iter().map(|id| id.cast_signed()).collect();
    let known = sqlx::query!("SELECT key, series FROM series WHERE box_id = $1 AND series = ANY ($2)", box_id, &signed)
        .fetch_all(&mut *tx)
        .await?;
    let keys: Vec<i64> = known.iter().map(|row| row.key).collect();
    let buckets = buckets(&mut tx, tier, &keys, wanted.from, wanted.to, step).await?;
    tx.commit().await?;
    let mut by_key: HashMap<i64, Vec<Bucket>> = HashMap::new();
    for bucket in buckets {
        by_key.entry(bucket.key).or_default().push(bucket);
    }
    let key_of: HashMap<i64, i64> = known.iter().map(|row| (row.series, row.key)).collect();
    let series = ids
        .iter()
        .map(|id| {
            let own = key_of.get(&id.cast_signed()).and_then(|key| by_key.remove(key)).unwrap_or_default();
            curve(id.to_string(), &own, step)
        })
        .collect();
    let tier = match tier {
        Tier::Raw => "raw",
        Tier::Minutes => "1m",
        Tier::Hours => "1h",
    };
    Ok(Json(QueryAnswer { tier: tier.to_owned(), step, series }))
}

/// Points of one series in one bucket.
#[derive(Clone, Debug)]
struct Bucket {
    key: i64,
    at: i64,
    min: f64,
    max: f64,
    sum: f64,
    count: i64,
}

/// Buckets in order of key and time. The tiers answer alike, so one shape serves all three.
async fn buckets(tx: &mut Tx, tier: Tier, keys: &[i64], from: i64, to: i64, step: i64) -> Result<Vec<Bucket>> {
    let rows = match tier {
        Tier::Raw => {
            sqlx::query_as!(
                Bucket,
                "SELECT key AS \"key!\", at AS \"at!\", min(value) AS \"min!\", max(value) AS \"max!\", sum(value) AS \"sum!\",
                        count(*) AS \"count!\"
                 FROM (SELECT key, value, $2::bigint + $4::bigint * (((extract(epoch FROM at) * 1000000)::bigint - $2) / $4) AS at
                       FROM points WHERE key = ANY ($1) AND at >= to_timestamp($2::bigint / 1000000.0)
                                     AND at < to_timestamp($3::bigint / 1000000.0)) AS p
                 GROUP BY 1, 2 ORDER BY 1, 2",
                keys,
                from as _,
                to as _,
                step
            )
            .fetch_all(&mut *tx)
            .await?
        }
        Tier::Minutes => {
            sqlx::query_as!(
                Bucket,
                "SELECT key AS \"key!\", at AS \"at!\", min(min) AS \"min!\", max(max) AS \"max!\", sum(sum) AS \"sum!\",
                        sum(count)::bigint AS \"count!\"
                 FROM (SELECT key, min, max, sum, count,
                              $2::bigint + $4::bigint * (((extract(epoch FROM bucket) * 1000000)::bigint - $2) / $4) AS at
                       FROM points_1m WHERE key = ANY ($1) AND bucket >= to_timestamp($2::bigint / 1000000.0)
                                        AND bucket < to_timestamp($3::bigint / 1000000.0)) AS p
                 GROUP BY 1, 2 ORDER BY 1, 2",
                keys,
                from as _,
                to as _,
                step
            )
            .fetch_all(&mut *tx)
            .await?
        }
        Tier::Hours => {
            sqlx::query_as!(
                Bucket,
                "SELECT key AS \"key!\", at AS \"at!\", min(min) AS \"min!\", max(max) AS \"max!\", sum(sum) AS \"sum!\",
                        sum(count)::bigint AS \"count!\"
                 FROM (SELECT key, min, max, sum, count,
                              $2::bigint + $4::bigint * (((extract(epoch FROM bucket) * 1000000)::bigint - $2) / $4) AS at
                       FROM points_1h WHERE key = ANY ($1) AND bucket >= to_timestamp($2::bigint / 1000000.0)
                                        AND bucket < to_timestamp($3::bigint / 1000000.0)) AS p
                 GROUP BY 1, 2 ORDER BY 1, 2",
                keys,
                from as _,
                to as _,
                step
            )
            .fetch_all(&mut *tx)
            .await?
        }
    };
    Ok(rows)
}

/// A curve with a gap where the series was silent: more than three times its usual distance, and more than two buckets.
fn curve(id: String, buckets: &[Bucket], step: i64) -> Curve {
    let mut distances: Vec<i64> = buckets.windows(2).map(|w| w[1].at - w[0].at).collect();
    distances.sort_unstable();
    let usual = distances.get(distances.len() / 2).copied().unwrap_or(step);
    let silent = (3 * usual).max(2 * step);
    let mut curve = Curve { id, at: Vec::new(), avg: Vec::new(), min: Vec::new(), max: Vec::new() };
    let mut before: Option<i64> = None;
    for bucket in buckets {
        if let Some(last) = before
            && bucket.at - last > silent
        {
            push(&mut curve, last + step, None);
        }
        push(&mut curve, bucket.at, Some(bucket));
        before = Some(bucket.at);
    }
    curve
}

fn push(curve: &mut Curve, at: i64, bucket: Option<&Bucket>) {
    curve.at.push(at);
    // JSON has no infinities and no NaN: such a value is a gap to the eye as well.
    let finite = |value: f64| Some(value).filter(|v| v.is_finite());
    curve.avg.push(bucket.and_then(|b| finite(b.sum / b.count.max(1) as f64)));
    curve.min.push(bucket.and_then(|b| finite(b.min)));
    curve.max.push(bucket.and_then(|b| finite(b.max)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_700_000_000_000_000;

    #[test]
    fn the_tier_follows_range_and_width() {
        assert_eq!(choose(NOW - HOUR, NOW, 300, NOW).0, Tier::Raw);
        assert_eq!(choose(NOW - 24 * HOUR, NOW, 300, NOW).0, Tier::Minutes);
        assert_eq!(choose(NOW - 30 * 24 * HOUR, NOW, 300, NOW), (Tier::Hours, 2 * HOUR));
        // What is past its retention comes from the next tier.
        assert_eq!(choose(NOW - RAW_KEPT - HOUR, NOW - RAW_KEPT, 300, NOW).0, Tier::Minutes);
        assert_eq!(choose(NOW - MINUTES_KEPT - HOUR, NOW - MINUTES_KEPT, 300, NOW).0, Tier::Hours);
    }

    #[test]
    fn silence_is_a_gap() {
        let bucket = |at| Bucket { key: 1, at, min: 1.0, max: 3.0, sum: 4.0, count: 2 };
        let curve = curve("1".into(), &[bucket(0), bucket(10), bucket(20), bucket(100)], 10);
        assert_eq!(curve.at, [0, 10, 20, 30, 100]);
        assert_eq!(curve.avg, [Some(2.0), Some(2.0), Some(2.0), None, Some(2.0)]);
    }

    proptest! {
        #[test]
        fn a_choice_is_always_sound(from in 0..NOW, length in 1..10 * MINUTES_KEPT, points in 1..MOST_POINTS) {
            let (tier, step) = choose(from, from + length, points, NOW);
            prop_assert!(step > 0);
            match tier {
                Tier::Raw => prop_assert!(step < HOUR),
                Tier::Minutes => prop_assert_eq!(step % MINUTE, 0),
                Tier::Hours => prop_assert_eq!(step % HOUR, 0),
            }
        }
    }
}
