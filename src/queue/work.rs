//! What the owner's thread does: it obeys commands, writes what waits in the ring, syncs when a sync is
//! due, and makes room in the background. When the storage fails, it drops the handle, opens it again
//! and finds out what of its last write is there; nothing is confirmed before it is durable.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Instant,
};

use tokio::sync::watch;

use super::{
    Enqueued, QueueError, Reply, Stats,
    ballast::Ballast,
    generation::{self, StorageError},
    in_flight::Note,
    inspector::Request,
    lock::Lock,
    owner::Command,
    ring::{Batch, Ring},
    store::{Memory, Store},
    trouble::{self, Doing, Trouble},
};

mod handle;

pub(super) use handle::Home;

/// Samples that wait behind one another share a commit; at most so many.
const GATHER: usize = 256;

/// See the module.
pub(super) struct Work {
    home: Home,
    ring: Arc<Ring>,
    /// What was taken from the ring and isn't durable yet.
    batch: Batch,
    /// `None` while the storage refuses to be opened.
    store: Option<Store>,
    /// What was known of the store when it failed.
    memory: Option<Memory>,
    /// The last fdatasync failed: what the system shows of the newest generation may not be there.
    suspect: bool,
    trouble: Trouble,
    ballast: Ballast,
    /// The store's figures as they were when it was last open.
    known: Stats,
    stats: watch::Sender<Stats>,
    /// Where stands which entries are in flight.
    note: Option<Note>,
    lock: Lock,
}

impl Work {
    /// Opens the store. A disk that is full or fails is no reason not to begin: samples wait in
    /// memory until it takes them.
    pub(super) fn begin(
        home: Home,
        ring: Arc<Ring>,
        lock: Lock,
        note: Option<Note>,
    ) -> Result<(Self, watch::Receiver<Stats>), StorageError> {
        let ballast = Ballast::of(&home.options.directory);
        let (stats, watched) = watch::channel(Stats::default());
        let mut work = Self {
            home,
            ring,
            batch: Batch::default(),
            store: None,
            memory: None,
            suspect: false,
            trouble: Trouble::none(),
            ballast,
            known: Stats::default(),
            stats,
            note,
            lock,
        };
        match work.open() {
            Ok(()) => {}
            Err(error) if trouble::may_pass(&error) => work.fail(&error, Doing::Appending),
            Err(error) => return Err(error),
        }
        work.publish();
        Ok((work, watched))
    }

    /// Works until it is told to close, or until nobody is left to tell.
    pub(super) fn run(mut self, inbox: &Receiver<Command>) {
        loop {
            match self.receive(inbox) {
                Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.write_waiting();
            self.do_what_is_due();
            if generation::is_dying() {
                // A new process is the only cure; the service manager starts it.
                tracing::error!("the database's own threads have died");
                break;
            }
        }
        self.close();
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Wake | Command::Close => {}
            Command::Peek { max_samples, max_bytes, reply } => {
                let found = self.with(Doing::Other, |store| store.peek(max_samples, max_bytes));
                answer(reply, found);
            }
            Command::Acknowledge { seqs, told, reply } => {
                let settled = self.with(Doing::Other, |store| store.settle(&seqs, told));
                answer(reply, settled);
            }
            Command::Losses { max, reply } => {
                answer(reply, self.with(Doing::Other, |store| Ok(store.report(max))));
            }
            Command::Sending { bounds, reply } => {
                if let Some(Err(error)) = self.note.as_mut().map(|note| note.write(bounds)) {
                    tracing::debug!(%error, "can't note what is in flight");
                }
                answer(reply, Ok(()));
            }
            Command::DeadLetter { seqs, refusal, reply } => {
                let settled = self.with(Doing::Other, |store| store.set_aside(&seqs, &refusal));
                answer(reply, settled);
            }
            Command::Inspect(request) => self.inspect(request),
        }
    }

    /// Does one step of a tool.
    fn inspect(&mut self, request: Request) {
        match request {
            Request::Page { cursor, reply } => {
                answer(reply, self.with(Doing::Other, |store| store.page(cursor)));
            }
            Request::Examine { after, reply } => {
                answer(reply, self.with(Doing::Other, |store| store.examine(after)));
            }
            Request::Survey { reply } => {
                answer(reply, self.with(Doing::Other, |store| store.survey()));
            }
            Request::Measure { reply } => {
                answer(reply, self.with(Doing::Other, |store| Ok(store.amount())));
            }
            Request::Purge { selection, through, reply } => {
                answer(reply, self.with(Doing::Other, |store| store.purge(selection, through)));
            }
            Request::DeadLetters { from, max, reply } => {
                answer(reply, self.with(Doing::Other, |store| store.dead_letters(from, max)));
            }
            Request::Retry { which, reply } => {
                answer(reply, self.with(Doing::Other, |store| store.retry_dead_letters(&which)));
            }
            Request::PurgeDeadLetters { which, reply } => {
                answer(reply, self.with(Doing::Other, |store| store.purge_dead_letters(&which)));
            }
        }
    }

