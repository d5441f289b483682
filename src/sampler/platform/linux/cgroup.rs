//! What a container may use at most, from its control group: version 2 or 1, as it is mounted at
//! `/sys/fs/cgroup`. The root of the host's hierarchy has no such files (v2), or limits beyond any
//! machine (v1).

use std::path::PathBuf;

use super::proc_file::ProcFile;
use crate::sampler::{rate::narrow, root::HostRoot};

/// One figure of a control group, in the first of several files that is there.
#[derive(Debug)]
pub(super) struct Limit(Option<ProcFile>);

impl Limit {
    fn new<const PLACES: usize>(root: &HostRoot, places: [&str; PLACES]) -> Self {
        let mut paths =
            places.into_iter().map(|name| root.sys(PathBuf::from("fs/cgroup").join(name)));
        Self(paths.find(|path| path.exists()).map(ProcFile::at_once))
    }

    fn read(&mut self) -> Option<String> {
        Some(self.0.as_mut()?.read().ok()?.trim().to_owned())
    }

    /// A number; `max` is none.
    pub(super) fn number(&mut self) -> Option<u64> {
        self.read()?.parse().ok()
    }
}

/// The limit of memory and what is used of it.
pub(super) fn memory(root: &HostRoot) -> [Limit; 2] {
    [
        Limit::new(root, ["memory.max", "memory/memory.limit_in_bytes"]),
        Limit::new(root, ["memory.current", "memory/memory.usage_in_bytes"]),
    ]
}

/// The limit of processor time.
#[derive(Debug)]
pub(super) struct CpuLimit {
    quota: Limit,
    period: Limit,
}

impl CpuLimit {
    /// Looks which kind of control group there is.
    pub(super) fn new(root: &HostRoot) -> Self {
        Self {
            quota: Limit::new(root, ["cpu.max", "cpu/cpu.cfs_quota_us"]),
            // In version 2 it stands beside the quota.
            period: Limit::new(root, ["cpu/cpu.cfs_period_us"]),
        }
    }

    /// Processors; `None` without a limit.
    pub(super) fn read(&mut self) -> Option<f32> {
        let quota = self.quota.read()?;
        let period = self.period.read();
        processors(&quota, period.as_deref())
    }
}

/// `quota period`, or both on their own; `max` and -1 are no limit.
fn processors(quota: &str, period: Option<&str>) -> Option<f32> {
    let (quota, period) = quota.split_once(' ').or(period.map(|period| (quota, period)))?;
    let number = |text: &str| text.parse::<u32>().ok().filter(|&number| number > 0);
    Some(narrow(f64::from(number(quota)?) / f64::from(number(period)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_over_period_is_processors() {
        assert_eq!(processors("150000 100000", None), Some(1.5));
        assert_eq!(processors("50000", Some("100000")), Some(0.5));
    }

    #[test]
    fn no_quota_is_no_limit() {
        assert_eq!(processors("max 100000", None), None);
        assert_eq!(processors("-1", Some("100000")), None);
        assert_eq!(processors("50000", None), None);
        assert_eq!(processors("50000 0", None), None);
    }
}
