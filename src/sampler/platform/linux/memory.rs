//! What sysinfo doesn't tell of memory: `/proc/meminfo`, `/proc/vmstat` and the container's limit.

use std::path::Path;

use super::proc_file::ProcFile;
use crate::{
    sample::Memory,
    sampler::{SampleError, memory::MemoryDetails},
};

/// Where a container sees its own limit. The root of the host's hierarchy has no such file (v2) or
/// a number beyond any memory (v1).
const LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Reads the details of memory.
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

    /// `buffers` and `cached` from `/proc/meminfo`, pages swapped from `/proc/vmstat`, the limit
    /// from the cgroup.
    pub(in crate::sampler) fn details(
        &mut self,
        of: &Memory,
    ) -> Result<MemoryDetails, SampleError> {
        let (swapped_in, swapped_out) = self.swapped(of.swap.total > 0)?;
        let limit = self.limit.as_mut().and_then(|file| file.read().ok()?.trim().parse().ok());
        let text = self.meminfo.read()?;
        Ok(MemoryDetails {
            buffers: kibibytes(&text, "Buffers:"),
            cached: kibibytes(&text, "Cached:"),
            limit,
            swapped_in,
            swapped_out,
        })
    }

    /// `/proc/vmstat` is dear (the kernel adds up 150 counters of every processor), and without
    /// swap the two that are wanted stand still.
    fn swapped(&mut self, has_swap: bool) -> Result<Swapped, SampleError> {
        if let Some((swapped, false)) = self.swapped
            && !has_swap
        {
            return Ok(swapped);
        }
        let text = self.vmstat.read()?;
        let page = rustix::param::page_size() as u64;
        let bytes = |key| value(&text, key).map(|pages| pages.saturating_mul(page));
        let swapped = (bytes("pswpin "), bytes("pswpout "));
        self.swapped = Some((swapped, has_swap));
        Ok(swapped)
    }
}

/// The figure of `/proc/meminfo` in bytes; what it calls kB is KiB.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    value(text, key).map(|kibibytes| kibibytes.saturating_mul(1024))
}

fn value(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24684084 kB\nMemFree:        24477284 kB\n\
        Buffers:            1100 kB\nCached:            26544 kB\nSwapCached:            7 kB\n";

    #[test]
    fn figures_are_found_by_their_whole_name() {
        assert_eq!(kibibytes(MEMINFO, "Buffers:"), Some(1100 * 1024));
        assert_eq!(kibibytes(MEMINFO, "Cached:"), Some(26544 * 1024));
        assert_eq!(value("pswpin 3\npswpout 44\n", "pswpout "), Some(44));
    }

    #[test]
    fn figure_that_the_kernel_lacks_is_none() {
        assert_eq!(kibibytes("MemTotal: 1 kB\n", "Cached:"), None);
        assert_eq!(kibibytes("Cached: ? kB\n", "Cached:"), None);
    }

    #[test]
    fn unlimited_cgroup_isn_t_a_number() {
        assert_eq!("max\n".trim().parse::<u64>().ok(), None);
    }

    #[test]
    fn pages_are_read_again_while_there_is_swap_and_once_after() {
        let mut source = MemorySource::new();
        let read = |source: &MemorySource| source.swapped.unwrap().1;
        source.swapped(true).unwrap();
        assert!(read(&source));
        source.swapped(false).unwrap();
        assert!(!read(&source));
        source.swapped = Some(((Some(77), None), false));
        assert_eq!(source.swapped(false).unwrap(), (Some(77), None));
    }
}
