//! `make bench`: what the joined box and cloud do, held against bare references in the same run.
//!
//! Each room starts what it needs from the release programs of `$SENT_BIN`, on a temporary folder and free ports, measures,
//! prints a row and appends a JSON line to `$BENCH_OUT`. A goal that is missed is no failure of the program: the line says
//! so. What a figure means, and what it does not, stands at the function that takes it.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use sent_contract::{
    Uuid,
    guard::Status as GuardStatus,
    identity::{CreatedToken, Me, NewToken},
    pulse::{Check, CheckKind, NewCheck},
    radar::RadarStatus,
};
use sent_tests::{
    Appliance, Cluster, Face, Setup, appliance, books, cluster,
    exporter::Exporter,
    measure::{Figure, Usage, bare_copy, quantile, usage},
    program::{Launch, Program, cache, free_port, ours},
    relay::Weather,
    until, wire,
};
use sqlx::PgPool;

/// Entries that wait in the outbox, two lines each.
const ENTRIES: u64 = 20_000;
/// Series of the machines whose points wait in the spool, and pages they were scraped from.
const SERIES: usize = 2_000;
const PAGES: u64 = 1_000;
/// Simulated boxes, the series of each, seconds between their points, seconds that are measured.
const BOXES: u32 = 1_000;
const BOX_SERIES: u32 = 50;
const EVERY: u32 = 10;
const SIMULATED: u64 = 60;
/// Invoices a round, and rounds with burners and without in turn.
const INVOICES: u64 = 400;
const ROUNDS: usize = 3;
/// Starts of a box; the median counts.
const STARTS: usize = 5;
/// An idle box has settled after so long.
const IDLE: Duration = Duration::from_secs(20);
/// Points of a full segment.
const SEGMENT: i64 = 1 << 17;
/// Login of a stand-alone box.
const OWNER: (&str, &str) = ("anna@bench.example", "measured twice");
/// Niceness of a worker where no cgroup can be made.
const NICENESS: &str = "19";

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Room {
    /// Rows and telemetry to the cloud.
    Sync,
    /// A thousand simulated boxes.
    Fleet,
    /// Posting while a worker burns both cores.
    Capital,
    /// Posting while logs and packets are at full load, and what their workers need then.
    Watch,
    /// Memory and start of a box.
    Box,
    /// Size of the pages.
    Pages,
    /// Nothing: shows what was measured before.
    Table,
    /// Nothing: burns a core until killed.
    #[value(hide = true)]
    Burn,
    /// Nothing: sends log lines to `$BENCH_FLOOD` until killed.
    #[value(hide = true)]
    Flood,
}

/// Measures.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure.
    #[arg(default_values_t = [Room::Sync, Room::Fleet, Room::Capital, Room::Watch, Room::Box, Room::Pages], value_enum)]
    rooms: Vec<Room>,
    /// The file results are appended to.
    #[arg(long, env = "BENCH_OUT", default_value = "target/bench.jsonl")]
    out: PathBuf,
    /// Lines of the file that the table leaves out.
    #[arg(long, default_value_t = 0)]
    after: usize,
    /// Measure with one n-th of the rows, points and boxes: to try the bench itself, not to know anything.
    #[arg(long, env = "BENCH_PART", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    part: u32,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.rooms.as_slice() {
        [Room::Burn] => burn(),
        [Room::Flood] => return flood(&std::env::var("BENCH_FLOOD")?),
        _ => {}
    }
    let (out, part) = (std::path::absolute(&arguments.out)?, arguments.part);
    // Children are told to die with the thread that starts them: this one.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        for room in arguments.rooms {
            match room {
                Room::Sync => Box::pin(sync(part.into(), &out)).await.context("sync")?,
                Room::Fleet => Box::pin(fleet(part, &out)).await.context("fleet")?,
                Room::Capital => Box::pin(invoices(part.into(), &out)).await.context("capital")?,
                Room::Watch => Box::pin(watching(part.into(), &out)).await.context("watch")?,
                Room::Box => Box::pin(alone(&out)).await.context("box")?,
                Room::Pages => pages(&out).context("pages")?,
                Room::Table => table(&out, arguments.after)?,
                Room::Burn | Room::Flood => {}
            }
        }
        Ok(())
    })
}

