//! What goes wrong with the queue's disk, since when, and when it is tried again. It tells the log of
//! the beginning and of the end, not of every attempt; it touches no disk itself.

use std::{
    io,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{Storage, generation::StorageError};

/// Pause between two attempts to write, and between two to open.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Trouble {
    now: Option<Current>,
    /// No attempt to write is made before.
    pub(super) write_at: Instant,
    /// No attempt to open is made before.
    pub(super) open_at: Instant,
}

#[derive(Debug)]
struct Current {
    error: String,
    since: Timestamp,
    /// Only a sample that was written ends it.
    writing: bool,
    full: bool,
}

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Samples were being written.
    Appending,
    /// Anything else.
    Other,
}

impl Trouble {
    /// All is well.
    pub(super) fn none() -> Self {
        Self { now: None, write_at: Instant::now(), open_at: Instant::now() }
    }

    /// Something failed.
    pub(super) fn begin(&mut self, error: &StorageError, doing: Doing, now: Timestamp) {
        let writing = doing == Doing::Appending;
        if writing {
            self.write_at = Instant::now() + PAUSE;
        }
        if let Some(current) = &mut self.now {
            tracing::debug!(%error, "the queue's storage still fails");
            (current.error, current.full) = (error.to_string(), current.full || is_full(error));
            current.writing |= writing;
            return;
        }
        tracing::error!(%error, "the queue's storage fails; samples wait in memory");
        let (error, full) = (error.to_string(), is_full(error));
        self.now = Some(Current { error, since: now, writing, full });
    }

    /// Something worked; whether that ended a time without room.
    pub(super) fn end(&mut self, doing: Doing) -> bool {
        let over = |current: &mut Current| doing == Doing::Appending || !current.writing;
        let Some(current) = self.now.take_if(over) else { return false };
        tracing::warn!(since = %current.since, "the queue's storage works again");
        current.full
    }

    /// Whether the disk had no room left.
    pub(super) fn is_full(&self) -> bool {
        self.now.as_ref().is_some_and(|current| current.full)
    }

    /// The figures, with `waiting` samples in memory.
    pub(super) fn figures(&self, waiting: u64) -> Storage {
        let current = self.now.as_ref();
        Storage {
            error: current.map(|current| current.error.clone()),
            since: current.map(|current| current.since),
            // What is just being written isn't worth a word.
            waiting: current.map_or(0, |_| waiting),
        }
    }
}

/// Whether there was no room.
pub(super) fn is_full(error: &StorageError) -> bool {
    match error {
        StorageError::Io(error) | StorageError::Sync(error) => is_full_kind(error.kind()),
        // The database keeps the first error as words alone.
        StorageError::Damaged(text) => text.contains("No space left on device"),
        StorageError::LaterVersion(_) => false,
    }
}

/// Whether an error of this kind means that there was no room.
pub(super) fn is_full_kind(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether the daemon begins all the same: what a disk refuses today it may take tomorrow.
pub(super) fn passes(error: &StorageError) -> bool {
    let passes = |error: &io::Error| {
        // EIO has no kind of its own.
        is_full_kind(error.kind()) || error.raw_os_error() == Some(EIO)
    };
    match error {
        StorageError::Io(error) | StorageError::Sync(error) => passes(error),
        StorageError::Damaged(_) | StorageError::LaterVersion(_) => false,
    }
}

/// The same number on every system that has it.
const EIO: i32 = 5;
