//! A log file bounded in size: at 10 MB it becomes `FILE.1`, that one `FILE.2`, and so on; five old
//! ones are kept. For its owner alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

const MOST_BYTES: u64 = 10_000_000;
const KEPT: usize = 5;

/// A file that is renamed and begun anew before a write would make it too large.
pub(super) struct RotatingFile {
    path: PathBuf,
    /// `None` between a failed rotation and the next attempt.
    file: Option<File>,
    most_bytes: u64,
}

impl RotatingFile {
    /// Opens the file, or makes it; not its directory.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::bounded(path, MOST_BYTES)
    }

    fn bounded(path: &Path, most_bytes: u64) -> io::Result<Self> {
        let file = Some(open(path)?);
        // What a link leads to is renamed, not the link: that may be /dev/stdout.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        Ok(Self { path, file, most_bytes })
    }

    /// The file as it is: somebody may have emptied it since.
    fn is_full(&self, more: usize) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        let bytes = file.metadata()?.len();
        Ok(bytes > 0 && bytes + more as u64 > self.most_bytes)
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (0..KEPT).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = None;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        if number > 0 {
            path.push(format!(".{number}"));
        }
        path.into()
    }
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_full(bytes.len())? {
            self.rotate()?;
        }
        if self.file.is_none() {
            self.file = Some(open(&self.path)?);
        }
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    open_with(&mut options, path)
}

/// A pipe that nobody reads is an error, and not a wait for somebody to come.
#[cfg(unix)]
fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = options.mode(0o600).custom_flags(flags).open(path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

#[cfg(not(unix))]
fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_outgrows_its_bound_and_keeps_five_old_ones() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("c.log");
        for round in 0..3 {
            let mut file = RotatingFile::bounded(&path, 100).unwrap();
            for line in 0..100 {
                file.write_all(format!("{:>9}\n", round * 100 + line).as_bytes()).unwrap();
            }
        }
        let files: Vec<_> = fs::read_dir(home.path()).unwrap().map(|f| f.unwrap().path()).collect();
        assert_eq!(files.len(), 6, "{files:?}");
        for file in files {
            assert!(fs::metadata(&file).unwrap().len() <= 100, "{}", file.display());
        }
        let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
        let all: String =
            ["c.log.5", "c.log.4", "c.log.3", "c.log.2", "c.log.1", "c.log"].map(read).concat();
        let kept: Vec<_> = (240..300).map(|line| format!("{line:>9}\n")).collect();
        assert_eq!(all, kept.concat());
    }

    #[cfg(unix)]
    #[test]
    fn it_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("c.log");
        drop(RotatingFile::open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_what_it_leads_to_is_rotated() {
        let home = tempfile::tempdir().unwrap();
        let (link, path) = (home.path().join("link"), home.path().join("c.log"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut file = RotatingFile::bounded(&link, 10).unwrap();
        file.write_all(b"the first\n").unwrap();
        file.write_all(b"another\n").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&link).unwrap(), b"another\n");
        assert_eq!(fs::read(home.path().join("c.log.1")).unwrap(), b"the first\n");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_that_nobody_reads_is_an_error_and_one_that_is_read_is_not() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let (done, opened) = std::sync::mpsc::channel();
        let pipe = path.clone();
        std::thread::spawn(move || done.send(RotatingFile::open(&pipe).is_err()).unwrap());
        assert!(opened.recv_timeout(std::time::Duration::from_secs(30)).unwrap());
        let _reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut file = RotatingFile::open(&path).unwrap();
        file.write_all(b"a line\n").unwrap();
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        assert!(RotatingFile::open(&home.path().join("none/c.log")).is_err());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
