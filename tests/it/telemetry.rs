//! Does logging stay out of the way when its readers are slow, gone, or were never there?

use std::{
    env,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use collector::telemetry::{Format, Level, Options, init};

const LINES: u32 = 30_000;

/// The child of the tests below; alone it does nothing.
#[test]
fn child() {
    let Ok(file) = env::var("COLLECTOR_TEST_LOG") else { return };
    let file = (!file.is_empty()).then(|| file.into());
    let options = Options { level: Level::Info, file, format: Format::Text };
    let guard = init(&options).expect("logging starts");
    for line in 0..LINES {
        tracing::info!(target: "collector::it", line, "logged");
    }
    println!("\nall logged");
    drop(guard);
}

fn spawn(log: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "telemetry::child", "--nocapture"]).env("COLLECTOR_TEST_LOG", log);
    command.env("RUST_LOG", "trace").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_full_pipe_delays_nobody_and_lines_that_are_lost_are_counted() {
    let mut child = spawn("").spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    // Nobody reads the log yet.
    assert!(said.any(|line| line.unwrap() == "all logged"));
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(child.wait().unwrap().success());
    let written = log.lines().filter(|line| line.contains(" logged line=")).count();
    let dropped = log.lines().find_map(|line| line.split_once(" log lines were dropped lines="));
    let dropped: usize = dropped.expect("a report").1.parse().unwrap();
    assert_eq!(written + dropped, LINES as usize);
}

#[test]
fn a_pipe_that_nobody_reads_holds_up_the_exit_for_a_second() {
    let mut child = spawn("").spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap() == "all logged"));
    let start = Instant::now();
    said.for_each(drop);
    assert!(child.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_reader_that_is_gone_kills_nobody() {
    let mut child = spawn("").spawn().unwrap();
    drop(child.stderr.take());
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("all logged"), "{said}");
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn closed_streams_kill_nobody() {
    let exe = env::current_exe().unwrap();
    let status = Command::new("sh")
        .args(["-c", "exec \"$0\" --exact telemetry::child --nocapture >&- 2>&- <&-"])
        .arg(exe)
        .env("COLLECTOR_TEST_LOG", "")
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_file_gets_every_line_and_stays_plain() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("c.log");
    let output = spawn(file.to_str().unwrap()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let log = std::fs::read_to_string(&file).unwrap();
    let first = log.lines().next().unwrap();
    assert!(first.ends_with("Z INFO     it: logged line=0"), "{first}");
    assert!(!log.contains('\u{1b}'));
    assert!(log.ends_with(&format!("logged line={}\n", LINES - 1)) || log.contains("were dropped"));
}
