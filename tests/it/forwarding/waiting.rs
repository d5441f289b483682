//! How long the forwarder waits, and what ends its waits.

use std::time::Duration;

use collector::{forward::State, transport::Delivery};
use tokio::{sync::oneshot, time::Instant};

use super::rig::{Rig, SECOND, Scripted, Step, hold, options, retry, retry_after};

#[tokio::test(start_paused = true)]
async fn success_starts_the_backoff_over() {
    let mut script: Vec<Delivery> = std::iter::repeat_with(retry).take(8).collect();
    script.extend([Delivery::Accepted, retry()]);
    for _ in 0..5 {
        let transport = Scripted::new(script.clone());
        let mut rig = Rig::start(options(), transport.clone(), 1).await;
        rig.acknowledged(1).await;
        rig.put(1).await;
        rig.acknowledged(2).await;
        let attempts = transport.attempts();
        assert!(attempts[10].0 - attempts[9].0 <= SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn sample_after_a_long_idle_time_leaves_at_once() {
    let transport = Scripted::default();
    let mut rig = Rig::start(options(), transport.clone(), 1).await;
    rig.empty().await;
    for attempts in 2..5 {
        rig.status(|status| status.state == State::Idle).await;
        tokio::time::advance(Duration::from_hours(10)).await;
        let enqueued = Instant::now();
        rig.put(1).await;
        rig.acknowledged(attempts).await;
        assert_eq!(transport.attempts().len() as u64, attempts);
        assert_eq!(transport.attempts().last().unwrap().0, enqueued);
    }
}

#[tokio::test(start_paused = true)]
async fn first_attempt_is_immediate_and_wish_of_the_server_is_honoured() {
    let transport = Scripted::new([retry_after(120), retry_after(0), retry()]);
    let begun = Instant::now();
    let mut rig = Rig::start(options(), transport.clone(), 1).await;
    rig.empty().await;
    let at: Vec<Instant> = transport.attempts().iter().map(|(at, _)| *at).collect();
    assert_eq!(at[0], begun);
    let (wished, unwished) = (at[1] - at[0], at[2] - at[1]);
    // Not all who were told the same come at the same moment.
    assert!((120 * SECOND..=150 * SECOND).contains(&wished), "{wished:?}");
    assert!((Duration::from_millis(100)..=3 * SECOND).contains(&unwished), "{unwished:?}");
}

#[tokio::test(start_paused = true)]
async fn dead_server_is_tried_for_ever_and_without_haste() {
    fastrand::seed(7);
    let transport = Scripted::new(std::iter::repeat_with(retry).take(400));
    let begun = Instant::now();
    let mut rig = Rig::start(options(), transport.clone(), 1).await;
    rig.empty().await;
    let attempts = transport.attempts();
    assert_eq!(attempts.len(), 401);
    assert!(begun.elapsed() > Duration::from_hours(1));
    let early = attempts.iter().filter(|(at, _)| *at - begun < 600 * SECOND).count();
    assert!((30..=60).contains(&early), "{early} attempts in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn nudge_ends_a_wait_at_once() {
    let transport = Scripted::new([retry_after(3_600), hold()]);
    let begun = Instant::now();
    let mut rig = Rig::start(options(), transport.clone(), 1).await;
    rig.status(|status| status.state == State::BackingOff).await;
    rig.handle.nudge.nudge();
    rig.status(|status| status.state == State::Held).await;
    rig.handle.nudge.nudge();
    rig.empty().await;
    assert_eq!(transport.attempts().len(), 3);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn linger_collects_unless_a_request_is_full() {
    let mut options = options();
    options.linger = 60 * SECOND;
    options.limits.max_samples = 10;
    let transport = Scripted::default();
    let mut rig = Rig::start(options, transport.clone(), 3).await;
    let begun = Instant::now();
    rig.acknowledged(3).await;
    let full = Instant::now();
    rig.put(10).await;
    rig.acknowledged(13).await;
    let attempts = transport.attempts();
    assert_eq!((attempts[0].0 - begun, attempts[0].1.samples), (60 * SECOND, 3));
    assert_eq!((attempts[1].0 - full, attempts[1].1.samples), (Duration::ZERO, 10));
}

#[tokio::test(start_paused = true)]
async fn stop_abandons_a_request_in_flight_after_three_seconds() {
    let mut rig = Rig::start(options(), Scripted::steps([Step::Never]), 4).await;
    rig.status(|status| status.state == State::Sending).await;
    let stopped = Instant::now();
    rig.stop.send_replace(true);
    rig.status(|status| status.state == State::Stopped).await;
    assert_eq!(stopped.elapsed(), 3 * SECOND);
    assert_eq!(rig.queued(), 4);
}

#[tokio::test]
async fn stop_lets_a_request_in_flight_end() {
    let (answer, answered) = oneshot::channel();
    let mut rig = Rig::start(options(), Scripted::steps([Step::Wait(answered)]), 4).await;
    rig.status(|status| status.state == State::Sending).await;
    rig.stop.send_replace(true);
    tokio::task::yield_now().await;
    answer.send(Delivery::Accepted).unwrap();
    rig.status(|status| status.state == State::Stopped).await;
    rig.acknowledged(4).await;
}

#[tokio::test(start_paused = true)]
async fn stop_ends_every_wait_at_once() {
    for (script, queued) in [(vec![], 0), (vec![retry_after(3_600)], 1), (vec![hold()], 1)] {
        let failing = u64::from(!script.is_empty());
        let mut rig = Rig::start(options(), Scripted::new(script), queued).await;
        rig.status(|status| status.consecutive_failures == failing).await;
        let stopped = Instant::now();
        let status = rig.stop().await;
        assert_eq!((status.state, status.next_attempt), (State::Stopped, None));
        assert_eq!(stopped.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn closed_queue_ends_the_forwarder() {
    let mut rig = Rig::start(options(), Scripted::new([]), 0).await;
    rig.status(|status| status.state == State::Idle).await;
    let Rig { owner, running, .. } = rig;
    owner.close();
    running.await.unwrap();
}
