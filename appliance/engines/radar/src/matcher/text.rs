//! Text as Sigma compares it: case folding, wildcards, and the modifiers that rewrite a value before it is compared.
//!
//! Case is folded one character at a time, the same way in rules and in events, so that folding a part of a text gives
//! the same part of the folded text. Patterns are bytes, because `wide` and its kin make values that hold NULs.
//!
//! Source: Sigma specification 2.1, "Escaping" and appendix "Modifiers".

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rsigma_parser::{
    SigmaString,
    value::{SpecialChar, StringPart},
};

/// The dashes that Windows' programs take for each other: `-`, `/`, en dash, em dash, horizontal bar.
pub(crate) const DASHES: [&str; 5] = ["-", "/", "\u{2013}", "\u{2014}", "\u{2015}"];

/// Folds `text` into `out`.
pub(crate) fn fold_into(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    if text.is_ascii() {
        out.extend(text.iter().map(u8::to_ascii_lowercase));
        return;
    }
    match std::str::from_utf8(text) {
        Ok(text) => {
            for letter in text.chars().flat_map(char::to_lowercase) {
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        Err(_) => out.extend(text.iter().map(u8::to_ascii_lowercase)),
    }
}

/// The folded text.
pub(crate) fn fold(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    fold_into(text, &mut out);
    out
}

/// A unit of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Unit {
    Byte(u8),
    /// `?`: one character.
    One,
    /// `*`: any number of characters.
    Many,
    /// One of [`DASHES`].
    Dash,
}

/// A value of a rule as units, to which modifiers are applied.
pub(crate) type Pattern = Vec<Unit>;

/// The pattern of a parsed value.
pub(crate) fn pattern(value: &SigmaString) -> Pattern {
    let mut units = Pattern::new();
    for part in &value.parts {
        match part {
            StringPart::Plain(text) => units.extend(text.bytes().map(Unit::Byte)),
            StringPart::Special(SpecialChar::WildcardMulti) => units.push(Unit::Many),
            StringPart::Special(SpecialChar::WildcardSingle) => units.push(Unit::One),
        }
    }
    units
}

/// The bytes of a pattern without wildcards.
pub(crate) fn plain(units: &[Unit]) -> Option<Vec<u8>> {
    units.iter().map(|unit| if let Unit::Byte(byte) = unit { Some(*byte) } else { None }).collect()
}

/// `windash`: each `-` or `/` that begins a word (and follows no word character) stands for every dash.
pub(crate) fn windash(units: Pattern) -> Pattern {
    let word = |unit: Option<&Unit>| match unit {
        Some(Unit::Byte(byte)) => byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80,
        _ => false,
    };
    let dashes: Vec<bool> = (0..units.len())
        .map(|at| {
            matches!(units[at], Unit::Byte(b'-' | b'/'))
                && !(at > 0 && word(units.get(at - 1)))
                && word(units.get(at + 1))
        })
        .collect();
    units.into_iter().zip(dashes).map(|(unit, dash)| if dash { Unit::Dash } else { unit }).collect()
}

/// All the ways to write a pattern that has few dashes; `None` where there would be more than `limit`.
pub(crate) fn spell_dashes(units: &[Unit], limit: usize) -> Option<Vec<Pattern>> {
    let mut spellings = vec![Pattern::with_capacity(units.len())];
    for unit in units {
        if *unit != Unit::Dash {
            spellings.iter_mut().for_each(|spelling| spelling.push(unit.clone()));
            continue;
        }
        if spellings.len() * DASHES.len() > limit {
            return None;
        }
        spellings = spellings
            .iter()
            .flat_map(|spelling| {
                DASHES.iter().map(move |dash| spelling.iter().cloned().chain(dash.bytes().map(Unit::Byte)).collect())
            })
            .collect();
    }
    Some(spellings)
}

/// The text as UTF-16 without a mark, in the order of bytes that `bytes` makes of a unit.
pub(crate) fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

/// Base64 with padding (RFC 4648 §4).
pub(crate) fn base64(bytes: &[u8]) -> Vec<u8> {
    STANDARD.encode(bytes).into_bytes()
}

/// `base64offset`: what is left of the text's Base64 at each of the three offsets at which it can lie within other
/// data, without the characters at either end that its neighbours have a part in.
pub(crate) fn base64_offsets(bytes: &[u8]) -> [Vec<u8>; 3] {
    [0, 1, 2].map(|offset| {
        let mut shifted = vec![b' '; offset];
        shifted.extend_from_slice(bytes);
        let encoded = base64(&shifted);
        let start = [0, 2, 3][offset];
        let cut = [0, 3, 2][shifted.len() % 3];
        encoded[start..(encoded.len() - cut).max(start)].to_vec()
    })
}

/// A pattern with wildcards, ready to be run over (folded) text in linear time for each of its parts.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    parts: Vec<Vec<Unit>>,
    open_start: bool,
    open_end: bool,
}

