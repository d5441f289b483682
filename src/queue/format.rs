//! The version of the directory as a whole, in a file of its own. A directory without it is of the
//! first version, too.

use std::{fs, io, path::Path};

use super::{files, generation::StorageError};

const NAME: &str = "format";
/// The version that this program writes.
const VERSION: u8 = 1;
/// What stands before the number.
const PREFIX: &str = "collector queue ";

/// Refuses what a later version made; touches nothing.
pub(super) fn check(directory: &Path) -> Result<(), StorageError> {
    let text = match fs::read_to_string(directory.join(NAME)) {
        Ok(text) => text,
        // Whatever it is, it isn't what a later version wrote.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let version = text.strip_prefix(PREFIX).and_then(|version| version.trim().parse().ok());
    match version {
        Some(version) if version > VERSION => Err(StorageError::LaterVersion(version)),
        _ => Ok(()),
    }
}

/// Writes the version of a directory that is about to be filled.
pub(super) fn write(directory: &Path) -> io::Result<()> {
    let path = directory.join(NAME);
    fs::write(&path, format!("{PREFIX}{VERSION}\n"))?;
    files::restrict(&path)?;
    // Windows' FlushFileBuffers wants a handle that may write.
    fs::File::options().write(true).open(&path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_directory_is_refused_and_a_torn_mark_is_not() {
        let home = tempfile::tempdir().unwrap();
        check(home.path()).unwrap();
        write(home.path()).unwrap();
        check(home.path()).unwrap();
        for text in ["", "collector queue ", "collector queue x"] {
            fs::write(home.path().join(NAME), text).unwrap();
            check(home.path()).unwrap();
        }
        fs::write(home.path().join(NAME), "collector queue 2\n").unwrap();
        let refused = check(home.path());
        assert!(matches!(refused, Err(StorageError::LaterVersion(2))), "{refused:?}");
    }
}
