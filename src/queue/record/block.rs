//! A block: it holds many records in the room of a few, each told by its difference to one that is like
//! it, compressed with zstd. It is a value, or several when it is longer than one (see [`pieces`]). It
//! can be found and judged in raw bytes, as a frame can, and what is read of it are frames again.

use std::{borrow::Cow, io};

use super::{
    DecodeError, Framed, HEADER, Key, MAX_NUMBER, MAX_PART, MAX_VALUE, VERSION, framed, key,
    parse_frame, unframed,
};

mod delta;
pub mod pieces;

/// What stands behind the version of a block; 0 in that of a frame.
const KIND: u8 = 2;
/// Of blocks of version 3, which are read and no longer written: frames, one behind the other.
const FRAMES: u8 = 1;
/// Of a piece of a block.
const PIECE: u8 = 3;
/// Most bytes of frames that go into a block.
pub const MAX_FRAMES: usize = 64 << 10;
/// The longest block: so many values go into one atomic step, beside the removal of others.
pub const MAX_BLOCK: usize = 6 * pieces::MAX_CONTENT;
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

/// Whether a header with this version and kind is that of a block or of a piece of one.
pub(super) fn is_block(version: u8, kind: u8) -> bool {
    match kind {
        FRAMES => version >= 3,
        KIND | PIECE => version >= 4,
        _ => false,
    }
}

impl<'a> Block<'a> {
    /// Reads the block at the start of `bytes`, a value; what follows it is left alone.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        // A little longer than a value is one that an earlier build wrote again.
        Self::parse_up_to(bytes, 2 * MAX_VALUE)
    }

    /// Reads a block whose pieces were put together. What is left of one may be longer than
    /// [`MAX_BLOCK`], as its first record is told in full; but no block is longer than its frames.
    pub fn parse_joined(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::parse_up_to(bytes, MAX_FRAMES + MAX_FRAMES / 128)
    }

    fn parse_up_to(bytes: &'a [u8], most: usize) -> Result<Self, DecodeError> {
        let found = unframed(bytes, |version, kind| {
            (is_block(version, kind) && kind != PIECE).then_some(most)
        })?;
        let Framed { kind, places: [_, records], numbers: seqs, content: packed, .. } = found;
        if seqs.0 > seqs.1 || seqs.1 > MAX_NUMBER {
            return Err(DecodeError::Damaged("impossible header"));
        }
        Ok(Self { seqs, records, kind, packed })
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

/// A record whose frames follow one another.
struct Whole<'a> {
    version: u8,
    seq: u64,
    running_total: u64,
    payload: Cow<'a, [u8]>,
    /// Where its last frame ends.
    end: usize,
}

/// The records at the start of `frames`, until one isn't whole or not cut as a record is.
fn whole(frames: &[u8]) -> impl Iterator<Item = Whole<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let first = parse_frame(&frames[at..]).ok().filter(|part| part.index == 0)?;
        at += first.frame_length();
        let mut payload = Cow::Borrowed(first.payload);
        for index in 1..first.count {
            let part = parse_frame(&frames[at..]).ok()?;
            let follows = (part.version, part.seq, part.index, part.count, part.running_total)
                == (first.version, first.seq, index, first.count, first.running_total);
            if !follows || payload.len() != usize::from(index) * MAX_PART {
                return None;
            }
            payload.to_mut().extend(part.payload);
            at += part.frame_length();
        }
        let parts = payload.len().div_ceil(MAX_PART).max(1);
        (parts == usize::from(first.count)).then_some(Whole {
            version: first.version,
            seq: first.seq,
            running_total: first.running_total,
            payload,
            end: at,
        })
    })
}

/// The sequence numbers of the first and the last of `frames`, and how many records they are, if they
/// are whole records in order, and nothing else.
fn content(frames: &[u8]) -> Option<((u64, u64), u16)> {
    let (mut found, mut end) = (None, 0);
    for record in whole(frames) {
        found = match found {
            None => Some(((record.seq, record.seq), 1)),
            Some(((first, last), records)) if last < record.seq => {
                Some(((first, record.seq), records + 1))
            }
            Some(_) => return None,
        };
        end = record.end;
    }
    found.filter(|_| end == frames.len())
}

/// The sequence number of the last record of the block that `value` is, or of which it is a piece.
#[must_use]
pub fn last_seq(value: &[u8]) -> Option<u64> {
    let block = Block::parse(value).map(|block| block.seqs);
    let seqs = block.or_else(|_| pieces::Piece::parse(value).map(|piece| piece.of.seqs));
    seqs.ok().map(|(_, last)| last)
}

/// Where each record ends that can go into a block with those before it.
#[must_use]
pub fn ends(frames: &[u8]) -> Vec<usize> {
    let mut last = None;
    let in_order = |record: &Whole<'_>| last.replace(record.seq) < Some(record.seq);
    whole(frames).take_while(in_order).map(|record| record.end).collect()
}

/// How many records begin in `value`, if it holds nothing but frames, which may go into a block.
#[must_use]
pub fn loose(value: &[u8]) -> Option<usize> {
    let (mut rest, mut records) = (value, 0);
    while let Ok(part) = parse_frame(rest) {
        records += usize::from(part.index == 0);
        rest = &rest[part.frame_length()..];
    }
    rest.is_empty().then_some(records)
}

/// The frames in a value, whether it is a block or not. The bytes of a damaged block are given as they
/// are: no frame is found in them, nor in a piece.
#[must_use]
pub fn frames_of(value: &[u8]) -> Cow<'_, [u8]> {
    match Block::parse(value).and_then(|block| block.frames()) {
        Ok(frames) => Cow::Owned(frames),
        Err(_) => Cow::Borrowed(value),
    }
}

/// What is left of a value or a block, with keys: its frames as they are, or a block where a value has
/// no room for them.
pub fn rest(frames: Vec<u8>) -> io::Result<Vec<(Key, Vec<u8>)>> {
    if frames.len() > MAX_VALUE {
        return pieces::cut(new(&frames)?);
    }
    let first = parse_frame(&frames).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(vec![(key(first.seq, first.index), frames)])
}

/// A block of `frames`, which are whole records in order, at most [`MAX_FRAMES`] bytes of them. It may
/// be longer than a value.
pub fn new(frames: &[u8]) -> io::Result<Vec<u8>> {
    let fits = frames.len() <= MAX_FRAMES;
    let (seqs, records) = content(frames).filter(|_| fits).ok_or(io::ErrorKind::InvalidInput)?;
    let packed = zstd::bulk::compress(&delta::pack(frames, seqs.0), LEVEL)?;
    Ok(framed([VERSION, KIND], [0, records], seqs, &packed))
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
