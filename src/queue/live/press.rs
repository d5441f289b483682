//! Pressing: small values that have to wait are put into one block, in one atomic step that changes
//! nothing but the room that they take. What is about to leave isn't worth it.

use std::collections::BTreeMap;

use super::{Live, REMOVALS_PER_SYNC};
use crate::queue::{
    generation::{MAX_COMMIT, StorageError},
    press::{Gathered, Pressed},
    record,
};

/// The newest values stay as they are: no more wait where a server answers, even if it takes minutes.
const LEFT_LOOSE: usize = 64;
/// So many more make it worth a step.
const WORTH_A_STEP: usize = 24;

impl Live {
    /// Whether there are enough values to be pressed at or behind `from`.
    pub(in crate::queue) fn wants_to_press(&mut self, from: u64) -> bool {
        let from = from.max(self.meta.head);
        while self.loose.front().is_some_and(|seq| *seq < from) {
            self.loose.pop_front();
        }
        self.loose.len() >= LEFT_LOOSE + WORTH_A_STEP
    }

    /// Puts the oldest loose values into a block. It has reached the kernel when this returns, whole or
    /// not at all: until it is synced a power cut may bring the values back as they were. Returns how many
    /// bytes were moved.
    pub(in crate::queue) fn press(&mut self) -> Result<usize, StorageError> {
        let gathered = self.gather()?;
        let Some(Pressed { block, values, bytes }) = gathered.press()? else {
            // What doesn't get shorter is passed over, with all that belongs to it.
            let first = self.loose.pop_front();
            self.loose.drain(..self.loose.partition_point(|seq| Some(*seq) == first));
            return Ok(0);
        };
        let keys = &gathered.keys()[..values];
        let last = keys.last().and_then(|key| record::parse_key(key)).map_or(0, |(seq, _)| seq);
        // Some pieces stand where a value stood.
        let mut changes: BTreeMap<_, _> = keys.iter().map(|key| (*key, None)).collect();
        let written: usize = block.iter().map(|(_, piece)| piece.len()).sum();
        changes.extend(block.into_iter().map(|(key, piece)| (key, Some(piece))));
        self.unsynced_removals += changes.len();
        let changes = changes.iter_mut().map(|(key, value)| (key.as_slice(), value.take()));
        self.generation.commit(changes.collect())?;
        self.loose.drain(..self.loose.partition_point(|seq| *seq <= last));
        // What is written between two syncs has to stay below half a segment, and the database writes large
        // values again with each other change near them.
        let is_large = written > record::MAX_VALUE || bytes > MAX_COMMIT;
        if self.unsynced_removals >= REMOVALS_PER_SYNC || is_large {
            self.sync()?;
        }
        Ok(bytes)
    }

