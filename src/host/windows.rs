//! Windows: MachineGuid, the kernel's time of boot, GetTickCount64.
#![expect(unsafe_code, reason = "the system's calls have no safe interface")]

use std::{ptr, time::Duration};

use uuid::Uuid;
use windows_sys::{
    Wdk::System::SystemInformation::{NtQuerySystemInformation, SystemTimeOfDayInformation},
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

/// Made from the time of boot as it was taken at boot: `SYSTEM_TIMEOFDAY_INFORMATION`, whose time
/// moves when the clock is stepped, less by how much it has moved.
pub(super) fn boot_id() -> Option<Uuid> {
    let mut numbers = [0_u64; 6];
    let size = u32::try_from(size_of_val(&numbers)).ok()?;
    let to = numbers.as_mut_ptr().cast();
    // SAFETY: the structure is ours, plain numbers, and has that size.
    let status =
        unsafe { NtQuerySystemInformation(SystemTimeOfDayInformation, to, size, ptr::null_mut()) };
    let [boot, _, _, _, moved, _] = numbers;
    let known = status >= 0 && boot > 0;
    let at = boot.wrapping_sub(moved);
    known.then(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("collector boot {at}").as_bytes()))
}

/// `GetTickCount64`, which goes on while the machine sleeps; in steps of 10 to 16 ms.
pub(super) fn since_boot() -> Option<Duration> {
    // SAFETY: takes nothing and gives a number.
    Some(Duration::from_millis(unsafe { GetTickCount64() }))
}
