//! Whether a generation is what it must be. What the database opens quietly isn't believed, and what may
//! be damaged is opened as a copy first: the database cuts off what lies behind a damaged stretch, and
//! a crash before that is mended would make the loss of a little the loss of all behind it.

use std::{fs, path::Path};

use super::generation_path;
use crate::queue::{
    Options, files,
    generation::StorageError,
    live::{self, Live},
    meta::Meta,
    raw::{Look, Raw},
    salvage,
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
    options: &'a Options,
    first_seq: u64,
    end: Option<u64>,
    raw: &'a Raw,
    /// The last meta record that stands in its bytes.
    last_meta: Option<Meta>,
}

impl<'a> Case<'a> {
    /// The generation with these bytes, its first number and its end (exclusive; of the newest nobody
    /// else knows it).
    pub(super) fn of(
        options: &'a Options,
        (first_seq, end): (u64, Option<u64>),
        raw: &'a Raw,
    ) -> Self {
        Self { options, first_seq, end, raw, last_meta: salvage::last_meta(&raw.bytes) }
    }

    /// Opens it; the inner error says what isn't as it must be. Then it lies there as it did.
    pub(super) fn open(&self, care: Care) -> Result<Result<Live, String>, StorageError> {
        let unreadable = self.raw.unreadable;
        if unreadable > 0 {
            // sled would cut off what lies behind, and what can be read is known already.
            return Ok(Err(format!("{unreadable} of its pages can't be read")));
        }
        let path = generation_path(&self.options.directory, self.first_seq);
        if care == Care::CopyFirst
            && let Some(what) = self.try_copy()
        {
            return Ok(Err(what));
        }
        self.judge(&path)
    }

    /// Opens a copy; what isn't as it must be. `None` as well where no copy can be made.
    fn try_copy(&self) -> Option<String> {
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
        let flaw = self.raw.write_copy(&copy).ok().and_then(|()| self.judge(&copy).ok()?.err());
        // The next opening removes what can't be removed now.
        fs::remove_dir_all(&copy).ok();
        flaw
    }

    fn judge(&self, path: &Path) -> Result<Result<Live, String>, StorageError> {
        self.raw.open(path, || self.look(path))
    }

    /// What opens may still turn out to be damaged when it is read.
    fn look(&self, path: &Path) -> Result<Look<Live>, StorageError> {
        let live = Live::open(path, self.first_seq)?;
        if let Some(flaw) = self.flaw(&live)? {
            return Ok(Look::Wrong(flaw));
        }
        // A power cut may have cut short what its bytes show.
        let is_behind = self.last_meta.as_ref().is_some_and(|last| live.meta.is_behind(last));
        Ok(if is_behind { Look::Behind(live) } else { Look::Right(live) })
    }

    /// What the last meta record in the bytes says of generations that are gone is true: each of them went
    /// when that was on stable storage.
    fn forgets_a_fold(&self, meta: &Meta) -> bool {
        let folded = self.last_meta.as_ref().map_or(0, |last| last.folded_through);
        folded > meta.folded_through && !generation_path(&self.options.directory, folded).exists()
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
        if self.end.is_none() && self.forgets_a_fold(&live.meta) {
            return Ok(Some("it doesn't know of a part that is gone".into()));
        }
        let (found, expected) = (live.count()?, live.counts().samples);
        let flaw = format!("it holds {found} entries and should hold {expected}");
        Ok((found != expected).then_some(flaw))
    }
}

#[cfg(test)]
mod tests;
