//! The box's end: what to say next, and what an answer means.
//!
//! One request is in flight at a time. The agent around this machine sends what [`BoxSync::poll`] asks for, hands every
//! outcome to [`BoxSync::on`], and carries the returned effects out **durably and in order** before it polls again.
//! The machine itself remembers nothing that must survive a crash: everything durable comes back as [`Facts`] at each
//! poll, so a box that stopped anywhere starts with a new machine and loses nothing but time.
//!
//! What goes first: making sure both ends mean the same chain, then what somebody rang for or is due, then business rows,
//! then the newest telemetry, then the telemetry that piled up.
//!
//! Time may jump. A timer is a moment and a delay; a clock that reads earlier than the moment makes the timer due.
use crate::{
    Checkpoint, Cursor, Desired, EpochAnswer, EpochStart, Head, Level, Micros, Position, Refusal, TelemetryCursor,
    Transaction, code, limits, topic::DoorbellKind,
};

const SECOND: Micros = 1_000_000;
/// First delay after a failure; doubles up to [`RETRY_MOST`], each time cut by up to half by the dice, so that a thousand
/// boxes do not come back in one instant.
const RETRY_LEAST: Micros = SECOND;
/// Longest delay after a failure.
const RETRY_MOST: Micros = 60 * SECOND;
/// Delay after the cloud said that this box is revoked or not the one it claims to be: a person has to act first.
const RETRY_REFUSED: Micros = 600 * SECOND;
/// How often to look without a doorbell, unless [`BoxSync::look_every`] says otherwise.
const POLL: Micros = 30 * SECOND;
/// How often to look in case a doorbell was lost; a box that is to look more rarely than this does.
const POLL_WITH_DOORBELL: Micros = 300 * SECOND;
/// How often to report when nothing changed.
const REPORT: Micros = 60 * SECOND;
/// Smallest budget of a batch: after failures the next batch is half as large, down to this.
const BATCH_LEAST: usize = 64 << 10;

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `GET cursor`.
    Cursor,
    /// `POST epoch`.
    Epoch(EpochStart),
    /// `POST transactions`: those after `after`, up to `max_bytes` but at least one.
    Transactions {
        /// Epoch they belong to.
        epoch: u64,
        /// Last acknowledged sequence.
        after: u64,
        /// Budget.
        max_bytes: usize,
    },
    /// `POST telemetry`: the segment that is under way, or the next.
    Telemetry,
    /// `GET reference?after=`.
    Reference {
        /// Version that is applied.
        after: u64,
    },
    /// `GET desired`.
    Desired,
    /// `POST reported`.
    Report,
}

/// Where a cursor of the cloud lies, as the ledger sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// On our chain, at or after what was acknowledged.
    Ours,
    /// In our epoch, but past our end or on another chain: this is a copy of a box that went on elsewhere.
    Foreign,
    /// In our epoch, before what the cloud had acknowledged: the cloud has lost something.
    Behind,
    /// In an earlier epoch: the cloud does not know ours yet.
    Earlier,
    /// In a later epoch: somebody else is this box, or was.
    Later,
}

impl Standing {
    /// Finds the standing of `cursor`. `acknowledged` is the last link the cloud acknowledged in our epoch, and
    /// `hash_at` the hash of any link after it.
    pub fn of(
        cursor: &Cursor,
        head: Head,
        acknowledged: Head,
        hash_at: impl FnOnce(u64) -> Option<crate::Hash>,
    ) -> Standing {
        if cursor.epoch != head.epoch {
            if cursor.epoch < head.epoch { Standing::Earlier } else { Standing::Later }
        } else if cursor.sequence < acknowledged.sequence {
            Standing::Behind
        } else {
            let ours = match cursor.sequence {
                s if s == acknowledged.sequence => Some(acknowledged.hash),
                s if s == head.sequence => Some(head.hash),
                s if s < head.sequence => hash_at(s),
                _ => None,
            };
            if ours == Some(cursor.hash) { Standing::Ours } else { Standing::Foreign }
        }
    }
}

