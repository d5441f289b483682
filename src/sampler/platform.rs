//! What the platforms differ in. Each offers the same five sources (`CpuSource`, `MemorySource`,
//! `DiskSource`, `NetworkSource`, `ProcessSource`), which only read and parse; choosing and comparing is common.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(not(target_os = "linux"))]
mod sysinfo_memory;
#[cfg(not(target_os = "linux"))]
mod sysinfo_process;
#[cfg(windows)]
mod windows;

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

// Parsers of other platforms' tables, so that their tests run everywhere.
#[cfg(all(test, not(target_os = "macos")))]
#[path = "platform/macos/pcblist.rs"]
mod pcblist;
#[cfg(all(test, not(windows)))]
#[path = "platform/windows/tcp_table.rs"]
mod tcp_table;
