//! Where a message ends in a stream: octet counting (RFC 6587 §3.4.1), or a trailer of LF or NUL (§3.4.2).
//!
//! Both may be mixed in one stream, as senders that change their minds do: a message that begins with a digit, a count
//! and a blank before a `<` is counted, everything else ends at the first trailer. A message longer than the bound is cut
//! there; the rest of it is skipped, counted and never kept, so that a stream without an end costs no memory.

/// What happened to a stream so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Messages handed out.
    pub messages: u64,
    /// Messages that were longer than the bound and were cut.
    pub cut: u64,
    /// Bytes of their ends.
    pub skipped: u64,
}

/// Digits of the longest count that is believed: 9,999,999 bytes.
const COUNT_DIGITS: usize = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    /// Nothing.
    None,
    /// The rest of a counted message.
    Bytes(usize),
    /// Until the next trailer.
    Trailer,
}

/// Takes a stream apart. Bytes go in as they arrive, messages come out.
#[derive(Debug)]
pub struct Framing {
    longest: usize,
    /// The beginning of a message that is not complete. Never longer than `longest` and a count.
    held: Vec<u8>,
    /// How far `held` was searched for a trailer.
    searched: usize,
    skip: Skip,
    counted: Counted,
}

impl Framing {
    /// A stream with messages of `longest` bytes at most.
    pub fn new(longest: usize) -> Self {
        Self { longest: longest.max(1), held: Vec::new(), searched: 0, skip: Skip::None, counted: Counted::default() }
    }

    /// What happened so far.
    pub fn counted(&self) -> Counted {
        self.counted
    }

    /// Bytes of an incomplete message that are kept.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes bytes and hands out the messages that are now complete: the message and whether it was cut. Empty ones
    /// are passed over.
    pub fn push(&mut self, bytes: &[u8], mut message: impl FnMut(&[u8], bool)) {
        let mut rest = bytes;
        if !self.held.is_empty() {
            rest = self.complete(rest, &mut message);
        }
        while !rest.is_empty() {
            rest = match self.skip {
                Skip::Bytes(left) => {
                    let skipped = left.min(rest.len());
                    self.counted.skipped += skipped as u64;
                    self.skip = if skipped == left { Skip::None } else { Skip::Bytes(left - skipped) };
                    &rest[skipped..]
                }
                Skip::Trailer => match trailer(rest) {
                    Some(end) => {
                        self.counted.skipped += end as u64;
                        self.skip = Skip::None;
                        &rest[end + 1..]
                    }
                    None => {
                        self.counted.skipped += rest.len() as u64;
                        &[]
                    }
                },
                Skip::None => match self.take(rest, 0, &mut message) {
                    Some(read) => &rest[read..],
                    None => {
                        self.held.extend_from_slice(rest);
                        self.searched = rest.len();
                        &[]
                    }
                },
            };
        }
    }

    /// The stream has ended: what is left is a message, complete or not.
    pub fn finish(&mut self, mut message: impl FnMut(&[u8], bool)) {
        let held = std::mem::take(&mut self.held);
        let begin = match count(&held) {
            Count::Is { digits, .. } => digits + 1,
            _ => 0,
        };
        let last = held.get(begin..).unwrap_or_default();
        // A count that never became one may be longer than the bound.
        let kept = &last[..last.len().min(self.longest)];
        let cut = kept.len() < trimmed(last).len();
        self.counted.skipped += if cut { (last.len() - kept.len()) as u64 } else { 0 };
        self.emit(kept, cut, &mut message);
        self.searched = 0;
        self.skip = Skip::None;
    }

    /// Adds to the message that is held until it is complete. Answers with what was not needed.
    fn complete<'a>(&mut self, bytes: &'a [u8], message: &mut impl FnMut(&[u8], bool)) -> &'a [u8] {
        // No more than what can complete it: a count and the longest message.
        let room = (self.longest + COUNT_DIGITS + 2).saturating_sub(self.held.len());
        let (near, _) = bytes.split_at(room.min(bytes.len()));
        let before = self.held.len();
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(near);
        let searched = std::mem::take(&mut self.searched);
        match self.take(&held, searched, message) {
            Some(read) => {
                // What was read ends in the new bytes, save where digits and a blank were held beyond the bound because
                // they might have been a count, and were none: the message is cut within the old bytes then. Their rest
                // has no trailer and is the beginning of what is skipped.
                let used = read.saturating_sub(before);
                self.counted.skipped += before.saturating_sub(read) as u64;
                held.clear();
                // A flood of quiet connections must not keep the room of their longest message.
                if held.capacity() <= 8 << 10 {
                    self.held = held;
                }
                &bytes[used..]
            }
            None => {
                self.searched = held.len();
                self.held = held;
                &bytes[near.len()..]
            }
        }
    }

    /// Hands out the message at the beginning of `bytes`. Answers with how many bytes it took, `None` when it is not
    /// complete.
    fn take(&mut self, bytes: &[u8], searched: usize, message: &mut impl FnMut(&[u8], bool)) -> Option<usize> {
        match count(bytes) {
            Count::Unknown => return None,
            Count::Is { digits, length } => {
                let body = &bytes[digits + 1..];
                if length > self.longest {
                    if body.len() < self.longest {
                        return None;
                    }
                    self.emit(&body[..self.longest], true, message);
                    self.skip = Skip::Bytes(length - self.longest);
                    return Some(digits + 1 + self.longest);
                }
                if body.len() < length {
                    return None;
                }
                self.emit(&body[..length], false, message);
                return Some(digits + 1 + length);
            }
            Count::None => {}
        }
        match trailer(&bytes[searched..]).map(|at| searched + at) {
            Some(end) if end <= self.longest => {
                self.emit(&bytes[..end], false, message);
                Some(end + 1)
            }
            None if bytes.len() <= self.longest => None,
            _ => {
                self.emit(&bytes[..self.longest], true, message);
                self.skip = Skip::Trailer;
                Some(self.longest)
            }
        }
    }

    fn emit(&mut self, bytes: &[u8], cut: bool, message: &mut impl FnMut(&[u8], bool)) {
        let bytes = if cut { bytes } else { trimmed(bytes) };
        if !bytes.is_empty() {
            self.counted.messages += 1;
            self.counted.cut += u64::from(cut);
            message(bytes, cut);
        }
    }
}