/// What the cloud said.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A cursor, to [`Request::Cursor`] or [`Request::Transactions`].
    Cursor {
        /// Where the cloud is.
        cursor: Cursor,
        /// Where that is to us.
        standing: Standing,
        /// The 409 it came with.
        refused: Option<Refusal>,
    },
    /// To [`Request::Epoch`].
    Epoch(EpochAnswer),
    /// The 409 to [`Request::Epoch`].
    EpochRefused(Refusal),
    /// To [`Request::Telemetry`], with a 200 or a 409.
    Telemetry {
        /// Where the cloud is.
        cursor: TelemetryCursor,
        /// It was a 409 of this code.
        refused: Option<String>,
    },
    /// To [`Request::Reference`].
    Checkpoint(Checkpoint),
    /// To [`Request::Desired`].
    Desired(Desired),
    /// To [`Request::Report`].
    Reported,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection, or it broke.
    Network(String),
    /// The cloud is there and cannot (5xx).
    Unavailable(String),
    /// The cloud refused this request as such (4xx).
    Refused(String),
    /// The batch is larger than the cloud takes.
    TooLarge(String),
    /// This box's certificate was revoked.
    Revoked(String),
    /// The other end is not our cloud, or does not take our certificate.
    Untrusted(String),
    /// The box itself cannot: its disk, its store.
    Local(String),
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The request in flight was answered.
    Answered(Answer),
    /// The request in flight failed, or an effect did.
    Failed(Fault),
    /// The doorbell rang.
    Rang(DoorbellKind),
    /// The session with the broker began (true) or ended. At its beginning everything is looked at once: bells may have
    /// been missed.
    Doorbell(bool),
    /// Somebody wants it now (`sync_now`, a button), or the network came back: no more waiting.
    Hurry,
}

/// What to carry out, durably and in order, before the next poll.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Everything up to here is with the cloud.
    Acknowledge(Head),
    /// Begin this epoch from the last acknowledged link, with a new token; chain what was not acknowledged again.
    Rebase {
        /// The new epoch.
        epoch: u64,
    },
    /// Apply these, each once by its identity, and remember `next` as the progress of the open epoch.
    GiveBack {
        /// What the cloud had and the box has not.
        transactions: Vec<Transaction>,
        /// Where the next page begins.
        next: Option<Position>,
    },
    /// The cloud knows the epoch and everything was given back: it is open no more.
    EpochTold,
    /// Segments up to here are with the cloud.
    AcknowledgeTelemetry(TelemetryCursor),
    /// Number the segment under way as the next after this.
    RenumberTelemetry(TelemetryCursor),
    /// Apply in one transaction.
    ApplyReference(Checkpoint),
    /// Compare the document, take the commands.
    TakeDesired(Desired),
    /// What was reported has arrived.
    Reported,
}

/// What is durable on the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// End of the chain.
    pub head: Head,
    /// Last sequence of this epoch the cloud acknowledged.
    pub acknowledged: u64,
    /// How this epoch began, with the progress of giving back as `after`.
    pub start: EpochStart,
    /// The cloud has not been told of this epoch, or has not given everything back.
    pub open: bool,
    /// There is telemetry to send.
    pub telemetry: bool,
    /// Reference version that is applied.
    pub reference: u64,
    /// Something to report has changed.
    pub report: bool,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Send this.
    Send(Request),
    /// Nothing, until something happens or this moment comes.
    Wait(Option<Micros>),
}

/// How the exchange is, for the badge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How bad.
    pub level: Level,
    /// Why, in one line.
    pub cause: String,
    /// Since when.
    pub since: Micros,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    set: Micros,
    delay: Micros,
}

impl Timer {
    fn is_due(self, now: Micros) -> bool {
        now < self.set || now.saturating_sub(self.set) >= self.delay
    }

    fn at(self) -> Micros {
        self.set.saturating_add(self.delay)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The cloud's cursor has to be asked for.
    Unknown,
    /// The epoch has to be announced.
    Opening,
    /// Both ends mean the same chain.
    Ready,
}

/// What can be in trouble by itself: a segment the cloud will not take must not hold up an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// Everything: no connection, no trust.
    Link,
    /// Cursor, epoch and transactions.
    Chain,
    Telemetry,
    Reference,
    Desired,
    Report,
}

const LANES: usize = 6;

impl Lane {
    fn of(request: &Request) -> Lane {
        match request {
            Request::Cursor | Request::Epoch(_) | Request::Transactions { .. } => Lane::Chain,
            Request::Telemetry => Lane::Telemetry,
            Request::Reference { .. } => Lane::Reference,
            Request::Desired => Lane::Desired,
            Request::Report => Lane::Report,
        }
    }
}

