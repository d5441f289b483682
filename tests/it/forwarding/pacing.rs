//! What is sent in which order and how fast: batches, their limits, small ones first, the rate.

use std::time::Duration;

use collector::transport::{Delivery, Late};
use tokio::time::Instant;

use super::rig::{Rig, SECOND, Scripted, hold, options, retry, timed_out, too_large};

/// How many samples each attempt carried.
fn sizes(transport: &Scripted) -> Vec<usize> {
    transport.attempts().iter().map(|(_, sent)| sent.samples).collect()
}

fn assert_in_order(transport: &Scripted) {
    let ranges = transport.ranges();
    assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{ranges:?}");
}

#[tokio::test(start_paused = true)]
async fn failed_batch_is_repeated_to_the_letter_until_it_is_accepted() {
    let timeouts = [Late::No, Late::Silent, Late::Moving].map(timed_out);
    let transport = Scripted::new([retry(), hold(), retry()].into_iter().chain(timeouts));
    let mut rig = Rig::start(options(), transport.clone(), 3).await;
    rig.status(|status| status.consecutive_failures == 1).await;
    rig.put(2).await;
    rig.empty().await;
    let attempts = transport.attempts();
    assert_eq!(attempts.len(), 8);
    assert!(attempts[..7].windows(2).all(|pair| pair[0].1 == pair[1].1));
    assert_eq!(attempts[6].1.last_seq + 1, attempts[7].1.first_seq);
    assert_eq!((attempts[6].1.samples, attempts[7].1.samples), (3, 2));
    let ledger = rig.stats.borrow().ledger;
    assert_eq!((ledger.enqueued, ledger.acknowledged), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn backlog_at_the_start_leaves_in_order_in_requests_that_grow() {
    let transport = Scripted::default();
    let mut rig = Rig::start(options(), transport.clone(), 2_200).await;
    rig.empty().await;
    assert_eq!(sizes(&transport), [10, 20, 40, 80, 160, 320, 500, 500, 500, 70]);
    assert_in_order(&transport);
}

#[tokio::test(start_paused = true)]
async fn backlog_after_an_outage_is_begun_with_what_was_tried_all_the_time() {
    let transport = Scripted::new(std::iter::repeat_with(retry).take(20));
    let mut rig = Rig::start(options(), transport.clone(), 3).await;
    rig.status(|status| status.consecutive_failures == 10).await;
    rig.put(1_300).await;
    rig.empty().await;
    assert_eq!(sizes(&transport)[20..], [3, 20, 40, 80, 160, 320, 500, 180]);
    let attempts = transport.attempts();
    let pauses: Vec<Duration> =
        attempts[20..27].windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!((3 * SECOND..=45 * SECOND).contains(&pauses.iter().sum::<Duration>()), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn steady_stream_is_neither_ramped_nor_paused() {
    let transport = Scripted::default();
    let mut rig = Rig::start(options(), transport.clone(), 1).await;
    rig.idle().await;
    for sent in [30, 600] {
        let begun = Instant::now();
        rig.put(sent).await;
        rig.idle().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
    assert_eq!(sizes(&transport), [1, 30, 500, 100]);
}

#[tokio::test(start_paused = true)]
async fn only_what_a_request_carries_is_settled() {
    let mut options = options();
    options.limits.max_bytes = 2_000;
    let transport = Scripted::default();
    let mut rig = Rig::start(options, transport.clone(), 40).await;
    rig.acknowledged(40).await;
    let attempts = transport.attempts();
    assert!(attempts.len() > 5, "{}", attempts.len());
    assert!(attempts.iter().all(|(_, sent)| sent.body.len() <= 2_000));
    assert_eq!(attempts.iter().map(|(_, sent)| sent.samples).sum::<usize>(), 40);
    assert_in_order(&transport);
}

#[tokio::test(start_paused = true)]
async fn replay_rate_bounds_a_backlog_and_delays_no_fresh_sample() {
    let mut options = options();
    options.replay_rate = Some(20.0);
    let transport = Scripted::default();
    let mut rig = Rig::start(options, transport.clone(), 300).await;
    let begun = Instant::now();
    rig.idle().await;
    let took = begun.elapsed();
    assert!((14 * SECOND..18 * SECOND).contains(&took), "{took:?}");
    assert!(sizes(&transport).iter().all(|&size| size <= 20));
    assert_in_order(&transport);
    let fresh = Instant::now();
    rig.put(3).await;
    rig.idle().await;
    assert_eq!(fresh.elapsed(), Duration::ZERO);
}

/// A forwarder that has delivered one sample and has nothing to do.
async fn settled(transport: &Scripted) -> Rig {
    let mut rig = Rig::start(options(), transport.clone(), 1).await;
    rig.idle().await;
    rig
}

#[tokio::test(start_paused = true)]
async fn too_large_request_is_halved_at_once_and_the_limit_is_remembered() {
    let transport =
        Scripted::judging(|_, seqs| if seqs.len() > 60 { too_large() } else { Delivery::Accepted });
    let mut rig = settled(&transport).await;
    let begun = Instant::now();
    rig.put(500).await;
    rig.status(|status| status.attempts >= 6).await;
    assert_eq!(sizes(&transport)[1..6], [500, 250, 125, 62, 31]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    rig.idle().await;
    // It grows again, finds the limit again, and then waits longer before it tries the next time.
    assert_eq!(sizes(&transport)[6..11], [31, 31, 31, 62, 31]);
    assert_eq!(sizes(&transport).iter().filter(|&&size| size > 60).count(), 6);
    assert_eq!(rig.fate(), (501, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn remembered_limit_grows_back_to_the_configured_one() {
    let transport = Scripted::new([Delivery::Accepted, too_large(), too_large(), too_large()]);
    let mut rig = settled(&transport).await;
    rig.put(6_000).await;
    rig.idle().await;
    let sizes = sizes(&transport).split_off(1);
    assert_eq!(sizes[..5], [500, 250, 125, 62, 62]);
    for size in [124, 248, 496, 500] {
        assert!(sizes[5..].contains(&size), "{sizes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_timeouts_on_a_slow_link_halve_the_batch() {
    let slow = || timed_out(Late::Moving);
    let transport = Scripted::new([slow(), slow(), retry(), slow(), slow(), slow()]);
    let mut rig = Rig::start(options(), transport.clone(), 8).await;
    rig.empty().await;
    assert_eq!(sizes(&transport)[..7], [8, 8, 4, 4, 4, 2, 2]);
    let keys: Vec<_> =
        transport.attempts().into_iter().map(|(_, sent)| sent.idempotency_key).collect();
    assert_eq!((&keys[0], &keys[2], &keys[2]), (&keys[1], &keys[3], &keys[4]));
    assert!(keys[1] != keys[2] && keys[4] != keys[5]);
    assert_eq!(rig.fate(), (8, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn single_sample_on_a_slow_link_and_a_small_batch_at_a_silent_server_stay_what_they_are() {
    for (late, queued) in [(Late::Moving, 1), (Late::Silent, 5)] {
        let transport = Scripted::new(std::iter::repeat_with(|| timed_out(late)).take(9));
        let mut rig = Rig::start(options(), transport.clone(), queued).await;
        rig.empty().await;
        let attempts = transport.attempts();
        assert_eq!(attempts.len(), 10);
        assert!(attempts.windows(2).all(|pair| pair[0].1 == pair[1].1));
    }
}

#[tokio::test(start_paused = true)]
async fn large_batch_that_times_out_in_silence_is_halved_after_four_times() {
    let silent = || timed_out(Late::Silent);
    let transport = Scripted::new([Delivery::Accepted, silent(), silent(), silent(), silent()]);
    let mut rig = settled(&transport).await;
    rig.put(400).await;
    rig.idle().await;
    assert!(transport.attempts()[1].1.body.len() > 40_000);
    assert_eq!(sizes(&transport)[1..6], [400, 400, 400, 400, 10]);
    assert!(sizes(&transport)[5..].iter().all(|&size| size <= 200));
}
