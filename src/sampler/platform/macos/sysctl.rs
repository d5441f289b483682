//! `sysctl`, by name and by number: whole structures as bytes.

use std::{ffi::CStr, io, ptr};

use super::super::darwin::answer;
use crate::sampler::SampleError;

/// The value of that name, decoded; an error if it can't be read or isn't as it should be.
pub(super) fn decoded<T>(
    name: &'static CStr,
    decode: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<T, SampleError> {
    let what = name.to_str().unwrap_or("sysctl");
    let bytes = by_name(name).map_err(|error| SampleError::read(what, error))?;
    decode(&bytes).ok_or(SampleError::Malformed { what: what.into() })
}

/// The value of that name.
pub(super) fn by_name(name: &CStr) -> io::Result<Vec<u8>> {
    answer::whole(|room| {
        let (to, mut length) = parts(room);
        // SAFETY: the name is a C string; there is no buffer, or one of that length; nothing is set.
        let result = unsafe {
            libc::sysctlbyname(name.as_ptr(), to.cast(), &raw mut length, ptr::null_mut(), 0)
        };
        if result == 0 { Ok(length) } else { Err(io::Error::last_os_error()) }
    })
}

/// The value of that number.
pub(super) fn by_number<const N: usize>(mut number: [i32; N]) -> io::Result<Vec<u8>> {
    let parts_of_it = u32::try_from(N).unwrap_or_default();
    answer::whole(|room| {
        let (to, mut length) = parts(room);
        // SAFETY: the number has that many parts; there is no buffer, or one of that length; nothing
        // is set.
        let result = unsafe {
            libc::sysctl(
                number.as_mut_ptr(),
                parts_of_it,
                to.cast(),
                &raw mut length,
                ptr::null_mut(),
                0,
            )
        };
        if result == 0 { Ok(length) } else { Err(io::Error::last_os_error()) }
    })
}

fn parts(room: Option<&mut [u8]>) -> (*mut u8, usize) {
    room.map_or((ptr::null_mut(), 0), |room| (room.as_mut_ptr(), room.len()))
}