impl Glob {
    /// Compiles `units`; a `*` at an end leaves that end open.
    pub(crate) fn new(units: &[Unit]) -> Self {
        let open_start = units.first() == Some(&Unit::Many);
        let open_end = units.last() == Some(&Unit::Many);
        let parts =
            units.split(|unit| *unit == Unit::Many).filter(|part| !part.is_empty()).map(<[Unit]>::to_vec).collect();
        Self { parts, open_start, open_end }
    }

    /// The longest run of bytes that every match holds.
    pub(crate) fn literal(&self) -> Option<Vec<u8>> {
        self.parts
            .iter()
            .flat_map(|part| part.split(|unit| !matches!(unit, Unit::Byte(_))))
            .max_by_key(|run| run.len())
            .and_then(plain)
            .filter(|run| !run.is_empty())
    }

    /// Whether the whole of `text` is a match.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        let Some((last, rest)) = self.parts.split_last() else {
            return self.open_start || self.open_end || text.is_empty();
        };
        let mut at = 0;
        for (index, part) in rest.iter().enumerate() {
            let found = if index == 0 && !self.open_start { fits(part, text, 0) } else { find(part, text, at) };
            match found {
                Some(end) => at = end,
                None => return false,
            }
        }
        let anchored = rest.is_empty() && !self.open_start;
        match (anchored, self.open_end) {
            (true, true) => fits(last, text, 0).is_some(),
            (true, false) => fits(last, text, 0) == Some(text.len()),
            (false, true) => find(last, text, at).is_some(),
            (false, false) => (at..=text.len()).any(|from| fits(last, text, from) == Some(text.len())),
        }
    }
}

fn find(part: &[Unit], text: &[u8], from: usize) -> Option<usize> {
    if let Some(Unit::Byte(first)) = part.first() {
        memchr::memchr_iter(*first, text.get(from..)?).find_map(|at| fits(part, text, from + at))
    } else {
        (from..=text.len()).find_map(|at| fits(part, text, at))
    }
}

/// The end of `part` where it fits `text` at `at`.
fn fits(part: &[Unit], text: &[u8], mut at: usize) -> Option<usize> {
    for unit in part {
        let rest = text.get(at..)?;
        at += match unit {
            Unit::Byte(byte) => rest.first().filter(|found| *found == byte).map(|_| 1)?,
            Unit::One => rest.first().map(|first| width(*first)).filter(|width| *width > 0)?,
            Unit::Dash => DASHES.iter().find(|dash| rest.starts_with(dash.as_bytes()))?.len(),
            Unit::Many => unreachable!("parts are split at every `*`"),
        };
    }
    (at <= text.len()).then_some(at)
}

/// Bytes of the UTF-8 character that begins so; 0 inside a character.
fn width(first: u8) -> usize {
    match first {
        0..0x80 => 1,
        0x80..0xC0 => 0,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    }
}
