//! What the server is to be told of losses: all generations together. Whatever the ledger counts is
//! noted with it; what isn't, as after a damage, is found by comparing the two, and noted then, with
//! the range in which it must lie.

use super::Store;
use crate::queue::{
    Ledger, Unreported,
    generation::StorageError,
    losses::{Loss, Lost, Reason},
};

impl Store {
    /// Has all numbers of losses come from one source, and notes what was found to be lost while
    /// the queue was opened.
    pub(super) fn begin_report(&mut self, lost: &[Lost]) -> Result<(), StorageError> {
        let lives = self.oldest.iter_mut().chain([&mut self.newest]);
        lives.for_each(|live| live.losses.number_by(&self.numbers));
        if self.newest.losses.is_unwritten {
            // What an earlier version lost is past, but not what was lost since.
            let mut past = self.counted();
            for lost in lost {
                let count = lost.reason.count(&mut past);
                *count = count.saturating_sub(lost.count);
            }
            (self.newest.losses.noted, self.newest.losses.is_unwritten) = (past, false);
        }
        self.note_lost(lost)?;
        self.note_unnoted()
    }

    /// The oldest generation is another one.
    pub(super) fn report_of_oldest(&mut self, lost: &[Lost]) -> Result<(), StorageError> {
        if let Some(oldest) = &mut self.oldest {
            oldest.losses = oldest.losses.handed_over();
            oldest.losses.number_by(&self.numbers);
        }
        self.note_lost(lost)
    }

    /// Notes losses that are counted already.
    pub(super) fn note_lost(&mut self, lost: &[Lost]) -> Result<(), StorageError> {
        if lost.iter().all(|lost| lost.count == 0) {
            return Ok(());
        }
        let mut losses = self.newest.losses.clone();
        for lost in lost {
            losses.note(*lost);
        }
        self.newest.note_lost(self.newest.meta.clone(), losses)
    }

    /// Notes what the ledger counts beyond all that was noted: somewhere among all numbers.
    pub(super) fn note_unnoted(&mut self) -> Result<(), StorageError> {
        let (mut counted, mut noted) = (self.counted(), self.newest.losses.noted);
        if let Some(oldest) = &self.oldest {
            noted.add(&oldest.losses.noted);
        }
        let mut lost = Vec::new();
        for reason in Reason::ALL {
            let (counted, noted) = (*reason.count(&mut counted), reason.count(&mut noted));
            let anywhere = self.newest.lost(reason, 1, self.next_seq());
            lost.push(Lost { count: counted.saturating_sub(*noted), ..anywhere });
            // What came back isn't to hide what goes next.
            let own = reason.count(&mut self.newest.losses.noted);
            *own = own.saturating_sub(noted.saturating_sub(counted));
        }
        self.note_lost(&lost)
    }

    /// What was ever lost or set aside.
    fn counted(&self) -> Ledger {
        let Ledger { dead_lettered, mut dropped, .. } = self.ledger_of_queue();
        dropped.add(&self.dead.left().dropped);
        Ledger { dead_lettered, dropped, ..Ledger::default() }
    }

    /// Notes the dead letters that were lost since the last time. What a crash keeps from being
    /// noted is found by its count.
    pub(super) fn note_dead(&mut self) -> Result<(), StorageError> {
        let lost = self.dead.take_lost();
        self.note_lost(&lost)
    }

    /// The first losses that the server wasn't told of, at most `max`, in the order of their numbers.
    pub(in crate::queue) fn report(&mut self, max: usize) -> Vec<Loss> {
        let mut report: Vec<_> = self.waiting_losses().copied().collect();
        report.sort_by_key(|loss| loss.number);
        report.truncate(max);
        if let Some(last) = report.last() {
            self.numbers.tell(last.number);
        }
        report
    }

    /// The server was told of the losses up to the number `through`.
    pub(super) fn reported(&mut self, through: u64) -> Result<(), StorageError> {
        let lives = self.oldest.iter_mut().chain([&mut self.newest]);
        for live in lives {
            let mut losses = live.losses.clone();
            if losses.forget(through) {
                live.note_lost(live.meta.clone(), losses)?;
            }
        }
        Ok(())
    }

    fn waiting_losses(&self) -> impl Iterator<Item = &Loss> {
        let oldest = self.oldest.iter().flat_map(|oldest| oldest.losses.waiting());
        oldest.chain(self.newest.losses.waiting())
    }

    /// Every loss that waits to be told.
    pub(super) fn unreported(&self) -> Unreported {
        let ranges = self.waiting_losses().count() as u64;
        Unreported { ranges, samples: self.waiting_losses().map(|loss| loss.lost.count).sum() }
    }

    /// Every loss that waits, for a process that may have to begin the queue anew.
    pub(super) fn known_losses(&self) -> (Vec<Loss>, Ledger) {
        (self.waiting_losses().copied().collect(), self.counted())
    }

    /// Takes back losses that were noted and aren't there any more.
    pub(super) fn restore_losses(&mut self, known: &[Loss]) -> Result<(), StorageError> {
        let of_oldest = self.oldest.iter().flat_map(|oldest| oldest.losses.waiting());
        let here: Vec<_> = of_oldest.map(|loss| loss.number).collect();
        let known: Vec<_> =
            known.iter().filter(|loss| !here.contains(&loss.number)).copied().collect();
        let mut losses = self.newest.losses.clone();
        if losses.restore(&known) {
            self.newest.note_lost(self.newest.meta.clone(), losses)?;
        }
        Ok(())
    }
}
