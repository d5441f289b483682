//! A file that takes some room for the worst hour: on a full disk nothing can be removed from a
//! database without writing. It is let go when the disk is full; that it can be written again tells
//! that there is room again.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::files;

const NAME: &str = "ballast";
/// The database opens again by writing a segment of 512 KiB and a snapshot, and goes on in a second one.
const BYTES: usize = 1152 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    bytes: usize,
}

impl Ballast {
    /// The ballast of the queue in `directory`; nothing is written yet.
    pub(super) fn of(directory: &Path) -> Self {
        Self { path: directory.join(NAME), bytes: BYTES }
    }

    /// The room that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Lets it go; `false` when there was none.
    pub(super) fn release(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }

    /// Takes the room again, if it isn't taken. An error means that there isn't so much.
    pub(super) fn restore(&self) -> io::Result<()> {
        let there =
            fs::symlink_metadata(&self.path).map_or(0, |metadata| files::on_disk(&metadata));
        if there >= self.bytes as u64 {
            return Ok(());
        }
        let written = self.write();
        if written.is_err() {
            self.release();
        }
        written
    }

    fn write(&self) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        files::restrict(&self.path)?;
        // Not zeros, which some file systems store as nothing.
        let block = [0x5a; 8 << 10];
        let mut left = self.bytes;
        while left > 0 {
            let some = left.min(block.len());
            file.write_all(&block[..some])?;
            left -= some;
        }
        // Room that is promised late isn't room.
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballast_takes_room_until_it_is_let_go() {
        let home = tempfile::tempdir().unwrap();
        let ballast = Ballast::of(home.path());
        assert!(!ballast.release());
        ballast.restore().unwrap();
        let bytes = fs::metadata(home.path().join(NAME)).unwrap().len();
        assert_eq!(bytes, BYTES as u64);
        fs::write(home.path().join(NAME), "less").unwrap();
        ballast.restore().unwrap();
        assert_eq!(fs::metadata(home.path().join(NAME)).unwrap().len(), bytes);
        assert!(ballast.release() && !home.path().join(NAME).exists());
    }
}
