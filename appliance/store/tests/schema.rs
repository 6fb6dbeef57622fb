//! The commented schema files say what the migrations make.

use std::{collections::BTreeMap, error::Error, path::Path};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(name)
}

/// The numbered migrations, in order.
fn migrations(name: &str) -> Result<Vec<String>> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder(name))?.map(|e| e.map(|e| e.path())).collect::<std::io::Result<_>>()?;
    files.retain(|f| f.file_name().is_some_and(|n| n.as_encoded_bytes()[0].is_ascii_digit()));
    files.sort();
    assert!(!files.is_empty(), "there are no migrations in {name}");
    files.iter().map(|f| Ok(std::fs::read_to_string(f)?)).collect()
}

/// Name → definition, comments and blanks folded.
fn sqlite(scripts: &[String]) -> Result<BTreeMap<String, String>> {
    let db = rusqlite::Connection::open_in_memory()?;
    for name in ["decimal_add", "decimal_cmp"] {
        db.create_scalar_function(name, 2, rusqlite::functions::FunctionFlags::SQLITE_UTF8, |_| Ok(0))?;
    }
    for script in scripts {
        db.execute_batch(script)?;
    }
    let mut statement = db.prepare("SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_master")?;
    let rows = statement.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (name, sql) = row?;
        let plain: Vec<&str> = sql.lines().map(|l| l.split("--").next().unwrap_or_default()).collect();
        Ok((name, plain.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")))
    })
    .collect()
}

fn duckdb(scripts: &[String]) -> Result<Vec<(String, String, String)>> {
    let db = duckdb::Connection::open_in_memory()?;
    for script in scripts {
        db.execute_batch(script)?;
    }
    let mut statement = db.prepare(
        "SELECT table_name, column_name, data_type || ' ' || is_nullable FROM information_schema.columns ORDER BY table_name, ordinal_position",
    )?;
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    Ok(rows.collect::<std::result::Result<_, _>>()?)
}

#[test]
fn the_box_schema_is_what_its_migrations_make() -> Result {
    let schema = std::fs::read_to_string(folder("box").join("schema.sql"))?;
    assert_eq!(sqlite(&migrations("box")?)?, sqlite(&[schema])?);
    Ok(())
}

#[test]
fn the_telemetry_schema_is_what_its_migrations_make() -> Result {
    let schema = std::fs::read_to_string(folder("telemetry").join("schema.sql"))?;
    assert_eq!(duckdb(&migrations("telemetry")?)?, duckdb(&[schema])?);
    Ok(())
}

#[test]
fn the_logs_schema_is_what_its_migrations_make() -> Result {
    let schema = std::fs::read_to_string(folder("logs").join("schema.sql"))?;
    assert_eq!(duckdb(&migrations("logs")?)?, duckdb(&[schema])?);
    Ok(())
}
