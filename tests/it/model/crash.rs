//! What a crash leaves, built from copies of the directory. A killed process leaves what the kernel
//! has: the directory as it is. A power cut leaves at least what was synced; of what came later it
//! may lose any of it, and this takes the losses that differ most.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use crate::support::copy_tree;

/// What of the changes since the last sync a power cut takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loses {
    /// All of them.
    AllSinceTheSync,
    /// Files have it all, but directories that were removed are back.
    RemovalsOfDirectories,
    /// What changed in the newest generation is there, what changed in older ones isn't.
    OldestFile,
}

/// Makes `left`, a copy of the directory as the kernel has it, what a power cut leaves when
/// `synced` is a copy of the directory at the last sync.
pub(super) fn cut_power(left: &Path, synced: &Path, loses: Loses) {
    let newest = generations(left).pop();
    match loses {
        Loses::AllSinceTheSync => {
            fs::remove_dir_all(left).unwrap();
            copy_tree(synced, left);
        }
        Loses::RemovalsOfDirectories => {
            for name in generations(synced).iter().filter(|name| !left.join(name).exists()) {
                copy_tree(&synced.join(name), &left.join(name));
            }
        }
        Loses::OldestFile => {
            for name in generations(synced).into_iter().filter(|name| Some(name) != newest.as_ref())
            {
                remove(&left.join(&name));
                copy_tree(&synced.join(&name), &left.join(&name));
            }
        }
    }
}

fn remove(directory: &PathBuf) {
    if directory.exists() {
        fs::remove_dir_all(directory).unwrap();
    }
}

fn generations(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> =
        entries.filter(|name| name.to_string_lossy().starts_with("gen-")).collect();
    names.sort();
    names
}

/// Bytes of the files below a directory.
pub(super) fn bytes_below(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some(if metadata.is_dir() { bytes_below(&entry.path()) } else { metadata.len() })
        })
        .sum()
}
