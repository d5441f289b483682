//! The collecting loop: tick → sample → enqueue. The only place where `spawn_blocking` reads the system.

use std::time::Duration;

use crate::sample::Group;

/// Which groups are sampled, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The enabled groups with their intervals.
    pub groups: Vec<(Group, Duration)>,
}
