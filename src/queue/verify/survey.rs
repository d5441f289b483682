//! What lies in the queue's directory beside the parts: left-overs of crashes, the quarantine, files
//! that nobody knows. Reads names and sizes.

use std::{
    fs::{self, DirEntry},
    io,
    path::Path,
};

use uuid::Uuid;

use crate::queue::{Ledger, files, live::UNBORN, recovery, tail::Tail};

/// Files of the queue that aren't parts of it.
const KNOWN: [&str; 8] =
    ["ballast", "control.sock", "dead-letters", "format", "in-flight", "lock", "lock.pid", "tail"];

/// What was found around the parts.
#[derive(Debug, Clone, Default)]
pub(in crate::queue) struct Survey {
    pub(in crate::queue) agent_id: Option<Uuid>,
    pub(in crate::queue) ledger: Option<Ledger>,
    pub(super) disk_bytes: u64,
    pub(super) max_bytes: u64,
    /// The number that came next when that was last written down; 0 when it wasn't.
    pub(super) reached: u64,
    pub(super) problems: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Looks at everything in `directory` that isn't a sample.
pub(in crate::queue) fn survey(directory: &Path, max_bytes: u64) -> io::Result<Survey> {
    let disk_bytes = files::tree_on_disk(directory);
    let reached = Tail::read(directory).map_or(0, |mark| mark.next_seq);
    let mut survey = Survey { disk_bytes, max_bytes, reached, ..Survey::default() };
    let mut entries: Vec<_> = fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(DirEntry::file_name);
    for entry in entries {
        survey.notes.extend(note(&entry));
    }
    if disk_bytes > max_bytes {
        let more = "is more than buffer.max_size; the oldest samples will give way";
        survey.notes.push(format!("the directory takes {disk_bytes} bytes, which {more}"));
    }
    Ok(survey)
}

impl Survey {
    /// Whether the ledger, which counts `enqueued`, knows of every number below `next_seq`, and whether
    /// that is as far as the queue is known to have reached.
    pub(in crate::queue) fn check_numbers(&mut self, enqueued: u64, next_seq: u64) {
        let given = next_seq.saturating_sub(1);
        if enqueued < given {
            self.problems.push(format!(
                "the ledger knows of {enqueued} samples, and the numbers up to {given} were given"
            ));
        }
        if self.reached > next_seq {
            self.problems.push(format!(
                "the end of the queue is gone: it reached {}, and what is there ends before {next_seq}",
                self.reached - 1
            ));
        }
    }
}

fn note(entry: &DirEntry) -> Option<String> {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    let size = || files::tree_on_disk(&entry.path());
    if recovery::first_seq(&name).is_some() {
        return left_over(entry).map(|snapshot| {
            format!("{name}/{snapshot} is left over from a crash; it goes at the next start")
        });
    }
    if name == recovery::QUARANTINE {
        return Some(quarantined(entry, size()));
    }
    if name.starts_with(UNBORN) || name.starts_with(recovery::MENDED) {
        return Some(format!("{name} was left by a crash; the next start finishes or removes it"));
    }
    let known = KNOWN.iter().any(|known| name == *known) || is_socket(entry);
    (!known).then(|| format!("{name} ({} bytes) isn't the queue's", size()))
}

/// A snapshot that a crash cut short.
fn left_over(part: &DirEntry) -> Option<String> {
    let names = fs::read_dir(part.path()).ok()?.flatten().map(|entry| entry.file_name());
    let mut names = names.filter_map(|name| name.into_string().ok());
    names.find(|name| name.starts_with("snap.") && name.ends_with(".generating"))
}

fn quarantined(entry: &DirEntry, size: u64) -> String {
    let names = fs::read_dir(entry.path()).into_iter().flatten().flatten();
    let names: Vec<_> = names.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    format!(
        "quarantine/ holds {} ({size} bytes) as it was when it was found damaged",
        names.join(", ")
    )
}

#[cfg(unix)]
fn is_socket(entry: &DirEntry) -> bool {
    use std::os::unix::fs::FileTypeExt;
    entry.file_type().is_ok_and(|kind| kind.is_socket())
}

#[cfg(not(unix))]
fn is_socket(_: &DirEntry) -> bool {
    false
}
