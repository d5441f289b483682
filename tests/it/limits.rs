//! A daemon that is given too little: it runs, or it ends and says why. It never hangs.

#[cfg(target_os = "linux")]
use std::time::Duration;

#[cfg(target_os = "linux")]
use serde_json::json;

#[cfg(target_os = "linux")]
use crate::support::process::{Process, let_pass};
use crate::support::{
    process::{Home, SOON, wait_until},
    server::{Mode, Server},
};

/// Runs behind a line of shell; delivers and stops well, or ends by itself with a reason.
#[track_caller]
fn runs_or_ends(shell: &str, settings: &[(&str, serde_json::Value)]) -> Option<i32> {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), settings);
    let mut daemon = home.spawn_behind(&format!("{shell} exec \"$0\" \"$@\""), &["run"]);
    wait_until("delivery or the end", || server.count() >= 4 || daemon.has_ended());
    if server.count() < 4 {
        let ended = daemon.end();
        assert!(!ended.err.is_empty() && !ended.err.contains("panicked"), "{ended:?}");
        assert!(matches!(ended.code, Some(1 | 78)), "{ended:?}");
        return ended.code;
    }
    daemon.signal(rustix::process::Signal::TERM);
    let (_, ended) = daemon.end_within(SOON);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.err.contains("panicked"), "{ended:?}");
    server.assert_whole();
    Some(0)
}

/// CPU time that the daemon has used, in clock ticks (hundredths of a second).
#[cfg(target_os = "linux")]
fn cpu_ticks(daemon: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn too_few_descriptors_are_said_at_the_start() {
    for limit in [8, 12, 15] {
        let home = Home::new("http://127.0.0.1:9", &[]);
        let ended = home.spawn_behind(&format!("ulimit -n {limit}; exec \"$0\" run"), &[]).end();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let text = format!("collector: only {limit} files may be open at once");
        assert!(ended.err.starts_with(&text) && ended.err.lines().count() == 1, "{ended:?}");
    }
    assert_eq!(runs_or_ends("ulimit -n 64;", &[]), Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn sixteen_descriptors_make_no_busy_loop_and_no_hang() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let mut daemon = home.spawn_behind("ulimit -n 16; exec \"$0\" run", &[]);
    daemon.wait_for_log("Too many open files");
    if !daemon.log().contains("collector starts") {
        wait_until("the end", || daemon.has_ended());
        let ended = daemon.end();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        return;
    }
    let before = cpu_ticks(&daemon);
    let_pass(Duration::from_secs(3));
    let used = cpu_ticks(&daemon) - before;
    assert!(used < 150, "half a processor is busy: {used} ticks");
    let ended = daemon.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.err.contains("panicked"), "{ended:?}");
    assert!(ended.err.lines().count() < 60, "{ended:?}");
    assert_eq!(home.run(&["queue", "flush"]).code, Some(0));
    server.assert_whole();
}

#[test]
fn closed_outputs_stop_nothing() {
    for shell in ["exec >&-;", "exec 2>&-;", "exec >&- 2>&-;", "exec <&- >&- 2>&-;"] {
        assert_eq!(runs_or_ends(shell, &[]), Some(0), "{shell}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn full_disk_of_the_log_stops_nothing() {
    assert_eq!(runs_or_ends("exec 2>/dev/full;", &[]), Some(0));
    let trace = ("logging.level", json!("TRACE"));
    assert_eq!(runs_or_ends("exec 2>/dev/full;", std::slice::from_ref(&trace)), Some(0));
    let full = ("logging.file", json!("/dev/full"));
    let code = runs_or_ends("", &[trace, full]);
    println!("a log file that is always full: {code:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn little_memory_is_enough_or_too_little_and_said_so() {
    // Of addresses, in KiB; threads and the database's cache reserve more than they use.
    assert_eq!(runs_or_ends("ulimit -v 1000000;", &[]), Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn daemon_leaves_no_core_dump() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let daemon = home.spawn_behind("ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\"", &["run"]);
    wait_until("delivery", || server.count() >= 4);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"], "{line}");
    daemon.signal(rustix::process::Signal::ABORT);
    assert_eq!(daemon.end().code, None);
    let left = std::fs::read_dir(home.path("")).unwrap().map(Result::unwrap);
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().contains("core")));
}
