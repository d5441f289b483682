//! Samples to the request of a protocol: body, headers, idempotency key. Pure; sends nothing.

use crate::queue::Entry;

pub mod json;

/// One encoded batch: what is sent is fixed here, so that a retry repeats the same bytes under the
/// same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The path that the protocol uses when the URL has none.
    pub content_type: &'static str,
    /// Value of `Content-Encoding`, if compressed.
    pub content_encoding: Option<&'static str>,
    /// Value of `Idempotency-Key`, quotes included.
    pub idempotency_key: String,
    /// The body, compressed when asked for.
    pub body: bytes::Bytes,
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

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// `Content-Encoding: gzip`.
    Gzip,
    /// `Content-Encoding: zstd`.
    Zstd,
}

/// A protocol's encoder.
pub trait Encoder: Send {
    /// Encodes the longest prefix of `entries` that fits `limits` and has one agent id.
    fn encode(&self, entries: &[Entry], limits: Limits) -> Request;
}
