//! What a generation believes of its own file, and what it writes in one step.

use super::*;
use crate::{
    queue::{meta::Leaves, recovery},
    sample::{Cpu, CpuTimes, LogicalCpu, Ticks},
};

fn value(version: u8) -> Vec<u8> {
    let mut frames: Vec<_> = record::frames(7, 300, b"payload").map(|(_, frame)| frame).collect();
    let frame = &mut frames[0];
    frame[4] = version;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..record::HEADER - 4]);
    hasher.update(&frame[record::HEADER..]);
    frame[record::HEADER - 4..record::HEADER].copy_from_slice(&hasher.finalize().to_le_bytes());
    frames.remove(0)
}

#[test]
fn last_whole_record_is_the_high_water_mark() {
    let mut two = value(1);
    two.extend(value(1));
    assert_eq!(last_whole(&two).unwrap(), Some((7, 300)));
    let torn = record::frames(8, 9000, &[0; 9000]).next().unwrap().1;
    assert_eq!(last_whole(&torn).unwrap(), None);
}

#[test]
fn value_of_a_later_version_is_refused_not_taken_for_torn() {
    let later = record::VERSION + 1;
    let found = last_whole(&value(later));
    assert!(
        matches!(found, Err(StorageError::LaterVersion(version)) if version == later),
        "{found:?}"
    );
}

#[test]
fn damaged_last_value_is_no_high_water_mark() {
    let mut flipped = value(1);
    flipped[record::HEADER + 2] ^= 4;
    assert!(matches!(last_whole(&flipped), Err(StorageError::Damaged(_))));
}

#[test]
fn what_leaves_and_its_count_are_one_atomic_step() {
    let home = tempfile::tempdir().unwrap();
    let mut live = create(&home.path().join("gen"), &meta());
    let payload = crate::queue::record::payload(uuid::Uuid::nil(), &sample()).unwrap();
    let mut commit = crate::queue::commit::Commit::after(1, 0);
    (0..40).for_each(|_| commit.add(&payload, crate::clock::Moment::default()));
    live.append(commit.take_values()).unwrap();
    live.advance(commit.next_seq, commit.running_total);
    // From the middle, so that a shared value is written anew; then all that is before.
    for gone in [vec![3, 5, 30], (1..30).filter(|seq| ![3, 5].contains(seq)).collect()] {
        let before = live.generation.commits.get();
        let mut window = live.scan(100, 1 << 20).unwrap();
        live.remove(&mut window, &gone, Leaves::Acknowledged).unwrap();
        assert_eq!(live.generation.commits.get() - before, 1);
        assert_eq!(live.count().unwrap(), live.counts().samples);
    }
    assert_eq!(live.counts().ledger.acknowledged, 30);
}

#[test]
fn record_that_lacks_a_part_in_the_middle_is_a_damage() {
    for lacking in [0, 1, 2] {
        let home = tempfile::tempdir().unwrap();
        spoiled(home.path(), 5, |live| {
            let mut commit = crate::queue::commit::Commit::after(6, live.meta.running_total);
            commit.add(&[7; 2 * record::MAX_PART + 100], crate::clock::Moment::default());
            live.append(commit.take_values()).unwrap();
            live.advance(commit.next_seq, commit.running_total);
            assert_eq!(live.count().unwrap(), 6);
            live.note(live.meta.clone()).unwrap();
            live.generation.commit(vec![(&record::key(6, lacking), None)]).unwrap();
            assert_eq!(live.count().unwrap(), 5, "without part {lacking}");
        });
        assert_eq!(opened(home.path()).0, 6, "its bytes still hold it");
    }
}

#[test]
fn new_generation_that_opens_as_if_it_were_empty_is_opened_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("gen");
    let mut meta = meta();
    meta.carried.enqueued = 70;
    drop(create(&path, &meta));
    let raw = raw::read(&path).unwrap();
    // What sled can read of it.
    fs::write(path.join("db"), "").unwrap();
    let live = Live::open_as_written(&path, &meta, &raw).unwrap();
    assert_eq!(live.meta, meta);
}

/// A generation that begins with `meta` and nothing else.
pub(in crate::queue) fn create(path: &Path, meta: &Meta) -> Live {
    Live::create(path, Notes { meta, catalog: &[], losses: &Losses::none() }).unwrap()
}

