//! Does the server learn what it will never get: in the next request, again until one was
//! acknowledged, with the same bytes under the same key, over a crash, too?

use collector::{
    clock::SystemClock,
    encode::Request,
    queue::{Inspector, Overflow, Refusal, Selection},
    transport::Delivery,
};
use serde_json::{Value, json};

use super::rig::{Rig, Scripted, Step, options, refusing, rejected, retry, seqs};

/// What a request tells of losses.
fn told(request: &Request) -> Value {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["losses"].clone()
}

fn loss(reason: &str, first_seq: u64, last_seq: u64) -> Value {
    let count = last_seq - first_seq + 1;
    json!({"reason": reason, "first_seq": first_seq, "last_seq": last_seq, "count": count})
}

async fn purge(inspector: &Inspector) {
    let _gone = inspector.purge(Selection::All, |_| ()).await.unwrap();
}

/// A rig whose server is dead, with so many samples thrown away by hand.
async fn after_a_purge(transport: &Scripted, purged: u64) -> Rig {
    let directory = tempfile::tempdir().unwrap();
    let queue = super::rig::open(directory.path());
    super::rig::put(&queue.producer, queue.stats.clone(), purged).await;
    purge(&queue.inspector).await;
    drop(queue);
    Rig::resume(options(), transport.clone(), 0, directory).await
}

#[tokio::test(start_paused = true)]
async fn losses_go_with_the_next_request_and_no_other() {
    let transport = Scripted::new([]);
    let mut rig = after_a_purge(&transport, 7).await;
    assert_eq!(rig.stats.borrow().unreported.samples, 7);
    rig.put(1).await;
    rig.idle().await;
    rig.put(1).await;
    rig.idle().await;
    let attempts = transport.attempts();
    assert_eq!(told(&attempts[0].1), json!([loss("purged", 1, 7)]));
    assert_eq!((told(&attempts[1].1), attempts.len()), (Value::Null, 2));
    assert_eq!(rig.stats.borrow().unreported.ranges, 0);
}

