//! One small database of the queue. The only file that names sled.
//!
//! What sled promises is made true here: a flush that fsyncs, handles that are dropped under guard,
//! left-over snapshots removed before opening, modes that only the owner can use. It knows nothing
//! of sequence numbers or ledgers.

use std::{
    cell::Cell,
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    time::{Duration, Instant},
};

use super::{calm, files, nudge};

/// Most bytes of values in one [`Generation::commit`]: the log that they write between two syncs
/// stays below half a segment (93 KiB of payload wrote 350–630 KiB).
pub(super) const MAX_COMMIT: usize = 32 << 10;

const SEGMENT: usize = 512 << 10;
const CACHE: u64 = 4 << 20;
/// Dropping a handle doesn't wait for sled's pool, which may hold the file's lock a little longer.
pub(super) const REOPEN_PATIENCE: Duration = Duration::from_millis(500);
/// A generation opens in milliseconds; on a disk that takes seconds for a sync, in some of those.
pub(super) const OPEN_DEADLINE: Duration = Duration::from_secs(20);

/// Why the database didn't do what it was told. A variant is a reaction of the caller.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused: the disk is full or failing. Drop the handle and reopen.
    #[error("the disk refused: {0}")]
    Io(io::Error),
    /// The operating system couldn't force what was written to the disk: what it shows of that may
    /// not be there. Drop the handle, and write anew what isn't known to be safe.
    #[error("the disk didn't confirm what was written: {0}")]
    Sync(io::Error),
    /// What is on disk isn't what was written: quarantine and salvage.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A later version of this program wrote it: refuse, and touch nothing.
    #[error("it was written by a later version of collector (this one doesn't know format {0})")]
    LaterVersion(u8),
}

impl From<io::Error> for StorageError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<sled::Error> for StorageError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => Self::Io(plain(error)),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// sled hands on as text what one of its own threads met: `Os { code: 5, kind: … }`, or even
/// `Custom { kind: …, error: "Os { code: 5, kind: … }" }`.
fn plain(error: io::Error) -> io::Error {
    if error.raw_os_error().is_some() {
        return error;
    }
    let text = error.to_string();
    let innermost =
        text.rsplit("error: \"").next().and_then(|inner| inner.strip_prefix("Os { code: "));
    let code = innermost.and_then(|rest| rest.split_once(','));
    let code = code.and_then(|(code, _)| code.parse().ok());
    code.map_or(error, io::Error::from_raw_os_error)
}

/// A change of one commit: a value that is set, or a key that goes.
pub(super) type Change<'a> = (&'a [u8], Option<Vec<u8>>);

/// A value as it lies in the database's cache.
pub(super) type Value = sled::IVec;

/// An open database in its directory.
pub(super) struct Generation {
    directory: PathBuf,
    db: Option<sled::Db>,
    config: sled::Config,
    file: File,
    /// Atomic steps so far.
    #[cfg(test)]
    pub(super) commits: Cell<u64>,
}

impl Generation {
    /// Creates the database in a new directory. When this returns, directory and files are on
    /// stable storage, but for the caller's own parent directory.
    pub(super) fn create(directory: &Path) -> Result<Self, StorageError> {
        files::create_directory(directory)?;
        let generation = Self::open(directory)?;
        generation.file.sync_all()?;
        // Windows' FlushFileBuffers wants a handle that may write.
        File::options().write(true).open(directory.join("conf"))?.sync_all()?;
        files::sync_directory(directory)?;
        Ok(generation)
    }

    /// Opens what is there; a missing database file is an error, since sled would quietly make an
    /// empty one.
    pub(super) fn open_existing(directory: &Path) -> Result<Self, StorageError> {
        if !directory.join("db").is_file() {
            return Err(StorageError::Damaged("its file `db` is missing".into()));
        }
        Self::open(directory)
    }

