//! macOS: IOPlatformUUID, the time of boot, CLOCK_MONOTONIC.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

/// IOPlatformUUID of the I/O Registry, through sysinfo.
pub(super) fn machine_id() -> Option<String> {
    sysinfo::Product::uuid().ok()
}

/// Left to the time of boot.
pub(super) fn boot_id() -> Option<Uuid> {
    None
}

/// CLOCK_MONOTONIC, which on this system starts at boot and goes on while the machine sleeps.
pub(super) fn since_boot() -> Option<Duration> {
    clock_gettime(ClockId::Monotonic).try_into().ok()
}