#[tokio::test(start_paused = true)]
async fn request_that_fails_tells_the_same_again_under_the_same_key() {
    let transport = Scripted::new([retry(), retry()]);
    let mut rig = after_a_purge(&transport, 3).await;
    rig.put(2).await;
    rig.idle().await;
    let attempts = transport.attempts();
    assert_eq!(told(&attempts[0].1), json!([loss("purged", 1, 3)]));
    assert!(attempts.iter().all(|(_, sent)| *sent == attempts[0].1), "the same bytes");
    assert_eq!(attempts.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn killed_in_between_the_next_process_tells_the_same_under_the_same_key() {
    let transport = Scripted::steps([Step::Never]);
    let rig = after_a_purge(&transport, 3).await;
    rig.put(2).await;
    transport.attempted(1).await;
    let directory = rig.kill().await;
    let again = Scripted::new([]);
    let mut rig = Rig::resume(options(), again.clone(), 5, directory).await;
    rig.empty().await;
    let (first, second) = (&transport.attempts()[0].1, &again.attempts()[0].1);
    assert_eq!(first, second);
    assert_eq!(told(second), json!([loss("purged", 1, 3)]));
    let later = again.attempts().iter().skip(1).map(|(_, sent)| told(sent)).collect::<Vec<_>>();
    assert!(!later.is_empty() && later.iter().all(Value::is_null), "{later:?}");
}

#[tokio::test(start_paused = true)]
async fn killed_before_the_answer_nothing_of_a_report_is_forgotten() {
    let transport = Scripted::steps([Step::Never]);
    let rig = after_a_purge(&transport, 3).await;
    rig.put(2).await;
    transport.attempted(1).await;
    let directory = rig.kill().await;
    // Nobody knows any more what was in flight.
    std::fs::remove_file(directory.path().join("queue/in-flight")).unwrap();
    let again = Scripted::new([]);
    let mut rig = Rig::resume(options(), again.clone(), 1, directory).await;
    rig.idle().await;
    assert_eq!(told(&again.attempts()[0].1), json!([loss("purged", 1, 3)]));
}

#[tokio::test(start_paused = true)]
async fn server_that_does_not_like_losses_gets_the_samples_without_them() {
    let transport = Scripted::judging(|_, _| Delivery::Accepted);
    let picky = Picky(transport.clone());
    let directory = tempfile::tempdir().unwrap();
    let queue = super::rig::open(directory.path());
    super::rig::put(&queue.producer, queue.stats.clone(), 4).await;
    purge(&queue.inspector).await;
    drop(queue);
    let mut rig = Rig::resume(options(), picky, 3, directory).await;
    rig.idle().await;
    assert_eq!(transport.seqs(), [vec![5, 6, 7]], "delivered, and no dead letter");
    assert_eq!(rig.fate(), (3, 0, 0));
    assert_eq!(rig.stats.borrow().unreported.samples, 4, "it still waits to be told");
}

/// Refuses whatever tells of losses.
struct Picky(Scripted);

impl collector::transport::Transport for Picky {
    async fn send(&mut self, request: &Request) -> Delivery {
        if told(request).is_null() { self.0.send(request).await } else { rejected() }
    }

    async fn changed(&mut self) {
        self.0.changed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letter_is_told_as_one() {
    let transport = refusing(&[2]);
    let mut rig = Rig::start(options(), transport.clone(), 4).await;
    rig.idle().await;
    rig.put(1).await;
    rig.idle().await;
    assert_eq!(rig.fate(), (4, 1, 0));
    let attempts = transport.attempts();
    let last = &attempts.last().unwrap().1;
    assert_eq!((seqs(last), told(last)), (vec![5], json!([loss("dead_lettered", 2, 2)])));
}

#[tokio::test(start_paused = true)]
async fn small_requests_tell_of_many_losses_in_turns() {
    let transport = Scripted::new([]);
    let directory = tempfile::tempdir().unwrap();
    let mut queue = super::rig::open(directory.path());
    // Every second one is acknowledged, the rest is refused.
    super::rig::put(&queue.producer, queue.stats.clone(), 40).await;
    let entries = queue.consumer.peek(40, 1 << 20).await.unwrap();
    let (even, odd): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.seq % 2 == 0);
    queue.consumer.acknowledge(&even).await.unwrap();
    let refusal =
        Refusal { at: jiff::Timestamp::UNIX_EPOCH, status: 422, answer: String::from("no") };
    assert_eq!(queue.consumer.dead_letter(&odd, refusal).await.unwrap(), 20);
    drop(queue);
    let mut small = options();
    small.limits.max_bytes = 4_000;
    let mut rig = Rig::resume(small, transport.clone(), 0, directory).await;
    for _ in 0..8 {
        rig.put(1).await;
        rig.idle().await;
    }
    assert_eq!(rig.stats.borrow().unreported.ranges, 0);
    let attempts = transport.attempts();
    let mut all = Vec::new();
    for (_, sent) in &attempts {
        assert!(sent.plain_bytes <= 4_000, "{}", sent.plain_bytes);
        let losses = told(sent);
        all.extend(losses.as_array().into_iter().flatten().map(|l| l["count"].as_u64().unwrap()));
    }
    assert!(all.len() > 5, "more than one request has: {all:?}");
    assert_eq!(all.iter().sum::<u64>(), 20, "nothing twice, nothing left out");
}

#[tokio::test]
async fn refused_samples_are_told_by_their_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let options = collector::queue::Options {
        overflow: Overflow::DropNewest,
        // No disk has so much free space: it counts as full once something is queued.
        min_free_bytes: u64::MAX,
        ..super::rig::queue_options(directory.path())
    };
    let clock = std::sync::Arc::new(SystemClock);
    let mut queue =
        collector::queue::open(options, None, clock, std::time::Duration::ZERO).unwrap();
    super::rig::put(&queue.producer, queue.stats.clone(), 2).await;
    super::rig::put(&queue.producer, queue.stats.clone(), 3).await;
    let losses = queue.consumer.losses(9).await.unwrap();
    let lost: Vec<_> =
        losses.iter().map(|it| (it.lost.first_seq, it.lost.last_seq, it.lost.count)).collect();
    assert_eq!(lost, [(3, 5, 3)]);
}
