//! Is the manager told that the agent is alive exactly as long as the queue's owner answers, and of
//! the state as it is? The owner is held up where it asks for the time.

use std::{
    sync::{Arc, Condvar, Mutex, mpsc},
    time::{Duration, Instant as Start},
};

use jiff::Timestamp;

use super::*;
use crate::{
    clock::{Clock, SystemClock},
    queue::{self, Options, Overflow, Queue, Sync},
    sample::{Cpu, Metrics, Origin, Sample},
};

/// A clock that doesn't answer while it is shut.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn shut(&self, shut: bool) {
        *self.0.0.lock().unwrap() = shut;
        self.0.1.notify_all();
    }
}

/// Opens the gate whatever becomes of the test: the owner is joined at its end.
struct Opened(Gate);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.shut(false);
    }
}

impl Clock for Gate {
    fn now(&self) -> Timestamp {
        let (shut, changed) = &*self.0;
        drop(changed.wait_while(shut.lock().unwrap(), |shut| *shut).unwrap());
        SystemClock.now()
    }
}

fn open(directory: &std::path::Path, clock: Gate) -> Queue {
    let options = Options {
        directory: directory.into(),
        max_bytes: 8_000_000,
        min_free_bytes: 0,
        overflow: Overflow::DropOldest,
        max_age: Some(Duration::from_hours(1)),
        sync: Sync::Every(Duration::from_hours(1)),
    };
    queue::open(options, None, Arc::new(clock), Duration::ZERO).unwrap()
}

fn sample() -> Sample {
    Sample {
        timestamp: Timestamp::now(),
        since_boot: None,
        origin: Arc::new(Origin::default()),
        interval: Duration::from_secs(5),
        metrics: Metrics::Cpu(Cpu::default()),
    }
}

/// Waits for news of a kind, other kinds left aside.
fn wait_for(news: &mpsc::Receiver<News>, wanted: impl Fn(&News) -> bool) {
    let deadline = Start::now() + Duration::from_secs(30);
    while !wanted(&news.recv_timeout(deadline - Start::now()).unwrap()) {}
}

#[test]
fn owner_that_hangs_is_not_called_alive_and_one_that_goes_on_is() {
    let home = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let queue = open(home.path(), gate.clone());
    let _opened = Opened(gate.clone());
    let (tell, news) = mpsc::channel();
    // A receiver that is gone has heard enough.
    let tell = move |news| drop(tell.send(news));
    let watchdog = Duration::from_millis(200);
    let supervisor = Supervisor::new(tell, Some(watchdog));
    let (_status, forwarder) = watch::channel(Status::new(State::Idle, SystemClock.now()));
    let (_next, planned) = watch::channel(Instant::now());
    let (stats, inspector) = (queue.stats.clone(), queue.inspector.clone());
    let sight = Sight { stats, forwarder, inspector, bounds: Bounds::default() };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let supervising = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            tokio::select! {
                () = supervise(supervisor, sight, planned) => {}
                _ = stopped => {}
            }
        });
    });
    let alive = |news: &News| *news == News::Alive;
    (0..3).for_each(|_| wait_for(&news, alive));
    gate.shut(true);
    queue.producer.offer(vec![sample()]);
    // A question that was under way, its patience, and then nothing.
    let silence = 10 * watchdog;
    let deadline = Start::now() + Duration::from_secs(30);
    while news.recv_timeout(silence).is_ok() {
        assert!(Start::now() < deadline, "it is called alive though it hangs");
    }
    gate.shut(false);
    wait_for(&news, alive);
    wait_for(
        &news,
        |news| matches!(news, News::Status(line) if line == "delivering; 1 sample queued"),
    );
    drop(stop);
    supervising.join().unwrap();
}

#[test]
fn status_line_names_what_a_person_has_to_know() {
    let mut stats = Stats::default();
    let mut doing = Status::new(State::Held, Timestamp::UNIX_EPOCH);
    doing.last_error = Some("401 Unauthorized".into());
    stats.queue.samples = 2;
    let held = "held, the server refuses us: 401 Unauthorized; 2 samples queued";
    assert_eq!(line(&stats, &doing), held);
    stats.storage.error = Some("No space left on device".into());
    assert_eq!(line(&stats, &doing), format!("{held}; the disk fails: No space left on device"));
    doing.state = State::BackingOff;
    assert!(line(&stats, &doing).starts_with("delivery fails, trying again: 401"));
}
