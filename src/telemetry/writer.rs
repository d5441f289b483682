//! Lines on their way to a sink that may block: a bounded buffer and one thread. Whoever logs only
//! copies; what doesn't fit is dropped, counted, and reported once the sink takes lines again. The
//! thread sleeps until there is a line.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// Where lines end up; a write gets whole lines.
pub(super) type Sink = Box<dyn Write + Send>;

/// Lines that wait, in bytes; as much again is in the hands of the thread.
const MOST_WAITING: usize = 512 << 10;
/// A larger buffer, grown in a burst, is given back.
const MOST_KEPT: usize = 16 << 10;
/// How long the guard waits for the sink.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes lines and never waits for the sink.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

/// Writes the log out when dropped, within a second, even when the sink hangs.
#[must_use = "the log ends when this is dropped"]
pub(super) struct Guard {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    dropped: usize,
    is_writing: bool,
    is_closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread that writes to `sink`.
pub(super) fn spawn(sink: Sink) -> io::Result<(Lines, Guard)> {
    let shared = Arc::new(Shared::default());
    let theirs = Arc::clone(&shared);
    let thread = thread::Builder::new()
        .name("log".into())
        .stack_size(256 << 10)
        .spawn(move || run(&theirs, sink))?;
    Ok((Lines(Arc::clone(&shared)), Guard { shared, thread: Some(thread) }))
}

fn run(shared: &Shared, mut sink: Sink) {
    let mut lost = 0;
    let mut is_torn = false;
    while let Some((lines, dropped)) = next(shared) {
        let written = write(&mut sink, &lines, is_torn);
        is_torn = written.is_err();
        lost += dropped + if is_torn { count(&lines) } else { 0 };
        if !is_torn && lost > 0 {
            // Into our own buffer: it is written next.
            tracing::warn!(lines = mem::take(&mut lost), "log lines were dropped");
        }
        shared.lock().is_writing = false;
        shared.written.notify_all();
    }
}

/// Waits for lines; `None` once the log is closed and empty.
fn next(shared: &Shared) -> Option<(Vec<u8>, usize)> {
    let is_idle = |state: &mut State| state.waiting.is_empty() && !state.is_closed;
    let state = shared.filled.wait_while(shared.lock(), is_idle);
    let mut state = state.unwrap_or_else(PoisonError::into_inner);
    if state.waiting.is_empty() {
        return None;
    }
    state.is_writing = true;
    let spare = Vec::with_capacity(state.waiting.len().min(MOST_KEPT));
    Some((mem::replace(&mut state.waiting, spare), mem::take(&mut state.dropped)))
}

/// After a failure the last line may be half there: a line break ends it.
fn write(sink: &mut Sink, lines: &[u8], is_torn: bool) -> io::Result<()> {
    if is_torn {
        sink.write_all(b"\n")?;
    }
    sink.write_all(lines)?;
    sink.flush()
}

fn count(lines: &[u8]) -> usize {
    lines.split_inclusive(|&byte| byte == b'\n').count()
}

impl Write for Lines {
    /// Takes one line, or drops it. Never fails: nobody could log that.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.waiting.len() + line.len() > MOST_WAITING {
            state.dropped += 1;
        } else {
            state.waiting.extend_from_slice(line);
            self.0.filled.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        self.shared.filled.notify_all();
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        let waited = self.shared.written.wait_timeout_while(state, FLUSH_TIMEOUT, is_busy);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        // A thread that hangs in a write is left to the end of the process.
        if let Some(thread) = self.thread.take().filter(|_| !timeout.timed_out()) {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, Sender, channel},
        time::Instant,
    };

    use super::*;

    /// A sink that waits for a permit before each write, and fails when the permit says so.
    struct Gate {
        permits: Receiver<bool>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !self.permits.recv().unwrap_or(true) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (Sender<bool>, Receiver<Vec<u8>>, Lines, Guard) {
        let ((permit, permits), (to, written)) = (channel(), channel());
        let (lines, guard) = spawn(Box::new(Gate { permits, written: to })).unwrap();
        (permit, written, lines, guard)
    }

    #[test]
    fn lines_are_written_in_order_before_the_guard_is_gone() {
        let (permit, written, mut lines, guard) = gate();
        drop(permit);
        for line in 0..1000 {
            writeln!(lines, "{line}").unwrap();
        }
        drop(guard);
        let text = String::from_utf8(written.try_iter().flatten().collect()).unwrap();
        assert_eq!(text, (0..1000).map(|line| line.to_string() + "\n").collect::<String>());
    }

    #[test]
    fn a_sink_that_hangs_holds_up_neither_the_logger_nor_the_exit() {
        let (_permit, _written, mut lines, guard) = gate();
        let start = Instant::now();
        for _ in 0..100_000 {
            lines.write_all(&[b'x'; 100]).unwrap();
        }
        assert!(lines.0.lock().waiting.len() <= MOST_WAITING);
        drop(guard);
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }

    #[test]
    fn lines_that_a_full_disk_refused_do_not_come_back_torn() {
        let (permit, written, mut lines, guard) = gate();
        permit.send(false).unwrap();
        lines.write_all(b"lost\n").unwrap();
        drop(lines.0.written.wait_while(lines.0.lock(), |state| !state.waiting.is_empty()));
        drop(lines.0.written.wait_while(lines.0.lock(), |state| state.is_writing));
        drop(permit);
        lines.write_all(b"good\n").unwrap();
        drop(guard);
        assert_eq!(written.try_iter().flatten().collect::<Vec<_>>(), b"\ngood\n");
    }
}