    /// Waits for a command, or until something is due.
    fn receive(&self, inbox: &Receiver<Command>) -> Result<Command, RecvTimeoutError> {
        match self.next_due() {
            Some(due) => inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let waits = !self.batch.is_empty() || self.ring.waiting() != (0, 0);
        let write = waits.then_some(self.trouble.write_at);
        let store = self.store.as_ref();
        let tidy = store.filter(|store| store.wants_room()).map(|_| Instant::now());
        store.and_then(Store::sync_due).into_iter().chain(write).chain(tidy).min()
    }

    /// What needs no command: a delayed sync, room below a cap that was lowered.
    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        let Some(store) = &mut self.store else { return };
        if store.sync_due().is_some_and(|due| due <= now) {
            self.with(Doing::Other, Store::sync).ok();
        } else if store.wants_room() {
            self.with(Doing::Other, Store::give_room).ok();
        } else if store.wants_to_press() {
            self.with(Doing::Other, Store::press).ok();
        }
    }

    /// Writes what waits, as long as the disk takes it. What is due in the meantime is done, however
    /// much comes in.
    fn write_waiting(&mut self) {
        self.ring.look();
        while Instant::now() >= self.trouble.write_at {
            if self.batch.is_empty() {
                match self.ring.take(GATHER) {
                    Some(batch) => self.batch = batch,
                    None => return,
                }
            }
            if self.trouble.is_full() && !self.has_room_again() {
                return;
            }
            if self.write_batch().is_err() {
                return;
            }
            self.do_what_is_due();
        }
    }

    /// Whether the disk takes the ballast again, without which nothing is written to it.
    fn has_room_again(&mut self) -> bool {
        let restored = self.restore_ballast();
        if restored.is_err() {
            self.trouble.write_at = Instant::now() + trouble::PAUSE;
        }
        restored.is_ok()
    }

    /// An open store has to know what the ballast takes below the cap.
    fn restore_ballast(&mut self) -> io::Result<()> {
        let restored = self.ballast.restore();
        self.store.as_mut().into_iter().for_each(Store::measure_rest);
        restored
    }

    /// Samples that were dropped get their numbers, then the others are appended. After an error
    /// the batch holds what isn't durable.
    fn write_batch(&mut self) -> Result<(), QueueError> {
        // First, as opening it again may find some of the batch there.
        self.ready()?;
        let dropped = self.batch.dropped;
        if dropped > 0 {
            self.with(Doing::Appending, |store| store.count_overflow(dropped))?;
            self.batch.dropped = 0;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let mut before = None;
        let result = self.with(Doing::Appending, |store| {
            before = Some(store.next_seq());
            store.append(batch.ticks.iter().flat_map(|tick| &tick.samples))
        });
        if let Ok(done) = &result {
            batch.confirm(batch.samples(), *done);
        } else {
            let reached = self.memory.as_ref().map(|memory| memory.next_seq);
            let whole = reached.zip(before).map_or(0, |(reached, before)| reached - before);
            batch.confirm(whole, Enqueued::default());
        }
        self.batch = batch;
        self.publish();
        result.map(|_| ())
    }

    /// Does `work`; an error drops the handle, so that the next call opens the storage again.
    fn with<T>(
        &mut self,
        doing: Doing,
        work: impl FnOnce(&mut Store) -> Result<T, StorageError>,
    ) -> Result<T, QueueError> {
        let result = self.opened().and_then(work);
        match &result {
            Ok(_) => {
                if self.trouble.end(doing) {
                    // If there isn't room for it yet, the next trouble has to do without.
                    self.restore_ballast().ok();
                }
            }
            Err(error) => self.fail(error, doing),
        }
        // Before the answer, so that whoever gets it finds figures that know of it.
        self.publish();
        result.map_err(|error| QueueError::Storage(Arc::new(error)))
    }

    fn publish(&mut self) {
        if let Some(store) = &self.store {
            self.known = store.stats();
        }
        let (waiting, dropped) = self.ring.waiting();
        let (waiting, dropped) = (waiting + self.batch.samples(), dropped + self.batch.dropped);
        let mut now = self.known.clone();
        now.storage = self.trouble.figures(waiting);
        now.ledger.enqueued += dropped;
        now.ledger.dropped.overflow += dropped;
        self.stats.send_if_modified(|stats| {
            let changed = *stats != now;
            *stats = now;
            changed
        });
    }

    /// Writes what still can be written, and says what can't.
    fn close(mut self) {
        self.ring.close();
        self.trouble.hurry();
        self.write_waiting();
        if self.store.as_ref().is_some_and(|store| store.sync_due().is_some()) {
            self.with(Doing::Other, Store::sync).ok();
        }
        let (waiting, dropped) = self.ring.waiting();
        let lost = waiting + dropped + self.batch.samples() + self.batch.dropped;
        if lost > 0 {
            tracing::error!(samples = lost, "samples that waited for the disk are lost");
        }
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, QueueError>) {
    // Whoever asked may have stopped waiting; what was done is done.
    reply.send(result).ok();
}

#[cfg(test)]
mod tests;
