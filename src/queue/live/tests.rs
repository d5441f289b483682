//! Of the notes of an open generation: what is believed of its end, and what is one step.

use super::*;

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
    let mut live = Live::create(
        &home.path().join("gen"),
        Notes { meta: &meta(), catalog: &[], losses: &Losses::none() },
    )
    .unwrap();
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

fn meta() -> Meta {
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

fn sample() -> crate::sample::Sample {
    crate::sample::Sample {
        timestamp: jiff::Timestamp::UNIX_EPOCH,
        since_boot: None,
        origin: std::sync::Arc::default(),
        interval: std::time::Duration::from_secs(5),
        metrics: crate::sample::Metrics::Cpu(crate::sample::Cpu::default()),
    }
}
