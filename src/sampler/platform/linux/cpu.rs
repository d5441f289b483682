//! Processor times from `/proc/stat`, the load average from `/proc/loadavg`.

use super::{cgroup::CpuLimit, pressure::PressureFile, proc_file::ProcFile};
use crate::{
    sample::{CpuTimes, LoadAverage, Pressure, Processes, Ticks},
    sampler::{
        SampleError,
        cpu::{CpuReading, Load, Scheduling},
        root::HostRoot,
    },
};

/// Reads `/proc/stat`, whose unit (USER_HZ) is 1/100 s on every architecture that Rust knows.
pub(in crate::sampler) struct CpuSource {
    stat: ProcFile,
    loadavg: ProcFile,
    pressure: PressureFile,
    limit: CpuLimit,
}

impl CpuSource {
    /// Looks which kind of cgroup there is.
    pub(in crate::sampler) fn new(root: &HostRoot) -> Self {
        Self {
            stat: ProcFile::at_once(root.proc("stat")),
            loadavg: ProcFile::at_once(root.proc("loadavg")),
            pressure: PressureFile::new(root.proc("pressure/cpu")),
            limit: CpuLimit::new(root),
        }
    }

    /// Times since boot; offline processors aren't listed but part of the total.
    pub(in crate::sampler) fn read(&mut self) -> Result<CpuReading, SampleError> {
        let parsed = parse(&self.stat.read()?);
        parsed.ok_or_else(|| self.stat.malformed())
    }

    /// `/proc/loadavg`. sysinfo has it too, but opens the file each time, at four times the cost.
    pub(in crate::sampler) fn load(&mut self) -> Load {
        self.loadavg.read().ok().map_or_else(Load::default, |text| parse_load(&text))
    }

    /// `/proc/pressure/cpu`. That all tasks of a machine wait for a processor can't be: the kernel
    /// shows 0 for it.
    pub(in crate::sampler) fn pressure(&mut self) -> Option<Pressure> {
        self.pressure.read().map(|pressure| Pressure { stalled: None, ..pressure })
    }

    /// The container's quota, in processors.
    pub(in crate::sampler) fn limit(&mut self) -> Option<f32> {
        self.limit.read()
    }
}

/// `1m 5m 15m runnable/threads last_pid`.
pub(super) fn parse_load(text: &str) -> Load {
    let mut words = text.split_ascii_whitespace();
    let mut average = || words.next()?.parse().ok();
    let averages = [average(), average(), average()];
    let threads = words.next().and_then(|tasks| tasks.split_once('/')?.1.parse().ok());
    let [Some(one), Some(five), Some(fifteen)] = averages else { return Load::default() };
    Load { average: Some(LoadAverage { one, five, fifteen }), threads }
}

pub(super) fn parse(text: &str) -> Option<CpuReading> {
    let mut lines = text.lines();
    let total = times(lines.next()?.strip_prefix("cpu ")?)?;
    let mut reading = CpuReading { total, cpus: Vec::new(), scheduling: Scheduling::default() };
    for line in lines {
        let (name, columns) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(id) = name.strip_prefix("cpu") {
            reading.cpus.push((id.parse().ok()?, times(columns)?));
        } else {
            scheduling(name, columns, &mut reading.scheduling);
        }
    }
    Some(reading)
}

/// Of interrupts, the first number is the sum of all that follow.
fn scheduling(name: &str, columns: &str, to: &mut Scheduling) {
    let Processes { running, blocked, created, .. } = &mut to.processes;
    let figure = match name {
        "intr" => &mut to.interrupts,
        "ctxt" => &mut to.context_switches,
        "btime" => &mut to.boot_time,
        "processes" => created,
        "procs_running" => running,
        "procs_blocked" => blocked,
        _ => return,
    };
    *figure = columns.split(' ').next().and_then(|number| number.parse().ok());
}

/// `user nice system idle [iowait irq softirq steal [guest guest_nice]]`; kernels before 2.6.11
/// have fewer columns. User and nice include the guests' time.
fn times(columns: &str) -> Option<CpuTimes> {
    let mut columns = columns.split_ascii_whitespace().map(|column| column.parse().ok().map(Ticks));
    let mut required = || columns.next().flatten();
    let (user, nice, system, idle) = (required()?, required(), required()?, required()?);
    Some(CpuTimes {
        user,
        nice,
        system,
        idle,
        iowait: required(),
        interrupt: required(),
        softirq: required(),
        steal: required(),
        guest: required(),
        guest_nice: required(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processors_of_a_guest() {
        let text = "cpu  13455 1 4855 180964 443 2 30 16 5 0\n\
                    cpu0 6474 0 2135 91104 105 0 7 6 0 0\n\
                    cpu1 6980 0 2720 89859 338 0 23 9 5 0\n\
                    intr 99 0 0\nctxt 262397\nbtime 1795383774\n";
        let reading = parse(text).unwrap();
        assert_eq!(reading.total.user, Ticks(13455));
        assert_eq!(reading.total.nice, Some(Ticks(1)));
        assert_eq!(reading.total.interrupt, Some(Ticks(2)));
        assert_eq!(reading.total.steal, Some(Ticks(16)));
        assert_eq!(reading.cpus.iter().map(|cpu| cpu.0).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(reading.cpus[1].1.softirq, Some(Ticks(23)));
        assert_eq!(reading.cpus[1].1.guest, Some(Ticks(5)));
        assert_eq!(reading.scheduling.interrupts, Some(99));
        assert_eq!(reading.scheduling.context_switches, Some(262_397));
        assert_eq!(reading.scheduling.boot_time, Some(1_795_383_774));
        assert_eq!(reading.scheduling.processes.created, None);
    }

    #[test]
    fn offline_processors_leave_gaps() {
        let text = "cpu  4 0 4 4 0 0 0 0 0 0\ncpu0 1 0 1 1 0 0 0 0 0 0\ncpu5 3 0 3 3 0 0 0 0 0 0\n";
        let reading = parse(text).unwrap();
        assert_eq!(reading.cpus.iter().map(|cpu| cpu.0).collect::<Vec<_>>(), [0, 5]);
    }

    #[test]
    fn hundred_and_twenty_eight_processors() {
        let mut text = String::from("cpu  128 0 128 128 0 0 0 0 0 0\n");
        text.extend((0..128).map(|id| format!("cpu{id} 1 0 1 1 0 0 0 0 0 0\n")));
        text += "intr 1\n";
        assert_eq!(parse(&text).unwrap().cpus.len(), 128);
    }

    #[test]
    fn old_kernel_lacks_columns_instead_of_showing_zeros() {
        let reading = parse("cpu  10 20 30 40\ncpu0 10 20 30 40\npage 1 2\n").unwrap();
        assert_eq!(reading.total.idle, Ticks(40));
        assert_eq!((reading.total.iowait, reading.total.steal), (None, None));
    }

    #[test]
    fn load_average_over_three_times() {
        let load = LoadAverage { one: 0.02, five: 0.21, fifteen: 12.5 };
        let found = parse_load("0.02 0.21 12.50 2/84 6872\n");
        assert_eq!((found.average, found.threads), (Some(load), Some(84)));
        assert_eq!(parse_load("0.02 0.21\n").average, None);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "intr 1\n", "cpu  1 2\n", "cpu  a b c d\n", "cpu  1 2 3 4\ncpux 1 2 3 4\n"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
