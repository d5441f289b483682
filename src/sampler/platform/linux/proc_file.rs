//! A file of `/proc` that is read again and again through one descriptor.

use std::{borrow::Cow, fs::File, io, os::unix::fs::FileExt, path::PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::names;
use crate::sampler::SampleError;

const FIRST_BUFFER: usize = 16 * 1024;
// A host with ten thousand mounts or sockets stays below; an endless file ends here.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Opens the file at the first reading and holds it; opens it anew after an error.
#[derive(Debug)]
pub(super) struct ProcFile {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
    pieces: Pieces,
}

/// How the kernel hands a text out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pieces {
    /// A page or so at a time: only an empty piece is the end.
    Many,
    /// All at once, however long it is (`single_open` of the kernel): room that is left is the end.
    One,
}

impl ProcFile {
    /// A text that may come in pieces. Touches nothing yet.
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), file: None, buffer: Vec::new(), pieces: Pieces::Many }
    }

    /// A text that comes at once, which spares a call for each reading. Touches nothing yet.
    pub(super) fn at_once(path: impl Into<PathBuf>) -> Self {
        Self { pieces: Pieces::One, ..Self::new(path) }
    }

    /// The whole text as it is now, with stray bytes as [`names::escape`] spells them.
    pub(super) fn read(&mut self) -> Result<Cow<'_, str>, SampleError> {
        match self.fill() {
            Ok(length) => Ok(names::escape(&self.buffer[..length])),
            Err(error) => {
                self.file = None;
                Err(SampleError::read(self.path.display().to_string(), error))
            }
        }
    }

    /// Like [`read`](Self::read); a file that this kernel doesn't have is empty.
    pub(super) fn read_if_there(&mut self) -> Result<Cow<'_, str>, SampleError> {
        if self.file.is_none() && !self.path.exists() {
            return Ok(Cow::Borrowed(""));
        }
        self.read()
    }

    /// Whether the kernel says that the text has changed since this was asked last; only some files
    /// can tell (`mountinfo`). True before the first reading and after an error.
    pub(super) fn has_changed(&self) -> bool {
        let Some(file) = &self.file else { return true };
        let mut asked = [PollFd::new(file, PollFlags::PRI)];
        let at_once = Timespec::default();
        !matches!(poll(&mut asked, Some(&at_once)), Ok(0))
    }

    /// The error for a text that makes no sense.
    pub(super) fn malformed(&self) -> SampleError {
        SampleError::Malformed { what: self.path.display().to_string().into() }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.path)?,
        };
        if self.buffer.is_empty() {
            self.buffer.resize(FIRST_BUFFER, 0);
        }
        let length = read_all(&file, &mut self.buffer, self.pieces)?;
        self.file = Some(file);
        Ok(length)
    }
}

/// Fills `buffer`, which grows as it must.
fn read_all(file: &File, buffer: &mut Vec<u8>, pieces: Pieces) -> io::Result<usize> {
    let mut length = 0;
    loop {
        if length == buffer.len() {
            if length >= MAX_BYTES {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
            buffer.resize(length * 2, 0);
        }
        match file.read_at(&mut buffer[length..], length as u64) {
            Ok(0) => return Ok(length),
            Ok(read) => {
                length += read;
                if pieces == Pieces::One && length < buffer.len() {
                    return Ok(length);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_read_anew_through_the_same_descriptor() {
        let mut file = ProcFile::new("/proc/self/stat");
        let fields = |text: &str| text.split(' ').count();
        let first = fields(&file.read().unwrap());
        assert!(first > 20);
        assert_eq!(fields(&file.read().unwrap()), first);
    }

    #[test]
    fn text_that_comes_at_once_is_whole_even_if_it_is_longer_than_the_buffer() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("stat");
        for length in [0, 1, FIRST_BUFFER - 1, FIRST_BUFFER, FIRST_BUFFER + 1, 5 * FIRST_BUFFER] {
            std::fs::write(&path, "x".repeat(length)).unwrap();
            for mut file in [ProcFile::new(&path), ProcFile::at_once(&path)] {
                assert_eq!(file.read().unwrap().len(), length);
            }
        }
    }

    /// Those of this kernel, in the longest piece and beside the reading that waits for the end.
    #[test]
    fn texts_that_are_said_to_come_at_once_do() {
        let names = [
            "stat",
            "loadavg",
            "meminfo",
            "pressure/cpu",
            "net/snmp",
            "net/snmp6",
            "net/netstat",
            "net/sockstat",
            "net/sockstat6",
            "self/stat",
        ];
        let lines = |mut file: ProcFile| file.read_if_there().unwrap().lines().count();
        for path in names.map(|name| format!("/proc/{name}")) {
            assert_eq!(lines(ProcFile::at_once(&path)), lines(ProcFile::new(&path)), "{path}");
        }
    }

    #[test]
    fn absent_file_is_an_error_or_empty_as_asked() {
        let mut file = ProcFile::new("/proc/no-such-file");
        assert!(matches!(file.read(), Err(SampleError::Read { .. })));
        assert_eq!(file.read_if_there().unwrap(), "");
    }
}