fn burn() -> ! {
    let mut x = 1_u64;
    loop {
        x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

/// Lines of a firewall and of logins, as fast as they are taken.
fn flood(address: &str) -> Result<()> {
    let mut stream = std::net::TcpStream::connect(address)?;
    let mut text = String::new();
    for n in 0_u64.. {
        let r = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (host, user, a, b) = (r >> 58, (r >> 40) % 400, (r >> 16) % 250, (r >> 24) % 250);
        writeln!(
            text,
            "<38>Nov 23 18:02:11 host-{host} sshd[{a}]: Failed password for user{user} from 10.0.{a}.{b} port 5022 ssh2"
        )?;
        if text.len() > 128 << 10 {
            stream.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    Ok(())
}

fn table(out: &Path, after: usize) -> Result<()> {
    let text = std::fs::read_to_string(out).with_context(|| out.display().to_string())?;
    let figures = text.lines().skip(after).map(serde_json::from_str).collect::<Result<Vec<Figure>, _>>()?;
    println!("{}", Figure::title());
    for figure in &figures {
        println!("{}", figure.row());
    }
    println!("{} of {} goals are met", figures.iter().filter(|f| f.met).count(), figures.len());
    Ok(())
}

/// Rows, then points, from a box that was cut off to a cloud that has them all.
async fn sync(part: u64, out: &Path) -> Result<()> {
    let mut cluster = Cluster::start(Setup::default()).await?;
    let office = cluster.office("Northwind").await?;
    let (mut appliance, face) = cluster.appliance(&office, "box").await?;
    let cloud = cluster.postgres.owner().await?;
    appliance::synced(&face, 30).await?;
    rows_to_cloud(ENTRIES / part, &cluster, &mut appliance, &office, &cloud, out).await?;
    let face = appliance.login(&office.owner, cluster::PASSWORD).await?;
    telemetry_to_cloud(PAGES / part, &cluster, &appliance, &face, &cloud, out).await?;
    appliance.stop().await?;
    cluster.passed();
    Ok(())
}

/// `rows_to_cloud`: entries and lines that were imported while the line was cut, from the moment it is healed until the
/// cloud has projected them all, against bare `COPY` of the same rows into equal tables with the same keys and indexes.
async fn rows_to_cloud(
    wanted: u64,
    cluster: &Cluster,
    appliance: &mut Appliance,
    office: &cluster::Office,
    cloud: &PgPool,
    out: &Path,
) -> Result<()> {
    cluster.wire.set(Weather::Cut);
    cluster.mqtt.set(Weather::Cut);
    appliance.stop().await?;
    let sheet = cluster.folder().join("books.csv");
    std::fs::File::create(&sheet)?.write_all(books::sheet(0, wanted).as_bytes())?;
    let begun = Instant::now();
    appliance.run(&["capital", "import", &sheet.display().to_string()])?;
    println!("  {wanted} entries are imported in {:.1} s", begun.elapsed().as_secs_f64());
    appliance.start().await?;
    let face = appliance.login(&office.owner, cluster::PASSWORD).await?;
    let last = i64::try_from(appliance::sync(&face).await?.sequence)?;
    let before = spent(cluster, appliance)?;

    let begun = Instant::now();
    cluster.wire.set(Weather::Clear);
    cluster.mqtt.set(Weather::Clear);
    appliance::hurry(&face).await?;
    let mut inbox = None;
    let took = loop {
        let (there, projected): (i64, i64) =
            sqlx::query_as("SELECT w.sequence, p.sequence FROM wire_cursors w JOIN projections p USING (box_id)")
                .fetch_one(cloud)
                .await?;
        if there >= last && inbox.is_none() {
            inbox = Some(begun.elapsed());
        }
        if projected >= last {
            break begun.elapsed();
        }
        ensure!(begun.elapsed() < Duration::from_secs(180), "{projected} of {last} transactions are projected");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    explain(&spent(cluster, appliance)?, &before, took);
    println!("  the inbox has all after {:.2} s", inbox.unwrap_or(took).as_secs_f64());
    let (entries, lines): (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM lines)").fetch_one(cloud).await?;
    ensure!(entries == i64::try_from(wanted)?, "the cloud has {entries} entries");
    let bare = bare_copy(cloud, "SELECT * FROM entries", "entries", false).await?
        + bare_copy(cloud, "SELECT * FROM lines", "lines", false).await?;
    let rate = |time: Duration| (entries + lines) as f64 / time.as_secs_f64();
    Figure::rate("rows_to_cloud", "rows/s", rate(took), rate(bare), 0.3).record(out)
}

/// `telemetry_to_cloud`: points that were measured while the line was cut, from the moment it is healed until the cloud has
/// committed them all, against bare binary `COPY` of the same points into an equal table with the same index.
/// `bytes_per_point`: all the box sends meanwhile, TLS and HTTP and exchanges without points included.
async fn telemetry_to_cloud(
    pages: u64,
    cluster: &Cluster,
    appliance: &Appliance,
    face: &Face,
    cloud: &PgPool,
    out: &Path,
) -> Result<()> {
    let exporter = Exporter::with(SERIES, office_value).await?;
    let kind = CheckKind::Prometheus { url: exporter.url().to_owned() };
    let new = NewCheck { name: "machines".into(), kind, interval: Some(3_600), timeout: Some(30), paused: false };
    let check: Check = face.post("/api/pulse/checks", &new).await?;
    let run = format!("/api/pulse/checks/{}/run", check.id);
    let nothing = serde_json::json!({});
    let scrape = || face.change(reqwest::Method::POST, &run, &nothing);
    // What a series is goes up once in its life: before what is measured here.
    scrape().await?;
    until("the cloud knows the series", 60, || async {
        let known: i64 = sqlx::query_scalar("SELECT count(*) FROM series WHERE starts_with(metric, 'bench_')")
            .fetch_one(cloud)
            .await?;
        Ok((known >= i64::try_from(SERIES)?).then_some(()))
    })
    .await?;
    cluster.wire.set(Weather::Cut);
    cluster.mqtt.set(Weather::Cut);
    let (seen, begun) = (exporter.pages(), Instant::now());
    while exporter.pages() < seen + pages {
        scrape().await?;
    }
    println!("  {pages} pages of {SERIES} series are scraped in {:.1} s", begun.elapsed().as_secs_f64());
    let points = || sqlx::query_scalar::<_, i64>("SELECT count(*) FROM points_raw").fetch_one(cloud);
    let segment = || sqlx::query_scalar::<_, i64>("SELECT telemetry_segment FROM wire_cursors").fetch_one(cloud);
    let (had, bytes, mut last) = (points().await?, cluster.wire.bytes(), segment().await?);
    let wanted = had + i64::try_from(pages)? * i64::try_from(SERIES)?;
    // The box's own follower of the spool has its share of the cores until it is done.
    tokio::time::sleep(Duration::from_secs(3)).await;

    let (first, before) = (last, spent(cluster, appliance)?);
    let begun = Instant::now();
    cluster.wire.set(Weather::Clear);
    cluster.mqtt.set(Weather::Clear);
    appliance::hurry(face).await?;
    let (have, took) = loop {
        let (now, took) = (segment().await?, begun.elapsed());
        // Counting two million rows takes its time: only when there is reason to, and after the clock was read.
        if now > last && (now - first) * SEGMENT >= wanted - had {
            let have = points().await?;
            if have >= wanted {
                break (have, took);
            }
        }
        last = now;
        ensure!(took < Duration::from_secs(180), "{} of {wanted} points are there", points().await?);
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let (count, bytes) = ((have - had) as f64, cluster.wire.bytes() - bytes);
    explain(&spent(cluster, appliance)?, &before, took);
    let ours = count / took.as_secs_f64();
    let bare = bare_copy(cloud, "SELECT * FROM points_raw", "points_raw", true).await?;
    Figure::rate("telemetry_to_cloud", "points/s", ours, have as f64 / bare.as_secs_f64(), 0.6).record(out)?;
    Figure::limit("bytes_per_point", "bytes", bytes as f64 / count, 5.0).record(out)
}

/// A value as the machines of an office have it: per cents, counters, memory, temperatures, loads, round trips, states.
fn office_value(series: usize, round: u64) -> f64 {
    let hash = |n: u64| {
        let mixed = (n ^ (n >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 32)) % 1_000_000) as f64 / 1e6
    };
    let seed = series as u64 * 1_000_003;
    let (noise, slow) = (hash(seed + round), hash(seed + round / 30));
    match series % 8 {
        0 | 1 => ((slow * 60.0 + noise * 20.0) * 100.0).round() / 100.0,
        2 | 3 => (round * 200_000) as f64 + (noise * 190_000.0).round(),
        4 => 4_096.0 * (1_500_000.0 + (slow * 3_000.0 + noise * 300.0).round()),
        5 => 45.0 + ((slow * 6.0 + noise) * 2.0).round() / 2.0,
        6 => (12_000.0 + (noise * 2_000.0).round()) / 1e6,
        _ => f64::from(noise >= 0.001),
    }
}

/// What the box, the cloud, PostgreSQL and this program have used.
type Spent = [(&'static str, Usage); 4];

fn spent(cluster: &Cluster, appliance: &Appliance) -> Result<Spent> {
    Ok([
        ("box", appliance.usage()?),
        ("sent-cloud", cluster.replicas[0].usage()?),
        ("PostgreSQL", cluster.postgres.usage()?),
        ("bench and relay", own()?),
    ])
}

/// This program without what it started.
fn own() -> Result<Usage> {
    let seconds = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let micros = |t: nix::sys::time::TimeVal| {
        u64::try_from(t.tv_sec()).unwrap_or_default() * 1_000_000 + u64::try_from(t.tv_usec()).unwrap_or_default()
    };
    let processor = Duration::from_micros(micros(seconds.user_time()) + micros(seconds.system_time()));
    Ok(Usage { processor, ..Usage::default() })
}

fn explain(after: &[(&'static str, Usage)], before: &[(&'static str, Usage)], took: Duration) {
    let shares: Vec<String> = after
        .iter()
        .zip(before)
        .map(|((name, after), (_, before))| {
            let cores = (after.processor.saturating_sub(before.processor)).as_secs_f64() / took.as_secs_f64();
            format!("{name} {cores:.2}")
        })
        .collect();
    println!("  {:.2} s; cores used: {}", took.as_secs_f64(), shares.join(", "));
}

/// `simulated_boxes`: boxes with a real wire each, from when they are all up. The lag is from a point's time to the cloud's
/// acknowledgement of it, 99th percentile; what was not acknowledged at the end counts as missed.
async fn fleet(part: u32, out: &Path) -> Result<()> {
    let (boxes, seconds) = (BOXES / part, (SIMULATED / u64::from(part)).max(20));
    let cluster = Cluster::start(Setup { broker: false, ..Setup::default() }).await?;
    let office = cluster.office("Northwind").await?;
    let me: Me = cluster.fleet.get("/api/session").await?;
    let new = NewToken { name: "simulation".into(), rights: me.rights, days: Some(1) };
    let token: CreatedToken = cluster.fleet.post("/api/tokens", &new).await?;
    let figure = |n: u64| n.to_string();
    let options = [
        ("--data", cluster.folder().join("simulation").display().to_string()),
        ("--console", cluster.replicas[0].console()),
        ("--token", token.secret),
        ("--organisation", office.organization.to_string()),
        ("--branch", office.branch.to_string()),
        ("--sim", figure(boxes.into())),
        ("--series", figure(BOX_SERIES.into())),
        ("--every", figure(EVERY.into())),
        ("--seconds", figure(seconds)),
    ];
    let launch = Launch::new(ours("sent")?)
        .variable("SENT_LOG", "error")
        .arguments(options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
    let begun = Instant::now();
    let mut simulation = launch.start(&cluster.folder().join("simulation.log"))?;
    simulation.line("READY", Duration::from_secs(180)).await?;
    println!("  {boxes} boxes are enrolled after {:.0} s", begun.elapsed().as_secs_f64());
    // They come up one after another within the time between two points of one.
    tokio::time::sleep(Duration::from_secs(u64::from(EVERY) + 2)).await;
    let look = || -> Result<Spent> {
        Ok([
            ("boxes", usage(simulation.id())?),
            ("sent-cloud", cluster.replicas[0].usage()?),
            ("PostgreSQL", cluster.postgres.usage()?),
            ("bench and relay", own()?),
        ])
    };
    let (before, begun) = (look()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds - 10)).await;
    explain(&look()?, &before, begun.elapsed());
    let rest = simulation.line("{\"boxes\":", Duration::from_secs(60)).await?;
    let report: serde_json::Value = serde_json::from_str(&format!("{{\"boxes\":{rest}"))?;
    println!("  {report}");
    let number = |name: &str| report.get(name).and_then(serde_json::Value::as_f64).with_context(|| name.to_owned());
    let mut lag = number("lag_p99_seconds")?;
    if number("points_acknowledged")? < 0.9 * number("points_made")? {
        // Most of what is late has no lag yet.
        lag = lag.max(seconds as f64);
    }
    drop(simulation);
    let all = f64::from(boxes * BOX_SERIES / EVERY);
    println!("  {:.0} of {all:.0} points/s", number("points_acknowledged")? / seconds as f64);
    Figure::limit("simulated_boxes", "s lag p99", lag, 5.0).record(out)?;
    cluster.passed();
    Ok(())
}

/// A stand-alone box with an owner and accounts, and the folder it is in.
fn stand_alone() -> Result<(tempfile::TempDir, Appliance)> {
    let folder = tempfile::Builder::new().prefix("sent-bench-").tempdir()?;
    let appliance = Appliance::new(folder.path().join("box"), folder.path().join("box.log"))?;
    let init = ["init", "--organisation", "Bench", "--currency", "EUR", "--email", OWNER.0, "--password-stdin"];
    let (status, _, err) = appliance.verb(&init)?.finish(OWNER.1.as_bytes())?;
    ensure!(status.success(), "sent init: {err}");
    Ok((folder, appliance))
}

/// A program that runs beside a box, at the priority a worker has where no cgroup can be made.
fn beside(room: &str, address: &str) -> Result<Child> {
    let own = std::env::current_exe()?;
    Ok(Command::new("nice").args(["-n", NICENESS]).arg(own).arg(room).env("BENCH_FLOOD", address).spawn()?)
}

/// Burns both cores at the priority a worker has where no cgroup can be made: the harder case, for a cgroup of a fifth of the
/// weight is left even less.
struct Burners(Vec<Child>);

impl Burners {
    fn start() -> Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        Ok(Self((0..cores).map(|_| beside("burn", "")).collect::<Result<_>>()?))
    }

    /// Logs to this address instead, which whoever listens to the loopback interface sees as packets, too.
    fn flood(address: &str) -> Result<Self> {
        Ok(Self(vec![beside("flood", address)?]))
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended already is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An invoice: what is owed, four items, the tax.
fn invoice(n: u64) -> sent_contract::capital::NewEntry {
    let net = i64::try_from(n % 900).unwrap_or_default() + 100;
    let tax = 4 * net * 19 / 100;
    let lines = [
        ("Assets:Receivables", 4 * net + tax, "EUR"),
        ("Income:Sales", -net, "EUR"),
        ("Income:Sales", -net, "EUR"),
        ("Income:Services", -net, "EUR"),
        ("Income:Services", -net, "EUR"),
        ("Liabilities:VAT", -tax, "EUR"),
    ];
    books::entry(Uuid::from_u128(rand::random()), "2026-11-02", &format!("Invoice {n}"), &lines)
}

/// `invoice_p99_busy`: posting an invoice of six lines by HTTP, one after another, with every core burnt by processes that
/// are confined as a worker is, against the same on an idle machine; rounds of both in turn.
async fn invoices(part: u64, out: &Path) -> Result<()> {
    let (_folder, mut appliance) = stand_alone()?;
    appliance.start().await?;
    let face = bookkeeper(&appliance).await?;
    rounds("invoice_p99_busy", part, out, &face, Burners::start).await?;
    appliance.stop().await
}

/// Somebody at a box whose chart of accounts is there.
async fn bookkeeper(appliance: &Appliance) -> Result<Face> {
    let face = appliance.login(OWNER.0, OWNER.1).await?;
    for account in books::chart() {
        let _: sent_contract::capital::Account = face.post("/api/capital/accounts", &account).await?;
    }
    Ok(face)
}

/// Posts invoices in rounds, with what keeps the machine busy and without in turn.
async fn rounds(name: &str, part: u64, out: &Path, face: &Face, start: impl Fn() -> Result<Burners>) -> Result<()> {
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    for round in 0..=2 * ROUNDS {
        // The first round warms up.
        let burners = if round > 0 && round % 2 == 0 { Some(start()?) } else { None };
        for n in 0..INVOICES / part {
            let entry = invoice(n);
            let begun = Instant::now();
            books::post(face, &entry).await?;
            let took = begun.elapsed().as_secs_f64() * 1e3;
            match (round, &burners) {
                (0, _) => {}
                (_, None) => idle.push(took),
                (_, Some(_)) => busy.push(took),
            }
        }
    }
    let (median_busy, median_idle) = (quantile(&mut busy, 0.5), quantile(&mut idle, 0.5));
    println!("  medians: {median_busy:.2} ms busy, {median_idle:.2} ms idle");
    Figure::time(name, "ms", quantile(&mut busy, 0.99), quantile(&mut idle, 0.99), 2.0).record(out)
}

/// `invoice_p99_watched`: the same while one connection sends logs as fast as they are taken and guard looks at each packet of
/// it; and the most memory that either worker had by then. Capturing needs root.
async fn watching(part: u64, out: &Path) -> Result<()> {
    let (_folder, mut appliance) = stand_alone()?;
    let address = format!("127.0.0.1:{}", free_port()?);
    appliance.configure(&format!(
        "[radar]\nsyslog_tcp = '{address}'\n[guard]\ninterfaces = ['lo']\nring_mib = 64\n[guard.thresholds]\nlearn_hours = 0\n"
    ))?;
    appliance.start().await?;
    let face = bookkeeper(&appliance).await?;
    until("radar takes logs and guard listens", 60, || async {
        let radar: RadarStatus = face.get("/api/radar/status").await?;
        let guard: GuardStatus = face.get("/api/guard/status").await?;
        let listens = guard.interfaces.iter().any(|interface| interface.fault.is_none());
        Ok((radar.ways.iter().any(|way| way.name == "syslog TCP") && listens).then_some(()))
    })
    .await?;
    rounds("invoice_p99_watched", part, out, &face, || Burners::flood(&address)).await?;
    let (radar, guard): (RadarStatus, GuardStatus) =
        (face.get("/api/radar/status").await?, face.get("/api/guard/status").await?);
    println!(
        "  {} lines taken, {} stored; {} frames looked at, {} lost",
        radar.messages,
        radar.stored,
        guard.interfaces.iter().map(|i| i.frames).sum::<u64>(),
        guard.interfaces.iter().map(|i| i.dropped_kernel + i.dropped_queue).sum::<u64>()
    );
    for name in ["radar", "guard"] {
        let most = appliance.worker_peak(name)?;
        Figure::limit(&format!("{name}_worker_memory"), "MB", most as f64 / 1e6, 300.0).record(out)?;
    }
    appliance.stop().await
}

/// `start_to_first_page`, and `idle_memory` and `idle_processor` with every engine that may be in the main process there
/// and with every engine in a worker.
async fn alone(out: &Path) -> Result<()> {
    let (_folder, mut appliance) = stand_alone()?;
    let mut starts = Vec::new();
    let mut readies = Vec::new();
    wire::install_provider();
    let client = reqwest::Client::new();
    for _ in 0..STARTS {
        let log = appliance.log().to_owned();
        let begun = Instant::now();
        let listen = format!("127.0.0.1:{}", appliance.port());
        let mut program = appliance.verb(&["--listen", &listen, "serve"])?.start(&log)?;
        let page = loop {
            match client.get(appliance.address()).send().await {
                Ok(answer) if answer.status().is_success() => {
                    answer.bytes().await?;
                    break begun.elapsed();
                }
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
            ensure!(begun.elapsed() < Duration::from_secs(30) && program.is_running(), "the box gives no page");
        };
        program.line("READY", Duration::from_secs(10)).await?;
        readies.push(begun.elapsed().as_secs_f64() * 1e3);
        starts.push(page.as_secs_f64() * 1e3);
        stop(program).await?;
    }
    println!("  READY after {:.0} ms", quantile(&mut readies, 0.5));
    Figure::limit("start_to_first_page", "ms", quantile(&mut starts, 0.5), 500.0).record(out)?;
    for (name, settings) in
        [("idle_memory", ""), ("idle_memory_workers", "[engines]\nworkers = [\"pulse\", \"capital\", \"shield\"]\n")]
    {
        appliance.configure(settings)?;
        appliance.start().await?;
        tokio::time::sleep(IDLE).await;
        let settled = appliance.usage()?;
        tokio::time::sleep(IDLE).await;
        let usage = appliance.usage()?;
        appliance.stop().await?;
        let each = usage.resident as f64 / 1e6;
        println!("  {} processes; {each:.0} MB if what they share counted for each", usage.processes);
        Figure::limit(name, "MB", usage.memory as f64 / 1e6, 200.0).record(out)?;
        let busy = (usage.processor - settled.processor).as_secs_f64() / IDLE.as_secs_f64();
        Figure::limit(&name.replace("memory", "processor"), "cores", busy, 0.05).record(out)?;
    }
    Ok(())
}

async fn stop(mut program: Program) -> Result<()> {
    program.stop(nix::sys::signal::Signal::SIGTERM, Duration::from_secs(30)).await?;
    Ok(())
}

/// `pages_brotli_FACE`: everything a first visit of that face fetches, as it is sent. Of the fonts that is the one of Latin
/// script; those of others come when a page has a letter of theirs, and are told beside it.
fn pages(out: &Path) -> Result<()> {
    for face in ["box", "fleet"] {
        let folder = cache().join("ui/dist").join(face);
        let other = |name: &str| name.ends_with(".woff2") && !name.starts_with("inter-latin-wght");
        let (bytes, fonts) = (sent(&folder, &|name| !other(name))?, sent(&folder, &other)?);
        println!("  fonts of other scripts: {} kB", fonts / 1_000);
        Figure::limit(&format!("pages_brotli_{face}"), "kB", bytes as f64 / 1e3, 900.0).record(out)?;
    }
    Ok(())
}

/// Bytes of those of a folder's files whose name is wanted, as they are sent.
fn sent(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        if path.is_dir() {
            bytes += sent(&path, wanted)?;
        } else if wanted(&entry.file_name().to_string_lossy())
            && (path.extension().is_some_and(|e| e == "br") || !compressed(&path))
        {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// Whether a file is sent in another form, or is one of the other forms.
fn compressed(path: &Path) -> bool {
    let twin = PathBuf::from(format!("{}.br", path.display()));
    twin.exists() || path.extension().is_some_and(|e| e == "gz")
}
