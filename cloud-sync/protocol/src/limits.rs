//! Bounds of the wire. Both ends hold them, so that neither can be made to keep more in memory than is written here.

/// A body as it travels, compressed: 8 MiB.
pub const BODY_COMPRESSED: usize = 8 << 20;
/// A body after decompression: 64 MiB.
pub const BODY: usize = 64 << 20;
/// Raw JSON the box puts into one batch before it stops adding transactions: 4 MiB. A single transaction may be larger,
/// up to [`TRANSACTION`]; it then travels alone.
pub const BATCH: usize = 4 << 20;
/// Transactions in one batch.
pub const BATCH_TRANSACTIONS: usize = 2_000;
/// The changes of one transaction: 32 MiB of JSON. The box's store refuses a larger write.
pub const TRANSACTION: usize = 32 << 20;
/// Points in one telemetry segment. 262,144 points are about 1 MiB on the wire.
pub const SEGMENT_POINTS: usize = 1 << 18;
/// Series definitions in one telemetry segment.
pub const SEGMENT_SERIES: usize = 1 << 16;
/// Gap records in one telemetry segment.
pub const SEGMENT_GAPS: usize = 4_096;
/// Rows in one reference checkpoint.
pub const CHECKPOINT_ROWS: usize = 10_000;
/// Refused edits that one checkpoint tells of.
pub const CHECKPOINT_REFUSED: usize = 100;
/// Transactions in one page of [`crate::EpochAnswer::lost`].
pub const LOST_TRANSACTIONS: usize = 500;
/// Commands in one [`crate::Desired`].
pub const COMMANDS: usize = 256;
/// A desired or reported document: 256 KiB of JSON.
pub const DOCUMENT: usize = 256 << 10;
/// An MQTT payload either end looks at: 64 KiB.
pub const MQTT_PAYLOAD: usize = 64 << 10;
/// Zstandard level of every body and segment.
pub const ZSTD_LEVEL: i32 = 3;
