//! macOS: IOPlatformUUID, the kernel's boot session, CLOCK_MONOTONIC.
#![expect(unsafe_code, reason = "sysctl has no safe interface")]

use std::{ffi::CStr, ptr, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

/// IOPlatformUUID of the I/O Registry, through sysinfo.
pub(super) fn machine_id() -> Option<String> {
    sysinfo::Product::uuid().ok()
}

/// `kern.bootsessionuuid`, which the kernel makes anew at each boot.
pub(super) fn boot_id() -> Option<Uuid> {
    let mut text = [0_u8; 64];
    let mut length = text.len();
    let name = c"kern.bootsessionuuid".as_ptr();
    // SAFETY: the name is a C string, the buffer has that length; nothing is set.
    let result = unsafe {
        libc::sysctlbyname(name, text.as_mut_ptr().cast(), &raw mut length, ptr::null_mut(), 0)
    };
    let text = CStr::from_bytes_until_nul(&text).ok().filter(|_| result == 0)?;
    text.to_str().ok()?.parse().ok()
}

/// CLOCK_MONOTONIC, which on this system starts at boot and goes on while the machine sleeps.
pub(super) fn since_boot() -> Option<Duration> {
    clock_gettime(ClockId::Monotonic).try_into().ok()
}
