//! The memory of this process holds the API key: a crash must not write it to a disk, and no other
//! process of the same user may read it.

/// Switches core dumps off for this process, and attaching to it where the system can.
///
/// A system that refuses is no reason not to run: the error is for the log.
#[cfg(unix)]
pub(super) fn disable() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};

    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // The limit doesn't stop a dump into a pipe, nor a debugger.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Windows reports a crash with the heap only where it may.
#[cfg(windows)]
#[expect(unsafe_code, reason = "the only way to the error reports of the system")]
pub(super) fn disable() -> std::io::Result<()> {
    use windows_sys::Win32::System::ErrorReporting::{
        WER_FAULT_REPORTING_FLAG_NOHEAP, WerSetFlags,
    };

    // SAFETY: takes a number and touches no memory of ours.
    let result = unsafe { WerSetFlags(WER_FAULT_REPORTING_FLAG_NOHEAP) };
    if result < 0 {
        return Err(std::io::Error::from_raw_os_error(result));
    }
    Ok(())
}
