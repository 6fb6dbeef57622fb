//! Packets a second against nDPI's own reader, on the same file, in the same run.
//!
//! The file holds all Ethernet captures of the corpus, again and again, each round with other addresses: a reader that
//! meets the same flows in every round would only have to count them. CPU time is compared, so that a busy machine does
//! not decide. Needs `ndpiReader` (Debian: libndpi-bin) and the programs of `SENT_BIN`.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sent_guard::cli;

#[path = "../tests/corpus/captures.rs"]
mod captures;

/// Rounds: about two million packets.
const ROUNDS: u8 = 30;
/// Measurements; the best counts.
const RUNS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = tempfile::NamedTempFile::new()?;
    let packets = merge(file.path())? as f64;
    let sent = PathBuf::from(std::env::var_os("SENT_BIN").ok_or("SENT_BIN names no folder of programs")?).join("sent");
    let path = file.path().to_string_lossy().into_owned();
    let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let ours = packets / best(|| quiet(Command::new(&sent).args(["guard", "read", "--json", &path])))?;
    let theirs = packets / best(|| quiet(Command::new("ndpiReader").args(["-i", &path, "-v", "0"])))?;
    println!("  {packets} packets: {:.2} M/s a core, ndpiReader {:.2} M/s", ours / 1e6, theirs / 1e6);
    record("guard_packets", ours, theirs, ours / theirs, 2.0)?;
    record("guard_packets_core", ours, 0.0, ours / 1e6, 1.0)
}

/// Appends a figure to `BENCH_OUT`, packets a second of CPU.
fn record(name: &str, ours: f64, reference: f64, ratio: f64, goal: f64) -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var_os("BENCH_OUT").unwrap_or_else(|| "target/bench.jsonl".into());
    let line = serde_json::json!({
        "name": name, "ours": ours.round(), "reference": reference.round(), "unit": "packets/s", "ratio": ratio,
        "goal": goal, "met": ratio >= goal,
    });
    Ok(writeln!(File::options().create(true).append(true).open(path)?, "{line}")?)
}

/// Seconds of CPU of the best of some runs.
fn best(run: impl Fn() -> std::io::Result<std::process::ExitStatus>) -> std::io::Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let before = children()?;
        run()?;
        best = best.min(children()? - before);
    }
    Ok(best)
}

/// Seconds of CPU that children have used: fields 16 and 17 of proc(5)'s stat, in ticks of 10 ms.
fn children() -> std::io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    Ok((ticks(13) + ticks(14)) / 100.0)
}

/// Writes the merged file; returns how many packets it has.
fn merge(path: &Path) -> std::io::Result<u64> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for (_, file) in captures::all() {
        let Ok(mut reader) = cli::open(&file) else { continue };
        while let Ok(Some(frame)) = reader.next() {
            if frame.link == 1 && frame.data.len() < 1 << 16 {
                frames.push(frame.data.to_vec());
            }
        }
    }
    let mut out = BufWriter::new(File::create(path)?);
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1] {
        out.write_all(&word.to_le_bytes())?;
    }
    let mut microseconds = 1_700_000_000_000_000u64;
    for round in 0..ROUNDS {
        for frame in &frames {
            microseconds += 10;
            let length = u32::try_from(frame.len()).unwrap_or_default();
            let seconds = u32::try_from(microseconds / 1_000_000).unwrap_or_default();
            let rest = u32::try_from(microseconds % 1_000_000).unwrap_or_default();
            for word in [seconds, rest, length, length] {
                out.write_all(&word.to_le_bytes())?;
            }
            let mut frame = frame.clone();
            // One byte of each address moves with the round.
            let addresses = match frame.get(12..14) {
                Some([0x08, 0x00]) if frame.len() >= 34 => [27, 31],
                Some([0x86, 0xdd]) if frame.len() >= 54 => [24, 40],
                _ => [0, 6],
            };
            for at in addresses {
                if let Some(byte) = frame.get_mut(at) {
                    *byte = byte.wrapping_add(round);
                }
            }
            out.write_all(&frame)?;
        }
    }
    out.flush()?;
    Ok(u64::from(ROUNDS) * frames.len() as u64)
}
