//! What a queued sample looks like as bytes: key, frame, payload. The only file that names bincode.
//!
//! A record is a bincode payload cut into parts, each framed on its own (magic, version, sequence
//! number, running total, length, CRC-32), so that it can be found and judged without the database
//! around it. It never trusts a length before it has checked it. The layout is written down in
//! `docs/on-disk-format.md`.

use bincode::Options as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::sample::Sample;

pub mod block;
mod versions;

/// The version that this program writes.
pub const VERSION: u8 = 4;
/// The longest value: larger ones are less safe in the database.
pub const MAX_VALUE: usize = 4096;
/// The longest part of a payload in one frame.
pub const MAX_PART: usize = MAX_VALUE - HEADER;
/// No count, no sequence number is larger: whatever a file claims, adding some up doesn't wrap.
pub const MAX_NUMBER: u64 = 1 << 56;
/// Of a later version no part is longer.
const LONGEST_LATER: usize = 64 << 10;
/// The largest payload: more is refused at enqueue.
pub const MAX_PAYLOAD: usize = 16 << 20;
/// Length of a frame's header.
pub const HEADER: usize = 34;
/// The first bytes of every frame.
pub const MAGIC: [u8; 4] = *b"cQr\x01";

const RECORD_TAG: u8 = 1;

/// The key of one part: tag, sequence number and part, big endian, so that keys sort in order.
pub type Key = [u8; 11];

/// The key of `part` of the record `seq`.
#[must_use]
pub fn key(seq: u64, part: u16) -> Key {
    let mut key = [0; 11];
    key[0] = RECORD_TAG;
    key[1..9].copy_from_slice(&seq.to_be_bytes());
    key[9..].copy_from_slice(&part.to_be_bytes());
    key
}

/// The sequence number and the part of a record's key; `None` for any other key.
#[must_use]
pub fn parse_key(key: &[u8]) -> Option<(u64, u16)> {
    let key: &Key = key.try_into().ok()?;
    let seq = u64::from_be_bytes(key[1..9].try_into().ok()?);
    let part = u16::from_be_bytes(key[9..].try_into().ok()?);
    (key[0] == RECORD_TAG).then_some((seq, part))
}

/// What the database holds of one sample; (de)serialised as in the version that this program writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "versions::Stored", try_from = "versions::Stored")]
pub struct Record {
    /// The agent id under which it was enqueued.
    pub agent_id: Uuid,
    /// The sample, with boot id, wall clock and time since boot.
    pub sample: Sample,
}

/// Why bytes aren't a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a later version of this program; it must not be touched.
    #[error("format version {0} is later than {VERSION}")]
    LaterVersion(u8),
    /// Not what was written.
    #[error("damaged: {0}")]
    Damaged(&'static str),
}

/// A payload that is too large to be queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a record of {0} bytes is more than the largest possible, {MAX_PAYLOAD}")]
pub struct TooLarge(pub u64);

/// One part of a record, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// The format version of the payload.
    pub version: u8,
    /// The record's sequence number.
    pub seq: u64,
    /// Which part this is, from 0.
    pub index: u16,
    /// How many parts the record has.
    pub count: u16,
    /// Payload bytes that were ever queued, this record included: tells how much is missing.
    pub running_total: u64,
    /// This part's share of the payload.
    pub payload: &'a [u8],
}

impl Part<'_> {
    /// Length of the whole frame.
    #[must_use]
    pub fn frame_length(&self) -> usize {
        HEADER + self.payload.len()
    }
}

fn codec() -> impl bincode::Options {
    bincode::DefaultOptions::new().with_limit(MAX_PAYLOAD as u64).reject_trailing_bytes()
}

/// Encodes a value with bincode's variable-length integers.
pub fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>, TooLarge> {
    codec()
        .serialize(value)
        .map_err(|_| TooLarge(bincode::serialized_size(value).unwrap_or(u32::MAX.into())))
}

/// What a sample takes in the queue, in bytes: its payload and its frames.
#[must_use]
pub fn size(sample: &Sample) -> u64 {
    let payload = weight(sample);
    payload + payload.div_ceil(MAX_PART as u64) * HEADER as u64
}

/// The payload of a sample, in bytes.
#[must_use]
pub fn weight(sample: &Sample) -> u64 {
    payload(Uuid::nil(), sample).map_or_else(
        |TooLarge(bytes)| bytes.min(u64::from(u32::MAX)),
        |payload| payload.len() as u64,
    )
}

