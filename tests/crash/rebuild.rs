//! What a power cut can leave of a recorded run: a directory tree for a moment of it and a choice of
//! what was lost. Everything synced is there; of the rest, any of it may be.
//!
//! Directories are journalled: what happened to them is there up to some moment that isn't before the
//! last sync of a directory. Pages of files are written back one by one, each as it was at some moment
//! since the file's last sync.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::Path,
};

use crate::recording::{Change, Kind, NodeId, Recording};

const PAGE: usize = 4096;

/// What the power cut takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loses {
    /// All that wasn't synced, directory by directory and file by file.
    AllUnsynced,
    /// Nothing: the disk got it all.
    Nothing,
    /// Of each page and of the directories' journal a random end.
    Random(u64),
}

/// How far the past of each node is there.
struct Horizon {
    /// Of nodes that were synced: everything before this time is there.
    synced: HashMap<NodeId, usize>,
    /// Changes of directories and lengths before this time are there.
    journal: Option<usize>,
    moment: usize,
}

impl Horizon {
    fn at(recording: &Recording, moment: usize, loses: Loses) -> Self {
        let mut horizon = Self { synced: HashMap::new(), journal: None, moment };
        let mut journalled = 0;
        for (_, change) in recording.changes.iter().take_while(|(time, _)| *time < moment) {
            if let Change::Synced { node, since } = change {
                let synced = horizon.synced.entry(*node).or_default();
                *synced = (*since).max(*synced);
                if recording.kinds[*node] == Kind::Directory {
                    journalled = journalled.max(*since);
                }
            }
        }
        horizon.journal = match loses {
            Loses::AllUnsynced => None,
            Loses::Nothing => Some(moment),
            Loses::Random(seed) => Some(fastrand::Rng::with_seed(seed).usize(journalled..=moment)),
        };
        horizon
    }

    fn synced(&self, node: NodeId) -> usize {
        self.synced.get(&node).copied().unwrap_or(0)
    }

    /// Whether a change of a directory or a length is there.
    fn has(&self, node: NodeId, time: usize) -> bool {
        time < self.moment && (time < self.synced(node) || self.journal.is_some_and(|j| time < j))
    }
}

/// Builds in `target`, which isn't there yet, what is left of `recording` at `moment`.
pub(crate) fn build(
    recording: &Recording,
    moment: usize,
    loses: Loses,
    target: &Path,
) -> io::Result<()> {
    let horizon = Horizon::at(recording, moment, loses);
    let mut directories: HashMap<NodeId, BTreeMap<&str, NodeId>> = HashMap::new();
    for (time, change) in &recording.changes {
        match change {
            Change::Link { directory, name, node } if horizon.has(*directory, *time) => {
                directories.entry(*directory).or_default().insert(name, *node);
            }
            Change::Unlink { directory, name } if horizon.has(*directory, *time) => {
                directories.entry(*directory).or_default().remove(name.as_str());
            }
            _ => {}
        }
    }
    let files = contents(recording, &horizon, loses);
    write_tree(recording, &directories, &files, 0, target)
}

/// The journal's lines until `moment`: what had been confirmed.
pub(crate) fn marks(recording: &Recording, moment: usize) -> Vec<u8> {
    let before = recording.changes.iter().take_while(|(time, _)| *time < moment);
    let marks = before.filter_map(|(_, change)| match change {
        Change::Mark { bytes } => Some(&recording.bytes[bytes.clone()]),
        _ => None,
    });
    marks.flatten().copied().collect()
}

/// The bytes of every file.
fn contents(recording: &Recording, horizon: &Horizon, loses: Loses) -> HashMap<NodeId, Vec<u8>> {
    let last = last_versions(recording, horizon, loses);
    let mut files: HashMap<NodeId, Vec<u8>> = HashMap::new();
    for (time, change) in recording.changes.iter().filter(|(time, _)| *time < horizon.moment) {
        match change {
            Change::Write { file, at, bytes } => {
                let content = files.entry(*file).or_default();
                for (page, piece) in pieces(*at, bytes.len()) {
                    if *time <= last.get(&(*file, page)).copied().unwrap_or(0) {
                        let from = bytes.start + piece - at;
                        let length = ((page + 1) * PAGE).min(at + bytes.len()) - piece;
                        put(content, piece, &recording.bytes[from..from + length]);
                    }
                }
            }
            Change::Truncate { file, length } if horizon.has(*file, *time) => {
                files.entry(*file).or_default().resize(*length, 0);
            }
            _ => {}
        }
    }
    files
}

/// The time of the last write that is there, of each page.
fn last_versions(
    recording: &Recording,
    horizon: &Horizon,
    loses: Loses,
) -> HashMap<(NodeId, usize), usize> {
    let mut last = HashMap::new();
    let mut random = match loses {
        Loses::Random(seed) => Some(fastrand::Rng::with_seed(seed ^ 1)),
        Loses::AllUnsynced | Loses::Nothing => None,
    };
    // Of the versions of a page, each as likely: a later one takes the place with 1 in n.
    let mut versions: HashMap<(NodeId, usize), usize> = HashMap::new();
    for (time, change) in recording.changes.iter().filter(|(time, _)| *time < horizon.moment) {
        let Change::Write { file, at, bytes } = change else { continue };
        for (page, _) in pieces(*at, bytes.len()) {
            let key = (*file, page);
            let seen = versions.entry(key).or_insert(1);
            let is_there = *time < horizon.synced(*file)
                || loses == Loses::Nothing
                || random.as_mut().is_some_and(|random| {
                    *seen += 1;
                    random.usize(..*seen) == 0
                });
            if is_there {
                last.insert(key, *time);
            }
        }
    }
    last
}

/// The pages that a write touches, each with where the write begins in it.
fn pieces(at: usize, length: usize) -> impl Iterator<Item = (usize, usize)> {
    let pages = at / PAGE..(at + length).div_ceil(PAGE);
    pages.map(move |page| (page, at.max(page * PAGE)))
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

fn write_tree(
    recording: &Recording,
    directories: &HashMap<NodeId, BTreeMap<&str, NodeId>>,
    files: &HashMap<NodeId, Vec<u8>>,
    directory: NodeId,
    target: &Path,
) -> io::Result<()> {
    fs::create_dir(target)?;
    for (name, node) in directories.get(&directory).into_iter().flatten() {
        let path = target.join(name);
        match recording.kinds[*node] {
            Kind::Directory => write_tree(recording, directories, files, *node, &path)?,
            Kind::File => fs::write(path, files.get(node).map_or(&[][..], Vec::as_slice))?,
        }
    }
    Ok(())
}
