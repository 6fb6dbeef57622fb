//! One channel's last publications, and what a client that was away has missed of them.
//!
//! Offsets count from 1 without holes. What is kept is bounded in number and in bytes; asking for more than is kept is
//! answered "not recoverable", never with a part.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};
use serde_json::value::RawValue;
use uuid::Uuid;

/// Publications kept for recovery in each channel.
pub const HISTORY: usize = 256;

/// Bytes of data kept for recovery in each channel.
pub const HISTORY_BYTES: usize = 1 << 20;

/// A place in a channel's stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// The last offset seen; 0 before the first publication.
    pub offset: u64,
    /// Which numbering the offset belongs to.
    pub epoch: String,
}

/// A channel: an organisation's, and its name there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChannelName {
    /// Whose.
    pub organization: Uuid,
    /// `home`, `table:entries` …
    pub name: Box<str>,
}

impl ChannelName {
    /// Reads what a client calls a channel: `name` in its own organisation, or `ORGANIZATION:name`, where the
    /// organisation is a lower-case hyphenated UUID. `own` is the organisation that a bare name belongs to.
    pub fn parse(text: &str, own: Uuid) -> Self {
        match split_organization(text) {
            Some((organization, name)) => Self { organization, name: name.into() },
            None => Self { organization: own, name: text.into() },
        }
    }
}

/// Splits `ORGANIZATION:name`; `None` for a bare name.
pub(super) fn split_organization(text: &str) -> Option<(Uuid, &str)> {
    const UUID: usize = 36;
    let (prefix, rest) = text.split_at_checked(UUID)?;
    let name = rest.strip_prefix(':')?;
    let organization = Uuid::try_parse(prefix).ok()?;
    let mut canonical = [0; UUID];
    (organization.hyphenated().encode_lower(&mut canonical) == prefix).then_some((organization, name))
}

/// Something that was said in a channel. Its frame is encoded at most once for each way of naming the channel, however
/// many hear it.
#[derive(Debug)]
pub struct Publication {
    channel: Arc<ChannelName>,
    offset: u64,
    data: Box<RawValue>,
    bare: OnceLock<Bytes>,
    qualified: OnceLock<Bytes>,
}

impl Publication {
    /// Its place in the channel.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What was said: JSON without line breaks.
    pub fn data(&self) -> &RawValue {
        &self.data
    }

    /// The push for a subscriber; `qualified` for one who named the channel with its organisation.
    pub fn frame(&self, qualified: bool) -> Bytes {
        let (slot, organization) =
            if qualified { (&self.qualified, Some(self.channel.organization)) } else { (&self.bare, None) };
        slot.get_or_init(|| self.encode(organization)).clone()
    }

    fn encode(&self, organization: Option<Uuid>) -> Bytes {
        let mut channel = organization.map(|o| format!("{o}:")).unwrap_or_default();
        channel.push_str(&self.channel.name);
        let channel = serde_json::Value::from(channel);
        let (data, offset) = (self.data.get(), self.offset);
        Bytes::from(format!(r#"{{"push":{{"channel":{channel},"pub":{{"data":{data},"offset":{offset}}}}}}}"#))
    }
}

impl Serialize for Publication {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Publication", 2)?;
        fields.serialize_field("data", &self.data)?;
        fields.serialize_field("offset", &self.offset)?;
        fields.end()
    }
}

/// Which publications a client asks to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Only those after this place (before it, when reversed).
    pub since: Option<Position>,
    /// At most so many; `None` for all that are kept.
    pub limit: Option<usize>,
    /// Newest first.
    pub reverse: bool,
}

/// The last publications of one channel.
#[derive(Debug)]
pub struct Stream {
    channel: Arc<ChannelName>,
    top: u64,
    kept: VecDeque<Arc<Publication>>,
    bytes: usize,
}

impl Stream {
    /// A channel in which nothing was said yet.
    pub fn new(channel: ChannelName) -> Self {
        Self { channel: Arc::new(channel), top: 0, kept: VecDeque::new(), bytes: 0 }
    }

    /// The newest offset; 0 before the first publication.
    pub fn top(&self) -> u64 {
        self.top
    }

