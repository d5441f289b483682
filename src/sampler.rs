//! The trait [`Sampler`] and its options; one file a group below.

use glob::Pattern;

/// What the samplers leave out or add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Figures of each logical CPU.
    pub per_cpu: bool,
    /// File-system types left out.
    pub exclude_types: Vec<Pattern>,
    /// Mount points left out.
    pub exclude_mounts: Vec<Pattern>,
    /// Block devices left out.
    pub exclude_devices: Vec<Pattern>,
    /// Interfaces left out.
    pub exclude_interfaces: Vec<Pattern>,
    /// Counts of sockets by state.
    pub connections: bool,
}
