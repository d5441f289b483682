//! Memory and swap: what follows from the platform's reading.

use super::{SampleError, Sampler, platform, root::HostRoot};
use crate::sample::{Group, Memory, Metrics};

/// Samples [`Group::Memory`].
pub(super) struct MemorySampler {
    source: platform::MemorySource,
}

impl MemorySampler {
    /// Reads nothing yet.
    pub(super) fn new(root: &HostRoot) -> Self {
        Self { source: platform::MemorySource::new(root) }
    }
}

impl Sampler for MemorySampler {
    fn group(&self) -> Group {
        Group::Memory
    }

    fn sample(&mut self) -> Result<Metrics, SampleError> {
        self.source.read().map(derive).map(Metrics::Memory)
    }
}

/// Fills in what follows from `total`, `free`, `available` and `limit`.
fn derive(memory: Memory) -> Memory {
    let mut memory = memory.derive();
    // A cgroup without a limit shows a number beyond any memory.
    memory.limit = memory.limit.filter(|&limit| limit < memory.total);
    memory.limit_used = memory.limit_used.filter(|_| memory.limit.is_some());
    memory
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Swap;

    #[test]
    fn used_is_what_is_not_available() {
        let memory = derive(Memory { total: 100, free: 10, available: 75, ..Memory::default() });
        assert_eq!((memory.used, memory.utilization), (25, Some(0.25)));
    }

    #[test]
    fn without_swap_there_is_no_utilization_of_it() {
        let swap = |total, free| {
            let swap = Swap { total, free, ..Swap::default() };
            derive(Memory { total: 1, swap, ..Memory::default() }).swap
        };
        assert_eq!((swap(0, 0).used, swap(0, 0).utilization), (0, None));
        assert_eq!((swap(8, 6).used, swap(8, 6).utilization), (2, Some(0.25)));
    }

    #[test]
    fn limit_beyond_the_memory_is_none() {
        let limited =
            |limit| derive(Memory { total: 1 << 30, limit: Some(limit), ..Memory::default() });
        assert_eq!(limited(0x7fff_ffff_ffff_f000).limit, None);
        assert_eq!(limited(1 << 29).limit, Some(1 << 29));
    }

    #[test]
    fn this_machine_has_memory() {
        let Metrics::Memory(memory) = MemorySampler::new(&HostRoot::default()).sample().unwrap()
        else {
            panic!()
        };
        assert!(memory.total > 0);
        assert_eq!(memory.used + memory.available, memory.total);
    }
}