/// A message without the line ends that some senders count in.
pub fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| !matches!(b, b'\r' | b'\n' | 0)).map_or(0, |last| last + 1);
    &bytes[..end]
}

fn trailer(bytes: &[u8]) -> Option<usize> {
    memchr::memchr2(b'\n', 0, bytes)
}

enum Count {
    /// There is one.
    Is { digits: usize, length: usize },
    /// There is none.
    None,
    /// Too few bytes to tell.
    Unknown,
}

/// `MSG-LEN SP` before a `<`. Without the `<` a line that begins with a number and a blank would be taken for a count.
fn count(bytes: &[u8]) -> Count {
    if !matches!(bytes.first(), Some(b'1'..=b'9')) {
        return Count::None;
    }
    let digits = bytes.iter().take(COUNT_DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
    if digits > COUNT_DIGITS {
        return Count::None;
    }
    match (bytes.get(digits), bytes.get(digits + 1)) {
        (None, _) | (Some(b' '), None) => Count::Unknown,
        (Some(b' '), Some(b'<')) => {
            let length = bytes[..digits].iter().fold(0, |n, d| n * 10 + usize::from(d - b'0'));
            Count::Is { digits, length }
        }
        _ => Count::None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(longest: usize, pieces: &[&[u8]]) -> (Vec<(Vec<u8>, bool)>, Counted) {
        let mut framing = Framing::new(longest);
        let mut found = Vec::new();
        for piece in pieces {
            framing.push(piece, |m, cut| found.push((m.to_vec(), cut)));
            assert!(framing.held() <= longest + COUNT_DIGITS + 2);
        }
        framing.finish(|m, cut| found.push((m.to_vec(), cut)));
        (found, framing.counted())
    }

    fn whole(messages: &[&str]) -> Vec<(Vec<u8>, bool)> {
        messages.iter().map(|m| (m.as_bytes().to_vec(), false)).collect()
    }

    #[test]
    fn trailers_and_counts_may_be_mixed() {
        let stream = b"<1>a\n7 <2>b\ncc<3>d\0\r\n12 monkeys jumped\n5 <4>e\nlast";
        assert_eq!(read(100, &[stream]).0, whole(&["<1>a", "<2>b\ncc", "<3>d", "12 monkeys jumped", "<4>e", "last"]));
    }

    #[test]
    fn a_long_line_is_cut_and_counted() {
        let long = [&b"x".repeat(1_000)[..], b"\nnext\n"].concat();
        let pieces: Vec<&[u8]> = long.chunks(7).collect();
        let (found, counted) = read(50, &pieces);
        assert_eq!(found, [(b"x".repeat(50), true), (b"next".to_vec(), false)]);
        assert_eq!(counted, Counted { messages: 2, cut: 1, skipped: 950 });
        let counted_frame = [&b"1000 <"[..], &b"y".repeat(999), b"<1>z\n"].concat();
        let (found, counted) = read(50, &counted_frame.chunks(13).collect::<Vec<_>>());
        assert_eq!(found[1], (b"<1>z".to_vec(), false));
        assert_eq!((found[0].0.len(), counted.cut, counted.skipped), (50, 1, 950));
    }

    #[test]
    fn digits_beyond_the_bound_that_were_no_count_are_skipped_and_counted() {
        let stream = b"1234567 9\nnext\n";
        let pieces: Vec<&[u8]> = stream.chunks(1).collect();
        let (found, counted) = read(4, &pieces);
        assert_eq!(found, [(b"1234".to_vec(), true), (b"next".to_vec(), false)]);
        assert_eq!(counted, Counted { messages: 2, cut: 1, skipped: 5 });
    }

    proptest! {
        /// However a stream is cut into pieces, the same messages come out.
        #[test]
        fn pieces_do_not_matter(
            stream in prop::collection::vec(prop::sample::select(b"<1>ab\n\0 0123456789".to_vec()), 0..300),
            longest in 1..40usize,
            size in 1..20usize,
        ) {
            let at_once = read(longest, &[&stream]);
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            prop_assert_eq!(read(longest, &pieces), at_once.clone());
            prop_assert!(at_once.0.iter().all(|(m, _)| m.len() <= longest));
        }

        #[test]
        fn counted_messages_come_out_as_they_went_in(messages in prop::collection::vec("<[0-9]{1,3}>[ -~\n]{0,40}[a-z]", 0..20)) {
            let stream: String = messages.iter().map(|m| format!("{} {m}", m.len())).collect();
            let expected: Vec<&str> = messages.iter().map(String::as_str).collect();
            prop_assert_eq!(read(1_000, &[stream.as_bytes()]).0, whole(&expected));
        }
    }
}
