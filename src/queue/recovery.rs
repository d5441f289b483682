//! How a queue is opened whatever its state: left-overs removed, damaged generations mended, what is
//! missing counted. It deletes nothing that the queue still holds.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::{
    Ledger, Options, files, format,
    generation::StorageError,
    live::{self, Live, Notes},
    losses::{Losses, Lost, Reason},
    meta::{Closed, Meta},
    record::MAX_NUMBER,
    store::{Memory, Middle},
    tail::Tail,
};

mod judge;
mod mend;

pub(super) use judge::Care;
pub(super) use mend::{MENDED, Opened, QUARANTINE, forget_quarantine, open_generation, renew};

const PREFIX: &str = "gen-";
/// The machine to which a generation is bound whose last entries may be gone: their numbers must not
/// come twice under one agent id, also if a crash comes before it is succeeded.
const NOBODY: Uuid = Uuid::nil();

/// The generations of an opened queue.
pub(super) struct Parts {
    pub(super) newest: Live,
    pub(super) oldest: Option<Live>,
    pub(super) middle: VecDeque<Middle>,
    /// What was found to be lost and is counted, but not noted.
    pub(super) lost: Vec<Lost>,
    /// Numbers of losses that were given before, whatever is known of them here.
    pub(super) told: u64,
}

/// The directory of the generation that begins at `first_seq`.
pub(super) fn generation_path(directory: &Path, first_seq: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{first_seq:020}"))
}

/// Whether `directory` holds a queue.
pub(super) fn exists(directory: &Path) -> bool {
    list(directory).is_ok_and(|generations| !generations.is_empty())
        || mend::is_unfinished(directory)
}

/// Opens all that is in the queue's directory, which exists and is locked. `machine` is the hashed id
/// of this machine: an agent id that belongs to another one is replaced. `memory` is what this process
/// knows of the queue from before.
pub(super) fn open(
    options: &Options,
    machine: Option<Uuid>,
    memory: Option<&Memory>,
) -> Result<Parts, StorageError> {
    let directory = &options.directory;
    format::check(directory)?;
    remove_unborn(directory)?;
    mend::finish_mending(directory)?;
    let care = if memory.is_none() { Care::CopyFirst } else { Care::AsItIs };
    let mut found = list(directory)?;
    let mut lost = Vec::new();
    let mut newest = match found.pop() {
        None => fresh(directory, machine, memory)?,
        Some(first_seq) => open_generation(options, first_seq, None, care)?.live(&mut lost),
    };
    match memory {
        None => lost.extend(reach_tail(directory, &mut newest)?),
        Some(memory) => lost.extend(reach_memory(memory, &mut newest, machine)?),
    }
    if !is_of_here(&mut newest, machine)? {
        // What is in it keeps its agent id.
        newest.meta.machine = machine.or(newest.meta.machine.filter(|bound| *bound != NOBODY));
        newest = succeed(directory, newest, &mut found)?;
        tracing::warn!(agent_id = %newest.meta.agent_id, "new samples get a new agent id");
    }
    newest.losses = newest.losses.taken_over();
    open_older(options, newest, (found, lost), care)
}

/// The newest generation may have lost its end, or be gone altogether, and still open as if nothing
/// was missing: then the mark of how far the queue reached is ahead of it. What that is.
fn reach_tail(directory: &Path, newest: &mut Live) -> Result<Option<Lost>, StorageError> {
    let reached = Tail::read(directory).map_or(0, |mark| mark.next_seq);
    let lost = reached.saturating_sub(newest.meta.next_seq);
    if lost == 0 {
        return Ok(None);
    }
    tracing::error!(lost, "the end of the queue is gone");
    newest.meta.machine = Some(NOBODY);
    newest.lose_tail(reached, newest.meta.running_total).map(Some)
}

