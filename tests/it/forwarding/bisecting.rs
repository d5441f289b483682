//! What becomes of a batch that the server refuses for what is in it.

use std::time::Duration;

use collector::{
    forward::State,
    retry::Policy,
    transport::{Delivery, Late},
};
use tokio::time::Instant;

use super::rig::{
    Rig, SECOND, Scripted, hold, options, refusing, rejected, retry, seqs, timed_out, too_large,
};

/// Delivers one sample, then a batch of `queued`, numbered from 1 here, and runs until the queue is
/// empty; what was sent of the batch. `judge` answers.
async fn judged(queued: u64, mut judge: impl FnMut(&[u64]) -> Delivery + Send + 'static) -> Judged {
    let transport = Scripted::judging(move |number, seqs| {
        let seqs: Vec<u64> = seqs.iter().map(|seq| seq - 1).collect();
        if number == 0 { Delivery::Accepted } else { judge(&seqs) }
    });
    let mut rig = Rig::start(options(), transport.clone(), 1).await;
    rig.idle().await;
    rig.put(queued).await;
    rig.idle().await;
    let (acknowledged, dead, left) = rig.fate();
    assert_eq!((acknowledged + dead, left), (queued + 1, 0));
    let attempts = transport.attempts().split_off(1);
    let asked = attempts.iter().map(|(_, sent)| seqs(sent).iter().map(|seq| seq - 1).collect());
    let at = attempts.iter().map(|(at, _)| *at).collect();
    let keys = attempts.iter().map(|(_, sent)| sent.idempotency_key.clone()).collect();
    Judged { asked: asked.collect(), at, keys, dead }
}

struct Judged {
    asked: Vec<Vec<u64>>,
    at: Vec<Instant>,
    keys: Vec<String>,
    dead: u64,
}

fn refuse(bad: &[u64]) -> impl FnMut(&[u64]) -> Delivery + Send + 'static {
    let bad = bad.to_vec();
    move |seqs| {
        if seqs.iter().any(|seq| bad.contains(seq)) { rejected() } else { Delivery::Accepted }
    }
}

#[tokio::test(start_paused = true)]
async fn bad_sample_becomes_a_dead_letter_and_the_others_arrive() {
    for bad in [1, 2, 250, 251, 499, 500] {
        let Judged { asked, dead, .. } = judged(500, refuse(&[bad])).await;
        assert_eq!(dead, 1);
        println!("sample {bad} of 500: {} requests", asked.len());
        // At most 2 log2(500) + 1, the refused batch included.
        assert!(asked.len() <= 18, "{}", asked.len());
        assert!(asked.contains(&vec![bad]), "it was judged without being asked about alone");
    }
}

#[tokio::test(start_paused = true)]
async fn several_bad_samples_are_all_found() {
    let alternate: Vec<u64> = (1..=64).step_by(2).collect();
    let all_but_one: Vec<u64> = (1..=15).collect();
    for (bad, queued) in
        [(vec![3, 4, 100, 499], 500), (alternate, 64), (all_but_one, 16), (vec![1, 2, 3], 9)]
    {
        let Judged { asked, dead, .. } = judged(queued, refuse(&bad)).await;
        assert_eq!(dead, bad.len() as u64);
        println!("{dead} bad of {queued}: {} requests", asked.len());
        let bound = 2 * usize::try_from(queued.ilog2()).unwrap() + 1;
        assert!(asked.len() <= bad.len() * bound, "{} {}", asked.len(), bad.len());
    }
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_bisection_are_ten_a_second_at_most() {
    let Judged { at, .. } = judged(100, refuse(&[7, 8, 9, 40])).await;
    assert!(at.len() > 20);
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(100)));
}

#[tokio::test(start_paused = true)]
async fn lonely_sample_is_judged_only_after_a_newer_one_was_accepted() {
    let transport = refusing(&[1]);
    let mut rig = Rig::start(options(), transport.clone(), 1).await;
    rig.status(|status| status.state == State::Held).await;
    rig.status(|status| status.attempts >= 10).await;
    assert_eq!(rig.fate(), (0, 0, 1));
    assert!(transport.seqs().iter().all(|seqs| *seqs == [1]));
    let alone = transport.attempts().len();
    rig.put(2).await;
    rig.idle().await;
    assert_eq!(rig.fate(), (2, 1, 0));
    assert_eq!(transport.seqs()[alone..], [vec![1], vec![2], vec![1], vec![3]]);
}

