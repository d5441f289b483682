//! `NtQuerySystemInformation` and `GetPerformanceInfo`, for several groups.

use std::{ffi::c_void, io, ptr};

use windows_sys::{
    Wdk::System::SystemInformation::{NtQuerySystemInformation, SYSTEM_INFORMATION_CLASS},
    Win32::{
        Foundation::NTSTATUS,
        System::ProcessStatus::{K32GetPerformanceInfo, PERFORMANCE_INFORMATION},
    },
};

// windows-sys doesn't declare it.
#[link(name = "ntdll")]
unsafe extern "system" {
    fn NtQuerySystemInformationEx(
        class: SYSTEM_INFORMATION_CLASS,
        input: *const c_void,
        input_length: u32,
        information: *mut c_void,
        information_length: u32,
        return_length: *mut u32,
    ) -> NTSTATUS;
}

/// The structure of that class: as much of `most` bytes as the kernel fills.
pub(super) fn system(class: SYSTEM_INFORMATION_CLASS, most: usize) -> io::Result<Vec<u8>> {
    filled(most, |to, room, length| {
        // SAFETY: `to` has room for `room` bytes; the length is ours.
        unsafe { NtQuerySystemInformation(class, to, room, length) }
    })
}

/// The same, of one group of processors.
pub(super) fn of_group(
    class: SYSTEM_INFORMATION_CLASS,
    group: u16,
    most: usize,
) -> io::Result<Vec<u8>> {
    let input = &raw const group;
    filled(most, |to, room, length| {
        // SAFETY: the input is a group's number of two bytes; `to` has room for `room` bytes; the
        // length is ours.
        unsafe { NtQuerySystemInformationEx(class, input.cast(), 2, to, room, length) }
    })
}

/// Memory in pages, and how many processes and threads there are.
pub(super) fn performance() -> io::Result<PERFORMANCE_INFORMATION> {
    let mut info = PERFORMANCE_INFORMATION::default();
    let size = size(&info);
    // SAFETY: the structure is ours and has that size.
    if unsafe { K32GetPerformanceInfo(&raw mut info, size) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info)
}

/// The size of a structure, as the system wants to be told it.
pub(super) fn size<T>(_: &T) -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}

/// The bytes of a structure or of a list of them that the system has filled.
pub(super) fn bytes<T>(structures: &[T]) -> &[u8] {
    // SAFETY: they are initialized, `repr(C)`, and of a kind that the system has filled whole; any
    // byte of them is a number.
    unsafe { std::slice::from_raw_parts(structures.as_ptr().cast(), size_of_val(structures)) }
}

fn filled(
    most: usize,
    ask: impl FnOnce(*mut c_void, u32, *mut u32) -> NTSTATUS,
) -> io::Result<Vec<u8>> {
    // In units of eight bytes, because the kernel refuses a buffer that isn't aligned.
    let mut buffer = vec![0_u64; most.div_ceil(8)];
    let room = u32::try_from(most).unwrap_or(u32::MAX);
    let mut length = 0;
    let status = ask(buffer.as_mut_ptr().cast(), room, ptr::from_mut(&mut length));
    if status < 0 {
        return Err(io::Error::other(format!("NT status {status:#x}")));
    }
    let mut bytes = bytes(&buffer).to_vec();
    bytes.truncate(usize::try_from(length.min(room)).unwrap_or_default());
    Ok(bytes)
}
