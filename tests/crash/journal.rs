//! What is known outside of the queue: a file of lines, appended one `write` each, on a file system
//! that survives. A line is written before what may remove a sample and after what confirms one, so
//! that a crash between the two never makes the queue look worse or better than it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    fs::{self, File},
    io::Write,
    path::Path,
};

use collector::queue::Entry;
use uuid::Uuid;

use crate::content;

/// Numbers are dealt to so many writers in turn: each of them puts its own in ascending order.
pub(crate) const STREAMS: u64 = 8;

/// The file, open for appending.
pub(crate) struct Journal(File);

impl Journal {
    /// Opens it, creates it when absent.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        File::options().create(true).append(true).open(path).map(Self)
    }

    /// Appends `what` with the numbers that it is about.
    pub(crate) fn note(&self, what: &str, numbers: impl IntoIterator<Item = impl Display>) {
        let words = numbers.into_iter().map(|number| number.to_string());
        let line = [what.to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ") + "\n";
        (&self.0).write_all(line.as_bytes()).unwrap();
    }

    /// Notes entries that are about to be acknowledged, or were.
    pub(crate) fn note_entries(&self, what: &str, entries: &[Entry]) {
        let numbered = entries.iter().filter_map(|entry| {
            let number = content::number(&entry.sample)?;
            Some(format!("{}/{}/{number}", entry.agent_id, entry.seq))
        });
        self.note(what, numbered);
    }
}

/// What a journal tells of the past.
#[derive(Default)]
pub(crate) struct Past {
    /// About to be enqueued: they may be there or not.
    pub(crate) offered: BTreeSet<u64>,
    /// Enqueued, and the call returned.
    pub(crate) confirmed: BTreeSet<u64>,
    /// About to be acknowledged: they may be there or not. By identity.
    pub(crate) taking: BTreeMap<(Uuid, u64), u64>,
    /// Acknowledged, and the call returned.
    pub(crate) taken: BTreeSet<u64>,
    /// Found missing and reported before.
    pub(crate) missed: BTreeSet<u64>,
    highest: BTreeMap<u64, u64>,
}

impl Past {
    /// Reads a journal; one that isn't there tells nothing.
    pub(crate) fn read(path: &Path) -> Self {
        let mut past = Self::default();
        for line in fs::read_to_string(path).unwrap_or_default().lines() {
            past.take(line);
        }
        past
    }

    fn take(&mut self, line: &str) {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = rest.split(' ').filter(|word| !word.is_empty());
        let numbers = || words.clone().map(|word| word.parse::<u64>().unwrap());
        match what {
            "offered" => {
                for number in numbers() {
                    let highest = self.highest.entry(number % STREAMS).or_default();
                    *highest = number.max(*highest);
                    self.offered.insert(number);
                }
            }
            "confirmed" => self.confirmed.extend(numbers()),
            "missed" => self.missed.extend(numbers()),
            "taking" => self.taking.extend(words.map(identified)),
            "taken" => self.taken.extend(words.map(|word| identified(word).1)),
            _ => {}
        }
    }

    /// A number of `stream` that was never offered, nor was any behind it.
    pub(crate) fn next(&self, stream: u64) -> u64 {
        self.highest.get(&stream).map_or(stream, |highest| highest + STREAMS)
    }
}

/// An entry of a line: its identity and its number.
fn identified(word: &str) -> ((Uuid, u64), u64) {
    let mut parts = word.split('/');
    let mut next = || parts.next().unwrap();
    ((next().parse().unwrap(), next().parse().unwrap()), next().parse().unwrap())
}
