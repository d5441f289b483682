//! Figures of memory and swap.

use serde::Serialize;

use super::{Pressure, share};
use crate::sample::pack::{Codec, Layout, Result};

/// Figures of [`Group::Memory`](crate::sample::Group::Memory), in bytes.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Memory {
    /// Of the host, also inside a container.
    pub total: u64,
    /// `total` without `available`.
    pub used: u64,
    /// Not used for anything.
    pub free: u64,
    /// What programs could get without swapping.
    pub available: u64,
    /// Raw disk blocks, as `/proc/meminfo` has it.
    pub buffers: Option<u64>,
    /// Page cache, as `/proc/meminfo` has it.
    pub cached: Option<u64>,
    /// `used` as a share of `total`, 0 to 1.
    pub utilization: Option<f32>,
    /// The container's own limit; `None` where it has none.
    pub limit: Option<u64>,
    /// What the container with that limit takes, its page cache included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_used: Option<u64>,
    /// Used lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<u64>,
    /// Not used lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inactive: Option<u64>,
    /// Shared memory and tmpfs; part of `cached`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<u64>,
    /// Waits to be written to a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dirty: Option<u64>,
    /// Being written to a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writeback: Option<u64>,
    /// Promised to programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committed: Option<u64>,
    /// The most that may be promised where overcommitting is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_limit: Option<u64>,
    /// The kernel's own objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slab: Option<Slab>,
    /// Pages of the large size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub huge_pages: Option<HugePages>,
    /// Pages that weren't there when a program touched them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_faults: Option<Faults>,
    /// Traffic between memory and disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paging: Option<Paging>,
    /// Processes killed for want of memory since boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
    /// Time in which tasks waited for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
    /// Swap space.
    pub swap: Swap,
}

/// The kernel's own objects, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Slab {
    /// Given back when memory is short.
    pub reclaimable: Option<u64>,
    /// Never given back.
    pub unreclaimable: Option<u64>,
}

/// Pages of the large size, counted; their memory is part of `used`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct HugePages {
    /// Set aside.
    pub total: u64,
    /// Of them, not in use.
    pub free: u64,
    /// Of the free ones, promised.
    pub reserved: Option<u64>,
    /// Beyond what was configured.
    pub surplus: Option<u64>,
    /// Bytes of one.
    pub page_size: Option<u64>,
}

/// Page faults since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Faults {
    /// All of them.
    pub total: Option<u64>,
    /// Those that had to wait for a disk.
    pub major: Option<u64>,
}

/// Bytes moved between memory and disks since boot, files and swap together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Paging {
    /// Read.
    #[serde(rename = "in")]
    pub paged_in: Option<u64>,
    /// Written.
    #[serde(rename = "out")]
    pub paged_out: Option<u64>,
}

/// Swap space, in bytes.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Swap {
    /// All of it; 0 on a machine without swap.
    pub total: u64,
    /// In use.
    pub used: u64,
    /// Not in use.
    pub free: u64,
    /// `used` as a share of `total`, 0 to 1; `None` without swap.
    pub utilization: Option<f32>,
    /// In swap and in memory at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
    /// Read from swap since boot.
    #[serde(rename = "in")]
    pub swapped_in: Option<u64>,
    /// Written to swap since boot.
    #[serde(rename = "out")]
    pub swapped_out: Option<u64>,
}

impl Memory {
    /// Fills in what follows from other figures: what is used and the shares.
    #[must_use]
    pub fn derive(mut self) -> Self {
        self.used = self.total.saturating_sub(self.available);
        self.utilization = share(self.used, self.total);
        let swap = &mut self.swap;
        swap.used = swap.total.saturating_sub(swap.free);
        swap.utilization = share(swap.used, swap.total);
        self
    }
}

impl Layout for Memory {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        for bytes in [&mut self.total, &mut self.free, &mut self.available] {
            codec.bytes(bytes)?;
        }
        codec.derived(&mut self.used, self.total.saturating_sub(self.available), C::bytes)?;
        codec.derived(&mut self.utilization, share(self.used, self.total), C::float)?;
        let Self { buffers, cached, limit, limit_used, active, inactive, shared, .. } = self;
        for bytes in [buffers, cached, limit, limit_used, active, inactive, shared] {
            codec.size(bytes)?;
        }
        let Self { dirty, writeback, committed, commit_limit, .. } = self;
        for bytes in [dirty, writeback, committed, commit_limit] {
            codec.size(bytes)?;
        }
        codec.optional(&mut self.slab, |codec, slab| slab.layout(codec))?;
        codec.optional(&mut self.huge_pages, |codec, pages| pages.layout(codec))?;
        codec.optional(&mut self.page_faults, |codec, faults| faults.layout(codec))?;
        codec.optional(&mut self.paging, |codec, paging| paging.layout(codec))?;
        codec.count(&mut self.oom_kills)?;
        codec.optional(&mut self.pressure, |codec, pressure| pressure.layout(codec))?;
        self.swap.layout(codec)
    }
}

impl Layout for Slab {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.size(&mut self.reclaimable)?;
        codec.size(&mut self.unreclaimable)
    }
}

impl Layout for HugePages {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.number(&mut self.total)?;
        codec.number(&mut self.free)?;
        codec.count(&mut self.reserved)?;
        codec.count(&mut self.surplus)?;
        codec.size(&mut self.page_size)
    }
}

impl Layout for Faults {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.count(&mut self.total)?;
        codec.count(&mut self.major)
    }
}

impl Layout for Paging {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.size(&mut self.paged_in)?;
        codec.size(&mut self.paged_out)
    }
}

impl Layout for Swap {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.bytes(&mut self.total)?;
        codec.bytes(&mut self.free)?;
        codec.derived(&mut self.used, self.total.saturating_sub(self.free), C::bytes)?;
        codec.derived(&mut self.utilization, share(self.used, self.total), C::float)?;
        codec.size(&mut self.cached)?;
        codec.size(&mut self.swapped_in)?;
        codec.size(&mut self.swapped_out)
    }
}
