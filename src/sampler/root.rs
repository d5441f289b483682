//! Where the host's files are: at their usual places, or below a directory where a container sees
//! the host's root.

use std::path::PathBuf;

/// The host's root directory, as this process sees it; `None`: its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostRoot(pub Option<PathBuf>);

#[cfg(target_os = "linux")]
impl HostRoot {
    /// A path of the host as this process can open it.
    pub(super) fn path(&self, absolute: impl AsRef<std::path::Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        match &self.0 {
            Some(root) => root.join(absolute.strip_prefix("/").unwrap_or(absolute)),
            None => absolute.to_owned(),
        }
    }

    /// A file of `/proc`.
    pub(super) fn proc(&self, name: &str) -> PathBuf {
        self.path(PathBuf::from("/proc").join(name))
    }

    /// A file of `/sys`.
    pub(super) fn sys(&self, name: impl AsRef<std::path::Path>) -> PathBuf {
        self.path(PathBuf::from("/sys").join(name))
    }

    /// A file of `/proc/net`. That one is always the reader's own: the host's is its first process's.
    pub(super) fn net(&self, name: &str) -> PathBuf {
        let of = if self.0.is_some() { "1/net" } else { "net" };
        self.path(PathBuf::from("/proc").join(of).join(name))
    }
}
