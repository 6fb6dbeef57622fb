//! The verbs `guard read` and `guard capture`: captures or interfaces in, one JSON line a flow out.

use std::{
    fs::File,
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use flate2::read::MultiGzDecoder;
use sent_core::clock::SystemClock;

use crate::{
    capture::{self, Reader},
    detection::{Detection, Lists},
    device::Makers,
    flow::{self, Flow},
    live::{self, Live},
    meter::{Limits, Meter, Summary},
    pipeline::{self, RingThread, Take},
    record::Record,
    ring,
    settings::Settings,
    watch::Watch,
};

/// What can be asked of it.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Reads capture files (pcap, pcapng, also compressed with gzip) and tells their flows.
    Read(ReadArgs),
    /// Listens to network interfaces and tells the flows as they end, until it is interrupted. Needs the right to capture
    /// (root, or CAP_NET_RAW).
    Capture(CaptureArgs),
}

/// What to read.
#[derive(Clone, Debug, Args)]
pub struct ReadArgs {
    /// Capture files, read one after the other as one.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// One JSON object a flow.
    #[arg(long)]
    pub json: bool,
    /// What looks like trouble instead of flows, one JSON object each, with the default thresholds.
    #[arg(long)]
    pub detections: bool,
}

/// What to listen to.
#[derive(Clone, Debug, Args)]
pub struct CaptureArgs {
    /// Interfaces; `any` is all of them.
    #[arg(required = true)]
    pub interfaces: Vec<String>,
    /// What the kernel hands over, in the language of pcap-filter(7).
    #[arg(long, default_value = "")]
    pub filter: String,
    /// Bytes of each frame that are captured.
    #[arg(long, default_value_t = 65_535)]
    pub snap: u32,
    /// What the kernel holds for each interface until it is read, MiB.
    #[arg(long, default_value_t = 16)]
    pub buffer_mib: u32,
    /// Only frames to and from this machine.
    #[arg(long)]
    pub no_promiscuous: bool,
    /// One JSON object a flow.
    #[arg(long)]
    pub json: bool,
    /// What looks like trouble instead of flows, one JSON object each, with the default thresholds.
    #[arg(long)]
    pub detections: bool,
    /// Keep the packets in a ring in this folder.
    #[arg(long, value_name = "FOLDER")]
    pub ring: Option<PathBuf>,
    /// Bound of the ring, MiB.
    #[arg(long, default_value_t = 1024)]
    pub ring_mib: u32,
    /// End after so many seconds.
    #[arg(long)]
    pub seconds: Option<u64>,
}

