//! A box's transactions and the chain that joins them.
//!
//! Within one epoch sequences are 1, 2, 3 … without a hole, and each link carries the hash of the one before; the first
//! link of an epoch carries [`Hash::ZERO`]. The hash covers the box, the epoch, every field of the header and the exact
//! bytes of the changes, so whoever holds the last hash holds the whole history.
use crate::{Hash, Micros};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// One committed write of the box, with all of its row changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transaction {
    /// Place in the epoch, from 1, without a hole.
    pub sequence: u64,
    /// Hash of the transaction before it; [`Hash::ZERO`] for the first of an epoch.
    pub previous_hash: Hash,
    /// Hash of this one, see [`Transaction::seal`].
    pub hash: Hash,
    /// Organisation it was made in.
    pub organization_id: Uuid,
    /// Branch it was made in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<Uuid>,
    /// Who: id of a user or token, `system` or `cloud`.
    pub actor: String,
    /// What: `capital.entry.post`.
    pub action: String,
    /// Request that made it.
    pub request_id: Uuid,
    /// When, by the box's clock.
    pub at: Micros,
    /// Hash of the box's audit entry.
    pub audit_hash: Hash,
    /// Hash this transaction had when it was first chained, if it has been chained again since: a later epoch carries
    /// given-back and unacknowledged transactions anew, and this tells that they are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Hash>,
    /// Raw JSON, an array of [`crate::Change`].
    pub changes: Box<RawValue>,
}

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Epoch.
    pub epoch: u64,
    /// Last sequence, 0 when there is none.
    pub sequence: u64,
    /// Its hash, [`Hash::ZERO`] when there is none.
    pub hash: Hash,
}

impl Head {
    /// An epoch before its first transaction.
    pub fn start(epoch: u64) -> Head {
        Head { epoch, sequence: 0, hash: Hash::ZERO }
    }
}

/// Why a transaction does not continue a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenLink {
    /// There is a hole, or something twice.
    #[error("sequence {found} follows {after}")]
    Sequence {
        /// The link before.
        after: u64,
        /// What came.
        found: u64,
    },
    /// It was made after another one than this.
    #[error("transaction {sequence} continues another chain")]
    Fork {
        /// Its sequence.
        sequence: u64,
    },
    /// Its content is not what was hashed.
    #[error("transaction {sequence} does not match its hash")]
    Content {
        /// Its sequence.
        sequence: u64,
    },
}

/// The header in the order it is hashed. The names and their order are part of the wire.
#[derive(Serialize)]
struct Header<'a> {
    sequence: u64,
    previous_hash: Hash,
    organization_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch_id: Option<Uuid>,
    actor: &'a str,
    action: &'a str,
    request_id: Uuid,
    at: Micros,
    audit_hash: Hash,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Hash>,
}

impl Transaction {
    /// `SHA-256(previous_hash ‖ box_id ‖ epoch_be ‖ sequence_be ‖ header JSON ‖ changes)`.
    pub fn compute_hash(&self, box_id: Uuid, epoch: u64) -> Hash {
        let header = serde_json::to_vec(&Header {
            sequence: self.sequence,
            previous_hash: self.previous_hash,
            organization_id: self.organization_id,
            branch_id: self.branch_id,
            actor: &self.actor,
            action: &self.action,
            request_id: self.request_id,
            at: self.at,
            audit_hash: self.audit_hash,
            origin: self.origin,
        })
        .expect("a header of numbers and text always serialises");
        let mut hash = Sha256::new();
        hash.update(self.previous_hash.0);
        hash.update(box_id.as_bytes());
        hash.update(epoch.to_be_bytes());
        hash.update(self.sequence.to_be_bytes());
        hash.update(&header);
        hash.update(self.changes.get().as_bytes());
        Hash(hash.finalize().into())
    }

    /// Makes it the next link after `head` and returns the new head.
    pub fn seal(&mut self, box_id: Uuid, head: Head) -> Head {
        self.sequence = head.sequence + 1;
        self.previous_hash = head.hash;
        self.hash = self.compute_hash(box_id, head.epoch);
        Head { epoch: head.epoch, sequence: self.sequence, hash: self.hash }
    }

    /// Chains it again after `head`, remembering which transaction it was.
    pub fn reseal(&mut self, box_id: Uuid, head: Head) -> Head {
        self.origin = Some(self.identity());
        self.seal(box_id, head)
    }

    /// Checks that it is the next link after `head` and returns the new head.
    pub fn follow(&self, box_id: Uuid, head: Head) -> Result<Head, BrokenLink> {
        if head.sequence.checked_add(1) != Some(self.sequence) {
            return Err(BrokenLink::Sequence { after: head.sequence, found: self.sequence });
        }
        if self.previous_hash != head.hash {
            return Err(BrokenLink::Fork { sequence: self.sequence });
        }
        if self.compute_hash(box_id, head.epoch) != self.hash {
            return Err(BrokenLink::Content { sequence: self.sequence });
        }
        Ok(Head { epoch: head.epoch, sequence: self.sequence, hash: self.hash })
    }

    /// What stays the same when it is chained again: its first hash.
    pub fn identity(&self) -> Hash {
        self.origin.unwrap_or(self.hash)
    }

