//! Parses `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use super::names;
use crate::{sample::Mode, sampler::disk::Mount};

/// The mounts in the file's order; a line that isn't one is skipped.
pub(super) fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mount).collect()
}

/// `36 35 98:0 /root /mountpoint rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=continue`
fn mount(line: &str) -> Option<Mount> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(2);
    let (number, root, place) = (mount.next()?, mount.next()?, mount.next()?);
    let mount_mode = mode(mount.next()?);
    let mut filesystem = filesystem.split(' ');
    let (kind, source) = (filesystem.next()?, filesystem.next()?);
    let (mountpoint, path) = unescape(place);
    let mode = mode(filesystem.next()?);
    Some(Mount {
        // Each subvolume of btrfs has a number of its own, although all share the space.
        identity: if kind == "btrfs" { source } else { number }.to_owned(),
        device: unescape(source).0,
        path,
        mountpoint,
        kind: kind.to_owned(),
        mode,
        read_only_here: mode == Mode::ReadOnly || mount_mode == Mode::ReadOnly,
        partial: root != "/",
        remote: false,
    })
}

/// The first of the options. The file system's own are the line's last field; those before the
/// dash belong to the mount, which a sandbox makes read-only without the file system being so.
fn mode(options: &str) -> Mode {
    match options.split(',').next() {
        Some("ro") => Mode::ReadOnly,
        _ => Mode::ReadWrite,
    }
}

/// A name for people and for the system. The kernel writes white space and the backslash as
/// `\040`, so a `\x` can only come from [`names::escape`].
fn unescape(field: &str) -> (String, PathBuf) {
    let mut raw = Vec::new();
    for (at, piece) in field.split('\\').enumerate() {
        let octal = piece.get(..3).filter(|_| at > 0);
        let byte = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte {
            Some(byte) => {
                raw.push(byte);
                raw.extend(&piece.as_bytes()[3..]);
            }
            None if at > 0 => raw.extend(names::unescape(&format!("\\{piece}"))),
            None => raw.extend(piece.as_bytes()),
        }
    }
    (names::escape(&raw).into_owned(), OsString::from_vec(raw).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn one(line: &str) -> Mount {
        let mounts = parse(line);
        assert_eq!(mounts.len(), 1, "{line}");
        mounts.into_iter().next().unwrap()
    }

    #[test]
    fn optional_fields_may_be_none_or_many() {
        let none = one("27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n");
        let many = one("27 1 254:0 / / rw shared:1 master:2 propagate_from:3 - ext4 /dev/vda rw\n");
        assert_eq!(none, many);
        assert_eq!((&*none.identity, &*none.device, &*none.kind), ("254:0", "/dev/vda", "ext4"));
        assert!(!none.partial);
    }

    #[test]
    fn mode_is_of_the_file_system_not_of_the_mount() {
        let sandboxed = one("40 1 8:1 / / ro,nosuid - ext4 /dev/sda1 rw,errors=remount-ro\n");
        assert_eq!((sandboxed.mode, sandboxed.read_only_here), (Mode::ReadWrite, true));
        let broken = one("40 1 8:1 / / rw,nosuid - ext4 /dev/sda1 ro,errors=remount-ro\n");
        assert_eq!(broken.mode, Mode::ReadOnly);
    }

    #[test]
    fn white_space_in_a_mountpoint_is_unescaped() {
        let mount = one("41 1 8:2 / /mnt/my\\040disk\\134x rw - ext4 /dev/disk/a\\040b rw\n");
        assert_eq!(mount.mountpoint, "/mnt/my disk\\x5cx");
        assert_eq!(mount.path, PathBuf::from("/mnt/my disk\\x"));
        assert_eq!(mount.device, "/dev/disk/a b");
    }

    #[test]
    fn bytes_that_are_not_utf_8_reach_the_system_as_they_are() {
        let mount = one("41 1 8:2 / /mnt/\\xff\\040ü rw - ext4 /dev/sdb rw\n");
        assert_eq!(mount.mountpoint, "/mnt/\\xff ü");
        assert_eq!(mount.path.as_os_str().as_bytes(), b"/mnt/\xff \xc3\xbc");
    }

    #[test]
    fn subvolumes_of_btrfs_are_one_file_system() {
        let root = one("30 1 0:25 /@ / rw - btrfs /dev/sda2 rw,subvol=/@\n");
        let home = one("31 1 0:26 /@home /home rw - btrfs /dev/sda2 rw,subvol=/@home\n");
        assert_eq!(root.identity, home.identity);
    }

    #[test]
    fn bind_mount_is_partial_and_of_the_same_file_system() {
        let whole = one("30 1 8:1 / / rw - ext4 /dev/root rw\n");
        let bound = one("31 1 8:1 /var/lib/x /etc/hosts rw - ext4 /dev/sda1 rw\n");
        assert_eq!(whole.identity, bound.identity);
        assert!(bound.partial);
    }

    #[test]
    fn empty_source_and_stray_lines_do_no_harm() {
        assert_eq!(one("25 24 0:23 / /dev/shm rw - tmpfs  rw,size=1k\n").device, "");
        assert_eq!(parse("\nnonsense\n1 2 3 - \n"), []);
        assert_eq!(one("1 1 8:1 / /a\\04 rw - ext4 /dev/sda rw\n").mountpoint, "/a\\04");
        assert_eq!(one("1 1 8:1 / /a\\x rw - ext4 /dev/sda rw\n").mountpoint, "/a\\x5cx");
    }
}
