//! Physical drives: `DISK_PERFORMANCE`, whose two counts of operations have 32 bits and wrap, and
//! the bus out of `STORAGE_DEVICE_DESCRIPTOR`.

use std::time::Duration;

use super::super::bytes::{count, word};
use crate::sample::{Device, DeviceKind, IoTime, Ticks, share};

/// What `DISK_PERFORMANCE` takes.
pub(in crate::sampler) const PERFORMANCE_BYTES: usize = 88;
/// Where the bus lies in `STORAGE_DEVICE_DESCRIPTOR`.
pub(in crate::sampler) const BUS: usize = 28;
/// The kernel counts in 100 ns.
const PER_MILLISECOND: u64 = 10_000;
/// `BusTypeFileBackedVirtual` and `BusTypeSpaces`: what they carry is carried once more by others.
const VIRTUAL: [u32; 2] = [15, 16];

/// The figures of the drive called `name`, and its idle time; `None` when the structure is too short.
pub(in crate::sampler) fn parse(name: String, structure: &[u8]) -> Option<(Device, Duration)> {
    let bytes = |offset| count(structure, offset);
    let time = |offset| -> Option<IoTime> { Some(Ticks(bytes(offset)? / PER_MILLISECOND)) };
    let number = |offset| Some(u64::from(word(structure, offset)?));
    let device = Device {
        device: name,
        read_bytes: Some(bytes(0)?),
        write_bytes: Some(bytes(8)?),
        read_time: Some(time(16)?),
        write_time: Some(time(24)?),
        reads: Some(number(40)?),
        writes: Some(number(44)?),
        in_flight: Some(number(48)?),
        ..Device::default()
    };
    let idle = bytes(32)?;
    Some((device, Duration::from_micros(idle / 10)))
}

/// Whether the drive is made of others; `None` when the structure is too short.
pub(in crate::sampler) fn kind(descriptor: &[u8]) -> Option<DeviceKind> {
    let bus = word(descriptor, BUS)?;
    Some(if VIRTUAL.contains(&bus) { DeviceKind::Virtual } else { DeviceKind::Disk })
}

/// The busy share of `elapsed`, in which the drive's idle time went from `before` to `now`. `None`
/// if it fell: the drive is another one.
pub(in crate::sampler) fn busy(before: Duration, now: Duration, elapsed: Duration) -> Option<f32> {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let idle = now.checked_sub(before)?;
    share(micros(elapsed.saturating_sub(idle)), micros(elapsed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::platform::bytes::structure;

    fn performance() -> Vec<u8> {
        let words = [(40, 7), (44, u32::MAX), (48, 2)];
        let longs = [(0, 512), (8, 1024), (16, 30_000), (24, 59_999), (32, 10_000_000)];
        structure(PERFORMANCE_BYTES, &words, &longs)
    }

    #[test]
    fn counters_of_a_drive() {
        let (device, idle) = parse("PhysicalDrive0".into(), &performance()).unwrap();
        let expected = Device {
            device: "PhysicalDrive0".into(),
            reads: Some(7),
            writes: Some(u32::MAX.into()),
            read_bytes: Some(512),
            write_bytes: Some(1024),
            read_time: Some(Ticks(3)),
            write_time: Some(Ticks(5)),
            in_flight: Some(2),
            ..Device::default()
        };
        assert_eq!((device, idle), (expected, Duration::from_secs(1)));
    }

    #[test]
    fn cut_structure_is_no_drive() {
        for length in 0..52 {
            assert_eq!(parse(String::new(), &performance()[..length]), None, "{length}");
        }
        assert_eq!(kind(&[0; 31]), None);
    }

    #[test]
    fn drives_made_of_others_are_virtual() {
        let on = |bus| kind(&structure(40, &[(BUS, bus)], &[])).unwrap();
        assert_eq!(
            (on(17), on(11), on(10)),
            (DeviceKind::Disk, DeviceKind::Disk, DeviceKind::Disk)
        );
        assert_eq!((on(15), on(16)), (DeviceKind::Virtual, DeviceKind::Virtual));
    }

    #[test]
    fn what_is_not_idle_is_busy() {
        let seconds = Duration::from_secs;
        assert_eq!(busy(seconds(10), seconds(13), seconds(4)), Some(0.25));
        assert_eq!(busy(seconds(10), seconds(10), seconds(4)), Some(1.0));
        assert_eq!(busy(seconds(10), seconds(15), seconds(4)), Some(0.0));
        assert_eq!(busy(seconds(10), seconds(3), seconds(4)), None);
        assert_eq!(busy(seconds(10), seconds(10), seconds(0)), None);
    }
}
