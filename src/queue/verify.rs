//! Judging a queue without changing it: what each part must hold, what the bytes on the disk and the
//! database say, and what lies around. It judges; reading is done by the store, or by [`closed`] for
//! a queue that nobody uses.

use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Ledger, Stats, files,
    live::Live,
    raw,
    salvage::{self, Salvage},
};

pub(super) mod closed;
mod survey;
mod trial;

pub(super) use survey::{Survey, survey};

/// At most so many stretches of missing samples are listed.
const LISTED: usize = 16;

/// What became of opening the database of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Database {
    /// It opens, and what it yields was counted.
    Whole,
    /// It doesn't.
    Broken,
    /// It wasn't tried; the raw bytes alone were read.
    NotOpened,
}

/// What was found in one part (generation) of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The name of its directory.
    pub name: String,
    /// The first sequence number that it may hold.
    pub first_seq: u64,
    /// The sequence number behind its last.
    pub end_seq: u64,
    /// What it takes on disk, in bytes.
    pub disk_bytes: u64,
    /// Whole frames in its file, those of samples that have left included.
    pub frames: u64,
    /// Places in its file that begin as a frame and aren't one: left-overs of what was written over,
    /// or damage. They are no problem as long as no sample is missing.
    pub torn_frames: u64,
    /// Whether its meta record stands in its file whole.
    pub meta: bool,
    /// Whether its database opens.
    pub database: Database,
    /// Samples that the ledger says are in it.
    pub expected: u64,
    /// Samples that can be read.
    pub samples: u64,
    /// The first stretches of numbers that can't be read though samples are missing, ends included.
    pub missing: Vec<[u64; 2]>,
    /// What is wrong with it, in words.
    pub problems: Vec<String>,
}

/// What was found in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether there is no problem at all.
    pub clean: bool,
    /// The agent id of new samples, if it can be read.
    pub agent_id: Option<Uuid>,
    /// Samples that can be read.
    pub samples: u64,
    /// Samples that the ledger promises and that can't.
    pub missing: u64,
    /// Whole frames on the disk.
    pub frames: u64,
    /// See [`Part::torn_frames`].
    pub torn_frames: u64,
    /// What the directory takes on disk, in bytes.
    pub disk_bytes: u64,
    /// The configured cap on it.
    pub max_bytes: u64,
    /// What became of everything that ever was, if it can be read.
    pub ledger: Option<Ledger>,
    /// Part by part, the oldest first.
    pub parts: Vec<Part>,
    /// Everything that is wrong, in words that name the place.
    pub problems: Vec<String>,
    /// What is worth knowing and isn't wrong.
    pub notes: Vec<String>,
}

impl Verdict {
    /// Sums up; `stats` are those of a queue that is open.
    pub(super) fn new(parts: Vec<Part>, survey: Survey, stats: Option<Stats>) -> Self {
        let sum = |figure: fn(&Part) -> u64| parts.iter().map(figure).sum();
        let of_parts = parts.iter().flat_map(|part| {
            part.problems.iter().map(|problem| format!("{}: {problem}", part.name))
        });
        let problems: Vec<_> = of_parts.chain(survey.problems).collect();
        Self {
            clean: problems.is_empty(),
            agent_id: survey.agent_id,
            samples: sum(|part| part.samples),
            missing: sum(|part| part.expected.saturating_sub(part.samples)),
            frames: sum(|part| part.frames),
            torn_frames: sum(|part| part.torn_frames),
            disk_bytes: survey.disk_bytes,
            max_bytes: survey.max_bytes,
            ledger: stats.map(|stats| stats.ledger).or(survey.ledger),
            parts,
            problems,
            notes: survey.notes,
        }
    }
}