    /// Bytes it takes in a batch, nearly.
    pub fn size(&self) -> usize {
        // Header, punctuation and field names: under 600 bytes for any header with short names.
        self.changes.get().len() + self.actor.len() + self.action.len() + 600
    }
}

impl PartialEq for Transaction {
    fn eq(&self, other: &Transaction) -> bool {
        self.hash == other.hash
            && self.sequence == other.sequence
            && self.previous_hash == other.previous_hash
            && self.organization_id == other.organization_id
            && self.branch_id == other.branch_id
            && self.actor == other.actor
            && self.action == other.action
            && self.request_id == other.request_id
            && self.at == other.at
            && self.audit_hash == other.audit_hash
            && self.origin == other.origin
            && self.changes.get() == other.changes.get()
    }
}
impl Eq for Transaction {}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn transaction(n: u128, changes: &str) -> Transaction {
        Transaction {
            sequence: 0,
            previous_hash: Hash::ZERO,
            hash: Hash::ZERO,
            organization_id: Uuid::from_u128(1),
            branch_id: Some(Uuid::from_u128(2)),
            actor: "system".into(),
            action: "capital.entry.post".into(),
            request_id: Uuid::from_u128(n),
            at: 1_700_000_000_000_000 + n as i64,
            audit_hash: Hash::of(&n.to_be_bytes()),
            origin: None,
            changes: RawValue::from_string(changes.into()).unwrap(),
        }
    }

    #[test]
    fn hash_is_as_documented() {
        let id = Uuid::from_u128(7);
        let mut t = transaction(9, r#"[{"t":"entries","o":"d","k":{"id":1}}]"#);
        t.seal(id, Head { epoch: 3, sequence: 4, hash: Hash::of(b"before") });
        let header = format!(
            "{{\"sequence\":5,\"previous_hash\":\"{}\",\"organization_id\":\"00000000-0000-0000-0000-000000000001\",\
             \"branch_id\":\"00000000-0000-0000-0000-000000000002\",\"actor\":\"system\",\"action\":\"capital.entry.post\",\
             \"request_id\":\"00000000-0000-0000-0000-000000000009\",\"at\":1700000000000009,\"audit_hash\":\"{}\"}}",
            Hash::of(b"before"),
            t.audit_hash
        );
        let mut bytes = Hash::of(b"before").0.to_vec();
        bytes.extend_from_slice(id.as_bytes());
        bytes.extend_from_slice(&3u64.to_be_bytes());
        bytes.extend_from_slice(&5u64.to_be_bytes());
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(br#"[{"t":"entries","o":"d","k":{"id":1}}]"#);
        assert_eq!(t.hash, Hash::of(&bytes));
    }

    #[test]
    fn a_change_of_anything_is_found() {
        let id = Uuid::from_u128(7);
        let mut t = transaction(9, "[]");
        let head = t.seal(id, Head::start(1));
        assert_eq!(t.follow(id, Head::start(1)), Ok(head));
        assert_eq!(t.follow(Uuid::nil(), Head::start(1)), Err(BrokenLink::Content { sequence: 1 }));
        assert_eq!(t.follow(id, Head::start(2)), Err(BrokenLink::Content { sequence: 1 }));
        assert_eq!(t.follow(id, head), Err(BrokenLink::Sequence { after: 1, found: 1 }));
        let other = Head { epoch: 1, sequence: 0, hash: Hash::of(b"x") };
        assert_eq!(t.follow(id, other), Err(BrokenLink::Fork { sequence: 1 }));
        let mut changed = t.clone();
        changed.actor = "cloud".into();
        assert_eq!(changed.follow(id, Head::start(1)), Err(BrokenLink::Content { sequence: 1 }));
        let mut changed = t.clone();
        changed.changes = RawValue::from_string("[ ]".into()).unwrap();
        assert_eq!(changed.follow(id, Head::start(1)), Err(BrokenLink::Content { sequence: 1 }));
    }

    #[test]
    fn identity_survives_any_number_of_epochs() {
        let id = Uuid::from_u128(7);
        let mut t = transaction(9, "[]");
        t.seal(id, Head::start(1));
        let first = t.hash;
        t.reseal(id, Head::start(2));
        t.reseal(id, Head { epoch: 3, sequence: 8, hash: first });
        assert_ne!(t.hash, first);
        assert_eq!(t.identity(), first);
    }

    proptest! {
        /// The raw text of the changes survives JSON byte for byte, so the hash still holds at the other end.
        #[test]
        fn json_keeps_the_hash(actor in ".*", text in ".*", number in any::<f64>(), at in any::<i64>()) {
            let id = Uuid::from_u128(7);
            let changes = format!("[ {}, {} ,1.10, 1e400]", serde_json::to_string(&text).unwrap(), serde_json::to_string(&number).unwrap());
            let mut t = transaction(1, &changes);
            t.actor = actor;
            t.at = at;
            t.seal(id, Head::start(1));
            let back: Transaction = serde_json::from_slice(&serde_json::to_vec(&t).unwrap()).unwrap();
            prop_assert_eq!(&back, &t);
            prop_assert!(back.follow(id, Head::start(1)).is_ok());
        }
    }
}
