//! `buffer` and `control`: where the queue lives, what bounds it, and the socket beside it.
//! Judging creates nothing on disk.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{defaults, expand::escape, file, reader::Reader, units, yaml::Kind};
use crate::queue::{self, Overflow, Sync};

/// Below this, sled's own files leave no room for entries.
const LEAST_SIZE: u64 = 8_000_000;
const MOST_SIZE: u64 = 1_000_000_000_000_000;
const LONGEST_SYNC: Duration = Duration::from_hours(1);
/// What `sockaddr_un` holds, the closing NUL left out.
const LONGEST_SOCKET: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

pub(super) fn queue(reader: &mut Reader<'_>) -> queue::Options {
    let max_age = Duration::from_secs(1)..=Duration::from_hours(24 * 3650);
    queue::Options {
        directory: directory(reader),
        max_bytes: reader.size("buffer.max_size", defaults::MAX_SIZE, LEAST_SIZE..=MOST_SIZE),
        min_free_bytes: reader.size("buffer.min_free", defaults::MIN_FREE, 0..=MOST_SIZE),
        overflow: reader.choice(
            "buffer.overflow",
            defaults::OVERFLOW,
            &[("drop_oldest", Overflow::DropOldest), ("drop_newest", Overflow::DropNewest)],
        ),
        max_age: reader.optional_duration("buffer.max_age", max_age),
        sync: sync(reader),
    }
}

fn directory(reader: &mut Reader<'_>) -> PathBuf {
    const PATH: &str = "buffer.directory";
    let directory = PathBuf::from(reader.text_or(PATH, defaults::DIRECTORY));
    match std::fs::metadata(&directory) {
        Ok(found) if !found.is_dir() => {
            reader.refuse(PATH, format!("{} isn't a directory", directory.display()));
        }
        Ok(found) if file::is_shared(&found) => {
            let message = format!(
                "{} is for all users' files; must be a directory of the queue's own",
                directory.display()
            );
            reader.refuse(PATH, message);
        }
        Ok(found) if file::others_may_write(&found) => reader
            .warnings
            .push(format!("{PATH}: every user may write to {}; chmod o-w it", directory.display())),
        _ => {}
    }
    directory
}

fn sync(reader: &mut Reader<'_>) -> Sync {
    let expected =
        format!("always, or a duration from 1ms to {}", units::duration_text(LONGEST_SYNC));
    let allowed = Duration::from_millis(1)..=LONGEST_SYNC;
    let sync = reader.read("buffer.sync", &expected, |kind| match kind {
        Kind::Text(text) if text.eq_ignore_ascii_case("always") => Some(Sync::Always),
        kind => units::duration(kind).filter(|every| allowed.contains(every)).map(Sync::Every),
    });
    let sync = sync.unwrap_or(Sync::Always);
    reader.effective.set(
        "buffer.sync",
        match sync {
            Sync::Always => "always".into(),
            Sync::Every(every) => units::duration_text(every),
        },
    );
    sync
}

/// The control socket's path: as configured, else in the queue's directory.
pub(super) fn socket(reader: &mut Reader<'_>, directory: &Path) -> PathBuf {
    const PATH: &str = "control.socket";
    let configured = reader.text(PATH).map(PathBuf::from);
    let default = directory.join("control.sock");
    let too_long = |path: &Path| cfg!(unix) && path.as_os_str().len() > LONGEST_SOCKET;
    match configured {
        Some(socket) if too_long(&socket) => {
            let message = format!("is too long for a socket; at most {LONGEST_SOCKET} bytes");
            reader.refuse(PATH, message);
        }
        Some(socket) if is_taken(&socket) => {
            let message = "isn't free: something that isn't a socket lies there; must be a path of \
                           its own";
            reader.refuse(PATH, message);
        }
        None if too_long(&default) => reader.refuse(
            "buffer.directory",
            format!(
                "is too long to hold the control socket ({} bytes, at most {LONGEST_SOCKET}); set \
                 control.socket to a shorter path",
                default.as_os_str().len()
            ),
        ),
        Some(socket) => return socket,
        None => {}
    }
    reader.effective.set(PATH, escape(&default.display().to_string()));
    default
}

/// Whether something lies there that no daemon has left. Links aren't followed, nor are they when the
/// socket is bound.
#[cfg(unix)]
fn is_taken(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket())
}

/// A named pipe has no place in a directory.
#[cfg(not(unix))]
fn is_taken(_: &Path) -> bool {
    false
}
