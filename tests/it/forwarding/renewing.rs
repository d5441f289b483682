//! Whether a request whose end is unknown is the same request again when the forwarder begins anew, as
//! at a reload, and whether one that was judged isn't.

use collector::{
    encode::Compression,
    transport::Delivery::{self, Accepted},
};

use super::rig::{Rig, SECOND, Scripted, Step, hold, options, rejected, retry, timed_out};

/// The rest of a script, once the forwarder has begun anew with `more` in its queue.
async fn renewed(first: Scripted, queued: u64, more: u64) -> (Scripted, Rig) {
    let rig = Rig::start(options(), first.clone(), queued).await;
    first.attempted(1).await;
    rig.put(more).await;
    let second = Scripted::default();
    let mut rig = rig.renew(options(), second.clone()).await;
    rig.idle().await;
    (second, rig)
}

#[tokio::test(start_paused = true)]
async fn request_in_flight_is_repeated_to_the_letter() {
    // The last is a full batch of a ramp, which begins anew.
    for (queued, more) in [(1, 40), (8, 700), (9, 0), (500, 3)] {
        let first = Scripted::steps([Step::Never]);
        let (second, rig) = renewed(first.clone(), queued, more).await;
        let sent = first.attempts().remove(0).1;
        assert_eq!(second.attempts()[0].1, sent, "{queued} and {more}");
        assert_eq!(rig.fate(), (queued + more, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn request_that_failed_or_was_held_is_repeated_to_the_letter() {
    let late = || timed_out(collector::transport::Late::Silent);
    for answer in [retry as fn() -> Delivery, late, hold] {
        let (second, rig) = renewed(Scripted::judging(move |_, _| answer()), 5, 100).await;
        assert_eq!(second.ranges()[0], (1, 5), "{:?}", answer());
        assert_eq!(rig.fate(), (105, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn smaller_limits_are_for_the_next_request_and_another_compression_keeps_the_key() {
    let first = Scripted::steps([Step::Never]);
    let rig = Rig::start(options(), first.clone(), 8).await;
    first.attempted(1).await;
    rig.put(8).await;
    let mut other = options();
    other.limits.max_samples = 3;
    other.compression = Compression::Gzip;
    let second = Scripted::default();
    let mut rig = rig.renew(other, second.clone()).await;
    rig.idle().await;
    assert_eq!(second.ranges(), [(1, 8), (9, 11), (12, 14), (15, 16)]);
    let (before, after) = (first.attempts().remove(0).1, second.attempts().remove(0).1);
    assert_eq!(before.idempotency_key, after.idempotency_key);
    assert_ne!(before.body, after.body);
}

#[tokio::test(start_paused = true)]
async fn piece_of_a_bisection_in_flight_is_repeated_to_the_letter() {
    let steps = [Accepted, rejected(), rejected(), Accepted].map(Step::Answer);
    let first = Scripted::steps(steps.into_iter().chain([Step::Never]));
    let mut rig = Rig::start(options(), first.clone(), 1).await;
    rig.idle().await;
    rig.put(16).await;
    first.attempted(5).await;
    let second = Scripted::default();
    let mut rig = rig.renew(options(), second.clone()).await;
    rig.idle().await;
    assert_eq!(second.attempts()[0].1, first.attempts()[4].1);
    assert_eq!(rig.fate(), (17, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn request_that_was_judged_does_not_bind_the_next_one() {
    let first = Scripted::new([Accepted, Accepted]);
    let mut rig = Rig::start(options(), first.clone(), 8).await;
    rig.idle().await;
    let second = Scripted::default();
    let mut rig = rig.renew(options(), second.clone()).await;
    rig.put(600).await;
    rig.idle().await;
    assert_eq!(second.ranges()[0], (9, 18));
}

#[tokio::test(start_paused = true)]
async fn answer_that_comes_soon_after_the_stop_counts() {
    let (answer, wait) = tokio::sync::oneshot::channel();
    let first = Scripted::steps([Step::Wait(wait)]);
    let rig = Rig::start(options(), first.clone(), 5).await;
    first.attempted(1).await;
    tokio::spawn(async {
        // Of the test's own clock: the server takes two of the three seconds that a stop leaves.
        tokio::time::sleep(2 * SECOND).await;
        answer.send(Accepted).unwrap();
    });
    let second = Scripted::default();
    let mut rig = rig.renew(options(), second.clone()).await;
    rig.put(1).await;
    rig.idle().await;
    assert_eq!(second.ranges(), [(6, 6)]);
}
