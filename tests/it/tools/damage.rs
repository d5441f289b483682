//! Examining a queue: does whatever lies there end with a report, without a trace, and does the report
//! say what is true?

use std::{
    fs,
    path::{Path, PathBuf},
};

use collector::queue::{self, Selection, Verdict};
use jiff::Timestamp;

use super::{SAMPLES, contents, filled, parts, small};
use crate::{
    queue::{assert_balanced, numbers, open},
    support::copy_tree,
};

/// Rounds a kind of damage; `COLLECTOR_DAMAGE_ROUNDS` asks for more.
const ROUNDS: u64 = 40;

fn verify(directory: &Path) -> Verdict {
    queue::verify_closed(directory, 8_000_000, |_| ()).unwrap()
}

#[tokio::test]
async fn closed_queue_is_examined_without_a_trace() {
    let home = tempfile::tempdir().unwrap();
    let queue = filled(home.path()).await;
    let open = queue.inspector.verify(|_| ()).await.unwrap();
    assert!(queue::verify_closed(home.path(), 1, |_| ()).is_err(), "it is in use");
    let stats = queue.stats.borrow().clone();
    drop(queue);
    let before = contents(home.path());
    let verdict = verify(home.path());
    assert!(verdict.clean && verdict.notes.is_empty(), "{verdict:#?}");
    assert!(before == contents(home.path()), "it left a trace");
    assert_eq!(verdict.samples, u64::from(SAMPLES) - 25);
    assert_eq!((verdict.samples, verdict.missing), (open.samples, open.missing));
    assert_eq!(verdict.ledger, Some(stats.ledger));
    assert_eq!(verdict.ledger, open.ledger);
    assert_eq!((verdict.agent_id, open.agent_id), (Some(stats.agent_id), Some(stats.agent_id)));
    let ends: Vec<_> = verdict.parts.iter().map(|part| (part.first_seq, part.end_seq)).collect();
    assert!(ends.windows(2).all(|pair| pair[0].1 == pair[1].0), "{ends:?}");
}

#[tokio::test]
async fn part_that_a_crash_left_after_it_was_counted_is_no_damage() {
    let home = tempfile::tempdir().unwrap();
    drop(filled(home.path()).await);
    let first = parts(home.path())[0].clone();
    let kept = home.path().join("kept");
    fs::rename(&first, &kept).unwrap();
    copy_tree(&kept, &first);
    let queue = open(small(home.path()));
    let second = queue.inspector.page(0, 1).await.unwrap().entries[0].seq;
    let older = Selection::OlderThan(Timestamp::new(600, 0).unwrap());
    queue.inspector.purge(older, |_| ()).await.unwrap();
    assert!(!first.exists() && second < 600);
    drop(queue);
    fs::rename(&kept, &first).unwrap();
    fs::remove_file(first.join("conf")).unwrap();
    fs::write(first.join("db"), "half of it").unwrap();
    let verdict = verify(home.path());
    assert!(verdict.clean, "{verdict:#?}");
    assert_eq!(verdict.samples, u64::from(SAMPLES) - 600);
    assert!(verdict.notes[0].contains("left over from a crash"), "{verdict:#?}");
}

#[tokio::test]
async fn left_overs_are_noted_and_are_no_damage() {
    let home = tempfile::tempdir().unwrap();
    drop(filled(home.path()).await);
    let part = &parts(home.path())[1];
    fs::write(part.join("snap.00000001.generating"), "half").unwrap();
    fs::create_dir(home.path().join("new-00000000000000009999")).unwrap();
    fs::create_dir(home.path().join("quarantine")).unwrap();
    copy_tree(part, &home.path().join("quarantine/gen-00000000000000000007"));
    fs::write(home.path().join("notes.txt"), "mine").unwrap();
    let verdict = verify(home.path());
    assert!(verdict.clean, "{verdict:#?}");
    let notes = verdict.notes.join("\n");
    for word in ["snap.00000001.generating", "new-", "quarantine/ holds gen-", "notes.txt"] {
        assert!(notes.contains(word), "{word}: {notes}");
    }
    let verdict = queue::verify_closed(home.path(), 1_000_000, |_| ()).unwrap();
    assert!(verdict.clean && verdict.notes.iter().any(|note| note.contains("buffer.max_size")));
}

/// Damages the queue in each round; returns in how many of them that was found.
fn rounds(seed: u64, damage: impl Fn(&Path, &mut fastrand::Rng)) -> (u64, u64) {
    let home = tempfile::tempdir().unwrap();
    let pristine = home.path().join("pristine");
    fs::create_dir(&pristine).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { drop(filled(&pristine).await) });
    let asked = std::env::var("COLLECTOR_DAMAGE_ROUNDS").ok();
    let rounds = asked.and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let mut found = 0;
    for round in 0..rounds {
        let copy = home.path().join(round.to_string());
        copy_tree(&pristine, &copy);
        damage(&copy, &mut fastrand::Rng::with_seed(seed * 100_000 + round));
        let before = contents(&copy);
        let verdict = verify(&copy);
        assert!(before == contents(&copy), "round {round}: it changed something");
        assert_eq!(verdict.clean, verdict.problems.is_empty());
        assert!(verdict.samples + verdict.missing >= 1 || !verdict.clean, "{verdict:#?}");
        found += u64::from(!verdict.clean);
        assert_agrees(&runtime, &copy, &verdict, round);
        fs::remove_dir_all(copy).unwrap();
    }
    println!("damage was found in {found} of {rounds} rounds");
    (found, rounds)
}

