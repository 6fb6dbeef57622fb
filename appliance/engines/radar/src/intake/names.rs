//! Names of fields: the ones of the Elastic Common Schema that radar knows by heart, and a bounded table of all others.
//!
//! A name that is known is a number ([`Symbol`]), so whoever asks a record for a field compares numbers and hashes
//! nothing. The first [`HOT`] symbols are the columns of the store, in their order. What arrives from the network may
//! invent names without end, so the table is bounded; see [`Names::intern`].

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

/// A field's name as a number. Symbols below [`KNOWN`]`.len()` mean the same in every process; the others last as long
/// as the [`Names`] that gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub u32);

macro_rules! names {
    ($($(#[$about:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// The names that every process knows, by symbol.
        pub const KNOWN: &[&str] = &[$($text),*];
        names!(@count 0u32; $($(#[$about])* $name = $text,)*);
    };
    (@count $place:expr; ) => {};
    (@count $place:expr; $(#[$about:meta])* $name:ident = $text:literal, $($rest:tt)*) => {
        $(#[$about])*
        #[doc = concat!("`", $text, "`")]
        pub const $name: Symbol = Symbol($place);
        names!(@count $place + 1u32; $($rest)*);
    };
}

names! {
    // The columns of the store. Their order is the order of `search::schema::COLUMNS`.
    HOST_NAME = "host.name",
    LOG_LEVEL = "log.level",
    EVENT_CODE = "event.code",
    EVENT_ACTION = "event.action",
    EVENT_OUTCOME = "event.outcome",
    EVENT_PROVIDER = "event.provider",
    PROCESS_NAME = "process.name",
    PROCESS_PID = "process.pid",
    PROCESS_EXECUTABLE = "process.executable",
    PROCESS_COMMAND_LINE = "process.command_line",
    PROCESS_PARENT_EXECUTABLE = "process.parent.executable",
    USER_NAME = "user.name",
    SOURCE_IP = "source.ip",
    SOURCE_PORT = "source.port",
    DESTINATION_IP = "destination.ip",
    DESTINATION_PORT = "destination.port",
    NETWORK_TRANSPORT = "network.transport",
    FILE_PATH = "file.path",
    URL_ORIGINAL = "url.original",
    DNS_QUESTION_NAME = "dns.question.name",
    HTTP_STATUS = "http.response.status_code",
    FACILITY = "log.syslog.facility.code",
    SEVERITY = "log.syslog.severity.code",
    // Known, and kept with the rest.
    MESSAGE_ID = "log.syslog.msgid",
    LOG_FILE_PATH = "log.file.path",
    LOG_LOGGER = "log.logger",
    EVENT_KIND = "event.kind",
    EVENT_CATEGORY = "event.category",
    EVENT_SEVERITY = "event.severity",
    EVENT_REASON = "event.reason",
    EVENT_ID = "event.id",
    EVENT_START = "event.start",
    EVENT_END = "event.end",
    OBSERVER_VENDOR = "observer.vendor",
    OBSERVER_PRODUCT = "observer.product",
    OBSERVER_VERSION = "observer.version",
    OBSERVER_INGRESS = "observer.ingress.interface.name",
    OBSERVER_EGRESS = "observer.egress.interface.name",
    RULE_NAME = "rule.name",
    SOURCE_MAC = "source.mac",
    SOURCE_BYTES = "source.bytes",
    SOURCE_DOMAIN = "source.domain",
    SOURCE_USER = "source.user.name",
    DESTINATION_MAC = "destination.mac",
    DESTINATION_BYTES = "destination.bytes",
    DESTINATION_DOMAIN = "destination.domain",
    DESTINATION_USER = "destination.user.name",
    DESTINATION_PROCESS = "destination.process.name",
    NETWORK_PROTOCOL = "network.protocol",
    FILE_NAME = "file.name",
    FILE_SIZE = "file.size",
    FILE_HASH = "file.hash.md5",
    HTTP_METHOD = "http.request.method",
    HTTP_REFERRER = "http.request.referrer",
    USER_AGENT = "user_agent.original",
    USER_ID = "user.id",
    USER_DOMAIN = "user.domain",
    PROCESS_PARENT_COMMAND_LINE = "process.parent.command_line",
    PROCESS_PARENT_PID = "process.parent.pid",
    PROCESS_ENTITY = "process.entity_id",
    WINLOG_CHANNEL = "winlog.channel",
    WINLOG_EVENT_ID = "winlog.event_id",
    WINLOG_PROVIDER = "winlog.provider_name",
    WINLOG_COMPUTER = "winlog.computer_name",
    WINLOG_RECORD = "winlog.record_id",
    WINLOG_USER = "winlog.user.identifier",
    WINLOG_LEVEL = "winlog.level",
    WINLOG_TASK = "winlog.task",
    WINLOG_OPCODE = "winlog.opcode",
    WINLOG_KEYWORDS = "winlog.keywords",
    SERVICE_NAME = "service.name",
    CONTAINER_NAME = "container.name",
    CONTAINER_ID = "container.id",
    TAGS = "tags",
    ERROR_MESSAGE = "error.message",
    /// Pairs whose name found no place in the table, as `name=value`.
    OVERFLOW = "radar.overflow",
    /// What was not as it should be: `cut`, `invalid_utf8`, `fields_dropped`, `depth`.
    DEFECT = "radar.defect",
}

/// How many names are columns of the store: the ones before `log.syslog.msgid`.
pub const HOT: usize = MESSAGE_ID.0 as usize;
/// Names of one process at most, the known ones included.
pub const MOST: usize = 65_536;
/// Bytes of a name at most.
pub const LONGEST: usize = 256;

/// The table of names of a process. Shared; see [`Interner`] for the cheap way in.
#[derive(Debug)]
pub struct Names {
    table: RwLock<Table>,
}

#[derive(Debug)]
struct Table {
    by_text: HashMap<&'static str, Symbol>,
    texts: Vec<&'static str>,
}

impl Default for Names {
    fn default() -> Self {
        let by_text = KNOWN.iter().zip(0..).map(|(text, n)| (*text, Symbol(n))).collect();
        Self { table: RwLock::new(Table { by_text, texts: KNOWN.to_vec() }) }
    }
}

impl Names {
    /// The symbol of a name, given to it now if need be. `None` when the name is longer than [`LONGEST`] or the table
    /// is full: a device that invents names costs the box no more memory than that.
    pub fn intern(&self, text: &str) -> Option<Symbol> {
        self.enter(text).map(|(symbol, _)| symbol)
    }

    fn enter(&self, text: &str) -> Option<(Symbol, &'static str)> {
        if let Some(found) = self.find(text) {
            return Some(found);
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((text, symbol)) = table.by_text.get_key_value(text) {
            return Some((*symbol, text));
        }
        if text.len() > LONGEST || table.texts.len() >= MOST {
            return None;
        }
        let symbol = Symbol(table.texts.len() as u32);
        // A process has one table and keeps it until its end; what is leaked is bounded by MOST × LONGEST, 16 MB.
        let text: &'static str = Box::leak(text.into());
        table.texts.push(text);
        table.by_text.insert(text, symbol);
        Some((symbol, text))
    }

    /// The symbol of a name, if it has one.
    pub fn find(&self, text: &str) -> Option<(Symbol, &'static str)> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.by_text.get_key_value(text).map(|(text, symbol)| (*symbol, *text))
    }

    /// The text of a symbol that this table gave.
    pub fn text(&self, symbol: Symbol) -> Option<&'static str> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).texts.get(symbol.0 as usize).copied()
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).texts.len()
    }

    /// Never: the known names are always there.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// A view of [`Names`] that takes no lock for a name it has met before. One for each thread that normalises.
#[derive(Debug)]
pub struct Interner {
    names: std::sync::Arc<Names>,
    met: HashMap<&'static str, Symbol, Quick>,
}

impl Interner {
    /// A view of a table.
    pub fn new(names: std::sync::Arc<Names>) -> Self {
        let met = KNOWN.iter().zip(0..).map(|(text, n)| (*text, Symbol(n))).collect();
        Self { names, met }
    }

    /// As [`Names::intern`], with the name's text.
    pub fn intern(&mut self, text: &str) -> Option<(Symbol, &'static str)> {
        if let Some((text, symbol)) = self.met.get_key_value(text) {
            return Some((*symbol, text));
        }
        let (symbol, text) = self.names.enter(text)?;
        self.met.insert(text, symbol);
        Some((symbol, text))
    }

    /// The table.
    pub fn names(&self) -> &std::sync::Arc<Names> {
        &self.names
    }
}

/// A hash for short names. The table is bounded, so names made to collide cost a bounded walk at worst, and its size
/// only with a writer who may log here anyway.
type Quick = std::hash::BuildHasherDefault<QuickHasher>;

#[derive(Default)]
struct QuickHasher(u64);

impl std::hash::Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.write_u64(u64::from_le_bytes(last) ^ ((rest.len() as u64) << 56));
    }

    fn write_u8(&mut self, _: u8) {
        // The end mark of a string: lengths are part of the hash already.
    }

    fn write_u64(&mut self, word: u64) {
        // The multiplier of SplitMix64's finaliser.
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_their_symbols() {
        let names = Names::default();
        for (text, n) in KNOWN.iter().zip(0..) {
            assert_eq!(names.intern(text), Some(Symbol(n)), "{text} stands twice");
        }
        assert_eq!(names.text(SOURCE_IP), Some("source.ip"));
        assert_eq!(KNOWN[HOT - 1], "log.syslog.severity.code");
    }

    #[test]
    fn the_table_is_bounded() {
        let names = Names::default();
        assert_eq!(names.intern(&"x".repeat(LONGEST + 1)), None);
        let mut interner = Interner::new(names.into());
        for n in 0..MOST {
            interner.intern(&format!("invented.{n}"));
        }
        assert_eq!(interner.names().len(), MOST);
        assert_eq!(interner.intern("one.more"), None);
        assert_eq!(interner.intern("invented.7").map(|(_, text)| text), Some("invented.7"));
    }
}
