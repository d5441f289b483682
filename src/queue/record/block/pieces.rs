//! The pieces of a block that is longer than a value. Each is a value of its own under the block's first
//! number, and is found and judged in raw bytes as a frame is. Each knows which block it belongs to: of
//! one that was written again, old pieces may lie beside new ones.

use std::{collections::BTreeMap, io};

use super::{
    Block, DecodeError, Framed, HEADER, Key, MAX_NUMBER, MAX_PART, MAX_VALUE, PIECE, VERSION,
    framed, is_block, key, unframed,
};

/// Length of what says which block it is, before the content.
const OF: usize = 4;
/// Most bytes of a block in one piece.
pub const MAX_CONTENT: usize = MAX_PART - OF;

/// A piece, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The block to which it belongs.
    pub of: Of,
    /// Which piece it is, from 0.
    pub index: u16,
    content: &'a [u8],
}

/// Which block a piece belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Of {
    /// The sequence numbers of its first and its last record.
    pub seqs: (u64, u64),
    /// How many pieces it has.
    pub count: u16,
    crc: u32,
}

impl<'a> Piece<'a> {
    /// Reads the piece at the start of `bytes`; what follows it is left alone.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let found = unframed(bytes, |version, kind| {
            (kind == PIECE && is_block(version, kind)).then_some(MAX_PART)
        })?;
        let Framed { places: [index, count], numbers: seqs, .. } = found;
        let (crc, content) =
            found.content.split_first_chunk::<OF>().ok_or(DecodeError::Damaged("cut short"))?;
        if index >= count || seqs.0 > seqs.1 || seqs.1 > MAX_NUMBER {
            return Err(DecodeError::Damaged("impossible header"));
        }
        let of = Of { seqs, count, crc: u32::from_le_bytes(*crc) };
        Ok(Self { of, index, content })
    }

    /// Length of the whole piece.
    #[must_use]
    pub fn length(&self) -> usize {
        HEADER + OF + self.content.len()
    }

    /// Whether it is the last of its block.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.index + 1 == self.of.count
    }

    /// The keys of all pieces of its block.
    pub fn keys(&self) -> impl Iterator<Item = Key> + use<> {
        let (first, count) = (self.of.seqs.0, self.of.count);
        (0..count).map(move |index| key(first, index))
    }
}

/// A block as values with their keys: itself, or its pieces.
pub fn cut(block: Vec<u8>) -> io::Result<Vec<(Key, Vec<u8>)>> {
    let Block { seqs, .. } =
        Block::parse_joined(&block).map_err(|_| io::ErrorKind::InvalidInput)?;
    if block.len() <= MAX_VALUE {
        return Ok(vec![(key(seqs.0, 0), block)]);
    }
    let crc = crc32fast::hash(&block).to_le_bytes();
    let chunks = block.chunks(MAX_CONTENT);
    let count = u16::try_from(chunks.len()).unwrap_or(u16::MAX);
    let piece = |(index, chunk): (u16, &[u8])| {
        let content = [&crc, chunk].concat();
        (key(seqs.0, index), framed([VERSION, PIECE], [index, count], seqs, &content))
    };
    Ok((0..count).zip(chunks).map(piece).collect())
}

/// The frames in `values`, which are a value that holds some, or all pieces of a block in order. As of a
/// value, the bytes of a damaged block are given as they are.
#[must_use]
pub fn frames_of(values: &[&[u8]]) -> Vec<u8> {
    if let [value] = values
        && Piece::parse(value).is_err()
    {
        return super::frames_of(value).into_owned();
    }
    let (mut joined, mut block) = (Joined::default(), None);
    for value in values {
        block = Piece::parse(value).and_then(|piece| joined.push(&piece)).ok().flatten();
    }
    let frames = block.and_then(|block| Block::parse_joined(&block).ok()?.frames().ok());
    frames.unwrap_or_else(|| values.concat())
}

/// Puts pieces together that come in order, as a scan meets them.
#[derive(Debug, Default)]
pub struct Joined {
    of: Option<Of>,
    next: u16,
    block: Vec<u8>,
}

impl Joined {
    /// Whether a block was begun and isn't complete.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.of.is_some()
    }

    /// Takes the next piece; the bytes of the block when it completes one. A piece that doesn't follow the
    /// one before it is an error and is forgotten with all before it.
    pub fn push(&mut self, piece: &Piece<'_>) -> Result<Option<Vec<u8>>, DecodeError> {
        if piece.index == 0 {
            *self = Self { of: Some(piece.of), ..Self::default() };
        }
        if self.of != Some(piece.of) || self.next != piece.index {
            *self = Self::default();
            return Err(DecodeError::Damaged("a piece of a block is missing"));
        }
        self.next += 1;
        self.block.extend(piece.content);
        if !piece.is_last() {
            return Ok(None);
        }
        piece.of.judge(std::mem::take(self).block).map(Some)
    }
}

/// Pieces that are found in raw bytes, in whatever order and however often.
#[derive(Debug, Default)]
pub struct Scattered<'a>(BTreeMap<Of, BTreeMap<u16, &'a [u8]>>);

impl<'a> Scattered<'a> {
    /// Takes a piece; the bytes of its block when it was the last one that lacked.
    pub fn add(&mut self, piece: &Piece<'a>) -> Option<Vec<u8>> {
        let found = self.0.entry(piece.of).or_default();
        if found.insert(piece.index, piece.content).is_some()
            || found.len() < usize::from(piece.of.count)
        {
            return None;
        }
        let block: Vec<&[u8]> = found.values().copied().collect();
        piece.of.judge(block.concat()).ok()
    }
}

impl Of {
    /// The bytes of the block, if that is what they are.
    fn judge(&self, block: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
        let is_it = crc32fast::hash(&block) == self.crc;
        let seqs = Block::parse_joined(&block).map(|block| block.seqs);
        if !is_it || seqs != Ok(self.seqs) {
            return Err(DecodeError::Damaged("the pieces don't make a block"));
        }
        Ok(block)
    }
}
