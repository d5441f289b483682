//! A damaged queue: it opens whatever was done to its files, never shows a wrong sample, keeps its
//! order, and counts what it couldn't read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use collector::queue::{Options, Queue};

use crate::{
    queue::{assert_balanced, numbers, open, options, put},
    support::copy_tree,
};

/// Samples in a queue before it is damaged, in several generations.
const SAMPLES: u32 = 3000;
/// Those that still wait in it.
const QUEUED: u32 = SAMPLES - GONE;
/// Those that were acknowledged.
const GONE: u32 = 25;
/// Rounds a kind of damage; `COLLECTOR_DAMAGE_ROUNDS` asks for more.
const ROUNDS: u64 = 8;

/// What is left, in order, checked sample by sample.
struct Left {
    samples: u32,
    corrupt: u64,
}

#[test]
fn flipped_bit_costs_few_samples_and_shows_no_wrong_one() {
    let kept = rounds("flipped bit", 1, |bytes, random| {
        let at = random.usize(..bytes.len());
        bytes[at] ^= 1 << random.u8(..8);
    });
    assert!(kept >= 0.9, "only {kept} were salvaged");
}

#[test]
fn zeroed_page_costs_few_samples_and_shows_no_wrong_one() {
    let kept = rounds("zeroed page", 2, |bytes, random| {
        let page = random.usize(..bytes.len() / 4096) * 4096;
        bytes[page..page + 4096].fill(0);
    });
    assert!(kept >= 0.9, "only {kept} were salvaged");
}

#[test]
fn swapped_pages_show_no_wrong_sample() {
    rounds("swapped pages", 3, |bytes, random| {
        let [one, other] = [0, 0].map(|_: u8| random.usize(..bytes.len() / 4096) * 4096);
        for at in 0..4096 {
            bytes.swap(one + at, other + at);
        }
    });
}

#[test]
fn cut_file_opens_and_what_is_gone_is_counted() {
    rounds("cut file", 4, |bytes, random| bytes.truncate(random.usize(..bytes.len())));
}

#[test]
fn empty_file_opens_and_what_is_gone_is_counted() {
    rounds("empty file", 5, |bytes, _| bytes.clear());
}

/// Damages a database file in each round; the share of samples that survived.
fn rounds(kind: &str, seed: u64, damage: impl Fn(&mut Vec<u8>, &mut fastrand::Rng)) -> f64 {
    let home = tempfile::tempdir().unwrap();
    let pristine = home.path().join("pristine");
    fs::create_dir(&pristine).unwrap();
    fill(&pristine);
    // As after a restart: by the snapshots of that, damaged files open as if they were whole.
    drop(open(at(&pristine)));
    let asked =
        std::env::var("COLLECTOR_DAMAGE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds: u64 = asked.unwrap_or(ROUNDS);
    let mut shares = Vec::new();
    for round in 0..rounds {
        let mut random = fastrand::Rng::with_seed(seed * 1000 + round);
        let copy = home.path().join(round.to_string());
        copy_tree(&pristine, &copy);
        let files = databases(&copy);
        let file = &files[random.usize(..files.len())];
        let mut bytes = fs::read(file).unwrap();
        damage(&mut bytes, &mut random);
        fs::write(file, bytes).unwrap();
        let left = examine(&copy);
        println!("{kind} {round}: {} left, {} counted as corrupt", left.samples, left.corrupt);
        shares.push(f64::from(left.samples) / f64::from(QUEUED));
        fs::remove_dir_all(copy).unwrap();
    }
    let mean = shares.iter().sum::<f64>() / f64::from(u32::try_from(rounds).unwrap());
    let worst = shares.iter().copied().fold(1.0, f64::min);
    println!(
        "{kind}: {rounds} of {rounds} opened, no wrong sample, {:.1} % salvaged, worst {:.1} %",
        mean * 100.0,
        worst * 100.0
    );
    mean
}

fn at(directory: &Path) -> Options {
    Options { max_bytes: 20_000_000, ..options(directory) }
}

#[tokio::main(flavor = "current_thread")]
async fn fill(directory: &Path) {
    let mut queue = open(at(directory));
    for tick in (0..SAMPLES).step_by(10) {
        put(&queue, tick..tick + 10, 900).await;
    }
    // Some of the oldest are gone, as in a queue that lives.
    let gone = queue.consumer.peek(40, 1 << 20).await.unwrap();
    queue.consumer.acknowledge(&gone[..GONE as usize]).await.unwrap();
}

#[tokio::main(flavor = "current_thread")]
async fn examine(directory: &Path) -> Left {
    let mut queue = open(at(directory));
    assert_balanced(&queue);
    let left = drain(&mut queue).await;
    assert_balanced(&queue);
    assert!(left.is_sorted_by(|one, next| one < next), "out of order: {left:?}");
    put(&queue, SAMPLES..SAMPLES + 1, 100).await;
    let newest = queue.consumer.peek(1, 1 << 20).await.unwrap();
    assert_eq!(numbers(&newest), [SAMPLES], "it takes samples again");
    assert!(newest[0].seq > u64::from(SAMPLES), "{} was used before", newest[0].seq);
    let corrupt = queue.stats.borrow().ledger.dropped.corrupt;
    Left { samples: u32::try_from(left.len()).unwrap(), corrupt }
}

/// Takes everything out; every sample must be what it was.
async fn drain(queue: &mut Queue) -> Vec<u32> {
    let mut left = Vec::new();
    loop {
        let entries = queue.consumer.peek(100, 1 << 20).await.unwrap();
        if entries.is_empty() {
            return left;
        }
        for (entry, number) in entries.iter().zip(numbers(&entries)) {
            assert_eq!(entry.seq, u64::from(number) + 1, "another sample under this number");
            let text = &entry.sample.origin.host;
            assert_eq!(*text, format!("{number}:{}", "x".repeat(900)), "a wrong sample");
        }
        left.extend(numbers(&entries));
        queue.consumer.acknowledge(&entries).await.unwrap();
    }
}

fn databases(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path().join("db"));
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}