#[derive(Clone, Debug)]
struct Trouble {
    failures: u32,
    retry: Timer,
    health: Health,
}

/// The machine.
#[derive(Debug)]
pub struct BoxSync {
    phase: Phase,
    in_flight: Option<Request>,
    /// What was asked last: an effect that fails belongs to it.
    asked: Lane,
    troubles: [Option<Trouble>; LANES],
    /// Health while there is no trouble.
    well: Health,
    doorbell: bool,
    /// How often to look without a doorbell.
    poll: Micros,
    reference: Option<Timer>,
    desired: Option<Timer>,
    report: Option<Timer>,
    /// When the box last took a new epoch because another copy of it was ahead.
    rebased: Option<Timer>,
    batch: usize,
    last_sync: Option<Micros>,
}

impl BoxSync {
    /// A machine that knows nothing of the cloud yet.
    pub fn new(now: Micros) -> BoxSync {
        BoxSync {
            phase: Phase::Unknown,
            in_flight: None,
            asked: Lane::Link,
            troubles: [const { None }; LANES],
            well: Health { level: Level::Unknown, cause: "not yet in contact with the cloud".into(), since: now },
            doorbell: false,
            poll: POLL,
            reference: None,
            desired: None,
            report: None,
            rebased: None,
            batch: limits::BATCH,
            last_sync: None,
        }
    }

    /// Looks this often when no doorbell is heard, µs. A look that is farther off than that comes earlier.
    pub fn look_every(&mut self, poll: Micros) {
        self.poll = poll.max(SECOND);
        let most = self.look();
        for timer in [&mut self.reference, &mut self.desired].into_iter().flatten() {
            timer.delay = timer.delay.min(most);
        }
    }

    fn look(&self) -> Micros {
        if self.doorbell { POLL_WITH_DOORBELL.max(self.poll) } else { self.poll }
    }

    /// How the exchange is: its worst trouble, or that there is none.
    pub fn health(&self) -> &Health {
        let worst =
            self.troubles.iter().flatten().map(|t| &t.health).reduce(|a, b| if b.level > a.level { b } else { a });
        worst.unwrap_or(&self.well)
    }

    /// Last answer that moved the cursor or confirmed that there was nothing to move.
    pub fn last_sync(&self) -> Option<Micros> {
        self.last_sync
    }

