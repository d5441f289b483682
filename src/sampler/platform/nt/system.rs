//! Counters of the whole system, `SYSTEM_PERFORMANCE_INFORMATION`, and the time of boot out of
//! `SYSTEM_TIMEOFDAY_INFORMATION`. The counters have 32 bits: they wrap.

use super::super::bytes::{count, long, word};
use crate::sample::{Faults, Memory, Paging};

/// What is asked for: more than any version has had so far.
pub(in crate::sampler) const PERFORMANCE_BYTES: usize = 512;
/// What is asked for; the kernel refuses to give more.
pub(in crate::sampler) const TIME_OF_DAY_BYTES: usize = 48;
/// Seconds from 1601, where the kernel's time begins, to 1970.
const TO_1970: u64 = 11_644_473_600;
const PER_SECOND: u64 = 10_000_000;

/// What the memory manager and the scheduler have counted since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sampler) struct Counters {
    page_faults: u32,
    pages_read: u32,
    reads: u32,
    /// To the page files.
    dirty_pages_written: u32,
    /// To other files.
    mapped_pages_written: u32,
    /// Switches from one thread to another.
    pub(in crate::sampler) context_switches: u32,
    /// Pages of the file cache that wait to be written, now; since Windows 10.
    dirty_pages: Option<u64>,
}

impl Counters {
    /// `None` when the structure is shorter than that of any version.
    pub(in crate::sampler) fn parse(structure: &[u8]) -> Option<Self> {
        let at = |offset| word(structure, offset);
        Some(Self {
            page_faults: at(60)?,
            pages_read: at(80)?,
            reads: at(84)?,
            dirty_pages_written: at(96)?,
            mapped_pages_written: at(104)?,
            context_switches: at(296)?,
            dirty_pages: long(structure, 312),
        })
    }

    /// Fills in faults and traffic; pages have `page` bytes.
    pub(in crate::sampler) fn add_to(self, memory: &mut Memory, page: u64) {
        let bytes = |pages: u32| Some(u64::from(pages).saturating_mul(page));
        let written = self.dirty_pages_written.wrapping_add(self.mapped_pages_written);
        memory.page_faults =
            Some(Faults { total: Some(self.page_faults.into()), major: Some(self.reads.into()) });
        memory.paging =
            Some(Paging { paged_in: bytes(self.pages_read), paged_out: bytes(written) });
        memory.swap.swapped_out = bytes(self.dirty_pages_written);
        memory.dirty = self.dirty_pages.map(|pages| pages.saturating_mul(page));
    }
}

/// When the machine booted, by its wall clock now; seconds since 1970.
pub(in crate::sampler) fn boot_time(structure: &[u8]) -> Option<u64> {
    (count(structure, 0)? / PER_SECOND).checked_sub(TO_1970).filter(|&seconds| seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::platform::bytes::structure;

    const WORDS: [(usize, u32); 6] =
        [(60, 100), (80, 5), (84, 2), (96, u32::MAX), (104, 3), (296, 77)];

    #[test]
    fn pages_become_bytes_and_written_pages_wrap_as_one_counter() {
        let counters =
            Counters::parse(&structure(PERFORMANCE_BYTES, &WORDS, &[(312, 10)])).unwrap();
        let mut memory = Memory::default();
        counters.add_to(&mut memory, 4096);
        assert_eq!(counters.context_switches, 77);
        assert_eq!(memory.page_faults, Some(Faults { total: Some(100), major: Some(2) }));
        assert_eq!(memory.paging, Some(Paging { paged_in: Some(20_480), paged_out: Some(8192) }));
        assert_eq!(memory.swap.swapped_out, Some(u64::from(u32::MAX) * 4096));
        assert_eq!((memory.dirty, memory.swap.swapped_in), (Some(40_960), None));
    }

    #[test]
    fn old_version_lacks_dirty_pages_and_a_cut_one_everything() {
        let old = structure(312, &WORDS, &[]);
        let mut memory = Memory::default();
        Counters::parse(&old).unwrap().add_to(&mut memory, 4096);
        assert_eq!(memory.dirty, None);
        assert_eq!(Counters::parse(&old[..299]), None);
    }

    #[test]
    fn time_of_boot_counts_from_1970() {
        let at = |time| boot_time(&structure(TIME_OF_DAY_BYTES, &[], &[(0, time)]));
        assert_eq!(at((TO_1970 + 1_795_383_774) * PER_SECOND + 5), Some(1_795_383_774));
        assert_eq!((at(0), at(PER_SECOND), at(u64::MAX), boot_time(&[])), (None, None, None, None));
    }
}
