//! Bodies on the wire: JSON or bytes, Zstandard-compressed, bounded on both sides of the decompression.
//!
//! A decompression bomb costs the reader at most its own bound: output is taken in pieces, and reading ends at the
//! first piece over it, whatever the frame's header promises.
use crate::limits;
use serde::{Serialize, de::DeserializeOwned};
use std::io::Read as _;

/// Why a body cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More compressed bytes than may travel.
    #[error("body of {size} bytes is over the bound of {bound}")]
    Compressed {
        /// Bytes that came.
        size: usize,
        /// Bytes that may come.
        bound: usize,
    },
    /// It grows beyond the bound when decompressed.
    #[error("body is over the bound of {bound} bytes when decompressed")]
    Expanded {
        /// Bytes it may have.
        bound: usize,
    },
    /// Not a Zstandard stream, torn, or with something behind it.
    #[error("body is not a whole zstandard stream: {0}")]
    Zstd(#[from] std::io::Error),
    /// Not the JSON this endpoint takes.
    #[error("body is malformed: {0}")]
    Json(#[from] serde_json::Error),
}

impl BodyError {
    /// Whether the answer is 413 rather than 400.
    pub fn is_too_large(&self) -> bool {
        matches!(self, BodyError::Compressed { .. } | BodyError::Expanded { .. })
    }
}

/// Compresses bytes.
pub fn compress(bytes: &[u8]) -> Result<Vec<u8>, BodyError> {
    Ok(zstd::bulk::compress(bytes, limits::ZSTD_LEVEL)?)
}

/// Decompresses at most `bound` bytes.
pub fn decompress(bytes: &[u8], bound: usize) -> Result<Vec<u8>, BodyError> {
    let mut reader = zstd::stream::read::Decoder::with_buffer(bytes)?;
    // A frame may ask for a window of its own; 8 MiB is what level 3 never exceeds, and bounds the decoder's memory.
    reader.window_log_max(23)?;
    let mut out = Vec::with_capacity(bound.min(4 * bytes.len()));
    reader.take(bound as u64 + 1).read_to_end(&mut out)?;
    if out.len() > bound {
        return Err(BodyError::Expanded { bound });
    }
    Ok(out)
}

/// A value as a compressed JSON body.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, BodyError> {
    let json = serde_json::to_vec(value)?;
    if json.len() > limits::BODY {
        return Err(BodyError::Expanded { bound: limits::BODY });
    }
    let bytes = compress(&json)?;
    if bytes.len() > limits::BODY_COMPRESSED {
        return Err(BodyError::Compressed { size: bytes.len(), bound: limits::BODY_COMPRESSED });
    }
    Ok(bytes)
}

/// A compressed JSON body as a value, under the wire's bounds.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    if bytes.len() > limits::BODY_COMPRESSED {
        return Err(BodyError::Compressed { size: bytes.len(), bound: limits::BODY_COMPRESSED });
    }
    Ok(serde_json::from_slice(&decompress(bytes, limits::BODY)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Head, chain::tests::transaction};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn batch() -> Batch {
        let mut head = Head::start(1);
        let mut transactions = vec![transaction(1, "[]"), transaction(2, "[ ]"), transaction(3, r#"[{"a":1.50}]"#)];
        for t in &mut transactions {
            head = t.seal(Uuid::nil(), head);
        }
        Batch { epoch: 1, transactions }
    }

    #[test]
    fn a_batch_round_trips() {
        assert_eq!(decode::<Batch>(&encode(&batch()).unwrap()).unwrap(), batch());
    }

    #[test]
    fn a_bomb_stops_at_the_bound() {
        let bomb = zstd::bulk::compress(&vec![b' '; 512 << 20], 1).unwrap();
        assert!(bomb.len() < limits::BODY_COMPRESSED);
        assert!(matches!(decode::<Batch>(&bomb), Err(BodyError::Expanded { bound: limits::BODY })));
        let nested = zstd::bulk::compress(&bomb, 1).unwrap();
        assert!(matches!(decode::<Batch>(&nested), Err(BodyError::Json(_))));
        assert!(matches!(decode::<Batch>(&vec![0; limits::BODY_COMPRESSED + 1]), Err(BodyError::Compressed { .. })));
    }

    #[test]
    fn a_torn_body_is_refused_at_every_byte() {
        let whole = encode(&batch()).unwrap();
        for end in 0..whole.len() {
            assert!(decode::<Batch>(&whole[..end]).is_err(), "{end} of {}", whole.len());
        }
    }

    proptest! {
        #[test]
        fn never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), zstd_magic in any::<bool>()) {
            if zstd_magic && bytes.len() >= 4 {
                bytes[..4].copy_from_slice(&[0x28, 0xb5, 0x2f, 0xfd]);
            }
            let _ = decode::<Batch>(&bytes);
        }

        #[test]
        fn a_flipped_byte_never_passes_the_chain(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = encode(&batch()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(read) = decode::<Batch>(&bytes) {
                let mut head = Head::start(read.epoch);
                let whole = read.transactions.iter().try_for_each(|t| {
                    head = t.follow(Uuid::nil(), head)?;
                    Ok::<_, crate::chain::BrokenLink>(())
                });
                prop_assert!(whole.is_err() || read == batch());
            }
        }
    }
}
