//! Servers that do everything wrong: no batch is lost or acknowledged by mistake, every exchange
//! ends in time, the next good answer is used, and memory stays where it was.

#[cfg(target_os = "linux")]
mod daemon;

use std::time::{Duration, Instant};

use collector::transport::{Delivery, Transport as _, http::HttpTransport};

use crate::{
    delivery::{options, request},
    support::{
        Scripted, Step,
        faults::{Fate, Fault, faults},
        say,
    },
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Three times the limit of the whole exchange: the machine may be busy.
const LATE: Duration = Duration::from_millis(1_500);

fn fate(delivery: &Delivery) -> Option<Fate> {
    match delivery {
        Delivery::Accepted => Some(Fate::Accepted),
        Delivery::Retry { .. } => Some(Fate::Retry),
        Delivery::Hold { .. } => Some(Fate::Hold),
        Delivery::TooLarge { .. } | Delivery::Rejected { .. } => None,
    }
}

/// Meets a fault, then a good server; what was wrong about it.
async fn meet(fault: Fault) -> Option<String> {
    let bad = [vec![Step::Read], fault.steps].concat();
    let server = Scripted::start(vec![bad, vec![Step::Read, say(OK), Step::Wait]]).await;
    let mut options = options(&server.url());
    options.timeout = Duration::from_millis(500);
    let mut transport = HttpTransport::new(options).unwrap();
    let begun = Instant::now();
    let delivery = transport.send(&request(1)).await;
    let took = begun.elapsed();
    let next = transport.send(&request(2)).await;
    let seen = server.seen();
    let fired = seen.first().is_some_and(|seen| seen.body == b"body 1");
    let used = next == Delivery::Accepted
        && seen.last().is_some_and(|seen| (seen.connection, &*seen.body) == (1, b"body 2"));
    println!("{}: {delivery:?}, {} ms", fault.name, took.as_millis());
    let good = fate(&delivery) == Some(fault.fate) && took < LATE && fired && used;
    let name = fault.name;
    (!good).then(|| format!("{name}: {delivery:?} in {took:?}, fired {fired}, then {next:?}"))
}

#[tokio::test]
async fn every_fault_ends_in_time_with_its_own_verdict_and_the_next_good_answer_is_used() {
    let mut faults = faults();
    assert!(faults.len() > 80, "{}", faults.len());
    let mut wrong = Vec::new();
    while !faults.is_empty() {
        // Some at a time: most of them wait.
        let some = faults.drain(..faults.len().min(8));
        let meeting: tokio::task::JoinSet<_> = some.map(meet).collect();
        wrong.extend(meeting.join_all().await.into_iter().flatten());
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
