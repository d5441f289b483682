//! Whether a generation is what it must be. What the database opens quietly isn't believed, and what may
//! be damaged is opened as a copy first: the database cuts off what lies behind a damaged stretch, and
//! a crash before that is mended would make the loss of a little the loss of all behind it.

use std::{fs, io, path::Path};

use super::generation_path;
use crate::queue::{
    Options, files,
    generation::StorageError,
    live::{self, Live},
    salvage::{self, Raw},
    tail::Tail,
};

/// What a new database takes before anything is in it.
pub(super) const SEGMENTS: u64 = 1 << 20;

/// How carefully a generation is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) enum Care {
    /// A copy first, if there is room for one: nobody knows what happened to it.
    CopyFirst,
    /// As it is: this process itself has written it, or it has rested since.
    AsItIs,
}

/// A generation that is about to be opened.
pub(super) struct Case<'a> {
    pub(super) options: &'a Options,
    pub(super) first_seq: u64,
    /// Where it ends (exclusive); of the newest nobody else knows.
    pub(super) end: Option<u64>,
    pub(super) raw: &'a Raw,
}

impl Case<'_> {
    /// Opens it; the inner error says what isn't as it must be.
    pub(super) fn open(&self, care: Care) -> Result<Result<Live, String>, StorageError> {
        let path = generation_path(&self.options.directory, self.first_seq);
        if care == Care::CopyFirst
            && let Some(what) = self.try_copy(&path)
        {
            return Ok(Err(what));
        }
        self.judge(&path)
    }

    /// Opens a copy; what isn't as it must be. `None` as well where no copy can be made.
    fn try_copy(&self, path: &Path) -> Option<String> {
        let directory = &self.options.directory;
        let taken = files::tree_on_disk(directory);
        let needed = self.raw.bytes.len() as u64 + SEGMENTS;
        if taken + needed > self.options.max_bytes
            || files::free_bytes(directory).is_some_and(|free| free < 2 * needed)
        {
            return None;
        }
        let copy = directory.join(format!("{}trial", live::UNBORN));
        // It is closed again before it is removed.
        let flaw = self.copy(path, &copy).ok().and_then(|()| self.judge(&copy).ok()?.err());
        // The next opening removes what can't be removed now.
        fs::remove_dir_all(&copy).ok();
        flaw
    }

    fn copy(&self, path: &Path, copy: &Path) -> io::Result<()> {
        files::create_directory(copy)?;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_name() == "db" {
                fs::write(copy.join("db"), &self.raw.bytes)?;
            } else if entry.file_type()?.is_file() {
                fs::copy(entry.path(), copy.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    fn judge(&self, path: &Path) -> Result<Result<Live, String>, StorageError> {
        let unreadable = self.raw.unreadable;
        match self.look(path) {
            Ok(_) if unreadable > 0 => Ok(Err(format!("{unreadable} of its pages can't be read"))),
            Err(StorageError::Damaged(what)) => Ok(Err(what)),
            Err(StorageError::Io(error)) if unreadable > 0 => Ok(Err(error.to_string())),
            looked => looked,
        }
    }

    /// What opens may still turn out to be damaged when it is read.
    fn look(&self, path: &Path) -> Result<Result<Live, String>, StorageError> {
        let live = Live::open(path, self.first_seq)?;
        Ok(self.flaw(&live)?.map_or(Ok(live), Err))
    }

    /// Whether the newest generation's file shows no entry from `next_seq` on that was confirmed: a
    /// commit that a killed process left half-written isn't one.
    fn holds_nothing_beyond(&self, next_seq: u64) -> Result<bool, StorageError> {
        let mark = Tail::read(&self.options.directory);
        if mark.is_some_and(|mark| mark.exact && mark.next_seq <= next_seq) {
            return Ok(true);
        }
        Ok(salvage::highest_seq(&self.raw.bytes)?.is_none_or(|seq| seq < next_seq))
    }

    /// What is wrong with a generation that opened. The successor's name tells where the others end;
    /// of the newest, its own file tells what it held.
    fn flaw(&self, live: &Live) -> Result<Option<String>, StorageError> {
        let next_seq = live.meta.next_seq;
        let reaches = match self.end {
            Some(end) => next_seq == end,
            None => self.holds_nothing_beyond(next_seq)?,
        };
        if !reaches {
            return Ok(Some("its last entries are missing".into()));
        }
        let (found, expected) = (live.count()?, live.counts().samples);
        let flaw = format!("it holds {found} entries and should hold {expected}");
        Ok((found != expected).then_some(flaw))
    }
}
