//! Our own lock on the queue's directory: who holds it owns the directory and the socket in it.
//! The operating system releases it when the process ends, however it ends.

use std::{
    fs::{File, TryLockError},
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::files;

const NAME: &str = "lock";
/// How often a lock that is held is tried again.
const POLL: Duration = Duration::from_millis(50);

/// Why the directory isn't ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process owns it.
    #[error("the queue in {directory} is in use by {}", holder(*.pid))]
    Held {
        /// The queue's home.
        directory: PathBuf,
        /// The owner, where it can be read.
        pid: Option<u32>,
    },
    /// The lock file can't be used.
    #[error("can't lock {path}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock for somebody who only looks: the file stays as it is. It isn't waited for.
    pub(super) fn take_quietly(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(NAME);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(&path),
            other => other,
        };
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
            Err(TryLockError::WouldBlock) => Err(held(directory)),
        }
    }

    /// Takes the lock, waiting at most `patience` for another process to let go of it.
    pub(super) fn take(directory: &Path, patience: Duration) -> Result<Self, LockError> {
        let path = directory.join(NAME);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let file = create(&path).map_err(failed)?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(source)) => return Err(failed(source)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::park_timeout(POLL);
                }
                Err(TryLockError::WouldBlock) => return Err(held(directory)),
            }
        }
        // On a full disk others learn no pid; the lock holds all the same.
        write_pid(&file, directory).or_else(full).map_err(failed)?;
        Ok(Self { file })
    }
}

impl Lock {
    /// Takes the lock anew if its file was removed or replaced, and with it the directory, perhaps.
    pub(super) fn keep(&mut self, directory: &Path) -> io::Result<()> {
        if !files::is_at(&self.file, &directory.join(NAME)) {
            tracing::error!(directory = %directory.display(), "the queue's directory was removed or replaced");
            *self = Self::take(directory, Duration::ZERO).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

fn full(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::StorageFull { Ok(()) } else { Err(error) }
}

fn held(directory: &Path) -> LockError {
    LockError::Held { directory: directory.to_owned(), pid: read_pid(directory) }
}

/// Opens the lock file, makes it when it is absent.
fn create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
    files::restrict(path)?;
    Ok(file)
}

/// The pid is inside the lock file.
#[cfg(unix)]
fn write_pid(mut file: &File, _directory: &Path) -> io::Result<()> {
    use std::io::{Seek, Write};
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(unix)]
fn read_pid(directory: &Path) -> Option<u32> {
    parse_pid(&directory.join(NAME))
}

/// Windows: a locked file can't be read by others, so the pid stands beside it.
#[cfg(not(unix))]
fn write_pid(_file: &File, directory: &Path) -> io::Result<()> {
    std::fs::write(directory.join("lock.pid"), format!("{}\n", std::process::id()))
}

#[cfg(not(unix))]
fn read_pid(directory: &Path) -> Option<u32> {
    parse_pid(&directory.join("lock.pid"))
}

fn parse_pid(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
