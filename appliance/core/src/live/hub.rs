//! Channels and who listens to them, in memory.
//!
//! A publication is numbered, kept and handed to every subscriber's mailbox under its channel's lock, and a subscriber
//! joins under the same lock: nobody misses a publication between recovering and listening. A mailbox is bounded; a full
//! one marks its connection for disconnection, so a publisher waits for nobody.
//!
//! Locks are taken in this order: the map of channels, one channel, one mailbox. A channel is created and removed only
//! with the map locked for writing. It is removed when nobody listens and nothing was ever said in it, so asking for
//! channels that nobody publishes to leaves nothing behind.
//!
//! Channels do not outlive the process. The epoch tells clients so: another hub has another epoch.
//!
//! A hub can be overheard: whatever is said in it is handed to another process, whose hub says it again and numbers it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

use super::{
    message::{Disconnect, Refusal},
    protocol::{Joined, Kept},
    stream::{ChannelName, HistoryFilter, Position, Publication, Stream},
};
use crate::identity::Rights;

/// Publications that may wait for one connection.
pub const MAX_WAITING: usize = 8192;

/// Bytes of data that may wait for one connection.
pub const MAX_WAITING_BYTES: usize = 1 << 20;

/// Publications that may wait for one who overhears.
const MAX_OVERHEARD: usize = 1024;

/// A mailbox that needed more room than this gives it back when it is emptied.
const KEEP_CAPACITY: usize = 16;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The user's id.
    pub user: Uuid,
    /// Which login: a session's or token's digest, so that ending it ends its connections.
    pub login: String,
    /// Whose channels may be heard. A bare channel name belongs to the first.
    pub organizations: Vec<Uuid>,
    /// What else is allowed; read by the hub's rule.
    pub rights: Rights,
}

/// Says whether somebody may hear a channel. Asked after the organisation was checked.
pub type Rule = dyn Fn(&Identity, &ChannelName) -> bool + Send + Sync;

/// All channels.
pub struct Hub {
    epoch: Box<str>,
    rule: Box<Rule>,
    channels: RwLock<HashMap<Arc<ChannelName>, Mutex<Channel>>>,
    connections: Mutex<HashMap<u64, Arc<Member>>>,
    next_connection: AtomicU64,
    overheard: broadcast::Sender<Arc<Said>>,
}

/// What was said in a channel, for another hub.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Said {
    /// Whose channel.
    pub organization: Uuid,
    /// Its name there.
    pub channel: Box<str>,
    /// What.
    pub data: Box<RawValue>,
}

struct Channel {
    stream: Stream,
    /// By connection and its key for the subscription.
    subscribers: BTreeMap<(u64, u64), Arc<Member>>,
}

struct Member {
    identity: Identity,
    mailbox: Mutex<Mailbox>,
    changed: Notify,
}

#[derive(Default)]
struct Mailbox {
    waiting: VecDeque<Delivery>,
    bytes: usize,
    end: Option<Disconnect>,
}

/// A publication on its way to a subscriber.
#[derive(Debug)]
pub struct Delivery {
    /// The subscription.
    pub key: u64,
    /// What was said.
    pub publication: Arc<Publication>,
}

impl Hub {
    /// A hub in which everybody hears everything of their organisations. `epoch_seed` differs from that of every hub
    /// whose offsets a client may still hold: random, or the time of the start.
    pub fn new(epoch_seed: u64) -> Arc<Self> {
        Self::with_rule(epoch_seed, |_, _| true)
    }

