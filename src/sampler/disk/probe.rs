//! Asks file systems for their usage without ever waiting long. One that lives on a network or in a
//! program (FUSE) may not answer for ever, and nothing can interrupt the call: such are asked from a
//! thread of their own, with a deadline. A thread that hangs is left to its mount, which isn't asked
//! again before it has come back; so there is at most one a mount, and a bounded number of all.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use super::{Mount, Usage};

/// How long one file system may take.
const DEADLINE: Duration = Duration::from_millis(500);
/// How long all that don't answer may take together in one reading.
const DEADLINE_OF_ALL: Duration = Duration::from_secs(2);
/// Threads that hang; with more of them nothing else of the kind is asked.
const MOST_HANGING: usize = 16;

/// Why there is no usage.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The system says no.
    Refused(io::Error),
    /// No answer so far.
    Hangs,
}

/// The system call; a seam for tests.
pub(super) type Ask = fn(&Path) -> io::Result<Usage>;

/// A thread that asks one file system after the other.
struct Worker {
    questions: SyncSender<PathBuf>,
    answers: Receiver<io::Result<Usage>>,
}

/// Asks file systems.
pub(super) struct Prober {
    ask: Ask,
    idle: Option<Worker>,
    hanging: BTreeMap<PathBuf, Worker>,
    /// What is left of the time for all in this reading.
    left: Duration,
}

impl Prober {
    /// Starts no thread yet.
    pub(super) fn new(ask: Ask) -> Self {
        Self { ask, idle: None, hanging: BTreeMap::new(), left: DEADLINE_OF_ALL }
    }

    /// A new reading begins: whoever came back meanwhile may be asked again.
    pub(super) fn begin(&mut self) {
        self.left = DEADLINE_OF_ALL;
        let hangs = |worker: &Worker| matches!(worker.answers.try_recv(), Err(TryRecvError::Empty));
        self.hanging.retain(|_, worker| hangs(worker));
    }

    /// What the file system says; waits at most [`DEADLINE`].
    pub(super) fn usage(&mut self, mount: &Mount) -> Result<Usage, Trouble> {
        if may_hang(mount) {
            self.usage_in_time(&mount.path)
        } else {
            (self.ask)(&mount.path).map_err(Trouble::Refused)
        }
    }

    fn usage_in_time(&mut self, path: &Path) -> Result<Usage, Trouble> {
        let full = self.hanging.len() >= MOST_HANGING;
        if full || self.left.is_zero() || self.hanging.contains_key(path) {
            return Err(Trouble::Hangs);
        }
        let worker = match self.idle.take() {
            Some(worker) => worker,
            None => Worker::start(self.ask).map_err(Trouble::Refused)?,
        };
        let start = Instant::now();
        let gone = || Trouble::Refused(io::Error::other("the thread that asks has ended"));
        worker.questions.send(path.to_owned()).map_err(|_| gone())?;
        let answer = worker.answers.recv_timeout(DEADLINE.min(self.left));
        self.left = self.left.saturating_sub(start.elapsed());
        match answer {
            Ok(answer) => {
                self.idle = Some(worker);
                answer.map_err(Trouble::Refused)
            }
            Err(RecvTimeoutError::Timeout) => {
                self.hanging.insert(path.to_owned(), worker);
                Err(Trouble::Hangs)
            }
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }
}

impl Worker {
    /// Ends when the prober lets go of it and its last question is answered. Nobody joins it: it may
    /// hang in the kernel for ever.
    fn start(ask: Ask) -> io::Result<Self> {
        let (questions, asked) = sync_channel::<PathBuf>(1);
        // Room for the answer, so that it never waits for somebody to take it.
        let (answer, answers) = sync_channel(1);
        thread::Builder::new().name("statvfs".into()).spawn(move || {
            for path in asked {
                if answer.send(ask(&path)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, answers })
    }
}

/// Whether somebody else than this machine's kernel answers.
fn may_hang(mount: &Mount) -> bool {
    const KINDS: [&str; 22] = [
        "9p",
        "acfs",
        "afpfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "macfuse",
        "ncpfs",
        "ocfs2",
        "orangefs",
        "osxfuse",
        "smb3",
        "smbfs",
        "virtiofs",
        "webdav",
    ];
    let kind = &*mount.kind;
    mount.remote || kind.starts_with("nfs") || kind.starts_with("fuse") || KINDS.contains(&kind)
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
