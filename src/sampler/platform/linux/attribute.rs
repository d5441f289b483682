//! A short file of `/sys` or `/proc/sys`, whose text comes in one piece.

use std::{fs::File, os::unix::fs::FileExt, path::PathBuf};

use rustix::io::Errno;

/// Opens the file at the first reading and may hold it.
pub(super) struct Attribute {
    pub(super) path: PathBuf,
    file: Option<File>,
}

impl Attribute {
    /// Touches nothing yet.
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), file: None }
    }

    /// [`text`](Self::text) as a number.
    pub(super) fn number(&mut self, keep_open: bool) -> Option<u64> {
        self.text(keep_open)?.parse().ok()
    }

    /// `None` where there is no such file, or nothing in it now.
    pub(super) fn text(&mut self, keep_open: bool) -> Option<String> {
        let mut buffer = [0; 64];
        let length = self.fill(&mut buffer);
        if !keep_open {
            self.file = None;
        }
        let text = std::str::from_utf8(&buffer[..length?]).ok()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// An open file of an interface that is gone says ENODEV for ever, even if there is a new one
    /// of its name.
    fn fill(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if let Some(file) = &self.file {
            match file.read_at(buffer, 0) {
                Ok(length) => return Some(length),
                Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                    return None;
                }
                Err(_) => {}
            }
        }
        self.file = File::open(&self.path).ok();
        self.file.as_ref()?.read_at(buffer, 0).ok()
    }
}
