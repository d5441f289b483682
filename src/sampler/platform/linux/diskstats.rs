//! Parses `/proc/diskstats` (Documentation/admin-guide/iostats.rst of the kernel).

use crate::sample::{Device, Ticks};

/// In this file, whatever the device's own sectors are.
const SECTOR_BYTES: u64 = 512;
/// Of so many columns something is known.
const MOST_NUMBERS: usize = 17;

/// The devices in the file's order; `None` when a line isn't one.
pub(super) fn parse(text: &str) -> Option<Vec<Device>> {
    text.lines().map(device).collect()
}

fn device(line: &str) -> Option<Device> {
    let mut words = line.split_ascii_whitespace().skip(2);
    let device = words.next()?.to_owned();
    let (mut numbers, mut count) = ([0; MOST_NUMBERS], 0);
    for word in words.take(MOST_NUMBERS) {
        numbers[count] = word.parse().ok()?;
        count += 1;
    }
    match numbers[..count] {
        // Partitions before 2.6.25: reads, sectors, writes, sectors.
        [reads, read, writes, written] => Some(counters(device, (reads, read), (writes, written))),
        [
            reads,
            reads_merged,
            read,
            read_ms,
            writes,
            writes_merged,
            written,
            write_ms,
            in_flight,
            io_ms,
            weighted_ms,
            ref later @ ..,
        ] => Some(with_later_columns(
            Device {
                reads_merged: Some(reads_merged),
                writes_merged: Some(writes_merged),
                read_time: Some(Ticks(read_ms)),
                write_time: Some(Ticks(write_ms)),
                in_flight: Some(in_flight),
                io_time: Some(Ticks(io_ms)),
                weighted_io_time: Some(Ticks(weighted_ms)),
                ..counters(device, (reads, read), (writes, written))
            },
            later,
        )),
        _ => None,
    }
}

/// Discards came with 4.18, flushes with 5.5.
fn with_later_columns(mut device: Device, columns: &[u64]) -> Device {
    if let [discards, merged, sectors, ms, flushes @ ..] = columns {
        device.discards = Some(*discards);
        device.discards_merged = Some(*merged);
        device.discard_bytes = Some(sectors.saturating_mul(SECTOR_BYTES));
        device.discard_time = Some(Ticks(*ms));
        if let [flushes, ms, ..] = flushes {
            device.flushes = Some(*flushes);
            device.flush_time = Some(Ticks(*ms));
        }
    }
    device
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
        assert_eq!(devices[0].weighted_io_time, Some(Ticks(36611)));
        assert_eq!((devices[0].discards, devices[0].discards_merged), (Some(3943), Some(45)));
        assert_eq!(devices[0].discard_bytes, Some(148_824 * 512));
        assert_eq!((devices[0].flushes, devices[0].flush_time), (Some(42), Some(Ticks(1))));
        assert_eq!((devices[1].discards, devices[1].in_flight), (None, Some(0)));
        assert_eq!((devices[2].discards, devices[2].flushes), (Some(0), None));
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
