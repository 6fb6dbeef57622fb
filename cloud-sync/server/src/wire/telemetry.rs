//! Telemetry segments: points by binary COPY and the cursor, in one transaction.
//!
//! Segments are numbered without a gap within an epoch, so each is stored exactly once. New series get a key of eight
//! bytes; points carry nothing else but time and value. What the box had to drop arrives as gap records.

use std::{collections::HashMap, sync::Arc};

use axum::extract::State;
use bytes::{BufMut, BytesMut};
use http::HeaderMap;
use sent_protocol::{
    HEADER_EPOCH, HEADER_SEGMENT, TelemetryCursor, code,
    cursor::{SegmentVerdict, judge_segment},
    telemetry::{self, Gap, Point, Segment, SegmentError, SeriesDefinition},
};

use super::{
    caller::{Answer, Caller, Whole, number, off_thread},
    transactions::lock_cursor,
};
use crate::{
    Cloud,
    db::{Tx, to_i64},
    error::{Fault, Result},
    text,
};

/// Microseconds from the Unix epoch to 2000-01-01, where PostgreSQL's timestamps begin.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
const DAY: i64 = 86_400_000_000;
/// Points of so many days back get their own partition; older ones are near their end anyway.
const DAYS_BACK: i64 = 30;
/// Bytes handed to COPY at a time.
const COPY_CHUNK: usize = 1 << 20;

/// `POST /wire/v1/telemetry`.
pub async fn receive(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    headers: HeaderMap,
    body: Whole,
) -> Result<Answer<TelemetryCursor>, Fault> {
    let came = TelemetryCursor { epoch: number(&headers, HEADER_EPOCH)?, segment: number(&headers, HEADER_SEGMENT)? };
    let segment = off_thread(move || {
        let segment = telemetry::decode(&body.bytes).map_err(fault)?;
        drop(body.place);
        Ok(segment)
    })
    .await?;
    let mut tx = caller.begin(&cloud).await?;
    let cursor = lock_cursor(&mut tx, caller.box_id).await?;
    let after = match judge_segment(&cursor, came.epoch, came.segment) {
        SegmentVerdict::Accept(after) => after,
        SegmentVerdict::Known => return Ok(Answer(cursor.telemetry)),
        SegmentVerdict::Refuse(refusal) => return Err(Fault::TelemetryRefused(refusal)),
    };
    let keys = define(&mut tx, &caller, &segment).await?;
    note_gaps(&mut tx, &caller, &segment.gaps).await?;
    store(&mut tx, &cloud, segment.points, keys).await?;
    sqlx::query!(
        "UPDATE wire_cursors SET telemetry_epoch = $2, telemetry_segment = $3 WHERE box_id = $1",
        caller.box_id,
        to_i64(after.epoch)?,
        to_i64(after.segment)?
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Answer(after))
}

fn fault(error: SegmentError) -> Fault {
    if error.is_too_large() {
        Fault::new(http::StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, error.to_string())
    } else {
        Fault::malformed(error)
    }
}

/// The keys of the segment's series; series the cloud does not know are made, nameless ones too: their points are kept
/// and get their name with the next definition.
async fn define(tx: &mut Tx, caller: &Caller, segment: &Segment) -> Result<HashMap<u64, i64>> {
    if !segment.definitions.is_empty() {
        upsert_series(tx, caller, &segment.definitions).await?;
    }
    let mut wanted: Vec<i64> =
        segment.points.chunk_by(|a, b| a.series == b.series).map(|s| s[0].series.cast_signed()).collect();
    wanted.dedup();
    let mut keys = known_keys(tx, caller, &wanted).await?;
    let nameless: Vec<SeriesDefinition> = wanted
        .iter()
        .map(|id| id.cast_unsigned())
        .filter(|id| !keys.contains_key(id))
        .map(|id| SeriesDefinition {
            id,
            name: format!("unnamed_{id:016x}"),
            labels: Default::default(),
            unit: String::new(),
        })
        .collect();
    if !nameless.is_empty() {
        upsert_series(tx, caller, &nameless).await?;
        keys = known_keys(tx, caller, &wanted).await?;
    }
    Ok(keys)
}

async fn known_keys(tx: &mut Tx, caller: &Caller, series: &[i64]) -> Result<HashMap<u64, i64>> {
    let rows =
        sqlx::query!("SELECT series, key FROM series WHERE box_id = $1 AND series = ANY ($2)", caller.box_id, series)
            .fetch_all(&mut *tx)
            .await?;
    Ok(rows.into_iter().map(|row| (row.series.cast_unsigned(), row.key)).collect())
}

