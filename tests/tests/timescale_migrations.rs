//! The cloud's real migrations on a server with TimescaleDB, by the real runner, and every real query prepared on it: the
//! hypertable, the continuous aggregates, compression and retention do what the program counts on.

use sent_tests::{Context as _, Result, cloud::Common, ensure, program::root};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use std::{process::Stdio, time::Duration};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Points of each series.
const MINUTES: i32 = 180;

/// The server, and what keeps it alive.
struct Server {
    _child: tokio::process::Child,
    url: String,
}

impl Server {
    async fn start() -> Result<Option<Self>> {
        let folder = root().join("tests/timescale");
        if !folder.join("node_modules").is_dir() {
            eprintln!("skipped: run `npm ci` in tests/timescale (scripts/deps.sh does)");
            return Ok(None);
        }
        let mut child = tokio::process::Command::new("node")
            .arg("server.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        // It takes about ten seconds on an idle machine.
        let port = tokio::time::timeout(Duration::from_secs(120), async {
            while let Some(line) = lines.next_line().await? {
                if let Some(port) = line.strip_prefix("READY ") {
                    return Ok(port.to_owned());
                }
            }
            anyhow::bail!("the server ended before it was ready")
        })
        .await??;
        // One connection at a time, no prepared statements that outlive their use.
        let url = format!(
            "postgres://postgres:postgres@127.0.0.1:{port}/postgres?sslmode=disable&statement-cache-capacity=0"
        );
        Ok(Some(Self { _child: child, url }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timescale_migrations() -> Result<()> {
    let Some(server) = Server::start().await? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let common = Common {
        folder: folder.path().to_owned(),
        database: server.url.clone(),
        owner: server.url.clone(),
        wire_url: "https://127.0.0.1:1".into(),
        mqtt: String::new(),
        mqtt_box: String::new(),
        master: "5e".repeat(32),
    };
    let replica = common.replica("migrating")?;
    replica.verb("migrate", &[])?;
    // Again: nothing is left to do.
    replica.verb("migrate", &[])?;

    let mut db = PgConnection::connect(&server.url).await?;
    let applied: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sent_migrations ORDER BY number").fetch_all(&mut db).await?;
    ensure!(applied.iter().any(|n| n.ends_with(".timescale.sql")), "{applied:?}");
    ensure!(applied.iter().all(|n| !n.ends_with(".plain.sql")), "{applied:?}");
    for (what, sql) in [
        (
            "a hypertable",
            "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_name = 'points_raw'",
        ),
        ("two aggregates", "SELECT count(*) - 1 FROM timescaledb_information.continuous_aggregates"),
        (
            "compression, retention and refresh",
            "SELECT (count(*) >= 6)::int::bigint FROM timescaledb_information.jobs
             WHERE proc_name IN ('policy_compression', 'policy_retention', 'policy_refresh_continuous_aggregate')",
        ),
    ] {
        let there: i64 = sqlx::query_scalar(sql).fetch_one(&mut db).await?;
        ensure!(there == 1, "{what}: {there}");
    }

    queries(&mut db).await?;
    points(&mut db).await
}

/// Every query the program was built with is understood by this server.
async fn queries(db: &mut PgConnection) -> Result<()> {
    let mut checked = 0;
    for file in std::fs::read_dir(root().join(".sqlx"))? {
        let text = std::fs::read_to_string(file?.path())?;
        let metadata: serde_json::Value = serde_json::from_str(&text)?;
        let query = metadata["query"].as_str().context("metadata without a query")?;
        sqlx::raw_sql(AssertSqlSafe(format!("PREPARE checked AS {query}")))
            .execute(&mut *db)
            .await
            .with_context(|| format!("this query does not run on TimescaleDB: {query}"))?;
        sqlx::raw_sql("DEALLOCATE checked").execute(&mut *db).await?;
        checked += 1;
    }
    ensure!(checked > 50, "only {checked} queries were found");
    Ok(())
}

/// Default privileges that were set over a socket are not applied by this build of PostgreSQL, though it lists them: the
/// test does what they say.
const PRIVILEGES: &str = "GRANT SELECT ON series, points, points_1m, points_1h TO sent_app";

/// Points of two organisations through the tiers: what is asked of the views is what was measured, before and after
/// refresh and compression, and of one's own organisation only.
async fn points(db: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql(
        "INSERT INTO tenants (organization_id) VALUES
             ('00000000-0000-0000-0000-00000000000a'), ('00000000-0000-0000-0000-00000000000b');
         SET sent.organizations = '*';
         INSERT INTO boxes (organization_id, id, branch_id, name) VALUES
             ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-0000000000a1', gen_random_uuid(), 'a'),
             ('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-0000000000b1', gen_random_uuid(), 'b');
         INSERT INTO series (organization_id, box_id, series, metric, labels)
             SELECT organization_id, id, n, 'cpu_usage_ratio', '{}' FROM boxes, generate_series(1, 3) AS n;",
    )
    .execute(&mut *db)
    .await?;
    sqlx::raw_sql(AssertSqlSafe(format!(
        "INSERT INTO points_raw (key, at, value)
         SELECT s.key, date_trunc('hour', now()) - INTERVAL '5 days' + m * INTERVAL '1 minute' + n * INTERVAL '20 seconds', m + n
         FROM series s, generate_series(0, {MINUTES} - 1) AS m, generate_series(0, 2) AS n"
    )))
    .execute(&mut *db)
    .await?;
    sqlx::raw_sql("CALL refresh_continuous_aggregate('points_1m_rows', NULL, NULL)").execute(&mut *db).await?;
    sqlx::raw_sql("CALL refresh_continuous_aggregate('points_1h_rows', NULL, NULL)").execute(&mut *db).await?;

    sqlx::raw_sql(PRIVILEGES).execute(&mut *db).await?;
    let before = tiers(db).await?;
    let each = i64::from(MINUTES) * 3;
    ensure!(before == [(each * 3, 3), (each * 3, 3), (each * 3, 3)], "an organisation's tiers: {before:?}");

    // The policies' own jobs, as the server's workers would run them.
    let jobs: Vec<i32> = sqlx::query_scalar(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name IN ('policy_compression', 'policy_refresh_continuous_aggregate')",
    )
    .fetch_all(&mut *db)
    .await?;
    for job in jobs {
        sqlx::raw_sql(AssertSqlSafe(format!("CALL run_job({job})"))).execute(&mut *db).await?;
    }
    let compressed: i64 = sqlx::query_scalar("SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed")
        .fetch_one(&mut *db)
        .await?;
    ensure!(compressed > 0, "nothing was compressed");
    ensure!(tiers(db).await? == before, "compression changed what is read: {:?}", tiers(db).await?);

    // What is past its retention goes, and its roll-ups stay.
    sqlx::raw_sql("SELECT drop_chunks('points_raw', older_than => now() - INTERVAL '1 day')").execute(&mut *db).await?;
    let after = tiers(db).await?;
    ensure!(after[0] == (0, 0) && after[1] == before[1] && after[2] == before[2], "{after:?}");

    // The program's role reads by the views alone.
    let refused = sqlx::raw_sql("SET ROLE sent_app; SELECT count(*) FROM points_raw").execute(&mut *db).await;
    ensure!(refused.is_err(), "the program may read points past the tenancy");
    Ok(())
}

/// Points and series of each tier, as organisation `a` sees them.
async fn tiers(db: &mut PgConnection) -> Result<[(i64, i64); 3]> {
    sqlx::raw_sql("SET ROLE sent_app; SET sent.organizations = '00000000-0000-0000-0000-00000000000a'")
        .execute(&mut *db)
        .await?;
    let mut found = [(0, 0); 3];
    for (tier, sql) in found.iter_mut().zip([
        "SELECT count(*), count(DISTINCT series) FROM points",
        "SELECT coalesce(sum(count), 0)::bigint, count(DISTINCT series) FROM points_1m",
        "SELECT coalesce(sum(count), 0)::bigint, count(DISTINCT series) FROM points_1h",
    ]) {
        let row = sqlx::query(sql).fetch_one(&mut *db).await?;
        *tier = (row.get(0), row.get(1));
    }
    sqlx::raw_sql("RESET ROLE; SET sent.organizations = '*'").execute(&mut *db).await?;
    Ok(found)
}
