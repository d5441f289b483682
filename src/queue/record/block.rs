//! A block: a value that holds many small records in the room of a few, each told by its difference to
//! one that is like it, compressed with zstd. A block can be found and judged in raw bytes, as a frame
//! can, and what is read of it are frames again.

use std::{borrow::Cow, io};

use super::{
    DecodeError, HEADER, MAGIC, MAX_NUMBER, MAX_VALUE, VERSION, checksum, le_u32, le_u64,
    parse_frame,
};

mod delta;

/// What stands behind the version of a block; 0 in that of a frame.
const KIND: u8 = 2;
/// Of blocks of version 3, which are read and no longer written: frames, one behind the other.
const FRAMES: u8 = 1;
/// Most bytes of frames that go into a block.
pub const MAX_FRAMES: usize = 16 << 10;
/// A new block is at most so long: one that loses some of its records must still fit a value.
pub const MAX_NEW: usize = MAX_VALUE - 512;
/// A level that takes some 10 µs a kilobyte; those above save 2 %.
const LEVEL: i32 = 3;

/// A block, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// The sequence numbers of its first and its last record.
    pub seqs: (u64, u64),
    /// How many records it holds.
    pub records: u16,
    kind: u8,
    packed: &'a [u8],
}

/// Whether a header with this version and kind is that of a block.
pub(super) fn is_block(version: u8, kind: u8) -> bool {
    match kind {
        FRAMES => version >= 3,
        KIND => version >= 4,
        _ => false,
    }
}

impl<'a> Block<'a> {
    /// Reads the block at the start of `bytes`; what follows it is left alone.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let header =
            bytes.first_chunk::<HEADER>().ok_or(DecodeError::Damaged("shorter than a header"))?;
        if header[..4] != MAGIC || !is_block(header[4], header[5]) {
            return Err(DecodeError::Damaged("no block"));
        }
        let length = usize::try_from(le_u32(header, 26)).unwrap_or(usize::MAX);
        // Before the checksum, as of frames. What is left of a block is shorter than it was.
        if length > 2 * MAX_VALUE {
            return Err(DecodeError::Damaged("longer than any block"));
        }
        let packed = bytes[HEADER..].get(..length).ok_or(DecodeError::Damaged("cut short"))?;
        if checksum(&header[..HEADER - 4], packed) != le_u32(header, 30) {
            return Err(DecodeError::Damaged("wrong checksum"));
        }
        if header[4] > VERSION {
            return Err(DecodeError::LaterVersion(header[4]));
        }
        let seqs = (le_u64(header, 10), le_u64(header, 18));
        if seqs.0 > seqs.1 || seqs.1 > MAX_NUMBER {
            return Err(DecodeError::Damaged("impossible header"));
        }
        let records = u16::from_le_bytes([header[8], header[9]]);
        Ok(Self { seqs, records, kind: header[5], packed })
    }

    /// Length of the whole block.
    #[must_use]
    pub fn length(&self) -> usize {
        HEADER + self.packed.len()
    }

    /// Its frames, one behind the other; at most [`MAX_FRAMES`].
    pub fn frames(&self) -> Result<Vec<u8>, DecodeError> {
        let told = zstd::bulk::decompress(self.packed, MAX_FRAMES)
            .map_err(|_| DecodeError::Damaged("the block isn't what was expected"))?;
        let frames = match self.kind {
            FRAMES => Some(told),
            _ => delta::unpack(&told, self.seqs.0, MAX_FRAMES),
        };
        frames
            .filter(|frames| content(frames) == Some((self.seqs, self.records)))
            .ok_or(DecodeError::Damaged("the block's frames aren't whole"))
    }
}

/// The sequence numbers of the first and the last of `frames`, and how many they are, if they are whole
/// small records in order, and nothing else.
fn content(frames: &[u8]) -> Option<((u64, u64), u16)> {
    let (mut rest, mut found) = (frames, None);
    while !rest.is_empty() {
        let part = parse_frame(rest).ok().filter(|part| part.count == 1)?;
        found = match found {
            None => Some(((part.seq, part.seq), 1)),
            Some(((first, last), records)) if last < part.seq => {
                Some(((first, part.seq), records + 1))
            }
            Some(_) => return None,
        };
        rest = &rest[part.frame_length()..];
    }
    found
}

/// Whether `value` holds nothing but whole small records, each in a frame of its own.
#[must_use]
pub fn is_loose(value: &[u8]) -> bool {
    content(value).is_some()
}

/// The frames in a value, whether it is a block or not. The bytes of a damaged block are given as they
/// are: no frame is found in them.
#[must_use]
pub fn frames_of(value: &[u8]) -> Cow<'_, [u8]> {
    match Block::parse(value).and_then(|block| block.frames()) {
        Ok(frames) => Cow::Owned(frames),
        Err(_) => Cow::Borrowed(value),
    }
}

/// What is left of a value: its frames as they are, or in a block where a value has no room for them.
pub fn rest(frames: Vec<u8>) -> io::Result<Vec<u8>> {
    if frames.len() <= MAX_VALUE { Ok(frames) } else { new(&frames) }
}

/// A block of `frames`, which are whole small records in order, at most [`MAX_FRAMES`] bytes of them.
pub fn new(frames: &[u8]) -> io::Result<Vec<u8>> {
    let fits = frames.len() <= MAX_FRAMES;
    let ((first, last), records) =
        content(frames).filter(|_| fits).ok_or(io::ErrorKind::InvalidInput)?;
    let packed = zstd::bulk::compress(&delta::pack(frames, first), LEVEL)?;
    let mut bytes = Vec::with_capacity(HEADER + packed.len());
    let length = u32::try_from(packed.len()).unwrap_or(u32::MAX);
    bytes.extend(MAGIC);
    bytes.extend([VERSION, KIND, 0, 0]);
    bytes.extend(records.to_le_bytes());
    bytes.extend(first.to_le_bytes());
    bytes.extend(last.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    let crc = checksum(&bytes, &packed);
    bytes.extend(crc.to_le_bytes());
    bytes.extend(packed);
    Ok(bytes)
}

/// Whatever `told` is, it tells of few frames or none, and whole ones can be told again.
#[cfg(fuzzing)]
pub(in crate::queue) fn fuzzing(told: &[u8]) {
    let Some(frames) = delta::unpack(told, 7, MAX_FRAMES) else { return };
    assert!(frames.len() <= MAX_FRAMES);
    if let Some(((first, _), _)) = content(&frames) {
        let again = delta::pack(&frames, first);
        assert!(again.len() <= frames.len());
        assert_eq!(delta::unpack(&again, first, MAX_FRAMES), Some(frames));
    }
}
