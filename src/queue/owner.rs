//! The one thread that works on the store, and the channel to it. All blocking work of the queue
//! happens here. When the storage fails, it drops the handle and opens it again.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::{
    Enqueued, Entry, OpenError, Options, QueueError, Refusal, Reply, Stats, files,
    generation::StorageError,
    in_flight::{InFlight, Note},
    lock::Lock,
    recovery,
    store::Store,
};
use crate::{clock::Clock, sample::Sample};

/// Every caller waits for its answer, so this many callers can wait at once.
const COMMANDS: usize = 64;
/// Samples that wait behind one another share a commit; at most so many.
const GATHER: usize = 256;
/// A storage that failed to reopen is tried again after this long.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// What the owner can be asked.
pub(super) enum Command {
    Enqueue { samples: Vec<Sample>, reply: Reply<Enqueued> },
    Peek { max_samples: usize, max_bytes: u64, reply: Reply<Vec<Entry>> },
    Acknowledge { seqs: Vec<u64>, reply: Reply<u64> },
    DeadLetter { seqs: Vec<u64>, refusal: Refusal, reply: Reply<u64> },
    Sending { bounds: InFlight, reply: Reply<()> },
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

/// What starting the owner gives: ways to it, and what was in flight when it ended last.
pub(super) type Started = (Commands, Owner, watch::Receiver<Stats>, Option<InFlight>);

/// Takes the lock, opens the store and starts the owner.
pub(super) fn start(
    options: Options,
    machine: Option<Uuid>,
    clock: Arc<dyn Clock>,
    patience: Duration,
) -> Result<Started, OpenError> {
    let directory = options.directory.clone();
    let failed = |source| OpenError::Directory { directory: directory.clone(), source };
    files::create_directory(&directory).map_err(failed)?;
    files::restrict(&directory).map_err(failed)?;
    let lock = Lock::take(&directory, patience)?;
    // Before the store measures what lies in the directory.
    let note = note(&directory);
    let interrupted = note.as_ref().and_then(Note::written);
    let home = Home { options, machine, clock };
    let store = home
        .open()
        .map_err(|source| OpenError::Storage { directory: directory.clone(), source })?;
    let (commands, inbox) = sync_channel(COMMANDS);
    let (stats, watched) = watch::channel(store.stats());
    let work = Work {
        home,
        store: Some(store),
        stats,
        failing: false,
        retry_at: Instant::now(),
        note,
        _lock: lock,
    };
    let thread = thread::Builder::new()
        .name("queue".into())
        .spawn(move || work.run(&inbox))
        .map_err(failed)?;
    let owner = Owner { commands: commands.clone(), thread: Some(thread) };
    Ok((Commands(commands), owner, watched, interrupted))
}

/// The queue works without it, so a disk that refuses is only told.
fn note(directory: &std::path::Path) -> Option<Note> {
    let note = Note::open(directory);
    note.inspect_err(|error| tracing::debug!(%error, "can't note what is in flight")).ok()
}

/// What it takes to open the store, now and again.
struct Home {
    options: Options,
    machine: Option<Uuid>,
    clock: Arc<dyn Clock>,
}

impl Home {
    fn open(&self) -> Result<Store, StorageError> {
        let parts = recovery::open(&self.options.directory, self.machine)?;
        Store::new(parts, self.options.clone(), Arc::clone(&self.clock))
    }
}

struct Work {
    home: Home,
    /// `None` while the storage refuses to be opened.
    store: Option<Store>,
    stats: watch::Sender<Stats>,
    failing: bool,
    retry_at: Instant,
    note: Option<Note>,
    _lock: Lock,
}

impl Work {
    fn run(mut self, inbox: &Receiver<Command>) {
        let mut next = None;
        loop {
            let command = match next.take().map_or_else(|| self.receive(inbox), Ok) {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => {
                    self.sync();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            match command {
                Command::Enqueue { samples, reply } => next = self.enqueue(samples, reply, inbox),
                Command::Peek { max_samples, max_bytes, reply } => {
                    let found = self.with(|store| store.peek(max_samples, max_bytes));
                    answer(reply, found);
                }
                Command::Acknowledge { seqs, reply } => {
                    let settled = self.with(|store| store.settle(&seqs));
                    answer(reply, settled);
                }
                Command::DeadLetter { seqs, refusal, reply } => {
                    let settled = self.with(|store| store.set_aside(&seqs, &refusal));
                    answer(reply, settled);
                }
                Command::Sending { bounds, reply } => {
                    self.note(bounds);
                    answer(reply, Ok(()));
                }
                Command::Close => break,
            }
        }
        self.sync();
    }

    fn note(&mut self, bounds: InFlight) {
        if let Some(Err(error)) = self.note.as_mut().map(|note| note.write(bounds)) {
            tracing::debug!(%error, "can't note what is in flight");
        }
    }

    /// Waits for a command, or until a delayed sync is due.
    fn receive(&self, inbox: &Receiver<Command>) -> Result<Command, RecvTimeoutError> {
        match self.store.as_ref().and_then(Store::sync_due) {
            Some(due) => inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Commits these samples together with those that wait right behind them; returns the command
    /// that was met behind.
    fn enqueue(
        &mut self,
        mut samples: Vec<Sample>,
        reply: Reply<Enqueued>,
        inbox: &Receiver<Command>,
    ) -> Option<Command> {
        let mut replies = vec![reply];
        let mut behind = None;
        while samples.len() < GATHER {
            match inbox.try_recv() {
                Ok(Command::Enqueue { samples: more, reply }) => {
                    samples.extend(more);
                    replies.push(reply);
                }
                Ok(other) => {
                    behind = Some(other);
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let result = self.with(|store| store.append(samples));
        // Those that shared a commit are told the sum.
        let result = result.map(|done| Enqueued { refused: done.refused, evicted: done.evicted });
        for reply in replies {
            answer(reply, result.clone());
        }
        behind
    }

    fn sync(&mut self) {
        if self.store.as_ref().is_some_and(|store| store.sync_due().is_some()) {
            self.with(Store::sync).ok();
        }
    }

    /// Does `work`; an error drops the handle, so that the next call opens the storage again.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Store) -> Result<T, StorageError>,
    ) -> Result<T, QueueError> {
        let result = self.opened().and_then(work);
        match &result {
            Ok(_) if self.failing => {
                self.failing = false;
                tracing::warn!("the queue's storage works again");
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the queue's storage fails");
                }
                self.store = None;
            }
            Ok(_) => {}
        }
        // Before the answer, so that whoever gets it finds figures that know of it.
        self.publish();
        result.map_err(|error| QueueError::Storage(Arc::new(error)))
    }

    fn opened(&mut self) -> Result<&mut Store, StorageError> {
        if self.store.is_none() {
            if Instant::now() < self.retry_at {
                return Err(StorageError::Io(io::Error::other(
                    "waiting before the storage is opened again",
                )));
            }
            self.retry_at = Instant::now() + REOPEN_PAUSE;
            self.store = Some(self.home.open()?);
        }
        self.store.as_mut().ok_or_else(|| StorageError::Damaged("it isn't open".into()))
    }

    fn publish(&self) {
        let Some(store) = &self.store else { return };
        let now = store.stats();
        self.stats.send_if_modified(|stats| {
            let changed = *stats != now;
            *stats = now;
            changed
        });
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, QueueError>) {
    // Whoever asked may have stopped waiting; what was done is done.
    reply.send(result).ok();
}
