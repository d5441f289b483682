//! Asks file systems for their usage without ever waiting long. One that lives on a network or in a
//! program (FUSE) may not answer for ever, and nothing can interrupt the call, not even SIGKILL: such
//! are asked by a worker, with a deadline. One that hangs is left to its mount, which isn't asked again
//! before it has come back; so there is at most one a mount, and a bounded number of all. What waits in
//! the kernel is a process of its own ([`helper`]), because a thread that can't be killed keeps the
//! whole process, its exit and its locks.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Mount, Usage};

#[cfg(unix)]
pub(in crate::sampler) mod helper;

/// How long one file system may take.
const DEADLINE: Duration = Duration::from_millis(500);
/// How long all that don't answer may take together in one reading.
const DEADLINE_OF_ALL: Duration = Duration::from_secs(2);
/// Workers that hang; with more of them, only what has answered before is asked.
const MOST_HANGING: usize = 16;
/// Those that hang, and one that asks.
const MOST_WORKERS: usize = MOST_HANGING + 1;

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

/// Asks one file system after the other; `None` when it can't any more.
type Asker = Box<dyn FnMut(&Path) -> Option<io::Result<Usage>>>;

/// A thread that asks one file system after the other, or has a process of its own do that.
struct Worker {
    questions: SyncSender<PathBuf>,
    answers: Receiver<io::Result<Usage>>,
}

/// Asks file systems.
pub(super) struct Prober {
    ask: Ask,
    idle: Option<Worker>,
    hanging: BTreeMap<PathBuf, Worker>,
    answered: BTreeSet<PathBuf>,
    /// All workers of the process, those of earlier probers that still hang included.
    workers: &'static AtomicUsize,
    /// What is left of the time for all in this reading.
    left: Duration,
}

impl Prober {
    /// Starts no worker yet; counts them in `workers`.
    pub(super) fn new(ask: Ask, workers: &'static AtomicUsize) -> Self {
        let (hanging, answered) = (BTreeMap::new(), BTreeSet::new());
        Self { ask, idle: None, hanging, answered, workers, left: DEADLINE_OF_ALL }
    }

    /// Only these may be asked from now on; the others are gone.
    pub(super) fn retain(&mut self, is_there: impl Fn(&Path) -> bool) {
        self.answered.retain(|path| is_there(path));
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
        let full = self.hanging.len() >= MOST_HANGING && !self.answered.contains(path);
        if full || self.left.is_zero() || self.hanging.contains_key(path) {
            return Err(Trouble::Hangs);
        }
        let worker = match self.idle.take() {
            Some(worker) => worker,
            None => Worker::start(self.ask, self.workers)?,
        };
        let start = Instant::now();
        let gone = || Trouble::Refused(io::Error::other("the worker that asks has ended"));
        worker.questions.send(path.to_owned()).map_err(|_| gone())?;
        let answer = worker.answers.recv_timeout(DEADLINE.min(self.left));
        self.left = self.left.saturating_sub(start.elapsed());
        match answer {
            Ok(answer) => {
                self.idle = Some(worker);
                if !self.answered.contains(path) {
                    self.answered.insert(path.to_owned());
                }
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

/// One of the workers, from before its thread starts until that has ended.
struct Place(&'static AtomicUsize);

impl Place {
    /// `None` when all are taken.
    fn take(workers: &'static AtomicUsize) -> Option<Self> {
        let place = Self(workers);
        (workers.fetch_add(1, Ordering::Relaxed) < MOST_WORKERS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    /// Ends when the prober lets go of it and its last question is answered. Nobody joins it: it may
    /// hang in the kernel for ever.
    fn start(ask: Ask, workers: &'static AtomicUsize) -> Result<Self, Trouble> {
        let place = Place::take(workers).ok_or(Trouble::Hangs)?;
        let (questions, paths) = sync_channel::<PathBuf>(1);
        // Room for the answer, so that it never waits for somebody to take it.
        let (answer, answers) = sync_channel(1);
        let work = move || {
            let _place = place;
            let mut asker = asker(ask);
            for path in paths {
                let told = match &mut asker {
                    Ok(asker) => asker(&path).map(|usage| answer.send(usage)),
                    Err(error) => Some(answer.send(Err(io::Error::from(error.kind())))),
                };
                if !matches!(told, Some(Ok(()))) {
                    return;
                }
            }
        };
        thread::Builder::new().name("statvfs".into()).spawn(work).map_err(Trouble::Refused)?;
        Ok(Self { questions, answers })
    }
}

/// Who asks for one worker: a process where this program can be started as one, else its thread.
fn asker(ask: Ask) -> io::Result<Asker> {
    #[cfg(unix)]
    if let Some(program) = helper::program() {
        let mut helper = helper::Helper::start(program)?;
        return Ok(Box::new(move |path| helper.ask(path)));
    }
    Ok(Box::new(move |path| Some(ask(path))))
}

/// Whether somebody else than this machine's kernel answers.
pub(super) fn may_hang(mount: &Mount) -> bool {
    const KINDS: [&str; 23] = [
        "9p",
        "acfs",
        "afpfs",
        "afs",
        "autofs",
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
