//! The handle of the storage, which is dropped when anything fails and opened again: what was known of
//! the queue by then, and what of the last write is there after all.

use std::{io, sync::Arc, time::Instant};

use uuid::Uuid;

use super::Work;
use crate::{
    clock::Clock,
    queue::{
        Enqueued, Options, QueueError, files,
        generation::StorageError,
        in_flight::{InFlight, Note},
        recovery,
        store::{Memory, Store},
        trouble::{self, Doing},
    },
};

/// What it takes to open the store, now and again.
pub(in crate::queue) struct Home {
    pub(in crate::queue) options: Options,
    pub(in crate::queue) machine: Option<Uuid>,
    pub(in crate::queue) clock: Arc<dyn Clock>,
}

impl Home {
    /// `memory` is what this process knows of the queue from before. Losses up to the number `told`
    /// were on their way.
    fn open(&self, memory: Option<&Memory>, told: u64) -> Result<Store, StorageError> {
        let mut parts = recovery::open(&self.options, self.machine, memory)?;
        parts.told = told;
        Store::new(parts, self.options.clone(), Arc::clone(&self.clock))
    }
}

impl Work {
    /// Opens the store, if it isn't open.
    pub(super) fn ready(&mut self) -> Result<(), QueueError> {
        let Err(error) = self.opened() else { return Ok(()) };
        self.fail(&error, Doing::Appending);
        self.publish();
        Err(QueueError::Storage(Arc::new(error)))
    }

    pub(super) fn opened(&mut self) -> Result<&mut Store, StorageError> {
        if self.store.is_none() {
            if Instant::now() < self.trouble.open_at {
                return Err(StorageError::Io(io::Error::other("it is opened again in a moment")));
            }
            let opened = self.open();
            if opened.is_err() {
                self.trouble.open_at = Instant::now() + trouble::PAUSE;
            }
            opened?;
        }
        self.store.as_mut().ok_or_else(|| StorageError::Damaged("it isn't open".into()))
    }

    /// Opens the store; on a full disk once more without the ballast.
    pub(super) fn open(&mut self) -> Result<(), StorageError> {
        match self.open_once() {
            Err(error) if trouble::is_full(&error) && self.ballast.release() => self.open_once(),
            done => done,
        }
    }

    fn open_once(&mut self) -> Result<(), StorageError> {
        let directory = &self.home.options.directory;
        files::create_directory(directory)?;
        self.lock.keep(directory)?;
        let told = self.note.as_ref().and_then(Note::written).map_or(0, InFlight::told);
        let mut store = self.home.open(self.memory.as_ref(), told)?;
        if let Some(memory) = &self.memory {
            let survivors = store.reclaim(memory, self.suspect)?;
            if self.batch.dropped == 0 {
                self.batch.confirm(survivors, Enqueued::default());
            } else if survivors > 0 {
                self.batch.dropped = 0;
            }
        }
        (self.memory, self.suspect) = (None, false);
        if !self.trouble.is_full() && store.has_room_for(self.ballast.bytes()) {
            self.ballast.restore()?;
        }
        store.measure_rest();
        self.store = Some(store);
        Ok(())
    }

    pub(super) fn fail(&mut self, error: &StorageError, doing: Doing) {
        if let Some(store) = self.store.take() {
            self.memory = Some(store.memory());
            self.suspect |= matches!(error, StorageError::Sync(_));
        }
        if trouble::is_full(error) {
            self.ballast.release();
        }
        self.trouble.begin(error, doing, self.home.clock.now());
    }
}
