//! Looking into the store without changing it: pages of entries over all generations, and what there
//! is to say of each. Closed generations are read from their raw bytes, since opening a database
//! writes to it; nothing ever leaves one before it is the oldest, so that what is whole there is
//! queued.

use super::{Middle, Store};
use crate::queue::{
    Entry,
    generation::StorageError,
    inspector::{Amount, Cursor, Page},
    leaf::leaf,
    live::Live,
    raw, recovery,
    salvage::Salvage,
    verify::{self, Claim, Evidence, Part, Survey, Told},
    window::Window,
};

/// A generation, open or not.
enum Place<'a> {
    Open(&'a Live),
    Closed(&'a Middle),
}

impl Place<'_> {
    fn first_seq(&self) -> u64 {
        match self {
            Self::Open(live) => live.first_seq,
            Self::Closed(middle) => middle.closed.first_seq,
        }
    }

    fn end(&self) -> u64 {
        match self {
            Self::Open(live) => live.meta.next_seq,
            Self::Closed(middle) => middle.end,
        }
    }
}

impl Store {
    /// Reads entries from `cursor` on, of one generation.
    pub(in crate::queue) fn page(&self, cursor: Cursor) -> Result<Page, StorageError> {
        let Some(place) = self.places().find(|place| place.end() > cursor.from) else {
            return Ok(Page::default());
        };
        let Cursor { from, max_samples, max_bytes } = cursor;
        let (window, end, damaged) = match place {
            Place::Open(live) => {
                let window = live.scan_from(from, max_samples, max_bytes)?;
                let last = window.entries.last().map(|last| from.max(last.seq).saturating_add(1));
                let damaged = window.damaged as u64;
                (window, last.unwrap_or(live.meta.next_seq), damaged)
            }
            Place::Closed(middle) => self.read_closed(middle, cursor),
        };
        let next = Some(end).filter(|end| *end < self.newest.meta.next_seq);
        let read = self.clock.moment();
        Ok(Page { entries: window.entries, next, damaged, read })
    }

    /// How much is queued, without dead letters that are to be sent again.
    pub(in crate::queue) fn amount(&self) -> Amount {
        let samples = self.counts().map(|counts| counts.samples).sum();
        Amount { samples, bytes: self.counts().map(|counts| counts.bytes).sum() }
    }

    /// Entries of a closed generation, where the next page begins, and how many of it can't be read, said
    /// with the last of them.
    fn read_closed(&self, middle: &Middle, cursor: Cursor) -> (Window, u64, u64) {
        let first_seq = middle.closed.first_seq;
        let path = recovery::generation_path(&self.options.directory, first_seq);
        let bytes = match raw::read(&path) {
            Ok(raw) => raw.bytes,
            Err(error) => {
                tracing::error!(generation = first_seq, %error, "a part of the queue can't be read");
                Vec::new()
            }
        };
        let Cursor { from, max_samples, max_bytes } = cursor;
        let seqs = from.max(first_seq)..middle.end;
        let (window, next) = leaf(&bytes, &seqs, max_samples, max_bytes);
        if next < middle.end {
            return (window, next, 0);
        }
        // What a later version wrote can't be read either.
        let whole = Salvage::of(&bytes).unwrap_or_default();
        let here = whole.seqs().filter(|seq| (first_seq..middle.end).contains(seq)).count() as u64;
        (window, next, middle.closed.counts.samples.saturating_sub(here))
    }

    /// The last entry of a closed generation, if it can be read.
    pub(super) fn last_of_closed(&self, middle: &Middle) -> Option<Entry> {
        let path = recovery::generation_path(&self.options.directory, middle.closed.first_seq);
        let raw = raw::read(&path).ok()?;
        let last = middle.end.saturating_sub(1)..middle.end;
        leaf(&raw.bytes, &last, 1, u64::MAX).0.entries.pop()
    }

    /// All generations, the oldest first.
    fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let oldest = self.oldest.iter().map(Place::Open);
        oldest.chain(self.middle.iter().map(Place::Closed)).chain([Place::Open(&self.newest)])
    }

    /// Examines the first generation behind the one that begins at `after`.
    pub(in crate::queue) fn examine(
        &self,
        after: Option<u64>,
    ) -> Result<Option<Part>, StorageError> {
        let mut places = self.places().skip_while(|place| Some(place.first_seq()) <= after);
        let Some(place) = places.next() else { return Ok(None) };
        let end = places.next().map(|next| next.first_seq());
        self.judge(&place, end).map(Some)
    }

    fn judge(&self, place: &Place<'_>, end: Option<u64>) -> Result<Part, StorageError> {
        let first_seq = place.first_seq();
        let path = recovery::generation_path(&self.options.directory, first_seq);
        let (claim, told) = match place {
            Place::Open(live) => (Claim::of(live), Told::Entries(live.seqs()?)),
            Place::Closed(middle) => {
                let expected = middle.closed.counts.samples;
                let claim = Claim { expected, head: first_seq, next_seq: middle.end };
                (claim, Told::Nothing)
            }
        };
        let raw = verify::OnDisk::read(&path);
        Ok(Evidence { first_seq, end, claim: Some(claim), told, raw }.judge(&path))
    }

    /// What lies around the generations.
    pub(in crate::queue) fn survey(&self) -> Result<Survey, StorageError> {
        let mut survey = verify::survey(&self.options.directory, self.options.max_bytes)?;
        survey.agent_id = Some(self.newest.meta.agent_id);
        survey.check_numbers(self.ledger_of_queue().enqueued, self.next_seq());
        Ok(survey)
    }
}
