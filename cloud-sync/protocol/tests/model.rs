//! The whole exchange against a hostile world: a network that drops, duplicates, delays and reorders; a box that crashes
//! between any two effects and is brought back from old backups, with or without knowing it; a cloud that crashes around
//! its commit; clocks that jump. Whatever happened, when the network heals both ends have the same chain, nothing that
//! ever reached the cloud or still is on the box is missing anywhere, and nothing is there twice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use proptest::prelude::*;
use proptest::sample::Index;
use sent_protocol::{
    cursor::{BatchVerdict, EpochRecord, EpochVerdict, judge_batch, judge_epoch, lineage},
    sync::{Answer, BoxSync, Effect, Event, Facts, Fault, Poll, Request, Standing},
    *,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const BOX: Uuid = Uuid::from_u128(0xb0c5);
/// Small pages, so that a give-back takes several.
const PAGE: usize = 2;

/// What is on the box's disk.
#[derive(Clone)]
struct Disk {
    head: Head,
    acknowledged: Head,
    start: EpochStart,
    open: bool,
    outbox: Vec<Transaction>,
    /// The business: which writes are in the books, by the number each was given.
    books: BTreeSet<u128>,
}

struct TheBox {
    disk: Disk,
    machine: BoxSync,
    flight: Option<u64>,
    todo: VecDeque<Effect>,
    tokens: u128,
    now: Micros,
}

/// What is in the cloud's database.
#[derive(Default)]
struct Cloud {
    cursor: Option<Cursor>,
    epochs: Vec<EpochRecord>,
    inbox: BTreeMap<Position, Transaction>,
}

#[derive(Clone)]
enum Wire {
    Cursor,
    Batch(Batch),
    Epoch(EpochStart),
    /// What this story leaves out: reference, desired and reported.
    Other(Request),
}

#[derive(Clone)]
enum Reply {
    Cursor(Cursor, Option<Refusal>),
    Epoch(EpochAnswer),
    EpochRefused(Refusal),
    Other(Answer),
}

struct World {
    the_box: TheBox,
    cloud: Cloud,
    up: Vec<(u64, Wire)>,
    down: Vec<(u64, Reply)>,
    tags: u64,
    writes: u128,
    backups: Vec<Disk>,
}

fn payload(t: &Transaction) -> u128 {
    t.request_id.as_u128()
}

impl Disk {
    fn new() -> Disk {
        let start = EpochStart {
            epoch: 1,
            previous_epoch: 0,
            previous_sequence: 0,
            hash: Hash::ZERO,
            token: Uuid::from_u128(1),
            after: None,
        };
        let (head, acknowledged) = (Head::start(1), Head::start(1));
        Disk { head, acknowledged, start, open: true, outbox: vec![], books: BTreeSet::new() }
    }

    fn append(&mut self, mut transaction: Transaction, again: bool) {
        assert!(self.books.insert(payload(&transaction)), "write {} is in the books twice", payload(&transaction));
        self.head = if again { transaction.reseal(BOX, self.head) } else { transaction.seal(BOX, self.head) };
        self.outbox.push(transaction);
    }

    /// Begins an epoch from the last acknowledged link, as a restore and [`Effect::Rebase`] do.
    fn rebase(&mut self, epoch: u64, token: Uuid) {
        // An epoch that was never announced leaves from where the one before did.
        if !self.open {
            let Head { epoch, sequence, hash } = self.acknowledged;
            (self.start.previous_epoch, self.start.previous_sequence, self.start.hash) = (epoch, sequence, hash);
        }
        self.start = EpochStart { epoch, token, after: None, ..self.start };
        self.head = Head::start(epoch);
        self.acknowledged = self.head;
        self.open = true;
        for transaction in &mut self.outbox {
            self.head = transaction.reseal(BOX, self.head);
        }
    }

    fn carry_out(&mut self, effect: Effect, token: Uuid) {
        match effect {
            Effect::Acknowledge(head) => {
                assert_eq!(head.epoch, self.head.epoch);
                assert!(head.sequence <= self.head.sequence && head.sequence >= self.acknowledged.sequence);
                self.acknowledged = head;
                self.outbox.retain(|t| t.sequence > head.sequence);
            }
            Effect::Rebase { epoch } => self.rebase(epoch, token),
            Effect::GiveBack { transactions, next } => {
                for transaction in transactions {
                    let identity = transaction.identity();
                    if !self.outbox.iter().any(|t| t.identity() == identity) {
                        self.append(transaction, true);
                    }
                }
                self.start.after = next;
            }
            Effect::EpochTold => self.open = false,
            Effect::AcknowledgeTelemetry(_) | Effect::RenumberTelemetry(_) => {
                unreachable!("there is no telemetry here")
            }
            Effect::ApplyReference(_) | Effect::TakeDesired(_) | Effect::Reported => {}
        }
    }
}

impl Cloud {
    fn cursor(&self) -> Cursor {
        let nothing = Cursor { epoch: 0, sequence: 0, hash: Hash::ZERO, telemetry: TelemetryCursor::default() };
        self.cursor.unwrap_or(nothing)
    }

    /// Everything beyond the point this epoch began at that is not in its past, each identity once.
    fn lost(&self, start: &EpochStart) -> Vec<(Position, Transaction)> {
        let point = Position { epoch: start.previous_epoch, sequence: start.previous_sequence };
        let past = lineage(&self.epochs, point);
        let within = |p: &Position| past.iter().any(|l| l.epoch == p.epoch && p.sequence <= l.sequence);
        let mut seen: BTreeSet<Hash> =
            self.inbox.iter().filter(|(p, _)| within(p)).map(|(_, t)| t.identity()).collect();
        let beyond = self.inbox.iter().filter(|(p, _)| !within(p) && p.epoch < start.epoch);
        beyond.filter(|(_, t)| seen.insert(t.identity())).map(|(p, t)| (*p, t.clone())).collect()
    }

    /// Serves one request as one database transaction.
    fn serve(&mut self, request: Wire) -> Reply {
        let mut cursor = self.cursor();
        match request {
            Wire::Cursor => Reply::Cursor(cursor, None),
            Wire::Batch(batch) => match judge_batch(BOX, &cursor, &batch) {
                BatchVerdict::Accept { from, head } => {
                    for t in &batch.transactions[from..] {
                        let position = Position { epoch: batch.epoch, sequence: t.sequence };
                        assert!(self.inbox.insert(position, t.clone()).is_none(), "{position:?} came twice");
                    }
                    (cursor.sequence, cursor.hash) = (head.sequence, head.hash);
                    self.cursor = Some(cursor);
                    Reply::Cursor(cursor, None)
                }
                BatchVerdict::Known => Reply::Cursor(cursor, None),
                BatchVerdict::Refuse(refusal) => Reply::Cursor(cursor, Some(refusal)),
            },
            Wire::Epoch(start) => {
                let current = self.epochs.iter().find(|e| e.epoch == cursor.epoch);
                let known = Position { epoch: start.previous_epoch, sequence: start.previous_sequence };
                let known = self.inbox.get(&known).map(|t| t.hash);
                match judge_epoch(&cursor, current, known, &start) {
                    EpochVerdict::Refuse(refusal) => return Reply::EpochRefused(refusal),
                    EpochVerdict::Begin(record) => {
                        self.epochs.push(record);
                        cursor = Cursor { epoch: start.epoch, sequence: 0, hash: Hash::ZERO, ..cursor };
                        self.cursor = Some(cursor);
                    }
                    EpochVerdict::Continue => {}
                }
                let mut lost = self.lost(&start);
                lost.retain(|(p, _)| start.after.is_none_or(|after| *p > after));
                let next = (lost.len() > PAGE).then(|| lost[PAGE - 1].0);
                lost.truncate(PAGE);
                Reply::Epoch(EpochAnswer { cursor, lost: lost.into_iter().map(|(_, t)| t).collect(), next })
            }
            Wire::Other(request) => Reply::Other(match request {
                Request::Reference { after } => Answer::Checkpoint(Checkpoint {
                    from: after,
                    to: after,
                    complete: true,
                    rows: vec![],
                    refused: vec![],
                }),
                Request::Desired => Answer::Desired(Desired::default()),
                _ => Answer::Reported,
            }),
        }
    }
}

impl TheBox {
    fn token(&mut self) -> Uuid {
        self.tokens += 1;
        Uuid::from_u128(self.tokens)
    }

    /// Power returns: the disk is as it was, everything else is new.
    fn boot(&mut self) {
        self.machine = BoxSync::new(self.now);
        self.flight = None;
        self.todo.clear();
    }

    /// Carries out at most `budget` of the effects that are due.
    fn work(&mut self, budget: usize) {
        for _ in 0..budget {
            let Some(effect) = self.todo.pop_front() else { break };
            let token = self.token();
            self.disk.carry_out(effect, token);
        }
    }

    fn receive(&mut self, tag: u64, reply: Reply) {
        if self.flight != Some(tag) {
            return;
        }
        self.flight = None;
        let answer = match reply {
            Reply::Cursor(cursor, refused) => {
                let at = |s| self.disk.outbox.iter().find(|t| t.sequence == s).map(|t| t.hash);
                let standing = Standing::of(&cursor, self.disk.head, self.disk.acknowledged, at);
                Answer::Cursor { cursor, standing, refused }
            }
            Reply::Epoch(answer) => Answer::Epoch(answer),
            Reply::EpochRefused(refusal) => Answer::EpochRefused(refusal),
            Reply::Other(answer) => answer,
        };
        self.todo.extend(self.machine.on(self.now, 0, Event::Answered(answer)));
    }
}

impl World {
    fn new() -> World {
        let machine = BoxSync::new(0);
        let the_box = TheBox { disk: Disk::new(), machine, flight: None, todo: VecDeque::new(), tokens: 1, now: 0 };
        World { the_box, cloud: Cloud::default(), up: vec![], down: vec![], tags: 0, writes: 0, backups: vec![] }
    }

    fn write(&mut self) {
        self.writes += 1;
        let transaction = Transaction {
            sequence: 0,
            previous_hash: Hash::ZERO,
            hash: Hash::ZERO,
            organization_id: Uuid::nil(),
            branch_id: None,
            actor: "system".into(),
            action: "test.write".into(),
            request_id: Uuid::from_u128(self.writes),
            at: self.the_box.now,
            audit_hash: Hash::ZERO,
            origin: None,
            changes: serde_json::value::RawValue::from_string("[]".into()).unwrap(),
        };
        self.the_box.disk.append(transaction, false);
    }

    /// The box looks whether there is something to send; otherwise says until when it waits.
    fn poll(&mut self) -> Option<Micros> {
        if !self.the_box.todo.is_empty() || self.the_box.flight.is_some() {
            return None;
        }
        let disk = &self.the_box.disk;
        let facts = Facts {
            head: disk.head,
            acknowledged: disk.acknowledged.sequence,
            start: disk.start,
            open: disk.open,
            telemetry: false,
            reference: 0,
            report: false,
        };
        let request = match self.the_box.machine.poll(self.the_box.now, 0, &facts) {
            Poll::Send(request) => request,
            Poll::Wait(until) => return until,
        };
        let wire = match request {
            Request::Cursor => Wire::Cursor,
            Request::Epoch(start) => Wire::Epoch(start),
            Request::Transactions { epoch, after, .. } => {
                let unsent = disk.outbox.iter().filter(|t| t.sequence > after).take(3);
                Wire::Batch(Batch { epoch, transactions: unsent.cloned().collect() })
            }
            other => Wire::Other(other),
        };
        self.tags += 1;
        self.the_box.flight = Some(self.tags);
        self.up.push((self.tags, wire));
        None
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write(n) => (0..n).for_each(|_| self.write()),
            Step::Poll => {
                self.poll();
            }
            Step::Work(budget) => self.the_box.work(budget),
            Step::Deliver { at, twice, lose_answer } => {
                // A crash of the cloud before its commit is a request that was dropped; after it, an answer that was.
                if let Some((tag, wire)) = take(&mut self.up, at, twice) {
                    let reply = self.cloud.serve(wire);
                    if !lose_answer {
                        self.down.push((tag, reply));
                    }
                }
            }
            Step::Answer { at, twice } => {
                if let Some((tag, reply)) = take(&mut self.down, at, twice) {
                    self.the_box.receive(tag, reply);
                }
            }
            Step::Drop { at, up: true } => drop(take(&mut self.up, at, false)),
            Step::Drop { at, up: false } => drop(take(&mut self.down, at, false)),
            Step::TimeOut => {
                if self.the_box.flight.take().is_some() {
                    let now = self.the_box.now;
                    self.the_box.machine.on(now, 0, Event::Failed(Fault::Network("timeout".into())));
                }
            }
            Step::Crash => self.the_box.boot(),
            Step::Backup => self.backups.push(self.the_box.disk.clone()),
            // The product's own restore: it knows that it is one, and numbers the epoch by what the backup knows.
            Step::Restore(at) if !self.backups.is_empty() => {
                let mut disk = at.get(&self.backups).clone();
                disk.rebase(disk.head.epoch + 1, self.the_box.token());
                self.the_box.disk = disk;
                self.the_box.boot();
            }
            // A snapshot of the virtual machine: the box does not know that it went back in time.
            Step::Rewind(at) if !self.backups.is_empty() => {
                self.the_box.disk = at.get(&self.backups).clone();
                self.the_box.boot();
            }
            Step::Restore(_) | Step::Rewind(_) => {}
            Step::Clock(to) => self.the_box.now = to,
        }
        self.check();
    }

    /// What holds at every moment.
    fn check(&self) {
        let cursor = self.cloud.cursor();
        let mut head = Head::start(cursor.epoch);
        let chain =
            Position { epoch: cursor.epoch, sequence: 0 }..=Position { epoch: cursor.epoch, sequence: u64::MAX };
        for (_, t) in self.cloud.inbox.range(chain) {
            head = t.follow(BOX, head).expect("the cloud's chain is whole");
        }
        assert_eq!(head, cursor.head());
    }

    /// The network heals: requests and answers arrive, once and in order, and timers are waited for.
    fn heal(&mut self) {
        self.up.clear();
        self.down.clear();
        self.step(&Step::TimeOut);
        for _ in 0..2_000 {
            self.the_box.work(usize::MAX);
            let disk = &self.the_box.disk;
            if disk.acknowledged == disk.head && self.cloud.cursor().head() == disk.head && !disk.open {
                return;
            }
            if let Some(until) = self.poll() {
                self.the_box.now = until;
            }
            while let Some((tag, wire)) = self.up.pop() {
                let reply = self.cloud.serve(wire);
                self.the_box.receive(tag, reply);
            }
        }
        panic!("both ends never agreed: {:?}", self.the_box.machine);
    }

    /// What holds in the end.
    fn judge(&self) {
        let disk = &self.the_box.disk;
        let past = lineage(&self.cloud.epochs, Position { epoch: disk.head.epoch, sequence: disk.head.sequence });
        let within = |p: &Position| past.iter().any(|l| l.epoch == p.epoch && p.sequence <= l.sequence);
        let chain: Vec<_> = self.cloud.inbox.iter().filter(|(p, _)| within(p)).map(|(_, t)| t).collect();
        let in_chain: BTreeSet<u128> = chain.iter().map(|t| payload(t)).collect();
        let in_cloud: BTreeSet<u128> = self.cloud.inbox.values().map(payload).collect();
        assert_eq!(chain.len(), in_chain.len(), "something is in the chain twice");
        assert_eq!(in_chain, disk.books, "the chain is not what is in the books");
        assert_eq!(in_cloud, disk.books, "something the cloud once had is not on the box");
    }
}

