//! Normalised records: flat lists of (name, value) in an arena that a whole batch shares and the next batch uses again.
//!
//! Nothing is allocated for a record once the arena has grown to the size of a batch. Names are symbols, values are
//! text with a kind; a name may stand several times, which is how lists are kept. The bytes that arrived are kept
//! untouched beside them.

use super::names::{self, Interner, Symbol};

/// Fields of one record at most; what comes after is dropped and the record says so in `radar.defect`.
pub const MOST_FIELDS: usize = 2_000;
/// Bytes of one value at most; a longer one is cut at a character's boundary.
pub const LONGEST_VALUE: usize = 256 << 10;

/// What a value was in its source. All are kept as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A number, as it was written.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Nothing; the text is empty.
    Null,
}

/// What a log is, in the sense of Sigma's `logsource`: lower case, empty when not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LogSource<'a> {
    /// `windows`, `linux`, `cisco` …
    pub product: &'a str,
    /// `process_creation`, `dns_query`, `firewall` …
    pub category: &'a str,
    /// `security`, `sysmon`, `sshd` …
    pub service: &'a str,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    length: u32,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    name: &'static str,
    symbol: Symbol,
    kind: Kind,
    value: Span,
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    position: u64,
    time: i64,
    received: i64,
    source: Span,
    original: Span,
    /// The text of the original when it is UTF-8, else its readable likeness.
    text: Span,
    message: Option<Span>,
    /// Where the message stands in `text`, when it stands there letter by letter.
    message_at: Option<u32>,
    product: Span,
    category: Span,
    service: Span,
    first: u32,
    fields: u32,
    faithful: bool,
}

/// Records in one arena. Cleared and filled again for each batch.
#[derive(Debug, Default)]
pub struct Batch {
    heads: Vec<Head>,
    pairs: Vec<Pair>,
    text: String,
    originals: Vec<u8>,
    dropped: u32,
}

