//! The figures of a queue as text for people.

use std::{fmt::Write, time::Duration};

use jiff::Timestamp;

use crate::{
    cli::words::{ago, ahead, count, duration, many, size},
    control::Report,
    forward::{State, Status},
    queue::{Depth, Ledger},
};

/// Some lines about the queue, its life and the forwarder.
pub(super) fn text(report: &Report, now: Timestamp) -> String {
    let daemon = match report.pid {
        Some(pid) if report.running => format!("running, process {pid}"),
        _ => "not running".to_owned(),
    };
    let mut text = String::new();
    line(&mut text, "daemon", &format!("{daemon}, version {}", report.version));
    line(&mut text, "agent", &report.agent_id.to_string());
    queue(&mut text, &report.queue, now);
    if let Some(error) = &report.storage.error {
        let since = report
            .storage
            .since
            .map_or(String::new(), |since| format!(", since {}", ago(since, now)));
        let waiting = many(report.storage.waiting, "sample");
        line(&mut text, "storage", &format!("FAILS{since}: {error}; in memory: {waiting}"));
    }
    forwarder(&mut text, &report.forwarder, report.queue.samples, now);
    ledger(&mut text, &report.ledger, (report.queue.samples, report.unreported.samples));
    if let Some(at) = report.last_dropped {
        line(&mut text, "", &format!("last drop {}", ago(at, now)));
    }
    text
}

fn line(text: &mut String, label: &str, words: &str) {
    // Writing to a string can't fail.
    writeln!(text, "{label:<10} {words}").ok();
}

fn queue(text: &mut String, queue: &Depth, now: Timestamp) {
    let used = (queue.disk_bytes * 100).checked_div(queue.max_bytes).unwrap_or(0);
    let samples = format!(
        "{}, {} of payload; {} of {} on disk ({used} %)",
        many(queue.samples, "sample"),
        size(queue.bytes),
        size(queue.disk_bytes),
        size(queue.max_bytes),
    );
    line(text, "queue", &samples);
    if let (Some(first), Some(last), Some(oldest), Some(newest)) =
        (queue.first_seq, queue.last_seq, queue.oldest, queue.newest)
    {
        let range = format!(
            "seq {first} to {last}; oldest {}, newest {}",
            ago(oldest, now),
            ago(newest, now)
        );
        line(text, "", &range);
    }
    if queue.capacity_seconds > 0 {
        let holds = duration(Duration::from_secs(queue.capacity_seconds));
        line(text, "", &format!("holds about {holds} of an outage at the recent rate"));
    }
    if queue.dead_letters > 0 {
        line(text, "", &many(queue.dead_letters, "dead letter"));
    }
}

fn forwarder(text: &mut String, status: &Status, queued: u64, now: Timestamp) {
    let state = match status.state {
        State::Idle if queued > 0 => "idle: collects for a fuller request",
        State::Idle => "idle: nothing waits",
        State::Sending => "sending",
        State::BackingOff => "backing off",
        State::Held => "held: the server refuses us",
        State::Stopped => "stopped",
    };
    let since = match Duration::try_from(now.duration_since(status.since)) {
        Ok(time) if time.as_secs() > 0 && status.state != State::Stopped => {
            format!(", for {}", duration(time))
        }
        _ => String::new(),
    };
    let next = status.next_attempt.map(|at| format!("; next attempt {}", ahead(at, now)));
    line(text, "forwarder", &format!("{state}{since}{}", next.unwrap_or_default()));
    if let Some(error) = &status.last_error {
        let failures = match status.consecutive_failures {
            1 => "1 failure".to_owned(),
            failures => format!("{} failures in a row", count(failures)),
        };
        line(text, "", &format!("{failures}, last: {error}"));
    }
    if let Some(at) = status.last_success {
        line(text, "", &format!("last success {}", ago(at, now)));
    }
}

fn ledger(text: &mut String, ledger: &Ledger, (queued, untold): (u64, u64)) {
    let dropped = &ledger.dropped;
    let sum = format!(
        "{} enqueued = {} acknowledged + {} queued + {} dropped + {}",
        count(ledger.enqueued),
        count(ledger.acknowledged),
        count(queued),
        count(dropped.total()),
        many(ledger.dead_lettered, "dead letter"),
    );
    line(text, "ledger", &sum);
    if dropped.total() > 0 {
        let reasons = format!(
            "dropped: {} at the cap, {} too old, {} damaged, {} purged",
            count(dropped.overflow),
            count(dropped.expired),
            count(dropped.corrupt),
            count(dropped.purged),
        );
        line(text, "", &reasons);
    }
    if untold > 0 {
        let told = format!("{} of what was lost the server doesn't know yet", count(untold));
        line(text, "", &told);
    }
}
