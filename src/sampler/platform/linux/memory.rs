//! Memory and swap from `/proc/meminfo`, faults and traffic from `/proc/vmstat`, the container's
//! limit from its cgroup. sysinfo reads the first of them too, but not all that is wanted of it.

use memchr::memmem;

use super::{
    cgroup::{self, Limit},
    pressure::PressureFile,
    proc_file::ProcFile,
};
use crate::{
    sample::{Faults, HugePages, Memory, Paging, Slab, Swap},
    sampler::{SampleError, root::HostRoot},
};

/// Reads memory and swap.
pub(in crate::sampler) struct MemorySource {
    meminfo: ProcFile,
    vmstat: ProcFile,
    pressure: PressureFile,
    limits: [Limit; 2],
}

impl MemorySource {
    /// Looks which kind of cgroup there is.
    pub(in crate::sampler) fn new(root: &HostRoot) -> Self {
        Self {
            meminfo: ProcFile::at_once(root.proc("meminfo")),
            vmstat: ProcFile::new(root.proc("vmstat")),
            pressure: PressureFile::new(root.proc("pressure/memory")),
            limits: cgroup::memory(root),
        }
    }

    /// What is to be read, without what follows from it. The host's, also in a container.
    pub(in crate::sampler) fn read(&mut self) -> Result<Memory, SampleError> {
        let parsed = parse(&self.meminfo.read()?);
        let mut memory = parsed.ok_or_else(|| self.meminfo.malformed())?;
        if let Ok(text) = self.vmstat.read() {
            add_vmstat(&text, rustix::param::page_size() as u64, &mut memory);
        }
        memory.pressure = self.pressure.read();
        [memory.limit, memory.limit_used] = self.limits.each_mut().map(Limit::number);
        Ok(memory)
    }
}

/// `Name:   number kB`, where kB is KiB; huge pages are counted.
pub(super) fn parse(text: &str) -> Option<Memory> {
    let (mut memory, mut available) = (Memory::default(), None);
    let (mut slab, mut huge) = (Slab::default(), Huge::default());
    for line in text.lines() {
        let (name, rest) = line.split_once(':')?;
        let number = || rest.split_ascii_whitespace().next()?.parse::<u64>().ok();
        let bytes = || number()?.checked_mul(1024);
        match name {
            "MemTotal" => memory.total = bytes()?,
            "MemFree" => memory.free = bytes()?,
            "SwapTotal" => memory.swap.total = bytes()?,
            "SwapFree" => memory.swap.free = bytes()?,
            "MemAvailable" => available = bytes(),
            "SReclaimable" => slab.reclaimable = bytes(),
            "SUnreclaim" => slab.unreclaimable = bytes(),
            name if name.starts_with("Huge") => huge.add(name, number),
            _ => {
                if let Some(figure) = optional(name, &mut memory) {
                    *figure = bytes();
                }
            }
        }
    }
    memory.available = available.unwrap_or_else(|| estimate(&memory, slab));
    memory.slab = Some(slab).filter(|slab| *slab != Slab::default());
    memory.huge_pages = huge.figures();
    (memory.total > 0).then_some(memory)
}

/// The figure of that name among those that a kernel may lack.
fn optional<'a>(name: &str, memory: &'a mut Memory) -> Option<&'a mut Option<u64>> {
    Some(match name {
        "Buffers" => &mut memory.buffers,
        "Cached" => &mut memory.cached,
        "SwapCached" => &mut memory.swap.cached,
        "Active" => &mut memory.active,
        "Inactive" => &mut memory.inactive,
        "Shmem" => &mut memory.shared,
        "Dirty" => &mut memory.dirty,
        "Writeback" => &mut memory.writeback,
        "Committed_AS" => &mut memory.committed,
        "CommitLimit" => &mut memory.commit_limit,
        _ => return None,
    })
}

/// Before 3.14 the kernel left this estimate to its users.
fn estimate(memory: &Memory, slab: Slab) -> u64 {
    let caches = [memory.buffers, memory.cached, slab.reclaimable];
    let cache = caches.into_iter().flatten().fold(memory.free, u64::saturating_add);
    cache.saturating_sub(memory.shared.unwrap_or(0)).min(memory.total)
}