    /// A hub that asks `rule` before it lets anybody listen.
    pub fn with_rule(
        epoch_seed: u64,
        rule: impl Fn(&Identity, &ChannelName) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            epoch: format!("{epoch_seed:016x}").into(),
            rule: Box::new(rule),
            channels: RwLock::default(),
            connections: Mutex::default(),
            next_connection: AtomicU64::new(1),
            overheard: broadcast::Sender::new(MAX_OVERHEARD),
        })
    }

    /// Says `data` in an organisation's channel and returns its offset. Never waits for a listener.
    pub fn publish(&self, organization: Uuid, channel: &str, data: &RawValue) -> u64 {
        if self.overheard.receiver_count() > 0 {
            // Who overheard has gone meanwhile: no error.
            let _ =
                self.overheard.send(Arc::new(Said { organization, channel: channel.into(), data: data.to_owned() }));
        }
        let name = ChannelName { organization, name: channel.into() };
        self.in_channel(name, |channel| channel.publish(data))
    }

    /// [`Hub::publish`] of anything that can be written as JSON.
    ///
    /// # Errors
    /// When it can't: a map whose keys are not texts, say.
    pub fn publish_value(
        &self,
        organization: Uuid,
        channel: &str,
        value: &impl Serialize,
    ) -> Result<u64, serde_json::Error> {
        let data = serde_json::value::to_raw_value(value)?;
        Ok(self.publish(organization, channel, &data))
    }

    /// Everything that is said from now on, in all channels. Who is too slow misses some, and is told how many.
    pub fn overhear(&self) -> broadcast::Receiver<Arc<Said>> {
        self.overheard.subscribe()
    }

    /// The channels whose name begins with `prefix` and that somebody listens to.
    pub fn heard(&self, prefix: &str) -> Vec<ChannelName> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        let heard = channels
            .iter()
            .filter(|(name, channel)| name.name.starts_with(prefix) && !lock(channel).subscribers.is_empty());
        heard.map(|(name, _)| ChannelName::clone(name)).collect()
    }

    /// Ends every connection of whom `which` is true, and returns how many those are. For a login that ended, a user who
    /// was disabled, rights that changed.
    pub fn close(&self, which: impl Fn(&Identity) -> bool, why: Disconnect) -> usize {
        let connections = lock(&self.connections);
        let chosen = connections.values().filter(|member| which(&member.identity));
        chosen.map(|member| member.end(why)).count()
    }

    /// How many connections are authenticated.
    pub fn connections(&self) -> usize {
        lock(&self.connections).len()
    }

    /// How many channels are held.
    pub fn channels(&self) -> usize {
        self.channels.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Lets somebody in.
    pub fn connect(self: &Arc<Self>, identity: Identity) -> Connection {
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let member = Arc::new(Member { identity, mailbox: Mutex::default(), changed: Notify::new() });
        lock(&self.connections).insert(id, Arc::clone(&member));
        Connection { hub: Arc::clone(self), id, member, joined: Vec::new() }
    }

    fn position(&self, offset: u64) -> Position {
        Position { offset, epoch: self.epoch.to_string() }
    }

    /// Does something in a channel, which is created if it isn't there.
    fn in_channel<T>(&self, name: ChannelName, action: impl FnOnce(&mut Channel) -> T) -> T {
        {
            let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(channel) = channels.get(&name) {
                return action(&mut lock(channel));
            }
        }
        let mut channels = self.channels.write().unwrap_or_else(PoisonError::into_inner);
        let channel = channels.entry(Arc::new(name.clone())).or_insert_with(|| Mutex::new(Channel::new(name)));
        action(channel.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    fn leave(&self, name: &ChannelName, subscriber: (u64, u64)) {
        {
            let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
            let Some(channel) = channels.get(name) else { return };
            let mut channel = lock(channel);
            channel.subscribers.remove(&subscriber);
            if !channel.is_unused() {
                return;
            }
        }
        let mut channels = self.channels.write().unwrap_or_else(PoisonError::into_inner);
        if channels.get(name).is_some_and(|channel| lock(channel).is_unused()) {
            channels.remove(name);
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Channel {
    fn new(name: ChannelName) -> Self {
        Self { stream: Stream::new(name), subscribers: BTreeMap::new() }
    }

    fn publish(&mut self, data: &RawValue) -> u64 {
        let publication = self.stream.push(data);
        for ((_, key), member) in &self.subscribers {
            member.deliver(*key, &publication);
        }
        publication.offset()
    }

    fn is_unused(&self) -> bool {
        self.subscribers.is_empty() && self.stream.top() == 0
    }
}

impl Member {
    fn deliver(&self, key: u64, publication: &Arc<Publication>) {
        let mut mailbox = lock(&self.mailbox);
        if mailbox.end.is_some() {
            return;
        }
        let bytes = mailbox.bytes + publication.data().get().len();
        if mailbox.waiting.len() >= MAX_WAITING || bytes > MAX_WAITING_BYTES {
            drop(mailbox);
            return self.end(Disconnect::SLOW);
        }
        mailbox.bytes = bytes;
        mailbox.waiting.push_back(Delivery { key, publication: Arc::clone(publication) });
        if mailbox.waiting.len() == 1 {
            self.changed.notify_one();
        }
    }

    fn end(&self, why: Disconnect) {
        let mut mailbox = lock(&self.mailbox);
        if mailbox.end.is_none() {
            *mailbox = Mailbox { end: Some(why), ..Mailbox::default() };
            self.changed.notify_one();
        }
    }
}

/// One authenticated connection; leaves everything when it is dropped.
pub struct Connection {
    hub: Arc<Hub>,
    id: u64,
    member: Arc<Member>,
    joined: Vec<(u64, ChannelName)>,
}

impl Connection {
    /// Starts to hear a channel. With `recover`, tells what was said since then, if all of it is still kept.
    ///
    /// # Errors
    /// [`Refusal::PERMISSION_DENIED`].
    pub fn join(&mut self, key: u64, channel: &str, recover: Option<&Position>) -> Result<Joined, Refusal> {
        let name = self.permitted(channel)?;
        self.joined.push((key, name.clone()));
        let subscriber = (self.id, key);
        let (offset, missed) = self.hub.in_channel(name, |channel| {
            channel.subscribers.insert(subscriber, Arc::clone(&self.member));
            let known = recover.filter(|from| self.hub.is_epoch(&from.epoch));
            (channel.stream.top(), known.and_then(|from| channel.stream.missed(from.offset)))
        });
        Ok(Joined { top: self.hub.position(offset), missed })
    }

    /// Stops to hear it.
    pub fn leave(&mut self, key: u64) {
        if let Some(at) = self.joined.iter().position(|(k, _)| *k == key) {
            let (key, name) = self.joined.swap_remove(at);
            self.hub.leave(&name, (self.id, key));
        }
    }

    /// Reads what a channel keeps.
    ///
    /// # Errors
    /// [`Refusal::PERMISSION_DENIED`], and [`Refusal::UNRECOVERABLE_POSITION`] for a place of another epoch.
    pub fn history(&self, channel: &str, filter: &HistoryFilter) -> Result<Kept, Refusal> {
        let name = self.permitted(channel)?;
        if filter.since.as_ref().is_some_and(|since| !self.hub.is_epoch(&since.epoch)) {
            return Err(Refusal::UNRECOVERABLE_POSITION);
        }
        let channels = self.hub.channels.read().unwrap_or_else(PoisonError::into_inner);
        let (offset, publications) = channels
            .get(&name)
            .map(lock)
            .map_or((0, Vec::new()), |channel| (channel.stream.top(), channel.stream.page(filter)));
        Ok(Kept { top: self.hub.position(offset), publications })
    }

    /// Empties the mailbox: what was said, then whether the connection has to end.
    pub fn take(&self) -> (VecDeque<Delivery>, Option<Disconnect>) {
        let mut mailbox = lock(&self.member.mailbox);
        mailbox.bytes = 0;
        let room = mailbox.waiting.capacity().min(KEEP_CAPACITY);
        let waiting = std::mem::replace(&mut mailbox.waiting, VecDeque::with_capacity(room));
        (waiting, mailbox.end)
    }

    /// Waits until the mailbox holds something.
    pub async fn changed(&self) {
        loop {
            let waiting = {
                let mailbox = lock(&self.member.mailbox);
                !mailbox.waiting.is_empty() || mailbox.end.is_some()
            };
            if waiting {
                return;
            }
            self.member.changed.notified().await;
        }
    }

    /// Waits until the connection has to end.
    pub async fn ended(&self) -> Disconnect {
        loop {
            if let Some(why) = lock(&self.member.mailbox).end {
                return why;
            }
            self.member.changed.notified().await;
        }
    }

    fn permitted(&self, channel: &str) -> Result<ChannelName, Refusal> {
        let identity = &self.member.identity;
        let own = identity.organizations.first().ok_or(Refusal::PERMISSION_DENIED)?;
        let name = ChannelName::parse(channel, *own);
        let permitted = identity.organizations.contains(&name.organization) && (self.hub.rule)(identity, &name);
        permitted.then_some(name).ok_or(Refusal::PERMISSION_DENIED)
    }
}

impl Hub {
    /// Whether a client's epoch is this hub's; a client that names none takes whatever there is.
    fn is_epoch(&self, epoch: &str) -> bool {
        epoch.is_empty() || *epoch == *self.epoch
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).field("joined", &self.joined).finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for (key, name) in std::mem::take(&mut self.joined) {
            self.hub.leave(&name, (self.id, key));
        }
        lock(&self.hub.connections).remove(&self.id);
    }
}

/// What a lock guards is whole after every statement, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn identity(organizations: &[Uuid]) -> Identity {
        let rights = Rights(vec!["audit.read".to_owned()]);
        Identity { user: Uuid::nil(), login: "a".to_owned(), organizations: organizations.to_vec(), rights }
    }

    fn heard(connection: &Connection) -> Vec<String> {
        let (waiting, end) = connection.take();
        assert_eq!(end, None);
        waiting.iter().map(|d| format!("{}={}", d.key, d.publication.data())).collect()
    }

    #[test]
    fn an_organisation_hears_only_its_own() {
        let hub = Hub::new(1);
        let mut own = hub.connect(identity(&[OWN]));
        let mut fleet = hub.connect(identity(&[OWN, OTHER]));
        own.join(1, "home", None).unwrap();
        assert_eq!(own.join(2, &format!("{OTHER}:home"), None).unwrap_err(), Refusal::PERMISSION_DENIED);
        fleet.join(1, &format!("{OTHER}:home"), None).unwrap();
        fleet.join(2, "home", None).unwrap();

        hub.publish_value(OWN, "home", &"own").unwrap();
        hub.publish_value(OTHER, "home", &"other").unwrap();

        assert_eq!(heard(&own), [r#"1="own""#]);
        assert_eq!(heard(&fleet), [r#"2="own""#, r#"1="other""#]);
        assert!(own.history(&format!("{OTHER}:home"), &HistoryFilter::default()).is_err());
    }

    #[test]
    fn the_rule_is_asked() {
        let hub =
            Hub::with_rule(1, |identity, channel| &*channel.name != "audit" || identity.rights.allow("audit.read"));
        let mut with = hub.connect(identity(&[OWN]));
        let mut without = hub.connect(Identity { rights: Rights(Vec::new()), ..identity(&[OWN]) });
        assert!(with.join(1, "audit", None).is_ok());
        assert_eq!(without.join(1, "audit", None).unwrap_err(), Refusal::PERMISSION_DENIED);
        assert!(without.join(1, "home", None).is_ok());
    }

    #[test]
    fn a_full_mailbox_ends_its_connection_and_nobody_elses() {
        let hub = Hub::new(1);
        let mut slow = hub.connect(identity(&[OWN]));
        let mut quick = hub.connect(identity(&[OWN]));
        slow.join(1, "home", None).unwrap();
        quick.join(1, "home", None).unwrap();
        let mut count = 0;
        for n in 0..=MAX_WAITING {
            hub.publish_value(OWN, "home", &n).unwrap();
            count += heard(&quick).len();
        }
        assert_eq!(count, MAX_WAITING + 1);
        let (waiting, end) = slow.take();
        assert_eq!((waiting.len(), end), (0, Some(Disconnect::SLOW)));
    }

    #[test]
    fn a_mailbox_is_bounded_in_bytes() {
        let hub = Hub::new(1);
        let mut slow = hub.connect(identity(&[OWN]));
        slow.join(1, "home", None).unwrap();
        let large = "x".repeat(MAX_WAITING_BYTES / 2);
        for _ in 0..3 {
            hub.publish_value(OWN, "home", &large).unwrap();
        }
        assert_eq!(slow.take().1, Some(Disconnect::SLOW));
    }

    #[test]
    fn what_nobody_publishes_to_is_forgotten() {
        let hub = Hub::new(1);
        let mut connection = hub.connect(identity(&[OWN]));
        connection.join(1, "made up", None).unwrap();
        connection.join(2, "home", None).unwrap();
        hub.publish_value(OWN, "home", &1).unwrap();
        assert_eq!((hub.connections(), hub.channels()), (1, 2));
        connection.leave(1);
        assert_eq!(hub.channels(), 1);
        drop(connection);
        assert_eq!((hub.connections(), hub.channels()), (0, 1));
    }

    #[test]
    fn what_is_overheard_can_be_said_again() {
        let (hub, other) = (Hub::new(1), Hub::new(2));
        hub.publish_value(OWN, "home", &"before").unwrap();
        let mut overheard = hub.overhear();
        hub.publish_value(OWN, "home", &"after").unwrap();
        let mut page = other.connect(identity(&[OWN]));
        page.join(1, "home", None).unwrap();
        let line = serde_json::to_string(&*overheard.try_recv().unwrap()).unwrap();
        assert!(overheard.try_recv().is_err(), "nothing from before");
        let said: Said = serde_json::from_str(&line).unwrap();
        assert_eq!(other.publish(said.organization, &said.channel, &said.data), 1, "numbered anew");
        assert_eq!(heard(&page), [r#"1="after""#]);
    }

    #[test]
    fn channels_that_are_heard_are_known() {
        let hub = Hub::new(1);
        let mut page = hub.connect(identity(&[OWN]));
        page.join(1, "live.a", None).unwrap();
        page.join(2, "home", None).unwrap();
        hub.publish_value(OWN, "live.b", &1).unwrap();
        assert_eq!(hub.heard("live."), [ChannelName { organization: OWN, name: "live.a".into() }]);
        page.leave(1);
        assert!(hub.heard("live.").is_empty());
    }

    #[test]
    fn connections_can_be_ended_from_outside() {
        let hub = Hub::new(1);
        let one = hub.connect(identity(&[OWN]));
        let two = hub.connect(Identity { login: "b".to_owned(), ..identity(&[OWN]) });
        assert_eq!(hub.close(|i| i.login == "b", Disconnect::EXPIRED), 1);
        assert_eq!(one.take().1, None);
        assert_eq!(two.take().1, Some(Disconnect::EXPIRED));
    }
}
