//! What the log tells of deliveries: when they begin to fail and when they work again, and ever more
//! rarely that they still fail. A server that is dead for a week, or one that comes and goes, is a
//! few lines.

use std::time::Duration;

use tokio::time::Instant;

use super::State;

/// A line of one kind isn't repeated sooner than this; then twice as long, and so on.
const QUIET: Duration = Duration::from_mins(10);
/// A line is repeated once a day at least.
const LONGEST_QUIET: Duration = Duration::from_hours(24);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Journal {
    works: bool,
    outage: Option<Outage>,
    /// When the last outage ended.
    recovered: Option<Instant>,
    retries: Quiet,
    holds: Quiet,
    dead_letters: Quiet,
    /// Set aside and not told yet.
    untold_dead_letters: u64,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    attempts: u64,
    /// Whether the log knows of it, and so must hear of its end.
    told: bool,
}

/// When a kind of line was told last, and for how long it isn't told again.
#[derive(Debug, Default)]
struct Quiet(Option<(Instant, Duration)>);

impl Quiet {
    fn is_over(&self, now: Instant) -> bool {
        self.0.is_none_or(|(told, quiet)| now - told >= quiet)
    }

    fn begin(&mut self, now: Instant) {
        let quiet = self.0.map_or(QUIET, |(_, quiet)| (quiet * 2).min(LONGEST_QUIET));
        self.0 = Some((now, quiet));
    }
}

impl Journal {
    /// An attempt ended well; `queued` entries wait.
    pub(super) fn delivered(&mut self, queued: u64) {
        if let Some(outage) = self.outage.take() {
            self.recovered = Some(Instant::now());
            if outage.told {
                let outage_seconds = outage.since.elapsed().as_secs();
                tracing::info!(queued, outage_seconds, "delivery works again");
            }
        } else if !self.works {
            tracing::info!("delivery works");
        }
        self.works = true;
    }

    /// An attempt failed; `queued` entries wait.
    pub(super) fn failed(&mut self, state: State, reason: &str, queued: u64) {
        let now = Instant::now();
        if self.outage.is_none() && self.recovered.is_some_and(|at| now - at >= QUIET) {
            // It had worked for long: this isn't the last outage going on.
            (self.retries, self.holds) = Default::default();
        }
        let outage = self.outage.get_or_insert(Outage { since: now, attempts: 0, told: false });
        outage.attempts += 1;
        let (attempts, outage_seconds) = (outage.attempts, (now - outage.since).as_secs());
        let is_held = state == State::Held;
        let quiet = if is_held { &mut self.holds } else { &mut self.retries };
        // However often it came and went before, one that stays is told.
        let stays = !outage.told && now - outage.since >= QUIET;
        if !quiet.is_over(now) && !stays {
            tracing::debug!(reason, "delivery failed");
            return;
        }
        quiet.begin(now);
        outage.told = true;
        if is_held {
            // A person must act.
            let what = "the server refuses us; samples are kept";
            tracing::error!(reason, queued, attempts, outage_seconds, "{what}");
        } else {
            let what = "delivery fails; samples are kept";
            tracing::warn!(reason, queued, attempts, outage_seconds, "{what}");
        }
    }

    /// The sample `seq` was set aside.
    pub(super) fn dead_lettered(&mut self, seq: u64, status: u16) {
        let now = Instant::now();
        self.untold_dead_letters += 1;
        if !self.dead_letters.is_over(now) {
            tracing::debug!(seq, status, "a sample became a dead letter");
            return;
        }
        self.dead_letters.begin(now);
        let count = std::mem::take(&mut self.untold_dead_letters);
        tracing::error!(
            seq,
            status,
            count,
            "the server refuses samples; they are dead letters now"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use tokio::time::advance;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Log {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    impl Log {
        /// Levels and messages so far.
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    fn logged() -> (Log, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    #[tokio::test(start_paused = true)]
    async fn success_after_success_is_one_line() {
        let (log, _guard) = logged();
        let mut journal = Journal::default();
        for _ in 0..1_000 {
            journal.delivered(0);
        }
        assert_eq!(log.lines(), [" INFO delivery works"]);
    }

    #[tokio::test(start_paused = true)]
    async fn week_of_outage_is_a_few_lines() {
        let (log, _guard) = logged();
        let mut journal = Journal::default();
        for _ in 0..7 * 24 * 60 * 4 {
            journal.failed(State::BackingOff, "refused", 9);
            advance(Duration::from_secs(15)).await;
        }
        journal.delivered(9);
        let lines = log.lines();
        assert!((10..=16).contains(&lines.len()), "{lines:?}");
        assert!(lines[0].starts_with(" WARN delivery fails"), "{}", lines[0]);
        let end = " INFO delivery works again queued=9 outage_seconds=604800";
        assert_eq!(lines.last().unwrap(), end);
    }

    #[tokio::test(start_paused = true)]
    async fn server_that_comes_and_goes_does_not_fill_the_log() {
        let (log, _guard) = logged();
        let mut journal = Journal::default();
        for _ in 0..7 * 24 * 60 * 4 {
            journal.failed(State::BackingOff, "reset", 1);
            advance(Duration::from_secs(5)).await;
            journal.delivered(0);
            advance(Duration::from_secs(10)).await;
        }
        assert!(log.lines().len() <= 32, "{:?}", log.lines());
    }

    #[tokio::test(start_paused = true)]
    async fn outage_that_stays_is_told_after_many_that_did_not() {
        let (log, _guard) = logged();
        let mut journal = Journal::default();
        for _ in 0..24 * 60 * 4 {
            journal.failed(State::BackingOff, "reset", 1);
            advance(Duration::from_secs(5)).await;
            journal.delivered(0);
            advance(Duration::from_secs(10)).await;
        }
        let before = log.lines().len();
        for _ in 0..45 {
            journal.failed(State::BackingOff, "refused", 9);
            advance(Duration::from_secs(15)).await;
        }
        journal.delivered(9);
        let lines = log.lines().split_off(before);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("refused"), "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn new_outage_after_a_long_one_is_told_at_once() {
        let (log, _guard) = logged();
        let mut journal = Journal::default();
        for _ in 0..4 * 24 * 60 {
            journal.failed(State::BackingOff, "refused", 9);
            advance(Duration::from_mins(1)).await;
        }
        journal.delivered(9);
        advance(Duration::from_mins(11)).await;
        let before = log.lines().len();
        journal.failed(State::BackingOff, "reset", 1);
        let lines = log.lines().split_off(before);
        assert_eq!(
            lines,
            [" WARN delivery fails; samples are kept reason=\"reset\" queued=1 \
             attempts=1 outage_seconds=0"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn dead_letters_are_counted_rather_than_listed() {
        let (log, _guard) = logged();
        let mut journal = Journal::default();
        for seq in 0..3_600 {
            journal.dead_lettered(seq, 422);
            advance(Duration::from_secs(1)).await;
        }
        let lines = log.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[1].ends_with("seq=600 status=422 count=600"), "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn hold_within_an_outage_is_told_at_once() {
        let (log, _guard) = logged();
        let mut journal = Journal::default();
        journal.failed(State::BackingOff, "503", 1);
        journal.failed(State::Held, "401", 2);
        journal.failed(State::BackingOff, "503", 3);
        journal.failed(State::Held, "401", 4);
        let lines = log.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].starts_with("ERROR the server refuses us"), "{lines:?}");
    }
}