/// The newest generation was mended, and this process knows how far it had come: what its end lacks is
/// lost, and no number comes twice, so that the agent id stays.
fn reach_memory(
    memory: &Memory,
    newest: &mut Live,
    machine: Option<Uuid>,
) -> Result<Option<Lost>, StorageError> {
    let is_same = newest.meta.agent_id == memory.agent_id;
    if !is_same || newest.meta.machine != Some(NOBODY) {
        return Ok(None);
    }
    let reached = memory.next_seq.max(newest.meta.next_seq);
    newest.meta.machine = machine;
    newest.lose_tail(reached, memory.running_total).map(Some)
}

/// Removes generations whose creation a crash cut short: nothing was ever confirmed in them.
fn remove_unborn(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(live::UNBORN)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The first sequence number of the generation whose directory has this name.
pub(super) fn first_seq(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok().filter(|first_seq| *first_seq <= MAX_NUMBER)
}

/// The generations in `directory`, the oldest first.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        found.extend(entry?.file_name().to_str().and_then(first_seq));
    }
    found.sort_unstable();
    Ok(found)
}

/// An empty queue. If this process knows of one that was here, it is counted as lost and goes on.
fn fresh(
    directory: &Path,
    machine: Option<Uuid>,
    memory: Option<&Memory>,
) -> Result<Live, StorageError> {
    let mut meta = blank(machine, 1);
    let mut losses = Losses::none();
    if let Some(memory) = memory {
        tracing::error!("the queue is gone from its directory; what was queued is lost");
        let Memory { agent_id, next_seq, running_total, all_lost, .. } = *memory;
        meta = Meta { agent_id, carried: all_lost, ..blank(machine, next_seq) };
        (meta.base_total, meta.running_total) = (running_total, running_total);
        losses = memory.losses_if_all_lost();
    }
    format::write(directory)?;
    let notes = Notes { meta: &meta, catalog: &[], losses: &losses };
    Live::create(&generation_path(directory, meta.next_seq), notes)
}

/// The meta record of a queue that knows nothing of a past.
fn blank(machine: Option<Uuid>, next_seq: u64) -> Meta {
    Meta {
        agent_id: Uuid::new_v4(),
        machine,
        next_seq,
        head: next_seq,
        base_total: 0,
        running_total: 0,
        left: Ledger::default(),
        left_bytes: 0,
        carried: Ledger::default(),
        folded_through: 0,
        dropped_at: None,
        rate: 0.0,
    }
}

/// Begins a generation behind the newest, under a new agent id.
fn succeed(directory: &Path, old: Live, found: &mut Vec<u64>) -> Result<Live, StorageError> {
    let meta = Meta { agent_id: Uuid::new_v4(), ..old.meta.succeed() };
    if !old.is_used() {
        let mut old = old;
        old.note_durably(meta)?;
        return Ok(old);
    }
    let mut catalog = old.catalog()?;
    catalog.retain(|closed| closed.first_seq > meta.folded_through);
    catalog.push(Closed { first_seq: old.first_seq, counts: old.counts() });
    found.push(old.first_seq);
    let losses = old.losses.clone();
    drop(old);
    let notes = Notes { meta: &meta, catalog: &catalog, losses: &losses };
    Live::create(&generation_path(directory, meta.next_seq), notes)
}

/// Whether the queue belongs to this machine, and its last numbers are known; one that belongs to
/// none does from now on.
fn is_of_here(newest: &mut Live, machine: Option<Uuid>) -> Result<bool, StorageError> {
    let bound = newest.meta.machine;
    if bound == Some(NOBODY) {
        return Ok(false);
    }
    if machine.is_none() || bound == machine {
        return Ok(true);
    }
    if bound.is_some() {
        tracing::warn!("the queue comes from another machine");
        return Ok(false);
    }
    newest.note_durably(Meta { machine, ..newest.meta.clone() })?;
    Ok(true)
}