impl Batch {
    /// Forgets the records and keeps the room.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.pairs.clear();
        self.text.clear();
        self.originals.clear();
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// No record at all.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Bytes of the arena in use. A batch must stay below 4 GiB; whoever fills it stops at a few MiB.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.originals.len() + self.pairs.len() * size_of::<Pair>()
    }

    /// The records, in the order of their arrival.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> + Clone {
        self.heads.iter().map(|head| Record { batch: self, head })
    }

    /// One of them.
    pub fn get(&self, place: usize) -> Option<Record<'_>> {
        self.heads.get(place).map(|head| Record { batch: self, head })
    }

    /// Begins a record; what follows is put into it until the next one begins. Its time is `received` until
    /// [`set_time`](Self::set_time) says otherwise.
    pub fn begin(&mut self, position: u64, received: i64, source: &str, original: &[u8]) {
        let text = match std::str::from_utf8(original) {
            Ok(text) => (self.push(text), true),
            Err(_) => (self.push(&String::from_utf8_lossy(original)), false),
        };
        let start = self.originals.len() as u32;
        if !text.1 {
            self.originals.extend_from_slice(original);
        }
        let original = Span { start, length: self.originals.len() as u32 - start };
        let head = Head {
            position,
            time: received,
            received,
            source: self.push(source),
            original,
            text: text.0,
            faithful: text.1,
            first: self.pairs.len() as u32,
            ..Head::default()
        };
        self.heads.push(head);
        self.dropped = 0;
        if !text.1 {
            self.put(names::DEFECT, "invalid_utf8");
        }
    }

    /// When it happened, µs.
    pub fn set_time(&mut self, time: i64) {
        if let Some(head) = self.heads.last_mut() {
            head.time = time;
        }
    }

    /// What kind of log it is; an empty part leaves what was said before.
    pub fn set_log(&mut self, log: LogSource<'_>) {
        let put = |text: &str, batch: &mut Self| (!text.is_empty()).then(|| batch.push(text));
        let product = put(log.product, self);
        let category = put(log.category, self);
        let service = put(log.service, self);
        if let Some(head) = self.heads.last_mut() {
            head.product = product.unwrap_or(head.product);
            head.category = category.unwrap_or(head.category);
            head.service = service.unwrap_or(head.service);
        }
    }

    /// Its message, cut at [`LONGEST_VALUE`]. A message that is a piece of the original, at `at` of its text, is
    /// stored once.
    pub fn set_message(&mut self, message: &str, at: Option<usize>) {
        let kept = cut(message, LONGEST_VALUE);
        let span = self.push(kept);
        if let Some(head) = self.heads.last_mut() {
            head.message = Some(span);
            head.message_at = at.map(|at| at as u32);
        }
    }

    /// A field with a known name.
    pub fn put(&mut self, name: Symbol, value: &str) {
        self.put_kind(name, value, Kind::Text);
    }

    /// A field with a known name and a number.
    pub fn put_number(&mut self, name: Symbol, value: u64) {
        let mut digits = [0u8; 20];
        let mut place = digits.len();
        let mut rest = value;
        loop {
            place -= 1;
            digits[place] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let text = std::str::from_utf8(&digits[place..]).unwrap_or_default();
        self.put_kind(name, text, Kind::Number);
    }

    /// A field with a known name.
    pub fn put_kind(&mut self, name: Symbol, value: &str, kind: Kind) {
        let text = names::KNOWN.get(name.0 as usize).copied().unwrap_or_default();
        self.add(name, text, value, kind);
    }

    /// A field with any name.
    pub fn put_named(&mut self, interner: &mut Interner, name: &str, value: &str, kind: Kind) {
        match interner.intern(name) {
            Some((symbol, text)) => self.add(symbol, text, value, kind),
            None => {
                let name = cut(name, names::LONGEST);
                let value = cut(value, LONGEST_VALUE);
                self.put(names::OVERFLOW, &format!("{name}={value}"));
            }
        }
    }

    fn add(&mut self, symbol: Symbol, name: &'static str, value: &str, kind: Kind) {
        let Some(head) = self.heads.last_mut() else { return };
        if head.fields as usize >= MOST_FIELDS {
            self.dropped += 1;
            if self.dropped == 1 {
                let value = self.push("fields_dropped");
                if let Some(last) = self.pairs.last_mut() {
                    *last = Pair {
                        name: names::KNOWN[names::DEFECT.0 as usize],
                        symbol: names::DEFECT,
                        kind: Kind::Text,
                        value,
                    };
                }
            }
            return;
        }
        head.fields += 1;
        let value = self.push(cut(value, LONGEST_VALUE));
        self.pairs.push(Pair { name, symbol, kind, value });
    }

    fn push(&mut self, text: &str) -> Span {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        Span { start, length: text.len() as u32 }
    }

    fn text(&self, span: Span) -> &str {
        let start = span.start as usize;
        self.text.get(start..start + span.length as usize).unwrap_or_default()
    }

    /// Whether the record under way has this field already.
    pub fn has(&self, name: Symbol) -> bool {
        self.heads.last().is_some_and(|h| self.pairs[h.first as usize..].iter().any(|p| p.symbol == name))
    }

    /// The first value of a field of the record under way.
    pub fn current(&self, name: Symbol) -> Option<&str> {
        let head = self.heads.last()?;
        self.pairs[head.first as usize..].iter().find(|p| p.symbol == name).map(|p| self.text(p.value))
    }

    /// Whether the record under way has a message.
    pub fn has_message(&self) -> bool {
        self.heads.last().is_some_and(|h| h.message.is_some())
    }
}

/// One value of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as a number.
    pub symbol: Symbol,
    /// The name.
    pub name: &'static str,
    /// The value as text.
    pub value: &'a str,
    /// What it was.
    pub kind: Kind,
}

/// A normalised record. A view; copied freely.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    batch: &'a Batch,
    head: &'a Head,
}

impl<'a> Record<'a> {
    /// Its place in the queue, growing with arrival.
    pub fn position(&self) -> u64 {
        self.head.position
    }

    /// When it happened, µs since 1970 UTC: what the record says of itself, else when it was received.
    pub fn time(&self) -> i64 {
        self.head.time
    }

    /// When it was received, µs since 1970 UTC.
    pub fn received(&self) -> i64 {
        self.head.received
    }

