//! Parses `/proc/diskstats` (Documentation/admin-guide/iostats.rst of the kernel).

use crate::sample::{Device, Ticks};

/// In this file, whatever the device's own sectors are.
const SECTOR_BYTES: u64 = 512;

/// The devices in the file's order; `None` when a line isn't one.
pub(super) fn parse(text: &str) -> Option<Vec<Device>> {
    text.lines().map(device).collect()
}

fn device(line: &str) -> Option<Device> {
    let mut words = line.split_ascii_whitespace().skip(2);
    let device = words.next()?.to_owned();
    let mut numbers = [0; 10];
    let mut count = 0;
    for (number, word) in numbers.iter_mut().zip(words) {
        *number = word.parse().ok()?;
        count += 1;
    }
    match (count, numbers) {
        // Partitions before 2.6.25: reads, sectors, writes, sectors.
        (4, [reads, read, writes, written, ..]) => {
            Some(counters(device, (reads, read), (writes, written)))
        }
        (10, [reads, _, read, read_ms, writes, _, written, write_ms, _, io_ms]) => Some(Device {
            read_time: Some(Ticks(read_ms)),
            write_time: Some(Ticks(write_ms)),
            io_time: Some(Ticks(io_ms)),
            ..counters(device, (reads, read), (writes, written))
        }),
        _ => None,
    }
}

/// Operations and sectors of both directions.
fn counters(device: String, read: (u64, u64), written: (u64, u64)) -> Device {
    Device {
        device,
        reads: Some(read.0),
        read_bytes: Some(read.1.saturating_mul(SECTOR_BYTES)),
        writes: Some(written.0),
        write_bytes: Some(written.1.saturating_mul(SECTOR_BYTES)),
        ..Device::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NVME_AND_DM: &str = "\
 259       0 nvme0n1 17646 5811 4156306 15219 4310 35071 7967856 21046 0 7652 36611 3943 45 148824 343 42 1
 259       1 nvme0n1p1 100 0 800 12 0 0 0 0 0 11 12
 253       0 dm-0 7 0 56 3 9 0 72 4 0 5 7 0 0 0 0
";

    #[test]
    fn nvme_partitions_and_device_mapper() {
        let devices = parse(NVME_AND_DM).unwrap();
        let names: Vec<_> = devices.iter().map(|device| &*device.device).collect();
        assert_eq!(names, ["nvme0n1", "nvme0n1p1", "dm-0"]);
        assert_eq!(devices[0].reads, Some(17646));
        assert_eq!(devices[0].read_bytes, Some(4_156_306 * 512));
        assert_eq!(devices[0].write_bytes, Some(7_967_856 * 512));
        assert_eq!(devices[0].read_time, Some(Ticks(15219)));
        assert_eq!(devices[0].write_time, Some(Ticks(21046)));
        assert_eq!(devices[0].io_time, Some(Ticks(7652)));
        assert_eq!(devices[2].writes, Some(9));
        assert_eq!(devices[2].reads_per_second, None);
    }

    #[test]
    fn old_kernel_tells_less_of_partitions() {
        let devices = parse("   3    1 hda1 35486 38030 38030 38030\n").unwrap();
        assert_eq!((devices[0].reads, devices[0].writes), (Some(35486), Some(38030)));
        assert_eq!(devices[0].io_time, None);
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(parse("8 0 sda 1 2 3\n"), None);
        assert_eq!(parse("8 0 sda a b c d\n"), None);
        assert_eq!(parse("").unwrap(), []);
    }
}
