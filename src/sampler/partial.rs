//! Figures that may be lacking while the rest of the group is fine: one warning when they go, one
//! line when they come back, silence in between.

use tracing::{info, warn};

use super::SampleError;

/// Remembers whether one part of a group was lacking.
#[derive(Debug)]
pub(super) struct Part {
    name: &'static str,
    lacking: bool,
}

impl Part {
    /// The part called `name` in the log; not lacking so far.
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, lacking: false }
    }

    /// The figures, or `None` with a warning if this is news.
    pub(super) fn settle<T>(&mut self, reading: Result<T, SampleError>) -> Option<T> {
        let was_lacking = std::mem::replace(&mut self.lacking, reading.is_err());
        match reading {
            Ok(figures) => {
                if was_lacking {
                    info!(part = self.name, "figures are available again");
                }
                Some(figures)
            }
            Err(error) => {
                if !was_lacking {
                    let error = &error as &dyn std::error::Error;
                    warn!(part = self.name, error, "figures are unavailable");
                }
                None
            }
        }
    }
}