    /// Where it came from: an address, a file, a unit.
    pub fn source(&self) -> &'a str {
        self.batch.text(self.head.source)
    }

    /// What kind of log it is.
    pub fn log(&self) -> LogSource<'a> {
        LogSource {
            product: self.batch.text(self.head.product),
            category: self.batch.text(self.head.category),
            service: self.batch.text(self.head.service),
        }
    }

    /// The message for a reader, if it has one.
    pub fn message(&self) -> Option<&'a str> {
        self.head.message.map(|span| self.batch.text(span))
    }

    /// The bytes that arrived.
    pub fn original(&self) -> &'a [u8] {
        if self.head.faithful {
            return self.text().as_bytes();
        }
        let start = self.head.original.start as usize;
        self.batch.originals.get(start..start + self.head.original.length as usize).unwrap_or_default()
    }

    /// Whether the bytes that arrived were UTF-8, so that [`text`](Self::text) is all of them.
    pub fn is_faithful(&self) -> bool {
        self.head.faithful
    }

    /// What arrived as text; where it was not UTF-8, with replacement characters.
    pub fn text(&self) -> &'a str {
        self.batch.text(self.head.text)
    }

    /// What stands in [`text`](Self::text) before and after the message; `None` when the message is not a piece of it.
    pub fn around_message(&self) -> Option<(&'a str, &'a str)> {
        let at = self.head.message_at? as usize;
        let end = at + self.head.message?.length as usize;
        let text = self.text();
        Some((text.get(..at)?, text.get(end..)?))
    }

    /// Its fields, in the order of the source.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = Field<'a>> + Clone + use<'a> {
        let batch = self.batch;
        let first = self.head.first as usize;
        batch.pairs[first..first + self.head.fields as usize].iter().map(move |pair| Field {
            symbol: pair.symbol,
            name: pair.name,
            value: batch.text(pair.value),
            kind: pair.kind,
        })
    }

    /// The first value of a field.
    pub fn get(&self, name: Symbol) -> Option<&'a str> {
        self.fields().find(|f| f.symbol == name).map(|f| f.value)
    }

    /// The first value of a field, by its name.
    pub fn get_named(&self, name: &str) -> Option<&'a str> {
        self.fields().find(|f| f.name == name).map(|f| f.value)
    }
}

impl std::fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Record");
        shown.field("time", &self.time()).field("source", &self.source()).field("log", &self.log());
        self.fields().for_each(|field| {
            shown.field(field.name, &field.value);
        });
        shown.field("message", &self.message()).finish()
    }
}

/// The beginning of a text, `most` bytes at most, cut where a character ends.
pub fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// Where `inner` stands in `outer`, if it is a piece of it and not merely equal to one.
pub fn offset_in(outer: &str, inner: &str) -> Option<usize> {
    let at = (inner.as_ptr() as usize).checked_sub(outer.as_ptr() as usize)?;
    (at + inner.len() <= outer.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::intake::names::Names;

    #[test]
    fn keeps_bytes_that_are_no_text() {
        let mut batch = Batch::default();
        batch.begin(7, 1, "10.0.0.1", b"caf\xe9 closed");
        batch.begin(8, 2, "10.0.0.2", "café closed".as_bytes());
        let first = batch.get(0).unwrap();
        assert_eq!(first.original(), b"caf\xe9 closed");
        assert_eq!(first.text(), "caf\u{fffd} closed");
        assert_eq!(first.get(names::DEFECT), Some("invalid_utf8"));
        assert_eq!(batch.get(1).unwrap().original(), "café closed".as_bytes());
        assert_eq!(batch.get(1).unwrap().source(), "10.0.0.2");
    }

    #[test]
    fn a_record_with_too_many_fields_says_so() {
        let mut batch = Batch::default();
        let mut interner = Interner::new(Arc::new(Names::default()));
        batch.begin(1, 1, "x", b"");
        for n in 0..MOST_FIELDS + 5 {
            batch.put_named(&mut interner, "list", &n.to_string(), Kind::Number);
        }
        batch.begin(2, 1, "x", b"");
        batch.put(names::HOST_NAME, "next");
        let record = batch.get(0).unwrap();
        assert_eq!(record.fields().len(), MOST_FIELDS);
        assert_eq!(record.get(names::DEFECT), Some("fields_dropped"));
        assert_eq!(batch.get(1).unwrap().fields().len(), 1);
    }

    #[test]
    fn a_message_inside_the_original_is_found_there() {
        let mut batch = Batch::default();
        let line = "<13>su: hello there";
        batch.begin(1, 1, "x", line.as_bytes());
        batch.set_message(&line[8..13], Some(8));
        assert_eq!(batch.get(0).unwrap().around_message(), Some(("<13>su: ", " there")));
    }
}