    /// The values from the first that is loose, as many as follow one another and fit a block.
    fn gather(&self) -> Result<Gathered, StorageError> {
        let mut gathered = Gathered::default();
        // Counted by their numbers, not as a scan meets them: some may have left in the meantime, and a block
        // never reaches into the newest, by which the end is found.
        let left = self.loose.len().checked_sub(LEFT_LOOSE).and_then(|at| self.loose.get(at));
        let (Some(first), Some(left)) = (self.loose.front(), left) else { return Ok(gathered) };
        let (first, left) = (record::key(*first, 0), record::key(*left, 0));
        for item in self.generation.scan(&first, &left)? {
            let (key, value) = item?;
            let Ok(key) = key.as_slice().try_into() else { break };
            if !gathered.add(key, &value) {
                break;
            }
        }
        Ok(gathered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{
        commit::Commit,
        live::tests::{create, meta, wide},
        meta::{Leaves, Meta},
        press,
        record::block::{self, pieces::Piece},
    };

    /// A generation with `count` entries of a machine with so many processors, a commit each.
    fn filled(directory: &std::path::Path, count: u64, processors: u32) -> Live {
        let mut live = create(&directory.join("gen"), &meta());
        for seq in 1..=count {
            let mut commit = Commit::after(seq, live.meta.running_total);
            let payload = record::payload(uuid::Uuid::nil(), &wide(processors, seq)).unwrap();
            commit.add(&payload, crate::clock::Moment::default());
            live.append(commit.take_values()).unwrap();
            live.advance(commit.next_seq, commit.running_total);
        }
        live
    }

    fn seqs(live: &Live) -> Vec<u64> {
        let window = live.scan(10_000, u64::MAX).unwrap();
        assert_eq!(window.damaged, 0);
        window.entries.iter().map(|entry| entry.seq).collect()
    }

    #[test]
    fn what_waits_takes_few_values_and_the_newest_stay_as_they_are() {
        // Records of one part, of several in one block of few pieces, of several in many.
        for (processors, count, most) in [(0, 1000, 130), (150, 200, 150), (400, 80, 250)] {
            let home = tempfile::tempdir().unwrap();
            let mut live = filled(home.path(), count, processors);
            let before = live.values().unwrap().len();
            while live.wants_to_press(0) {
                let before = live.generation.commits.get();
                live.press().unwrap();
                assert_eq!(live.generation.commits.get() - before, 1, "one atomic step");
            }
            let values = live.values().unwrap();
            let loose = values.iter().filter(|(_, value)| block::loose(value).is_some());
            let loose = loose.count();
            assert!((64..88).contains(&loose), "{processors}: {loose}");
            assert!(values.len() < most, "{processors}: {before} to {} values", values.len());
            assert_eq!(seqs(&live), (1..=count).collect::<Vec<_>>());
            assert_eq!(live.count().unwrap(), count);
            let holds = |seq| live.holds(seq).unwrap();
            assert!((1..=count).all(holds) && !holds(0) && !holds(count + 1));
            drop(live);
            let live = Live::open(&home.path().join("gen"), 1).unwrap();
            assert_eq!((live.meta.next_seq, live.counts().samples), (count + 1, count));
        }
    }

    #[test]
    fn what_is_lent_is_left_alone_and_can_leave_afterwards() {
        for processors in [0, 150, 250, 400] {
            let home = tempfile::tempdir().unwrap();
            let mut live = filled(home.path(), 300, processors);
            let mut window = live.scan(100, u64::MAX).unwrap();
            while live.wants_to_press(window.end()) {
                live.press().unwrap();
            }
            let gone: Vec<u64> = (1..=100).collect();
            live.remove(&mut window, &gone, Leaves::Acknowledged).unwrap();
            assert_eq!(seqs(&live), (101..=300).collect::<Vec<_>>());
            // Of a block, every other one; then some of what is left of it, through the same window.
            let mut window = live.scan(150, u64::MAX).unwrap();
            let gone: Vec<u64> = (101..=200).filter(|seq| seq % 2 == 0).collect();
            live.remove(&mut window, &gone, Leaves::Acknowledged).unwrap();
            let left: Vec<u64> = (101..=300).filter(|seq| *seq > 200 || seq % 2 == 1).collect();
            assert_eq!((seqs(&live), live.count().unwrap()), (left, live.counts().samples));
            let gone: Vec<u64> = (101..=200).filter(|seq| seq % 4 == 1).collect();
            live.remove(&mut window, &gone, Leaves::Acknowledged).unwrap();
            let left: Vec<u64> = (101..=300).filter(|seq| *seq > 200 || seq % 4 == 3).collect();
            assert_eq!((seqs(&live), live.count().unwrap()), (left, live.counts().samples));
            let rest = live.values().unwrap();
            drop(live);
            let live = Live::open(&home.path().join("gen"), 1).unwrap();
            assert_eq!(live.values().unwrap(), rest, "nothing comes back");
        }
    }

    #[test]
    fn block_that_lacks_a_piece_at_the_end_is_a_damage() {
        let home = tempfile::tempdir().unwrap();
        let live = filled(home.path(), 40, 400);
        let block = press::all(&live.values().unwrap()).unwrap();
        let first = Piece::parse(&block[0].1).unwrap().of;
        assert!(first.count > 2);
        let create = |name: &str| {
            let mut live = create(&home.path().join(name), &meta());
            live.append(block[..first.count.into()].to_vec()).unwrap();
            live
        };
        // As of a build whose blocks could span the end that was noted last.
        let mut spanning = create("spanning");
        spanning.note(Meta { next_seq: 2, ..meta() }).unwrap();
        drop(spanning);
        let live = Live::open(&home.path().join("spanning"), 1).unwrap();
        assert_eq!((live.meta.next_seq, live.counts().samples), (first.seqs.1 + 1, first.seqs.1));
        drop(create("whole"));
        let live = Live::open(&home.path().join("whole"), 1).unwrap();
        assert_eq!(live.counts().samples, first.seqs.1);
        let lacking = create("lacking");
        lacking.generation.commit(vec![(&record::key(1, 1), None)]).unwrap();
        drop(lacking);
        let opened = Live::open(&home.path().join("lacking"), 1);
        assert!(matches!(opened, Err(StorageError::Damaged(_))));
        // Nor does a piece count that isn't in its place: however many it says that there are, no more are
        // asked for than there are.
        let foreign = create("foreign");
        foreign.generation.commit(vec![(&record::key(900, 0), Some(block[0].1.clone()))]).unwrap();
        drop(foreign);
        let opened = Live::open(&home.path().join("foreign"), 1);
        assert!(matches!(opened, Err(StorageError::Damaged(_))));
    }
}
