//! Which values are put into one block together: those that follow one another, as many as fit. Pure;
//! it reads and writes no database.

use std::io;

use super::{
    commit::Value,
    record::{
        Key,
        block::{self, MAX_BLOCK, MAX_FRAMES, pieces},
    },
};

/// A block of so many records isn't made larger than [`ENOUGH`]: twice as much would save 2 %. Sixteen
/// ticks of four groups, of which those of large machines are longer.
const RECORDS: usize = 64;
/// So many bytes of frames are enough where records are small.
const ENOUGH: usize = 16 << 10;

/// Values that follow one another, and their frames.
#[derive(Default)]
pub(super) struct Gathered {
    keys: Vec<Key>,
    /// Where the frames of each value end.
    ends: Vec<usize>,
    frames: Vec<u8>,
    records: usize,
}

/// A block as values with their keys, and how many values it holds.
pub(super) struct Pressed {
    pub(super) block: Vec<Value>,
    pub(super) values: usize,
    /// The bytes of their frames.
    pub(super) bytes: usize,
}

impl Gathered {
    /// Takes the next value; `false` if it can't share a block with those before.
    pub(super) fn add(&mut self, key: Key, value: &[u8]) -> bool {
        let length = self.frames.len() + value.len();
        if length > MAX_FRAMES || length > ENOUGH && self.records >= RECORDS {
            return false;
        }
        let Some(records) = block::loose(value) else { return false };
        self.frames.extend_from_slice(value);
        self.ends.push(self.frames.len());
        self.keys.push(key);
        self.records += records;
        true
    }

    /// The keys of the values, in order.
    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// A block of the first values, as many as fit and end with a record; `None` if it doesn't pay.
    pub(super) fn press(&self) -> io::Result<Option<Pressed>> {
        let records = block::ends(&self.frames);
        let ends =
            self.ends.iter().enumerate().filter(|(_, end)| records.binary_search(end).is_ok());
        let ends: Vec<(usize, usize)> = ends.map(|(value, end)| (value + 1, *end)).collect();
        let mut most = ends.len();
        while let Some((values, end)) = most.checked_sub(1).and_then(|last| ends.get(last)) {
            let block = block::new(&self.frames[..*end])?;
            if block.len() <= MAX_BLOCK {
                let (values, bytes) = (*values, *end);
                let pays = values > 1 && block.len() <= bytes / 4 * 3;
                let block = pieces::cut(block)?;
                return Ok(pays.then_some(Pressed { block, values, bytes }));
            }
            most = (most * MAX_BLOCK / block.len()).min(most - 1);
        }
        Ok(None)
    }
}

