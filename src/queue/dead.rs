//! Entries that the server refused alone, kept with its answer until somebody decides: a log of notes
//! in one file, each sealed by itself. What is there and what became of the rest follows from reading
//! it, so no count can drift; a note is written whole or doesn't count. Bounded; the oldest give way.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use memchr::memmem;
use uuid::Uuid;

use super::{
    DeadLetter, Entry, Ledger, Refusal, files,
    generation::StorageError,
    losses::Lost,
    record::{self, DecodeError, SEAL},
};

mod note;

pub(super) use note::Gone;
use note::{Left, Note, sealed};

const NAME: &str = "dead-letters";
/// How the log is called while it is written anew.
const UNFINISHED: &str = "new-dead-letters";
/// The share of the cap that dead letters may take.
const SHARE: u64 = 10;

/// Where a dead letter stands in the log.
#[derive(Debug, Clone, Copy)]
struct Slot {
    offset: u64,
    length: usize,
    retrying: bool,
    agent_id: Uuid,
}

/// The open log.
pub(super) struct DeadLetters {
    path: PathBuf,
    file: Option<File>,
    /// Where the next note goes.
    end: u64,
    slots: BTreeMap<u64, Slot>,
    left: Left,
    /// Dead letters that were lost since the last look.
    lost: Vec<Lost>,
    max_bytes: u64,
}

impl DeadLetters {
    /// Reads the log of a queue with this cap. Damaged notes are passed over.
    pub(super) fn open(directory: &Path, max_bytes: u64) -> Result<Self, StorageError> {
        fs::remove_file(directory.join(UNFINISHED)).or_else(absent)?;
        Self::read_log(directory, max_bytes)
    }

    /// As [`Self::open`], for who only looks: it changes nothing.
    pub(super) fn read_log(directory: &Path, max_bytes: u64) -> Result<Self, StorageError> {
        let path = directory.join(NAME);
        let (slots, left, max_bytes) = (BTreeMap::new(), Left::default(), max_bytes / SHARE);
        let lost = Vec::new();
        let mut dead = Self { path, file: None, end: 0, slots, left, lost, max_bytes };
        match fs::read(&dead.path) {
            Ok(bytes) => dead.replay(&bytes)?,
            Err(error) => absent(error)?,
        }
        dead.lost.clear();
        Ok(dead)
    }

    fn replay(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let mut at = 0;
        while let Some(next) = memmem::find(&bytes[at..], &SEAL) {
            at += next;
            match record::unseal::<Note>(&bytes[at..]) {
                Ok(note) => {
                    let length = record::sealed_length(&bytes[at..]).unwrap_or(1);
                    self.apply(&note, at as u64, length);
                    at += length;
                    self.end = at as u64;
                }
                Err(DecodeError::LaterVersion(version)) => {
                    return Err(StorageError::LaterVersion(version));
                }
                Err(DecodeError::Damaged(_)) => at += 1,
            }
        }
        Ok(())
    }

    fn apply(&mut self, note: &Note, offset: u64, length: usize) {
        match note {
            Note::Base(left) => self.left = *left,
            Note::Dead { seq, frames, .. } => {
                let agent_id = note::entry(*seq, frames).map_or(Uuid::nil(), |it| it.agent_id);
                self.slots.insert(*seq, Slot { offset, length, retrying: false, agent_id });
            }
            Note::Retry(seq) => {
                if let Some(slot) = self.slots.get_mut(seq) {
                    slot.retrying = true;
                }
            }
            Note::Gone(seq, why) => {
                let Some(Slot { agent_id, .. }) = self.slots.remove(seq) else { return };
                let (first_seq, last_seq, count) = (*seq, *seq, 1);
                let lost = self.left.count(*why);
                self.lost.extend(lost.map(|reason| Lost {
                    agent_id,
                    reason,
                    first_seq,
                    last_seq,
                    count,
                }));
            }
            Note::Lost(count) => self.left.dropped.corrupt += count,
        }
    }

    /// Dead letters that were lost since the last call, but for those of which only the count is
    /// known.
    pub(super) fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    /// Compares with what the queue says it set aside: what is missing here is counted as corrupt.
    /// Returns how many are here that the queue doesn't know of.
    pub(super) fn reconcile(&mut self, set_aside: u64) -> Result<u64, StorageError> {
        let known = self.slots.len() as u64 + self.left.total();
        let lost = set_aside.saturating_sub(known);
        if lost > 0 {
            tracing::error!(lost, "dead letters can't be read any more");
            self.write(&[Note::Lost(lost)])?;
        }
        Ok(known.saturating_sub(set_aside))
    }

