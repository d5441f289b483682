//! A page of entries out of the raw bytes of a database that is closed: the lowest numbers of a range,
//! whatever their order in the file. It holds no more than a page, and where the pieces
//! of blocks lie in the file; it panics on no bytes.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use memchr::memmem;

use super::{
    reading::Reading,
    record::{
        self, MAGIC,
        block::{
            Block,
            pieces::{Piece, Scattered},
        },
    },
    window::Window,
};

/// Frames in order, with the file's own bytes.
#[derive(Default)]
struct Frames<'a> {
    frames: BTreeMap<(u64, u16), Cow<'a, [u8]>>,
    bytes: u64,
}

/// The whole records of `seqs` in `bytes`, in order: at most `max_samples` with at most `max_bytes` of
/// payload (one at least), and where the next page begins, which is the range's end when these are all.
pub(super) fn leaf(
    bytes: &[u8],
    seqs: &Range<u64>,
    max_samples: usize,
    max_bytes: u64,
) -> (Window, u64) {
    let mut found = Frames::default();
    // A record that isn't whole takes room and gives no entry.
    let (most, room) = (max_samples.saturating_mul(2), max_bytes.saturating_mul(2));
    let (mut rest, mut to, mut pieces) = (bytes, seqs.end, Scattered::default());
    while let Some(at) = memmem::find(rest, &MAGIC) {
        rest = &rest[at..];
        if let Ok(block) = Block::parse(rest) {
            if block.seqs.0 < to && block.seqs.1 >= seqs.start {
                found.add_block(&block, seqs.start..to);
                to = found.keep_lowest(most, room).unwrap_or(to);
            }
            rest = &rest[block.length()..];
            continue;
        }
        if let Ok(piece) = Piece::parse(rest) {
            let (first, last) = piece.of.seqs;
            if first < to
                && last >= seqs.start
                && let Some(block) = pieces.add(&piece)
                && let Ok(block) = Block::parse_joined(&block)
            {
                found.add_block(&block, seqs.start..to);
                to = found.keep_lowest(most, room).unwrap_or(to);
            }
            rest = &rest[piece.length()..];
            continue;
        }
        let Ok(part) = record::parse_frame(rest) else {
            rest = &rest[1..];
            continue;
        };
        let (frame, behind) = rest.split_at(part.frame_length());
        if (seqs.start..to).contains(&part.seq) {
            found.add((part.seq, part.index), Cow::Borrowed(frame));
            to = found.keep_lowest(most, room).unwrap_or(to);
        }
        rest = behind;
    }
    let mut reading = Reading::default();
    for ((seq, index), frame) in found.frames {
        reading.take(record::key(seq, index).to_vec(), &frame);
    }
    let here = reading.found.len();
    let window = Window::new(reading, max_samples, max_bytes);
    let next = match window.entries.last() {
        Some(last) if window.entries.len() < here => last.seq.saturating_add(1),
        _ => to,
    };
    (window, next)
}

impl<'a> Frames<'a> {
    /// Takes those of a block's frames that belong to `seqs`.
    fn add_block(&mut self, block: &Block<'_>, seqs: Range<u64>) {
        let Ok(frames) = block.frames() else { return };
        let mut rest = &frames[..];
        while let Ok(part) = record::parse_frame(rest) {
            let (frame, behind) = rest.split_at(part.frame_length());
            if seqs.contains(&part.seq) {
                self.add((part.seq, part.index), Cow::Owned(frame.to_vec()));
            }
            rest = behind;
        }
    }

    fn add(&mut self, key: (u64, u16), frame: Cow<'a, [u8]>) {
        self.bytes += frame.len() as u64;
        let before = self.frames.insert(key, frame);
        self.bytes -= before.map_or(0, |before| before.len() as u64);
    }

    /// Forgets the highest record while there is more than enough; returns what is forgotten from there on.
    fn keep_lowest(&mut self, most: usize, room: u64) -> Option<u64> {
        let mut forgotten = None;
        while self.frames.len() > most || self.bytes > room {
            let (&(first, _), &(last, _)) =
                (self.frames.first_key_value()?.0, self.frames.last_key_value()?.0);
            if first == last {
                break;
            }
            for (_, frame) in self.frames.split_off(&(last, 0)) {
                self.bytes -= frame.len() as u64;
            }
            forgotten = Some(last);
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use jiff::Timestamp;

    use super::*;
    use crate::sample::{Cpu, Metrics, Origin, Sample};

    fn frames(seq: u64, size: usize) -> Vec<Vec<u8>> {
        let origin = Origin { host: "x".repeat(size), ..Origin::default() };
        let sample = Sample {
            timestamp: Timestamp::UNIX_EPOCH,
            since_boot: None,
            origin: Arc::new(origin),
            interval: Duration::from_secs(5),
            metrics: Metrics::Cpu(Cpu::default()),
        };
        let record = record::Record { agent_id: uuid::Uuid::nil(), sample };
        let payload = record::pack(&record).unwrap();
        record::frames(seq, 0, &payload).map(|(_, frame)| frame).collect()
    }

    /// All pages, with the numbers on each.
    fn pages(bytes: &[u8], end: u64, max_samples: usize, max_bytes: u64) -> Vec<Vec<u64>> {
        let (mut pages, mut from) = (Vec::new(), 1);
        while from < end {
            let (window, next) = leaf(bytes, &(from..end), max_samples, max_bytes);
            assert!(next > from, "it gets nowhere");
            pages.push(window.entries.iter().map(|entry| entry.seq).collect());
            from = next;
        }
        pages
    }

    #[test]
    fn records_come_in_order_whatever_their_order_in_the_file() {
        let mut file = b"a database's own bytes".to_vec();
        for seq in [7, 3, 9, 1, 2, 3, 8, 5, 4, 6] {
            file.extend(frames(seq, 100).concat());
        }
        assert_eq!(pages(&file, 9, 3, 1 << 20), [vec![1, 2, 3], vec![4, 5, 6], vec![7, 8]]);
        assert_eq!(pages(&file, 10, 100, 400).concat(), (1..10).collect::<Vec<_>>());
        assert_eq!(pages(&file, 10, 100, 1), (1..10).map(|seq| vec![seq]).collect::<Vec<_>>());
    }

    #[test]
    fn record_that_is_not_whole_hides_none_behind_it() {
        let torn = frames(2, 50_000);
        let mut file: Vec<u8> = torn[..torn.len() - 1].concat();
        for seq in [4, 3, 1, 5] {
            file.extend(frames(seq, 9000).concat());
        }
        for max_bytes in [1, 10_000, 1 << 20] {
            assert_eq!(pages(&file, 6, 10, max_bytes).concat(), [1, 3, 4, 5], "{max_bytes}");
        }
    }
}
