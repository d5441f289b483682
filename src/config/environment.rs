//! Where `${NAME}` gets its values: the real environment first, then `.env`. Never changes the
//! process's environment, never shows a value.

use std::{
    cell::Cell,
    collections::BTreeMap,
    ffi::OsString,
    io::Read,
    path::{Path, PathBuf},
};

use super::{fault::Fault, file::Text};

/// Stands for `$` while `dotenvy` reads a file: a key that holds a dollar is taken as it is, rather
/// than silently losing what looks like a variable. A character for private use, so in no key.
const DOLLAR: char = '\u{f8ff}';

/// What an environment says about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lookup {
    Unset,
    NotUnicode,
    Real(String),
    /// From the `.env` file.
    File(String),
}

type Real = dyn Fn(&str) -> Option<OsString>;

/// Values by name: of the process, and below them those of a `.env` file.
pub struct Environment {
    real: Box<Real>,
    file: Option<PathBuf>,
    others_may_read: bool,
    values: BTreeMap<String, String>,
}

impl Environment {
    /// An environment that asks `real`, `std::env::var_os` say, at each lookup.
    pub fn new(real: impl Fn(&str) -> Option<OsString> + 'static) -> Self {
        Self { real: Box::new(real), file: None, others_may_read: false, values: BTreeMap::new() }
    }

    /// Adds what a `.env` file says, below the real environment. Its lines are `NAME=value`, with
    /// `export`, quotes and comments as the shell has them; a dollar is a dollar. The last of two
    /// equal names wins.
    pub fn with_file(self, file: &Path, text: &str) -> Result<Self, Fault> {
        self.with_text(Text { file: file.into(), content: text.into(), others_may_read: false })
    }

    /// Like [`Environment::with_file`], for a file that was read.
    pub(super) fn with_text(mut self, read: Text) -> Result<Self, Fault> {
        self.values = parse(&read.file, &read.content)?;
        self.file = Some(read.file);
        self.others_may_read = read.others_may_read;
        Ok(self)
    }

    pub(super) fn get(&self, name: &str) -> Lookup {
        if let Some(value) = (self.real)(name) {
            return value.into_string().map_or(Lookup::NotUnicode, Lookup::Real);
        }
        self.values.get(name).cloned().map_or(Lookup::Unset, Lookup::File)
    }

    /// The `.env` file that was read.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether every user may read the `.env` file.
    pub(super) fn others_may_read(&self) -> bool {
        self.others_may_read
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("file", &self.file).finish_non_exhaustive()
    }
}

fn parse(file: &Path, text: &str) -> Result<BTreeMap<String, String>, Fault> {
    let text = text.trim_start_matches('\u{feff}').replace("\\$", "$");
    // A last line that ends in a blank would be taken for an unfinished one.
    let text = format!("{}\n", text.replace('$', &DOLLAR.to_string()));
    let read = Cell::new(0);
    let mut values = BTreeMap::new();
    let mut entries = dotenvy::Iter::new(LineByLine { rest: text.as_bytes(), read: &read });
    loop {
        let before = read.get();
        match entries.next() {
            None => return Ok(values),
            Some(Ok((name, value))) => {
                values.insert(name, value.replace(DOLLAR, "$"));
            }
            // The error holds the line, and with it perhaps a key: it is dropped.
            Some(Err(_)) => {
                return Err(Fault::of_file(
                    file,
                    "expected NAME=value, or NAME='value' if the value holds blanks, quotes or \
                     backslashes",
                )
                .at(first_entry(&text, before)));
            }
        }
    }
}

/// The line of the first entry behind `before` lines; blank lines and comments are none.
fn first_entry(text: &str, before: usize) -> usize {
    let is_entry = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let good = text.lines().skip(before).position(is_entry).unwrap_or(0);
    before + good + 1
}

/// Hands out a line at a time, so that the lines read so far are those of the entries so far.
struct LineByLine<'a> {
    rest: &'a [u8],
    read: &'a Cell<usize>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let end =
            self.rest.iter().position(|&byte| byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end.min(buffer.len()));
        buffer[..line.len()].copy_from_slice(line);
        self.rest = rest;
        self.read.set(self.read.get() + usize::from(line.ends_with(b"\n")));
        Ok(line.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_environment_wins() {
        let environment = Environment::new(|name| (name == "A").then(|| "real".into()))
            .with_file(Path::new(".env"), "A=file\nB=file\n")
            .unwrap();
        assert_eq!(environment.get("A"), Lookup::Real("real".into()));
        assert_eq!(environment.get("B"), Lookup::File("file".into()));
        assert_eq!(environment.get("C"), Lookup::Unset);
    }

    #[test]
    fn its_debug_form_shows_no_value() {
        let environment =
            Environment::new(|_| None).with_file(Path::new(".env"), "A=canary\n").unwrap();
        assert!(!format!("{environment:?}").contains("canary"));
    }
}
