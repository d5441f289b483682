//! One directory, one owner: a second daemon, and `queue` commands beside one that doesn't answer.

use std::fs::{self, File};

use serde_json::json;

use crate::support::{
    process::{Home, wait_until},
    server::{Mode, Server},
};

#[test]
fn second_daemon_ends_with_75_and_names_the_first() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let first = home.daemon();
    let second = home.run(&["run"]);
    assert_eq!(second.code, Some(75), "{second:?}");
    let expected = format!("is in use by process {}", first.pid());
    assert!(second.err.contains(&expected), "{second:?}");
    // It has left the first one's socket alone.
    assert_eq!(home.stats()["pid"], first.pid());
}

#[test]
fn daemon_waits_for_a_command_that_holds_the_queue() {
    let server = Server::start(Mode::Hang);
    let home = Home::new(&server.url(), &[]);
    let daemon = home.daemon();
    wait_until("entries wait", || home.stats()["queue"]["samples"].as_u64() >= Some(4));
    assert_eq!(daemon.stop().code, Some(0));
    let flush = home.spawn(&["queue", "flush", "--timeout", "1s"]);
    wait_until("the flush holds the queue", || server.attempts() >= 2);
    let mut daemon = home.daemon();
    assert_eq!(flush.end().code, Some(75));
    assert!(!daemon.has_ended());
    assert_eq!(home.stats()["running"], true);
}

#[test]
fn daemon_that_waits_for_the_queue_ends_when_it_is_told_to() {
    let home = Home::new("http://127.0.0.1:9", &[]);
    assert_eq!(home.daemon().stop().code, Some(0));
    let lock = File::options().read(true).write(true).open(home.path("buffer/lock")).unwrap();
    lock.try_lock().unwrap();
    let waiting = home.spawn(&["run"]);
    // It tries the lock again and again: that it has the file open shows that it waits.
    let descriptors = format!("/proc/{}/fd", waiting.pid());
    wait_until("it waits for the lock", || {
        fs::read_dir(&descriptors).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                fs::read_link(entry.path()).is_ok_and(|path| path.ends_with("buffer/lock"))
            })
        })
    });
    // After five seconds it would end with 75.
    let ended = waiting.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn queue_command_beside_an_owner_that_does_not_answer_ends_with_75() {
    let home = Home::new("http://127.0.0.1:9", &[]);
    assert_eq!(home.daemon().stop().code, Some(0));
    let lock = File::options().read(true).write(true).open(home.path("buffer/lock")).unwrap();
    lock.try_lock().unwrap();
    fs::write(home.path("buffer/lock"), "4711\n").unwrap();
    for command in ["stats", "flush"] {
        let ran = home.run(&["queue", command]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(75), ""), "{ran:?}");
        assert!(ran.err.contains("in use by process 4711"), "{ran:?}");
    }
}

#[test]
fn socket_that_a_killed_daemon_left_is_in_nobodys_way() {
    let server = Server::start(Mode::Answer(503));
    let home = Home::new(&server.url(), &[]);
    home.daemon().kill();
    assert!(home.path("buffer/control.sock").exists());
    assert_eq!(home.stats()["running"], false);
    let daemon = home.daemon();
    wait_until("it answers", || home.stats()["pid"] == json!(daemon.pid()));
}

#[test]
fn socket_path_that_is_not_free_is_a_wrong_configuration() {
    let server = Server::start(Mode::Accept);
    let first = Home::new(&server.url(), &[]);
    let daemon = first.daemon();
    let socket = first.path("buffer/control.sock");
    // Two agents with one socket: only the start can tell.
    let home = Home::new(&server.url(), &[("control.socket", json!(socket))]);
    let second = home.run(&["run"]);
    assert_eq!(second.code, Some(78), "{second:?}");
    let expected = "another process listens there; give each agent its own control.socket";
    assert!(second.err.contains(expected), "{second:?}");
    assert_eq!(first.stats()["pid"], daemon.pid());
    // Whatever else lies there is left alone, and the judgement finds it.
    fs::write(home.path("precious"), "precious").unwrap();
    home.configure(&server.url(), &[("control.socket", json!("precious"))]);
    for command in ["check", "run"] {
        let ran = home.run(&[command]);
        assert_eq!(ran.code, Some(78), "{ran:?}");
        assert!(ran.err.contains(": control.socket: isn't free: "), "{ran:?}");
    }
    assert_eq!(fs::read_to_string(home.path("precious")).unwrap(), "precious");
    // What the agent itself makes at its start.
    for taken in ["buffer-2", "buffer-2/lock"] {
        let settings = [("buffer.directory", json!("buffer-2")), ("control.socket", json!(taken))];
        home.configure(&server.url(), &settings);
        fs::remove_dir_all(home.path("buffer-2")).ok();
        let ran = home.run(&["run"]);
        assert_eq!(ran.code, Some(78), "{ran:?}");
    }
}
