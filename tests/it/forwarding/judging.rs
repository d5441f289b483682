//! What becomes of the queue for each kind of answer, bisecting apart.

use std::time::Duration;

use collector::{
    forward::{State, flush::Outcome},
    transport::Delivery,
};
use tokio::time::Instant;

use super::rig::{
    Rig, SECOND, Scripted, hold, options, reason, rejected, retry, retry_after, too_large,
};

#[tokio::test(start_paused = true)]
async fn only_an_acceptance_removes_what_was_sent() {
    let refusals: [fn() -> Delivery; 5] = [retry, hold, too_large, rejected, || retry_after(5)];
    for refusal in refusals {
        let transport = Scripted::judging(move |_, _| refusal());
        let mut rig = Rig::start(options(), transport.clone(), 0).await;
        rig.status(|status| status.state == State::Idle).await;
        rig.put(2).await;
        rig.status(|status| status.attempts >= 8).await;
        assert_eq!(rig.fate(), (0, 0, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn hold_probes_at_the_slowest_pace_and_loses_nothing() {
    let not_found = Delivery::Hold { reason: reason(Some(404), "404") };
    let transport = Scripted::new([hold(), hold(), not_found]);
    let begun = Instant::now();
    let mut rig = Rig::start(options(), transport.clone(), 2).await;
    let held = rig.status(|status| status.consecutive_failures == 3).await;
    assert_eq!((held.state, held.last_error.as_deref()), (State::Held, Some("404")));
    // Since the first refusal, whatever was tried since.
    assert_eq!(held.next_attempt, held.since.checked_add(90 * SECOND).ok());
    assert!(held.last_success.is_none());
    assert_eq!(rig.queued(), 2);
    rig.empty().await;
    let at: Vec<u64> = transport.attempts().iter().map(|(at, _)| (*at - begun).as_secs()).collect();
    assert_eq!(at, [0, 30, 60, 90]);
    let status = rig.status(|status| status.state == State::Idle).await;
    assert_eq!((status.consecutive_failures, status.last_error), (0, None));
    assert!(status.last_success.is_some());
}

#[tokio::test(start_paused = true)]
async fn hold_ends_when_what_it_hangs_on_has_changed() {
    let transport = Scripted::new([hold()]);
    let begun = Instant::now();
    let mut rig = Rig::start(options(), transport.clone(), 2).await;
    rig.status(|status| status.state == State::Held).await;
    transport.change();
    rig.idle().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(rig.fate(), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn conflict_repeats_the_same_bytes_after_a_backoff() {
    let busy = || Delivery::Retry {
        after: None,
        reason: reason(Some(409), "409"),
        late: collector::transport::Late::No,
    };
    let transport = Scripted::new([busy(), busy()]);
    let mut rig = Rig::start(options(), transport.clone(), 4).await;
    rig.idle().await;
    let attempts = transport.attempts();
    assert_eq!(attempts.len(), 3);
    assert!(attempts.windows(2).all(|pair| pair[0].1 == pair[1].1));
    assert!(attempts.windows(2).all(|pair| pair[1].0 - pair[0].0 >= Duration::from_millis(100)));
}

#[tokio::test]
async fn single_sample_that_is_too_large_is_a_dead_letter_at_once() {
    for large in 1..=6 {
        let transport =
            Scripted::judging(
                move |_, seqs| {
                    if seqs.contains(&large) { too_large() } else { Delivery::Accepted }
                },
            );
        let mut rig = Rig::start(options(), transport.clone(), 6).await;
        let (outcome, _) = rig.drain(10 * SECOND).await;
        assert_eq!(outcome, Outcome::Drained { delivered: 5, dead_lettered: 1, dropped: 0 });
        assert!(transport.attempts().len() <= 12, "{:?}", transport.seqs());
        rig.idle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn server_to_which_everything_is_too_large_makes_no_dead_letter() {
    for (from, until) in [(0, 1), (0, 5), (0, 60), (1, 9), (3, 40), (3, 41), (4, 42)] {
        let transport = Scripted::judging(move |number, _| {
            if (from..until).contains(&number) { too_large() } else { Delivery::Accepted }
        });
        let mut rig = Rig::start(options(), transport.clone(), 40).await;
        rig.idle().await;
        assert_eq!(rig.fate(), (40, 0, 0), "{from} to {until}");
    }
}
