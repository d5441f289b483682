//! Generations that are damaged are written anew from what can still be read of them; what was damaged
//! is kept in the quarantine, the last one alone. Whatever crash cuts it short, nothing is lost by it.

use std::{fs, io, path::Path};

use super::{
    NOBODY, blank, generation_path,
    judge::{Care, Case, SEGMENTS},
};
use crate::queue::{
    Ledger, Options,
    commit::Value,
    files,
    generation::StorageError,
    live::{self, Live, Notes},
    losses::{Losses, Lost, Reason},
    meta::{Counts, Meta},
    raw,
    salvage::Salvage,
};

/// Where the last damaged generation is kept as it was.
pub(in crate::queue) const QUARANTINE: &str = "quarantine";
/// How the name of a generation begins that was mended whole and isn't in its place yet.
pub(in crate::queue) const MENDED: &str = "mended-";

/// How a generation was opened.
pub(in crate::queue) enum Opened {
    /// As it was left.
    Whole(Live),
    /// It was damaged: what could be read is in it, what couldn't is counted as corrupt, and is
    /// still to be noted.
    Mended(Live, Vec<Lost>),
}

impl Opened {
    /// The generation; adds what it lost to `lost`.
    pub(in crate::queue) fn live(self, lost: &mut Vec<Lost>) -> Live {
        match self {
            Self::Whole(live) => live,
            Self::Mended(live, gone) => {
                lost.extend(gone);
                live
            }
        }
    }
}

/// Opens the generation from `first_seq` to `end` (exclusive; `None` for the newest, of which nobody
/// else knows it). A damaged one is mended first.
pub(in crate::queue) fn open_generation(
    options: &Options,
    first_seq: u64,
    end: Option<u64>,
    care: Care,
) -> Result<Opened, StorageError> {
    let path = generation_path(&options.directory, first_seq);
    let raw = raw::read_patiently(&path)?;
    let what = match Case::of(options, (first_seq, end), &raw).open(care)? {
        Ok(live) => return Ok(Opened::Whole(live)),
        Err(what) => what,
    };
    let gone = mend(options, first_seq, end, &raw.bytes)?;
    drop(raw);
    let live = open_mended(options, first_seq, end)?;
    let Counts { samples, ledger, .. } = live.counts();
    let lost = ledger.dropped.corrupt;
    tracing::error!(
        generation = first_seq,
        what,
        salvaged = samples,
        lost,
        "mended a damaged part of the queue"
    );
    Ok(Opened::Mended(live, gone))
}

/// Puts a generation with what can still be read in the place of a damaged one, which goes to the
/// quarantine. A crash at any point loses nothing: the next opening finishes it or begins anew.
fn mend(
    options: &Options,
    first_seq: u64,
    end: Option<u64>,
    bytes: &[u8],
) -> Result<Vec<Lost>, StorageError> {
    let mut salvage = Salvage::of(bytes)?;
    let base = salvage.meta.clone().unwrap_or_else(|| Meta {
        agent_id: salvage.agent_id().unwrap_or_default(),
        ..blank(None, first_seq)
    });
    salvage.keep(base.head.max(first_seq)..end.unwrap_or(u64::MAX));
    let last = salvage.ends().map_or(first_seq, |(_, last)| last + 1);
    let is_newest = end.is_none();
    let end = end.unwrap_or_else(|| last.max(base.next_seq));
    let given_up = salvage.fit(room_to_mend(options, salvage.size())?);
    let mut meta = salvage.account(&base, first_seq, end);
    if is_newest {
        meta.machine = Some(NOBODY);
    }
    // Those could be read; there was no room for them.
    let given_up = given_up.min(meta.left.dropped.corrupt);
    meta.left.dropped.corrupt -= given_up;
    meta.left.dropped.overflow += given_up;
    let corrupt = meta.left.dropped.corrupt.saturating_sub(base.left.dropped.corrupt);
    let from = base.head.max(first_seq);
    let range = |reason, count| {
        let agent_id = meta.agent_id;
        Lost { agent_id, reason, first_seq: from, last_seq: end.saturating_sub(1), count }
    };
    let gone = salvage.gone(range(Reason::Corrupt, corrupt), range(Reason::Overflow, given_up));
    let losses = salvage.losses.take().unwrap_or_else(Losses::none);
    replace(&options.directory, first_seq, salvage.into_values()?, (meta, losses))?;
    Ok(gone)
}

/// Bytes of values that may be written beside all that is there. The old quarantine makes way.
fn room_to_mend(options: &Options, wanted: u64) -> io::Result<u64> {
    // A database takes twice its values, and two segments.
    let room = || {
        let taken = files::tree_on_disk(&options.directory);
        options.max_bytes.saturating_sub(taken).saturating_sub(SEGMENTS) / 2
    };
    if room() < wanted {
        forget_quarantine(&options.directory)?;
    }
    Ok(room())
}

/// Writes the newest generation, which is open, anew, as after a sync that failed.
pub(in crate::queue) fn renew(options: &Options, live: &Live) -> Result<Live, StorageError> {
    let notes = (live.meta.clone(), live.losses.clone());
    replace(&options.directory, live.first_seq, live.values()?, notes)?;
    open_mended(options, live.first_seq, None)
}

/// Opens what was just written.
fn open_mended(options: &Options, first_seq: u64, end: Option<u64>) -> Result<Live, StorageError> {
    let raw = raw::read_patiently(&generation_path(&options.directory, first_seq))?;
    let opened = Case::of(options, (first_seq, end), &raw).open(Care::AsItIs)?;
    opened.map_err(StorageError::Damaged)
}

/// Puts a generation with these values and notes in the place of the one that is there.
fn replace(
    directory: &Path,
    first_seq: u64,
    values: Vec<Value>,
    (meta, losses): (Meta, Losses),
) -> Result<(), StorageError> {
    let unfinished = directory.join(format!("{}{MENDED}{first_seq:020}", live::UNBORN));
    let empty = Meta {
        next_seq: first_seq,
        head: first_seq,
        left: Ledger::default(),
        left_bytes: 0,
        ..meta.clone()
    };
    let notes = Notes { meta: &empty, catalog: &[], losses: &losses };
    let mut mended = Live::create(&unfinished, notes)?;
    mended.fill(values, meta)?;
    drop(mended);
    fs::rename(&unfinished, directory.join(format!("{MENDED}{first_seq:020}")))?;
    files::sync_directory(directory)?;
    finish_mending(directory)?;
    Ok(())
}

/// Puts generations that were mended whole into their places.
pub(super) fn finish_mending(directory: &Path) -> io::Result<()> {
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

/// Whether a generation was mended whole and isn't in its place yet.
pub(super) fn is_unfinished(directory: &Path) -> bool {
    let is_mended = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(MENDED))
    };
    fs::read_dir(directory).is_ok_and(|mut entries| entries.any(is_mended))
}

/// Removes what is kept of a damage; `false` when nothing is.
pub(in crate::queue) fn forget_quarantine(directory: &Path) -> io::Result<bool> {
    match fs::remove_dir_all(directory.join(QUARANTINE)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves `path` to the quarantine, which holds one generation: the last.
fn quarantine(directory: &Path, path: &Path) -> io::Result<()> {
    let home = directory.join(QUARANTINE);
    forget_quarantine(directory)?;
    files::create_directory(&home)?;
    let aside = home.join(path.file_name().unwrap_or_default());
    fs::rename(path, &aside)?;
    files::sync_directory(&home)?;
    files::sync_directory(directory)
}
