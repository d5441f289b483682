//! Samples to the request of a protocol: body, headers, idempotency key. Pure; sends nothing.

use std::io::Write as _;

use bytes::Bytes;
use flate2::GzBuilder;
use uuid::Uuid;

use crate::queue::{Attached, Entry};

pub mod json;

/// One encoded batch: what is sent is fixed here, so that a retry repeats the same bytes under the
/// same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// Value of `Content-Encoding`, if compressed.
    pub content_encoding: Option<&'static str>,
    /// Value of `Idempotency-Key`, quotes included.
    pub idempotency_key: String,
    /// The body, compressed when asked for.
    pub body: Bytes,
    /// Bytes of the body before compression: what [`Limits::max_bytes`] bounds.
    pub plain_bytes: usize,
    /// Sequence numbers in the body, ascending.
    pub first_seq: u64,
    /// See `first_seq`.
    pub last_seq: u64,
    /// How many of the offered entries the body holds (a prefix).
    pub samples: usize,
}

/// Bounds of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most samples in one request.
    pub max_samples: usize,
    /// Most bytes of the body before compression; a single sample beyond it goes alone.
    pub max_bytes: usize,
}

/// How a body is compressed. The same bytes always give the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// `Content-Encoding: gzip`.
    Gzip,
    /// `Content-Encoding: zstd`.
    Zstd,
}

impl Compression {
    /// The value of `Content-Encoding`.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// Compresses `body`; a compressor that fails leaves `None`, and the body goes as it is.
    fn compress(self, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::None => None,
            Self::Gzip => {
                // A time stamp would change the bytes of a retry.
                let room = Vec::with_capacity(body.len() / 4);
                let mut gzip =
                    GzBuilder::new().mtime(0).write(room, flate2::Compression::default());
                gzip.write_all(body).ok()?;
                gzip.finish().ok()
            }
            Self::Zstd => zstd::bulk::compress(body, zstd::DEFAULT_COMPRESSION_LEVEL).ok(),
        }
    }
}

/// A protocol's encoder.
pub trait Encoder: Send {
    /// Encodes the longest prefix of `entries` that fits `limits` and has one agent id; at least
    /// one entry, however large. Without entries the request holds no samples: don't send it.
    ///
    /// The same entries with the same `attached` always give the same bytes.
    fn encode(&self, entries: &[Entry], limits: Limits, attached: &Attached) -> Request;
}

/// Seals a body: names it by its content before compression, then compresses it.
fn seal(body: Vec<u8>, content_type: &'static str, entries: &[Entry], by: Compression) -> Request {
    let crc = crc32fast::hash(&body);
    let agent_id = entries.first().map_or(Uuid::nil(), |entry| entry.agent_id);
    let first_seq = entries.first().map_or(0, |entry| entry.seq);
    let last_seq = entries.last().map_or(0, |entry| entry.seq);
    let plain_bytes = body.len();
    let compressed = by.compress(&body);
    Request {
        content_type,
        content_encoding: compressed.as_ref().and(by.name()),
        idempotency_key: format!("\"{agent_id}:{first_seq}-{last_seq}:{crc:08x}\""),
        body: compressed.map_or_else(|| Bytes::from(body), Bytes::from),
        plain_bytes,
        first_seq,
        last_seq,
        samples: entries.len(),
    }
}
