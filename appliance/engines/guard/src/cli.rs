//! The verb `guard read`: captures in, one JSON line a flow out.

use std::{
    fs::File,
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use flate2::read::MultiGzDecoder;

use crate::{
    capture::{self, Reader},
    meter::{Limits, Meter, Summary},
    record::Record,
};

/// What can be asked of it.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Reads capture files (pcap, pcapng, also compressed with gzip) and tells their flows.
    Read(ReadArgs),
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
    /// Writing failed.
    #[error("flows could not be written")]
    Write(#[from] std::io::Error),
    /// A record could not be put into words.
    #[error("a flow could not be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Does what is asked: flows go to `out`; captures that failed and, at the end, what was counted go to `log`. Answers whether
/// every capture was read to its end.
pub fn run(command: &Command, out: &mut impl Write, log: &mut impl Write) -> Result<bool, Error> {
    let Command::Read(args) = command;
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

/// Reads captures and writes their flows. A capture that fails is told in the list; the others are read all the same.
pub fn read(args: &ReadArgs, limits: Limits, out: &mut impl Write) -> Result<(Summary, Vec<Error>), Error> {
    let mut meter = Meter::new(limits);
    let mut failures = Vec::new();
    for file in &args.files {
        if let Err(source) = read_one(file, &mut meter, args.json, out)? {
            failures.push(Error::Capture { file: file.clone(), source });
        }
    }
    meter.finish();
    drain(&mut meter, args.json, out)?;
    out.flush()?;
    Ok((meter.summary(), failures))
}

fn read_one(
    file: &Path,
    meter: &mut Meter,
    json: bool,
    out: &mut impl Write,
) -> Result<Result<(), capture::Error>, Error> {
    let mut reader = match open(file) {
        Ok(reader) => reader,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        match reader.next() {
            Ok(Some(frame)) => meter.frame(&frame),
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        }
        drain(meter, json, out)?;
    }
}

fn drain(meter: &mut Meter, json: bool, out: &mut impl Write) -> Result<(), Error> {
    while let Some(flow) = meter.finished() {
        let record = Record::of(&flow);
        if json {
            serde_json::to_writer(&mut *out, &record)?;
            out.write_all(b"\n")?;
        } else {
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
        }
    }
    Ok(())
}
