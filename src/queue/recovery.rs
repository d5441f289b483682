//! How a queue is opened whatever its state: left-overs removed, damaged generations mended from what
//! can still be read of them, the rest counted. It deletes nothing that the queue still holds; of what
//! was damaged, the last generation is kept in `quarantine/` as it was.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::{
    Ledger, files,
    generation::StorageError,
    live::{self, Live},
    meta::{Closed, Counts, Meta},
    salvage::{self, Salvage},
    store::Middle,
};

const PREFIX: &str = "gen-";
const QUARANTINE: &str = "quarantine";
/// How the name of a generation begins that was mended whole and isn't in its place yet.
const MENDED: &str = "mended-";

/// The generations of an opened queue.
pub(super) struct Parts {
    pub(super) newest: Live,
    pub(super) oldest: Option<Live>,
    pub(super) middle: VecDeque<Middle>,
}

/// The directory of the generation that begins at `first_seq`.
pub(super) fn generation_path(directory: &Path, first_seq: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{first_seq:020}"))
}

/// Whether `directory` holds a queue.
pub(super) fn exists(directory: &Path) -> bool {
    list(directory).is_ok_and(|generations| !generations.is_empty())
}

/// Opens all that is in `directory`, which exists and is locked. `machine` is the hashed id of this
/// machine: an agent id that belongs to another one is replaced.
pub(super) fn open(directory: &Path, machine: Option<Uuid>) -> Result<Parts, StorageError> {
    remove_unborn(directory)?;
    finish_mending(directory)?;
    let mut found = list(directory)?;
    let mut newest = match found.pop() {
        None => fresh(directory, machine)?,
        Some(first_seq) => match open_generation(directory, first_seq, None)? {
            Opened::Whole(live) => live,
            // Its last entries may be gone: their numbers must not come twice under one agent id.
            Opened::Mended(live) => succeed(directory, live, &mut found)?,
        },
    };
    adopt(&mut newest, machine)?;
    let (oldest, middle) = open_older(directory, &newest, found)?;
    Ok(Parts { newest, oldest, middle })
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

fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).map(str::parse);
        if let Some(Ok(first_seq)) = number {
            found.push(first_seq);
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn fresh(directory: &Path, machine: Option<Uuid>) -> Result<Live, StorageError> {
    let meta = blank(machine, 1);
    Live::create(&generation_path(directory, 1), &meta, &[])
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

/// Begins a generation behind one that was mended, under a new agent id.
fn succeed(directory: &Path, old: Live, found: &mut Vec<u64>) -> Result<Live, StorageError> {
    let meta = Meta { agent_id: Uuid::new_v4(), ..old.meta.succeed() };
    if !old.is_used() {
        let mut old = old;
        old.note(meta)?;
        old.sync()?;
        return Ok(old);
    }
    let closed = Closed { first_seq: old.first_seq, counts: old.counts() };
    found.push(old.first_seq);
    drop(old);
    Live::create(&generation_path(directory, meta.next_seq), &meta, &[closed])
}

fn adopt(newest: &mut Live, machine: Option<Uuid>) -> Result<(), StorageError> {
    let mut meta = newest.meta.clone();
    match (meta.machine, machine) {
        (_, None) => return Ok(()),
        (Some(bound), Some(here)) if bound == here => return Ok(()),
        (Some(_), Some(here)) => {
            meta.agent_id = Uuid::new_v4();
            meta.machine = Some(here);
            tracing::warn!(agent_id = %meta.agent_id, "the queue comes from another machine: new samples get a new agent id");
        }
        (None, Some(here)) => meta.machine = Some(here),
    }
    newest.note(meta)?;
    newest.sync()
}

fn open_older(
    directory: &Path,
    newest: &Live,
    found: Vec<u64>,
) -> Result<(Option<Live>, VecDeque<Middle>), StorageError> {
    let catalog = newest.catalog()?;
    let (mut oldest, mut middle) = (None, VecDeque::new());
    let ends: Vec<_> = found.iter().skip(1).copied().chain([newest.first_seq]).collect();
    for (first_seq, end) in found.into_iter().zip(ends) {
        let path = generation_path(directory, first_seq);
        let closed = catalog.iter().find(|closed| closed.first_seq == first_seq);
        if first_seq <= newest.meta.folded_through {
            fs::remove_dir_all(path)?;
        } else if oldest.is_none() {
            oldest = Some(open_generation(directory, first_seq, Some(end))?.live());
        } else if let Some(closed) = closed {
            middle.push_back(Middle { closed: *closed, end, on_disk: files::tree_on_disk(&path) });
        } else {
            let live = open_generation(directory, first_seq, Some(end))?.live();
            let closed = Closed { first_seq, counts: live.counts() };
            middle.push_back(Middle { closed, end, on_disk: live.on_disk() });
        }
    }
    Ok((oldest, middle))
}

/// How a generation was opened.
pub(super) enum Opened {
    /// As it was left.
    Whole(Live),
    /// It was damaged: what could be read is in it, what couldn't is counted as corrupt.
    Mended(Live),
}

impl Opened {
    pub(super) fn live(self) -> Live {
        match self {
            Self::Whole(live) | Self::Mended(live) => live,
        }
    }
}

/// Opens the generation from `first_seq` to `end` (exclusive; `None` for the newest, of which nobody
/// else knows it). A damaged one is mended first.
pub(super) fn open_generation(
    directory: &Path,
    first_seq: u64,
    end: Option<u64>,
) -> Result<Opened, StorageError> {
    let path = generation_path(directory, first_seq);
    let bytes = salvage::read(&path)?;
    let what = match Live::open(&path, first_seq) {
        Ok(live) if reaches(&live, &bytes, end)? => return Ok(Opened::Whole(live)),
        Ok(_) => "its last entries are missing".to_owned(),
        Err(StorageError::Damaged(what)) => what,
        Err(error) => return Err(error),
    };
    mend(directory, first_seq, end, &bytes)?;
    drop(bytes);
    let live = Live::open(&path, first_seq)?;
    let Counts { samples, ledger, .. } = live.counts();
    let lost = ledger.dropped.corrupt;
    tracing::error!(
        generation = first_seq,
        what,
        salvaged = samples,
        lost,
        "mended a damaged part of the queue"
    );
    Ok(Opened::Mended(live))
}

/// Whether a generation that opened reaches as far as it must: a quiet open isn't believed. The
/// successor's name tells where the others end; of the newest, its own file tells what it held.
fn reaches(live: &Live, bytes: &[u8], end: Option<u64>) -> Result<bool, StorageError> {
    match end {
        Some(end) => Ok(live.meta.next_seq == end),
        None => Ok(salvage::highest_seq(bytes)?.is_none_or(|seq| seq < live.meta.next_seq)),
    }
}

/// Puts a generation with what can still be read in the place of a damaged one, which goes to the
/// quarantine. A crash at any point loses nothing: the next opening finishes it or begins anew.
fn mend(
    directory: &Path,
    first_seq: u64,
    end: Option<u64>,
    bytes: &[u8],
) -> Result<(), StorageError> {
    let mut salvage = Salvage::of(bytes)?;
    let base = salvage.meta.clone().unwrap_or_else(|| blank(None, first_seq));
    salvage.keep(base.head.max(first_seq)..end.unwrap_or(u64::MAX));
    let last = salvage.ends().map_or(first_seq, |(_, last)| last + 1);
    let end = end.unwrap_or_else(|| last.max(base.next_seq));
    let meta = salvage.account(&base, first_seq, end);
    let unfinished = directory.join(format!("{}{MENDED}{first_seq:020}", live::UNBORN));
    let empty = Meta {
        next_seq: first_seq,
        head: first_seq,
        left: Ledger::default(),
        left_bytes: 0,
        ..meta.clone()
    };
    let mut mended = Live::create(&unfinished, &empty, &[])?;
    mended.fill(salvage.into_values(), meta)?;
    drop(mended);
    fs::rename(&unfinished, directory.join(format!("{MENDED}{first_seq:020}")))?;
    files::sync_directory(directory)?;
    finish_mending(directory)?;
    Ok(())
}

/// Puts generations that were mended whole into their places.
fn finish_mending(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(MENDED)).map(str::parse);
        let Some(Ok(first_seq)) = number else { continue };
        let path = generation_path(directory, first_seq);
        if path.exists() {
            quarantine(directory, &path)?;
        }
        fs::rename(entry.path(), path)?;
        files::sync_directory(directory)?;
    }
    Ok(())
}

/// Moves `path` to the quarantine, which holds one generation: the last.
fn quarantine(directory: &Path, path: &Path) -> io::Result<()> {
    let home = directory.join(QUARANTINE);
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    files::create_directory(&home)?;
    let aside = home.join(path.file_name().unwrap_or_default());
    fs::rename(path, &aside)?;
    files::sync_directory(&home)?;
    files::sync_directory(directory)
}
