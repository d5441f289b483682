//! `queue dead-letters` as an operator uses it, while the daemon runs and while it doesn't.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixListener,
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use collector::{
    clock::SystemClock,
    queue::{self, Refusal},
};
use serde_json::{Value, json};

use super::tools::{done, lines, outage, seqs};
use crate::{
    queue::options,
    support::{
        process::{Home, wait_until},
        server::{Mode, Server},
    },
};

/// Makes the first of the queued samples dead letters, as the forwarder does.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn refuse(home: &Home, count: usize) {
    let (options, machine) = (options(&home.path("buffer")), collector::host::machine_id());
    let queue = queue::open(options, machine.as_deref(), Arc::new(SystemClock), Duration::ZERO);
    let mut queue = queue.unwrap();
    let entries = queue.consumer.peek(count, 1 << 20).await.unwrap();
    let at = "2026-11-22T19:11:32Z".parse().unwrap();
    let refusal = Refusal { at, status: 422, answer: "no \u{1b}[31mthanks".into() };
    assert_eq!(queue.consumer.dead_letter(&entries, refusal).await.unwrap(), count as u64);
}

fn letters(home: &Home) -> Vec<Value> {
    let listed = done(home, &["dead-letters", "list", "--json"]).json();
    listed["dead_letters"].as_array().unwrap().clone()
}

#[test]
fn dead_letters_are_listed_shown_sent_again_and_purged() {
    let server = Server::start(Mode::Answer(503));
    let home = Home::new(&server.url(), &[]);
    assert_eq!(outage(&home).stop().code, Some(0));
    refuse(&home, 6);
    let exported = lines(&done(&home, &["export"]).out);
    assert_eq!(exported[0]["seq"], 7, "they aren't queued");
    let look = |home: &Home| {
        let table = done(home, &["dead-letters", "list"]).out;
        assert!(table.contains("422") && table.contains("thanks"), "{table}");
        assert!(!table.contains('\x1b'), "{table}");
        assert_eq!(seqs(&letters(home)), [1, 2, 3, 4, 5, 6]);
        let shown = done(home, &["dead-letters", "show", "3"]).json();
        assert_eq!(shown["seq"], 3);
        assert_eq!(shown["sample"]["seq"], 3);
        assert_eq!([&shown["status"], &shown["retrying"]], [&json!(422), &json!(false)]);
        assert_eq!(shown["refused_at"], "2026-11-22T19:11:32Z");
        assert_eq!(home.run(&["queue", "dead-letters", "show", "7"]).code, Some(1));
        let said = done(home, &["dead-letters", "purge", "--all"]).out;
        assert!(said.starts_with("would purge 6 dead letters"), "{said}");
    };
    look(&home);
    let purged = done(&home, &["dead-letters", "purge", "1", "--yes", "--json"]).json();
    assert_eq!(purged, json!({"purged": 1}));
    refuse(&home, 1);
    let daemon = home.daemon();
    assert_eq!(seqs(&letters(&home)), [2, 3, 4, 5, 6, 7]);
    let purged = done(&home, &["dead-letters", "purge", "2", "99", "--yes"]).out;
    assert_eq!(purged, "purged 1 dead letter\n");
    let retried = done(&home, &["dead-letters", "retry", "4", "5", "1"]).out;
    assert_eq!(retried, "2 dead letters will be sent again\n");
    let retrying: Vec<_> = letters(&home).iter().map(|letter| letter["retrying"] == true).collect();
    assert_eq!(retrying, [false, true, true, false, false]);
    assert_eq!(home.stats()["queue"]["dead_letters"], 3);
    server.turn(Mode::Accept);
    wait_until("they are delivered", || letters(&home).len() == 3);
    let done_again = done(&home, &["dead-letters", "retry", "--all", "--json"]).json();
    assert_eq!(done_again, json!({"retried": 3}));
    wait_until("all are delivered", || letters(&home).is_empty());
    assert_eq!(done(&home, &["dead-letters", "list"]).out, "there are no dead letters\n");
    assert_eq!(daemon.stop().code, Some(0));
    let verdict = done(&home, &["verify", "--json"]).json();
    let stats = home.stats();
    assert_eq!(verdict["ledger"], stats["ledger"]);
    assert_eq!(stats["ledger"]["dropped"]["purged"], 2);
    let received: BTreeSet<_> = server.received().iter().map(|sample| sample.seq).collect();
    assert!([3, 4, 5, 6, 7].iter().all(|seq| received.contains(seq)), "{received:?}");
    assert!([1, 2].iter().all(|seq| !received.contains(seq)), "{received:?}");
}

#[test]
fn list_of_dead_letters_begins_where_it_is_told_to() {
    let server = Server::start(Mode::Answer(503));
    let home = Home::new(&server.url(), &[]);
    assert_eq!(outage(&home).stop().code, Some(0));
    refuse(&home, 6);
    let listed = done(&home, &["dead-letters", "list", "--from", "4", "--json"]).json();
    assert_eq!(seqs(listed["dead_letters"].as_array().unwrap()), [4, 5, 6]);
    assert_eq!(listed["more"], false);
    let listed = done(&home, &["dead-letters", "list", "--from", "7", "--json"]).out;
    assert_eq!(listed, "{\"dead_letters\":[],\"more\":false}\n");
}

/// Answers one client's requests in turn, and goes.
fn daemon_that_says(socket: &Path, answers: &'static [&'static str]) -> thread::JoinHandle<()> {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let mut client = BufReader::new(listener.accept().unwrap().0);
        for answer in answers {
            let (mut line, mut length) = (String::new(), 0);
            while client.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            client.read_exact(&mut vec![0; length]).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
            client.get_mut().write_all((head + answer).as_bytes()).unwrap();
        }
    })
}

#[test]
fn list_of_dead_letters_that_breaks_off_prints_no_part_of_an_object() {
    let home = Home::new("http://127.0.0.1:9", &[]);
    fs::create_dir(home.path("buffer")).unwrap();
    let daemon = daemon_that_says(
        &home.path("buffer/control.sock"),
        &[
            "{\"letter\":{\"refused_at\":\"2026-11-22T19:11:32Z\",\"status\":422,\"answer\":\"no\",\
             \"retrying\":false,\"sample\":null,\"seq\":1}}\n{\"done\":1}\n",
            "{\"failed\":\"the disk refused\"}\n",
        ],
    );
    let ran = home.run(&["queue", "dead-letters", "list", "--json"]);
    daemon.join().unwrap();
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.contains("the disk refused"), "{ran:?}");
}
