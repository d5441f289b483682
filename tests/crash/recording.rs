//! A recorded run, as `recorder.c` writes it: every change below a directory in order, the beginnings
//! and ends of syncs, and what was confirmed in between. Reads it and follows which inode is what.

use std::{collections::HashMap, fs, ops::Range, path::Path};

use anyhow::{Context as _, bail, ensure};

/// Names a file or a directory over its whole life; inode numbers are used again.
pub(crate) type NodeId = usize;

/// One change, with the nodes that it is about.
pub(crate) enum Change {
    /// An entry comes into a directory, or replaces one.
    Link { directory: NodeId, name: String, node: NodeId },
    /// An entry leaves a directory.
    Unlink { directory: NodeId, name: String },
    /// Bytes of a file; where they stand in the recording.
    Write { file: NodeId, at: usize, bytes: Range<usize> },
    /// A file's new length.
    Truncate { file: NodeId, length: usize },
    /// What was changed in a node before `since` is on stable storage from now on.
    Synced { node: NodeId, since: usize },
    /// Nothing changed below the directory; a line of the journal.
    Mark { bytes: Range<usize> },
}

/// Whether a node is a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It holds entries.
    Directory,
    /// It holds bytes.
    File,
}

/// The whole recording. A change is known by its time, its index plus one.
pub(crate) struct Recording {
    /// What the ranges of bytes point into.
    pub(crate) bytes: Vec<u8>,
    /// In order, each with its time.
    pub(crate) changes: Vec<(usize, Change)>,
    /// Of every node; the first is the recorded directory.
    pub(crate) kinds: Vec<Kind>,
    /// The time of the first event behind what was there before.
    pub(crate) start: usize,
    /// The time behind the last event.
    pub(crate) end: usize,
}

/// What is known while reading.
#[derive(Default)]
struct Reader {
    changes: Vec<(usize, Change)>,
    kinds: Vec<Kind>,
    nodes: HashMap<u64, NodeId>,
    entries: HashMap<(NodeId, String), NodeId>,
    /// Syncs that began: of which node, when.
    begun: HashMap<u64, (NodeId, usize)>,
    start: usize,
}

impl Recording {
    /// Reads a recording from its file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        let (mut reader, mut at, mut time) = (Reader::default(), 0, 0);
        while let Some(line) = bytes[at..].iter().position(|byte| *byte == b'\n') {
            let head = std::str::from_utf8(&bytes[at..at + line])?;
            let words: Vec<_> = head.split(' ').collect();
            let [operation, a, b, length] = words[..] else { bail!("no event: {head}") };
            let from = at + line + 1;
            at = from + length.parse::<usize>()?;
            time += 1;
            let event = Event { operation, a: a.parse()?, b: b.parse()?, bytes: from..at };
            reader.take(time, event, &bytes).with_context(|| format!("event {time}: {head}"))?;
        }
        let Reader { changes, kinds, start, .. } = reader;
        ensure!(start > 0, "nothing was recorded");
        Ok(Self { bytes, changes, kinds, start, end: time + 1 })
    }
}

struct Event<'a> {
    operation: &'a str,
    a: u64,
    b: u64,
    bytes: Range<usize>,
}

impl Reader {
    fn take(&mut self, time: usize, event: Event<'_>, all: &[u8]) -> anyhow::Result<()> {
        let Event { operation, a, b, bytes } = event;
        let text = || String::from_utf8_lossy(&all[bytes.clone()]).into_owned();
        let change = match operation {
            // A later process goes on where the one before ended; its syncs have its own numbers.
            "root" => {
                self.begun.clear();
                if self.kinds.is_empty() {
                    self.node(a, Kind::Directory);
                }
                return Ok(());
            }
            "start" => {
                self.start = time + 1;
                return Ok(());
            }
            "begin" => {
                self.begun.insert(b, (self.known(a)?, time));
                return Ok(());
            }
            "end" => {
                let (node, since) = self.begun.remove(&b).context("it never began")?;
                Change::Synced { node, since }
            }
            "create" | "mkdir" => {
                let kind = if operation == "mkdir" { Kind::Directory } else { Kind::File };
                let (directory, node) = (self.known(b)?, self.node(a, kind));
                self.link(directory, text(), node)
            }
            "write" => Change::Write { file: self.known(a)?, at: usize::try_from(b)?, bytes },
            "truncate" => Change::Truncate { file: self.known(a)?, length: usize::try_from(b)? },
            "remove" => self.unlink(self.known(a)?, text())?.1,
            "rename" => {
                let names = text();
                let (old, new) = names.split_once('\n').context("no two names")?;
                let (node, gone) = self.unlink(self.known(a)?, old.to_owned())?;
                let come = self.link(self.known(b)?, new.to_owned(), node);
                self.changes.push((time, gone));
                come
            }
            "mark" => Change::Mark { bytes },
            other => bail!("what is {other}?"),
        };
        self.changes.push((time, change));
        Ok(())
    }

    fn known(&self, inode: u64) -> anyhow::Result<NodeId> {
        self.nodes.get(&inode).copied().context("it was never created")
    }

    fn node(&mut self, inode: u64, kind: Kind) -> NodeId {
        let node = self.kinds.len();
        self.kinds.push(kind);
        self.nodes.insert(inode, node);
        node
    }

    fn link(&mut self, directory: NodeId, name: String, node: NodeId) -> Change {
        self.entries.insert((directory, name.clone()), node);
        Change::Link { directory, name, node }
    }

    fn unlink(&mut self, directory: NodeId, name: String) -> anyhow::Result<(NodeId, Change)> {
        let node = self.entries.remove(&(directory, name.clone())).context("no such entry")?;
        Ok((node, Change::Unlink { directory, name }))
    }
}
