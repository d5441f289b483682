//! A request's body: unpacked within bounds, read, and held against schema 1. Pure.

use std::{borrow::Cow, collections::BTreeMap, io::Read};

use bytes::Bytes;
use hyper::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, ser::SerializeStruct as _};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{encode::json::SCHEMA, sample::Group};

/// Most bytes of a body as sent.
pub(super) const MAX_BODY: usize = 16 << 20;
/// Most bytes of a body after decompression.
const MAX_UNPACKED: usize = 64 << 20;
/// Largest window of a zstd body, as a power of two: what decompression may take in memory.
const MAX_WINDOW_LOG: u32 = 23;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    fn invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, text)
    }
}

/// A body in schema 1. What the schema doesn't name is ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Batch<'a> {
    schema: u32,
    pub(super) agent: Agent,
    /// What the agent lost.
    #[serde(default)]
    pub(super) losses: Vec<Loss>,
    #[serde(borrow)]
    pub(super) samples: Vec<Sample<'a>>,
}

/// Who sent it.
#[derive(Debug, Deserialize)]
pub(super) struct Agent {
    pub(super) id: Uuid,
    #[serde(rename = "version")]
    _version: String,
}

/// Samples that never come.
#[derive(Debug, Deserialize)]
pub(super) struct Loss {
    pub(super) reason: String,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) count: u64,
    /// Under which they were enqueued, if that isn't the request's.
    pub(super) agent_id: Option<Uuid>,
}

/// One sample; its figures stay as they were written.
#[derive(Debug, Deserialize)]
pub(super) struct Sample<'a> {
    pub(super) seq: u64,
    timestamp: Timestamp,
    recorded_timestamp: Option<Timestamp>,
    boot_id: Option<Uuid>,
    uptime: Option<f64>,
    #[serde(borrow)]
    host: Cow<'a, str>,
    tags: BTreeMap<String, String>,
    interval: f64,
    kind: Group,
    #[serde(borrow)]
    metrics: &'a RawValue,
}

/// Undoes `Content-Encoding`.
pub(super) fn unpack(body: Bytes, encoding: Option<&str>) -> Result<Bytes, Refusal> {
    match encoding.map(str::trim) {
        None | Some("" | "identity") => Ok(body),
        Some(gzip) if gzip.eq_ignore_ascii_case("gzip") => {
            read_bounded(flate2::read::MultiGzDecoder::new(&*body))
        }
        Some(zstd) if zstd.eq_ignore_ascii_case("zstd") => {
            let unreadable = |error: std::io::Error| {
                Refusal::new(StatusCode::BAD_REQUEST, format!("can't decompress: {error}"))
            };
            let mut decoder = zstd::stream::read::Decoder::new(&*body).map_err(unreadable)?;
            decoder.window_log_max(MAX_WINDOW_LOG).map_err(unreadable)?;
            read_bounded(decoder)
        }
        Some(_) => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content encoding must be gzip, zstd or none",
        )),
    }
}

fn read_bounded(from: impl Read) -> Result<Bytes, Refusal> {
    let mut unpacked = Vec::new();
    from.take(MAX_UNPACKED as u64 + 1).read_to_end(&mut unpacked).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("can't decompress: {error}"))
    })?;
    if unpacked.len() > MAX_UNPACKED {
        let text = format!("more than {MAX_UNPACKED} bytes after decompression");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    Ok(Bytes::from(unpacked))
}

impl<'a> Batch<'a> {
    /// Reads an unpacked body. What isn't JSON is a bad request; JSON that isn't schema 1 can't be
    /// processed.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Refusal> {
        let batch: Self = serde_json::from_slice(body).map_err(|error| {
            let status = if error.is_data() {
                StatusCode::UNPROCESSABLE_ENTITY
            } else {
                StatusCode::BAD_REQUEST
            };
            Refusal::new(status, error.to_string())
        })?;
        if batch.schema != SCHEMA {
            return Err(Refusal::invalid(format!("schema {} isn't {SCHEMA}", batch.schema)));
        }
        if !batch.samples.is_sorted_by(|one, next| one.seq < next.seq) {
            return Err(Refusal::invalid("samples aren't in the order of seq"));
        }
        for sample in &batch.samples {
            sample.check()?;
        }
        for loss in &batch.losses {
            loss.check()?;
        }
        Ok(batch)
    }

    /// Holds `Idempotency-Key` against the body: agent id, range and CRC-32.
    pub(super) fn check_key(&self, key: &str, body: &[u8]) -> Result<(), Refusal> {
        let first = self.samples.first().map_or(0, |sample| sample.seq);
        let last = self.samples.last().map_or(0, |sample| sample.seq);
        let crc = crc32fast::hash(body);
        let expected = format!("\"{}:{first}-{last}:{crc:08x}\"", self.agent.id);
        if key == expected {
            return Ok(());
        }
        Err(Refusal::invalid(format!("the Idempotency-Key should be {expected}")))
    }
}

impl Loss {
    fn check(&self) -> Result<(), Refusal> {
        let Self { first_seq, last_seq, count, .. } = *self;
        if first_seq <= last_seq && (1..=(last_seq - first_seq).saturating_add(1)).contains(&count)
        {
            return Ok(());
        }
        Err(Refusal::invalid(format!("a loss of {count} from {first_seq} to {last_seq}")))
    }
}

impl Sample<'_> {
    fn check(&self) -> Result<(), Refusal> {
        let wrong = match () {
            () if !self.interval.is_finite() || self.interval <= 0.0 => "interval isn't positive",
            () if !self.metrics.get().starts_with('{') => "metrics isn't an object",
            () => return Ok(()),
        };
        Err(Refusal::invalid(format!("seq {}: {wrong}", self.seq)))
    }

    /// Appends the sample as one line of JSON with its agent id.
    pub(super) fn append_line(
        &self,
        agent_id: Uuid,
        lines: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        let start = lines.len();
        serde_json::to_writer(&mut *lines, &Line { agent_id, sample: self })?;
        // Line ends within the figures can be no part of a string.
        for byte in &mut lines[start..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        lines.push(b'\n');
        Ok(())
    }
}

/// A line of the output file. (`flatten` can't be used: it takes raw figures apart.)
struct Line<'a> {
    agent_id: Uuid,
    sample: &'a Sample<'a>,
}

impl Serialize for Line<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Sample { seq, timestamp, host, tags, interval, kind, metrics, .. } = self.sample;
        let Sample { recorded_timestamp, boot_id, uptime, .. } = self.sample;
        let mut line = to.serialize_struct("Line", 11)?;
        line.serialize_field("agent_id", &self.agent_id)?;
        line.serialize_field("seq", seq)?;
        line.serialize_field("timestamp", timestamp)?;
        if let Some(recorded) = recorded_timestamp {
            line.serialize_field("recorded_timestamp", recorded)?;
        }
        if let Some(boot_id) = boot_id {
            line.serialize_field("boot_id", boot_id)?;
        }
        if let Some(uptime) = uptime {
            line.serialize_field("uptime", uptime)?;
        }
        line.serialize_field("host", host)?;
        line.serialize_field("tags", tags)?;
        line.serialize_field("interval", interval)?;
        line.serialize_field("kind", kind)?;
        line.serialize_field("metrics", metrics)?;
        line.end()
    }
}
