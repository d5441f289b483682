//! Trials against pretended servers: every pattern of bad samples in small batches, and servers that
//! change their minds at every point.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::sample::{Memory, Metrics, Origin, Sample};

fn entry(seq: u64) -> Entry {
    let origin = Origin { host: "h".into(), tags: BTreeMap::new(), boot_id: [0; 16] };
    let sample = Sample {
        timestamp: Timestamp::UNIX_EPOCH,
        since_boot: None,
        origin: Arc::new(origin),
        interval: Duration::from_secs(5),
        metrics: Metrics::Memory(Memory::default()),
    };
    Entry { seq, agent_id: Uuid::nil(), bytes: 1, sample: Arc::new(sample) }
}

fn refusal() -> Refusal {
    Refusal { at: Timestamp::UNIX_EPOCH, status: 400, answer: String::new() }
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Court {
    /// Requests, the refused batch itself included; in order.
    asked: Vec<(Piece, Vec<u64>)>,
    taken: Vec<u64>,
    condemned: Vec<u64>,
    holds: usize,
}

/// Plays a trial of samples 0 to `count` to its end against a server that tells for each request
/// (its number, its samples) whether it accepts; `later` newer samples come one a hold.
fn play(count: u64, later: u64, mut accepts: impl FnMut(usize, &[u64]) -> bool) -> Court {
    let mut queue: Vec<Entry> = (0..count).map(entry).collect();
    let mut found = Court::default();
    let all: Vec<u64> = (0..count).collect();
    assert!(!accepts(0, &all));
    found.asked.push((Piece::Untested(all.len()), all));
    let mut trial = Trial::new(queue.clone(), refusal());
    let mut newer = count..count + later;
    for _ in 0..100_000 {
        match trial.next() {
            Step::Send(piece) => {
                let seqs: Vec<u64> = trial.entries(piece).iter().map(|entry| entry.seq).collect();
                assert!(!seqs.is_empty(), "{piece:?} {trial:?}");
                if accepts(found.asked.len(), &seqs) {
                    let taken = trial.accepted(piece, seqs.len());
                    found.taken.extend(taken.iter().map(|entry| entry.seq));
                    queue.retain(|entry| !taken.contains(entry));
                } else {
                    trial.refused(piece, refusal());
                }
                found.asked.push((piece, seqs));
            }
            Step::Condemn(condemned) => {
                found.condemned.extend(condemned.iter().map(|(entry, _)| entry.seq));
                queue.retain(|entry| condemned.iter().all(|(gone, _)| gone != entry));
            }
            Step::Hold => {
                found.holds += 1;
                queue.extend(newer.next().map(entry));
                if found.holds > 100 {
                    return found;
                }
                let room = trial.open() + usize::from(trial.wants_more());
                trial.resume(queue.iter().take(room).cloned().collect());
            }
            Step::Done => return found,
        }
    }
    panic!("no end: {found:?}");
}

fn is_bad(mask: u64, seq: u64) -> bool {
    seq < 64 && mask >> seq & 1 == 1
}

fn ones(mask: u64, count: u64) -> Vec<u64> {
    (0..count).filter(|&seq| is_bad(mask, seq)).collect()
}

fn sorted(mut seqs: Vec<u64>) -> Vec<u64> {
    seqs.sort_unstable();
    seqs
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn every_pattern_is_judged_rightly_and_within_the_bound() {
    for count in 2..=11_u64 {
        for mask in 1..(1_u64 << count) - 1 {
            let bad = ones(mask, count);
            let found = play(count, 0, |_, seqs| seqs.iter().all(|&seq| !is_bad(mask, seq)));
            assert_eq!(sorted(found.condemned), bad, "{count} {mask:b}");
            assert_eq!(sorted(found.taken), ones(!mask, count), "{count} {mask:b}");
            assert_eq!(found.holds, 0, "{count} {mask:b}");
            let bound = bad.len() as f64 * 2.0_f64.mul_add((count as f64).log2(), 1.0);
            // A pair takes one more: the first of it is asked about once more after the second.
            let spare = if count == 2 { 1.0 } else { 0.0 };
            assert!(found.asked.len() as f64 <= bound + spare, "{mask:b}: {:?}", found.asked);
        }
    }
}

#[test]
fn bad_sample_of_a_full_batch_takes_few_requests() {
    let mut most = 0;
    for bad in 0..500 {
        let found = play(500, 0, |_, seqs| !seqs.contains(&bad));
        assert_eq!((found.condemned, found.taken.len()), (vec![bad], 499));
        most = most.max(found.asked.len());
    }
    assert!(most <= 18, "{most}");
}

#[test]
fn server_that_refuses_everything_condemns_nothing() {
    for count in [1, 2, 3, 8, 500] {
        let found = play(count, 50, |_, _| false);
        assert_eq!((found.condemned.len(), found.taken.len()), (0, 0), "{count}");
        assert!(found.asked.len() <= DOUBT + 2 * found.holds, "{count}: {}", found.asked.len());
    }
}

#[test]
fn server_that_recovers_at_any_point_loses_nothing() {
    for count in 1..=5_u64 {
        for mask in 0..1_u64 << count {
            for bad_until in 1..45 {
                let good = |seqs: &[u64]| seqs.iter().all(|&seq| !is_bad(mask, seq));
                let found = play(count, 9, |number, seqs| number >= bad_until && good(seqs));
                let wrong = found.condemned.iter().filter(|&&seq| !is_bad(mask, seq)).count();
                assert_eq!(wrong, 0, "{count} {mask:b} {bad_until}: {found:?}");
                let left: Vec<_> = ones(!mask, count);
                assert!(left.iter().all(|seq| found.taken.contains(seq)), "{found:?}");
            }
        }
    }
}

#[test]
fn server_that_breaks_at_any_point_takes_one_sample_with_it_at_most() {
    for count in 2..=7_u64 {
        for mask in 1..(1_u64 << count) - 1 {
            for good_until in 1..40 {
                let good = |seqs: &[u64]| seqs.iter().all(|&seq| !is_bad(mask, seq));
                let found = play(count, 0, |number, seqs| number < good_until && good(seqs));
                let wrong = found.condemned.iter().filter(|&&seq| !is_bad(mask, seq)).count();
                assert!(wrong <= 1, "{count} {mask:b} {good_until}: {found:?}");
            }
        }
    }
}

#[test]
fn lonely_sample_waits_for_another_one_to_be_accepted() {
    let found = play(1, 0, |_, _| false);
    assert_eq!((found.condemned.len(), found.holds), (0, 101));
    let found = play(1, 1, |_, seqs| !seqs.contains(&0));
    assert_eq!((found.condemned, found.taken, found.asked.len()), (vec![0], vec![1], 4));
}

#[test]
fn nothing_but_suspects_is_ever_passed() {
    for mask in 1..(1_u64 << 9) - 1 {
        for bad_until in [0, 5, 30] {
            let good = |seqs: &[u64]| seqs.iter().all(|&seq| !is_bad(mask, seq));
            let found = play(9, 9, |number, seqs| number >= bad_until && good(seqs));
            let mut next = 0;
            for (piece, seqs) in &found.asked[1..] {
                if let Piece::Untested(_) = piece {
                    // What was taken or refused alone before lies behind; the rest comes in order.
                    assert!(seqs[0] <= next, "{mask:b}: {:?}", found.asked);
                    if good(seqs) || seqs.len() == 1 {
                        next = next.max(seqs[seqs.len() - 1] + 1);
                    }
                }
            }
        }
    }
}

#[test]
fn smaller_pieces_follow_one_that_is_too_large() {
    let mut trial = Trial::new((0..8).map(entry).collect(), refusal());
    assert_eq!(trial.next(), Step::Send(Piece::Untested(4)));
    trial.too_large(4);
    assert_eq!(trial.next(), Step::Send(Piece::Untested(2)));
    assert_eq!(trial.accepted(Piece::Untested(2), 2).len(), 2);
    assert_eq!(trial.next(), Step::Send(Piece::Untested(2)));
    assert_eq!(trial.accepted(Piece::Untested(2), 2).len(), 2);
    assert_eq!(trial.next(), Step::Send(Piece::Untested(2)));
}

#[test]
fn purge_in_a_hold_ends_the_trial() {
    let mut trial = Trial::new(vec![entry(0)], refusal());
    assert_eq!(trial.next(), Step::Hold);
    trial.resume(Vec::new());
    assert_eq!(trial.next(), Step::Done);
}
