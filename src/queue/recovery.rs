//! How a queue is opened whatever its state: left-overs removed, damaged generations moved to
//! `quarantine/` and counted, a fresh start at last. It deletes nothing that the queue still holds; of
//! what was moved aside, the last generation is kept.

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
    meta::{Closed, Meta},
    store::Middle,
};

const PREFIX: &str = "gen-";
const QUARANTINE: &str = "quarantine";

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
    let mut found = list(directory)?;
    let mut lost = Vec::new();
    let mut newest = loop {
        let Some(first_seq) = found.pop() else {
            break fresh(directory, machine, lost.first().copied())?;
        };
        let path = generation_path(directory, first_seq);
        if let Some(live) = open_generation(directory, &path, first_seq)? {
            break live;
        }
        lost.push(first_seq);
    };
    if !lost.is_empty() && newest.is_used() {
        // The high-water mark went with the damaged generation: its numbers may be used already.
        newest = succeed(directory, newest, &mut found, *lost.iter().max().unwrap_or(&0))?;
    }
    adopt(&mut newest, machine)?;
    let (oldest, middle) = open_older(directory, &mut newest, found)?;
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

fn fresh(
    directory: &Path,
    machine: Option<Uuid>,
    after: Option<u64>,
) -> Result<Live, StorageError> {
    let next_seq = after.unwrap_or(1);
    let meta = Meta {
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
    };
    Live::create(&generation_path(directory, next_seq), &meta, &[])
}

/// Begins a generation behind a lost one, under a new agent id.
fn succeed(
    directory: &Path,
    old: Live,
    found: &mut Vec<u64>,
    next_seq: u64,
) -> Result<Live, StorageError> {
    let mut catalog = old.catalog()?;
    catalog.push(Closed { first_seq: old.first_seq, counts: old.counts() });
    let meta = Meta { agent_id: Uuid::new_v4(), next_seq, head: next_seq, ..old.meta.succeed() };
    found.push(old.first_seq);
    drop(old);
    Live::create(&generation_path(directory, next_seq), &meta, &catalog)
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
    newest: &mut Live,
    found: Vec<u64>,
) -> Result<(Option<Live>, VecDeque<Middle>), StorageError> {
    let catalog = newest.catalog()?;
    let (mut oldest, mut middle) = (None, VecDeque::new());
    for first_seq in found {
        let path = generation_path(directory, first_seq);
        if first_seq <= newest.meta.folded_through {
            fs::remove_dir_all(path)?;
        } else if oldest.is_none() {
            oldest = open_generation(directory, &path, first_seq)?;
            if oldest.is_none() {
                count_lost(newest, &catalog, first_seq)?;
            }
        } else if let Some(closed) = catalog.iter().find(|closed| closed.first_seq == first_seq) {
            middle.push_back(Middle { closed: *closed, on_disk: files::tree_on_disk(&path) });
        } else if let Some(live) = open_generation(directory, &path, first_seq)? {
            let closed = Closed { first_seq, counts: live.counts() };
            middle.push_back(Middle { closed, on_disk: live.on_disk() });
        }
    }
    Ok((oldest, middle))
}

fn count_lost(newest: &mut Live, catalog: &[Closed], first_seq: u64) -> Result<(), StorageError> {
    let mut meta = newest.meta.clone();
    if let Some(closed) = catalog.iter().find(|closed| closed.first_seq == first_seq) {
        meta.carried.add(&closed.counts.all_lost());
    }
    meta.folded_through = first_seq;
    newest.note(meta)?;
    newest.sync()
}

/// Opens one generation; `None` when it is damaged beyond opening and was moved aside.
pub(super) fn open_generation(
    directory: &Path,
    path: &Path,
    first_seq: u64,
) -> Result<Option<Live>, StorageError> {
    match Live::open(path, first_seq) {
        Ok(live) => Ok(Some(live)),
        Err(StorageError::Damaged(what)) => {
            let aside = quarantine(directory, path)?;
            tracing::error!(generation = first_seq, what, aside = %aside.display(), "moved a damaged generation aside");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Moves `path` to the quarantine, which holds one generation: the last.
fn quarantine(directory: &Path, path: &Path) -> Result<PathBuf, StorageError> {
    let home = directory.join(QUARANTINE);
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    files::create_directory(&home)?;
    let aside = home.join(path.file_name().unwrap_or_default());
    fs::rename(path, &aside)?;
    files::sync_directory(directory)?;
    Ok(aside)
}