    /// Something happened. `dice` is random.
    pub fn on(&mut self, now: Micros, dice: u64, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Answered(answer) => {
                let asked = self.in_flight.take();
                self.troubles[Lane::Link as usize] = None;
                match self.answered(now, asked, answer, &mut effects) {
                    Ok(()) => self.troubles[self.asked as usize] = None,
                    Err(cause) => self.trouble(now, dice, self.asked, Level::Bad, cause),
                }
                if self.well.level != Level::Ok && self.troubles.iter().all(Option::is_none) {
                    self.well = Health { level: Level::Ok, cause: "in contact with the cloud".into(), since: now };
                }
            }
            Event::Failed(fault) => self.failed(now, dice, fault),
            Event::Rang(DoorbellKind::Reference) => self.reference = None,
            Event::Rang(DoorbellKind::Desired | DoorbellKind::Command) => self.desired = None,
            // There is nothing to fetch.
            Event::Rang(DoorbellKind::Live) => {}
            Event::Doorbell(connected) => {
                self.doorbell = connected;
                if connected {
                    self.hurry();
                }
            }
            Event::Hurry => self.hurry(),
        }
        effects
    }

    /// What to do now. `dice` is random.
    pub fn poll(&mut self, now: Micros, dice: u64, facts: &Facts) -> Poll {
        if self.in_flight.is_some() {
            return Poll::Wait(None);
        }
        if self.is_waiting(Lane::Link, now) {
            return Poll::Wait(self.retry_at(Lane::Link));
        }
        if let Some(request) = self.next(now, dice, facts) {
            self.asked = Lane::of(&request);
            self.in_flight = Some(request.clone());
            return Poll::Send(request);
        }
        let retries = [Lane::Chain, Lane::Telemetry].into_iter().filter_map(|lane| self.retry_at(lane));
        let questions = [(Lane::Reference, self.reference), (Lane::Desired, self.desired), (Lane::Report, self.report)];
        let questions = questions.into_iter().filter_map(|(lane, timer)| match self.retry_at(lane) {
            Some(retry) if timer.is_none_or(|t| t.is_due(now)) => Some(retry),
            _ => timer.map(Timer::at),
        });
        Poll::Wait(retries.chain(questions).min())
    }

    fn next(&mut self, now: Micros, dice: u64, facts: &Facts) -> Option<Request> {
        if facts.open {
            self.phase = Phase::Opening;
        }
        let chain_waits = self.is_waiting(Lane::Chain, now);
        match self.phase {
            Phase::Unknown if !chain_waits => return Some(Request::Cursor),
            Phase::Opening if !chain_waits => return Some(Request::Epoch(facts.start)),
            _ => {}
        }
        // The timer is set when the question is asked; one that fails is asked again when its lane may.
        let look = self.look();
        let every = |period: Micros| Some(Timer { set: now, delay: cut(period, dice) });
        if self.may_ask(Lane::Desired, self.desired, now) {
            self.desired = every(look);
            return Some(Request::Desired);
        }
        if self.may_ask(Lane::Reference, self.reference, now) {
            self.reference = every(look);
            return Some(Request::Reference { after: facts.reference });
        }
        let report = self.report.filter(|_| !facts.report);
        if self.may_ask(Lane::Report, report, now) {
            self.report = every(REPORT);
            return Some(Request::Report);
        }
        if self.phase != Phase::Ready {
            return None;
        }
        if facts.head.sequence > facts.acknowledged && !chain_waits {
            let (epoch, after) = (facts.head.epoch, facts.acknowledged);
            return Some(Request::Transactions { epoch, after, max_bytes: self.batch });
        }
        (facts.telemetry && !self.is_waiting(Lane::Telemetry, now)).then_some(Request::Telemetry)
    }

    /// Whether a periodic question is due and its lane may speak. Trouble makes it due again as soon as the lane may.
    fn may_ask(&self, lane: Lane, timer: Option<Timer>, now: Micros) -> bool {
        let trouble = self.troubles[lane as usize].is_some();
        !self.is_waiting(lane, now) && (trouble || timer.is_none_or(|t| t.is_due(now)))
    }

    fn is_waiting(&self, lane: Lane, now: Micros) -> bool {
        self.troubles[lane as usize].as_ref().is_some_and(|t| !t.retry.is_due(now))
    }

    fn retry_at(&self, lane: Lane) -> Option<Micros> {
        self.troubles[lane as usize].as_ref().map(|t| t.retry.at())
    }

    /// Takes an answer; an error when it means that its lane cannot go on.
    fn answered(
        &mut self,
        now: Micros,
        asked: Option<Request>,
        answer: Answer,
        effects: &mut Vec<Effect>,
    ) -> Result<(), String> {
        match answer {
            Answer::Cursor { cursor, standing, refused } => {
                return self.cursor(now, asked, &cursor, standing, refused, effects);
            }
            Answer::Epoch(answer) => {
                let done = answer.next.is_none();
                if !answer.lost.is_empty() || !done {
                    effects.push(Effect::GiveBack { transactions: answer.lost, next: answer.next });
                }
                if done {
                    effects.push(Effect::EpochTold);
                    // The same announcement may have been answered before: only the cursor tells what came after it.
                    self.phase = Phase::Unknown;
                }
            }
            Answer::EpochRefused(refusal) if refusal.code == code::OLD_EPOCH => {
                return self.rebase(now, &refusal.cursor, effects);
            }
            Answer::EpochRefused(refusal) => {
                return Err(format!("the cloud does not know where this box stood: {}", refusal.message));
            }
            Answer::Telemetry { cursor, refused: None } => effects.push(Effect::AcknowledgeTelemetry(cursor)),
            Answer::Telemetry { cursor, refused: Some(code) } if code == code::GAP => {
                effects.extend([Effect::AcknowledgeTelemetry(cursor), Effect::RenumberTelemetry(cursor)]);
            }
            Answer::Telemetry { refused: Some(code), .. } => {
                // Another epoch than ours: the chain's cursor decides which.
                self.phase = Phase::Unknown;
                return Err(format!("the cloud does not take telemetry of this epoch: {code}"));
            }
            Answer::Checkpoint(checkpoint) => {
                if !checkpoint.complete {
                    self.reference = None;
                }
                effects.push(Effect::ApplyReference(checkpoint));
            }
            Answer::Desired(desired) => effects.push(Effect::TakeDesired(desired)),
            Answer::Reported => effects.push(Effect::Reported),
        }
        Ok(())
    }

    fn cursor(
        &mut self,
        now: Micros,
        asked: Option<Request>,
        cursor: &Cursor,
        standing: Standing,
        refused: Option<Refusal>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), String> {
        match standing {
            Standing::Ours => {
                // Also with a 409: where the cloud stands on our chain is where to go on from.
                effects.push(Effect::Acknowledge(cursor.head()));
                self.phase = Phase::Ready;
                self.last_sync = Some(now);
                let from = match asked {
                    Some(Request::Transactions { after, .. }) => Some(after),
                    _ => None,
                };
                match refused {
                    Some(refusal) if from.is_some_and(|after| cursor.sequence <= after) => {
                        return Err(format!("the cloud refuses our transactions: {}", refusal.message));
                    }
                    None if from.is_some_and(|after| cursor.sequence <= after) => {
                        return Err(format!("the cloud did not take transaction {}", cursor.sequence + 1));
                    }
                    _ => self.batch = (self.batch * 2).min(limits::BATCH),
                }
                Ok(())
            }
            Standing::Earlier => {
                self.phase = Phase::Opening;
                Ok(())
            }
            Standing::Foreign | Standing::Later => self.rebase(now, cursor, effects),
            Standing::Behind => {
                self.phase = Phase::Unknown;
                Err(format!("the cloud has lost transactions after {} that it had acknowledged", cursor.sequence))
            }
        }
    }

    /// Another copy of this box went on: begin an epoch of our own. Two copies that are alive take turns at this, so it
    /// is done at most once in [`RETRY_MOST`].
    fn rebase(&mut self, now: Micros, cursor: &Cursor, effects: &mut Vec<Effect>) -> Result<(), String> {
        if self.rebased.is_some_and(|t| !t.is_due(now)) {
            self.phase = Phase::Unknown;
            return Err("another box with this identity is talking to the cloud".into());
        }
        self.rebased = Some(Timer { set: now, delay: RETRY_MOST });
        self.phase = Phase::Opening;
        effects.push(Effect::Rebase { epoch: cursor.epoch + 1 });
        Ok(())
    }

    fn failed(&mut self, now: Micros, dice: u64, fault: Fault) {
        if matches!(self.in_flight.take(), Some(Request::Transactions { .. })) {
            self.batch = (self.batch / 2).max(BATCH_LEAST);
        }
        let (lane, level, cause) = match fault {
            Fault::Network(cause) => (Lane::Link, Level::Warn, format!("cloud not reachable: {cause}")),
            Fault::Untrusted(cause) => (Lane::Link, Level::Bad, format!("not our cloud: {cause}")),
            Fault::Revoked(cause) => (Lane::Link, Level::Bad, format!("this box was revoked: {cause}")),
            Fault::Unavailable(cause) => (self.asked, Level::Warn, format!("cloud not available: {cause}")),
            Fault::Refused(cause) => (self.asked, Level::Bad, format!("the cloud refuses: {cause}")),
            Fault::TooLarge(cause) => (self.asked, Level::Bad, format!("too large for the cloud: {cause}")),
            Fault::Local(cause) => {
                // An effect may be half done: ask where things are before going on.
                self.phase = Phase::Unknown;
                (self.asked, Level::Bad, format!("this box cannot go on: {cause}"))
            }
        };
        self.trouble(now, dice, lane, level, cause);
        if let (Some(trouble), true) = (&mut self.troubles[lane as usize], lane == Lane::Link && level == Level::Bad) {
            trouble.retry = Timer { set: now, delay: cut(RETRY_REFUSED, dice) };
        }
    }

    fn trouble(&mut self, now: Micros, dice: u64, lane: Lane, level: Level, cause: String) {
        let before = self.troubles[lane as usize].take();
        let failures = before.as_ref().map_or(0, |t| t.failures);
        let delay = RETRY_LEAST.saturating_mul(1 << failures.min(10)).min(RETRY_MOST);
        // The same trouble in other words keeps its beginning.
        let since = before.filter(|t| t.health.level == level).map_or(now, |t| t.health.since);
        self.troubles[lane as usize] = Some(Trouble {
            failures: failures.saturating_add(1),
            retry: Timer { set: now, delay: cut(delay, dice) },
            health: Health { level, cause, since },
        });
        if self.well.level == Level::Ok {
            self.well.level = Level::Unknown;
        }
    }

    fn hurry(&mut self) {
        for trouble in self.troubles.iter_mut().flatten() {
            trouble.retry.delay = 0;
            trouble.failures = 0;
        }
        self.reference = None;
        self.desired = None;
    }
}

