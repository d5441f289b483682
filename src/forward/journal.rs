//! What the log tells of deliveries: when they begin to fail and when they work again. A server
//! that is dead for a week, or one that comes and goes, is a few lines an hour.

use std::time::Duration;

use tokio::time::Instant;

use super::State;

/// Failures of one kind are told once in this time, within an outage and over outages that follow
/// one another.
const QUIET: Duration = Duration::from_mins(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Journal {
    works: bool,
    outage: Option<Outage>,
    told_retry: Option<Instant>,
    told_hold: Option<Instant>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    attempts: u64,
    /// Whether the log knows of it, and so must hear of its end.
    told: bool,
}

impl Journal {
    /// An attempt ended well; `queued` entries wait.
    pub(super) fn delivered(&mut self, queued: u64) {
        match self.outage.take() {
            Some(outage) if outage.told => {
                let outage_seconds = outage.since.elapsed().as_secs();
                tracing::info!(queued, outage_seconds, "delivery works again");
            }
            _ if !self.works => tracing::info!("delivery works"),
            _ => {}
        }
        self.works = true;
    }

    /// An attempt failed; `queued` entries wait.
    pub(super) fn failed(&mut self, state: State, reason: &str, queued: u64) {
        let now = Instant::now();
        let outage = self.outage.get_or_insert(Outage { since: now, attempts: 0, told: false });
        outage.attempts += 1;
        let told = match state {
            State::Held => &mut self.told_hold,
            _ => &mut self.told_retry,
        };
        if told.is_some_and(|told| now - told < QUIET) {
            tracing::debug!(reason, "delivery failed");
            return;
        }
        *told = Some(now);
        outage.told = true;
        let (attempts, outage_seconds) = (outage.attempts, (now - outage.since).as_secs());
        if state == State::Held {
            // A person must act.
            tracing::error!(
                reason,
                queued,
                attempts,
                outage_seconds,
                "the server refuses us; samples are kept"
            );
        } else {
            tracing::warn!(
                reason,
                queued,
                attempts,
                outage_seconds,
                "delivery fails; samples are kept"
            );
        }
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
    async fn week_of_outage_is_a_line_in_ten_minutes() {
        let (log, _guard) = logged();
        let mut journal = Journal::default();
        for _ in 0..7 * 24 * 60 * 4 {
            journal.failed(State::BackingOff, "refused", 9);
            advance(Duration::from_secs(15)).await;
        }
        journal.delivered(9);
        let lines = log.lines();
        assert_eq!(lines.len(), 7 * 24 * 6 + 1);
        assert!(lines[0].starts_with(" WARN delivery fails"), "{}", lines[0]);
        let end = " INFO delivery works again queued=9 outage_seconds=604800";
        assert_eq!(lines.last().unwrap(), end);
    }

    #[tokio::test(start_paused = true)]
    async fn server_that_comes_and_goes_does_not_fill_the_log() {
        let (log, _guard) = logged();
        let mut journal = Journal::default();
        for _ in 0..240 {
            journal.failed(State::BackingOff, "reset", 1);
            advance(Duration::from_secs(5)).await;
            journal.delivered(0);
            advance(Duration::from_secs(10)).await;
        }
        assert!(log.lines().len() <= 13, "{:?}", log.lines());
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