pub(in crate::queue) fn meta() -> Meta {
    Meta {
        agent_id: uuid::Uuid::nil(),
        machine: None,
        next_seq: 1,
        head: 1,
        base_total: 0,
        running_total: 0,
        left: crate::queue::Ledger::default(),
        left_bytes: 0,
        carried: crate::queue::Ledger::default(),
        folded_through: 0,
        dropped_at: None,
        rate: 0.0,
    }
}

pub(in crate::queue) fn sample() -> crate::sample::Sample {
    crate::sample::Sample {
        timestamp: jiff::Timestamp::UNIX_EPOCH,
        since_boot: None,
        origin: std::sync::Arc::default(),
        interval: std::time::Duration::from_secs(5),
        metrics: crate::sample::Metrics::Cpu(crate::sample::Cpu::default()),
    }
}

/// [`sample`] of a machine with so many processors, at its `tick`th tick.
pub(in crate::queue) fn wide(processors: u32, tick: u64) -> crate::sample::Sample {
    let processor = |id: u32| {
        let mut rng = fastrand::Rng::with_seed(id.into());
        let mut counter = |a_tick| Ticks(rng.u64(1 << 20..1 << 26) + tick * rng.u64(0..a_tick));
        let [user, system, idle] = [300, 40, 500].map(&mut counter);
        let time =
            CpuTimes { user, system, idle, softirq: Some(counter(9)), ..CpuTimes::default() };
        let utilization = Some(f32::from(u16::try_from(tick * 37 % 9_999).unwrap_or(0)) / 10_000.0);
        LogicalCpu { id, utilization, time }
    };
    let cpus = (processors > 0).then(|| (0..processors).map(processor).collect());
    let metrics = crate::sample::Metrics::Cpu(Cpu { cpus, ..Cpu::default() });
    crate::sample::Sample { metrics, ..sample() }
}

/// A queue of one part with `count` entries, to which `change` did something.
fn spoiled(directory: &Path, count: u64, change: impl FnOnce(&mut Live)) {
    let meta = meta();
    let path = recovery::generation_path(directory, 1);
    let mut live = create(&path, &meta);
    let payload = record::payload(uuid::Uuid::nil(), &sample()).unwrap();
    let mut commit = crate::queue::commit::Commit::after(1, 0);
    (0..count).for_each(|_| commit.add(&payload, crate::clock::Moment::default()));
    live.append(commit.take_values()).unwrap();
    live.advance(commit.next_seq, commit.running_total);
    change(&mut live);
}

/// What a queue that was opened all the same says of its entries, and the number that comes next.
fn opened(directory: &Path) -> (u64, u64) {
    let parts = recovery::open(&crate::queue::Options::for_test(directory), None, None).unwrap();
    let all = parts.oldest.iter().chain([&parts.newest]);
    (all.map(|live| live.counts().samples).sum(), parts.newest.meta.next_seq)
}

#[test]
fn catalog_that_can_not_be_read_stops_nobody() {
    let home = tempfile::tempdir().unwrap();
    spoiled(home.path(), 5, |live| {
        live.generation.commit(vec![(CATALOG_KEY, Some(b"nonsense".to_vec()))]).unwrap();
    });
    assert_eq!(opened(home.path()), (5, 6));
}

#[test]
fn meta_record_with_impossible_numbers_is_a_damage() {
    for spoil in [
        |meta: &mut Meta| meta.next_seq = u64::MAX,
        |meta: &mut Meta| meta.running_total = u64::MAX,
        |meta: &mut Meta| meta.left.dropped.expired = u64::MAX - 1,
        |meta: &mut Meta| meta.carried.enqueued = u64::MAX,
    ] {
        let home = tempfile::tempdir().unwrap();
        spoiled(home.path(), 5, |live| {
            let mut meta = live.meta.clone();
            spoil(&mut meta);
            live.note(meta).unwrap();
        });
        assert_eq!(opened(home.path()), (5, 6));
    }
}

#[test]
fn record_under_a_foreign_key_sets_no_number_back() {
    for seq in [3, u64::MAX] {
        let home = tempfile::tempdir().unwrap();
        spoiled(home.path(), 5, |live| {
            live.note(live.meta.clone()).unwrap();
            let (_, frame) = record::frames(seq, 9000, b"hostile").next().unwrap();
            live.append(vec![(record::key(6, 0), frame)]).unwrap();
        });
        let (samples, next_seq) = opened(home.path());
        assert!(samples == 5 && (6..100).contains(&next_seq), "{samples} {next_seq}");
    }
}