#[tokio::test]
async fn newer_sample_ends_the_hold_of_a_lonely_one_soon() {
    let mut options = options();
    options.retry = Policy::try_new(SECOND / 100, 3_600 * SECOND, 2.0).unwrap();
    let mut rig = Rig::start(options, refusing(&[1]), 1).await;
    rig.status(|status| status.state == State::Held).await;
    rig.put(1).await;
    rig.idle().await;
    assert_eq!(rig.fate(), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn server_that_refuses_everything_makes_no_dead_letter_of_a_backlog() {
    // Whenever it recovers: in the middle of a bisection, in a hold, between two requests.
    for refuses in [1, 2, 5, 9, 10, 11, 12, 24, 25, 26, 27, 80] {
        let transport =
            Scripted::judging(
                move |number, _| {
                    if number < refuses { rejected() } else { Delivery::Accepted }
                },
            );
        let mut rig = Rig::start(options(), transport.clone(), 1_000).await;
        rig.idle().await;
        assert_eq!(rig.fate(), (1_000, 0, 0), "after {refuses}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_samples_outlast_an_hour_of_refusals() {
    let begun = Instant::now();
    let transport = Scripted::judging(move |_, _| {
        if begun.elapsed() < Duration::from_hours(1) { rejected() } else { Delivery::Accepted }
    });
    let mut rig = Rig::start(options(), transport.clone(), 10_000).await;
    let held = rig.status(|status| status.state == State::Held).await;
    assert_eq!(held.last_error.as_deref(), Some("422; no sample that was tried is accepted"));
    rig.idle().await;
    assert_eq!(rig.fate(), (10_000, 0, 0));
    // Two every half minute.
    let within = |(at, _): &(Instant, _)| *at - begun < 3_600 * SECOND;
    let refused = transport.attempts().into_iter().filter(within).count();
    assert!((200..=280).contains(&refused), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn failure_within_a_bisection_repeats_the_same_piece() {
    let mut failures = vec![retry(), hold(), timed_out(Late::No), timed_out(Late::Silent)];
    let mut asked = 0;
    let judge = move |seqs: &[u64]| {
        asked += 1;
        match asked {
            4.. if !failures.is_empty() => failures.remove(0),
            _ if seqs.contains(&11) => rejected(),
            _ => Delivery::Accepted,
        }
    };
    let Judged { asked, keys, dead, .. } = judged(16, judge).await;
    assert_eq!(dead, 1);
    assert_eq!(asked[3], [9, 10]);
    assert!(keys[3..8].windows(2).all(|pair| pair[0] == pair[1]), "{keys:?}");
    assert_ne!(keys[7], keys[8]);
}

#[tokio::test(start_paused = true)]
async fn piece_that_is_too_large_or_too_slow_is_cut() {
    for refusal in [too_large(), timed_out(Late::Moving)] {
        let judge = move |seqs: &[u64]| match seqs.len() {
            500 => rejected(),
            61.. => refusal.clone(),
            _ if seqs.contains(&400) => rejected(),
            _ => Delivery::Accepted,
        };
        assert_eq!(judged(500, judge).await.dead, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn order_is_kept_but_for_a_suspect_that_is_passed() {
    let bad = [5, 6, 30];
    let mut highest = 0;
    for seqs in judged(40, refuse(&bad)).await.asked {
        if !seqs.iter().any(|seq| bad.contains(seq)) {
            // What is accepted comes in order, each once; what lies between was refused alone.
            let passed: Vec<u64> = (highest + 1..seqs[0]).collect();
            assert!(passed.iter().all(|seq| bad.contains(seq)), "{passed:?} before {seqs:?}");
            highest = highest.max(*seqs.last().unwrap());
        }
    }
    assert_eq!(highest, 40);
}

#[tokio::test(start_paused = true)]
async fn stop_ends_the_hold_of_a_bisection_at_once() {
    let transport = refusing(&[1]);
    let mut rig = Rig::start(options(), transport, 1).await;
    rig.status(|status| status.state == State::Held).await;
    let stopped = Instant::now();
    let status = rig.stop().await;
    assert_eq!((status.state, stopped.elapsed()), (State::Stopped, Duration::ZERO));
}
