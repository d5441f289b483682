//! What a process takes, through sysinfo: `GetProcessTimes` and `GetProcessMemoryInfo` on Windows,
//! `proc_pidinfo` on macOS.

use std::io;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::{
    sample::{Process, Ticks},
    sampler::SampleError,
};

/// Reads one process.
pub(in crate::sampler) struct ProcessSource {
    pid: Pid,
    system: Option<System>,
}

impl ProcessSource {
    /// Reads nothing yet.
    pub(in crate::sampler) fn new(pid: u32) -> Self {
        Self { pid: Pid::from_u32(pid), system: None }
    }

    /// What the process takes now.
    pub(in crate::sampler) fn read(&mut self) -> Result<Process, SampleError> {
        let failed = |text: String| SampleError::read("the process", io::Error::other(text));
        let mut system = match self.system.take() {
            Some(system) => system,
            None => System::new().map_err(|error| failed(error.to_string()))?,
        };
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.pid]), true, what);
        let found = system.process(self.pid).map(|process| Process {
            uptime: Some(Ticks(process.run_time().saturating_mul(1000))),
            cpu_time: Some(Ticks(process.accumulated_cpu_time())),
            cpu_utilization: None,
            memory: Some(process.memory()),
        });
        self.system = Some(system);
        found.ok_or_else(|| failed("there is no such process".into()))
    }
}
