//! Memory and swap: `vm_statistics64`, whose gauges are 32-bit and whose counters 64-bit counts of
//! pages, and `xsw_usage`.

use super::super::bytes::{long, word};
use crate::sample::{Faults, Memory, Paging, Swap};

/// Where each number lies in `vm_statistics64`.
pub(in crate::sampler) mod at {
    pub(in crate::sampler) const FREE: usize = 0;
    pub(in crate::sampler) const ACTIVE: usize = 4;
    pub(in crate::sampler) const INACTIVE: usize = 8;
    pub(in crate::sampler) const PAGEINS: usize = 32;
    pub(in crate::sampler) const PAGEOUTS: usize = 40;
    pub(in crate::sampler) const FAULTS: usize = 48;
    pub(in crate::sampler) const PURGEABLE: usize = 88;
    pub(in crate::sampler) const SPECULATIVE: usize = 92;
    pub(in crate::sampler) const SWAPINS: usize = 112;
    pub(in crate::sampler) const SWAPOUTS: usize = 120;
    pub(in crate::sampler) const EXTERNAL: usize = 136;
}

/// What `structure` says of a machine with `total` bytes in pages of `page` bytes; `None` when it is
/// too short.
///
/// Speculative pages are read ahead from files: the kernel counts them as free and as `cached`,
/// this only as `cached`. Available is what is free, what belongs to files, and what programs have
/// declared to be worth nothing; the rest is what the system's own monitor calls used.
pub(in crate::sampler) fn parse(structure: &[u8], total: u64, page: u64) -> Option<Memory> {
    let gauge = |offset| Some(u64::from(word(structure, offset)?).saturating_mul(page));
    let traffic = |offset| Some(long(structure, offset)?.saturating_mul(page));
    let free = gauge(at::FREE)?.saturating_sub(gauge(at::SPECULATIVE)?);
    let cached = gauge(at::EXTERNAL)?;
    let available = free.saturating_add(cached).saturating_add(gauge(at::PURGEABLE)?);
    Some(Memory {
        total,
        free,
        available: available.min(total),
        cached: Some(cached),
        active: Some(gauge(at::ACTIVE)?),
        inactive: Some(gauge(at::INACTIVE)?),
        page_faults: Some(Faults { total: Some(long(structure, at::FAULTS)?), major: None }),
        paging: Some(Paging {
            paged_in: Some(traffic(at::PAGEINS)?),
            paged_out: Some(traffic(at::PAGEOUTS)?),
        }),
        swap: Swap {
            swapped_in: Some(traffic(at::SWAPINS)?),
            swapped_out: Some(traffic(at::SWAPOUTS)?),
            ..Swap::default()
        },
        ..Memory::default()
    })
}

/// Total and free swap, out of `vm.swapusage`: total, available, used.
pub(in crate::sampler) fn swap(usage: &[u8]) -> Option<(u64, u64)> {
    Some((long(usage, 0)?, long(usage, 8)?))
}

/// The bytes of memory, out of `hw.memsize`.
pub(in crate::sampler) fn total(size: &[u8]) -> Option<u64> {
    long(size, 0).filter(|&bytes| bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::platform::bytes::structure;

    const PAGE: u64 = 16_384;

    fn statistics() -> Vec<u8> {
        let words = [
            (at::FREE, 100),
            (at::SPECULATIVE, 30),
            (at::EXTERNAL, 200),
            (at::PURGEABLE, 5),
            (at::ACTIVE, 400),
            (at::INACTIVE, 300),
        ];
        let longs = [
            (at::PAGEINS, 11),
            (at::PAGEOUTS, 12),
            (at::FAULTS, 13),
            (at::SWAPINS, 14),
            (at::SWAPOUTS, u64::MAX),
        ];
        structure(152, &words, &longs)
    }

    #[test]
    fn pages_read_ahead_are_counted_once() {
        let memory = parse(&statistics(), 1 << 30, PAGE).unwrap();
        assert_eq!((memory.free, memory.cached), (70 * PAGE, Some(200 * PAGE)));
        assert_eq!(memory.available, 275 * PAGE);
        assert_eq!((memory.active, memory.inactive), (Some(400 * PAGE), Some(300 * PAGE)));
    }

    #[test]
    fn traffic_is_bytes_and_faults_are_counts() {
        let memory = parse(&statistics(), 1 << 30, PAGE).unwrap();
        let paging = Paging { paged_in: Some(11 * PAGE), paged_out: Some(12 * PAGE) };
        assert_eq!(memory.paging, Some(paging));
        assert_eq!(memory.page_faults, Some(Faults { total: Some(13), major: None }));
        assert_eq!(memory.swap.swapped_in, Some(14 * PAGE));
        assert_eq!(memory.swap.swapped_out, Some(u64::MAX));
    }

    #[test]
    fn no_more_is_available_than_there_is_and_a_cut_structure_is_none() {
        assert_eq!(parse(&statistics(), PAGE, PAGE).unwrap().available, PAGE);
        assert_eq!(parse(&statistics()[..139], 1, PAGE), None);
    }

    #[test]
    fn swap_and_size() {
        let usage = structure(32, &[(24, 16_384)], &[(0, 3072), (8, 1024), (16, 2048)]);
        assert_eq!(swap(&usage), Some((3072, 1024)));
        assert_eq!((swap(&[0; 15]), total(&[]), total(&[0; 8])), (None, None, None));
        assert_eq!(total(&usage), Some(3072));
    }
}
