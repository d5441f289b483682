//! The real binary as a child process in a directory of its own, ended by its own pid whatever
//! becomes of the test.

use std::{
    cell::Cell,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// A deadline for what takes a moment on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Waits until `ready` gives something: the one place where a test waits for time to pass.
#[track_caller]
pub(crate) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut ready: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} didn't come true within {patience:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Waits until `ready` holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    wait_for(what, SOON, || ready().then_some(()));
}

/// Lets time pass while others work.
pub(crate) fn let_pass(time: Duration) {
    let start = Instant::now();
    wait_for("time", SOON, || (start.elapsed() >= time).then_some(()));
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The one JSON object that it printed.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A working directory with a configuration.
pub(crate) struct Home {
    directory: tempfile::TempDir,
    outputs: Cell<u32>,
}

impl Home {
    /// With a configuration for tests, quick in everything, changed by `settings` (key paths).
    pub(crate) fn new(url: &str, settings: &[(&str, Value)]) -> Self {
        let home = Self { directory: tempfile::tempdir().unwrap(), outputs: Cell::new(0) };
        fs::create_dir(home.path("config")).unwrap();
        home.configure(url, settings);
        home
    }

    /// Writes the configuration anew. JSON is YAML.
    pub(crate) fn configure(&self, url: &str, settings: &[(&str, Value)]) {
        let mut config = json!({});
        let quick = [
            ("collector.server_url", json!(url)),
            ("collector.interval", json!("100ms")),
            ("buffer.min_free", json!(0)),
            ("forwarder.connect_timeout", json!("2s")),
            ("forwarder.retry.initial_interval", json!("20ms")),
            ("forwarder.retry.max_interval", json!("200ms")),
        ];
        for (path, value) in quick.iter().chain(settings) {
            let entry = path.split('.').fold(&mut config, |at, key| &mut at[key]);
            *entry = value.clone();
        }
        let text = serde_json::to_string_pretty(&config).unwrap();
        fs::write(self.path("config/collector-config.yaml"), text).unwrap();
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
        command.args(arguments).current_dir(self.directory.path()).env_clear().stdin(Stdio::null());
        command
    }

    fn output(&self, what: &str) -> PathBuf {
        self.outputs.set(self.outputs.get() + 1);
        self.path(&format!("{what}-{}", self.outputs.get()))
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.spawn(arguments).end()
    }

    /// Starts a command.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Process {
        let (out, err) = (self.output("out"), self.output("err"));
        let mut command = self.command(arguments);
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Process { child: command.spawn().unwrap(), out, err }
    }

    /// Starts a command behind a line of shell, `ulimit -n 16; exec "$0" "$@"` say; that line also
    /// says where its outputs go.
    pub(crate) fn spawn_behind(&self, shell: &str, arguments: &[&str]) -> Process {
        let (out, err) = (self.output("out"), self.output("err"));
        let mut command = Command::new("sh");
        command.args(["-c", shell, env!("CARGO_BIN_EXE_collector")]).args(arguments);
        command.current_dir(self.directory.path()).env_clear().stdin(Stdio::null());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Process { child: command.spawn().unwrap(), out, err }
    }

    /// Starts the daemon with variables in its environment.
    #[cfg(target_os = "linux")]
    pub(crate) fn daemon_with(&self, variables: &[(&str, &str)]) -> Process {
        let (out, err) = (self.output("out"), self.output("err"));
        let mut command = self.command(&["run"]);
        command.envs(variables.iter().copied());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Process { child: command.spawn().unwrap(), out, err }
    }

    /// Starts a command whose stdout nobody reads any more.
    pub(crate) fn spawn_without_reader(&self, arguments: &[&str]) -> Process {
        let (out, err) = (self.output("out"), self.output("err"));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = self.command(arguments);
        command.stdout(writer).stderr(File::create(&err).unwrap());
        Process { child: command.spawn().unwrap(), out, err }
    }

    /// Starts the daemon and waits until it samples.
    #[track_caller]
    pub(crate) fn daemon(&self) -> Process {
        let daemon = self.spawn(&["run"]);
        daemon.wait_for_log("collector starts");
        daemon
    }

    /// `queue stats --json`.
    #[track_caller]
    pub(crate) fn stats(&self) -> Value {
        let ran = self.run(&["queue", "stats", "--json"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let stats = ran.json();
        assert_balanced(&stats);
        stats
    }
}

/// `enqueued = acknowledged + dead_lettered + Σ dropped + queue.samples`.
#[track_caller]
pub(crate) fn assert_balanced(stats: &Value) {
    let ledger = &stats["ledger"];
    let number = |value: &Value| value.as_u64().unwrap();
    let dropped: u64 = ledger["dropped"].as_object().unwrap().values().map(number).sum();
    let sum = number(&ledger["acknowledged"])
        + number(&ledger["dead_lettered"])
        + dropped
        + number(&stats["queue"]["samples"]);
    assert_eq!(number(&ledger["enqueued"]), sum, "the ledger doesn't balance: {stats:#}");
}

/// A child process; killed and reaped when dropped.
pub(crate) struct Process {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        read(&self.err)
    }

    pub(crate) fn output(&self) -> String {
        read(&self.out)
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(text, || self.log().contains(text));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// `kill -9`, at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, then the end.
    #[track_caller]
    pub(crate) fn stop(self) -> Ran {
        self.signal(Signal::TERM);
        self.end()
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn end(self) -> Ran {
        self.end_within(SOON).1
    }

    /// Waits for the end; how long that took.
    #[track_caller]
    pub(crate) fn end_within(mut self, patience: Duration) -> (Duration, Ran) {
        let start = Instant::now();
        let status: ExitStatus =
            wait_for("the process's end", patience, || self.child.try_wait().unwrap());
        let took = start.elapsed();
        (took, Ran { code: status.code(), out: read(&self.out), err: read(&self.err) })
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended and been reaped already.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            println!("--- {}:\n{}", self.err.display(), read(&self.err));
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