impl Verdict {
    /// Opens copies of the databases that the daemon keeps closed, as [`super::verify_closed`] does.
    /// Returns the names of those that are damaged, unless they were opened or removed meanwhile.
    pub fn open_closed_parts(&mut self, directory: &Path) -> Vec<String> {
        let mut damaged = Vec::new();
        for part in self.parts.iter_mut().filter(|part| part.database == Database::NotOpened) {
            let path = directory.join(&part.name);
            let trial = trial::open(&path, part.first_seq);
            self.notes.extend(trial.skipped.map(|why| format!("{}: {why}", part.name)));
            let problem = match trial.told {
                Told::Nothing => continue,
                Told::Entries(seqs) => {
                    part.database = Database::Whole;
                    let short = part.expected.saturating_sub(seqs.len() as u64);
                    (short > 0).then(|| format!("its database lacks {short} samples"))
                }
                Told::Broken(why) => {
                    part.database = Database::Broken;
                    Some(broken(&why))
                }
            };
            let Some(problem) = problem else { continue };
            damaged.push(part.name.clone());
            self.problems.push(format!("{}: {problem}", part.name));
            part.problems.push(problem);
        }
        self.clean = self.problems.is_empty();
        damaged
    }
}

fn broken(why: &str) -> String {
    format!("its database doesn't open: {why}")
}

/// What must be in a part, by what the queue knows of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    /// Samples.
    pub(super) expected: u64,
    /// None below it.
    pub(super) head: u64,
    /// None from it on.
    pub(super) next_seq: u64,
}

impl Claim {
    pub(super) fn of(live: &Live) -> Self {
        let expected = live.counts().samples;
        Self { expected, head: live.meta.head, next_seq: live.meta.next_seq }
    }
}

/// What the database of a part tells.
pub(super) enum Told {
    /// It wasn't asked.
    Nothing,
    /// The sequence numbers of the entries in it, in order.
    Entries(Vec<u64>),
    /// It doesn't open.
    Broken(String),
}

/// The raw bytes of a part.
pub(super) struct OnDisk {
    /// What is whole in them; or why they can't be read.
    salvage: Result<Salvage, String>,
    /// The highest number of a record of which the last frame is whole.
    highest: Option<u64>,
    disk_bytes: u64,
    /// Pages that the disk refuses.
    unreadable: u64,
}

impl OnDisk {
    /// Reads the file of the part in the directory `path`.
    pub(super) fn read(path: &Path) -> Self {
        let disk_bytes = files::tree_on_disk(path);
        let read = raw::read(path).and_then(|raw::Raw { bytes, unreadable, .. }| {
            let highest = salvage::highest_seq(&bytes)?;
            Ok((Salvage::of(&bytes)?, highest, unreadable))
        });
        match read {
            Ok((salvage, highest, unreadable)) => {
                Self { salvage: Ok(salvage), highest, disk_bytes, unreadable }
            }
            Err(error) => {
                let salvage = Err(error.to_string());
                Self { salvage, highest: None, disk_bytes, unreadable: 0 }
            }
        }
    }

    /// What a part must hold by its own meta record alone.
    fn claim(&self, first_seq: u64) -> Option<Claim> {
        let mut meta = self.salvage.as_ref().ok()?.meta.clone()?;
        meta.next_seq =
            meta.next_seq.max(self.highest.map_or(0, |highest| highest.saturating_add(1)));
        let expected = meta.counts(first_seq).samples;
        Some(Claim { expected, head: meta.head, next_seq: meta.next_seq })
    }
}

/// All that is known of a part.
pub(super) struct Evidence {
    pub(super) first_seq: u64,
    /// Where its successor begins; `None` for the newest.
    pub(super) end: Option<u64>,
    pub(super) claim: Option<Claim>,
    pub(super) told: Told,
    pub(super) raw: OnDisk,
}

