//! What a process takes, from `/proc/PID/stat`. It is always this system's own: the agent looks at itself.

use rustix::{
    param::{clock_ticks_per_second, page_size},
    time::{ClockId, clock_gettime},
};

use super::proc_file::ProcFile;
use crate::{
    sample::{Process, Ticks},
    sampler::SampleError,
};

/// Reads one process.
pub(in crate::sampler) struct ProcessSource {
    stat: ProcFile,
}

/// The kernel's units.
#[derive(Debug, Clone, Copy)]
struct Units {
    ticks_per_second: u64,
    page: u64,
    /// Milliseconds since boot.
    since_boot: u64,
}

impl ProcessSource {
    /// Reads nothing yet.
    pub(in crate::sampler) fn new(pid: u32) -> Self {
        Self { stat: ProcFile::at_once(format!("/proc/{pid}/stat")) }
    }

    /// What the process takes now.
    pub(in crate::sampler) fn read(&mut self) -> Result<Process, SampleError> {
        let since_boot = clock_gettime(ClockId::Boottime);
        let milliseconds = since_boot.tv_sec.cast_unsigned() * 1000
            + since_boot.tv_nsec.cast_unsigned() / 1_000_000;
        let units = Units {
            ticks_per_second: clock_ticks_per_second().max(1),
            page: page_size() as u64,
            since_boot: milliseconds,
        };
        let parsed = parse(&self.stat.read()?, units);
        parsed.ok_or_else(|| self.stat.malformed())
    }
}

/// The name in brackets may hold blanks and brackets; what follows the last one doesn't.
fn parse(text: &str, units: Units) -> Option<Process> {
    let (_, behind) = text.rsplit_once(')')?;
    let fields: Vec<_> = behind.split_ascii_whitespace().collect();
    // Behind the name comes the third field of proc(5).
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let time = |ticks: u64| ticks.saturating_mul(1000) / units.ticks_per_second;
    let started = time(field(22)?);
    Some(Process {
        uptime: Some(Ticks(units.since_boot.saturating_sub(started))),
        cpu_time: Some(Ticks(time(field(14)?.saturating_add(field(15)?)))),
        cpu_utilization: None,
        memory: Some(field(24)?.saturating_mul(units.page)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: Units = Units { ticks_per_second: 100, page: 4096, since_boot: 100_000 };

    #[test]
    fn fields_are_found_behind_any_name() {
        let behind = "S 1 2 2 0 -1 4194560 10 0 0 0 250 50 0 0 20 0 9 0 9000 123456 700 1844";
        for name in ["collector", "a) b", "x (y) 1 2"] {
            let process = parse(&format!("4711 ({name}) {behind}"), UNITS).unwrap();
            assert_eq!(process.cpu_time, Some(Ticks(3_000)));
            assert_eq!(process.uptime, Some(Ticks(10_000)));
            assert_eq!(process.memory, Some(700 * 4096));
        }
    }

    #[test]
    fn what_is_cut_short_is_no_process() {
        for text in ["", "1 (x", "1 (x) S 1 2", "1 (x) S a b c d e f g h i j k l m n o p q r s t u"]
        {
            assert_eq!(parse(text, UNITS), None, "{text}");
        }
    }
}
