//! Block devices, out of the `Statistics` of an `IOBlockStorageDriver`; times in nanoseconds.

use crate::sample::{Device, DeviceKind, IoTime, Ticks};

const PER_MILLISECOND: u64 = 1_000_000;

/// The figures of the disk called `name`, which lies at `location`, if its driver tells that.
pub(in crate::sampler) fn device(
    name: String,
    location: Option<&str>,
    count: impl Fn(&'static str) -> Option<u64>,
) -> Device {
    let time = |name| -> Option<IoTime> { count(name).map(|spent| Ticks(spent / PER_MILLISECOND)) };
    Device {
        device: name,
        kind: Some(kind(location)),
        reads: count("Operations (Read)"),
        writes: count("Operations (Write)"),
        read_bytes: count("Bytes (Read)"),
        write_bytes: count("Bytes (Write)"),
        read_time: time("Total Time (Read)"),
        write_time: time("Total Time (Write)"),
        ..Device::default()
    }
}

/// An image of a disk is a file of another one, or memory: its traffic is that one's once more.
fn kind(location: Option<&str>) -> DeviceKind {
    match location {
        Some("File" | "RAM") => DeviceKind::Virtual,
        _ => DeviceKind::Disk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_a_disk_and_what_they_lack() {
        let count = |name| match name {
            "Operations (Read)" => Some(5),
            "Bytes (Write)" => Some(4096),
            "Total Time (Read)" => Some(2_999_999),
            _ => None,
        };
        let expected = Device {
            device: "disk0".into(),
            kind: Some(DeviceKind::Disk),
            reads: Some(5),
            write_bytes: Some(4096),
            read_time: Some(Ticks(2)),
            ..Device::default()
        };
        assert_eq!(device("disk0".into(), Some("Internal"), count), expected);
    }

    #[test]
    fn image_of_a_disk_is_virtual() {
        let kind = |location| device(String::new(), location, |_| None).kind;
        assert_eq!(
            (kind(Some("File")), kind(Some("RAM"))),
            (Some(DeviceKind::Virtual), Some(DeviceKind::Virtual))
        );
        assert_eq!(
            (kind(Some("External")), kind(None)),
            (Some(DeviceKind::Disk), Some(DeviceKind::Disk))
        );
    }
}