    /// The ledger as it is when `queue` is the queue's own, and how many dead letters are missing from it.
    pub(super) fn complete(&self, mut queue: Ledger) -> (Ledger, u64) {
        let known = self.slots.len() as u64 + self.left.total();
        let missing = queue.dead_lettered.saturating_sub(known);
        queue.dead_lettered = self.count() + missing;
        queue.acknowledged += self.left.acknowledged;
        queue.dropped.add(&self.left.dropped);
        (queue, missing)
    }

    /// Keeps an entry with the server's answer, on stable storage when this returns.
    pub(super) fn add(&mut self, entry: &Entry, refusal: &Refusal) -> Result<(), StorageError> {
        let payload = record::payload(entry.agent_id, &entry.sample);
        let payload = payload.map_err(|error| StorageError::Damaged(error.to_string()))?;
        let frames = record::frames(entry.seq, 0, &payload).flat_map(|(_, frame)| frame).collect();
        let note = Note::Dead { seq: entry.seq, refusal: refusal.clone(), frames };
        self.make_room(payload.len() as u64 + 4096)?;
        self.write(&[note])
    }

    /// The oldest give way until `bytes` more fit.
    fn make_room(&mut self, bytes: u64) -> Result<(), StorageError> {
        let limit = (self.max_bytes / 4).saturating_sub(bytes);
        while self.live_bytes() > limit {
            let Some(oldest) = self.slots.keys().next().copied() else { break };
            self.remove(&[oldest], Gone::Overflow)?;
        }
        if self.end + bytes > self.max_bytes / 2 { self.rewrite() } else { Ok(()) }
    }

    fn live_bytes(&self) -> u64 {
        self.slots.values().map(|slot| slot.length as u64).sum()
    }

    /// Those of `seqs` that are here are to be sent again; how many.
    pub(super) fn retry(&mut self, seqs: &[u64]) -> Result<u64, StorageError> {
        let idle = |seq: &&u64| self.slots.get(seq).is_some_and(|slot| !slot.retrying);
        let notes: Vec<_> = seqs.iter().filter(idle).map(|seq| Note::Retry(*seq)).collect();
        self.write(&notes)?;
        Ok(notes.len() as u64)
    }

    /// Removes those of `seqs` that are here, for good when this returns; how many.
    pub(super) fn remove(&mut self, seqs: &[u64], why: Gone) -> Result<u64, StorageError> {
        let here = seqs.iter().filter(|seq| self.slots.contains_key(seq));
        let notes: Vec<_> = here.map(|seq| Note::Gone(*seq, why)).collect();
        self.write(&notes)?;
        if self.slots.is_empty() && self.end > 64 << 10 {
            self.rewrite()?;
        }
        Ok(notes.len() as u64)
    }

