//! What can still be read of a damaged database: its frames and its meta record, found in the raw
//! bytes of its file without the database. It believes nothing that a checksum doesn't confirm, and
//! panics on no bytes.

use std::{collections::BTreeMap, io, ops::Range};

use memchr::memmem;
use uuid::Uuid;

use super::{
    Ledger,
    commit::Value,
    generation::StorageError,
    losses::{Losses, Lost},
    meta::Meta,
    press,
    reading::Reading,
    record::{
        self, DecodeError, MAGIC, MAX_VALUE, SEAL,
        block::{
            Block,
            pieces::{Piece, Scattered},
        },
    },
};

/// How [`MAGIC`] and [`SEAL`] begin.
const COMMON: &[u8] = b"cQ";
/// No meta record has so many bytes.
const LONGEST_META: usize = 1024;
/// The highest sequence number of a record whose last part stands in `bytes`, whatever the database
/// itself says: it may open quietly without its tail.
pub(super) fn highest_seq(bytes: &[u8]) -> Result<Option<u64>, StorageError> {
    let mut highest = None;
    for at in memmem::find_iter(bytes, &MAGIC) {
        match record::parse_frame(&bytes[at..]) {
            Ok(part) if part.index + 1 == part.count => highest = highest.max(Some(part.seq)),
            Err(DecodeError::LaterVersion(version)) => {
                return Err(StorageError::LaterVersion(version));
            }
            Err(DecodeError::Damaged(_)) => {
                let block = Block::parse(&bytes[at..]).ok().map(|block| block.seqs.1);
                let piece = Piece::parse(&bytes[at..]).ok().filter(Piece::is_last);
                highest = highest.max(block).max(piece.map(|piece| piece.of.seqs.1));
            }
            Ok(_) => {}
        }
    }
    Ok(highest)
}

/// The last meta record that stands in `bytes`, whatever the database itself says.
pub(super) fn last_meta(bytes: &[u8]) -> Option<Meta> {
    let found = memmem::find_iter(bytes, &SEAL).filter_map(|at| meta_record(&bytes[at..]));
    found.max_by_key(Meta::age)
}

/// The frames of one record, in order.
type Frames = Vec<Vec<u8>>;

/// What was found.
#[derive(Default)]
pub(super) struct Salvage {
    /// Whole records by sequence number.
    records: BTreeMap<u64, Found>,
    /// The last meta record.
    pub(super) meta: Option<Meta>,
    /// The last note of losses.
    pub(super) losses: Option<Losses>,
    /// Whole frames, however often they stand there.
    pub(super) frames: u64,
    /// Places that begin as a frame does and aren't one: damage, or the rest of what the database has
    /// written over.
    pub(super) torn: u64,
}

struct Found {
    frames: Frames,
    bytes: u64,
    running_total: u64,
}

impl Found {
    fn size(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }
}

