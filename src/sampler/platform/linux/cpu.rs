//! Processor times from `/proc/stat`, the load average from `/proc/loadavg`.

use super::proc_file::ProcFile;
use crate::{
    sample::{CpuTimes, LoadAverage, Ticks},
    sampler::{SampleError, cpu::CpuReading},
};

/// Reads `/proc/stat`, whose unit (USER_HZ) is 1/100 s on every architecture that Rust knows.
pub(in crate::sampler) struct CpuSource {
    stat: ProcFile,
    loadavg: ProcFile,
}

impl CpuSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new() -> Self {
        Self { stat: ProcFile::new("/proc/stat"), loadavg: ProcFile::new("/proc/loadavg") }
    }

    /// Times since boot; offline processors aren't listed but part of the total.
    pub(in crate::sampler) fn read(&mut self) -> Result<CpuReading, SampleError> {
        let parsed = parse(&self.stat.read()?);
        parsed.ok_or_else(|| self.stat.malformed())
    }

    /// `/proc/loadavg`. sysinfo has it too, but opens the file each time, at four times the cost.
    pub(in crate::sampler) fn load_average(&mut self) -> Option<LoadAverage> {
        parse_load(&self.loadavg.read().ok()?)
    }
}

fn parse_load(text: &str) -> Option<LoadAverage> {
    let mut numbers = text.split_ascii_whitespace().map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten();
    Some(LoadAverage { one: next()?, five: next()?, fifteen: next()? })
}

fn parse(text: &str) -> Option<CpuReading> {
    let mut lines = text.lines().map_while(|line| line.strip_prefix("cpu"));
    let total = times(lines.next()?.strip_prefix(' ')?)?;
    let cpus = lines.map(|line| {
        let (id, columns) = line.split_once(' ')?;
        Some((id.parse().ok()?, times(columns)?))
    });
    Some(CpuReading { total, cpus: cpus.collect::<Option<_>>()? })
}

/// `user nice system idle [iowait irq softirq steal [guest guest_nice]]`; kernels before 2.6.11
/// have fewer columns. Guest time is left alone: user and nice include it.
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
        assert_eq!(parse_load("0.02 0.21 12.50 2/84 6872\n"), Some(load));
        assert_eq!(parse_load("0.02 0.21\n"), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "intr 1\n", "cpu  1 2\n", "cpu  a b c d\n", "cpu  1 2 3 4\ncpux 1 2 3 4\n"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