fn open_older(
    options: &Options,
    mut newest: Live,
    (found, mut lost): (Vec<u64>, Vec<Lost>),
    care: Care,
) -> Result<Parts, StorageError> {
    let directory = &options.directory;
    let catalog = catalog(&newest)?;
    let (mut oldest, mut middle) = (None, VecDeque::new());
    let folded = newest.meta.folded_through;
    for first_seq in found.iter().filter(|first_seq| **first_seq <= folded) {
        fs::remove_dir_all(generation_path(directory, *first_seq))?;
    }
    let found: Vec<_> = found.into_iter().filter(|first_seq| *first_seq > folded).collect();
    lost.extend(count_missing(&mut newest, &catalog, &found)?);
    for (at, first_seq) in found.iter().copied().enumerate() {
        let end = end_of(&catalog, &found[at + 1..], first_seq, newest.first_seq);
        let path = generation_path(directory, first_seq);
        let closed = catalog.iter().find(|closed| closed.first_seq == first_seq);
        if oldest.is_none() {
            let mut live = open_generation(options, first_seq, Some(end), care)?.live(&mut lost);
            live.losses = live.losses.handed_over();
            oldest = Some(live);
        } else if let Some(closed) = closed {
            middle.push_back(Middle { closed: *closed, end, on_disk: files::tree_on_disk(&path) });
        } else {
            let live = open_generation(options, first_seq, Some(end), care)?.live(&mut lost);
            let closed = Closed { first_seq, counts: live.counts() };
            middle.push_back(Middle { closed, end, on_disk: live.on_disk() });
        }
    }
    let somebody = oldest.as_ref().unwrap_or(&newest).meta.agent_id;
    // Of a part of which nothing is left, the neighbour tells whose it was.
    lost.iter_mut().filter(|lost| lost.agent_id.is_nil()).for_each(|lost| lost.agent_id = somebody);
    Ok(Parts { newest, oldest, middle, lost, told: 0 })
}

/// Parts that aren't in it are opened and counted, so that one that can't be read is no loss.
fn catalog(newest: &Live) -> Result<Vec<Closed>, StorageError> {
    let mut catalog = newest.catalog().or_else(|error| match error {
        StorageError::Damaged(what) => {
            tracing::warn!(what, "the catalog of the queue's parts can't be read");
            Ok(Vec::new())
        }
        other => Err(other),
    })?;
    catalog.retain(Closed::is_possible);
    Ok(catalog)
}

/// Where the generation from `first_seq` ends: where the next one began, be that still there or not.
fn end_of(catalog: &[Closed], later: &[u64], first_seq: u64, newest: u64) -> u64 {
    let known = catalog.iter().map(|closed| closed.first_seq).chain(later.iter().copied());
    known.chain([newest]).filter(|begin| *begin > first_seq).min().unwrap_or(newest)
}

/// A generation that was removed by other hands is missed: what the catalog knows to have been in it
/// is counted as corrupt, and so is what nobody knows of. Returns what that is.
fn count_missing(
    newest: &mut Live,
    catalog: &[Closed],
    found: &[u64],
) -> Result<Vec<Lost>, StorageError> {
    let gone = catalog.iter().filter(|closed| {
        closed.first_seq > newest.meta.folded_through && !found.contains(&closed.first_seq)
    });
    let (mut meta, mut lost) = (newest.meta.clone(), Vec::new());
    for closed in gone {
        meta.carried.add(&closed.counts.all_lost());
        let end = end_of(catalog, found, closed.first_seq, newest.first_seq);
        let count = closed.counts.samples;
        lost.push(Lost { count, ..newest.lost(Reason::Corrupt, closed.first_seq, end) });
    }
    let here = |at: usize| {
        let first_seq = found[at];
        end_of(catalog, &found[at + 1..], first_seq, newest.first_seq) - first_seq
    };
    let here: u64 = (0..found.len()).map(here).sum();
    let unknown = (newest.first_seq - 1).saturating_sub(meta.carried.enqueued + here);
    meta.carried.enqueued += unknown;
    meta.carried.dropped.corrupt += unknown;
    lost.push(Lost { count: unknown, ..newest.lost(Reason::Corrupt, 1, newest.first_seq) });
    if meta == newest.meta {
        return Ok(Vec::new());
    }
    let count = meta.carried.dropped.corrupt - newest.meta.carried.dropped.corrupt;
    tracing::error!(lost = count, "parts of the queue are gone");
    // Counted once: next time they are in what is carried.
    newest.forget(meta)?;
    Ok(lost)
}
