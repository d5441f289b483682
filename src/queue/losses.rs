//! Which sequence numbers will never come, and why: what the server is told of losses. Ranges are noted in
//! the atomic step in which the entries leave and forgotten when a request that told of them was
//! acknowledged. Bounded: when there are too many ranges, neighbours become one that is wider than
//! what was lost; the count stays true. Pure.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Ledger, record};

/// Most ranges of one generation that wait to be told: they fit into one value of the database.
pub(super) const MOST: usize = 48;
/// Tells a note of losses from a meta record, which begins with another byte.
const TAG: u8 = 0xc0;

/// Why a sample doesn't come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The cap, the free-space floor, or the bound on what waits in memory.
    Overflow,
    /// Older than `max_age`.
    Expired,
    /// Damaged on disk.
    Corrupt,
    /// Thrown away by the operator.
    Purged,
    /// The server refused it alone. It may come yet, when the operator has it sent again.
    DeadLettered,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Overflow, Self::Expired, Self::Corrupt, Self::Purged, Self::DeadLettered];

    /// The count of the ledger that is meant.
    pub(super) fn count(self, ledger: &mut Ledger) -> &mut u64 {
        match self {
            Self::Overflow => &mut ledger.dropped.overflow,
            Self::Expired => &mut ledger.dropped.expired,
            Self::Corrupt => &mut ledger.dropped.corrupt,
            Self::Purged => &mut ledger.dropped.purged,
            Self::DeadLettered => &mut ledger.dead_lettered,
        }
    }
}

/// Samples that were lost together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The agent id under which they were enqueued.
    pub agent_id: Uuid,
    /// Why.
    pub reason: Reason,
    /// No number below it is meant.
    pub first_seq: u64,
    /// No number above it is meant.
    pub last_seq: u64,
    /// How many of the range were lost: all of them, unless it is wider than what was lost.
    pub count: u64,
}

impl Lost {
    fn width(&self) -> u64 {
        (self.last_seq - self.first_seq).saturating_add(1)
    }

    fn is_kin(&self, other: &Self) -> bool {
        (self.agent_id, self.reason) == (other.agent_id, other.reason)
    }

    /// Numbers between the two that are in neither; 0 when they touch or overlap.
    fn hole(&self, other: &Self) -> u64 {
        let between = |low: &Self, high: &Self| high.first_seq.saturating_sub(low.last_seq);
        between(self, other).max(between(other, self)).saturating_sub(1)
    }

    /// Both in one range. Where they overlap, whoever is meant twice is known to neither.
    fn join(&mut self, other: &Self) {
        self.first_seq = self.first_seq.min(other.first_seq);
        self.last_seq = self.last_seq.max(other.last_seq);
        self.count = self.count.saturating_add(other.count).min(self.width());
    }
}

/// A loss that the server wasn't told of, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Numbers rise; what is widened gets a new one. What was told is forgotten by them.
    pub(super) number: u64,
    /// What was lost.
    pub lost: Lost,
}

#[cfg(test)]
impl Loss {
    /// One that no queue has noted.
    pub(crate) fn for_test(number: u64, lost: Lost) -> Self {
        Self { number, lost }
    }
}

/// Numbers of losses, one after the other over all generations, and up to which they were told.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: AtomicU64,
    told: AtomicU64,
}

impl Numbers {
    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Numbers up to `last` were given before.
    pub(super) fn reach(&self, last: u64) {
        self.last.fetch_max(last, Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Losses up to `number` are on their way: what comes isn't mixed with them.
    pub(super) fn tell(&self, number: u64) {
        self.told.fetch_max(number, Ordering::Relaxed);
    }
}

/// The losses that a generation keeps until the server knows of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Losses {
    tag: u8,
    /// Its generation was the newest when this was written: a successor begins with a copy, and
    /// from then on this counts no more.
    of_newest: bool,
    /// The highest number that is known to have been given.
    last: u64,
    /// All that was ever noted, by reason: beside the ledger it tells what wasn't.
    pub(super) noted: Ledger,
    waiting: Vec<Loss>,
    /// There was no note: an earlier version kept none, so what was lost before is past.
    #[serde(skip)]
    pub(super) is_unwritten: bool,
    #[serde(skip)]
    numbers: Arc<Numbers>,
}

impl Losses {
    /// None so far.
    pub(super) fn none() -> Self {
        Self {
            tag: TAG,
            of_newest: true,
            last: 0,
            noted: Ledger::default(),
            waiting: Vec::new(),
            is_unwritten: false,
            numbers: Arc::default(),
        }
    }

    /// Those of a generation without a note.
    pub(super) fn unwritten() -> Self {
        Self { is_unwritten: true, ..Self::none() }
    }

    /// The note that begins these bytes, if one does.
    pub(super) fn unseal(bytes: &[u8]) -> Option<Self> {
        record::unseal::<Self>(bytes).ok().filter(Self::is_one)
    }