/// Why captures could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A capture failed; flows that were found in it before are written.
    #[error("{}: {source}", file.display())]
    Capture {
        /// Which.
        file: PathBuf,
        /// Why.
        source: capture::Error,
    },
    /// An interface cannot be listened to.
    #[error(transparent)]
    Live(#[from] live::Error),
    /// Writing failed.
    #[error("flows could not be written")]
    Write(#[from] std::io::Error),
    /// A record could not be put into words.
    #[error("a flow could not be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Does what is asked: flows go to `out`; captures that failed and, at the end, what was counted go to `log`. Answers whether
/// every capture was read to its end. A live capture ends when `stop` is set.
pub fn run(
    command: &Command,
    stop: &Arc<AtomicBool>,
    out: &mut impl Write,
    log: &mut impl Write,
) -> Result<bool, Error> {
    let args = match command {
        Command::Read(args) => args,
        Command::Capture(args) => return capture(args, stop, out, log).map(|()| true),
    };
    let (summary, failures) = read(args, Limits::default(), out)?;
    for failure in &failures {
        writeln!(log, "{failure}")?;
    }
    writeln!(log, "{}", serde_json::to_string(&summary)?)?;
    Ok(failures.is_empty())
}

/// Opens a capture file, whether compressed or not.
pub fn open(file: &Path) -> Result<Reader<Box<dyn Read>>, capture::Error> {
    let mut head = [0; 2];
    let mut source = File::open(file)?;
    let length = source.read(&mut head)?;
    let source = File::open(file)?;
    let gzip = length == 2 && head == [0x1f, 0x8b];
    Reader::new(if gzip {
        Box::new(MultiGzDecoder::new(BufReader::new(source))) as Box<dyn Read>
    } else {
        Box::new(source)
    })
}

/// Reads captures and writes their flows, or what looks like trouble in them. A capture that fails is told in the list; the
/// others are read all the same.
pub fn read(args: &ReadArgs, limits: Limits, out: &mut impl Write) -> Result<(Summary, Vec<Error>), Error> {
    let mut reading = Reading { meter: Meter::new(limits), watch: None, json: args.json, out };
    if args.detections {
        let settings = Settings::default();
        let makers = Makers::read(&settings.makers);
        reading.watch = Some(Box::new(Watch::new(&settings, makers, Lists::default())));
    }
    let mut failures = Vec::new();
    for file in &args.files {
        if let Err(source) = reading.file(file)? {
            failures.push(Error::Capture { file: file.clone(), source });
        }
    }
    reading.meter.finish();
    reading.drain()?;
    reading.out.flush()?;
    Ok((reading.meter.summary(), failures))
}

/// What is read into, and what it is written to.
struct Reading<'a, W> {
    meter: Meter,
    watch: Option<Box<Watch>>,
    json: bool,
    out: &'a mut W,
}

impl<W: Write> Reading<'_, W> {
    fn file(&mut self, file: &Path) -> Result<Result<(), capture::Error>, Error> {
        let mut reader = match open(file) {
            Ok(reader) => reader,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            match (reader.next(), &mut self.watch) {
                (Ok(Some(frame)), None) => self.meter.frame(&frame),
                (Ok(Some(frame)), Some(watch)) => self.meter.frame_beside(&frame, watch.as_mut()),
                (Ok(None), _) => return Ok(Ok(())),
                (Err(error), _) => return Ok(Err(error)),
            }
            self.drain()?;
        }
    }

    fn drain(&mut self) -> Result<(), Error> {
        while let Some(flow) = self.meter.finished() {
            match &mut self.watch {
                None => write_flow(&flow, self.json, self.out)?,
                Some(watch) => {
                    watch.flow(&flow);
                }
            }
        }
        while let Some(detection) = self.watch.as_mut().and_then(|watch| watch.found()) {
            serde_json::to_writer(&mut *self.out, &detection)?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }
}

fn write_flow(flow: &Flow, json: bool, out: &mut impl Write) -> Result<(), Error> {
    let record = Record::of(flow);
    if json {
        serde_json::to_writer(&mut *out, &record)?;
        out.write_all(b"\n")?;
        return Ok(());
    }
    let seconds = (flow.end - flow.start) / 1_000_000_000;
    let name = record.sni.unwrap_or_default();
    writeln!(
        out,
        "{:>39} {:>5}  {:>39} {:>5}  {:<12} {:>9} packets {:>12} bytes {seconds:>7} s  {name}",
        record.src,
        record.sport,
        record.dst,
        record.dport,
        record.app.unwrap_or("-"),
        record.packets,
        record.bytes,
    )?;
    Ok(())
}

/// Listens, and tells on `log` at the end what was counted: by interface, and of flows.
fn capture(
    args: &CaptureArgs,
    stop: &Arc<AtomicBool>,
    out: &mut impl Write,
    log: &mut impl Write,
) -> Result<(), Error> {
    let options = live::Options {
        interfaces: args.interfaces.clone(),
        filter: args.filter.clone(),
        snap: args.snap,
        buffer_mib: args.buffer_mib,
        promiscuous: !args.no_promiscuous,
    };
    let settings = Settings::default();
    let ring =
        args.ring.as_deref().map(|folder| RingThread::start(folder, ring::Limits::of(u64::from(args.ring_mib) << 20)));
    let ring = ring.transpose()?;
    let limits =
        Limits { flows: flow::Limits { part: settings.part_seconds, ..flow::Limits::default() }, ..Limits::default() };
    let makers = if args.detections { Makers::read(&settings.makers) } else { Makers::default() };
    let watch = Mutex::new(Watch::new(&settings, makers, Lists::default()));
    let (live, batches) = Live::start(&options, false)?;
    let live = Arc::new(Mutex::new(live));
    let (ending, capturing) = (stop.clone(), live.clone());
    let until = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    // Whoever waits for the end does not hold up the flows.
    let waiting = thread::spawn(move || {
        while !ending.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until) {
            thread::sleep(Duration::from_millis(50));
        }
        capturing.lock().unwrap_or_else(PoisonError::into_inner).stop();
    });
    let mut telling = Telling { json: args.json, detections: args.detections, out, error: None };
    let clock = SystemClock::shared();
    let now = || clock.now().0.saturating_mul(1_000);
    let summary = pipeline::run(&batches, Meter::new(limits), &watch, ring.as_ref(), &mut telling, now);
    let told = telling.error.map_or(Ok(()), Err);
    // It panics nowhere; if it did, it has ended too.
    let _ = waiting.join();
    for counts in live.lock().unwrap_or_else(PoisonError::into_inner).counts() {
        writeln!(log, "{}", serde_json::to_string(&counts)?)?;
    }
    writeln!(log, "{}", serde_json::to_string(&summary)?)?;
    told
}

/// Writes what a live capture finds.
struct Telling<'a, W> {
    json: bool,
    detections: bool,
    out: &'a mut W,
    error: Option<Error>,
}

impl<W: Write> Telling<'_, W> {
    fn kept(&mut self, written: Result<(), Error>) {
        if let (None, Err(error)) = (&self.error, written) {
            self.error = Some(error);
        }
    }
}

impl<W: Write> Take for Telling<'_, W> {
    fn flow(&mut self, flow: Flow, _name: Option<String>) {
        if !self.detections && self.error.is_none() {
            let written = write_flow(&flow, self.json, self.out);
            self.kept(written);
        }
    }

    fn detection(&mut self, detection: Detection) {
        if self.detections && self.error.is_none() {
            let written = serde_json::to_writer(&mut *self.out, &detection).map_err(Error::from);
            let written = written.and_then(|()| Ok(self.out.write_all(b"\n")?));
            self.kept(written);
        }
    }

    fn beat(&mut self, _watch: &Mutex<Watch>, _summary: Summary, _under_way: usize) {
        let written = self.out.flush().map_err(Error::from);
        self.kept(written);
    }
}
