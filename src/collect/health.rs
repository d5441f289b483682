//! How a group is doing, for the log: a line when that changes, silence while it stays.

use std::error::Error;

use tracing::{info, warn};

use super::job::JobError;
use crate::sample::Group;

/// One group's state as it was last logged.
#[derive(Debug)]
pub(super) struct Health {
    group: Group,
    failing: bool,
    /// Ticks missed since the last one that was on time.
    missed: u64,
}

impl Health {
    /// Fine so far.
    pub(super) fn new(group: Group) -> Self {
        Self { group, failing: false, missed: 0 }
    }

    /// A tick came, `missed` of the group's ticks (perhaps itself) went by without a reading.
    pub(super) fn ticked(&mut self, missed: u64) {
        if missed > 0 && self.missed == 0 {
            warn!(group = %self.group, missed, "sampling lags behind: ticks are missed");
        } else if missed == 0 && self.missed > 0 {
            info!(group = %self.group, missed = self.missed, "sampling is on time again");
            self.missed = 0;
        }
        self.missed += missed;
    }

    /// A reading succeeded.
    pub(super) fn sampled(&mut self) {
        if std::mem::take(&mut self.failing) {
            info!(group = %self.group, "sampling works again");
        }
    }

    /// A reading failed.
    pub(super) fn failed(&mut self, error: &JobError) {
        if !std::mem::replace(&mut self.failing, true) {
            let error = error as &dyn Error;
            warn!(group = %self.group, error, "sampling fails");
        }
    }
}
