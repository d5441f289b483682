//! Opening a database on trial: a copy of it, below the system's directory for temporary files, since
//! opening one writes to it and cuts off what lies behind a damaged stretch.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::{Claim, Told};
use crate::queue::{
    files,
    generation::StorageError,
    live::Live,
    meta::{Closed, Meta},
};

/// What a database told on trial.
pub(super) struct Trial {
    pub(super) told: Told,
    pub(super) claim: Option<Claim>,
    /// Its meta record and its catalog, if it opened.
    pub(super) notes: Option<(Meta, Vec<Closed>)>,
    /// Why it wasn't tried.
    pub(super) skipped: Option<String>,
}

/// Opens a copy of the part in the directory `path`.
pub(super) fn open(path: &Path, first_seq: u64) -> Trial {
    let mut trial = Trial { told: Told::Nothing, claim: None, notes: None, skipped: None };
    let copy = match Copy::of(path) {
        Ok(copy) => copy,
        Err(error) => {
            let why = format!("its database wasn't opened on trial, no copy can be made: {error}");
            trial.skipped = Some(why);
            return trial;
        }
    };
    match look(&copy.0.join("part"), first_seq) {
        Ok((claim, seqs, notes)) => {
            trial.told = Told::Entries(seqs);
            (trial.claim, trial.notes) = (Some(claim), Some(notes));
        }
        // The copy's disk may be full.
        Err(StorageError::Io(error) | StorageError::Sync(error)) => {
            trial.skipped = Some(format!("its database wasn't opened on trial: {error}"));
        }
        Err(StorageError::Damaged(what)) => trial.told = Told::Broken(what),
        Err(error @ StorageError::LaterVersion(_)) => trial.told = Told::Broken(error.to_string()),
    }
    trial
}

type Found = (Claim, Vec<u64>, (Meta, Vec<Closed>));

fn look(path: &Path, first_seq: u64) -> Result<Found, StorageError> {
    let live = Live::open(path, first_seq)?;
    let catalog = live.catalog()?;
    Ok((Claim::of(&live), live.seqs()?, (live.meta.clone(), catalog)))
}

/// A copy of a part in a directory of its own, removed when it is dropped.
struct Copy(PathBuf);

impl Copy {
    fn of(path: &Path) -> io::Result<Self> {
        let home = std::env::temp_dir().join(format!("collector-verify-{}", Uuid::new_v4()));
        fs::create_dir(&home)?;
        let this = Self(home);
        files::restrict(&this.0)?;
        copy_files(path, &this.0.join("part"))?;
        Ok(this)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What can't be removed is the system's to clean up.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Copies the files of `from`, which may hold anything, and of directories in it.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_files(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
