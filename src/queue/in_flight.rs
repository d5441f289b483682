//! What a request carries, written down before it leaves, so that after a crash the same request can be
//! made again: same entries, same losses told, times put right by the same clock, and so the same
//! bytes under the same key. It is a hint and no more: a record that can't be read, or of entries that
//! have left, is ignored, and none is ever synced.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Entry, Loss, files, losses, record};
use crate::clock::Moment;

const NAME: &str = "in-flight";
/// The file takes its place on the disk at once, where the cap is measured.
const LENGTH: usize = 4096;

/// What a request carries beside its entries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attached {
    /// What the server is told of losses.
    pub losses: Vec<Loss>,
    /// The clocks when it was made, by which times are put right.
    pub clocks: Moment,
}

/// The most losses of one request.
pub const MOST_LOSSES: usize = losses::MOST;

/// A request: its bounds, and what it carries beside its entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Of all its entries.
    pub agent_id: Uuid,
    /// Of its first entry.
    pub first_seq: u64,
    /// Of its last entry.
    pub last_seq: u64,
    /// What it carries beside them.
    pub attached: Attached,
}

impl InFlight {
    /// The request of `entries`, which are in order; `None` when there are none.
    #[must_use]
    pub fn of(entries: &[Entry], attached: Attached) -> Option<Self> {
        let (first, last) = (entries.first()?, entries.last()?);
        let (agent_id, first_seq, last_seq) = (first.agent_id, first.seq, last.seq);
        Some(Self { agent_id, first_seq, last_seq, attached })
    }

    /// The highest number of the losses that it tells.
    pub(super) fn told(&self) -> u64 {
        self.attached.losses.iter().map(|loss| loss.number).max().unwrap_or(0)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let found: Self = record::unseal(bytes).ok()?;
        (found.first_seq <= found.last_seq).then_some(found)
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
            file.set_len(0)?;
            files::write_at(&file, &[0; LENGTH], 0)?;
        }
        let written = if bytes.len() == LENGTH { InFlight::from_bytes(&bytes) } else { None };
        Ok(Self { file, written })
    }

    /// What was written last.
    pub(super) fn written(&self) -> Option<&InFlight> {
        self.written.as_ref()
    }

    /// Writes in one call of the system; none when that is what the file says.
    pub(super) fn write(&mut self, request: InFlight) -> io::Result<()> {
        if self.written.as_ref() != Some(&request) {
            self.written = None;
            let bytes = record::seal(&request).map_err(io::Error::other)?;
            // Losses are few enough; what is longer is no hint.
            if bytes.len() <= LENGTH {
                files::write_at(&self.file, &bytes, 0)?;
                self.written = Some(request);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::queue::{Lost, Reason};

    fn request(losses: u64) -> InFlight {
        let lost = Lost {
            agent_id: Uuid::from_u128(u128::MAX),
            reason: Reason::DeadLettered,
            first_seq: u64::MAX - 1,
            last_seq: u64::MAX,
            count: u64::MAX,
        };
        let losses = (0..losses).map(|number| Loss { number: u64::MAX - number, lost }).collect();
        let attached = Attached { losses, clocks: Moment::default() };
        InFlight { agent_id: Uuid::from_u128(7), first_seq: 3, last_seq: 9, attached }
    }

    #[test]
    fn request_is_found_again_whatever_it_tells() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Note::open(directory.path()).unwrap().written(), None);
        for losses in [0, 3, MOST_LOSSES as u64, 0] {
            let mut note = Note::open(directory.path()).unwrap();
            note.write(request(losses)).unwrap();
            drop(note);
            let note = Note::open(directory.path()).unwrap();
            assert_eq!(note.written(), Some(&request(losses)));
        }
    }

    #[test]
    fn what_is_not_whole_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let mut whole = record::seal(&request(1)).unwrap();
        let length = whole.len();
        whole.resize(LENGTH, 0);
        for at in 0..length {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x80;
            fs::write(&path, damaged).unwrap();
            assert_eq!(Note::open(directory.path()).unwrap().written(), None, "{at}");
        }
        let backwards = InFlight { first_seq: 9, last_seq: 3, ..request(0) };
        let mut backwards = record::seal(&backwards).unwrap();
        backwards.resize(LENGTH, 0);
        for odd in [&[][..], &whole[..LENGTH - 1], &[&whole[..], b"x"].concat(), &backwards] {
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
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, 4096));
    }
}