    fn open(directory: &Path) -> Result<Self, StorageError> {
        remove_snapshots(directory, |name| name.ends_with(".generating"))?;
        let config = config(directory);
        let db = open_patiently(&config).or_else(|error| match error {
            StorageError::Damaged(_) => {
                remove_snapshots(directory, |_| true)?;
                open_patiently(&config)
            }
            other => Err(other),
        })?;
        for name in ["conf", "db", "blobs"] {
            files::restrict(&directory.join(name))?;
        }
        // As for `conf` above.
        let file = File::options().read(true).write(true).open(directory.join("db"))?;
        Ok(Self {
            directory: directory.to_owned(),
            db: Some(db),
            config,
            file,
            #[cfg(test)]
            commits: Cell::new(0),
        })
    }

    fn db(&self) -> Result<&sled::Db, StorageError> {
        self.db.as_ref().ok_or_else(|| StorageError::Damaged("it is closed".into()))
    }

    /// Applies all changes in one atomic step and hands them to the kernel: a killed process loses
    /// nothing. A power cut may lose it until [`Self::sync`] returned.
    pub(super) fn commit(&self, changes: Vec<Change<'_>>) -> Result<(), StorageError> {
        let db = self.db()?;
        #[cfg(test)]
        self.commits.update(|commits| commits + 1);
        let work = || {
            apply(db, changes)?;
            db.flush()?;
            Ok(())
        };
        nudge::during(self.nudge(db), || guarded(|| calm::starting_pool(work)))
    }

    /// What wakes a flush that misses its own error: any other call that meets it wakes all who
    /// wait, and none that meets it waits.
    fn nudge(&self, db: &sled::Db) -> impl Fn() + Send + 'static {
        let (db, config) = (db.clone(), self.config.clone());
        move || {
            let woken = guarded(|| {
                if config.global_error().is_err() {
                    db.flush()?;
                }
                Ok(())
            });
            // The very error that the flush gets as well.
            if let Err(error) = woken {
                tracing::debug!(%error, "woke a write that had failed");
            }
        }
    }

    /// Forces all commits to stable storage: one fdatasync. After an error nothing is known of what
    /// reached the disk; drop the handle and don't call this again.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(StorageError::Sync)?;
        if files::is_at(&self.file, &self.directory.join("db")) {
            return Ok(());
        }
        let gone = format!("{} was removed or replaced", self.directory.display());
        Err(StorageError::Io(io::Error::new(io::ErrorKind::NotFound, gone)))
    }

    /// The value of one key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Value>, StorageError> {
        let db = self.db()?;
        guarded(|| Ok(db.get(key)?))
    }

    /// Keys and values from `from` to `to` (exclusive), in order, read as they are asked for.
    pub(super) fn scan(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> Result<impl Iterator<Item = Result<(Vec<u8>, Value), StorageError>>, StorageError> {
        let mut range = self.db()?.range(from.to_vec()..to.to_vec());
        let next = move || guarded(|| Ok(range.next().transpose()?)).transpose();
        Ok(std::iter::from_fn(next).map(|item| item.map(|(key, value)| (key.to_vec(), value))))
    }

    /// The last key and value from `from` to `to` (exclusive).
    pub(super) fn last(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<(Vec<u8>, Value)>, StorageError> {
        let mut range = self.db()?.range(from.to_vec()..to.to_vec());
        guarded(|| Ok(range.next_back().transpose()?.map(|(key, value)| (key.to_vec(), value))))
    }

    /// Length of the database file, in bytes.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| files::on_disk(&metadata))
    }

    /// Where it lives.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        let db = self.db.take();
        // sled may panic while it drops; what was committed is in the kernel already.
        let closed = guarded(|| {
            drop(db);
            Ok(())
        });
        if closed.is_err() {
            tracing::warn!(directory = %self.directory.display(), "the database panicked while closing");
        }
    }
}

/// One insert is atomic by itself and spares the log a batch's manifest, which is a write of its own.
fn apply(db: &sled::Db, mut changes: Vec<Change<'_>>) -> sled::Result<()> {
    if let [(key, Some(value))] = changes.as_mut_slice() {
        db.insert(*key, std::mem::take(value))?;
        return Ok(());
    }
    let mut batch = sled::Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    db.apply_batch(batch)
}

