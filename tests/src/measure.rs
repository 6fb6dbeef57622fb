//! Figures of a bench: what processes use, what bare `COPY` takes, and the file results are kept in.

use std::{
    collections::HashMap,
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgPool};

/// A piece of a `COPY` that is sent at a time.
const PIECE: usize = 1 << 20;

/// One figure, as a line of `bench.jsonl` has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// What we have.
    pub ours: f64,
    /// What the reference has; 0 where there is only a limit.
    pub reference: f64,
    /// Of both.
    pub unit: String,
    /// Ours to the reference's, or ours to the limit.
    pub ratio: f64,
    /// Least ratio, greatest ratio or greatest value.
    pub goal: f64,
    /// Whether the goal is met.
    pub met: bool,
}

impl Figure {
    /// A rate that is to be at least `goal` of the reference's.
    pub fn rate(name: &str, unit: &str, ours: f64, reference: f64, goal: f64) -> Self {
        let ratio = ours / reference;
        Self { name: name.into(), ours, reference, unit: unit.into(), ratio, goal, met: ratio >= goal }
    }

    /// A time that is to be at most `goal` times the reference's.
    pub fn time(name: &str, unit: &str, ours: f64, reference: f64, goal: f64) -> Self {
        let ratio = ours / reference;
        Self { name: name.into(), ours, reference, unit: unit.into(), ratio, goal, met: ratio <= goal }
    }

    /// A value that is to be at most `goal`.
    pub fn limit(name: &str, unit: &str, ours: f64, goal: f64) -> Self {
        Self { name: name.into(), ours, reference: 0.0, unit: unit.into(), ratio: ours / goal, goal, met: ours <= goal }
    }

    /// Says it and appends it to the file.
    pub fn record(&self, file: &Path) -> Result<()> {
        println!("{}", self.row());
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = fs::OpenOptions::new().create(true).append(true).open(file)?;
        Ok(writeln!(file, "{}", serde_json::to_string(self)?)?)
    }

    /// A row of the table.
    pub fn row(&self) -> String {
        let number = |value: f64| match value.abs() {
            size if size < 1e-9 => "–".to_owned(),
            size if size < 100.0 => format!("{value:.2}"),
            _ => format!("{value:.0}"),
        };
        let Self { name, unit, ratio, .. } = self;
        let (ours, reference, goal) = (number(self.ours), number(self.reference), number(self.goal));
        let met = if self.met { "met" } else { "MISSED" };
        format!("{name:<24} {ours:>12} {reference:>12} {unit:<15} {ratio:>7.2} {goal:>7}  {met}")
    }

    /// What stands above the rows.
    pub fn title() -> String {
        format!("{:<24} {:>12} {:>12} {:<15} {:>7} {:>7}", "name", "ours", "reference", "unit", "ratio", "goal")
    }
}

/// The value that a share of all values does not exceed.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// What a process and everything below it uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Time on a processor so far, children that have ended included.
    pub processor: Duration,
    /// Resident memory, bytes. What they share (the same program and libraries, mapped by each) counts once: it is the sum
    /// of their proportional sets.
    pub memory: u64,
    /// The sum of what each has resident, bytes: what they share counts for each.
    pub resident: u64,
    /// How many processes.
    pub processes: usize,
}

