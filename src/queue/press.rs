//! Which values are put into one block together: those that follow one another, as many as fit. Pure;
//! it reads and writes no database.

use std::io;

use super::{
    commit::Value,
    record::{
        Key,
        block::{self, MAX_FRAMES, MAX_NEW},
    },
};

/// Values that follow one another, and their frames.
#[derive(Default)]
pub(super) struct Gathered {
    keys: Vec<Key>,
    /// Where the frames of each value end.
    ends: Vec<usize>,
    frames: Vec<u8>,
}

/// A block with the key under which it stands, and how many values it holds.
pub(super) struct Pressed {
    pub(super) block: Value,
    pub(super) values: usize,
}

impl Gathered {
    /// Takes the next value; `false` if it can't share a block with those before.
    pub(super) fn add(&mut self, key: Key, value: &[u8]) -> bool {
        if self.frames.len() + value.len() > MAX_FRAMES || !block::is_loose(value) {
            return false;
        }
        self.frames.extend_from_slice(value);
        self.ends.push(self.frames.len());
        self.keys.push(key);
        true
    }

    /// The keys of the values, in order.
    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// A block of the first values, as many as fit; `None` if it doesn't pay.
    pub(super) fn press(&self) -> io::Result<Option<Pressed>> {
        let mut values = self.keys.len();
        while values > 1 {
            let frames = &self.frames[..self.ends[values - 1]];
            let block = block::new(frames)?;
            if block.len() <= MAX_NEW {
                let pays = block.len() <= frames.len() / 4 * 3;
                return Ok(pays.then_some(Pressed { block: (self.keys[0], block), values }));
            }
            values = (values * MAX_NEW / block.len()).min(values - 1);
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
        let done = gathered.press()?;
        at += done.as_ref().map_or(1, |done| done.values);
        pressed.push(done.map_or_else(|| values[at - 1].clone(), |done| done.block));
    }
    Ok(pressed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{
        leaf::leaf,
        record::{self, MAX_VALUE},
        salvage::{self, Salvage},
    };

    fn value(seq: u64, payload: &[u8]) -> Value {
        let frames: Vec<u8> =
            record::frames(seq, 0, payload).flat_map(|(_, frame)| frame).collect();
        (record::key(seq, 0), frames)
    }

    fn frames(values: &[Value]) -> Vec<u8> {
        values.iter().flat_map(|(_, value)| block::frames_of(value).into_owned()).collect()
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

    #[test]
    fn records_of_several_parts_and_what_does_not_get_shorter_stay_as_they_are() {
        let noise = |seq| (0..1000).map(|_| fastrand::Rng::with_seed(seq).u8(..)).collect();
        let mut rng = fastrand::Rng::with_seed(3);
        let noises: Vec<Vec<u8>> =
            (0..20).map(|_| (0..1000).map(|_| rng.u8(..)).collect()).collect();
        let values: Vec<_> = (1..).zip(&noises).map(|(seq, noise)| value(seq, noise)).collect();
        assert_eq!(all(&values).unwrap(), values);
        let mut values = vec![value(1, &[0; 100]), value(2, &[0; 100])];
        let large: Vec<u8> = noise(9);
        for (part, frame) in record::frames(3, 0, &large.repeat(9)) {
            values.push((record::key(3, part), frame));
        }
        values.extend([value(4, &[0; 100]), value(5, &[0; 100])]);
        let pressed = all(&values).unwrap();
        assert_eq!(frames(&pressed), frames(&values));
        assert_eq!(pressed.len(), values.len() - 2, "the first two, and the last two");
    }

    #[test]
    fn block_that_loses_some_of_its_records_still_fits_a_value() {
        let mut rng = fastrand::Rng::with_seed(11);
        for round in 0..200 {
            let line: Vec<u8> = (0..rng.usize(20..300)).map(|_| rng.u8(..)).collect();
            let values: Vec<_> = (1..64)
                .map(|seq| {
                    let mut payload = line.clone();
                    (0..rng.usize(1..20))
                        .for_each(|_| payload[rng.usize(0..line.len())] = rng.u8(..));
                    value(seq, &payload)
                })
                .collect();
            for (_, pressed) in all(&values).unwrap() {
                let frames = block::frames_of(&pressed);
                let (mut rest, mut kept) = (&frames[..], Vec::new());
                while let Ok(part) = record::parse_frame(rest) {
                    let (frame, behind) = rest.split_at(part.frame_length());
                    if rng.u8(..) < 128 {
                        kept.extend_from_slice(frame);
                    }
                    rest = behind;
                }
                let kept = if kept.is_empty() { continue } else { block::rest(kept).unwrap() };
                assert!(kept.len() <= MAX_VALUE, "round {round}: {} bytes", kept.len());
            }
        }
    }

    /// A file with blocks of the entries 1 to 299 and a database's own bytes between them, and where
    /// each block begins.
    fn file() -> (Vec<u8>, Vec<usize>) {
        let sample = crate::queue::live::tests::sample();
        let payload = record::payload(uuid::Uuid::nil(), &sample).unwrap();
        let values: Vec<_> = (1..300).map(|seq| value(seq, &payload)).collect();
        let (mut bytes, mut places) = (b"a database's own".to_vec(), Vec::new());
        for (_, block) in all(&values).unwrap().iter().rev() {
            assert!(!block::is_loose(block), "only blocks");
            places.push(bytes.len());
            bytes.extend(block);
            bytes.extend(b"cQr and more");
        }
        (bytes, places)
    }

    fn salvaged(bytes: &[u8]) -> Vec<u64> {
        Salvage::of(bytes).unwrap().seqs().collect()
    }

    fn paged(bytes: &[u8]) -> Vec<u64> {
        let (mut seqs, mut from) = (Vec::new(), 1);
        while from < 300 {
            let (window, next) = leaf(bytes, &(from..300), 7, 1 << 20);
            seqs.extend(window.entries.iter().map(|entry| entry.seq));
            from = next;
        }
        seqs
    }

    #[test]
    fn blocks_are_found_in_raw_bytes_whatever_their_order() {
        let (bytes, _) = file();
        let every: Vec<u64> = (1..300).collect();
        assert_eq!((salvaged(&bytes), paged(&bytes)), (every.clone(), every));
        assert_eq!(salvage::highest_seq(&bytes).unwrap(), Some(299));
    }

    #[test]
    fn damaged_block_costs_its_own_entries_and_no_others() {
        let (mut bytes, places) = file();
        let block = block::Block::parse(&bytes[places[1]..]).unwrap();
        let (first, last) = block.seqs;
        bytes[places[1] + record::HEADER + 20] ^= 8;
        let rest: Vec<u64> = (1..300).filter(|seq| !(first..=last).contains(seq)).collect();
        assert!(last > first && !rest.is_empty());
        assert_eq!((salvaged(&bytes), paged(&bytes)), (rest.clone(), rest));
    }
}
