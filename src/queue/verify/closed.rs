//! Examining a queue that nobody uses: every part from its raw bytes and from a copy of its database.
//! Nothing in the queue's directory is written, mended or moved.

use std::path::Path;

use super::{Evidence, OnDisk, Part, Survey, Told, Verdict, survey, trial};
use crate::queue::{
    Ledger,
    dead::DeadLetters,
    format,
    meta::{Closed, Meta},
    recovery,
};

/// Examines the queue in `directory`, whose lock the caller holds; `each` hears of every part.
pub(in crate::queue) fn verify(
    directory: &Path,
    max_bytes: u64,
    mut each: impl FnMut(&Part),
) -> Verdict {
    let mut survey = survey(directory, max_bytes).unwrap_or_else(|error| {
        let problems = vec![format!("the directory can't be read: {error}")];
        Survey { problems, ..Survey::default() }
    });
    survey.problems.extend(format::check(directory).err().map(|error| error.to_string()));
    let found = recovery::list(directory).unwrap_or_default();
    if found.is_empty() {
        survey.problems.push("there is no part of the queue at all".into());
    }
    let ends = found.iter().skip(1).copied().map(Some).chain([None]);
    let (mut parts, mut metas, mut catalog) = (Vec::new(), Vec::new(), Vec::new());
    for (&first_seq, end) in found.iter().zip(ends) {
        let (part, notes) = examine(directory, first_seq, end, &mut survey.notes);
        each(&part);
        parts.push(part);
        if let Some((meta, closed)) = notes {
            catalog = closed;
            metas.push((first_seq, meta));
        }
    }
    // Of a damaged newest nobody knows what it knew.
    if parts.last().map(|part| part.first_seq) == metas.last().map(|(first_seq, _)| *first_seq) {
        leave_out_folded(&mut survey, &mut parts, &mut metas);
        account(&mut survey, &parts, &metas, &catalog);
        if let Some(ledger) = survey.ledger {
            survey.ledger = Some(with_dead_letters(&mut survey, directory, ledger));
        }
    }
    Verdict::new(parts, survey, None)
}

/// Takes out what the newest counts already: a crash came before it was removed, perhaps by half.
fn leave_out_folded(survey: &mut Survey, parts: &mut Vec<Part>, metas: &mut Vec<(u64, Meta)>) {
    let folded_through = metas.last().map_or(0, |(_, newest)| newest.folded_through);
    metas.retain(|(first_seq, _)| *first_seq > folded_through);
    for part in parts.extract_if(.., |part| part.first_seq <= folded_through) {
        let name = part.name;
        survey.notes.push(format!(
            "{name} was given up and is left over from a crash; the next start removes it"
        ));
    }
}

type Notes = Option<(Meta, Vec<Closed>)>;

fn examine(
    directory: &Path,
    first_seq: u64,
    end: Option<u64>,
    notes: &mut Vec<String>,
) -> (Part, Notes) {
    let path = recovery::generation_path(directory, first_seq);
    let raw = OnDisk::read(&path);
    // There is nothing to open without it.
    let trial = path.join("db").is_file().then(|| trial::open(&path, first_seq));
    let (told, claim, found, skipped) = match trial {
        Some(trial) => (trial.told, trial.claim, trial.notes, trial.skipped),
        None => (Told::Nothing, None, None, None),
    };
    let part = Evidence { first_seq, end, claim, told, raw }.judge(&path);
    notes.extend(skipped.map(|why| format!("{}: {why}", part.name)));
    (part, found)
}

/// Compares the ledger over all parts, by the notes of those that open.
fn account(survey: &mut Survey, parts: &[Part], metas: &[(u64, Meta)], catalog: &[Closed]) {
    let (Some((_, newest)), Some(oldest)) = (metas.last(), parts.first()) else { return };
    survey.agent_id = Some(newest.agent_id);
    for closed in catalog.iter().filter(|closed| closed.first_seq > newest.folded_through) {
        let own = metas.iter().find(|(first_seq, _)| *first_seq == closed.first_seq);
        let counts = own.map(|(first_seq, meta)| meta.counts(*first_seq));
        // The oldest goes on after it was written down.
        let is_oldest = oldest.first_seq == closed.first_seq;
        if counts.is_some_and(|counts| counts != closed.counts) && !is_oldest {
            survey.problems.push(format!(
                "the catalog counts {} samples in the part that begins with {}, which counts otherwise",
                closed.counts.samples, closed.first_seq
            ));
        }
    }
    if metas.len() == parts.len() {
        let ledger = ledger(newest, metas);
        survey.check_numbers(ledger.enqueued, newest.next_seq);
        survey.ledger = Some(ledger);
    }
}

/// The ledger with what became of dead letters.
fn with_dead_letters(survey: &mut Survey, directory: &Path, ledger: Ledger) -> Ledger {
    match DeadLetters::read_log(directory, u64::MAX) {
        Ok(dead) => {
            let (ledger, missing) = dead.complete(ledger);
            if missing > 0 {
                survey.problems.push(format!("{missing} dead letters can't be read"));
            }
            ledger
        }
        Err(error) => {
            survey.problems.push(format!("dead letters can't be read: {error}"));
            ledger
        }
    }
}

/// What became of everything that ever was, dead letters as of when they were set aside.
fn ledger(newest: &Meta, metas: &[(u64, Meta)]) -> Ledger {
    let mut ledger = newest.carried;
    for (first_seq, meta) in metas {
        ledger.add(&meta.counts(*first_seq).ledger);
    }
    ledger
}
