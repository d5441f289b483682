//! How large a request may be: the configured bounds, or the smaller ones that a server or a link has
//! taught. Pure.

use crate::encode::Limits;

/// Requests at the smaller bounds that must have been accepted before larger ones are tried.
const PATIENCE: u32 = 4;
/// A bound that was refused again after it had grown needs twice as many, up to this.
const MOST_PATIENCE: u32 = 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Limit {
    configured: Limits,
    now: Limits,
    /// Full requests that were accepted at these bounds.
    accepted: u32,
    patience: u32,
    /// Whether these bounds are a try, larger than what is known to work.
    grown: bool,
}

impl Limit {
    pub(super) fn new(configured: Limits) -> Self {
        Self { configured, now: configured, accepted: 0, patience: PATIENCE, grown: false }
    }

    /// The bounds of the next request.
    pub(super) fn now(&self) -> Limits {
        self.now
    }

    /// A request was too large: the half of it, of so many samples and bytes, is the bound from now on.
    pub(super) fn shrink(&mut self, samples: usize, bytes: usize) {
        if std::mem::take(&mut self.grown) {
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
        }
        self.accepted = 0;
        self.now.max_samples = self.now.max_samples.min(samples.max(1));
        self.now.max_bytes = self.now.max_bytes.min(bytes.max(1));
    }

    /// A request that reached the bounds was accepted: after some of them larger ones are tried.
    pub(super) fn accepted_full(&mut self) {
        if self.now == self.configured {
            return;
        }
        self.accepted += 1;
        if self.accepted < self.patience {
            return;
        }
        self.accepted = 0;
        self.grown = true;
        let Limits { max_samples, max_bytes } = self.configured;
        self.now.max_samples = (self.now.max_samples * 2).min(max_samples);
        self.now.max_bytes = (self.now.max_bytes * 2).min(max_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: Limits = Limits { max_samples: 500, max_bytes: 1_000_000 };

    #[test]
    fn halving_ends_at_one_sample_and_never_passes_the_configured_bounds() {
        let mut limit = Limit::new(CONFIGURED);
        for expected in [250, 125, 62, 31, 15, 7, 3, 1, 1] {
            let Limits { max_samples, max_bytes } = limit.now();
            limit.shrink(max_samples / 2, max_bytes / 2);
            assert_eq!(limit.now().max_samples, expected);
        }
        for _ in 0..100 {
            limit.accepted_full();
        }
        assert_eq!(limit.now(), CONFIGURED);
    }

    #[test]
    fn large_request_that_is_refused_again_and_again_is_tried_ever_more_rarely() {
        let mut limit = Limit::new(CONFIGURED);
        limit.shrink(250, 200_000);
        let mut refused = 0;
        for _ in 0..10_000 {
            match limit.now() {
                Limits { max_samples: 250, max_bytes: 200_000 } => limit.accepted_full(),
                Limits { max_samples, max_bytes } => {
                    refused += 1;
                    limit.shrink(max_samples / 2, max_bytes / 2);
                }
            }
        }
        assert!((10..20).contains(&refused), "{refused}");
    }
}