/// Takes one message out of a queue, or a copy of it.
fn take<T: Clone>(queue: &mut Vec<T>, at: Index, copy: bool) -> Option<T> {
    if queue.is_empty() {
        return None;
    }
    let at = at.index(queue.len());
    Some(if copy { queue[at].clone() } else { queue.remove(at) })
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Poll,
    Work(usize),
    Deliver { at: Index, twice: bool, lose_answer: bool },
    Answer { at: Index, twice: bool },
    Drop { at: Index, up: bool },
    TimeOut,
    Crash,
    Backup,
    Restore(Index),
    Rewind(Index),
    Clock(Micros),
}

fn any_step() -> impl Strategy<Value = Step> {
    let at = any::<Index>;
    prop_oneof![
        5 => (1usize..4).prop_map(Step::Write),
        8 => Just(Step::Poll),
        8 => (1usize..3).prop_map(Step::Work),
        8 => (at(), prop::bool::weighted(0.2), prop::bool::weighted(0.2))
            .prop_map(|(at, twice, lose_answer)| Step::Deliver { at, twice, lose_answer }),
        8 => (at(), prop::bool::weighted(0.2)).prop_map(|(at, twice)| Step::Answer { at, twice }),
        2 => (at(), any::<bool>()).prop_map(|(at, up)| Step::Drop { at, up }),
        3 => Just(Step::TimeOut),
        1 => Just(Step::Crash),
        1 => Just(Step::Backup),
        1 => at().prop_map(Step::Restore),
        1 => at().prop_map(Step::Rewind),
        2 => (0i64..10_000_000_000_000).prop_map(Step::Clock),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn both_ends_agree_whatever_happens(steps in prop::collection::vec(any_step(), 0..250)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.heal();
        world.judge();
    }
}

/// The plain story without faults, so that a broken machine is told from a hostile world.
#[test]
fn a_quiet_day() {
    let mut world = World::new();
    world.step(&Step::Write(10));
    world.heal();
    world.judge();
    assert_eq!(world.cloud.inbox.len(), 10);
    assert_eq!(world.cloud.epochs.len(), 1);
}

/// A backup is restored twice; the second restore chooses an epoch number that is taken.
#[test]
fn the_same_backup_twice() {
    let mut world = World::new();
    world.step(&Step::Write(5));
    world.heal();
    world.backups.push(world.the_box.disk.clone());
    for epoch in [2, 3] {
        world.step(&Step::Write(5));
        world.heal();
        let mut disk = world.backups[0].clone();
        disk.rebase(2, world.the_box.token());
        world.the_box.disk = disk;
        world.the_box.boot();
        world.step(&Step::Write(1));
        world.heal();
        world.judge();
        assert_eq!(world.the_box.disk.head.epoch, epoch);
    }
    assert_eq!(world.the_box.disk.books.len(), 17);
}
