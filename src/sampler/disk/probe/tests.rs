//! File systems that don't answer: nobody waits for them, and no thread is multiplied. A fifo stands
//! for the dead server: opening it to read waits until somebody writes.

use std::{fs, os::unix::ffi::OsStrExt};

use rustix::fs::{CWD, FileType, Mode as Permissions, OFlags};

use super::*;
use crate::sample::Mode;

/// Waits for as long as nobody writes to the fifo at `path`; any other path answers at once.
fn ask(path: &Path) -> io::Result<Usage> {
    if path.as_os_str().as_bytes().ends_with(b"alive") {
        return Ok(Usage { total: 7, ..Usage::default() });
    }
    fs::read(path).map(|_| Usage { total: 1, ..Usage::default() })
}

fn mount(path: PathBuf, kind: &str) -> Mount {
    Mount {
        identity: path.display().to_string(),
        device: "server:/export".into(),
        mountpoint: path.display().to_string(),
        path,
        kind: kind.into(),
        mode: Mode::ReadWrite,
        read_only_here: false,
        partial: false,
        remote: false,
    }
}

/// A count for one test.
fn counter() -> &'static AtomicUsize {
    Box::leak(Box::default())
}

fn dead(home: &Path, name: &str) -> Mount {
    let path = home.join(name);
    let made = rustix::fs::mknodat(CWD, &path, FileType::Fifo, Permissions::from(0o600), 0);
    made.expect("a fifo");
    mount(path, "nfs4")
}

fn hangs(answer: &Result<Usage, Trouble>) -> bool {
    matches!(answer, Err(Trouble::Hangs))
}

#[test]
fn dead_mount_is_given_up_and_the_next_one_still_answers() {
    let home = tempfile::tempdir().unwrap();
    let mut prober = Prober::new(ask, counter());
    let dead = dead(home.path(), "dead");
    assert!(hangs(&prober.usage(&dead)));
    let alive = mount("/alive".into(), "fuse.sshfs");
    assert_eq!(prober.usage(&alive).unwrap().total, 7);
    fs::write(&dead.path, "").unwrap();
}

#[test]
fn mount_that_the_system_calls_remote_is_asked_from_a_thread_whatever_its_type() {
    let mut prober = Prober::new(ask, counter());
    let remote = Mount { remote: true, ..mount("/alive".into(), "ntfs") };
    assert_eq!(prober.usage(&remote).unwrap().total, 7);
    assert!(prober.idle.is_some());
}

#[test]
fn dead_mount_has_one_thread_however_often_it_is_read() {
    let home = tempfile::tempdir().unwrap();
    let mut prober = Prober::new(ask, counter());
    let dead = dead(home.path(), "dead");
    for _ in 0..5 {
        prober.begin();
        assert!(hangs(&prober.usage(&dead)));
        assert_eq!(prober.hanging.len(), 1);
    }
    // Only the first reading has waited.
    assert_eq!(prober.left, DEADLINE_OF_ALL);
    fs::write(&dead.path, "").unwrap();
}

#[test]
fn mount_that_comes_back_is_asked_again() {
    let home = tempfile::tempdir().unwrap();
    let mut prober = Prober::new(ask, counter());
    let dead = dead(home.path(), "dead");
    assert!(hangs(&prober.usage(&dead)));
    fs::write(&dead.path, "").unwrap();
    fs::remove_file(&dead.path).unwrap();
    fs::write(&dead.path, "a file").unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !prober.hanging.is_empty() {
        assert!(Instant::now() < deadline, "the thread never came back");
        prober.begin();
        thread::yield_now();
    }
    assert_eq!(prober.usage(&dead).unwrap().total, 1);
}

#[test]
fn many_dead_mounts_take_no_longer_than_the_deadline_of_all() {
    let home = tempfile::tempdir().unwrap();
    let mut prober = Prober::new(ask, counter());
    let dead: Vec<_> = (0..20).map(|at| dead(home.path(), &format!("dead-{at}"))).collect();
    assert!(dead.iter().all(|mount| hangs(&prober.usage(mount))));
    assert!(prober.left.is_zero());
    // Four deadlines make the deadline of all; the others weren't asked.
    assert!(prober.hanging.len() <= 5, "{}", prober.hanging.len());
    for _ in 0..6 {
        prober.begin();
        assert!(dead.iter().all(|mount| hangs(&prober.usage(mount))));
    }
    assert_eq!(prober.hanging.len(), MOST_HANGING);
    for mount in dead.iter().filter(|mount| prober.hanging.contains_key(&mount.path)) {
        fs::write(&mount.path, "").unwrap();
    }
}

#[test]
fn local_file_system_is_asked_without_a_thread() {
    let mut prober = Prober::new(ask, counter());
    assert_eq!(prober.usage(&mount("/alive".into(), "ext4")).unwrap().total, 7);
    assert!(prober.idle.is_none());
    assert!(matches!(
        prober.usage(&mount("/no/such/place".into(), "xfs")),
        Err(Trouble::Refused(_))
    ));
}

#[test]
fn living_mount_is_asked_while_as_many_as_may_are_dead() {
    let home = tempfile::tempdir().unwrap();
    let mut prober = Prober::new(ask, counter());
    let alive = mount("/alive".into(), "nfs");
    assert_eq!(prober.usage(&alive).unwrap().total, 7);
    let dead: Vec<_> = (0..20).map(|at| dead(home.path(), &format!("dead-{at}"))).collect();
    for _ in 0..6 {
        prober.begin();
        assert_eq!(prober.usage(&alive).unwrap().total, 7);
        assert!(dead.iter().all(|mount| hangs(&prober.usage(mount))));
    }
    assert_eq!(prober.hanging.len(), MOST_HANGING);
    for mount in dead.iter().filter(|mount| prober.hanging.contains_key(&mount.path)) {
        fs::write(&mount.path, "").unwrap();
    }
}

#[test]
fn workers_that_hang_are_counted_over_all_probers_until_they_end() {
    let home = tempfile::tempdir().unwrap();
    let dead = dead(home.path(), "dead");
    let workers = counter();
    for _ in 0..MOST_WORKERS {
        let mut prober = Prober::new(ask, workers);
        prober.left = Duration::from_millis(1);
        assert!(hangs(&prober.usage(&dead)));
        assert_eq!(prober.hanging.len(), 1);
    }
    let mut prober = Prober::new(ask, workers);
    assert!(hangs(&prober.usage(&dead)) && hangs(&prober.usage(&mount("/alive".into(), "nfs"))));
    assert!(prober.hanging.is_empty() && prober.idle.is_none());
    let deadline = Instant::now() + Duration::from_secs(10);
    while workers.load(Ordering::Relaxed) > 0 {
        assert!(Instant::now() < deadline, "the threads never ended");
        // A writer sets those free that wait for one now; it mustn't wait for a reader itself.
        let flags = OFlags::WRONLY | OFlags::NONBLOCK;
        rustix::fs::open(&dead.path, flags, Permissions::empty()).ok();
        thread::yield_now();
    }
    assert_eq!(prober.usage(&mount("/alive".into(), "nfs")).unwrap().total, 7);
}
