//! Which entries a request carries, written down before it leaves, so that after a crash the same
//! request can be made again: same entries, same bytes, same key. It is a hint and no more: a record
//! that can't be read, or of entries that have left, is ignored, and none is ever synced.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use uuid::Uuid;

use super::{Entry, files};

const NAME: &str = "in-flight";
const MAGIC: [u8; 4] = *b"cIf\x01";
/// Magic number, agent id, first and last sequence number, CRC-32 of all before it.
const LENGTH: usize = 4 + 16 + 8 + 8 + 4;

/// The bounds of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// Of all its entries.
    pub agent_id: Uuid,
    /// Of its first entry.
    pub first_seq: u64,
    /// Of its last entry.
    pub last_seq: u64,
}

impl InFlight {
    /// The bounds of `entries`, which are in order; `None` when there are none.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Option<Self> {
        let (first, last) = (entries.first()?, entries.last()?);
        Some(Self { agent_id: first.agent_id, first_seq: first.seq, last_seq: last.seq })
    }

    fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..20].copy_from_slice(self.agent_id.as_bytes());
        bytes[20..28].copy_from_slice(&self.first_seq.to_be_bytes());
        bytes[28..36].copy_from_slice(&self.last_seq.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..36]);
        bytes[36..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let crc = u32::from_be_bytes(bytes[36..].try_into().ok()?);
        let found = Self {
            agent_id: Uuid::from_slice(&bytes[4..20]).ok()?,
            first_seq: u64::from_be_bytes(bytes[20..28].try_into().ok()?),
            last_seq: u64::from_be_bytes(bytes[28..36].try_into().ok()?),
        };
        let is_whole = bytes[..4] == MAGIC && crc == crc32fast::hash(&bytes[..36]);
        (is_whole && found.first_seq <= found.last_seq).then_some(found)
    }
}

/// The file, open for as long as the queue is.
#[derive(Debug)]
pub(super) struct Note {
    file: File,
    written: Option<InFlight>,
}

impl Note {
    /// Opens or creates the file in `directory`, and reads what the last process left in it.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        let mut options = File::options();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
        files::restrict(&path)?;
        let mut bytes = Vec::with_capacity(LENGTH);
        (&mut file).take(LENGTH as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() != LENGTH {
            // It takes its place on the disk now, where the cap is measured.
            file.set_len(0)?;
            files::write_at(&file, &[0; LENGTH], 0)?;
        }
        Ok(Self { file, written: InFlight::from_bytes(&bytes) })
    }

    /// What was written last.
    pub(super) fn written(&self) -> Option<InFlight> {
        self.written
    }

    /// Writes in one call of the system; none when that is what the file says.
    pub(super) fn write(&mut self, bounds: InFlight) -> io::Result<()> {
        if self.written != Some(bounds) {
            self.written = None;
            files::write_at(&self.file, &bounds.to_bytes(), 0)?;
            self.written = Some(bounds);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const BOUNDS: InFlight = InFlight { agent_id: Uuid::from_u128(7), first_seq: 3, last_seq: 9 };

    #[test]
    fn bounds_are_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut note = Note::open(directory.path()).unwrap();
        assert_eq!(note.written(), None);
        note.write(BOUNDS).unwrap();
        drop(note);
        assert_eq!(Note::open(directory.path()).unwrap().written(), Some(BOUNDS));
    }

    #[test]
    fn what_is_not_whole_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let whole = BOUNDS.to_bytes();
        for at in 0..LENGTH {
            let mut damaged = whole;
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert_eq!(Note::open(directory.path()).unwrap().written(), None, "{at}");
        }
        let backwards = InFlight { first_seq: 9, last_seq: 3, ..BOUNDS };
        for odd in
            [&[][..], &whole[..LENGTH - 1], &[&whole[..], b"x"].concat(), &backwards.to_bytes()]
        {
            fs::write(&path, odd).unwrap();
            assert_eq!(Note::open(directory.path()).unwrap().written(), None);
        }
    }

    #[cfg(unix)]
    #[test]
    fn file_is_the_owners_alone_and_takes_its_place_at_once() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        drop(Note::open(directory.path()).unwrap());
        let metadata = directory.path().join(NAME).metadata().unwrap();
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, 40));
    }
}
