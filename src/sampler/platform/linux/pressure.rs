//! Pressure stall information from `/proc/pressure` (Documentation/accounting/psi.rst of the kernel).

use std::path::PathBuf;

use super::proc_file::ProcFile;
use crate::sample::{Pressure, Ticks};

/// One file of `/proc/pressure`.
#[derive(Debug)]
pub(super) struct PressureFile(ProcFile);

impl PressureFile {
    /// Touches nothing yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self(ProcFile::at_once(path))
    }

    /// `None` where the kernel doesn't count this.
    pub(super) fn read(&mut self) -> Option<Pressure> {
        parse(&self.0.read().ok()?)
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=microseconds`, then `full …`.
pub(super) fn parse(text: &str) -> Option<Pressure> {
    let total = |kind| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        line.rsplit_once("total=")?.1.trim_end().parse().ok().map(Ticks)
    };
    let pressure = Pressure { waiting: total("some "), stalled: total("full ") };
    pressure.waiting.is_some().then_some(pressure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_microseconds() {
        let text = "some avg10=0.64 avg60=0.60 avg300=0.54 total=12389878\n\
            full avg10=0.42 avg60=0.52 avg300=0.36 total=8248489\n";
        let pressure = parse(text).unwrap();
        assert_eq!(pressure.waiting, Some(Ticks(12_389_878)));
        assert_eq!(pressure.stalled, Some(Ticks(8_248_489)));
    }

    #[test]
    fn old_kernel_has_no_full_for_processors() {
        let pressure = parse("some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n").unwrap();
        assert_eq!((pressure.waiting, pressure.stalled), (Some(Ticks(7)), None));
        assert_eq!(parse(""), None);
        assert_eq!(parse("some total=x\n"), None);
    }
}