async fn upsert_series(tx: &mut Tx, caller: &Caller, definitions: &[SeriesDefinition]) -> Result<()> {
    let mut by_id: Vec<&SeriesDefinition> = definitions.iter().collect();
    by_id.sort_by_key(|d| d.id);
    by_id.dedup_by_key(|d| d.id);
    let ids: Vec<i64> = by_id.iter().map(|d| d.id.cast_signed()).collect();
    let names: Vec<String> = by_id.iter().map(|d| text::line(&d.name)).collect();
    let units: Vec<String> = by_id.iter().map(|d| text::line(&d.unit)).collect();
    let labels =
        by_id.iter().map(|d| Ok(text::json(&serde_json::to_string(&d.labels)?))).collect::<Result<Vec<_>>>()?;
    sqlx::query!(
        "INSERT INTO series (organization_id, box_id, series, metric, labels, unit)
         SELECT $1, $2, d.series, d.metric, d.labels::jsonb, d.unit
         FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[]) AS d (series, metric, labels, unit)
         ON CONFLICT (box_id, series) DO UPDATE
             SET metric = excluded.metric, labels = excluded.labels, unit = excluded.unit
             WHERE (series.metric, series.labels, series.unit) IS DISTINCT FROM
                   (excluded.metric, excluded.labels, excluded.unit)",
        caller.organization,
        caller.box_id,
        &ids,
        &names,
        &labels,
        &units
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn note_gaps(tx: &mut Tx, caller: &Caller, gaps: &[Gap]) -> Result<()> {
    if gaps.is_empty() {
        return Ok(());
    }
    let (mut from, mut to, mut points) = (Vec::new(), Vec::new(), Vec::new());
    for gap in gaps {
        from.push(gap.from);
        to.push(gap.to);
        points.push(to_i64(gap.points)?);
    }
    sqlx::query!(
        "INSERT INTO gaps (organization_id, box_id, from_at, to_at, points)
         SELECT $1, $2, g.from_at, g.to_at, sum(g.points)::bigint
         FROM unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS g (from_at, to_at, points)
         GROUP BY g.from_at, g.to_at
         ON CONFLICT (box_id, from_at, to_at) DO UPDATE SET points = gaps.points + excluded.points",
        caller.organization,
        caller.box_id,
        &from,
        &to,
        &points
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn store(tx: &mut Tx, cloud: &Cloud, points: Vec<Point>, keys: HashMap<u64, i64>) -> Result<(), Fault> {
    let (Some(from), Some(to)) = (points.iter().map(|p| p.at).min(), points.iter().map(|p| p.at).max()) else {
        return Ok(());
    };
    make_days(tx, cloud, &points).await?;
    let mut touched: Vec<i64> = keys.values().copied().collect();
    touched.sort_unstable();
    let chunks = off_thread(move || Ok(binary(&points, &keys))).await?;
    // The points table has no row-level security (it refuses COPY); the keys were looked up under it just now.
    let mut copy = tx.copy_in_raw("COPY points_raw (key, at, value) FROM STDIN (FORMAT binary)").await?;
    for chunk in chunks {
        copy.send(chunk).await?;
    }
    copy.finish().await?;
    sqlx::query!(
        "INSERT INTO points_dirty (keys, from_at, to_at)
         VALUES ($1, to_timestamp($2::bigint / 1000000.0), to_timestamp($3::bigint / 1000000.0))",
        &touched,
        from.max(EARLIEST) as _,
        to.min(LATEST) as _
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Bounds of what PostgreSQL can hold and a person can mean: the years 1970 and 2200.
const EARLIEST: i64 = 0;
const LATEST: i64 = 7_258_118_400_000_000;

/// PostgreSQL's binary COPY: a header, rows of counted fields in network order, a trailer.
fn binary(points: &[Point], keys: &HashMap<u64, i64>) -> Vec<bytes::Bytes> {
    const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
    let mut chunks = Vec::new();
    let mut out = BytesMut::with_capacity(COPY_CHUNK + 64);
    out.put_slice(SIGNATURE);
    out.put_i64(0); // flags and the length of the header's extension
    for run in points.chunk_by(|a, b| a.series == b.series) {
        let Some(key) = keys.get(&run[0].series) else { continue };
        for point in run {
            out.put_i16(3);
            out.put_i32(8);
            out.put_i64(*key);
            out.put_i32(8);
            // A clock that is absurdly wrong must not make the whole segment unstorable.
            out.put_i64(point.at.clamp(EARLIEST, LATEST) - POSTGRES_EPOCH);
            out.put_i32(8);
            out.put_f64(point.value);
            if out.len() >= COPY_CHUNK {
                chunks.push(out.split().freeze());
                out.reserve(COPY_CHUNK + 64);
            }
        }
    }
    out.put_i16(-1);
    chunks.push(out.freeze());
    chunks
}

/// Sees to it that the days of the points have their partitions. Days far off stay in the default one.
async fn make_days(tx: &mut Tx, cloud: &Cloud, points: &[Point]) -> Result<()> {
    let today = cloud.clock.now().0.div_euclid(DAY);
    let mut days: Vec<i64> = points.iter().map(|p| p.at.div_euclid(DAY)).collect();
    days.sort_unstable();
    days.dedup();
    for day in days.into_iter().filter(|day| (today - DAYS_BACK..=today + 1).contains(day)) {
        if cloud.days.contains(day) {
            continue;
        }
        let day_number = i32::try_from(day).unwrap_or(0);
        let made = sqlx::query_scalar!("SELECT sent_make_day('1970-01-01'::date + $1::int)", day_number)
            .fetch_one(&mut *tx)
            .await?;
        // One that is made just now may yet be rolled back.
        if made == Some(false) {
            cloud.days.add(day);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_is_as_postgresql_documents_it() {
        let points = [Point { series: 5, at: POSTGRES_EPOCH + 1, value: 1.5 }];
        let bytes = binary(&points, &HashMap::from([(5, 7)])).concat();
        let mut expected = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x03".to_vec();
        for field in [7_i64.to_be_bytes(), 1_i64.to_be_bytes(), 1.5_f64.to_be_bytes()] {
            expected.extend(8_i32.to_be_bytes());
            expected.extend(field);
        }
        expected.extend((-1_i16).to_be_bytes());
        assert_eq!(bytes, expected);
    }
}