/// What is called clean opens without loss, and what is said to be readable is.
fn assert_agrees(runtime: &tokio::runtime::Runtime, copy: &Path, verdict: &Verdict, round: u64) {
    let queue = open(small(copy));
    let (entries, corrupt) = runtime.block_on(async {
        let mut all = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            let page = queue.inspector.page(from, 1000).await.unwrap();
            all.extend(page.entries);
            next = page.next;
        }
        (all, queue.stats.borrow().ledger.dropped.corrupt)
    });
    if verdict.clean {
        assert_eq!((entries.len() as u64, corrupt), (verdict.samples, 0), "round {round}");
    }
    for (entry, number) in entries.iter().zip(numbers(&entries)) {
        assert_eq!(entry.seq, u64::from(number) + 1, "round {round}: a wrong sample");
    }
}

fn database(copy: &Path, random: &mut fastrand::Rng) -> (PathBuf, Vec<u8>) {
    let parts = parts(copy);
    let path = parts[random.usize(..parts.len())].join("db");
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn flipped_bits_end_with_a_report() {
    rounds(1, |copy, random| {
        let (path, mut bytes) = database(copy, random);
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u8(..8);
        }
        fs::write(path, bytes).unwrap();
    });
}

#[test]
fn damaged_samples_are_missed() {
    let (found, of) = rounds(2, |copy, random| {
        // Wherever it stands, among those that are queued: the first 25 have left.
        let wanted = format!("{}:xxxx", random.u32(100..SAMPLES));
        for part in parts(copy) {
            let path = part.join("db");
            let mut bytes = fs::read(&path).unwrap();
            let places: Vec<_> = memchr::memmem::find_iter(&bytes, &wanted).collect();
            for at in places {
                bytes[at + wanted.len() + 9] ^= 1;
            }
            fs::write(path, bytes).unwrap();
        }
    });
    assert_eq!(found, of);
}

#[test]
fn cut_files_end_with_a_report() {
    let (found, of) = rounds(3, |copy, random| {
        // Nobody but the newest itself knows how long it was.
        let parts = parts(copy);
        let path = parts[random.usize(..parts.len() - 1)].join("db");
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(random.usize(..bytes.len() / 2));
        fs::write(path, bytes).unwrap();
    });
    assert_eq!(found, of);
}

#[test]
fn deleted_files_end_with_a_report() {
    let (found, of) = rounds(4, |copy, random| {
        let parts = parts(copy);
        let at = random.usize(..parts.len());
        match random.u8(..3) {
            0 => fs::write(parts[at].join("db"), "").unwrap(),
            1 if at + 1 < parts.len() => fs::remove_dir_all(&parts[at]).unwrap(),
            _ => fs::remove_file(parts[at].join("db")).unwrap(),
        }
    });
    assert_eq!(found, of);
}

#[tokio::test]
async fn file_that_is_a_directory_is_reported() {
    let home = tempfile::tempdir().unwrap();
    drop(filled(home.path()).await);
    let database = parts(home.path())[1].join("db");
    fs::remove_file(&database).unwrap();
    fs::create_dir(&database).unwrap();
    assert!(!verify(home.path()).clean);
}

#[test]
fn hostile_files_end_with_a_report() {
    rounds(5, |copy, random| {
        let parts = parts(copy);
        let part = &parts[random.usize(..parts.len())];
        let name = ["db", "conf", "snap.00000000000000FF"][random.usize(..3)];
        let mut bytes = vec![0; random.usize(..70_000)];
        random.fill(&mut bytes);
        for _ in 0..random.usize(..20) {
            let at = random.usize(..bytes.len().max(1)).min(bytes.len());
            bytes.truncate(at.max(8));
            bytes.extend(b"cQr\x01\x01\0\0\0\x01\0\xff\xff\xff\xff\xff\xff\xff\xff");
        }
        fs::write(part.join(name), bytes).unwrap();
    });
}

#[tokio::test]
async fn examination_of_an_open_queue_sees_damage_on_the_disk() {
    let home = tempfile::tempdir().unwrap();
    let queue = filled(home.path()).await;
    let middle = parts(home.path())[1].join("db");
    let mut bytes = fs::read(&middle).unwrap();
    let half = bytes.len() / 2;
    bytes[..half].fill(7);
    fs::write(&middle, bytes).unwrap();
    let verdict = queue.inspector.verify(|_| ()).await.unwrap();
    assert!(!verdict.clean && verdict.missing > 0, "{verdict:#?}");
    let mut damaged = 0;
    let (mut next, mut read) = (Some(0), 0);
    while let Some(from) = next {
        let page = queue.inspector.page(from, 500).await.unwrap();
        (next, damaged) = (page.next, damaged + page.damaged);
        read += page.entries.len() as u64;
    }
    assert_eq!((read, damaged), (verdict.samples, verdict.missing));
    assert_balanced(&queue);
}
