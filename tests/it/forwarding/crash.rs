//! Whether a request whose end is unknown is the same request again after a crash.

use collector::transport::Delivery::Accepted;

use super::rig::{Rig, Scripted, Step, options, rejected};

#[tokio::test(start_paused = true)]
async fn request_in_flight_at_a_crash_is_repeated_to_the_letter() {
    let mut small = options();
    small.limits.max_samples = 37;
    for (queued, more) in [(1, 0), (3, 5), (8, 700), (37, 0), (100, 0)] {
        let first = Scripted::steps([Step::Never]);
        let rig = Rig::start(small.clone(), first.clone(), queued).await;
        first.attempted(1).await;
        let directory = rig.kill().await;
        let second = Scripted::default();
        let mut rig = Rig::resume(options(), second.clone(), more, directory).await;
        rig.idle().await;
        let sent = first.attempts().remove(0).1;
        assert_eq!(second.attempts()[0].1, sent, "{queued} and {more}");
        assert_eq!(rig.fate(), (queued + more, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn piece_in_flight_at_a_crash_is_repeated_to_the_letter() {
    // 2 to 17 are refused, 2 to 9 are refused, 2 to 5 are accepted, 6 and 7 are in flight.
    let steps = [Accepted, rejected(), rejected(), Accepted].map(Step::Answer);
    let first = Scripted::steps(steps.into_iter().chain([Step::Never]));
    let mut rig = Rig::start(options(), first.clone(), 1).await;
    rig.idle().await;
    rig.put(16).await;
    first.attempted(5).await;
    let directory = rig.kill().await;
    let second = Scripted::default();
    let mut rig = Rig::resume(options(), second.clone(), 10, directory).await;
    rig.idle().await;
    assert_eq!(first.seqs()[4], [6, 7]);
    assert_eq!(second.attempts()[0].1, first.attempts()[4].1);
    assert_eq!(rig.fate(), (27, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn request_that_was_settled_before_a_crash_changes_nothing() {
    let mut rig = Rig::start(options(), Scripted::default(), 8).await;
    rig.idle().await;
    let directory = rig.kill().await;
    let transport = Scripted::default();
    let mut rig = Rig::resume(options(), transport.clone(), 600, directory).await;
    rig.idle().await;
    assert_eq!(transport.ranges()[..2], [(9, 18), (19, 38)]);
    assert_eq!(rig.fate(), (608, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn note_of_a_request_that_is_damaged_is_ignored() {
    let transport = Scripted::steps([Step::Never]);
    let rig = Rig::start(options(), transport.clone(), 8).await;
    transport.attempted(1).await;
    let directory = rig.kill().await;
    let note = directory.path().join("queue/in-flight");
    assert_eq!(std::fs::read(&note).unwrap().len(), 4096);
    std::fs::write(&note, [0xff; 4_096]).unwrap();
    let transport = Scripted::default();
    let mut rig = Rig::resume(options(), transport.clone(), 0, directory).await;
    rig.idle().await;
    assert_eq!(transport.ranges(), [(1, 8)]);
}