/// How many of the database's own threads have panicked: it keeps seven for the whole process.
static PANICS: AtomicUsize = AtomicUsize::new(0);
/// So many may; then the rest is too few to be trusted with more work.
const MOST_PANICS: usize = 4;

/// To be called by the process's panic hook: what panics in a thread of the database isn't lost, but
/// must not happen often.
pub fn note_panic() {
    if std::thread::current().name().is_some_and(|name| name.starts_with("sled-io")) {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the database's threads are dying: what they are asked may never be done any more.
pub(super) fn is_dying() -> bool {
    PANICS.load(Ordering::Relaxed) >= MOST_PANICS
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside the database: a panic there becomes an error that says what it
/// means, and needn't be shown.
#[must_use]
pub fn is_guarded() -> bool {
    GUARDED.get()
}

fn guarded<T>(work: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
    let outer = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    done.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
        Err(panicked(text))
    })
}

/// What a panic of the database means: memory that was short says nothing of what is on disk.
fn panicked(text: &str) -> StorageError {
    if text.starts_with("failed to allocate") {
        return StorageError::Io(io::Error::new(io::ErrorKind::OutOfMemory, text.to_owned()));
    }
    StorageError::Damaged(text.chars().take(200).collect())
}

/// Opens the database in a thread of its own, as it may hang (when memory is short, say): then that
/// thread is left alone, and what it hangs on is damaged for all that we know.
fn open_in_time(config: &sled::Config) -> Result<sled::Db, StorageError> {
    let (done, opened) = sync_channel(1);
    let config = config.clone();
    let thread = std::thread::Builder::new().name("queue-open".into()).spawn(move || {
        // Whoever waited may have given up.
        done.send(guarded(|| Ok(config.open()?))).ok();
    })?;
    match opened.recv_timeout(OPEN_DEADLINE) {
        Ok(opened) => {
            // It has nothing left to do, and must be gone before the handle is dropped again.
            thread.join().ok();
            opened
        }
        Err(RecvTimeoutError::Timeout) => Err(StorageError::Damaged("it doesn't open".into())),
        Err(RecvTimeoutError::Disconnected) => Err(StorageError::Damaged("it panicked".into())),
    }
}

fn open_patiently(config: &sled::Config) -> Result<sled::Db, StorageError> {
    let deadline = Instant::now() + REOPEN_PATIENCE;
    loop {
        match open_in_time(config) {
            Err(StorageError::Io(error))
                if error.to_string().contains("could not acquire lock")
                    && Instant::now() < deadline =>
            {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

fn config(directory: &Path) -> sled::Config {
    sled::Config::new()
        .path(directory)
        .segment_size(SEGMENT)
        .cache_capacity(CACHE)
        .flush_every_ms(None)
        .use_compression(false)
}

/// Removes the snapshots in `directory` whose names are those.
pub(super) fn remove_snapshots(directory: &Path, which: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with("snap.") && which(name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_that_sled_hands_on_as_text_is_what_it_was() {
        let error = sled::Error::Io(io::Error::from_raw_os_error(5));
        for error in [error.clone(), error.clone().clone(), error] {
            let StorageError::Io(error) = StorageError::from(error) else {
                panic!("it is one of io")
            };
            assert_eq!(error.raw_os_error(), Some(5), "{error:?}");
        }
    }

    #[test]
    fn memory_that_is_short_is_no_damage() {
        let refused = guarded::<()>(|| panic!("failed to allocate critical IO buffer"));
        let Err(StorageError::Io(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        let refused = guarded::<()>(|| panic!("index out of bounds"));
        assert!(matches!(refused, Err(StorageError::Damaged(_))), "{refused:?}");
    }

    #[test]
    fn error_without_a_number_stays_as_it_is() {
        let text = "could not acquire lock on \"db\": Os { code: 11, kind: WouldBlock }";
        let error = sled::Error::Io(io::Error::other(text));
        let StorageError::Io(error) = error.into() else { panic!("it is one of io") };
        assert_eq!(error.to_string(), text);
    }
}
