//! Logging set-up: console or rotating file, text or JSON.

use std::path::PathBuf;

/// What is logged where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The lowest level that is logged.
    pub level: Level,
    /// A file instead of stderr; rotated at 10 MB, 5 kept.
    pub file: Option<PathBuf>,
    /// How a line looks.
    pub format: Format,
}

/// The seed's level names, and `TRACE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Everything.
    Trace,
    /// For developers.
    Debug,
    /// State changes.
    Info,
    /// It mended itself, nothing lost.
    Warning,
    /// Data lost, or a person must act.
    Error,
    /// What ends the daemon; tracing has no such level, so only its errors marked critical.
    Critical,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
