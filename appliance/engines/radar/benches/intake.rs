//! Syslog over TCP to searchable: lines a second of CPU with no rules, how long first pages take, and how much memory
//! that needs.
//!
//! `BENCH_LINES` (default 2,000,000) says how many lines; `BENCH_FOLDER` keeps them for another run. The sender is a
//! process of its own, so that its work is not counted here.

use std::{
    fmt::Write as _,
    fs::File,
    io::Write as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use sent_core::clock::SystemClock;
use sent_radar::{
    intake::{
        inlet::Inlet,
        names::Names,
        net::{self, Bounds},
        normalise::Options,
        pipeline::Pipeline,
        queue::{Limits, Queue},
    },
    search::{Search, Settings, Store},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

/// Lines when nothing else is said.
const LINES: u64 = 2_000_000;
/// Connections of the sender.
const CONNECTIONS: u64 = 4;
/// Lines a second a core that are aimed at.
const GOAL_LINES: f64 = 100_000.0;
/// A first page, ms.
const GOAL_PAGE: f64 = 500.0;
/// Memory, MiB.
const GOAL_MEMORY: f64 = 300.0;
/// What people ask: words, fields, addresses, what is not there, expressions.
const QUERIES: [&str; 9] = [
    "*",
    "failed",
    "user.name:user42",
    "host.name:host-17 accepted",
    "10.77.3.9",
    "absentword",
    "source.ip:10.200.1.1",
    "/session [0-9]+77 closed/",
    "process.name:cron -started",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lines = std::env::var("BENCH_LINES").map_or(Ok(LINES), |lines| lines.parse())?;
    if let Ok(address) = std::env::var("BENCH_SEND_TO") {
        return send(&address, lines);
    }
    let temporary = tempfile::tempdir()?;
    let folder = std::env::var_os("BENCH_FOLDER").map_or(temporary.path().to_owned(), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let clock = SystemClock::shared();
    let queue = Queue::open(&folder.join("queue"), Limits::default(), &clock)?;
    let store = Store::open(&folder.join("logs"), Settings::default(), clock.clone())?;
    if lines > 0 {
        let before = store.lines();
        let names = Arc::new(Names::default());
        let pipeline = Pipeline::start("store", &queue, names, Options::default(), vec![Box::new(store.clone())])?;
        let inlet = Inlet::new(queue.clone(), clock, 64 << 10);
        let shutdown = CancellationToken::new();
        let address = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            tokio::spawn(net::serve_tcp(listener, inlet.clone(), Bounds::default(), shutdown.clone()));
            Ok::<_, std::io::Error>(address)
        })?;
        let me = std::env::current_exe()?;
        let mut sender = std::process::Command::new(me)
            .env("BENCH_SEND_TO", address.to_string())
            .env("BENCH_LINES", lines.to_string())
            .spawn()?;
        let (begin, cpu) = (Instant::now(), cpu_seconds());
        while store.lines() < before + lines {
            std::thread::sleep(Duration::from_millis(20));
        }
        let (wall, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        sender.wait()?;
        let rate = lines as f64 / cpu;
        println!("  {lines} lines in {wall:.2} s; {cpu:.2} s of CPU: {rate:.0} lines/s a core");
        record("radar_intake", rate, "lines/s", rate / GOAL_LINES, 1.0)?;
        shutdown.cancel();
        drop(pipeline);
    }
    let mut slowest: f64 = 0.0;
    for query in QUERIES {
        let search = Search::new(query)?;
        let begin = Instant::now();
        let page = store.page(&search, None, 100)?;
        let took = begin.elapsed().as_secs_f64() * 1e3;
        slowest = slowest.max(took);
        println!(
            "  {query:32} {took:7.1} ms, {} hits, complete {}, read {}, ruled out {}",
            page.hits.len(),
            page.complete,
            page.read,
            page.ruled_out
        );
    }
    println!("  {} lines stored", store.lines());
    record("radar_first_page", slowest, "ms", GOAL_PAGE / slowest, 1.0)?;
    let memory = peak_mb() as f64;
    record("radar_memory", memory, "MiB", GOAL_MEMORY / memory, 1.0)
}

/// Appends a figure to `BENCH_OUT`.
fn record(name: &str, ours: f64, unit: &str, ratio: f64, goal: f64) -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var_os("BENCH_OUT").unwrap_or_else(|| "target/bench.jsonl".into());
    let line = serde_json::json!({
        "name": name, "ours": ours.round(), "reference": 0, "unit": unit, "ratio": ratio, "goal": goal,
        "met": ratio >= goal,
    });
    Ok(writeln!(File::options().create(true).append(true).open(path)?, "{line}")?)
}

/// The sending process: writes generated lines over some connections.
fn send(address: &str, lines: u64) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut senders = Vec::new();
        for connection in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(address).await?;
            let share = lines / CONNECTIONS + u64::from(connection < lines % CONNECTIONS);
            senders.push(tokio::spawn(async move {
                let mut text = String::new();
                for n in 0..share {
                    line(&mut text, connection.wrapping_mul(0x5851_f42d) + n);
                    if text.len() > 128 << 10 || n + 1 == share {
                        stream.write_all(text.as_bytes()).await?;
                        text.clear();
                    }
                }
                stream.shutdown().await
            }));
        }
        for sender in senders {
            sender.await??;
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })
}

