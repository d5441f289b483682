//! `delivered`: reads what the reference receiver wrote and says what came, what is missing, and how
//! late the samples of a group were taken: their own timestamps tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::ExitCode,
};

use jiff::Timestamp;
use serde::Deserialize;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The receiver's output, one JSON object a line.
    file: PathBuf,
}

#[derive(Deserialize)]
struct Line {
    agent_id: String,
    seq: u64,
    timestamp: Timestamp,
    interval: f64,
    kind: String,
}

/// Prints one line of figures.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = fs::read_to_string(&args.file)?;
    let lines: Vec<Line> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut seqs: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    let (mut repeated, mut reordered) = (0, 0);
    for line in &lines {
        let seen = seqs.entry(&line.agent_id).or_default();
        reordered += u64::from(seen.last().is_some_and(|last| *last > line.seq));
        repeated += u64::from(!seen.insert(line.seq));
    }
    let missing: u64 = seqs.values().map(missing).sum();
    let newest = lines.iter().map(|line| line.timestamp).max().unwrap_or_default();
    println!(
        "delivered={} agents={} missing={missing} repeated={repeated} reordered={reordered} \
         worst_delay_ms={} newest={}",
        seqs.values().map(BTreeSet::len).sum::<usize>(),
        seqs.len(),
        worst_delay(&lines),
        newest.as_second(),
    );
    Ok(ExitCode::SUCCESS)
}

/// Numbers between the first and the last that never came.
fn missing(seqs: &BTreeSet<u64>) -> u64 {
    let span = seqs.last().zip(seqs.first()).map_or(0, |(last, first)| last - first + 1);
    span - seqs.len() as u64
}

/// By how many milliseconds the time between two samples of a group was longest beyond its interval.
fn worst_delay(lines: &[Line]) -> i128 {
    let mut taken: BTreeMap<&str, BTreeMap<Timestamp, f64>> = BTreeMap::new();
    for line in lines {
        taken.entry(&line.kind).or_default().insert(line.timestamp, line.interval);
    }
    let pairs = taken.values().flat_map(|taken| taken.iter().zip(taken.iter().skip(1)));
    let late = pairs.map(|((before, interval), (after, _))| {
        let interval = std::time::Duration::from_secs_f64(*interval).as_millis();
        let gap = after.as_millisecond() - before.as_millisecond();
        i128::from(gap) - i128::try_from(interval).unwrap_or(0)
    });
    late.max().unwrap_or(0)
}