/// The number behind `name` at the beginning of a line. Looking for seven names costs a tenth of
/// looking at two hundred lines.
fn behind(text: &str, name: &str) -> Option<u64> {
    let begins = |&at: &usize| at == 0 || text.as_bytes()[at - 1] == b'\n';
    let at = memmem::find_iter(text.as_bytes(), name).find(begins)?;
    text[at + name.len()..].lines().next()?.parse().ok()
}

#[derive(Default)]
struct Huge {
    total: Option<u64>,
    free: Option<u64>,
    others: HugePages,
}

impl Huge {
    fn add(&mut self, name: &str, number: impl Fn() -> Option<u64>) {
        match name {
            "HugePages_Total" => self.total = number(),
            "HugePages_Free" => self.free = number(),
            "HugePages_Rsvd" => self.others.reserved = number(),
            "HugePages_Surp" => self.others.surplus = number(),
            "Hugepagesize" => {
                self.others.page_size = number().and_then(|kibibytes| kibibytes.checked_mul(1024));
            }
            _ => {}
        }
    }

    fn figures(self) -> Option<HugePages> {
        Some(HugePages { total: self.total?, free: self.free?, ..self.others })
    }
}

/// `name number`: pages for swap, KiB for all traffic, and counts.
pub(super) fn add_vmstat(text: &str, page_bytes: u64, to: &mut Memory) {
    let (mut faults, mut paging) = (Faults::default(), Paging::default());
    let Swap { swapped_in, swapped_out, .. } = &mut to.swap;
    let wanted = [
        ("pgfault ", &mut faults.total, 1),
        ("pgmajfault ", &mut faults.major, 1),
        ("pgpgin ", &mut paging.paged_in, 1024),
        ("pgpgout ", &mut paging.paged_out, 1024),
        ("pswpin ", &mut *swapped_in, page_bytes),
        ("pswpout ", &mut *swapped_out, page_bytes),
        ("oom_kill ", &mut to.oom_kills, 1),
    ];
    for (name, figure, unit) in wanted {
        *figure = behind(text, name).map(|number| number.saturating_mul(unit));
    }
    to.page_faults = Some(faults).filter(|faults| *faults != Faults::default());
    to.paging = Some(paging).filter(|paging| *paging != Paging::default());
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;
    const MEMINFO: &str = "MemTotal:       24684084 kB\nMemFree:        24477284 kB\n\
        MemAvailable:   24388700 kB\nBuffers:            1100 kB\nCached:            26544 kB\n\
        SwapCached:            7 kB\nSwapTotal:       2097148 kB\nSwapFree:        2097000 kB\n\
        Shmem:              8872 kB\nSReclaimable:      70896 kB\nHugePages_Total:       3\n\
        HugePages_Free:        1\nHugepagesize:       2048 kB\n";

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
    fn figures_of_their_own_unit() {
        let memory = parse(MEMINFO).unwrap();
        let huge = memory.huge_pages.unwrap();
        assert_eq!((huge.total, huge.free, huge.page_size), (3, 1, Some(2048 * KIB)));
        assert_eq!(memory.slab.unwrap().reclaimable, Some(70_896 * KIB));
        assert_eq!((memory.shared, memory.swap.cached), (Some(8872 * KIB), Some(7 * KIB)));
        assert_eq!((memory.dirty, memory.committed), (None, None));
    }

    #[test]
    fn traffic_is_bytes_and_faults_are_counts() {
        let mut memory = Memory::default();
        let text = "nr_free_pages 1\npgpgin 5\npgpgout 6\npswpin 7\npswpout 8\npgfault 9\n\
            pgmajfault 10\npgfault_x 1\noom_kill 2\n";
        add_vmstat(text, 4096, &mut memory);
        assert_eq!((memory.swap.swapped_in, memory.swap.swapped_out), (Some(28_672), Some(32_768)));
        assert_eq!(memory.paging, Some(Paging { paged_in: Some(5120), paged_out: Some(6144) }));
        assert_eq!(memory.page_faults, Some(Faults { total: Some(9), major: Some(10) }));
        assert_eq!(memory.oom_kills, Some(2));
    }

    #[test]
    fn kernel_without_these_counters_has_none() {
        let mut memory = Memory::default();
        add_vmstat("nr_free_pages 1\n", 4096, &mut memory);
        assert_eq!((memory.page_faults, memory.paging, memory.oom_kills), (None, None, None));
    }
}
