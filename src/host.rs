//! What identifies this machine and this boot of it. Read once at start; none of it needs a
//! privilege, and what the platform doesn't tell is absent.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use uuid::Uuid;

use crate::sample::Origin;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;
#[cfg(windows)]
use windows as platform;

/// Where the samples of this process come from: `configured_name`, or the detected one when that
/// is empty, or `localhost` when there is none.
#[must_use]
pub fn origin(configured_name: &str, tags: BTreeMap<String, String>) -> Origin {
    let configured = Some(configured_name.to_owned()).filter(|name| !name.is_empty());
    let host = configured.or_else(name).unwrap_or_else(|| String::from("localhost"));
    Origin { host, tags, boot_id: boot_id() }
}

/// The host's name, as `gethostname` or `GetComputerNameExW` tells it to sysinfo.
#[must_use]
pub fn name() -> Option<String> {
    sysinfo::System::host_name().ok().filter(|name| !name.is_empty())
}

/// What tells this installation from any other and lasts over reboots: `/etc/machine-id` on Linux,
/// MachineGuid on Windows, IOPlatformUUID on macOS.
#[must_use]
pub fn machine_id() -> Option<String> {
    platform::machine_id().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// Which boot of the machine this is: the kernel's own id on Linux and macOS, made from the kernel's
/// own time of boot on Windows; without that made from the clock and the time since boot; all zero
/// when neither is known. The same as long as the process runs: what is made from a clock moves when
/// that is set.
#[must_use]
pub fn boot_id() -> [u8; 16] {
    static KNOWN: OnceLock<[u8; 16]> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        platform::boot_id().or_else(boot_id_from_time).unwrap_or_default().into_bytes()
    })
}

/// Time since boot, sleep included; never steps. To the microsecond, as wall clocks of samples are.
#[must_use]
pub fn since_boot() -> Option<Duration> {
    let micros = u64::try_from(platform::since_boot()?.as_micros()).ok()?;
    Some(Duration::from_micros(micros))
}

/// The time of boot is computed from the wall clock, so it may differ by a second between two
/// calls; two boots are further apart than the ten seconds to which it is rounded.
fn boot_id_from_time() -> Option<Uuid> {
    let at = sysinfo::System::boot_time().ok().filter(|&seconds| seconds > 0)?;
    let rounded = at.saturating_add(5) / 10;
    Some(Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("collector boot {rounded}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_name_wins_and_an_empty_one_is_detected() {
        assert_eq!(origin("web-1", BTreeMap::new()).host, "web-1");
        assert_eq!(Some(origin("", BTreeMap::new()).host), name());
    }

    #[test]
    fn boot_id_is_the_same_at_each_call() {
        assert_ne!(boot_id(), [0; 16]);
        assert_eq!(boot_id(), boot_id());
        assert!(boot_id_from_time().is_some());
    }

    #[test]
    fn time_since_boot_rises() {
        let first = since_boot().unwrap();
        assert!(first > Duration::ZERO);
        assert!(since_boot().unwrap() >= first);
    }
}
