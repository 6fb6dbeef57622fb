//! Events out of files: JSON lines, one JSON document or an array of them, lines of text, and EVTX.
//!
//! Events are numbered from 0 in the order of the file. What cannot be read is counted and named by its number; the
//! rest is read on.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use evtx::{EvtxParser, ParserSettings};
use serde_json::value::RawValue;

/// A longer line is named and passed over.
const LONGEST: usize = 16 << 20;
/// How an EVTX file begins.
const EVTX: &[u8] = b"ElfFile\0";

/// What is done with each event.
type Take<'a> = &'a mut dyn FnMut(u64, Result<&[u8], String>);

/// Why a file of events cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {message}", path = path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub message: String,
}

/// Gives each event of `path` to `take`, with its number; an event that cannot be read comes as the reason.
///
/// # Errors
/// Where the file itself cannot be read.
pub fn each(path: &Path, mut take: impl FnMut(u64, Result<&[u8], String>)) -> Result<u64, FileError> {
    let wrong = |message: String| FileError { path: path.to_owned(), message };
    let mut file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut head = [0; 8];
    let got = file.read(&mut head).map_err(|error| wrong(error.to_string()))?;
    file.rewind().map_err(|error| wrong(error.to_string()))?;
    if &head[..got] == EVTX {
        evtx(path, file, &mut take).map_err(wrong)
    } else {
        lines(BufReader::with_capacity(1 << 16, file), &mut take).map_err(|error| wrong(error.to_string()))
    }
}

fn evtx(path: &Path, file: File, take: Take<'_>) -> Result<u64, String> {
    let settings = ParserSettings::new().num_threads(1).indent(false);
    let mut parser = EvtxParser::from_read_seek(file)
        .map_err(|error| format!("{}: {error}", path.display()))?
        .with_configuration(settings);
    let mut count = 0;
    for record in parser.records_json() {
        match record {
            Ok(record) => take(count, Ok(record.data.as_bytes())),
            Err(error) => take(count, Err(error.to_string())),
        }
        count += 1;
    }
    Ok(count)
}

/// JSON lines; where the first line is not a whole value, the file is one document.
fn lines(mut input: impl BufRead, take: Take<'_>) -> std::io::Result<u64> {
    let mut line = Vec::new();
    let mut count = 0;
    let mut first = true;
    loop {
        line.clear();
        if !bounded(&mut input, &mut line)? {
            take(count, Err(format!("longer than {} MiB", LONGEST >> 20)));
            count += 1;
            continue;
        }
        if line.is_empty() {
            return Ok(count);
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        if std::mem::take(&mut first) && !whole(text) {
            input.read_to_end(&mut line)?;
            return Ok(document(&line, take));
        }
        take(count, Ok(text));
        count += 1;
    }
}

/// Whether a first line is an event of its own, and not the beginning of a document of many lines or an array.
fn whole(text: &[u8]) -> bool {
    text.first() != Some(&b'[')
        && text.len() > 1
        && !serde_json::from_slice::<&RawValue>(text).is_err_and(|error| error.is_eof())
}

fn document(text: &[u8], take: Take<'_>) -> u64 {
    if let Ok(events) = serde_json::from_slice::<Vec<&RawValue>>(text) {
        for (number, event) in events.iter().enumerate() {
            take(number as u64, Ok(event.get().as_bytes()));
        }
        return events.len() as u64;
    }
    let mut count = 0;
    if text.trim_ascii_start().first() == Some(&b'[') {
        // Not an array after all: lines of text that begin with a bracket.
        for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
            take(count, Ok(line));
            count += 1;
        }
        return count;
    }
    for event in serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>() {
        match event {
            Ok(event) => take(count, Ok(event.get().as_bytes())),
            Err(error) => {
                take(count, Err(error.to_string()));
                return count + 1;
            }
        }
        count += 1;
    }
    count
}

/// Reads a line of at most [`LONGEST`] bytes; passes over the rest of a longer one and says so.
fn bounded(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut limited = input.by_ref().take(LONGEST as u64);
    limited.read_until(b'\n', line)?;
    if line.len() < LONGEST || line.last() == Some(&b'\n') {
        return Ok(true);
    }
    line.clear();
    input.skip_until(b'\n')?;
    Ok(false)
}