    /// Whether this was written before `other`.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        (self.noted_count(), self.last) < (other.noted_count(), other.last)
    }

    fn noted_count(&self) -> u64 {
        let mut noted = self.noted;
        Reason::ALL.iter().fold(0, |sum, reason| reason.count(&mut noted).saturating_add(sum))
    }

    /// Whether these bytes, which have the form, are meant as a note of losses.
    pub(super) fn is_one(&self) -> bool {
        let is_range = |lost: &Lost| {
            lost.first_seq <= lost.last_seq && (1..=lost.width()).contains(&lost.count)
        };
        // No queue has ever held so many, and sums of less don't overflow.
        let is_sound = self.noted_count() < u64::MAX / 8;
        self.tag == TAG && is_sound && self.waiting.iter().all(|loss| is_range(&loss.lost))
    }

    /// Takes its numbers from `numbers` from now on.
    pub(super) fn number_by(&mut self, numbers: &Arc<Numbers>) {
        numbers.reach(self.waiting.iter().map(|loss| loss.number).fold(self.last, u64::max));
        self.numbers = Arc::clone(numbers);
    }

    /// What the generation keeps that isn't the newest any more, when this is what it kept.
    pub(super) fn handed_over(&self) -> Self {
        if !self.of_newest {
            return self.clone();
        }
        let numbers = Arc::clone(&self.numbers);
        Self { of_newest: false, numbers, ..Self::none() }
    }

    /// What the newest generation keeps when this is what it kept as an older one: it is the newest
    /// again, as when the one behind it is gone.
    pub(super) fn taken_over(mut self) -> Self {
        self.of_newest = true;
        self
    }

    /// Notes a loss.
    pub(super) fn note(&mut self, lost: Lost) {
        if lost.count == 0 || lost.first_seq > lost.last_seq {
            return;
        }
        *lost.reason.count(&mut self.noted) += lost.count;
        let number = self.numbers.next();
        let told = self.numbers.told.load(Ordering::Relaxed);
        let is_exact = |lost: &Lost| lost.count == lost.width();
        let next_to = self.waiting.iter_mut().find(|loss| {
            let joins = loss.lost.is_kin(&lost) && loss.lost.hole(&lost) == 0;
            // What is whole stays whole: one range more is better than one that is vague.
            joins && loss.number > told && is_exact(&loss.lost) == is_exact(&lost)
        });
        match next_to {
            Some(known) => {
                known.lost.join(&lost);
                known.number = number;
            }
            None => self.waiting.push(Loss { number, lost }),
        }
        self.last = number;
        self.narrow();
    }

    /// Notes that `seqs` (ascending) were lost.
    pub(super) fn note_all(&mut self, agent_id: Uuid, reason: Reason, seqs: &[u64]) {
        for run in seqs.chunk_by(|one, next| one + 1 == *next) {
            if let [first, .., last] | [first @ last] = *run {
                let count = run.len() as u64;
                self.note(Lost { agent_id, reason, first_seq: first, last_seq: last, count });
            }
        }
    }

    /// Takes what another generation keeps, which goes.
    pub(super) fn absorb(&mut self, other: Self) {
        self.noted.add(&other.noted);
        self.last = self.last.max(other.last);
        self.waiting.extend(other.waiting);
        self.narrow();
    }

    /// Takes back what is known to have been noted and isn't here.
    pub(super) fn restore(&mut self, known: &[Loss]) -> bool {
        let here = |loss: &&Loss| self.waiting.iter().all(|other| other.number != loss.number);
        let missing: Vec<_> = known.iter().filter(here).copied().collect();
        self.waiting.extend(&missing);
        self.narrow();
        !missing.is_empty()
    }

    /// Forgets what the server was told, the numbers up to `through`; `false` when that is nothing.
    pub(super) fn forget(&mut self, through: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|loss| loss.number > through);
        self.last = self.last.max(self.numbers.last());
        self.waiting.len() < before
    }

    /// What waits to be told.
    pub(super) fn waiting(&self) -> &[Loss] {
        &self.waiting
    }

    /// Joins neighbours of one reason, the nearest first, until few enough are left.
    fn narrow(&mut self) {
        self.waiting.sort_by_key(|loss| {
            (loss.lost.agent_id, loss.lost.reason, loss.lost.first_seq, loss.number)
        });
        while self.waiting.len() > MOST {
            let pairs = self.waiting.windows(2).enumerate();
            let kin = pairs.filter(|(_, pair)| pair[0].lost.is_kin(&pair[1].lost));
            let holes = kin.map(|(at, pair)| (pair[0].lost.hole(&pair[1].lost), at));
            // One of each agent and reason is few.
            let Some((_, at)) = holes.min() else { return };
            let gone = self.waiting.remove(at + 1);
            let kept = &mut self.waiting[at];
            kept.lost.join(&gone.lost);
            kept.number = kept.number.max(gone.number);
        }
    }
}

#[cfg(test)]
mod tests;