/// A line of an office's network.
fn line(into: &mut String, n: u64) {
    let mut r = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    r = (r ^ (r >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    r ^= r >> 29;
    let (host, user, pid) = (r % 60, (r >> 8) % 400, (r >> 16) % 32_768);
    let (a, b, c, port) = ((r >> 24) % 100, (r >> 32) % 250, (r >> 40) % 250, 1_024 + (r >> 20) % 60_000);
    let (m, s) = ((n / 60_000) % 60, (n / 1_000) % 60);
    // Writing to a string cannot fail.
    let _ = match r >> 61 {
        0 | 1 => writeln!(
            into,
            "<38>Nov 23 18:{m:02}:{s:02} host-{host} sshd[{pid}]: Accepted publickey for user{user} from 10.{a}.{b}.{c} port {port} ssh2: ED25519 SHA256:{r:016x}"
        ),
        2 => writeln!(
            into,
            "<38>Nov 23 18:{m:02}:{s:02} host-{host} sshd[{pid}]: Failed password for user{user} from 10.{a}.{b}.{c} port {port} ssh2"
        ),
        3 | 4 => writeln!(
            into,
            "<4>Nov 23 18:{m:02}:{s:02} fw-{} kernel: [{pid}.{b:06}] DROP IN=eth0 OUT= MAC=00:16:3e SRC=10.{a}.{b}.{c} DST=192.168.{}.{} LEN=60 TTL=64 PROTO=TCP SPT={port} DPT=443",
            host % 3,
            b % 4,
            c
        ),
        5 => writeln!(
            into,
            "<78>Nov 23 18:{m:02}:{s:02} host-{host} cron[{pid}]: (user{user}) CMD (run-parts /etc/cron.hourly/{a})"
        ),
        6 => writeln!(
            into,
            "<30>Nov 23 18:{m:02}:{s:02} host-{host} systemd[1]: session {port} closed for user{user} after {b} seconds"
        ),
        _ => writeln!(
            into,
            "<13>1 2026-11-23T18:{m:02}:{s:02}.{c:03}Z host-{host} web {pid} - - GET /api/orders/{port}?page={a} 200 {b}ms request {r:016x}"
        ),
    };
}

/// User and system time of this process, seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let fields: Vec<f64> = after.split_ascii_whitespace().filter_map(|f| f.parse().ok()).collect();
    // The state letter is no number and is not counted; ticks are 10 ms.
    fields.get(10..12).map_or(0.0, |f| (f[0] + f[1]) / 100.0)
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    line.split_ascii_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) / 1024
}