/// The payload of the record of a sample.
pub fn payload(agent_id: Uuid, sample: &Sample) -> Result<Vec<u8>, TooLarge> {
    // Once: by itself, serde makes it anew to ask for its size and again to write it.
    pack(&versions::Stored::from(Record { agent_id, sample: sample.clone() }))
}

/// Decodes what [`pack`] encoded; bounded in memory, refuses trailing bytes.
pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    codec()
        .deserialize(bytes)
        .map_err(|_| DecodeError::Damaged("the payload isn't what was expected"))
}

/// The framed parts of a payload, in order, with their indices.
pub fn frames(
    seq: u64,
    running_total: u64,
    payload: &[u8],
) -> impl Iterator<Item = (u16, Vec<u8>)> {
    parts(VERSION, seq, running_total, payload).map(|part| (part.index, frame(&part)))
}

/// How the payload of a record is cut, in every version.
fn parts(
    version: u8,
    seq: u64,
    running_total: u64,
    payload: &[u8],
) -> impl Iterator<Item = Part<'_>> {
    // Nothing is a part, too.
    let nothing = payload.is_empty().then_some(payload);
    let chunks = payload.chunks(MAX_PART).chain(nothing);
    let count = u16::try_from(payload.len().div_ceil(MAX_PART)).unwrap_or(u16::MAX).max(1);
    (0..count).zip(chunks).map(move |(index, payload)| Part {
        version,
        seq,
        index,
        count,
        running_total,
        payload,
    })
}

fn frame(part: &Part<'_>) -> Vec<u8> {
    let numbers = (part.seq, part.running_total);
    framed([part.version, 0], [part.index, part.count], numbers, part.payload)
}

/// `content` behind a header: of a part, of a block or of a piece of one.
fn framed(
    [version, kind]: [u8; 2],
    [index, count]: [u16; 2],
    numbers: (u64, u64),
    content: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + content.len());
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    bytes.extend(MAGIC);
    bytes.extend([version, kind]);
    bytes.extend(index.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(numbers.0.to_le_bytes());
    bytes.extend(numbers.1.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    let crc = checksum(&bytes, content);
    bytes.extend(crc.to_le_bytes());
    bytes.extend(content);
    bytes
}

/// Reads the frame at the start of `bytes`; what follows it is left alone.
pub fn parse_frame(bytes: &[u8]) -> Result<Part<'_>, DecodeError> {
    let found = unframed(bytes, |version, kind| {
        let is_block = version <= VERSION && block::is_block(version, kind);
        (!is_block).then(|| longest(version))
    })?;
    let Framed { version, numbers: (seq, running_total), content: payload, .. } = found;
    let [index, count] = found.places;
    if index >= count || seq.max(running_total) > MAX_NUMBER || version == 0 {
        return Err(DecodeError::Damaged("impossible header"));
    }
    Ok(Part { version, seq, index, count, running_total, payload })
}

/// What [`framed`] wrote, with a right checksum.
struct Framed<'a> {
    version: u8,
    kind: u8,
    places: [u16; 2],
    numbers: (u64, u64),
    content: &'a [u8],
}

/// What [`framed`] wrote at the start of `bytes`. `longest` says for a version and a kind how long its
/// content may be, or that it isn't what is looked for.
fn unframed(
    bytes: &[u8],
    longest: impl FnOnce(u8, u8) -> Option<usize>,
) -> Result<Framed<'_>, DecodeError> {
    let header =
        bytes.first_chunk::<HEADER>().ok_or(DecodeError::Damaged("shorter than a header"))?;
    if header[..4] != MAGIC {
        return Err(DecodeError::Damaged("no magic number"));
    }
    let [version, kind] = [header[4], header[5]];
    let longest = longest(version, kind).ok_or(DecodeError::Damaged("of another kind"))?;
    let length = usize::try_from(le_u32(header, 26)).unwrap_or(usize::MAX);
    // Before the checksum: where every place of a file claims to be a frame of all that follows, checksums
    // take hours.
    if length > longest {
        return Err(DecodeError::Damaged("longer than any part"));
    }
    let content = bytes[HEADER..].get(..length).ok_or(DecodeError::Damaged("cut short"))?;
    if checksum(&header[..HEADER - 4], content) != le_u32(header, 30) {
        return Err(DecodeError::Damaged("wrong checksum"));
    }
    if version > VERSION {
        return Err(DecodeError::LaterVersion(version));
    }
    let places = [6, 8].map(|at| u16::from_le_bytes([header[at], header[at + 1]]));
    let numbers = (le_u64(header, 10), le_u64(header, 18));
    Ok(Framed { version, kind, places, numbers, content })
}

