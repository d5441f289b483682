//! Memory and swap from `/proc/meminfo`, swap traffic from `/proc/vmstat`, the container's limit
//! from its cgroup. sysinfo reads the first of them too, but not all that is wanted of it.

use std::path::Path;

use super::proc_file::ProcFile;
use crate::{
    sample::{Memory, Swap},
    sampler::SampleError,
};

/// Where a container sees its own limit. The root of the host's hierarchy has no such file (v2) or
/// a number beyond any memory (v1).
const LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Reads memory and swap.
pub(in crate::sampler) struct MemorySource {
    meminfo: ProcFile,
    vmstat: ProcFile,
    limit: Option<ProcFile>,
    /// Bytes swapped in and out, and whether there was swap when they were read.
    swapped: Option<(Swapped, bool)>,
}

/// Bytes swapped in and out since boot.
type Swapped = (Option<u64>, Option<u64>);

impl MemorySource {
    /// Looks which kind of cgroup there is.
    pub(in crate::sampler) fn new() -> Self {
        Self {
            meminfo: ProcFile::new("/proc/meminfo"),
            vmstat: ProcFile::new("/proc/vmstat"),
            limit: LIMITS.into_iter().find(|path| Path::new(path).exists()).map(ProcFile::new),
            swapped: None,
        }
    }

    /// What is to be read, without what follows from it. The host's, also in a container.
    pub(in crate::sampler) fn read(&mut self) -> Result<Memory, SampleError> {
        let parsed = parse(&self.meminfo.read()?);
        let mut memory = parsed.ok_or_else(|| self.meminfo.malformed())?;
        (memory.swap.swapped_in, memory.swap.swapped_out) = self.swapped(memory.swap.total > 0);
        // `max` isn't a number: no limit.
        memory.limit = self.limit.as_mut().and_then(|file| file.read().ok()?.trim().parse().ok());
        Ok(memory)
    }

    /// `/proc/vmstat` is dear (the kernel adds up 150 counters of every processor), and without
    /// swap the two that are wanted stand still.
    fn swapped(&mut self, has_swap: bool) -> Swapped {
        if let Some((swapped, false)) = self.swapped
            && !has_swap
        {
            return swapped;
        }
        let Ok(text) = self.vmstat.read() else { return (None, None) };
        let page = rustix::param::page_size() as u64;
        let bytes = |key| {
            let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
            rest.parse::<u64>().ok().map(|pages| pages.saturating_mul(page))
        };
        let swapped = (bytes("pswpin "), bytes("pswpout "));
        self.swapped = Some((swapped, has_swap));
        swapped
    }
}

/// `Name:   number kB`, where kB is KiB.
fn parse(text: &str) -> Option<Memory> {
    let (mut memory, mut available) = (Memory::default(), None);
    let (mut reclaimable, mut shared, mut swap) = (0, 0, Swap::default());
    for line in text.lines() {
        let (name, rest) = line.split_once(':')?;
        let bytes = || {
            let kibibytes: u64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
            kibibytes.checked_mul(1024)
        };
        match name {
            "MemTotal" => memory.total = bytes()?,
            "MemFree" => memory.free = bytes()?,
            "MemAvailable" => available = bytes(),
            "Buffers" => memory.buffers = bytes(),
            "Cached" => memory.cached = bytes(),
            "SwapTotal" => swap.total = bytes()?,
            "SwapFree" => swap.free = bytes()?,
            "Shmem" => shared = bytes()?,
            "SReclaimable" => reclaimable = bytes()?,
            _ => {}
        }
    }
    // Before 3.14 the kernel left this estimate to its users.
    let cache = memory.buffers.unwrap_or(0) + memory.cached.unwrap_or(0) + reclaimable;
    let estimate = || (memory.free + cache).saturating_sub(shared).min(memory.total);
    memory.available = available.unwrap_or_else(estimate);
    memory.swap = swap;
    (memory.total > 0).then_some(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;
    const MEMINFO: &str = "MemTotal:       24684084 kB\nMemFree:        24477284 kB\n\
        MemAvailable:   24388700 kB\nBuffers:            1100 kB\nCached:            26544 kB\n\
        SwapCached:            7 kB\nSwapTotal:       2097148 kB\nSwapFree:        2097000 kB\n\
        Shmem:              8872 kB\nSReclaimable:      70896 kB\nHugePages_Total:       3\n";

    #[test]
    fn figures_are_bytes_and_found_by_their_whole_name() {
        let memory = parse(MEMINFO).unwrap();
        assert_eq!(memory.total, 24_684_084 * KIB);
        assert_eq!(memory.free, 24_477_284 * KIB);
        assert_eq!(memory.available, 24_388_700 * KIB);
        assert_eq!((memory.buffers, memory.cached), (Some(1100 * KIB), Some(26_544 * KIB)));
        assert_eq!((memory.swap.total, memory.swap.free), (2_097_148 * KIB, 2_097_000 * KIB));
    }

    #[test]
    fn machine_without_swap_has_none() {
        let text =
            "MemTotal: 10 kB\nMemFree: 5 kB\nMemAvailable: 6 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n";
        let memory = parse(text).unwrap();
        assert_eq!((memory.swap.total, memory.swap.free), (0, 0));
        assert_eq!((memory.buffers, memory.cached), (None, None));
    }

    #[test]
    fn old_kernel_s_available_is_estimated() {
        let text = "MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 5 kB\nCached: 30 kB\nShmem: 4 kB\n\
            SReclaimable: 9 kB\n";
        assert_eq!(parse(text).unwrap().available, 50 * KIB);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "MemFree: 5 kB\n", "MemTotal\n", "MemTotal: many kB\n"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn pages_are_read_again_while_there_is_swap_and_once_after() {
        let mut source = MemorySource::new();
        source.swapped(true);
        assert!(source.swapped.unwrap().1);
        source.swapped(false);
        assert!(!source.swapped.unwrap().1);
        source.swapped = Some(((Some(77), None), false));
        assert_eq!(source.swapped(false), (Some(77), None));
    }
}
