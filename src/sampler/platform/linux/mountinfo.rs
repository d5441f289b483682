//! Parses `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

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
/// `\040`; our reader writes bytes that aren't UTF-8 as `\xff`, which people may see like that.
fn unescape(field: &str) -> (String, PathBuf) {
    let (mut text, mut raw) = (Vec::new(), Vec::new());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = if let Some((byte, tail)) = escaped(rest, b"\\", 3, 8) {
            text.push(byte);
            raw.push(byte);
            tail
        } else if let Some((byte, tail)) = escaped(rest, b"\\x", 2, 16) {
            text.extend_from_slice(&rest[..rest.len() - tail.len()]);
            raw.push(byte);
            tail
        } else {
            text.push(*first);
            raw.push(*first);
            tail
        };
    }
    (String::from_utf8_lossy(&text).into_owned(), OsString::from_vec(raw).into())
}

/// The byte that `text` begins with in that notation, and what follows it.
fn escaped<'a>(text: &'a [u8], mark: &[u8], digits: usize, radix: u32) -> Option<(u8, &'a [u8])> {
    let (digits, tail) = text.strip_prefix(mark)?.split_at_checked(digits)?;
    let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?;
    Some((byte, tail))
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
        assert_eq!(mount.mountpoint, "/mnt/my disk\\x");
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
        assert_eq!(one("1 1 8:1 / /a\\x rw - ext4 /dev/sda rw\n").mountpoint, "/a\\x");
    }
}