impl Evidence {
    /// Judges the part in the directory `path`.
    pub(super) fn judge(self, path: &Path) -> Part {
        let claim = self.claim.or_else(|| self.raw.claim(self.first_seq));
        let whole = self.raw.salvage.as_ref().ok();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let found = self.found(claim);
        let expected = claim.map_or(0, |claim| claim.expected);
        let short = expected.saturating_sub(found.len() as u64);
        let missing = claim.filter(|_| short > 0).map(|claim| self.gaps(claim, &found));
        Part {
            name,
            first_seq: self.first_seq,
            end_seq: claim.map(|claim| claim.next_seq).or(self.end).unwrap_or(self.first_seq),
            disk_bytes: self.raw.disk_bytes,
            frames: whole.map_or(0, |salvage| salvage.frames),
            torn_frames: whole.map_or(0, |salvage| salvage.torn),
            meta: whole.is_some_and(|salvage| salvage.meta.is_some()),
            database: match self.told {
                Told::Nothing => Database::NotOpened,
                Told::Entries(_) => Database::Whole,
                Told::Broken(_) => Database::Broken,
            },
            expected,
            samples: found.len() as u64,
            missing: missing.unwrap_or_default(),
            problems: self.problems(path, claim, &found),
        }
    }

    /// The sequence numbers of samples that can be read.
    fn found(&self, claim: Option<Claim>) -> Vec<u64> {
        if let Told::Entries(seqs) = &self.told {
            return seqs.clone();
        }
        let Ok(salvage) = &self.raw.salvage else { return Vec::new() };
        let (from, to) = claim.map_or((0, u64::MAX), |claim| (claim.head, claim.next_seq));
        let from = from.max(self.first_seq);
        let to = self.end.unwrap_or(to).min(to);
        salvage.seqs().filter(|seq| (from..to).contains(seq)).collect()
    }

    /// The first stretches of `claim` without a sample.
    fn gaps(&self, claim: Claim, found: &[u64]) -> Vec<[u64; 2]> {
        let mut next = claim.head.max(self.first_seq);
        let mut gaps = Vec::new();
        for seq in found.iter().copied().chain([claim.next_seq]) {
            if seq > next && gaps.len() < LISTED {
                gaps.push([next, seq - 1]);
            }
            next = seq.saturating_add(1);
        }
        gaps
    }

    fn problems(&self, path: &Path, claim: Option<Claim>, found: &[u64]) -> Vec<String> {
        let mut problems = Vec::new();
        match &self.raw.salvage {
            Err(error) => problems.push(error.clone()),
            Ok(_) if !path.join("db").is_file() => problems.push("its file db is missing".into()),
            Ok(salvage) if salvage.meta.is_none() => {
                problems.push("no meta record can be read".into());
            }
            Ok(_) => {}
        }
        if self.raw.unreadable > 0 {
            problems.push(format!("the disk refuses {} pages of its file", self.raw.unreadable));
        }
        if let Told::Broken(why) = &self.told {
            problems.push(broken(why));
        }
        let Some(claim) = claim else { return problems };
        let (expected, samples) = (claim.expected, found.len() as u64);
        if samples < expected {
            problems.push(format!("{} of {expected} samples can't be read", expected - samples));
        }
        if samples > expected && !matches!(self.told, Told::Nothing) {
            problems.push(format!("{} samples more than its ledger counts", samples - expected));
        }
        problems.extend(self.wrong_end(claim));
        problems.extend(self.only_in_memory(found));
        problems
    }

    /// Whether the part ends where it must: its successor's name tells, or its own file.
    fn wrong_end(&self, claim: Claim) -> Option<String> {
        let next = claim.next_seq;
        match self.end {
            Some(end) if end != next => {
                Some(format!("it ends before {next}, and the next part begins with {end}"))
            }
            None => self.raw.highest.filter(|highest| *highest >= next).map(|highest| {
                format!("its database ends before {next}, and its file holds {highest}")
            }),
            Some(_) => None,
        }
    }

    /// An open database may still know what is damaged on the disk.
    fn only_in_memory(&self, found: &[u64]) -> Option<String> {
        let (Told::Entries(_), Ok(salvage)) = (&self.told, &self.raw.salvage) else { return None };
        let damaged = found.iter().filter(|seq| !salvage.has(**seq)).count();
        (damaged > 0)
            .then(|| format!("{damaged} samples are damaged on the disk and still in memory"))
    }
}
