//! Files that the configuration is made of or names: looked up, judged by their mode, read with a
//! bound. Opens nothing but regular files, so nothing here waits; writes nothing.

use std::{
    fs::{self, Metadata},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use super::fault::Fault;

/// Where the configuration is looked for when no file is given.
pub(super) const PLACES: [&str; 2] =
    ["config/collector-config.yaml", "/etc/collector/collector-config.yaml"];

/// A parser's time grows with the square of the size on hostile input; this much takes a fraction
/// of a second, and is ten times the longest configuration.
pub(super) const MOST_CONFIG_BYTES: u64 = 64 << 10;
/// Bound on every other file.
pub(super) const MOST_BYTES: u64 = 1 << 20;

/// A file's text and what its mode allows.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) file: PathBuf,
    pub(super) content: String,
    /// Users who are neither owner nor in the group may read it.
    pub(super) others_may_read: bool,
}

/// The file given, else the first of the two places where one is.
pub(super) fn locate(given: Option<&Path>, places: [&Path; 2]) -> Result<PathBuf, Fault> {
    let exists = |place: &&Path| place.try_exists().unwrap_or(true);
    if let Some(file) = given.or_else(|| places.into_iter().find(exists)) {
        return Ok(file.into());
    }
    let [first, second] = places;
    let message = "there is no configuration: neither this file nor";
    Err(Fault::of_file(first, format!("{message} {}; give one with -c FILE", second.display())))
}

/// Reads a regular file of text. The error names the file and says nothing of its contents.
pub(super) fn read(file: &Path, most_bytes: u64) -> Result<Text, Fault> {
    let refuse = |message: String| Fault::of_file(file, message);
    let metadata = fs::metadata(file).map_err(|error| refuse(reason(&error)))?;
    if !metadata.is_file() {
        return Err(refuse("isn't a regular file".into()));
    }
    if others_may_write(&metadata) {
        return Err(refuse("every user may write to it; chmod o-w it".into()));
    }
    let mut bytes = Vec::new();
    fs::File::open(file)
        .and_then(|open| open.take(most_bytes + 1).read_to_end(&mut bytes))
        .map_err(|error| refuse(reason(&error)))?;
    if bytes.len() as u64 > most_bytes {
        return Err(too_large(file, most_bytes));
    }
    let content = decode(file, &bytes)?.to_owned();
    Ok(Text { file: file.into(), content, others_may_read: others_may_read(&metadata) })
}

pub(super) fn too_large(file: &Path, most_bytes: u64) -> Fault {
    Fault::of_file(file, format!("is too large; at most {} KiB", most_bytes >> 10))
}

/// UTF-8 without control characters; the fault names the line of the first that is neither.
pub(super) fn decode<'a>(file: &Path, bytes: &'a [u8]) -> Result<&'a str, Fault> {
    let line_at = |at: usize| bytes[..at].split(|&byte| byte == b'\n').count();
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Fault::of_file(file, "isn't UTF-8 text").at(line_at(error.valid_up_to()))
    })?;
    let bad = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    match text.char_indices().find(|&(_, c)| bad(c)) {
        None => Ok(text),
        Some((at, c)) => {
            let message = format!("holds a control character (U+{:04X})", u32::from(c));
            Err(Fault::of_file(file, message).at(line_at(at)))
        }
    }
}

/// Whether the file exists but this user may not read it.
pub(super) fn is_forbidden(file: &Path) -> bool {
    fs::File::open(file).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".into(),
        ErrorKind::PermissionDenied => "may not be read by this user".into(),
        _ => format!("can't be read: {error}"),
    }
}

#[cfg(unix)]
pub(super) fn others_may_write(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o002 != 0
}

/// Whether a directory is one in which all users keep files, `/tmp` say: whoever comes first there
/// owns a name.
#[cfg(unix)]
pub(super) fn is_shared(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o1002 == 0o1002
}

#[cfg(unix)]
fn others_may_read(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

/// Windows has access lists instead of modes; they aren't judged.
#[cfg(not(unix))]
pub(super) fn others_may_write(_: &Metadata) -> bool {
    false
}

#[cfg(not(unix))]
pub(super) fn is_shared(_: &Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn others_may_read(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_exists_is_taken_and_a_given_file_goes_before_all() {
        let home = tempfile::tempdir().unwrap();
        let (first, second) = (home.path().join("first"), home.path().join("second"));
        let places = [first.as_path(), second.as_path()];
        let message = locate(None, places).expect_err("there is none").to_string();
        assert!(message.starts_with(&format!("{}: ", first.display())), "{message}");
        assert!(
            message.contains(&format!("nor {}; give one with -c", second.display())),
            "{message}"
        );
        fs::write(&second, "").unwrap();
        assert_eq!(locate(None, places), Ok(second.clone()));
        fs::write(&first, "").unwrap();
        assert_eq!(locate(None, places), Ok(first.clone()));
        assert_eq!(locate(Some(&second), places), Ok(second));
    }
}
