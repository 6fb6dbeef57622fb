//! The cloud's end: what to do with a batch, an epoch or a segment, given what is stored.
//!
//! Pure decisions. The caller locks the box's cursor row, asks, carries the verdict out and commits, all in one database
//! transaction; only then does it answer. Because a verdict depends on nothing but the stored cursor, any replica may
//! take it, and a request that comes twice, late or in pieces changes nothing the second time.
use crate::{Batch, Cursor, EpochStart, Hash, Head, Position, Refusal, TelemetryCursor, TelemetryRefusal, code};
use uuid::Uuid;

/// What to do with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchVerdict {
    /// Append `transactions[from..]`, which continue the chain, and move the cursor to `head`.
    Accept {
        /// First transaction that is new.
        from: usize,
        /// Head after the last.
        head: Head,
    },
    /// Every one of them is here already; answer with the cursor.
    Known,
    /// Answer 409 with this.
    Refuse(Refusal),
}

/// Judges a batch of a box whose chain ends at `cursor`.
pub fn judge_batch(box_id: Uuid, cursor: &Cursor, batch: &Batch) -> BatchVerdict {
    let refuse =
        |code: &str, message: String| BatchVerdict::Refuse(Refusal { code: code.into(), message, cursor: *cursor });
    if batch.epoch < cursor.epoch {
        return refuse(code::OLD_EPOCH, format!("epoch {} is over, the box is in epoch {}", batch.epoch, cursor.epoch));
    }
    if batch.epoch > cursor.epoch || batch.epoch == 0 {
        return refuse(code::UNKNOWN_EPOCH, format!("epoch {} was not announced", batch.epoch));
    }
    // Where both hold the last acknowledged transaction, they must hold the same one.
    if batch.transactions.iter().any(|t| t.sequence == cursor.sequence && t.hash != cursor.hash) {
        return refuse(code::FORK, format!("transaction {} is another one here", cursor.sequence));
    }
    let from = batch.transactions.iter().take_while(|t| t.sequence <= cursor.sequence).count();
    let mut head = cursor.head();
    for transaction in &batch.transactions[from..] {
        head = match transaction.follow(box_id, head) {
            Ok(head) => head,
            Err(broken @ crate::chain::BrokenLink::Sequence { .. }) => return refuse(code::GAP, broken.to_string()),
            Err(broken) => return refuse(code::FORK, broken.to_string()),
        };
    }
    if from == batch.transactions.len() { BatchVerdict::Known } else { BatchVerdict::Accept { from, head } }
}

/// What the cloud keeps of an epoch it was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochRecord {
    /// Epoch.
    pub epoch: u64,
    /// Token of the [`EpochStart`] that began it.
    pub token: Uuid,
    /// Where it left the epochs before.
    pub previous: Position,
}

/// What to do with an announced epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EpochVerdict {
    /// Store this record, set the cursor to [`Head::start`] of the epoch, and answer with the first page of what was
    /// lost.
    Begin(EpochRecord),
    /// It began already; answer with the page after [`EpochStart::after`].
    Continue,
    /// Answer 409 with this.
    Refuse(Refusal),
}

/// Judges an announced epoch. `current` is the record of the cursor's epoch (none before the first contact), and `known`
/// is the hash the inbox has at the start's previous position, if it has one.
pub fn judge_epoch(
    cursor: &Cursor,
    current: Option<&EpochRecord>,
    known: Option<Hash>,
    start: &EpochStart,
) -> EpochVerdict {
    let previous = Position { epoch: start.previous_epoch, sequence: start.previous_sequence };
    let record = EpochRecord { epoch: start.epoch, token: start.token, previous };
    let refuse =
        |code: &str, message: String| EpochVerdict::Refuse(Refusal { code: code.into(), message, cursor: *cursor });
    if current == Some(&record) {
        return EpochVerdict::Continue;
    }
    if start.epoch <= cursor.epoch || previous.epoch >= start.epoch {
        return refuse(code::OLD_EPOCH, format!("epoch {} is taken, the next is {}", start.epoch, cursor.epoch + 1));
    }
    match known {
        // A box that has nothing of its past needs no witness for where it stands.
        _ if start.previous_sequence == 0 => EpochVerdict::Begin(record),
        Some(hash) if hash == start.hash => EpochVerdict::Begin(record),
        Some(_) => refuse(
            code::FORK,
            format!("transaction {} of epoch {} is another one here", previous.sequence, previous.epoch),
        ),
        None => refuse(code::GAP, format!("transaction {} of epoch {} is not here", previous.sequence, previous.epoch)),
    }
}

