//! Text that every match of a regular expression holds, so that the expression is run only where one of it was seen.
//!
//! Literals are folded, because the index that looks for them is; a class of letters that fold to one letter (`[aA]`,
//! which is also what `(?i)a` becomes) counts as that letter.

use regex_syntax::hir::{Class, Hir, HirKind};

/// More alternatives than this are no use as guards.
const MOST: usize = 64;
/// A shorter literal is met too often to guard anything.
const SHORTEST: usize = 2;

/// A set of folded literals of which each match holds at least one.
pub(crate) fn required(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => letter(hir).and_then(|text| usable(vec![text])),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Alternation(branches) => {
            let mut union = Vec::new();
            for branch in branches {
                union.extend(required(branch)?);
            }
            usable(union)
        }
        HirKind::Concat(parts) => {
            let mut best: Option<Vec<Vec<u8>>> = None;
            let mut run = Vec::new();
            for part in parts {
                if let Some(text) = letter(part) {
                    run.extend(text);
                    continue;
                }
                best = better(best, usable(vec![std::mem::take(&mut run)]));
                best = better(best, required(part));
            }
            better(best, usable(vec![run]))
        }
        _ => None,
    }
}

fn usable(set: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    (!set.is_empty() && set.len() <= MOST && set.iter().all(|text| text.len() >= SHORTEST)).then_some(set)
}

/// The set that is less likely to be met by chance.
fn better(a: Option<Vec<Vec<u8>>>, b: Option<Vec<Vec<u8>>>) -> Option<Vec<Vec<u8>>> {
    let chance = |set: &[Vec<u8>]| set.iter().map(|text| 0.7f32.powi(text.len().min(40) as i32)).sum::<f32>();
    match (a, b) {
        (Some(a), Some(b)) => Some(if chance(&b) < chance(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The folded text of a part that is always the same.
fn letter(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            std::str::from_utf8(&literal.0).ok().map(|text| super::text::fold(text.as_bytes()))
        }
        HirKind::Capture(capture) => letter(&capture.sub),
        HirKind::Class(class) => {
            let letters: Vec<char> = match class {
                Class::Unicode(class) => class.iter().flat_map(|range| range.start()..=range.end()).take(9).collect(),
                // Above ASCII these are bytes, not characters: nothing that folded text could be searched for.
                Class::Bytes(class) if !class.is_ascii() => return None,
                Class::Bytes(class) => {
                    class.iter().flat_map(|range| range.start()..=range.end()).map(char::from).take(9).collect()
                }
            };
            let fold = |letter: char| super::text::fold(letter.encode_utf8(&mut [0; 4]).as_bytes());
            let first = fold(*letters.first()?);
            (letters.len() < 9 && letters.iter().all(|&letter| fold(letter) == first)).then_some(first)
        }
        _ => None,
    }
}
