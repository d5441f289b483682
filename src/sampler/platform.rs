//! What the platforms differ in. Each offers the same five sources (`CpuSource`, `MemorySource`,
//! `DiskSource`, `NetworkSource`, `ProcessSource`), which only read and parse; choosing and comparing is
//! common. What Windows and macOS give is decoded in `nt` and `darwin`, which make no call and so are
//! tested and fuzzed everywhere; the calls are in `windows` and `macos`.

#[cfg(any(not(target_os = "linux"), test, fuzzing))]
mod bytes;
#[cfg(any(target_os = "macos", test, fuzzing))]
mod darwin;
#[cfg(fuzzing)]
mod foreign;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(any(unix, test))]
mod names;
#[cfg(any(windows, test, fuzzing))]
mod nt;
#[cfg(not(target_os = "linux"))]
mod sysinfo_process;
#[cfg(windows)]
mod windows;

#[cfg(fuzzing)]
pub use foreign::parse as parse_foreign;
#[cfg(all(fuzzing, target_os = "linux"))]
pub use linux::fuzzing;
#[cfg(target_os = "linux")]
pub(super) use linux::{CpuSource, DiskSource, MemorySource, NetworkSource, ProcessSource, usage};
#[cfg(target_os = "macos")]
pub(super) use macos::{CpuSource, DiskSource, MemorySource, NetworkSource, usage};
#[cfg(not(target_os = "linux"))]
pub(super) use sysinfo_process::ProcessSource;
#[cfg(windows)]
pub(super) use windows::{CpuSource, DiskSource, MemorySource, NetworkSource, usage};
