//! The defaults of all keys, in one place. `config/collector-config.yaml` shows the same to users;
//! a test holds the two together.

use std::time::Duration;

pub(super) const INTERVAL: Duration = Duration::from_secs(5);
pub(super) const SERVER_URL: &str = "http://localhost:8000";
pub(super) const API_KEY_HEADER: &str = "X-API-Key";

pub(super) const GROUP_ENABLED: bool = true;
/// Disks fill slowly; every other group inherits [`INTERVAL`] or what replaces it.
pub(super) const DISK_INTERVAL: Duration = Duration::from_secs(30);
/// Of itself it tells once a minute.
pub(super) const AGENT_INTERVAL: Duration = Duration::from_mins(1);
pub(super) const PER_CPU: bool = true;
pub(super) const CONNECTIONS: bool = true;
pub(super) const EXCLUDE_MOUNTS: [&str; 0] = [];
pub(super) const EXCLUDE_DEVICES: [&str; 2] = ["loop*", "ram*"];
pub(super) const EXCLUDE_INTERFACES: [&str; 4] =
    ["lo", "lo0", "Loopback Pseudo-Interface *", "veth*"];
/// Pseudo file systems, and those that hold no data of their own.
pub(super) const EXCLUDE_TYPES: [&str; 28] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fuse.lxcfs",
    "fuse.portal",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

pub(super) const DIRECTORY: &str = "./buffer";
pub(super) const MAX_SIZE: u64 = 100_000_000;
pub(super) const MIN_FREE: u64 = 64_000_000;
pub(super) const OVERFLOW: &str = "drop_oldest";

pub(super) const PROTOCOL: &str = "json";
pub(super) const COMPRESSION: &str = "none";
pub(super) const MAX_SAMPLES: usize = 500;
pub(super) const MAX_BYTES: u64 = 1_000_000;
pub(super) const LINGER: Duration = Duration::ZERO;
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const RETRY_INITIAL: Duration = Duration::from_secs(1);
pub(super) const RETRY_MAX: Duration = Duration::from_secs(30);
pub(super) const RETRY_MULTIPLIER: f64 = 2.0;

pub(super) const LEVEL: &str = "INFO";
pub(super) const FORMAT: &str = "text";
