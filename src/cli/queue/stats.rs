//! `collector queue stats`: the figures for people, for scripts, and for monitoring.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{Access, StatsArgs, reach, report};
use crate::{
    cli::words::many,
    clock::{Clock, SystemClock},
    config::Config,
    control::Report,
    forward::{State, Status},
};

const REPEAT: Duration = Duration::from_secs(2);
/// Monitoring asks about drops within this time.
const RECENT: SignedDuration = SignedDuration::from_hours(1);
/// Entries that wait though nothing was acknowledged for so many intervals, beyond the time for which
/// they are collected on purpose, are stuck.
const STUCK_INTERVALS: u32 = 10;

pub(super) async fn run(args: &StatsArgs, config: &Config) -> anyhow::Result<()> {
    loop {
        let report = look(config).await?;
        if args.check {
            return check(&report, config, args.json);
        }
        show(&report, args)?;
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(REPEAT).await;
    }
}

/// The figures now. A queue that was opened for them is closed again, so that a daemon can start.
async fn look(config: &Config) -> anyhow::Result<Report> {
    match reach(config).await? {
        Access::Daemon(mut client) => Ok(client.stats().await?),
        Access::Here(queue) => {
            let status = Status::new(State::Stopped, SystemClock.now());
            Ok(Report::new(&queue.stats.borrow(), status, false))
        }
    }
}

fn show(report: &Report, args: &StatsArgs) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if args.json && args.watch {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
    } else if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(report)?)?;
    } else {
        if args.watch && out.is_terminal() {
            // Home, and clear what is below.
            write!(out, "\x1b[H\x1b[J")?;
        }
        write!(out, "{}", report::text(report, SystemClock.now()))?;
        if args.watch && !out.is_terminal() {
            writeln!(out)?;
        }
    }
    Ok(out.flush()?)
}

fn check(report: &Report, config: &Config, json: bool) -> anyhow::Result<()> {
    let patience = shortest_interval(config) * STUCK_INTERVALS + config.forward.linger;
    let problems = problems(report, patience, SystemClock.now());
    let mut out = io::stdout().lock();
    if json {
        let checked = serde_json::json!({ "ok": problems.is_empty(), "problems": problems });
        writeln!(out, "{checked}")?;
    } else if problems.is_empty() {
        writeln!(out, "ok")?;
    }
    if problems.is_empty() { Ok(()) } else { anyhow::bail!("{}", problems.join("; ")) }
}

fn shortest_interval(config: &Config) -> Duration {
    config
        .collect
        .groups
        .iter()
        .map(|(_, interval)| *interval)
        .min()
        .unwrap_or(Duration::from_secs(5))
}

/// What a monitoring system should wake somebody for.
fn problems(report: &Report, patience: Duration, now: Timestamp) -> Vec<String> {
    let mut problems = Vec::new();
    let forwarder = &report.forwarder;
    let reason = forwarder.last_error.as_deref().unwrap_or("no reason given");
    if forwarder.state == State::Held {
        let since = to_the_second(forwarder.since);
        problems.push(format!("delivery is held since {since}: {reason}"));
    }
    if let Some(error) = &report.storage.error {
        problems.push(format!("the queue's disk fails: {error}"));
    }
    // What was there before the last success may just have been sent.
    let waits_since =
        report.queue.oldest.max(forwarder.last_success).filter(|_| report.queue.samples > 0);
    let patience = SignedDuration::try_from(patience).unwrap_or(SignedDuration::MAX);
    if let Some(since) = waits_since.filter(|since| now.duration_since(*since) > patience) {
        let (samples, since) = (report.queue.samples, to_the_second(since));
        let wait = if samples == 1 { "waits" } else { "wait" };
        let samples = many(samples, "sample");
        problems.push(format!("nothing was acknowledged since {since} although {samples} {wait}"));
    }
    if let Some(at) = report.last_dropped.filter(|at| now.duration_since(*at) < RECENT) {
        problems.push(format!("samples were dropped, last at {}", to_the_second(at)));
    }
    problems
}

/// Nobody who is woken up reads nanoseconds.
fn to_the_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue;

    fn report(samples: u64, waits_for: i64, now: Timestamp) -> Report {
        let mut stats = queue::Stats::default();
        stats.queue.samples = samples;
        stats.queue.oldest = Some(now - SignedDuration::from_secs(waits_for));
        Report::new(&stats, Status::new(State::Stopped, now), true)
    }

    #[test]
    fn a_healthy_queue_is_no_problem() {
        let now = Timestamp::now();
        assert_eq!(problems(&report(3, 49, now), Duration::from_secs(50), now), [""; 0]);
    }

    #[test]
    fn entries_that_wait_beyond_the_patience_are_stuck() {
        let now = Timestamp::now();
        let found = problems(&report(3, 51, now), Duration::from_secs(50), now);
        assert!(found[0].contains("3 samples wait"), "{found:?}");
        assert!(problems(&report(0, 51, now), Duration::from_secs(50), now).is_empty());
    }

    #[test]
    fn a_hold_and_a_recent_drop_are_said() {
        let now = Timestamp::now();
        let mut report = report(0, 0, now);
        report.forwarder.state = State::Held;
        report.forwarder.last_error = Some("401 Unauthorized".into());
        report.last_dropped = Some(now - SignedDuration::from_mins(59));
        let found = problems(&report, Duration::from_secs(5), now);
        assert!(found[0].contains("401 Unauthorized") && found[1].contains("dropped"), "{found:?}");
        report.last_dropped = Some(now - SignedDuration::from_mins(61));
        assert_eq!(problems(&report, Duration::from_secs(5), now).len(), 1);
    }
}
