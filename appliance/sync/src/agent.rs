//! The task that talks to the cloud: asks the machine what to do, does it, and tells the machine what came of it.
use crate::{
    Handlers, Host, Identity, Ledger, LedgerError, LedgerState, Spool,
    commands::Runner,
    doorbell,
    exchange::{Exchange, Outcome},
    identity::{self, IdentityError},
    status,
};
use sent_contract::sync::SyncStatus;
use sent_core::clock::SharedClock;
use sent_protocol::{
    Batch, CertificateRequest, CertificateResponse, CommandState, Cursor, Desired, EpochAnswer, EpochStart,
    HEADER_EPOCH, HEADER_SEGMENT, Hash, Micros, Refusal, Reported, TelemetryCursor, TelemetryRefusal, limits, path,
    sync::{Answer, BoxSync, Effect, Event, Facts, Fault, Poll, Request, Standing},
    telemetry::{self, Segment},
    topic::Live,
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Version of the desired document that was applied.
const DESIRED: &str = "sync.desired";
/// Epoch the segment under way is numbered in.
const SEGMENT_EPOCH: &str = "sync.segment_epoch";
/// Between two attempts to renew the certificate: one hour.
const RENEW_RETRY: Micros = 3_600_000_000;
/// After a first pause of so many points there is enough for a segment of its own.
const SEGMENT_FULL: u64 = 16_384;
/// Points of one segment: about 300 kB on the wire, so that an invoice never waits long behind one.
const SEGMENT_POINTS: usize = 1 << 17;

/// What an agent is given besides its ledger and spool.
pub struct Config {
    /// The box's data folder, where a renewed identity is kept; `None` keeps it in memory (simulated boxes).
    pub data: Option<PathBuf>,
    /// Who it is.
    pub identity: Identity,
    /// Time.
    pub clock: SharedClock,
    /// The program around it.
    pub host: Arc<dyn Host>,
    /// What commands do.
    pub handlers: Handlers,
    /// Telemetry is sent at least this often, and sooner when much waits.
    pub telemetry_every: Duration,
    /// How often the cloud is asked when no doorbell is heard; each time cut by the dice. Heeded as it changes.
    pub poll: watch::Receiver<Duration>,
    /// Keep a session with the broker.
    pub doorbell: bool,
}

/// A running agent, from outside.
#[derive(Clone)]
pub struct Handle {
    status: watch::Receiver<SyncStatus>,
    hurry: Arc<Notify>,
    live: mpsc::Sender<Live>,
    watched: watch::Receiver<Option<Instant>>,
    identity: watch::Receiver<Arc<Identity>>,
    report: Arc<Notify>,
}

impl Handle {
    /// The badge.
    pub fn status(&self) -> SyncStatus {
        self.status.borrow().clone()
    }

    /// The badge as it changes.
    pub fn watch(&self) -> watch::Receiver<SyncStatus> {
        self.status.clone()
    }

    /// Now, not at the next poll.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// What the program says of itself has changed: the cloud is told at the next turn.
    pub fn tell(&self) {
        self.report.notify_one();
    }

    /// An object of the box's organisation, of at most so many bytes. On a connection of its own, so that rows do not wait
    /// behind it.
    ///
    /// # Errors
    /// Why it cannot be had; [`Fault::Refused`] also when what came is not what was asked for.
    pub async fn object(&self, hash: &Hash, most: usize) -> Result<Vec<u8>, Fault> {
        let identity = self.identity.borrow().clone();
        let exchange = Exchange::mutual(&identity).map_err(|e| Fault::Local(e.to_string()))?;
        let bytes = exchange.bytes(&format!("{}/{hash}", path::OBJECTS), most).await?;
        if Hash::of(&bytes) == *hash {
            Ok(bytes)
        } else {
            Err(Fault::Refused("it is damaged: its hash is not the one it is named by".to_owned()))
        }
    }

    /// Whether somebody in the cloud watches this box's values.
    pub fn is_watched(&self) -> bool {
        watches(&self.watched.borrow())
    }

    /// Returns when somebody does; never, once the agent has ended.
    pub async fn watched(&self) {
        if self.watched.clone().wait_for(watches).await.is_err() {
            std::future::pending().await
        }
    }

    /// Offers live values to whoever watches this box in the cloud; drops them when nobody takes them.
    pub fn publish_live(&self, values: Live) {
        // Best effort by contract.
        let _ = self.live.try_send(values);
    }
}

fn watches(until: &Option<Instant>) -> bool {
    until.is_some_and(|until| until > Instant::now())
}

/// The agent.
pub struct Agent<L: Ledger, S: Spool> {
    ledger: Arc<L>,
    spool: Arc<Mutex<S>>,
    config: Config,
    identity: watch::Sender<Arc<Identity>>,
    exchange: Exchange,
    runner: Runner<L>,
    machine: BoxSync,
    status: watch::Sender<SyncStatus>,
    hurry: Arc<Notify>,
    ended: Arc<Notify>,
    live: Option<doorbell::Lively>,
    /// Where the cloud stands with telemetry, by its last word.
    segments: TelemetryCursor,
    telemetry_sent: Option<Micros>,
    /// Points that wait, at the beginning of this turn.
    telemetry_waiting: Option<u64>,
    /// The segment behind the one that was sent last, encoded.
    ahead: Option<Vec<u8>>,
    /// Cloud's clock less ours, and when it was first noticed.
    skew: Option<(Micros, Micros)>,
    /// What the last report said of commands.
    reported: Vec<CommandState>,
    report: bool,
    /// What the machine was told last.
    poll: Option<Duration>,
    renewal_tried: Option<Micros>,
}

impl<L: Ledger, S: Spool> Agent<L, S> {
    /// Prepares an agent. Makes the ledger take the id the cloud knows this box by.
    pub async fn new(ledger: L, spool: S, config: Config) -> Result<(Agent<L, S>, Handle), LedgerError> {
        let ledger = Arc::new(ledger);
        let mut state = ledger.state().await?;
        if state.box_id != config.identity.box_id {
            ledger.adopt(config.identity.box_id).await?;
            state = ledger.state().await?;
        }
        let exchange = Exchange::mutual(&config.identity).map_err(words)?;
        let now = config.clock.now().0;
        let machine = BoxSync::new(now);
        let badge = status::badge(&status::Facts {
            identity: &config.identity,
            health: machine.health(),
            last_sync: None,
            ledger: &state,
            spool_bytes: 0,
            telemetry_waiting: None,
            dropped_points: 0,
            skew: None,
            now,
        });
        let ended = Arc::new(Notify::new());
        let runner = Runner::load(ledger.clone(), config.clock.clone(), config.handlers.clone(), ended.clone()).await?;
        let (status, badge) = watch::channel(badge);
        let hurry = Arc::new(Notify::new());
        let (live, values) = mpsc::channel(16);
        let (watched, until) = watch::channel(None);
        let identity = watch::Sender::new(Arc::new(config.identity.clone()));
        let handle = Handle {
            status: badge,
            hurry: hurry.clone(),
            live,
            watched: until,
            identity: identity.subscribe(),
            report: ended.clone(),
        };
        let agent = Agent {
            ledger,
            spool: Arc::new(Mutex::new(spool)),
            identity,
            config,
            exchange,
            runner,
            machine,
            status,
            hurry,
            ended,
            live: Some(doorbell::Lively { values, watched }),
            segments: TelemetryCursor::default(),
            telemetry_sent: None,
            telemetry_waiting: None,
            ahead: None,
            skew: None,
            reported: Vec::new(),
            report: false,
            poll: None,
            renewal_tried: None,
        };
        Ok((agent, handle))
    }

    /// Exchanges until `shutdown`. A request under way is abandoned then: nothing is lost by it.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let (tell, mut events) = mpsc::channel(64);
        let session = match self.live.take().filter(|_| self.config.doorbell) {
            Some(live) => {
                let keep = doorbell::keep(self.identity.subscribe(), tell.clone(), live, shutdown.clone());
                Some(tokio::spawn(keep))
            }
            None => None,
        };
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.turn(&mut events) => {}
            }
        }
        drop(tell);
        if let Some(session) = session
            && let Err(error) = session.await
        {
            tracing::error!(%error, "the doorbell's task broke off");
        }
    }

    /// One turn: one request and what follows of it, or a wait.
    async fn turn(&mut self, events: &mut mpsc::Receiver<Event>) {
        while let Ok(event) = events.try_recv() {
            self.on(event).await;
        }
        self.look_as_often_as_told();
        self.renew_if_due().await;
        let (state, facts) = match self.facts().await {
            Ok(facts) => facts,
            Err(error) => {
                self.on(Event::Failed(Fault::Local(error.0))).await;
                // The store cannot even be read; there is nothing to hurry for.
                tokio::time::sleep(Duration::from_secs(5)).await;
                return;
            }
        };
        self.publish(&state).await;
        let now = self.now();
        match self.machine.poll(now, rand::random(), &facts) {
            Poll::Send(request) => {
                let event = match self.exchange(request, &state).await {
                    Ok(answer) => Event::Answered(answer),
                    Err(fault) => Event::Failed(fault),
                };
                self.on(event).await;
            }
            Poll::Wait(until) => {
                let until = until.map_or(Duration::MAX, |u| Duration::from_micros(u.saturating_sub(now).max(0) as u64));
                // The spool tells nobody that it grows: it is looked at.
                let wait = until.clamp(Duration::from_millis(1), self.config.telemetry_every);
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.ledger.changed() => {}
                    () = self.ended.notified() => self.report = true,
                    () = self.hurry.notified() => {
                        self.telemetry_sent = None;
                        self.on(Event::Hurry).await;
                    }
                    Ok(()) = self.config.poll.changed() => {}
                    Some(event) = events.recv() => self.on(event).await,
                }
            }
        }
    }

    fn look_as_often_as_told(&mut self) {
        let poll = *self.config.poll.borrow_and_update();
        if self.poll != Some(poll) {
            self.poll = Some(poll);
            self.machine.look_every(i64::try_from(poll.as_micros()).unwrap_or(i64::MAX));
        }
    }

    fn now(&self) -> Micros {
        self.config.clock.now().0
    }

    async fn on(&mut self, event: Event) {
        let (now, before) = (self.now(), self.machine.health().level);
        let effects = self.machine.on(now, rand::random(), event);
        for effect in effects {
            if let Err(error) = self.carry_out(effect).await {
                let now = self.now();
                self.machine.on(now, rand::random(), Event::Failed(Fault::Local(error.0)));
                break;
            }
        }
        let health = self.machine.health();
        if health.level != before {
            tracing::info!(level = ?health.level, cause = health.cause, "exchange with the cloud");
        }
    }

    async fn facts(&mut self) -> Result<(LedgerState, Facts), LedgerError> {
        let state = self.ledger.state().await?;
        let waiting = self.on_spool(|spool| spool.waiting_points()).await?;
        self.telemetry_waiting = Some(waiting);
        let now = self.now();
        let every = i64::try_from(self.config.telemetry_every.as_micros()).unwrap_or(i64::MAX);
        let due = self.telemetry_sent.is_none_or(|at| now < at || now.saturating_sub(at) >= every);
        let facts = Facts {
            head: state.head,
            acknowledged: state.acknowledged.sequence,
            start: state.start,
            open: state.open,
            telemetry: waiting > 0 && (due || waiting >= SEGMENT_FULL),
            reference: state.reference,
            report: self.report,
        };
        Ok((state, facts))
    }

    async fn publish(&mut self, state: &LedgerState) {
        let (spool_bytes, dropped_points) = self.on_spool(|spool| Ok(spool.stats())).await.unwrap_or((0, 0));
        let identity = self.identity.borrow().clone();
        let badge = status::badge(&status::Facts {
            identity: &identity,
            health: self.machine.health(),
            last_sync: self.machine.last_sync(),
            ledger: state,
            spool_bytes,
            telemetry_waiting: self.telemetry_waiting,
            dropped_points,
            skew: self.skew,
            now: self.now(),
        });
        self.status.send_if_modified(|old| {
            let changed = *old != badge;
            *old = badge;
            changed
        });
    }

    async fn exchange(&mut self, request: Request, state: &LedgerState) -> Result<Answer, Fault> {
        match request {
            Request::Cursor => {
                let cursor: Cursor = self.exchange.get(path::CURSOR, None).await?;
                self.place(cursor, None, None).await
            }
            Request::Epoch(start) => self.announce(&start).await,
            Request::Transactions { epoch, after, max_bytes } => self.send_rows(epoch, after, max_bytes).await,
            Request::Telemetry => self.send_segment(state.head.epoch).await,
            Request::Reference { after } => {
                let query = format!("after={after}");
                Ok(Answer::Checkpoint(self.exchange.get(path::REFERENCE, Some(&query)).await?))
            }
            Request::Desired => Ok(Answer::Desired(self.exchange.get(path::DESIRED, None).await?)),
            Request::Report => self.tell_how_it_is().await,
        }
    }

    async fn announce(&mut self, start: &EpochStart) -> Result<Answer, Fault> {
        let outcome: Outcome<EpochAnswer, Refusal> = self.exchange.post(path::EPOCH, start).await?;
        Ok(match outcome {
            Outcome::Done(answer) => {
                self.settle(answer.cursor.telemetry).await?;
                Answer::Epoch(answer)
            }
            Outcome::Conflict(refusal) => Answer::EpochRefused(refusal),
        })
    }

    async fn send_rows(&mut self, epoch: u64, after: u64, max_bytes: usize) -> Result<Answer, Fault> {
        let mut transactions = self.ledger.outbox(after, max_bytes).await.map_err(local)?;
        transactions.truncate(limits::BATCH_TRANSACTIONS);
        let last = transactions.last().map(|t| (t.sequence, t.hash));
        let outcome: Outcome<Cursor, Refusal> =
            self.exchange.post(path::TRANSACTIONS, &Batch { epoch, transactions }).await?;
        match outcome {
            Outcome::Done(cursor) => self.place(cursor, None, last).await,
            Outcome::Conflict(refusal) => self.place(refusal.cursor, Some(refusal), last).await,
        }
    }

    /// Finds where the cloud's cursor lies to us. `sent` is the last transaction of a batch it answers.
    async fn place(
        &mut self,
        cursor: Cursor,
        refused: Option<Refusal>,
        sent: Option<(u64, Hash)>,
    ) -> Result<Answer, Fault> {
        let state = self.ledger.state().await.map_err(local)?;
        self.settle(cursor.telemetry).await?;
        let mut hash = sent.filter(|(sequence, _)| *sequence == cursor.sequence).map(|(_, hash)| hash);
        let within = state.acknowledged.sequence..state.head.sequence;
        if hash.is_none()
            && cursor.epoch == state.head.epoch
            && within.contains(&cursor.sequence)
            && cursor.sequence > 0
        {
            let link = self.ledger.outbox(cursor.sequence - 1, 0).await.map_err(local)?;
            hash = link.first().filter(|t| t.sequence == cursor.sequence).map(|t| t.hash);
        }
        let standing = Standing::of(&cursor, state.head, state.acknowledged, |_| hash);
        Ok(Answer::Cursor { cursor, standing, refused })
    }

    /// Sends the segment that is under way, or the next.
    async fn send_segment(&mut self, epoch: u64) -> Result<Answer, Fault> {
        let numbered_in = self.ledger.get(SEGMENT_EPOCH).await.map_err(local)?.and_then(|e| e.parse::<u64>().ok());
        if numbered_in != Some(epoch) {
            // What is under way is numbered in an epoch that is over: the cloud will not take it any more, and its last
            // word about it was heard when it took the new epoch. In our own epoch the number stays bound to its points,
            // for an earlier sending of it may still be on its way.
            self.on_spool(|spool| spool.abandon()).await.map_err(local)?;
            self.ledger.put(SEGMENT_EPOCH, epoch.to_string()).await.map_err(local)?;
        }
        if self.segments.epoch != epoch {
            self.segments = TelemetryCursor { epoch, segment: 0 };
        }
        let next = self.segments.segment + 1;
        let ready = self.ahead.take();
        let taken = self.on_spool(move |spool| take_segment(spool, next, ready)).await.map_err(local)?;
        self.telemetry_sent = Some(self.now());
        let Some(Encoded { number, bytes, is_full }) = taken else {
            // Nothing waits after all.
            return Ok(Answer::Telemetry { cursor: self.segments, refused: None });
        };
        let headers = [(HEADER_EPOCH, epoch.to_string()), (HEADER_SEGMENT, number.to_string())];
        let sending = self.exchange.post_bytes(path::TELEMETRY, &headers, bytes);
        // Behind a full segment there is mostly another: it is read and encoded while this one travels.
        let looking = async { if is_full { self.on_spool(look_ahead).await } else { Ok(None) } };
        let (outcome, ahead): (Result<Outcome<TelemetryCursor, TelemetryRefusal>, _>, _) =
            tokio::join!(sending, looking);
        let outcome = outcome?;
        self.ahead = ahead.map_err(local)?;
        Ok(match outcome {
            Outcome::Done(cursor) => Answer::Telemetry { cursor, refused: None },
            Outcome::Conflict(refusal) => Answer::Telemetry { cursor: refusal.cursor, refused: Some(refusal.code) },
        })
    }

    async fn tell_how_it_is(&mut self) -> Result<Answer, Fault> {
        let version = self.ledger.get(DESIRED).await.map_err(local)?.and_then(|v| v.parse().ok()).unwrap_or(0);
        let commands = self.runner.unreported().await;
        // What changes from here on is reported anew.
        self.report = false;
        let badge = self.status.borrow().clone();
        let reported = Reported {
            version,
            document: self.config.host.document(),
            commands: commands.clone(),
            status: status::report(&badge, &*self.config.host, self.now()),
        };
        match self.exchange.tell(path::REPORTED, &reported).await {
            Ok(()) => self.reported = commands,
            Err(fault) => {
                self.report = !commands.is_empty();
                return Err(fault);
            }
        }
        Ok(Answer::Reported)
    }

    /// The cloud said which segment it has: the one under way may be it.
    async fn settle(&mut self, cursor: TelemetryCursor) -> Result<(), Fault> {
        self.segments = cursor;
        let numbered_in = self.ledger.get(SEGMENT_EPOCH).await.map_err(local)?.and_then(|e| e.parse::<u64>().ok());
        let arrived = numbered_in == Some(cursor.epoch);
        self.on_spool(move |spool| match spool.under_way() {
            Some(number) if arrived && number <= cursor.segment => spool.acknowledge(number),
            _ => Ok(()),
        })
        .await
        .map_err(local)
    }

    async fn carry_out(&mut self, effect: Effect) -> Result<(), LedgerError> {
        match effect {
            Effect::Acknowledge(head) => {
                let state = self.ledger.state().await?;
                if head.sequence > state.acknowledged.sequence { self.ledger.acknowledge(head).await } else { Ok(()) }
            }
            Effect::Rebase { epoch } => {
                tracing::warn!(epoch, "another copy of this box went on; beginning a new epoch");
                self.ledger.rebase(epoch).await
            }
            Effect::GiveBack { transactions, next } => {
                tracing::warn!(transactions = transactions.len(), "the cloud gives back what this box had lost");
                self.ledger.give_back(transactions, next).await
            }
            Effect::EpochTold => self.ledger.epoch_told().await,
            Effect::AcknowledgeTelemetry(cursor) => self.settle(cursor).await.map_err(|f| LedgerError(describe(f))),
            Effect::RenumberTelemetry(cursor) => {
                self.segments = cursor;
                self.on_spool(|spool| spool.abandon()).await
            }
            Effect::ApplyReference(checkpoint) => {
                let state = self.ledger.state().await?;
                if checkpoint.from != state.reference {
                    // An answer to an older question; the next one asks again.
                    return Ok(());
                }
                if checkpoint.to == checkpoint.from && checkpoint.rows.is_empty() {
                    return Ok(());
                }
                self.ledger.apply_reference(checkpoint).await
            }
            Effect::TakeDesired(desired) => self.take_desired(desired).await,
            Effect::Reported => {
                let states = std::mem::take(&mut self.reported);
                self.runner.acknowledge(&states).await
            }
        }
    }

    async fn take_desired(&mut self, desired: Desired) -> Result<(), LedgerError> {
        let now = self.now();
        if let Some(at) = desired.at {
            let since = self.skew.map_or(now, |(_, since)| since);
            self.skew = Some((at.saturating_sub(now), since));
        }
        let skew = self.skew.map_or(0, |(skew, _)| skew);
        if !desired.commands.is_empty() {
            self.report = true;
            self.runner.take(desired.commands, skew).await?;
        }
        let applied = self.ledger.get(DESIRED).await?.and_then(|v| v.parse::<i64>().ok()).unwrap_or(0);
        if desired.version != applied {
            match self.config.host.apply(desired.document).await {
                Ok(()) => {
                    self.ledger.put(DESIRED, desired.version.to_string()).await?;
                    self.report = true;
                }
                // Not applied, not confirmed: tried again with the next look.
                Err(cause) => {
                    tracing::warn!(version = desired.version, cause, "the desired document cannot be applied")
                }
            }
        }
        Ok(())
    }

    /// Renews the certificate when two thirds of its life are over. A failure is tried again in an hour.
    async fn renew_if_due(&mut self) {
        let (now, identity) = (self.now(), self.identity.borrow().clone());
        let tried = self.renewal_tried.is_some_and(|at| now >= at && now.saturating_sub(at) < RENEW_RETRY);
        if now < identity.renew_at() || tried {
            return;
        }
        self.renewal_tried = Some(now);
        match self.renew(&identity).await {
            Ok(renewed) => {
                tracing::info!(expires_at = renewed.expires_at, "certificate renewed");
                self.identity.send_replace(Arc::new(renewed));
            }
            Err(cause) => tracing::warn!(cause, "certificate could not be renewed"),
        }
    }

    async fn renew(&mut self, identity: &Identity) -> Result<Identity, String> {
        let text = |e: IdentityError| e.to_string();
        let key = identity::new_key().map_err(text)?;
        let request = CertificateRequest { csr_pem: identity::request(&key).map_err(text)? };
        let outcome: Outcome<CertificateResponse, Refusal> =
            self.exchange.post(path::CERTIFICATE, &request).await.map_err(describe)?;
        let certificate = match outcome {
            Outcome::Done(answer) => answer.certificate_pem,
            Outcome::Conflict(refusal) => return Err(refusal.message),
        };
        let renewed = identity.renewed(&key, certificate).map_err(text)?;
        let exchange = Exchange::mutual(&renewed).map_err(text)?;
        if let Some(data) = &self.config.data {
            renewed.save(data).map_err(text)?;
        }
        self.exchange = exchange;
        Ok(renewed)
    }

    /// Runs something on the spool, off the async threads.
    async fn on_spool<T, F>(&self, f: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&mut S) -> Result<T, LedgerError> + Send + 'static,
    {
        let spool = self.spool.clone();
        tokio::task::spawn_blocking(move || f(&mut spool.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .map_err(|_| LedgerError("the telemetry spool broke off".into()))?
    }
}

/// A segment as it travels.
struct Encoded {
    number: u64,
    bytes: Vec<u8>,
    /// There is mostly another behind it.
    is_full: bool,
}

/// The segment that is under way, the one that was made ready, or the next, which becomes number `next`.
fn take_segment<S: Spool>(spool: &mut S, next: u64, ready: Option<Vec<u8>>) -> Result<Option<Encoded>, LedgerError> {
    let pending = spool.under_way();
    if let (None, Some(bytes)) = (pending, ready)
        && spool.begin_ahead(next)?
    {
        return Ok(Some(Encoded { number: next, bytes, is_full: true }));
    }
    let number = pending.unwrap_or(next);
    let Some(segment) = spool.next(number, SEGMENT_POINTS)? else { return Ok(None) };
    let is_full = segment.points.len() as u64 >= SEGMENT_FULL;
    Ok(Some(Encoded { number, bytes: encode(&segment)?, is_full }))
}

fn look_ahead<S: Spool>(spool: &mut S) -> Result<Option<Vec<u8>>, LedgerError> {
    spool.look_ahead(SEGMENT_POINTS)?.as_ref().map(encode).transpose()
}

fn encode(segment: &Segment) -> Result<Vec<u8>, LedgerError> {
    telemetry::encode(&segment.points, &segment.definitions, &segment.gaps).map_err(|e| LedgerError(e.to_string()))
}

fn local(error: LedgerError) -> Fault {
    Fault::Local(error.0)
}

fn words(error: IdentityError) -> LedgerError {
    LedgerError(error.to_string())
}

fn describe(fault: Fault) -> String {
    match fault {
        Fault::Network(cause)
        | Fault::Unavailable(cause)
        | Fault::Refused(cause)
        | Fault::TooLarge(cause)
        | Fault::Revoked(cause)
        | Fault::Untrusted(cause)
        | Fault::Local(cause) => cause,
    }
}
