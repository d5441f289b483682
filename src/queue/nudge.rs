//! Looks after a thread that writes. After a failed write the database may leave its caller waiting for
//! ever: where a batch is what fails, sled 0.34.7 notes the error and wakes nobody
//! (`Log::exit_reservation`). So a second thread looks, as long as a write lasts, whether the database
//! knows of an error by now, and wakes the caller then. It must never wait for a disk itself.

use std::{
    cell::RefCell,
    io,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// So often is a write that lasts looked after.
const EVERY: Duration = Duration::from_millis(500);
/// A disk that doesn't take a few kilobytes in this time has failed as well.
const STUCK: Duration = Duration::from_mins(2);

/// Wakes the caller if the database failed; returns at once in any case.
type Nudge = Box<dyn Fn() + Send>;

thread_local! {
    static COMPANY: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// The thread that looks. Dropping it ends and joins it.
pub(super) struct Nudger {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Nudger {
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let looking = Arc::clone(&shared);
        let builder = thread::Builder::new().name("queue-nudge".into());
        let thread = builder.spawn(move || looking.look())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Does `work`, and looks meanwhile after what this thread writes.
    pub(super) fn beside<T>(&self, work: impl FnOnce() -> T) -> T {
        COMPANY.set(Some(Arc::clone(&self.shared)));
        let done = work();
        COMPANY.set(None);
        done
    }
}

impl Drop for Nudger {
    fn drop(&mut self) {
        self.shared.change(|state| state.closed = true);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread that looks after the queue's writes panicked");
        }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// While a write lasts.
    nudge: Option<Nudge>,
    /// It is only woken where it sleeps: a commit needn't cost a call of the system.
    asleep: bool,
    closed: bool,
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let done = change(&mut state);
        let wake = state.closed || (state.asleep && state.nudge.is_some());
        drop(state);
        if wake {
            self.changed.notify_one();
        }
        done
    }

    fn look(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.closed {
            if state.nudge.is_none() {
                state.asleep = true;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.asleep = false;
                continue;
            }
            let waited = self.changed.wait_timeout(state, EVERY);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            // Perhaps another write's than before: one look for nothing.
            if let Some(nudge) = &state.nudge {
                nudge();
            }
        }
    }
}

/// Does `work`, a write. If it lasts and this thread has a [`Nudger`] beside it, that calls `nudge` now
/// and then until it is done. What `nudge` holds is dropped before this returns.
pub(super) fn during<T>(nudge: impl Fn() + Send + 'static, work: impl FnOnce() -> T) -> T {
    let _writing = Writing::begin();
    let company = COMPANY.with_borrow(Clone::clone);
    let Some(shared) = company else { return work() };
    shared.change(|state| state.nudge = Some(Box::new(nudge)));
    let done = work();
    drop(shared.change(|state| state.nudge.take()));
    done
}

/// Since when something has been writing, in milliseconds since [`begun`], never 0; 0 while nothing is.
static WRITING: AtomicU64 = AtomicU64::new(0);

fn begun() -> Instant {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    *BEGUN.get_or_init(Instant::now)
}

fn now_ms() -> u64 {
    u64::try_from(begun().elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}

/// A write lasts until this is dropped.
struct Writing;

impl Writing {
    fn begin() -> Self {
        WRITING.store(now_ms(), Ordering::Relaxed);
        Self
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.store(0, Ordering::Relaxed);
    }
}

/// Whether a write has lasted for longer than any disk takes: no call of the database takes a deadline,
/// and what even the nudge doesn't wake can only be left behind with the process.
pub(super) fn is_stuck() -> bool {
    let since = WRITING.load(Ordering::Relaxed);
    let stuck_ms = u64::try_from(STUCK.as_millis()).unwrap_or(u64::MAX);
    since > 0 && now_ms().saturating_sub(since) > stuck_ms
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[test]
    fn a_write_that_waits_for_ever_is_woken() {
        let nudger = Nudger::start().unwrap();
        let (wake, woken) = channel();
        let nudge = move || wake.send(()).unwrap_or_default();
        nudger.beside(|| during(nudge, || woken.recv_timeout(DEADLINE))).unwrap();
    }

    #[test]
    fn the_second_write_is_woken_as_well() {
        let nudger = Nudger::start().unwrap();
        nudger.beside(|| {
            for _ in 0..2 {
                let (wake, woken) = channel();
                let nudge = move || wake.send(()).unwrap_or_default();
                during(nudge, || woken.recv_timeout(DEADLINE)).unwrap();
            }
        });
    }

    #[test]
    fn nothing_is_held_when_the_write_is_done() {
        let nudger = Nudger::start().unwrap();
        let handle = Arc::new(());
        let held = Arc::clone(&handle);
        let nudge = move || assert!(Arc::strong_count(&held) > 1);
        nudger.beside(|| during(nudge, || assert_eq!(Arc::strong_count(&handle), 2)));
        assert_eq!(Arc::strong_count(&handle), 1);
    }

    #[test]
    fn a_thread_that_nobody_looks_after_works_all_the_same() {
        assert_eq!(during(|| unreachable!("nobody is there to nudge"), || 7), 7);
    }
}
