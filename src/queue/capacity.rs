//! How long an outage the queue holds: the recent rate of payload and what it takes on disk.

use std::time::{Duration, Instant};

/// Bytes on disk for a hundred bytes of framed records when the queue is full and nothing in it can be
/// put into blocks, as on hosts of hundreds of processors. Elsewhere it is a quarter to a half of that, as
/// `benches/daemon.rs` measures: by this alone the estimate is a lower bound.
pub const DISK_PERCENT: u64 = 220;
/// How far back "recent" reaches.
const WINDOW: Duration = Duration::from_mins(5);

/// Framed bytes a second, averaged over the last minutes.
#[derive(Debug)]
pub(super) struct Rate {
    value: f32,
    since: Option<Instant>,
    pending: u64,
}

impl Rate {
    /// Goes on from a rate that was known before; 0 is unknown.
    pub(super) fn new(value: f32) -> Self {
        Self {
            value: if value.is_finite() { value.max(0.0) } else { 0.0 },
            since: None,
            pending: 0,
        }
    }

    /// Adds `bytes` that were queued now.
    pub(super) fn add(&mut self, bytes: u64) -> f32 {
        let now = Instant::now();
        let Some(since) = self.since else {
            self.since = Some(now);
            return self.value;
        };
        self.pending += bytes;
        let elapsed = now.duration_since(since);
        if elapsed >= Duration::from_millis(100) {
            self.value = averaged(self.value, self.pending, elapsed);
            (self.since, self.pending) = (Some(now), 0);
        }
        self.value
    }

    /// Framed bytes a second; 0 while unknown.
    pub(super) fn value(&self) -> f32 {
        self.value
    }
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate")]
fn averaged(value: f32, bytes: u64, elapsed: Duration) -> f32 {
    let now = (bytes as f64 / elapsed.as_secs_f64()) as f32;
    if value == 0.0 {
        return now;
    }
    let weight = 1.0 - (-elapsed.as_secs_f32() / WINDOW.as_secs_f32()).exp();
    value + (now - value) * weight
}

/// Bytes on disk for a hundred bytes of framed records: what a long outage has shown, where there was one.
pub(super) fn disk_percent(on_disk: u64, framed: u64) -> u64 {
    let shown = (on_disk * 100).checked_div(framed);
    // Of what is half empty less would be told than even the worst takes.
    shown.map_or(DISK_PERCENT, |shown| shown.clamp(1, DISK_PERCENT))
}

/// How many seconds of an outage `max_bytes` on disk hold at `rate` framed bytes a second, of which a
/// hundred take `percent` on disk; 0 while the rate is unknown.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate"
)]
pub(super) fn seconds(max_bytes: u64, rate: f32, percent: u64) -> u64 {
    if rate <= 0.0 {
        return 0;
    }
    (max_bytes as f64 * 100.0 / percent as f64 / f64::from(rate)) as u64
}
