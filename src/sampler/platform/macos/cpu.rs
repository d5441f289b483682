//! Processor times from `host_processor_info(PROCESSOR_CPU_LOAD_INFO)`.

use std::{io, ptr};

use super::{super::darwin::processors, sysctl};
use crate::{
    sample::{LoadAverage, Pressure},
    sampler::{
        SampleError,
        cpu::{CpuReading, Load, Scheduling},
        rate::narrow,
        root::HostRoot,
    },
};

const WHAT: &str = "host_processor_info";

/// Reads Mach's processor times.
pub(in crate::sampler) struct CpuSource {
    host: libc::mach_port_t,
}

impl CpuSource {
    /// Takes the host's port once: each taking counts as one more reference.
    #[expect(deprecated, reason = "libc points to the crate mach2, which has the same call")]
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        // SAFETY: takes nothing and gives a port name.
        Self { host: unsafe { libc::mach_host_self() } }
    }

    /// Times since boot. The kernel counts in 32 bits, so they wrap after 497 days of one mode.
    pub(in crate::sampler) fn read(&mut self) -> Result<CpuReading, SampleError> {
        let ticks = self.ticks().map_err(|error| SampleError::read(WHAT, error))?;
        let cpus = processors::parse(&ticks).ok_or(SampleError::Malformed { what: WHAT.into() })?;
        let boot_time = sysctl::by_name(c"kern.boottime").ok();
        let boot_time = boot_time.and_then(|timeval| processors::boot_time(&timeval));
        let scheduling = Scheduling { boot_time, ..Scheduling::default() };
        Ok(CpuReading { total: processors::total(&cpus), cpus, scheduling })
    }

    /// `getloadavg`, through sysinfo.
    pub(in crate::sampler) fn load(&mut self) -> Load {
        let average = sysinfo::System::load_average().ok().map(|load| LoadAverage {
            one: narrow(load.one),
            five: narrow(load.five),
            fifteen: narrow(load.fifteen),
        });
        Load { average, threads: None }
    }

    /// This system doesn't count that.
    pub(in crate::sampler) fn pressure(&mut self) -> Option<Pressure> {
        None
    }

    /// This system has no containers of its own.
    pub(in crate::sampler) fn limit(&mut self) -> Option<f32> {
        None
    }

    #[expect(deprecated, reason = "libc points to the crate mach2, which has the same call")]
    fn ticks(&self) -> io::Result<Vec<i32>> {
        let (mut cpus, mut info, mut length) = (0, ptr::null_mut(), 0);
        let flavor = libc::PROCESSOR_CPU_LOAD_INFO;
        // SAFETY: the three results are written only on success.
        let result = unsafe {
            libc::host_processor_info(
                self.host,
                flavor,
                &raw mut cpus,
                &raw mut info,
                &raw mut length,
            )
        };
        if result != libc::KERN_SUCCESS || info.is_null() {
            return Err(io::Error::other(format!("Mach says {result}")));
        }
        let length = usize::try_from(length).unwrap_or_default();
        // SAFETY: the kernel has mapped `length` integers at `info` for us; they are copied, then
        // the mapping is given back, once.
        unsafe {
            let ticks = std::slice::from_raw_parts(info, length).to_vec();
            libc::vm_deallocate(libc::mach_task_self(), info.addr(), length * size_of::<i32>());
            Ok(ticks)
        }
    }
}