/// The same entries in fewer bytes, in the same order.
pub(super) fn all(values: &[Value]) -> io::Result<Vec<Value>> {
    let (mut pressed, mut at) = (Vec::new(), 0);
    while at < values.len() {
        let mut gathered = Gathered::default();
        for (key, value) in &values[at..] {
            if !gathered.add(*key, value) {
                break;
            }
        }
        if let Some(done) = gathered.press()? {
            at += done.values;
            pressed.extend(done.block);
        } else {
            pressed.push(values[at].clone());
            at += 1;
        }
    }
    Ok(pressed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{
        leaf::leaf,
        record::{self, MAX_VALUE, block::pieces::Piece},
        salvage::{self, Salvage},
    };

    fn value(seq: u64, payload: &[u8]) -> Value {
        let frames: Vec<u8> =
            record::frames(seq, 0, payload).flat_map(|(_, frame)| frame).collect();
        (record::key(seq, 0), frames)
    }

    fn bytes(values: &[Value]) -> usize {
        values.iter().map(|(_, value)| value.len()).sum()
    }

    /// What is in each value or block, with how many values it takes.
    fn blocks(values: &[Value]) -> Vec<(usize, Vec<u8>)> {
        let (mut blocks, mut at) = (Vec::new(), 0);
        while at < values.len() {
            let count = Piece::parse(&values[at].1).map_or(1, |piece| usize::from(piece.of.count));
            let of: Vec<&[u8]> = values[at..at + count].iter().map(|(_, value)| &**value).collect();
            blocks.push((count, pieces::frames_of(&of)));
            at += count;
        }
        blocks
    }

    fn frames(values: &[Value]) -> Vec<u8> {
        blocks(values).into_iter().flat_map(|(_, frames)| frames).collect()
    }

    #[test]
    fn what_was_pressed_is_the_same_frames_under_the_keys_of_the_first() {
        let values: Vec<_> = (1..200).map(|seq| value(seq, &[7; 200])).collect();
        let pressed = all(&values).unwrap();
        assert_eq!(frames(&pressed), frames(&values));
        assert!(pressed.len() < values.len() / 10, "{} values", pressed.len());
        for (key, value) in &pressed {
            let first = record::parse_frame(&block::frames_of(value)).unwrap().seq;
            assert_eq!(record::parse_key(key), Some((first, 0)));
        }
    }

    /// Values of records that are like one another and `length` long, so many bytes of each being new.
    fn large(seqs: std::ops::Range<u64>, length: usize, new: usize) -> Vec<Value> {
        let mut rng = fastrand::Rng::with_seed(length as u64);
        let mut payload: Vec<u8> = (0..length).map(|_| rng.u8(1..128)).collect();
        let mut commit = crate::queue::commit::Commit::after(seqs.start, 0);
        for _ in seqs {
            (0..new).for_each(|_| payload[rng.usize(0..length)] = rng.u8(1..128));
            commit.add(&payload, crate::clock::Moment::default());
        }
        commit.values
    }

    #[test]
    fn what_does_not_get_shorter_stays_as_it_is() {
        let mut rng = fastrand::Rng::with_seed(3);
        let noises: Vec<Vec<u8>> =
            (0..20).map(|_| (0..1000).map(|_| rng.u8(..)).collect()).collect();
        let values: Vec<_> = (1..).zip(&noises).map(|(seq, noise)| value(seq, noise)).collect();
        assert_eq!(all(&values).unwrap(), values);
    }

    #[test]
    fn large_records_share_a_block_of_several_values() {
        for (length, new) in [(2_000, 200), (3_900, 300), (5_000, 300), (9_000, 500), (20_000, 900)]
        {
            let values = large(1..40, length, new);
            let pressed = all(&values).unwrap();
            assert_eq!(frames(&pressed), frames(&values), "{length}");
            let (before, after) = (bytes(&values), bytes(&pressed));
            assert!(after < before / 2, "{length}: {before} to {after} bytes");
            assert!(pressed.iter().all(|(_, value)| value.len() <= MAX_VALUE), "{length}");
            assert!(pressed.is_sorted_by(|(before, _), (key, _)| before < key), "{length}");
            assert!(pressed.len() > 2, "{length}");
        }
    }

    #[test]
    fn part_that_is_missing_ends_a_block() {
        let mut values = large(1..30, 9_000, 200);
        // Of the sixteenth record the second part.
        let at = values.iter().position(|(key, _)| *key == record::key(16, 1)).unwrap();
        values.remove(at);
        let pressed = all(&values).unwrap();
        assert_eq!(frames(&pressed), frames(&values));
        assert!(pressed.len() < values.len() / 2);
    }

    #[test]
    fn what_is_left_of_a_block_fits_as_many_values() {
        let mut rng = fastrand::Rng::with_seed(11);
        for round in 0..40 {
            let length = rng.usize(20..6_000);
            for (_, records) in blocks(&all(&large(1..64, length, length / 20 + 1)).unwrap()) {
                let (mut rest, mut kept, mut keeps) = (&records[..], Vec::new(), true);
                while let Ok(part) = record::parse_frame(rest) {
                    let (frame, behind) = rest.split_at(part.frame_length());
                    keeps = if part.index == 0 { rng.bool() } else { keeps };
                    if keeps {
                        kept.extend_from_slice(frame);
                    }
                    rest = behind;
                }
                let left =
                    if kept.is_empty() { continue } else { block::rest(kept.clone()).unwrap() };
                assert!(left.iter().all(|(_, value)| value.len() <= MAX_VALUE), "round {round}");
                assert_eq!(frames(&left), kept, "round {round}");
            }
        }
    }

    #[test]
    fn what_is_left_may_be_longer_than_a_new_block() {
        let records = frames(&large(1..3, 25_000, 25_000));
        assert!(block::new(&records).unwrap().len() > MAX_BLOCK);
        let left = block::rest(records.clone()).unwrap();
        assert_eq!(frames(&left), records);
    }

    /// How many entries make several blocks.
    fn several(processors: u32) -> u64 {
        if processors > 0 { 70 } else { 300 }
    }

    /// A file with blocks of [`several`] entries of a machine with so many processors, a database's own
    /// bytes between their values, and where each value begins.
    fn file(processors: u32) -> (Vec<u8>, Vec<usize>) {
        let mut commit = crate::queue::commit::Commit::after(1, 0);
        for seq in 1..several(processors) {
            let sample = crate::queue::live::tests::wide(processors, seq);
            let payload = record::payload(uuid::Uuid::nil(), &sample).unwrap();
            commit.add(&payload, crate::clock::Moment::default());
        }
        let values = commit.values;
        let (mut bytes, mut places) = (b"a database's own".to_vec(), Vec::new());
        for (_, block) in all(&values).unwrap().iter().rev() {
            assert!(block::loose(block).is_none(), "only blocks");
            places.push(bytes.len());
            bytes.extend(block);
            bytes.extend(b"cQr and more");
        }
        (bytes, places)
    }

    fn salvaged(bytes: &[u8]) -> Vec<u64> {
        Salvage::of(bytes).unwrap().seqs().collect()
    }

    fn paged(bytes: &[u8], end: u64) -> Vec<u64> {
        let (mut seqs, mut from) = (Vec::new(), 1);
        while from < end {
            let (window, next) = leaf(bytes, &(from..end), 7, 1 << 20);
            seqs.extend(window.entries.iter().map(|entry| entry.seq));
            from = next;
        }
        seqs
    }

    #[test]
    fn blocks_are_found_in_raw_bytes_whatever_their_order() {
        for processors in [0, 150, 250, 400] {
            let (bytes, _) = file(processors);
            let end = several(processors);
            let every: Vec<u64> = (1..end).collect();
            assert_eq!((salvaged(&bytes), paged(&bytes, end)), (every.clone(), every));
            assert_eq!(salvage::highest_seq(&bytes).unwrap(), Some(end - 1));
        }
    }

    #[test]
    fn damaged_block_costs_its_own_entries_and_no_others() {
        for processors in [0, 250, 400] {
            let (mut bytes, places) = file(processors);
            // Of several pieces, one.
            let is_meant = |at: &&usize| Piece::parse(&bytes[**at..]).is_ok() == (processors > 0);
            let at = *places[1..].iter().find(is_meant).unwrap();
            let (first, last) = match Piece::parse(&bytes[at..]) {
                Ok(piece) => piece.of.seqs,
                Err(_) => block::Block::parse(&bytes[at..]).unwrap().seqs,
            };
            bytes[at + record::HEADER + 20] ^= 8;
            let end = several(processors);
            let rest: Vec<u64> = (1..end).filter(|seq| !(first..=last).contains(seq)).collect();
            assert!(last > first && !rest.is_empty());
            assert_eq!((salvaged(&bytes), paged(&bytes, end)), (rest.clone(), rest));
        }
    }

    #[test]
    fn pieces_of_a_block_that_was_written_again_are_not_mixed() {
        let values = large(1..7, 9_000, 200);
        let old = pieces::cut(block::new(&frames(&values)).unwrap()).unwrap();
        // The same numbers, the first and the last, fewer between them, other content.
        let (frames_of_all, mut fewer) = (frames(&large(1..7, 9_000, 201)), Vec::new());
        let mut rest = &frames_of_all[..];
        while let Ok(part) = record::parse_frame(rest) {
            let (frame, behind) = rest.split_at(part.frame_length());
            fewer.extend_from_slice(if part.seq == 5 { &[] } else { frame });
            rest = behind;
        }
        let new = pieces::cut(block::new(&fewer).unwrap()).unwrap();
        assert!(old.len() == new.len() && new.len() > 2);
        for kept in 0..new.len() {
            // All of the old ones lie there still, one of the new ones lies in the place of another.
            let bytes: Vec<u8> =
                old.iter().chain(&new[kept..=kept]).flat_map(|(_, value)| value.clone()).collect();
            let mut found = pieces::Scattered::default();
            let (mut rest, mut blocks) = (&bytes[..], Vec::new());
            while let Ok(piece) = Piece::parse(rest) {
                blocks.extend(found.add(&piece));
                rest = &rest[piece.length()..];
            }
            assert_eq!(blocks, [block::new(&frames(&values)).unwrap()]);
            let mixed = old.iter().enumerate();
            let mixed = mixed.map(|(at, old)| if at == kept { &new[at] } else { old });
            let mixed: Vec<&[u8]> = mixed.map(|(_, value)| &**value).collect();
            assert_eq!(pieces::frames_of(&mixed), mixed.concat(), "no frames");
        }
    }
}