    /// Appends notes and makes them durable, all or, after an error, none.
    fn write(&mut self, notes: &[Note]) -> Result<(), StorageError> {
        if notes.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            self.file = Some(open_log(&self.path)?);
        }
        let Some(file) = &self.file else { return Ok(()) };
        let sealed: Vec<_> = notes.iter().map(sealed).collect::<Result<_, _>>()?;
        // What a crash left behind the last whole note goes, too.
        file.set_len(self.end)?;
        files::write_at(file, &sealed.concat(), self.end)?;
        file.sync_data()?;
        for (note, bytes) in notes.iter().zip(&sealed) {
            self.apply(note, self.end, bytes.len());
            self.end += bytes.len() as u64;
        }
        Ok(())
    }

    /// Writes the log anew with what counts.
    fn rewrite(&mut self) -> Result<(), StorageError> {
        let mut bytes = sealed(&Note::Base(self.left))?;
        let mut slots = BTreeMap::new();
        for (seq, slot) in &self.slots {
            let Some(note) = self.note(slot)? else { continue };
            let offset = bytes.len() as u64;
            bytes.extend(&note);
            slots.insert(*seq, Slot { offset, ..*slot });
            if slot.retrying {
                bytes.extend(sealed(&Note::Retry(*seq))?);
            }
        }
        let unfinished = self.path.with_file_name(UNFINISHED);
        let file = open_log(&unfinished)?;
        file.set_len(0)?;
        files::write_at(&file, &bytes, 0)?;
        file.sync_all()?;
        fs::rename(&unfinished, &self.path)?;
        files::sync_directory(self.path.parent().unwrap_or(&self.path))?;
        let lost = (self.slots.len() - slots.len()) as u64;
        (self.file, self.end, self.slots) = (Some(file), bytes.len() as u64, slots);
        if lost > 0 { self.write(&[Note::Lost(lost)]) } else { Ok(()) }
    }

    /// The sealed bytes of a dead letter; `None` if they aren't what they were.
    fn note(&self, slot: &Slot) -> io::Result<Option<Vec<u8>>> {
        let file = File::open(&self.path)?;
        let mut bytes = vec![0; slot.length];
        match files::read_at(&file, &mut bytes, slot.offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            done => done?,
        }
        Ok(record::unseal::<Note>(&bytes).is_ok().then_some(bytes))
    }

    fn read(&self, seq: u64, slot: &Slot) -> io::Result<Option<DeadLetter>> {
        let Some(bytes) = self.note(slot)? else { return Ok(None) };
        let Ok(Note::Dead { refusal, frames, .. }) = record::unseal(&bytes) else {
            return Ok(None);
        };
        let entry = note::entry(seq, &frames);
        Ok(entry.map(|entry| DeadLetter { entry, refusal, retrying: slot.retrying }))
    }

    /// Dead letters from `from_seq` on, at most `max`, with at most about `max_bytes` (one at least).
    pub(super) fn list(
        &mut self,
        from_seq: u64,
        max: usize,
        max_bytes: u64,
    ) -> Result<Vec<DeadLetter>, StorageError> {
        self.some((from_seq, max, max_bytes), |_| true)
    }

    /// Those that are to be sent again, oldest first, within the same bounds.
    pub(super) fn due(&mut self, max: usize, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        let found = self.some((0, max, max_bytes), |slot| slot.retrying)?;
        Ok(found.into_iter().map(|letter| letter.entry).collect())
    }

    /// The entry of the dead letter `seq`, if it is here and can be read.
    pub(super) fn entry(&mut self, seq: u64) -> Result<Option<Entry>, StorageError> {
        let found = self.list(seq, 1, u64::MAX)?.pop().map(|letter| letter.entry);
        Ok(found.filter(|entry| entry.seq == seq))
    }

    fn some(
        &mut self,
        (from_seq, max, max_bytes): (u64, usize, u64),
        which: impl Fn(&Slot) -> bool,
    ) -> Result<Vec<DeadLetter>, StorageError> {
        let (mut found, mut damaged, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (seq, slot) in self.slots.range(from_seq..).filter(|(_, slot)| which(slot)) {
            bytes += slot.length as u64;
            if found.len() >= max || (bytes > max_bytes && !found.is_empty()) {
                break;
            }
            match self.read(*seq, slot)? {
                Some(letter) => found.push(letter),
                None => damaged.push(*seq),
            }
        }
        if !damaged.is_empty() {
            tracing::error!(?damaged, "dead letters can't be read any more");
            self.remove(&damaged, Gone::Corrupt)?;
        }
        Ok(found)
    }

    /// Their sequence numbers.
    pub(super) fn seqs(&self) -> Vec<u64> {
        self.slots.keys().copied().collect()
    }

    /// Whether the dead letter `seq` is to be sent again.
    pub(super) fn is_retrying(&self, seq: u64) -> bool {
        self.slots.get(&seq).is_some_and(|slot| slot.retrying)
    }

    /// How many are to be sent again, and their bytes.
    pub(super) fn retrying(&self) -> (u64, u64) {
        let some = self.slots.values().filter(|slot| slot.retrying);
        some.fold((0, 0), |(count, bytes), slot| (count + 1, bytes + slot.length as u64))
    }

    /// The first of those that are to be sent again.
    pub(super) fn first_retrying(&self) -> Option<u64> {
        self.slots.iter().find(|(_, slot)| slot.retrying).map(|(seq, _)| *seq)
    }

    /// How many there are, without those that are to be sent again.
    pub(super) fn count(&self) -> u64 {
        self.slots.len() as u64 - self.retrying().0
    }

    /// What became of those that are none any more.
    pub(super) fn left(&self) -> Left {
        self.left
    }

    /// What the log may take beside itself while it is written anew, in bytes.
    pub(super) fn spare(&self) -> u64 {
        self.end.min(self.max_bytes / 4)
    }

    /// What the log takes on disk, in bytes.
    pub(super) fn on_disk(&self) -> u64 {
        fs::symlink_metadata(&self.path).map_or(0, |metadata| files::on_disk(&metadata))
    }
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn open_log(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
    files::restrict(path)?;
    files::sync_directory(path.parent().unwrap_or(path))?;
    Ok(file)
}
