//! The bytes of a generation's database as they lie on the disk: read before sled opens it, and put
//! back behind an opening that went wrong. sled takes a read that fails for the end of its log and cuts
//! off what lies behind it, so nothing that it shows, and nothing that it left, is believed before these
//! bytes had a second chance.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    files,
    generation::{self, StorageError},
    trouble,
};

/// What is read at once where the disk refuses to be read.
const PAGE: usize = 4096;
/// For so long pages that the disk refuses are asked for again, in case that it passes.
const PATIENCE: Duration = Duration::from_secs(3);
/// The first pause before that; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(100);
/// A database is opened so often while what it shows isn't what it must be, and isn't the same twice.
const ATTEMPTS: u32 = 3;

/// The bytes of a database. Pages that the disk refuses are zeros, and counted.
#[derive(Default)]
pub(super) struct Raw {
    pub(super) bytes: Vec<u8>,
    pub(super) unreadable: u64,
    /// The small files beside it: the database's settings, its snapshot.
    beside: Vec<(OsString, Vec<u8>)>,
}

/// What an opened database looks like.
pub(super) enum Look<T> {
    /// It is what it must be.
    Right(T),
    /// It is what it must be, and its bytes show more, which may never have been whole.
    Behind(T),
    /// It isn't what it must be.
    Wrong(String),
}

/// Reads the bytes of the database in `directory`. Bounded by its files, which the queue bounds.
pub(super) fn read(directory: &Path) -> Result<Raw, StorageError> {
    read_for(directory, Duration::ZERO)
}

/// [`read`] for an opening: what the disk refuses is asked for again for a few seconds, since what stays
/// refused counts as lost.
pub(super) fn read_patiently(directory: &Path) -> Result<Raw, StorageError> {
    read_for(directory, PATIENCE)
}

fn read_for(directory: &Path, patience: Duration) -> Result<Raw, StorageError> {
    let path = directory.join("db");
    match fs::read(&path) {
        Ok(bytes) => Ok(Raw { bytes, unreadable: 0, beside: small_files(directory)? }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Raw::default()),
        Err(_) => {
            let file = File::open(&path)?;
            let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
            let read = |page: &mut [u8], offset| files::read_at(&file, page, offset);
            let (bytes, unreadable) = read_pages(length, patience, read);
            Ok(Raw { bytes, unreadable, beside: small_files(directory)? })
        }
    }
}

/// Reads page by page; those that were refused are asked for again behind all others. The bytes, and how
/// many pages stay zeros.
fn read_pages(
    length: usize,
    patience: Duration,
    read: impl Fn(&mut [u8], u64) -> io::Result<()>,
) -> (Vec<u8>, u64) {
    let is_refused = |page: &mut [u8], offset| {
        let read = read(page, offset);
        // It may have been read in part.
        read.inspect_err(|_| page.fill(0)).is_err()
    };
    let (began, mut pause) = (Instant::now(), PAUSE);
    let mut bytes = vec![0; length];
    let mut refused: Vec<_> = bytes.chunks_mut(PAGE).zip((0..).step_by(PAGE)).collect();
    refused.retain_mut(|(page, offset)| is_refused(page, *offset));
    // A disk may take seconds for each refusal.
    let is_over = |pause| began.elapsed() + pause > patience;
    while !refused.is_empty() && !is_over(pause) {
        tracing::warn!(pages = refused.len(), "the disk refuses to be read; it is asked again");
        wait(pause);
        pause *= 2;
        refused.retain_mut(|(page, offset)| is_over(Duration::ZERO) || is_refused(page, *offset));
    }
    let unreadable = refused.len() as u64;
    (bytes, unreadable)
}

fn wait(pause: Duration) {
    let until = Instant::now() + pause;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

fn small_files(directory: &Path) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() != "db" && entry.file_type()?.is_file() {
            // A database opens without its snapshots as well; without its settings it doesn't.
            let read = fs::read(entry.path());
            found.extend(read.ok().map(|bytes| (entry.file_name(), bytes)));
        }
    }
    Ok(found)
}