    /// Appends a publication and forgets the oldest ones beyond the bounds.
    pub fn push(&mut self, data: &RawValue) -> Arc<Publication> {
        self.top += 1;
        let publication = Arc::new(Publication {
            channel: Arc::clone(&self.channel),
            offset: self.top,
            data: on_one_line(data),
            bare: OnceLock::new(),
            qualified: OnceLock::new(),
        });
        self.bytes += publication.data.get().len();
        self.kept.push_back(Arc::clone(&publication));
        while self.kept.len() > HISTORY || self.bytes > HISTORY_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.data.get().len();
        }
        publication
    }

    /// Everything after `offset`, oldest first; `None` when some of it is gone, or was never there.
    pub fn missed(&self, offset: u64) -> Option<Vec<Arc<Publication>>> {
        let count = usize::try_from(self.top.checked_sub(offset)?).ok()?;
        let from = self.kept.len().checked_sub(count)?;
        Some(self.kept.range(from..).cloned().collect())
    }

    /// A page of what is kept.
    pub fn page(&self, filter: &HistoryFilter) -> Vec<Arc<Publication>> {
        let limit = filter.limit.unwrap_or(usize::MAX);
        let since = filter.since.as_ref().map(|s| s.offset);
        let all = self.kept.iter();
        if filter.reverse {
            all.rev().filter(|p| since.is_none_or(|s| p.offset < s)).take(limit).cloned().collect()
        } else {
            all.filter(|p| since.is_none_or(|s| p.offset > s)).take(limit).cloned().collect()
        }
    }
}

/// Line breaks separate messages, and in JSON they can only be white space between tokens.
fn on_one_line(data: &RawValue) -> Box<RawValue> {
    if data.get().contains(['\n', '\r']) {
        let line = data.get().replace(['\n', '\r'], " ");
        RawValue::from_string(line).unwrap_or_else(|_| data.to_owned())
    } else {
        data.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream_of(count: u64) -> Stream {
        let name = ChannelName { organization: Uuid::nil(), name: "home".into() };
        let mut stream = Stream::new(name);
        for n in 1..=count {
            stream.push(&RawValue::from_string(n.to_string()).unwrap());
        }
        stream
    }

    fn offsets(publications: &[Arc<Publication>]) -> Vec<u64> {
        publications.iter().map(|p| p.offset()).collect()
    }

    #[test]
    fn what_was_missed_is_whole_or_nothing() {
        let stream = stream_of(300);
        assert_eq!(offsets(&stream.missed(298).unwrap()), [299, 300]);
        assert_eq!(stream.missed(300).unwrap().len(), 0);
        assert_eq!(stream.missed(44).unwrap().len(), HISTORY);
        assert!(stream.missed(43).is_none(), "44 is no longer kept");
        assert!(stream.missed(301).is_none(), "nobody can have seen 301");
    }

    #[test]
    fn history_is_bounded_in_bytes() {
        let mut stream = stream_of(0);
        let large = RawValue::from_string(format!("\"{}\"", "x".repeat(HISTORY_BYTES / 2))).unwrap();
        for _ in 0..3 {
            stream.push(&large);
        }
        assert_eq!(offsets(&stream.page(&HistoryFilter::default())), [3]);
        assert!(stream.missed(1).is_none());
        assert_eq!(offsets(&stream.missed(2).unwrap()), [3]);
    }

    #[test]
    fn pages() {
        let stream = stream_of(5);
        let since = |offset| Some(Position { offset, epoch: String::new() });
        let page = |since, limit, reverse| offsets(&stream.page(&HistoryFilter { since, limit, reverse }));
        assert_eq!(page(None, None, false), [1, 2, 3, 4, 5]);
        assert_eq!(page(None, Some(2), true), [5, 4]);
        assert_eq!(page(since(2), Some(2), false), [3, 4]);
        assert_eq!(page(since(2), None, true), [1]);
        assert_eq!(page(None, Some(0), false), [0u64; 0]);
    }

    #[test]
    fn a_frame_is_one_line_and_encoded_once() {
        let mut stream = stream_of(0);
        let publication = stream.push(&RawValue::from_string("{\n \"a\": \"\\n\"\r\n}".to_owned()).unwrap());
        let frame = publication.frame(false);
        assert_eq!(
            frame,
            Bytes::from_static(br#"{"push":{"channel":"home","pub":{"data":{  "a": "\n"  },"offset":1}}}"#)
        );
        assert_eq!(frame.as_ptr(), publication.frame(false).as_ptr(), "the bytes are shared");
        let qualified = publication.frame(true);
        assert!(qualified.starts_with(br#"{"push":{"channel":"00000000-0000-0000-0000-000000000000:home","#));
    }

    #[test]
    fn channels_are_named_bare_or_with_their_organisation() {
        let own = Uuid::from_u128(1);
        let other = Uuid::from_u128(2);
        let parse = |text: &str| ChannelName::parse(text, own);
        assert_eq!(parse("table:x"), ChannelName { organization: own, name: "table:x".into() });
        assert_eq!(parse(&format!("{other}:table:x")), ChannelName { organization: other, name: "table:x".into() });
        let upper = "0000000A-0000-0000-0000-00000000000B:x";
        assert_eq!(parse(upper), ChannelName { organization: own, name: upper.into() }, "one spelling only");
        assert_eq!(parse("é".repeat(30).as_str()).organization, own);
    }
}
