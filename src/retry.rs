//! How long to wait before the next attempt. The only file that names `backoff`.

use std::time::Duration;

/// Bounds of the exponential backoff; checked by [`Policy::try_new`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    initial: Duration,
    max: Duration,
    multiplier: f64,
}

/// Why a policy was refused; a variant a configuration key.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// `initial_interval` is zero or more than `max_interval`.
    #[error("must be more than 0 and at most max_interval ({max:?})")]
    Initial {
        /// The maximum it was compared with.
        max: Duration,
    },
    /// `max_interval` is out of range.
    #[error("must be at most 1h")]
    Max,
    /// `multiplier` is out of range.
    #[error("must be from 1 to 100")]
    Multiplier,
}

impl Policy {
    /// Checks the bounds: `0 < initial ≤ max ≤ 1 h`, `1 ≤ multiplier ≤ 100`.
    pub fn try_new(initial: Duration, max: Duration, multiplier: f64) -> Result<Self, PolicyError> {
        if max > Duration::from_hours(1) {
            return Err(PolicyError::Max);
        }
        if initial.is_zero() || initial > max {
            return Err(PolicyError::Initial { max });
        }
        if !(1.0..=100.0).contains(&multiplier) {
            return Err(PolicyError::Multiplier);
        }
        Ok(Self { initial, max, multiplier })
    }

    /// The slowest pace: a hold's probe and the longest backoff.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }
}
