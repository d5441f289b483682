//! Whether everything comes back, and how much room it takes.

use proptest::{collection::vec, prelude::*};

use super::{super::super::MAX_PART, *};

const MOST: usize = 16 << 10;

/// Frames of `payloads`, the first of which has the number 5.
fn frames(payloads: &[Vec<u8>]) -> Vec<u8> {
    let (mut frames, mut running_total) = (Vec::new(), 1_000);
    for (seq, payload) in (5..).zip(payloads) {
        running_total += payload.len() as u64;
        for part in parts(3, seq, running_total, payload) {
            frames.extend(frame(&part));
        }
    }
    frames
}

fn row(numbers: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        put(&mut bytes, *number);
    }
    bytes
}

/// What the last of `payloads` takes, told by those before.
fn room_of_last(payloads: &[Vec<u8>]) -> usize {
    let packed = |payloads| {
        let frames = frames(payloads);
        let packed = pack(&frames, 5);
        assert_eq!(unpack(&packed, 5, MOST), Some(frames));
        packed.len()
    };
    packed(payloads) - packed(&payloads[..payloads.len() - 1])
}

/// Version, number, running total, which one it is like, how many tokens.
const ENVELOPE: usize = 5;

#[test]
fn counters_that_moved_take_a_byte_each_and_one_more_takes_only_its_own() {
    let before = [7_000_000_000, 300, 0, 40_000_000, 5, 90_000, 123_456, 1_000_000];
    let moved = before.map(|number| number + 9);
    assert_eq!(room_of_last(&[row(&before), row(&moved)]), ENVELOPE + before.len());
    for at in 0..=before.len() {
        let mut more = moved.to_vec();
        more.insert(at, 77_777);
        let room = room_of_last(&[row(&before), row(&more)]);
        assert!(room <= ENVELOPE + before.len() + 4, "{room} bytes with one more at {at}");
        let fewer = room_of_last(&[row(&more), row(&before)]);
        assert!(fewer <= ENVELOPE + before.len() + 1, "{fewer} bytes with one less at {at}");
    }
}

#[test]
fn record_is_told_by_the_one_that_is_most_like_it() {
    let group = |seed: u64, tick: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        let numbers: Vec<u64> = (0..40).map(|_| random.u64(1 << 30..1 << 40)).collect();
        row(&numbers.iter().map(|number| number + tick).collect::<Vec<_>>())
    };
    let payloads: Vec<_> = [1, 2, 3, 4, 1, 2, 4, 3].map(|seed| group(seed, seed)).into();
    assert_eq!(room_of_last(&payloads), ENVELOPE + 40);
}

#[test]
fn what_is_no_row_of_numbers_comes_back() {
    let text = b"a host's name, some text".to_vec();
    let unended = [&text[..], &[0x80, 0xff, 0xff]].concat();
    let odd = [&text[..], &[0x80, 0x00], &[0xff; 20], &[0x7f, 0x81, 0x80, 0x00]].concat();
    let largest = row(&[u64::MAX, u64::MAX >> 1, 0, u64::MAX >> 1]);
    let smallest = row(&[0, 0, u64::MAX >> 1, 0]);
    for first in [&text, &unended, &odd, &largest, &smallest] {
        for second in [&text, &unended, &odd, &largest, &smallest] {
            room_of_last(&[first.clone(), second.clone(), first.clone(), Vec::new()]);
        }
    }
}

#[test]
fn bytes_that_tell_nothing_are_no_frames() {
    let packed = pack(&frames(&[row(&[1, 2, 300]), row(&[1, 2, 301])]), 5);
    for cut in 1..packed.len() {
        if let Some(found) = unpack(&packed[..cut], 5, MOST) {
            assert_eq!(found, frames(&[row(&[1, 2, 300])]), "cut at {cut}");
        }
    }
    assert_eq!(unpack(&packed, 5, 40), None, "more than asked for");
    // A first record that is like one before it; more tokens than there are.
    assert_eq!(unpack(&[4, 0, 0, 1, 1, 0], 5, MOST), None);
    let endless = [&[4, 0, 0, 0, 1, 7, 4, 0, 0, 1][..], &row(&[u64::MAX]), &[0, 0]].concat();
    assert_eq!(unpack(&endless, 5, MOST), None);
}

/// Payloads that are like one another, as those of a machine are, or not.
fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let one = prop_oneof![
        vec(any::<u8>(), 0..60),
        vec(prop_oneof![0..200_u64, any::<u64>()], 0..30).prop_map(|numbers| row(&numbers)),
        // Of one part, of two or three, on the edge.
        (1..3_usize, 0..20_usize).prop_map(|(parts, more)| vec![7; parts * MAX_PART + more - 10]),
    ];
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    (vec(one, 1..4), vec((any::<prop::sample::Index>(), vec(change, 0..5)), 0..20)).prop_map(
        |(mut payloads, later)| {
            for (like, changes) in later {
                let mut payload = like.get(&payloads).clone();
                for (at, byte, how) in changes {
                    let at = at.index(payload.len() + 1);
                    match how {
                        0 => payload.insert(at, byte),
                        1 if at < payload.len() => drop(payload.remove(at)),
                        _ => payload.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
                    }
                }
                payloads.push(payload);
            }
            payloads
        },
    )
}

proptest! {
    #[test]
    fn everything_comes_back_in_no_more_room(payloads in payloads()) {
        let frames = frames(&payloads);
        let packed = pack(&frames, 5);
        prop_assert!(packed.len() <= frames.len());
        prop_assert_eq!(unpack(&packed, 5, frames.len()), Some(frames));
    }

    #[test]
    fn no_bytes_make_it_panic_or_grow(packed in vec(any::<u8>(), 0..400), first in any::<u64>()) {
        prop_assert!(unpack(&packed, first, 1_000).is_none_or(|frames| frames.len() <= 1_000));
    }

    #[test]
    fn changed_bytes_make_nothing_panic_or_grow(
        payloads in payloads(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut packed = pack(&frames(&payloads), 5);
        let at = at.index(packed.len());
        packed[at] = byte;
        prop_assert!(unpack(&packed, 5, 2_000).is_none_or(|frames| frames.len() <= 2_000));
    }
}