/// Between half of a delay and all of it.
fn cut(delay: Micros, dice: u64) -> Micros {
    let half = delay / 2;
    delay - (dice % (half.max(1) as u64)) as Micros
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hash;
    use uuid::Uuid;

    fn facts() -> Facts {
        let start = EpochStart {
            epoch: 1,
            previous_epoch: 0,
            previous_sequence: 0,
            hash: Hash::ZERO,
            token: Uuid::nil(),
            after: None,
        };
        Facts {
            head: Head::start(1),
            acknowledged: 0,
            start,
            open: false,
            telemetry: false,
            reference: 0,
            report: false,
        }
    }

    fn ours(sequence: u64) -> Answer {
        let cursor = Cursor { epoch: 1, sequence, hash: Hash::ZERO, telemetry: TelemetryCursor::default() };
        Answer::Cursor { cursor, standing: Standing::Ours, refused: None }
    }

    /// Brings a machine to where nothing but rows and telemetry is left to do.
    fn ready(now: Micros) -> BoxSync {
        let mut sync = BoxSync::new(now);
        assert_eq!(sync.poll(now, 0, &facts()), Poll::Send(Request::Cursor));
        sync.on(now, 0, Event::Answered(ours(0)));
        assert_eq!(sync.poll(now, 0, &facts()), Poll::Send(Request::Desired));
        sync.on(now, 0, Event::Answered(Answer::Desired(Desired::default())));
        assert_eq!(sync.poll(now, 0, &facts()), Poll::Send(Request::Reference { after: 0 }));
        let checkpoint = Checkpoint { from: 0, to: 3, complete: true, rows: vec![], refused: vec![] };
        let effects = sync.on(now, 0, Event::Answered(Answer::Checkpoint(checkpoint.clone())));
        assert_eq!(effects, [Effect::ApplyReference(checkpoint)]);
        assert_eq!(sync.poll(now, 0, &facts()), Poll::Send(Request::Report));
        assert_eq!(sync.on(now, 0, Event::Answered(Answer::Reported)), [Effect::Reported]);
        sync
    }

    #[test]
    fn a_look_comes_as_often_as_was_said() {
        for (poll, doorbell, look) in [(5, false, 5), (600, false, 600), (5, true, 300), (600, true, 600)] {
            let mut machine = BoxSync::new(0);
            machine.look_every(poll * SECOND);
            machine.on(0, 0, Event::Doorbell(doorbell));
            machine.phase = Phase::Ready;
            let mut asked = Vec::new();
            while let Poll::Send(request) = machine.poll(0, 0, &facts()) {
                machine.in_flight = None;
                asked.push(request);
            }
            assert!(asked.contains(&Request::Desired));
            let at = machine.desired.map(Timer::at);
            assert_eq!(at, Some(look * SECOND), "{poll} {doorbell}");
            // What is farther off than is wanted now comes earlier; what is nearer stays.
            machine.on(0, 0, Event::Doorbell(false));
            machine.look_every(7 * SECOND);
            assert_eq!(machine.desired.map(Timer::at), Some(look.min(7) * SECOND));
        }
    }

    #[test]
    fn rows_go_before_telemetry_and_a_bell_before_both() {
        let mut sync = ready(0);
        let busy = Facts { head: Head { sequence: 9, ..Head::start(1) }, telemetry: true, ..facts() };
        sync.on(1, 0, Event::Rang(DoorbellKind::Command));
        assert_eq!(sync.poll(1, 0, &busy), Poll::Send(Request::Desired));
        assert_eq!(sync.poll(1, 0, &busy), Poll::Wait(None), "one request at a time");
        sync.on(2, 0, Event::Answered(Answer::Desired(Desired::default())));
        let rows = Request::Transactions { epoch: 1, after: 0, max_bytes: limits::BATCH };
        assert_eq!(sync.poll(2, 0, &busy), Poll::Send(rows));
        let effects = sync.on(3, 0, Event::Answered(ours(9)));
        assert_eq!(effects, [Effect::Acknowledge(Head { sequence: 9, ..Head::start(1) })]);
        assert_eq!(sync.last_sync(), Some(3));
        let sent = Facts { acknowledged: 9, ..busy };
        assert_eq!(sync.poll(3, 0, &sent), Poll::Send(Request::Telemetry));
    }

    #[test]
    fn failures_wait_longer_and_say_since_when() {
        let mut sync = ready(0);
        let busy = Facts { head: Head { sequence: 9, ..Head::start(1) }, ..facts() };
        let mut now = 10 * SECOND;
        let mut waits = vec![];
        for _ in 0..9 {
            let Poll::Send(Request::Transactions { max_bytes, .. }) = sync.poll(now, 0, &busy) else { panic!() };
            assert!(max_bytes >= BATCH_LEAST);
            sync.on(now, 0, Event::Failed(Fault::Network("connection refused".into())));
            let Poll::Wait(Some(until)) = sync.poll(now, 0, &busy) else { panic!() };
            waits.push((until - now) / SECOND);
            // Keep the periodic questions out of this story.
            let later = Some(Timer { set: until, delay: 1 << 40 });
            (sync.desired, sync.reference, sync.report) = (later, later, later);
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!((sync.health().level, sync.health().since), (Level::Warn, 10 * SECOND));
        assert_eq!(sync.health().cause, "cloud not reachable: connection refused");
        sync.on(now, 0, Event::Failed(Fault::Network("timeout".into())));
        sync.on(now, 0, Event::Hurry);
        assert!(matches!(sync.poll(now, 0, &busy), Poll::Send(_)), "a hurry ends the wait");
    }

    #[test]
    fn dice_cut_at_most_half() {
        for dice in [0, 1, 499_999, 500_000, u64::MAX] {
            let delay = cut(SECOND, dice);
            assert!(delay > SECOND / 2 - 1 && delay <= SECOND, "{delay}");
        }
        assert_eq!(cut(0, 7), 0);
    }

    #[test]
    fn a_clock_set_back_does_not_hold_anything_up() {
        let mut sync = ready(1_000_000 * SECOND);
        assert!(matches!(sync.poll(1_000_001 * SECOND, 0, &facts()), Poll::Wait(Some(_))));
        assert_eq!(sync.poll(5 * SECOND, 0, &facts()), Poll::Send(Request::Desired));
        sync.on(5 * SECOND, 0, Event::Failed(Fault::Network("cut".into())));
        assert!(matches!(sync.poll(5 * SECOND, 0, &facts()), Poll::Wait(_)));
        assert!(matches!(sync.poll(SECOND, 0, &facts()), Poll::Send(_)));
    }

    #[test]
    fn a_revoked_box_hardly_asks() {
        let mut sync = ready(0);
        sync.on(0, 0, Event::Hurry);
        assert!(matches!(sync.poll(0, 0, &facts()), Poll::Send(_)));
        sync.on(0, 0, Event::Failed(Fault::Revoked("stolen".into())));
        assert_eq!(sync.poll(0, 0, &facts()), Poll::Wait(Some(RETRY_REFUSED)));
        assert_eq!(sync.health().level, Level::Bad);
    }

    #[test]
    fn a_refused_segment_holds_up_nothing_else() {
        let mut sync = ready(0);
        let spooled = Facts { telemetry: true, ..facts() };
        assert_eq!(sync.poll(1, 0, &spooled), Poll::Send(Request::Telemetry));
        sync.on(1, 0, Event::Failed(Fault::Refused("malformed".into())));
        assert!(matches!(sync.poll(2, 0, &spooled), Poll::Wait(Some(_))));
        let busy = Facts { head: Head { sequence: 1, ..Head::start(1) }, ..spooled };
        assert!(matches!(sync.poll(2, 0, &busy), Poll::Send(Request::Transactions { .. })));
        sync.on(2, 0, Event::Answered(ours(1)));
        assert_eq!(sync.health().cause, "the cloud refuses: malformed", "other successes do not hide it");
        assert_eq!(sync.poll(SECOND + 2, 0, &spooled), Poll::Send(Request::Telemetry));
        let cursor = TelemetryCursor { epoch: 1, segment: 1 };
        let effects = sync.on(SECOND + 3, 0, Event::Answered(Answer::Telemetry { cursor, refused: None }));
        assert_eq!(effects, [Effect::AcknowledgeTelemetry(cursor)]);
        assert_eq!((sync.health().level, sync.health().since), (Level::Ok, SECOND + 3));
    }

    #[test]
    fn two_copies_do_not_race_through_epochs() {
        let mut sync = ready(0);
        let later = Cursor { epoch: 7, sequence: 3, hash: Hash::ZERO, telemetry: TelemetryCursor::default() };
        let answer = Answer::Cursor { cursor: later, standing: Standing::Later, refused: None };
        sync.phase = Phase::Unknown;
        assert_eq!(sync.poll(0, 0, &facts()), Poll::Send(Request::Cursor));
        assert_eq!(sync.on(0, 0, Event::Answered(answer.clone())), [Effect::Rebase { epoch: 8 }]);
        sync.phase = Phase::Unknown;
        assert_eq!(sync.poll(1, 0, &facts()), Poll::Send(Request::Cursor));
        assert_eq!(sync.on(1, 0, Event::Answered(answer.clone())), []);
        assert_eq!(sync.health().level, Level::Bad);
        sync.on(RETRY_MOST, 0, Event::Hurry);
        assert_eq!(sync.poll(RETRY_MOST, 0, &facts()), Poll::Send(Request::Cursor));
        assert_eq!(sync.on(RETRY_MOST, 0, Event::Answered(answer)), [Effect::Rebase { epoch: 8 }]);
    }

    #[test]
    fn a_page_of_lost_transactions_is_followed_by_the_next() {
        let mut sync = BoxSync::new(0);
        let open = Facts { open: true, ..facts() };
        assert_eq!(sync.poll(0, 0, &open), Poll::Send(Request::Epoch(open.start)));
        let cursor = Cursor { epoch: 1, sequence: 0, hash: Hash::ZERO, telemetry: TelemetryCursor::default() };
        let next = Some(Position { epoch: 1, sequence: 7 });
        let effects = sync.on(0, 0, Event::Answered(Answer::Epoch(EpochAnswer { cursor, lost: vec![], next })));
        assert_eq!(effects, [Effect::GiveBack { transactions: vec![], next }]);
        let started = EpochStart { after: next, ..open.start };
        let further = Facts { start: started, ..open };
        assert_eq!(sync.poll(0, 0, &further), Poll::Send(Request::Epoch(started)));
        let effects = sync.on(0, 0, Event::Answered(Answer::Epoch(EpochAnswer { cursor, lost: vec![], next: None })));
        assert_eq!(effects, [Effect::EpochTold]);
        assert_eq!(sync.poll(0, 0, &facts()), Poll::Send(Request::Cursor));
    }

    #[test]
    fn standings() {
        let hash = Hash::of(b"x");
        let head = Head { epoch: 2, sequence: 9, hash };
        let acknowledged = Head { epoch: 2, sequence: 4, hash };
        let of = |epoch, sequence, hash| {
            let cursor = Cursor { epoch, sequence, hash, telemetry: TelemetryCursor::default() };
            Standing::of(&cursor, head, acknowledged, |s| (s == 6).then_some(Hash::of(b"six")))
        };
        assert_eq!(of(1, 99, hash), Standing::Earlier);
        assert_eq!(of(3, 0, Hash::ZERO), Standing::Later);
        assert_eq!(of(2, 3, hash), Standing::Behind);
        assert_eq!(of(2, 4, hash), Standing::Ours);
        assert_eq!(of(2, 9, hash), Standing::Ours);
        assert_eq!(of(2, 6, Hash::of(b"six")), Standing::Ours);
        assert_eq!(of(2, 6, hash), Standing::Foreign);
        assert_eq!(of(2, 10, hash), Standing::Foreign);
    }
}
