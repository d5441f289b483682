//! `forwarder` as far as it paces the forwarding: batches, compression, backoff. Where and how
//! requests are sent is in `endpoint.rs`.

use std::{ops::RangeInclusive, time::Duration};

use super::{defaults, reader::Reader, units};
use crate::{
    encode::{Compression, Limits},
    forward,
    retry::{Policy, PolicyError},
};

/// A batch is held in memory, encoded and compressed: a few times this must stay affordable.
const MOST_BATCH_BYTES: u64 = 16_000_000;
const LEAST_BATCH_BYTES: u64 = 1000;
const MOST_BATCH_SAMPLES: usize = 10_000;
const LONGEST_LINGER: Duration = Duration::from_hours(24);
/// Samples a second: below it a batch of one waits for minutes, above it there is no difference.
const REPLAY_RATES: RangeInclusive<f64> = 0.01..=1_000_000.0;

pub(super) fn forward(reader: &mut Reader<'_>) -> Option<forward::Options> {
    let max_samples =
        reader.whole("forwarder.batch.max_samples", defaults::MAX_SAMPLES, 1..=MOST_BATCH_SAMPLES);
    let max_bytes = reader.size(
        "forwarder.batch.max_bytes",
        defaults::MAX_BYTES,
        LEAST_BATCH_BYTES..=MOST_BATCH_BYTES,
    );
    let linger = Duration::ZERO..=LONGEST_LINGER;
    let linger = reader.duration("forwarder.batch.linger", defaults::LINGER, linger);
    let compression = reader.choice(
        "forwarder.compression",
        defaults::COMPRESSION,
        &[("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)],
    );
    let replay_rate = reader.optional_number("forwarder.replay_rate", REPLAY_RATES);
    let retry = retry(reader)?;
    let limits = Limits { max_samples, max_bytes: usize::try_from(max_bytes).ok()? };
    Some(forward::Options { limits, linger, compression, retry, replay_rate })
}

/// `None` after a fault was noted.
fn retry(reader: &mut Reader<'_>) -> Option<Policy> {
    const INITIAL: &str = "forwarder.retry.initial_interval";
    const MAX: &str = "forwarder.retry.max_interval";
    const MULTIPLIER: &str = "forwarder.retry.multiplier";
    let faults = reader.faults.len();
    let allowed = Duration::from_millis(1)..=Duration::from_hours(1);
    let initial = reader.duration(INITIAL, defaults::RETRY_INITIAL, allowed.clone());
    let max = reader.duration(MAX, defaults::RETRY_MAX, allowed);
    let multiplier = reader.number(MULTIPLIER, defaults::RETRY_MULTIPLIER, 1.0..=100.0);
    if reader.faults.len() > faults {
        return None;
    }
    let error = match Policy::try_new(initial, max, multiplier) {
        Ok(policy) => return Some(policy),
        Err(error) => error,
    };
    let path = match error {
        // Whoever sets the maximum alone put it below the default of the other.
        PolicyError::Initial { .. } if !reader.has(INITIAL) => {
            let initial = units::duration_text(initial);
            reader.refuse(MAX, format!("is below initial_interval ({initial}); set both"));
            return None;
        }
        PolicyError::Initial { .. } => INITIAL,
        PolicyError::Max => MAX,
        PolicyError::Multiplier => MULTIPLIER,
    };
    reader.refuse(path, error.to_string());
    None
}
