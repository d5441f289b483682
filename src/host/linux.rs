//! Linux: `/etc/machine-id`, the kernel's boot id, CLOCK_BOOTTIME.

use std::{fs, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

/// systemd's machine id, or that of D-Bus where there is no systemd.
pub(super) fn machine_id() -> Option<String> {
    let id = |path| fs::read_to_string(path).ok().filter(|id| is_machine_id(id));
    id("/etc/machine-id").or_else(|| id("/var/lib/dbus/machine-id"))
}

/// An image that was made for copying has an empty file or the word `uninitialized`.
fn is_machine_id(text: &str) -> bool {
    let id = text.trim();
    id.len() == 32
        && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        && id.bytes().any(|b| b != b'0')
}

/// `/proc/sys/kernel/random/boot_id`.
pub(super) fn boot_id() -> Option<Uuid> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().parse().ok()
}

/// CLOCK_BOOTTIME, which goes on while the machine sleeps.
pub(super) fn since_boot() -> Option<Duration> {
    clock_gettime(ClockId::Boottime).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_without_an_id_of_its_own_has_none() {
        assert!(is_machine_id("3d1219c7c4c5404aaa1f6d2a48adfda4\n"));
        for text in ["", "uninitialized\n", "00000000000000000000000000000000", "3d1219c7"] {
            assert!(!is_machine_id(text), "{text:?}");
        }
    }
}
