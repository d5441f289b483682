//! Which sequence numbers of one agent were seen, as ranges: bounded by how often the order broke,
//! not by how many there were.

/// Most ranges that are kept; beyond it the oldest are forgotten, as a duplicate is better than a
/// loss.
const MAX_RANGES: usize = 4096;

/// A set of sequence numbers.
#[derive(Debug, Default)]
pub(super) struct Ranges(
    /// First and last of each range, ascending, with a hole between any two.
    Vec<(u64, u64)>,
);

impl Ranges {
    /// Whether `seq` was inserted.
    pub(super) fn contains(&self, seq: u64) -> bool {
        let after = self.0.partition_point(|&(first, _)| first <= seq);
        after > 0 && seq <= self.0[after - 1].1
    }

    /// Inserts `seq`; tells whether it is new.
    pub(super) fn insert(&mut self, seq: u64) -> bool {
        let after = self.0.partition_point(|&(first, _)| first <= seq);
        if after > 0 && seq <= self.0[after - 1].1 {
            return false;
        }
        let joins_left = after > 0 && self.0[after - 1].1.checked_add(1) == Some(seq);
        let joins_right =
            self.0.get(after).is_some_and(|right| seq.checked_add(1) == Some(right.0));
        match (joins_left, joins_right) {
            (true, true) => self.0[after - 1].1 = self.0.remove(after).1,
            (true, false) => self.0[after - 1].1 = seq,
            (false, true) => self.0[after].0 = seq,
            (false, false) => self.0.insert(after, (seq, seq)),
        }
        if self.0.len() > MAX_RANGES {
            self.0.remove(0);
        }
        true
    }

    /// Inserts the numbers from `first` to `last`.
    pub(super) fn insert_all(&mut self, first: u64, last: u64) {
        let from = self.0.partition_point(|range| range.1.saturating_add(1) < first);
        let to = self.0.partition_point(|range| range.0 <= last.saturating_add(1));
        let touched = &self.0[from..to.max(from)];
        let low = touched.first().map_or(first, |range| range.0.min(first));
        let high = touched.last().map_or(last, |range| range.1.max(last));
        self.0.splice(from..to.max(from), [(low, high)]);
        if self.0.len() > MAX_RANGES {
            self.0.remove(0);
        }
    }

    /// How many of the numbers that are [`missing`](Self::missing) aren't in `others`.
    pub(super) fn missing_without(&self, others: &Self) -> u64 {
        let holes = self.0.windows(2).map(|pair| (pair[0].1 + 1, pair[1].0 - 1));
        let covered = |(first, last): (u64, u64)| {
            let from = others.0.partition_point(|range| range.1 < first);
            let within = others.0[from..].iter().take_while(|range| range.0 <= last);
            within.map(|range| range.1.min(last) - range.0.max(first) + 1).sum::<u64>()
        };
        let open = holes.map(|hole| hole.1 - hole.0 + 1 - covered(hole));
        open.fold(0, u64::saturating_add)
    }

    /// How many numbers are missing between the first and the last.
    pub(super) fn missing(&self) -> u64 {
        self.0.windows(2).map(|pair| pair[1].0 - pair[0].1 - 1).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_a_set(seqs in prop::collection::vec(0_u64..40, 0..80)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for seq in seqs {
                prop_assert_eq!(ranges.contains(seq), set.contains(&seq));
                prop_assert_eq!(ranges.insert(seq), set.insert(seq));
                let missing = set.last().unwrap() - set.first().unwrap() + 1 - set.len() as u64;
                prop_assert_eq!(ranges.missing(), missing);
            }
            prop_assert!(ranges.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }

    proptest! {
        #[test]
        fn runs_are_as_good_as_their_numbers(
            seqs in prop::collection::vec(0_u64..40, 0..20),
            runs in prop::collection::vec((0_u64..40, 0_u64..9), 0..12),
        ) {
            let (mut seen, mut set) = (Ranges::default(), BTreeSet::new());
            for seq in seqs {
                seen.insert(seq);
                set.insert(seq);
            }
            let (mut lost, mut lost_set) = (Ranges::default(), BTreeSet::new());
            for (first, more) in runs {
                lost.insert_all(first, first + more);
                lost_set.extend(first..=first + more);
                prop_assert!((0..50).all(|seq| lost.contains(seq) == lost_set.contains(&seq)));
                prop_assert!(lost.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            }
            let ends = set.first().zip(set.last());
            let holes = ends.map_or(0..0, |(first, last)| *first..*last);
            let open = holes.filter(|seq| !set.contains(seq) && !lost_set.contains(seq)).count();
            prop_assert_eq!(seen.missing_without(&lost), open as u64);
        }
    }

    #[test]
    fn whole_range_of_numbers_is_usable() {
        let mut ranges = Ranges::default();
        for seq in [u64::MAX, 0, u64::MAX - 1, 1] {
            assert!(ranges.insert(seq) && ranges.contains(seq));
        }
        assert_eq!(ranges.0.len(), 2);
        assert_eq!(ranges.missing(), u64::MAX - 3);
    }

    #[test]
    fn memory_is_bounded_whatever_is_inserted() {
        let mut ranges = Ranges::default();
        for seq in (0..20_000).step_by(2) {
            ranges.insert(seq);
        }
        assert_eq!(ranges.0.len(), MAX_RANGES);
        assert!(ranges.contains(19_998));
    }
}