impl Salvage {
    /// Searches the bytes of a generation's database. What a later version wrote is an error, so that
    /// it isn't touched.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, StorageError> {
        Self::in_bytes(bytes).map_err(StorageError::LaterVersion)
    }

    /// Searches raw bytes; the error is a later version.
    fn in_bytes(bytes: &[u8]) -> Result<Self, u8> {
        let mut parts = Parts::new();
        let (mut meta, mut losses): (Option<Meta>, Option<Losses>) = (None, None);
        let (mut rest, mut torn, mut pieces) = (bytes, 0, Scattered::default());
        while let Some(at) = memmem::find(rest, COMMON) {
            rest = &rest[at..];
            if let Ok(block) = Block::parse(rest)
                && let Ok(frames) = block.frames()
            {
                take_frames(&mut parts, &frames);
                rest = &rest[block.length()..];
                continue;
            }
            if let Ok(piece) = Piece::parse(rest) {
                if let Some(block) = pieces.add(&piece)
                    && let Ok(frames) = Block::parse_joined(&block).and_then(|block| block.frames())
                {
                    take_frames(&mut parts, &frames);
                }
                rest = &rest[piece.length()..];
                continue;
            }
            match record::parse_frame(rest) {
                Ok(part) => {
                    take_frames(&mut parts, &rest[..part.frame_length()]);
                    rest = &rest[part.frame_length()..];
                    continue;
                }
                Err(DecodeError::LaterVersion(version)) => return Err(version),
                Err(DecodeError::Damaged(_)) => torn += u64::from(rest.starts_with(&MAGIC)),
            }
            if let Some(found) = meta_record(rest)
                && meta.as_ref().is_none_or(|last| last.age() <= found.age())
            {
                meta = Some(found);
            } else if let Some(found) = Losses::unseal(rest)
                && losses.as_ref().is_none_or(|last| !found.is_before(last))
            {
                losses = Some(found);
            }
            rest = &rest[1..];
        }
        let frames = parts.len() as u64;
        Ok(Self { records: whole(parts), meta, losses, frames, torn })
    }

    /// The sequence numbers of whole records, in order.
    pub(super) fn seqs(&self) -> impl Iterator<Item = u64> {
        self.records.keys().copied()
    }

    /// Whether the record `seq` is whole.
    pub(super) fn has(&self, seq: u64) -> bool {
        self.records.contains_key(&seq)
    }

    /// Keeps the records of `seqs` that hadn't left.
    pub(super) fn keep(&mut self, seqs: Range<u64>) {
        self.records.retain(|seq, _| seqs.contains(seq));
    }

    /// Bytes of all frames.
    pub(super) fn size(&self) -> u64 {
        self.records.values().map(Found::size).sum()
    }

    /// Gives up the oldest records until the rest takes at most `bytes`; how many.
    pub(super) fn fit(&mut self, bytes: u64) -> u64 {
        let (mut size, mut given_up) = (self.size(), 0);
        while size > bytes {
            let Some((_, found)) = self.records.pop_first() else { break };
            size -= found.size();
            given_up += 1;
        }
        given_up
    }

    /// The sequence numbers of the first and the last record.
    pub(super) fn ends(&self) -> Option<(u64, u64)> {
        Some((*self.records.first_key_value()?.0, *self.records.last_key_value()?.0))
    }

    /// Payload bytes that were ever queued, before the first record and with the last.
    fn totals(&self) -> Option<(u64, u64)> {
        let (first, last) = (self.records.values().next()?, self.records.values().next_back()?);
        Some((first.running_total.saturating_sub(first.bytes), last.running_total))
    }

    /// The agent id of the records.
    pub(super) fn agent_id(&self) -> Option<Uuid> {
        let mut reading = Reading::default();
        let (seq, found) = self.records.first_key_value()?;
        reading.take(record::key(*seq, 0).to_vec(), &found.frames.concat());
        reading.found.first().map(|found| found.entry.agent_id)
    }

    /// Which numbers of their range are meant: those without a record, if that tells all. What was
    /// given up lay before the first record.
    pub(super) fn gone(&self, corrupt: Lost, given_up: Lost) -> Vec<Lost> {
        let missing = self.missing(&corrupt);
        let count: u64 = missing.iter().map(|(first, last)| last - first + 1).sum();
        if given_up.count > 0 || count != corrupt.count {
            return vec![corrupt, given_up];
        }
        let exact = |(first_seq, last_seq): &(u64, u64)| Lost {
            first_seq: *first_seq,
            last_seq: *last_seq,
            count: last_seq - first_seq + 1,
            ..corrupt
        };
        missing.iter().map(exact).collect()
    }

    /// Runs of numbers of a range that have no record.
    fn missing(&self, range: &Lost) -> Vec<(u64, u64)> {
        let (mut missing, mut next) = (Vec::new(), range.first_seq);
        for seq in self.seqs().chain([range.last_seq.saturating_add(1)]) {
            if seq > next {
                missing.push((next, seq - 1));
            }
            next = seq.saturating_add(1);
        }
        missing
    }

    /// The meta record of a generation from `first_seq` to `end` that holds the records and nothing
    /// else: what isn't accounted for is counted as corrupt.
    pub(super) fn account(&self, base: &Meta, first_seq: u64, end: u64) -> Meta {
        let mut meta = base.clone();
        let (base_total, running_total) =
            self.totals().unwrap_or((base.base_total, base.base_total));
        (meta.base_total, meta.running_total) = (base_total, running_total.max(base_total));
        let bytes: u64 = self.records.values().map(|found| found.bytes).sum();
        meta.left_bytes = (meta.running_total - base_total).saturating_sub(bytes);
        meta.next_seq = end;
        meta.head = self.ends().map_or(end, |(first, _)| first);
        let here = self.records.len() as u64;
        let expected = meta.counts(first_seq).samples;
        meta.left.dropped.corrupt += expected.saturating_sub(here);
        take_back(&mut meta.left, here.saturating_sub(expected));
        meta
    }

    /// The records as values, in order.
    pub(super) fn into_values(self) -> io::Result<Vec<Value>> {
        let mut values: Vec<Value> = Vec::new();
        for (seq, found) in self.records {
            for (part, frame) in (0..).zip(found.frames) {
                match values.last_mut() {
                    Some((_, value)) if value.len() + frame.len() <= MAX_VALUE => {
                        value.extend(frame);
                    }
                    _ => values.push((record::key(seq, part), frame)),
                }
            }
        }
        press::all(&values)
    }
}

/// Of each part of a record: how many there are, the running total, the frame.
type Parts = BTreeMap<(u64, u16), (u16, u64, Vec<u8>)>;

fn take_frames(parts: &mut Parts, frames: &[u8]) {
    let mut rest = frames;
    while let Ok(part) = record::parse_frame(rest) {
        let (frame, behind) = rest.split_at(part.frame_length());
        parts.insert((part.seq, part.index), (part.count, part.running_total, frame.to_vec()));
        rest = behind;
    }
}

/// The meta record at the start of `bytes`. What says that it is longer isn't worth its checksum.
fn meta_record(bytes: &[u8]) -> Option<Meta> {
    record::sealed_length(bytes).filter(|length| *length <= LONGEST_META)?;
    record::unseal(bytes).ok().filter(Meta::is_possible)
}

/// What came back although it was counted as gone is delivered again.
fn take_back(left: &mut Ledger, mut surplus: u64) {
    let dropped = &mut left.dropped;
    let counts =
        [&mut left.acknowledged, &mut dropped.expired, &mut dropped.overflow, &mut dropped.corrupt];
    for count in counts {
        let back = surplus.min(*count);
        *count -= back;
        surplus -= back;
    }
}

fn whole(parts: Parts) -> BTreeMap<u64, Found> {
    let mut records: BTreeMap<u64, (u16, Found)> = BTreeMap::new();
    for ((seq, index), (count, running_total, frame)) in parts {
        let found = Found { frames: Vec::new(), bytes: 0, running_total };
        let (expected, found) = records.entry(seq).or_insert((count, found));
        if *expected == count && usize::from(index) == found.frames.len() {
            found.bytes += (frame.len() - record::HEADER) as u64;
            found.frames.push(frame);
        }
    }
    let whole =
        records.into_iter().filter(|(_, (count, found))| found.frames.len() == usize::from(*count));
    whole.map(|(seq, (_, found))| (seq, found)).collect()
}