/// The longest content of a value of `version`.
fn longest(version: u8) -> usize {
    if version > VERSION { LONGEST_LATER } else { MAX_PART }
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(payload);
    hasher.finalize()
}

fn le_u32(header: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

fn le_u64(header: &[u8; HEADER], at: usize) -> u64 {
    u64::from(le_u32(header, at)) | u64::from(le_u32(header, at + 4)) << 32
}

/// Puts the parts of one record together, in the order in which they are read.
#[derive(Debug, Default)]
pub struct Assembly {
    version: u8,
    seq: u64,
    next: u16,
    running_total: u64,
    payload: Vec<u8>,
}

/// A record with what its frames say of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembled {
    /// Sequence number.
    pub seq: u64,
    /// Payload length.
    pub bytes: u64,
    /// See [`Part::running_total`].
    pub running_total: u64,
    /// The record.
    pub record: Record,
}

impl Assembly {
    /// Whether a record was begun and isn't complete.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.next > 0
    }

    /// Takes the next part; `Some` when it completes a record. A part that doesn't follow the one
    /// before it is an error and is forgotten with all before it.
    pub fn push(&mut self, part: &Part<'_>) -> Result<Option<Assembled>, DecodeError> {
        if part.index == 0 {
            *self = Self::default();
        }
        let follows = (part.seq, part.version) == (self.seq, self.version);
        if part.index != self.next || (part.index > 0 && !follows) {
            *self = Self::default();
            return Err(DecodeError::Damaged("a part is missing"));
        }
        if self.payload.len() + part.payload.len() > MAX_PAYLOAD {
            *self = Self::default();
            return Err(DecodeError::Damaged("longer than any record"));
        }
        (self.seq, self.running_total, self.next) = (part.seq, part.running_total, part.index + 1);
        self.version = part.version;
        self.payload.extend_from_slice(part.payload);
        if self.next < part.count {
            return Ok(None);
        }
        let done = std::mem::take(self);
        let record = versions::read(done.version, &done.payload)?;
        let bytes = done.payload.len() as u64;
        Ok(Some(Assembled { seq: done.seq, bytes, running_total: done.running_total, record }))
    }
}

/// The first bytes of every seal; they begin as [`MAGIC`] does.
pub(super) const SEAL: [u8; 4] = *b"cQm\x01";

/// Length of a seal's header.
pub(super) const SEAL_HEADER: usize = 13;

/// Frames a generation's own note (meta record, catalog): magic, version, length, CRC-32, bincode.
pub fn seal<T: Serialize>(value: &T) -> Result<Vec<u8>, TooLarge> {
    let payload = pack(value)?;
    let mut bytes = Vec::with_capacity(SEAL_HEADER + payload.len());
    bytes.extend(SEAL);
    bytes.push(VERSION);
    bytes.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(checksum_of(&payload).to_le_bytes());
    bytes.extend(payload);
    Ok(bytes)
}

/// Length of the sealed note at the start of `bytes`, which [`unseal`] opened.
pub(super) fn sealed_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(5..9)?.try_into().map(u32::from_le_bytes).ok()?;
    usize::try_from(length).ok().map(|length| SEAL_HEADER + length)
}

/// Opens what [`seal`] framed at the start of `bytes`; what follows it is left alone.
pub fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (header, behind) = bytes
        .split_first_chunk::<SEAL_HEADER>()
        .ok_or(DecodeError::Damaged("shorter than a seal"))?;
    if header[..4] != SEAL {
        return Err(DecodeError::Damaged("no magic number"));
    }
    if header[4] > VERSION {
        return Err(DecodeError::LaterVersion(header[4]));
    }
    let length = u32::from_le_bytes([header[5], header[6], header[7], header[8]]);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let payload = behind.get(..length).ok_or(DecodeError::Damaged("cut short"))?;
    if checksum_of(payload).to_le_bytes() != header[9..] {
        return Err(DecodeError::Damaged("wrong checksum"));
    }
    unpack(payload)
}

fn checksum_of(payload: &[u8]) -> u32 {
    crc32fast::hash(payload)
}

#[cfg(test)]
mod tests;