/// Looks at a process and everything below it.
pub fn usage(root: u32) -> Result<Usage> {
    let stats = stats()?;
    let mut all = vec![root];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        all.extend(stats.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    let mut sum = Usage::default();
    // The units are the kernel's promise to programs of this platform: 100 ticks a second.
    for (pid, stat) in all.iter().filter_map(|pid| Some((pid, stats.get(pid)?))) {
        sum.processor += Duration::from_millis(stat.ticks * 10);
        // A process may end while it is looked at.
        let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
        sum.memory += bytes(&rollup, "Pss:");
        sum.resident += bytes(&rollup, "Rss:");
        sum.processes += 1;
    }
    Ok(sum)
}

/// The most memory that a worker below a process had, bytes.
pub fn worker_peak(root: u32, name: &str) -> Result<u64> {
    let wanted = format!("--service={name}");
    for (pid, _) in stats()?.iter().filter(|(_, stat)| stat.parent == root) {
        // A process may end while it is looked at.
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { continue };
        if line.split(|byte| *byte == 0).any(|argument| argument == wanted.as_bytes()) {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            return Ok(bytes(&status, "VmHWM:"));
        }
    }
    bail!("no worker {name} runs")
}

/// A size out of one of the kernel's lists, which are of lines `Name:   123 kB`.
fn bytes(list: &str, name: &str) -> u64 {
    let size = list.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    size.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}

struct Stat {
    parent: u32,
    ticks: u64,
}

fn stats() -> Result<HashMap<u32, Stat>> {
    let mut stats = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else { continue };
        // A process may end while it is looked at.
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The second field is a name in brackets that may hold anything.
        let fields: Vec<&str> = text.rsplit_once(") ").context("a stat without a name")?.1.split(' ').collect();
        let field = |n: usize| fields.get(n - 3).and_then(|f| f.parse::<u64>().ok()).unwrap_or_default();
        let ticks = (14..=17).map(field).sum();
        stats.insert(pid, Stat { parent: u32::try_from(field(4))?, ticks });
    }
    Ok(stats)
}

/// Copies the rows of a query into an empty table like `like`, indexes and all, and answers how long that took. The rows
/// are in memory before, in the form PostgreSQL wants them in: nothing is measured but `COPY`.
pub async fn bare_copy(pool: &PgPool, query: &str, like: &str, binary: bool) -> Result<Duration> {
    let mut connection = pool.acquire().await?;
    let format = if binary { "(FORMAT binary)" } else { "" };
    let mut bytes = Vec::new();
    {
        let mut rows = connection.copy_out_raw(&format!("COPY ({query}) TO STDOUT {format}")).await?;
        while let Some(piece) = rows.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
    }
    let make = format!("DROP TABLE IF EXISTS bare_copy; CREATE TABLE bare_copy (LIKE {like} INCLUDING ALL)");
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut *connection).await?;
    let begun = Instant::now();
    let mut copy = connection.copy_in_raw(&format!("COPY bare_copy FROM STDIN {format}")).await?;
    for piece in bytes.chunks(PIECE) {
        copy.send(piece).await?;
    }
    copy.finish().await?;
    let took = begun.elapsed();
    sqlx::raw_sql("DROP TABLE bare_copy").execute(&mut *connection).await?;
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_least_or_greatest() {
        assert!(Figure::rate("a", "rows/s", 30.0, 100.0, 0.3).met);
        assert!(!Figure::rate("a", "rows/s", 29.0, 100.0, 0.3).met);
        assert!(Figure::time("a", "ms", 2.0, 1.0, 2.0).met);
        assert!(!Figure::time("a", "ms", 2.1, 1.0, 2.0).met);
        assert!(!Figure::limit("a", "MB", 201.0, 200.0).met);
    }

    #[test]
    fn a_figure_is_written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("target/bench.jsonl");
        Figure::limit("a", "MB", 1.5, 200.0).record(&file).unwrap();
        Figure::rate("b", "rows/s", 1.0, 2.0, 0.3).record(&file).unwrap();
        let read: Vec<Figure> =
            fs::read_to_string(file).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(read.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn the_own_process_uses_something() {
        let own = usage(std::process::id()).unwrap();
        assert!(own.memory > 0 && own.processes > 0);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        assert!((quantile(&mut [3.0, 1.0, 2.0], 0.99) - 3.0).abs() < 1e-9);
        assert!((quantile(&mut [3.0, 1.0, 2.0], 0.5) - 2.0).abs() < 1e-9);
    }
}
