//! How far the queue reached, in a small file of its own: a newest generation whose end is gone opens
//! as if it had never been longer, and only this tells otherwise. It is written behind each sync and
//! never synced itself, so it may be behind after a power cut, and is never ahead. It holds the boot,
//! too: as long as the system runs, what was written is what is read, synced or not.

use std::{fs::File, io, path::Path};

use super::{files, record::MAX_NUMBER};
use crate::host;

const NAME: &str = "tail";
const MAGIC: [u8; 8] = *b"cQtail\x01\n";
const LENGTH: usize = 36;

/// The open file.
pub(super) struct Tail {
    file: File,
    boot_id: [u8; 16],
    written: u64,
}

/// How far the queue reached, as far as the file knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// No less than all sequence numbers before it were confirmed.
    pub(super) next_seq: u64,
    /// And no more either: it was written since the system was started.
    pub(super) exact: bool,
}

impl Tail {
    /// Opens the file, creates it when absent.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
        files::restrict(&path)?;
        Ok(Self { file, boot_id: host::boot_id(), written: 0 })
    }

    /// Reads the mark; `None` when there is none that is whole.
    pub(super) fn read(directory: &Path) -> Option<Mark> {
        let bytes = std::fs::read(directory.join(NAME)).ok()?;
        let (content, crc) = bytes.get(..LENGTH)?.split_at(LENGTH - 4);
        let (next_seq, boot_id) = content.strip_prefix(&MAGIC)?.split_first_chunk()?;
        let next_seq = u64::from_le_bytes(*next_seq);
        if crc32fast::hash(content).to_le_bytes() != crc || next_seq > MAX_NUMBER {
            return None;
        }
        let exact = boot_id == host::boot_id() && boot_id != [0; 16];
        Some(Mark { next_seq, exact })
    }

    /// Writes down that `next_seq` comes next. What is before it is on stable storage already.
    pub(super) fn note(&mut self, next_seq: u64) {
        if next_seq == self.written {
            return;
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend(next_seq.to_le_bytes());
        bytes.extend(self.boot_id);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        match files::write_at(&self.file, &bytes, 0) {
            Ok(()) => self.written = next_seq,
            // An older mark is still true.
            Err(error) => tracing::debug!(%error, "can't write the queue's tail mark"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_is_read_back_and_a_damaged_one_is_none() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Tail::read(home.path()), None);
        let mut tail = Tail::open(home.path()).unwrap();
        assert_eq!(Tail::read(home.path()), None);
        tail.note(7);
        tail.note(1 << 40);
        let exact = host::boot_id() != [0; 16];
        assert_eq!(Tail::read(home.path()), Some(Mark { next_seq: 1 << 40, exact }));
        let path = home.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Tail::read(home.path()), None, "byte {at}");
        }
        std::fs::write(&path, &whole[..10]).unwrap();
        assert_eq!(Tail::read(home.path()), None);
    }
}
