//! The owner's outside: the channel to the one thread that works on the store, and its beginning and
//! end. What the thread does is [`work`](super::work)'s.

use std::{
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::{
    Entry, Loss, OpenError, Options, QueueError, Refusal, Reply, Stats, files,
    in_flight::{InFlight, Note},
    inspector::Request,
    lock::Lock,
    nudge::Nudger,
    ring::Ring,
    work::{Home, Work},
};
use crate::clock::Clock;

/// Every caller waits for its answer, so this many callers can wait at once.
const COMMANDS: usize = 64;

/// What the owner can be asked.
pub(super) enum Command {
    /// Something waits in the ring.
    Wake,
    Peek {
        max_samples: usize,
        max_bytes: u64,
        reply: Reply<Vec<Entry>>,
    },
    Acknowledge {
        seqs: Vec<u64>,
        /// The server was told of losses up to this number.
        told: u64,
        reply: Reply<u64>,
    },
    Losses {
        max: usize,
        reply: Reply<Vec<Loss>>,
    },
    DeadLetter {
        seqs: Vec<u64>,
        refusal: Refusal,
        reply: Reply<u64>,
    },
    Inspect(Request),
    Sending {
        bounds: InFlight,
        reply: Reply<()>,
    },
    Close,
}

/// The way to the owner.
#[derive(Debug, Clone)]
pub(super) struct Commands(SyncSender<Command>);

impl Commands {
    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, QueueError> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(command(reply)).map_err(|error| match error {
            TrySendError::Full(_) => QueueError::Busy,
            TrySendError::Disconnected(_) => QueueError::Closed,
        })?;
        answer.await.unwrap_or(Err(QueueError::Closed))
    }

    /// Tells the owner that something waits in the ring. An owner that is busy looks there anyway
    /// before it waits, and one that is gone needs no telling.
    pub(super) fn wake(&self) {
        self.0.try_send(Command::Wake).ok();
    }
}

/// The owner's thread. Dropping it closes the queue and waits until all is durable.
#[derive(Debug)]
pub struct Owner {
    commands: SyncSender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Owner {
    /// Closes the queue: what was asked before is done, everything is made durable, the lock is
    /// released. Blocks until then.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // An owner that is gone already needs no telling.
        self.commands.send(Command::Close).ok();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the queue's owner thread panicked");
        }
    }
}

/// What [`start`] started.
pub(super) struct Started {
    pub(super) commands: Commands,
    pub(super) ring: Arc<Ring>,
    pub(super) owner: Owner,
    pub(super) stats: watch::Receiver<Stats>,
    /// What was in flight when the queue was closed last.
    pub(super) interrupted: Option<InFlight>,
}

/// Takes the lock, opens the store and starts the owner.
pub(super) fn start(
    options: Options,
    machine: Option<Uuid>,
    clock: Arc<dyn Clock>,
    patience: Duration,
) -> Result<Started, OpenError> {
    let directory = options.directory.clone();
    let failed = |source| OpenError::Directory { directory: directory.clone(), source };
    files::settle_in(&directory).map_err(failed)?;
    let lock = Lock::take(&directory, patience)?;
    let ring = Arc::new(Ring::new(options.overflow));
    // Before the store measures what lies in the directory.
    let note = note(&directory);
    let interrupted = note.as_ref().and_then(Note::written).cloned();
    let home = Home { options, machine, clock };
    let nudger = Nudger::start().map_err(failed)?;
    let (work, stats) = nudger
        .beside(|| Work::begin(home, Arc::clone(&ring), lock, note))
        .map_err(|source| OpenError::Storage { directory: directory.clone(), source })?;
    let (commands, inbox) = sync_channel(COMMANDS);
    let thread = thread::Builder::new()
        .name("queue".into())
        .spawn(move || nudger.beside(|| work.run(&inbox)))
        .map_err(failed)?;
    let owner = Owner { commands: commands.clone(), thread: Some(thread) };
    Ok(Started { commands: Commands(commands), ring, owner, stats, interrupted })
}

/// The queue works without it, so a disk that refuses is only told.
fn note(directory: &std::path::Path) -> Option<Note> {
    let note = Note::open(directory);
    note.inspect_err(|error| tracing::debug!(%error, "can't note what is in flight")).ok()
}
