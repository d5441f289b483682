//! Whether a flush delivers at once, tells how far it is, and ends as it must.

use std::time::Duration;

use collector::{
    forward::{
        State,
        flush::{Outcome, Progress},
    },
    retry::Policy,
};
use tokio::{sync::oneshot, time::Instant};

use super::rig::{Rig, SECOND, Scripted, Step, hold, options, rejected, retry, retry_after};

#[tokio::test]
async fn flush_ends_a_backoff_and_tells_its_progress() {
    let mut options = options();
    options.limits.max_samples = 2;
    let transport = Scripted::new([retry_after(3_600)]);
    let mut rig = Rig::start(options, transport, 5).await;
    rig.status(|status| status.state == State::BackingOff).await;
    let begun = Instant::now();
    let (outcome, told) = rig.drain(60 * SECOND).await;
    assert_eq!(outcome, Outcome::Drained { delivered: 5, dead_lettered: 0, dropped: 0 });
    assert_eq!(told.first(), Some(&Progress { delivered: 0, remaining: 5 }));
    assert_eq!(told.last(), Some(&Progress { delivered: 5, remaining: 0 }));
    assert!(begun.elapsed() < 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn flush_of_an_empty_queue_is_done() {
    let rig = Rig::start(options(), Scripted::default(), 0).await;
    let (outcome, _) = rig.drain(SECOND).await;
    assert_eq!(outcome, Outcome::Drained { delivered: 0, dead_lettered: 0, dropped: 0 });
}

#[tokio::test]
async fn flush_makes_one_attempt_in_a_hold() {
    let transport = Scripted::new([hold(), hold(), hold()]);
    let mut rig = Rig::start(options(), transport.clone(), 2).await;
    rig.status(|status| status.state == State::Held).await;
    let (outcome, _) = rig.drain(60 * SECOND).await;
    let reason = "bad key".to_owned();
    assert_eq!(outcome, Outcome::Held { delivered: 0, remaining: 2, reason });
    assert_eq!(transport.attempts().len(), 2);
}

#[tokio::test]
async fn flush_does_not_take_an_attempt_in_flight_for_its_own() {
    let (answer, answered) = oneshot::channel();
    let steps = [Step::Wait(answered), Step::Answer(hold()), Step::Answer(hold())];
    let transport = Scripted::steps(steps);
    let mut rig = Rig::start(options(), transport.clone(), 2).await;
    rig.status(|status| status.state == State::Sending).await;
    let answering = async {
        tokio::task::yield_now().await;
        answer.send(hold()).unwrap();
    };
    let ((outcome, _), ()) = tokio::join!(rig.drain(60 * SECOND), answering);
    assert!(matches!(outcome, Outcome::Held { .. }), "{outcome:?}");
    assert_eq!(transport.attempts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn flush_keeps_trying_until_its_time_is_over() {
    let transport = Scripted::new(std::iter::repeat_with(retry).take(50));
    let mut rig = Rig::start(options(), transport.clone(), 2).await;
    rig.status(|status| status.state == State::BackingOff).await;
    let begun = Instant::now();
    let (outcome, _) = rig.drain(60 * SECOND).await;
    let reason = Some("not now".to_owned());
    assert_eq!(outcome, Outcome::TimedOut { delivered: 0, remaining: 2, reason });
    assert_eq!(begun.elapsed(), 60 * SECOND);
    assert!(transport.attempts().len() > 3);
}

#[tokio::test]
async fn flush_does_not_wait_for_a_linger() {
    let mut options = options();
    options.linger = Duration::from_hours(1);
    let rig = Rig::start(options, Scripted::default(), 2).await;
    let (outcome, _) = rig.drain(10 * SECOND).await;
    assert_eq!(outcome, Outcome::Drained { delivered: 2, dead_lettered: 0, dropped: 0 });
}

#[tokio::test]
async fn flush_hears_of_the_end_of_the_forwarder() {
    let mut rig = Rig::start(options(), Scripted::new([hold()]), 2).await;
    rig.status(|status| status.state == State::Held).await;
    rig.stop.send_replace(true);
    rig.status(|status| status.state == State::Stopped).await;
    let (outcome, _) = rig.drain(10 * SECOND).await;
    assert_eq!(outcome, Outcome::Stopped { delivered: 0, remaining: 2 });
}

#[tokio::test]
async fn flush_waits_for_no_pace() {
    let mut options = options();
    options.replay_rate = Some(10.0);
    options.retry = Policy::try_new(SECOND / 100, SECOND, 2.0).unwrap();
    let transport = Scripted::new([retry_after(3_600)]);
    let mut rig = Rig::start(options, transport.clone(), 1_300).await;
    rig.status(|status| status.state == State::BackingOff).await;
    let (outcome, _) = rig.drain(60 * SECOND).await;
    assert_eq!(outcome, Outcome::Drained { delivered: 1_300, dead_lettered: 0, dropped: 0 });
    // At the configured rate it would have taken hours.
    let sizes: Vec<usize> = transport.attempts().iter().map(|(_, sent)| sent.samples).collect();
    assert_eq!(sizes, [10, 10, 500, 500, 290]);
}

#[tokio::test]
async fn flush_tells_of_dead_letters_and_of_a_server_that_refuses_everything() {
    let transport = super::rig::refusing(&[3]);
    let rig = Rig::start(options(), transport, 6).await;
    let (outcome, _) = rig.drain(60 * SECOND).await;
    assert_eq!(outcome, Outcome::Drained { delivered: 5, dead_lettered: 1, dropped: 0 });
    let transport = Scripted::judging(|_, _| rejected());
    let rig = Rig::start(options(), transport, 6).await;
    let (outcome, _) = rig.drain(60 * SECOND).await;
    let Outcome::Held { delivered: 0, remaining: 6, reason } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(reason, "422; no sample that was tried is accepted");
}
