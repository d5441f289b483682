//! What is wrong with a configuration: every fault with file, line and key path, all at once.
//! Owns the one message that a user sees; no message ever holds a value that may be secret.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// More faults than this help nobody; the rest is counted.
const MOST_LISTED: usize = 50;

/// One thing that is wrong, where it is and what is allowed instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file it is in.
    pub file: PathBuf,
    /// The line, counted from 1, where the file gives it.
    pub line: Option<usize>,
    /// The key path, `metrics.disk.interval` say; empty when the whole file is meant.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Fault {
    /// A fault of a whole file.
    pub(super) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, path: String::new(), message: message.into() }
    }

    /// The same fault, in a line of the file.
    pub(super) fn at(self, line: impl Into<Option<usize>>) -> Self {
        Self { line: line.into(), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Why a configuration was refused: all faults that were found, in the order of the lines. The
/// caller's only reaction is to show it and exit with 78.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    faults: Vec<Fault>,
}

impl Error {
    /// Sorts the faults as a reader of the file meets them.
    pub(super) fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|a, b| (a.line, &a.path).cmp(&(b.line, &b.path)));
        Self { faults }
    }

    /// What is wrong; never empty.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self { faults: vec![fault] }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.len() {
            1 => write!(f, "the configuration is wrong")?,
            count => write!(f, "the configuration is wrong in {count} places")?,
        }
        for fault in self.faults.iter().take(MOST_LISTED) {
            write!(f, "\n  {fault}")?;
        }
        match self.faults.len().saturating_sub(MOST_LISTED) {
            0 => Ok(()),
            more => write!(f, "\n  … and {more} more"),
        }
    }
}
