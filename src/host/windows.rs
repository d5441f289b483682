//! Windows: MachineGuid, the time of boot, GetTickCount64.
#![expect(unsafe_code, reason = "the system's calls have no safe interface")]

use std::{ptr, time::Duration};

use uuid::Uuid;
use windows_sys::{
    Win32::System::{
        Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_SZ, RRF_SUBKEY_WOW6464KEY, RegGetValueW},
        SystemInformation::GetTickCount64,
    },
    w,
};

/// `HKLM\SOFTWARE\Microsoft\Cryptography\MachineGuid`, or the firmware's UUID through sysinfo.
pub(super) fn machine_id() -> Option<String> {
    machine_guid().or_else(|| sysinfo::Product::uuid().ok())
}

fn machine_guid() -> Option<String> {
    let mut text = [0_u16; 64];
    let mut bytes = u32::try_from(size_of_val(&text)).ok()?;
    // SAFETY: the names end with a zero, the buffer has that size, the type isn't asked for.
    let result = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            w!("SOFTWARE\\Microsoft\\Cryptography"),
            w!("MachineGuid"),
            RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY,
            ptr::null_mut(),
            text.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    let length = text.iter().position(|&unit| unit == 0)?;
    (result == 0).then(|| String::from_utf16_lossy(&text[..length]))
}

/// Left to the time of boot.
pub(super) fn boot_id() -> Option<Uuid> {
    None
}

/// `GetTickCount64`, which goes on while the machine sleeps; in steps of 10 to 16 ms.
pub(super) fn since_boot() -> Option<Duration> {
    // SAFETY: takes nothing and gives a number.
    Some(Duration::from_millis(unsafe { GetTickCount64() }))
}