impl Raw {
    /// Opens the database in `directory`, of which these bytes are, until `look` finds it right, or finds
    /// the same twice, which no read that failed explains. The inner error says what isn't right: then the
    /// bytes lie there as they did. They must have been read whole.
    pub(super) fn open<T>(
        &self,
        directory: &Path,
        mut look: impl FnMut() -> Result<Look<T>, StorageError>,
    ) -> Result<Result<T, String>, StorageError> {
        let (mut attempt, mut before) = (1, None);
        loop {
            let began = Instant::now();
            let looked = look();
            let hangs = began.elapsed() >= generation::OPEN_DEADLINE;
            let what = what_is_wrong(&looked);
            let is_sure = hangs || attempt == ATTEMPTS || before == what || is_final(&looked);
            let outcome = match looked {
                Ok(Look::Right(it)) => return Ok(Ok(it)),
                Ok(Look::Behind(it)) if is_sure => return Ok(Ok(it)),
                // It is closed here, so that it can be written.
                Ok(Look::Behind(_)) => Ok(Err(BEHIND.to_owned())),
                Ok(Look::Wrong(what)) | Err(StorageError::Damaged(what)) => Ok(Err(what)),
                Err(error) => Err(error),
            };
            let put_back = self.put_back(directory);
            if let Err(error) = &put_back {
                tracing::warn!(%error, "a part of the queue can't be put back as it was");
            }
            if is_sure || put_back.is_err() {
                return outcome;
            }
            tracing::warn!(what, "a part of the queue is read once more");
            (attempt, before) = (attempt + 1, what);
        }
    }

    /// Makes `directory` hold these bytes and nothing else, on stable storage.
    fn put_back(&self, directory: &Path) -> io::Result<()> {
        let file = File::options().write(true).open(directory.join("db"))?;
        // sled's threads may write to it a little longer than its handle lives.
        lock_patiently(&file)?;
        generation::remove_snapshots(directory, |name| !self.has_beside(name))?;
        if !fs::read(directory.join("db")).is_ok_and(|there| there == self.bytes) {
            files::write_at(&file, &self.bytes, 0)?;
            file.set_len(self.bytes.len() as u64)?;
            file.sync_data()?;
        }
        // On a full disk without its snapshot: the whole log tells the same.
        self.write_small_files(directory)
            .or_else(|_| generation::remove_snapshots(directory, |_| true))
    }

    fn has_beside(&self, name: &str) -> bool {
        self.beside.iter().any(|(beside, _)| beside == name)
    }

    /// Writes these bytes into the new directory `copy`.
    pub(super) fn write_copy(&self, copy: &Path) -> io::Result<()> {
        files::create_directory(copy)?;
        fs::write(copy.join("db"), &self.bytes)?;
        self.write_small_files(copy)
    }

    /// Those that are there already aren't touched.
    fn write_small_files(&self, directory: &Path) -> io::Result<()> {
        self.beside.iter().try_for_each(|(name, bytes)| {
            let path = directory.join(name);
            if fs::read(&path).is_ok_and(|there| there == *bytes) {
                return Ok(());
            }
            fs::write(&path, bytes)?;
            files::restrict(&path)
        })
    }
}

const BEHIND: &str = "its last changes are missing";

fn what_is_wrong<T>(looked: &Result<Look<T>, StorageError>) -> Option<String> {
    match looked {
        Ok(Look::Right(_)) => None,
        Ok(Look::Behind(_)) => Some(BEHIND.to_owned()),
        Ok(Look::Wrong(what)) => Some(what.clone()),
        Err(error) => Some(error.to_string()),
    }
}

/// Whether no further attempt helps, whatever was read.
fn is_final<T>(looked: &Result<Look<T>, StorageError>) -> bool {
    matches!(looked, Err(StorageError::LaterVersion(_)))
        || looked.as_ref().is_err_and(trouble::is_full)
}

fn lock_patiently(file: &File) -> io::Result<()> {
    let deadline = Instant::now() + generation::REOPEN_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::park_timeout(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
