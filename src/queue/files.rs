//! Directories and files as the queue wants them: for the owner only, durable when created, and
//! counted as they lie on the disk.

use std::{
    fs::{self, Metadata},
    io,
    path::Path,
};

/// Creates `directory` (its parents, too) for its owner only; fine when it exists. The entry in
/// its parent is on stable storage when this returns.
pub(super) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    fs::create_dir(directory)?;
    restrict(directory)?;
    match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

/// Makes `directory` the queue's home: creates it for its owner only. An empty one that is there is
/// closed to others, if it is ours to close. One with files in it keeps its mode: it may be somebody
/// else's as well, `/var/lib` say.
pub(super) fn settle_in(directory: &Path) -> io::Result<()> {
    create_directory(directory)?;
    if fs::read_dir(directory)?.next().is_some() {
        return Ok(());
    }
    match restrict(directory) {
        // A volume that belongs to root and lets us write.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        done => done,
    }
}

/// Takes all rights from everybody but the owner: 0700 for a directory, 0600 for a file.
#[cfg(unix)]
pub(super) fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::symlink_metadata(path)?;
    let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
    if metadata.permissions().mode() & 0o777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Windows: what is created below a user's directory inherits its access list.
#[cfg(not(unix))]
pub(super) fn restrict(path: &Path) -> io::Result<()> {
    fs::symlink_metadata(path).map(|_| ())
}

/// Makes the entries of a directory durable.
#[cfg(unix)]
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Windows: NTFS journals directory entries itself, and a directory can't be flushed.
#[cfg(not(unix))]
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::metadata(directory).map(|_| ())
}

/// The bytes that a file takes on disk: its length or its blocks, whichever is more.
#[cfg(unix)]
pub(super) fn on_disk(metadata: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.len().max(metadata.blocks() * 512)
}

/// The bytes that a file takes on disk: its length.
#[cfg(not(unix))]
pub(super) fn on_disk(metadata: &Metadata) -> u64 {
    metadata.len()
}

/// The bytes that `path` takes on disk with all below it. What vanishes meanwhile counts nothing.
pub(super) fn tree_on_disk(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    on_disk(&metadata) + below.map(|entry| tree_on_disk(&entry.path())).sum::<u64>()
}

/// Bytes that an unprivileged user may still write to the file system of `directory`; `None` where
/// the system doesn't tell.
#[cfg(unix)]
pub(super) fn free_bytes(directory: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes that the user may still write to the volume of `directory` (`GetDiskFreeSpaceExW`).
#[cfg(windows)]
pub(super) fn free_bytes(directory: &Path) -> Option<u64> {
    let directory = fs::canonicalize(directory).ok()?;
    let disks = sysinfo::Disks::new_with_refreshed_list().ok()?;
    let fits = |disk: &&sysinfo::Disk| {
        directory.components().eq(disk.mount_point().components())
            || directory.starts_with(disk.mount_point())
    };
    disks.iter().filter(fits).map(sysinfo::Disk::available_space).next()
}

/// Writes all of `bytes` at `offset`, without moving a cursor that others may use.
#[cfg(unix)]
pub(super) fn write_at(file: &fs::File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

/// Writes all of `bytes` at `offset`.
#[cfg(windows)]
pub(super) fn write_at(file: &fs::File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        let written = file.seek_write(bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Fills `bytes` from `offset` on; less than all is an error.
#[cfg(unix)]
pub(super) fn read_at(file: &fs::File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

/// Fills `bytes` from `offset` on; less than all is an error.
#[cfg(windows)]
pub(super) fn read_at(file: &fs::File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        match file.seek_read(bytes, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

/// Whether `path` still names the open `file`.
#[cfg(unix)]
pub(super) fn is_at(file: &fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(named)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

/// Windows: a file that is open can't be removed or renamed away by others.
#[cfg(not(unix))]
pub(super) fn is_at(_file: &fs::File, path: &Path) -> bool {
    path.exists()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn home_is_closed_to_others_unless_it_has_files_of_others() {
        let home = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let (new, empty, shared) =
            (home.path().join("new"), home.path().join("empty"), home.path().join("shared"));
        for directory in [&empty, &shared] {
            fs::create_dir(directory).unwrap();
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(shared.join("other"), "").unwrap();
        for (directory, expected) in [(&new, 0o700), (&empty, 0o700), (&shared, 0o755)] {
            settle_in(directory).unwrap();
            assert_eq!(mode(directory), expected, "{}", directory.display());
        }
    }
}