/// How far each epoch belongs to the history that ends at `point`: its last position in it, newest epoch first. An epoch
/// that is not named does not belong to it at all.
///
/// What a box restored to `point` has lost is every inbox transaction that lies beyond these positions and whose identity
/// ([`crate::Transaction::identity`]) is not that of one within them, each identity once, in order of position.
pub fn lineage(epochs: &[EpochRecord], point: Position) -> Vec<Position> {
    let mut history = Vec::new();
    let mut next = point;
    while next.epoch > 0 {
        history.push(next);
        match epochs.iter().find(|e| e.epoch == next.epoch) {
            // Epochs only ever refer to earlier ones (`judge_epoch`), so this ends.
            Some(record) if record.previous.epoch < next.epoch => next = record.previous,
            _ => break,
        }
    }
    history
}

/// What to do with a telemetry segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentVerdict {
    /// Store its points and move the cursor here.
    Accept(TelemetryCursor),
    /// It is here already; answer with the cursor.
    Known,
    /// Answer 409 with this.
    Refuse(TelemetryRefusal),
}

/// Judges a segment's number. Segments are numbered from 1 in each epoch.
pub fn judge_segment(cursor: &Cursor, epoch: u64, segment: u64) -> SegmentVerdict {
    let stored = if cursor.telemetry.epoch == cursor.epoch {
        cursor.telemetry
    } else {
        TelemetryCursor { epoch: cursor.epoch, segment: 0 }
    };
    let refuse = |code: &str, message: String| {
        SegmentVerdict::Refuse(TelemetryRefusal { code: code.into(), message, cursor: stored })
    };
    if epoch < cursor.epoch {
        refuse(code::OLD_EPOCH, format!("epoch {epoch} is over, the box is in epoch {}", cursor.epoch))
    } else if epoch > cursor.epoch || epoch == 0 {
        refuse(code::UNKNOWN_EPOCH, format!("epoch {epoch} was not announced"))
    } else if segment <= stored.segment {
        SegmentVerdict::Known
    } else if segment == stored.segment + 1 {
        SegmentVerdict::Accept(TelemetryCursor { epoch, segment })
    } else {
        refuse(code::GAP, format!("segment {segment} follows {}", stored.segment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::tests::transaction;

    const BOX: Uuid = Uuid::from_u128(7);

    fn chain(n: u128, mut head: Head) -> (Vec<crate::Transaction>, Head) {
        let transactions = (0..n)
            .map(|i| {
                let mut t = transaction(i, "[]");
                head = t.seal(BOX, head);
                t
            })
            .collect();
        (transactions, head)
    }

    fn at(head: Head) -> Cursor {
        Cursor { epoch: head.epoch, sequence: head.sequence, hash: head.hash, telemetry: TelemetryCursor::default() }
    }

    fn refusal(verdict: BatchVerdict) -> String {
        match verdict {
            BatchVerdict::Refuse(refusal) => refusal.code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn takes_what_is_new_and_skips_what_it_has() {
        let (all, end) = chain(5, Head::start(1));
        let middle = Head { epoch: 1, sequence: 3, hash: all[2].hash };
        let judge = |cursor: Head, range: std::ops::Range<usize>| {
            judge_batch(BOX, &at(cursor), &Batch { epoch: 1, transactions: all[range].to_vec() })
        };
        assert_eq!(judge(Head::start(1), 0..5), BatchVerdict::Accept { from: 0, head: end });
        assert_eq!(judge(middle, 0..5), BatchVerdict::Accept { from: 3, head: end });
        assert_eq!(judge(middle, 0..3), BatchVerdict::Known);
        assert_eq!(judge(middle, 0..0), BatchVerdict::Known);
        assert_eq!(refusal(judge(middle, 4..5)), code::GAP);
    }

    #[test]
    fn refuses_another_chain() {
        let (mine, end) = chain(3, Head::start(1));
        let mut other = mine.clone();
        other[2].actor = "someone".into();
        other[2].seal(BOX, Head { epoch: 1, sequence: 2, hash: mine[1].hash });
        let batch = Batch { epoch: 1, transactions: other.clone() };
        assert_eq!(refusal(judge_batch(BOX, &at(end), &batch)), code::FORK);
        other[2].action = "tampered".into();
        let batch = Batch { epoch: 1, transactions: other };
        assert_eq!(refusal(judge_batch(BOX, &at(Head::start(1)), &batch)), code::FORK);
        assert_eq!(refusal(judge_batch(BOX, &at(Head::start(2)), &batch)), code::OLD_EPOCH);
        assert_eq!(refusal(judge_batch(BOX, &at(Head::start(0)), &batch)), code::UNKNOWN_EPOCH);
    }

    #[test]
    fn epochs_begin_once_and_from_a_known_point() {
        let (_, end) = chain(3, Head::start(1));
        let start = EpochStart {
            epoch: 2,
            previous_epoch: 1,
            previous_sequence: 3,
            hash: end.hash,
            token: Uuid::from_u128(1),
            after: None,
        };
        let record = EpochRecord { epoch: 2, token: start.token, previous: Position { epoch: 1, sequence: 3 } };
        assert_eq!(judge_epoch(&at(end), None, Some(end.hash), &start), EpochVerdict::Begin(record));
        let now = at(Head::start(2));
        assert_eq!(judge_epoch(&now, Some(&record), Some(end.hash), &start), EpochVerdict::Continue);
        let code = |verdict| match verdict {
            EpochVerdict::Refuse(refusal) => refusal.code,
            other => panic!("{other:?}"),
        };
        let twin = EpochStart { token: Uuid::from_u128(2), ..start };
        assert_eq!(code(judge_epoch(&now, Some(&record), Some(end.hash), &twin)), code::OLD_EPOCH);
        assert_eq!(code(judge_epoch(&at(end), None, None, &start)), code::GAP);
        assert_eq!(code(judge_epoch(&at(end), None, Some(Hash::ZERO), &start)), code::FORK);
        let blank = EpochStart { previous_epoch: 0, previous_sequence: 0, hash: Hash::ZERO, ..start };
        assert!(matches!(judge_epoch(&at(end), None, None, &blank), EpochVerdict::Begin(_)));
    }

    #[test]
    fn lineage_walks_back_over_restores() {
        let place = |epoch, sequence| Position { epoch, sequence };
        let record = |epoch, previous| EpochRecord { epoch, token: Uuid::nil(), previous };
        // Epoch 3 was restored out of epoch 1 again, past epoch 2.
        let epochs = [record(1, place(0, 0)), record(2, place(1, 50)), record(3, place(1, 40)), record(4, place(3, 9))];
        assert_eq!(lineage(&epochs, place(4, 2)), [place(4, 2), place(3, 9), place(1, 40)]);
        assert_eq!(lineage(&epochs, place(2, 7)), [place(2, 7), place(1, 50)]);
        assert_eq!(lineage(&epochs, place(0, 0)), []);
    }

    #[test]
    fn segments_are_taken_in_order_once() {
        let mut cursor = at(Head::start(2));
        cursor.telemetry = TelemetryCursor { epoch: 2, segment: 4 };
        assert_eq!(judge_segment(&cursor, 2, 5), SegmentVerdict::Accept(TelemetryCursor { epoch: 2, segment: 5 }));
        assert_eq!(judge_segment(&cursor, 2, 4), SegmentVerdict::Known);
        let refused = |epoch, segment| match judge_segment(&cursor, epoch, segment) {
            SegmentVerdict::Refuse(refusal) => refusal.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(2, 6), code::GAP);
        assert_eq!(refused(1, 5), code::OLD_EPOCH);
        assert_eq!(refused(3, 1), code::UNKNOWN_EPOCH);
        cursor.telemetry.epoch = 1;
        assert!(matches!(judge_segment(&cursor, 2, 1), SegmentVerdict::Accept(_)));
    }
}
