//! The real agent as a child process in a directory of its own, ended by its own pid, and what the
//! kernel counts for it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::figures::Footprint;

/// A stop may take 5 s; more on a machine that is busy with other things.
const STOP_TIME: Duration = Duration::from_secs(30);
/// Stands in no place but the header of a request.
pub(crate) const KEY: &str = "canary-of-the-soak";

pub(crate) struct Agent {
    binary: PathBuf,
    home: tempfile::TempDir,
    child: Child,
}

impl Agent {
    /// Starts one that delivers to `url`, quick in everything.
    pub(crate) fn start(binary: &Path, url: &str) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        fs::write(home.path().join("agent.yaml"), configuration(url).to_string())?;
        let binary = binary.canonicalize().context("there is no such binary")?;
        let mut command = command(&binary, home.path(), &["run"]);
        command.stdout(Stdio::null()).stderr(File::create(home.path().join("log"))?);
        let child = command.spawn()?;
        Ok(Self { binary, home, child })
    }

    /// Has it read a configuration that is wrong, which it must refuse; nothing else changes.
    pub(crate) fn mistype(&self) -> anyhow::Result<()> {
        let file = self.home.path().join("agent.yaml");
        let right = fs::read(&file)?;
        fs::write(&file, "nonsense: 1\n")?;
        let refused = self.refused()?;
        self.signal(Signal::HUP)?;
        let deadline = Instant::now() + STOP_TIME;
        while self.refused()? == refused {
            ensure!(Instant::now() < deadline, "a wrong configuration isn't refused");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(fs::write(&file, right)?)
    }

    fn refused(&self) -> anyhow::Result<usize> {
        Ok(self.log()?.matches("the new configuration is refused").count())
    }

    /// The tasks that were alive when it read its configuration last.
    pub(crate) fn tasks(&self) -> anyhow::Result<u64> {
        let log = self.log()?;
        let line = log.lines().rfind(|line| line.contains(" tasks=")).context("no tasks told")?;
        let number = line.rsplit(" tasks=").next().and_then(|rest| rest.split(' ').next());
        Ok(number.context("no number")?.parse()?)
    }

    pub(crate) fn log(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.home.path().join("log"))?)
    }

    /// `queue stats --json`.
    pub(crate) fn stats(&self) -> anyhow::Result<Value> {
        let output =
            command(&self.binary, self.home.path(), &["queue", "stats", "--json"]).output()?;
        ensure!(output.status.success(), "queue stats: {output:?}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// `queue flush`.
    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        let output = command(&self.binary, self.home.path(), &["queue", "flush"]).output()?;
        ensure!(output.status.success(), "queue flush: {output:?}");
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// SIGTERM, then the end, which must be a good one; how long that took.
    pub(crate) fn stop(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        self.signal(Signal::TERM)?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the agent ended with {status}");
                return Ok(start.elapsed());
            }
            ensure!(start.elapsed() < STOP_TIME, "the agent doesn't stop");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub(crate) fn footprint(&mut self) -> anyhow::Result<Footprint> {
        ensure!(self.child.try_wait()?.is_none(), "the agent has ended");
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(proc.join("status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).context("no figure")
        };
        Ok(Footprint {
            rss_kb: field("VmRSS:")?,
            threads: field("Threads:")?,
            descriptors: u64::try_from(fs::read_dir(proc.join("fd"))?.count())?,
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended and been reaped already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn command(binary: &Path, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(arguments).args(["-c", "agent.yaml"]).current_dir(home);
    command.env_clear().stdin(Stdio::null());
    command
}

/// Much in a sample, so that the queue's generations come and go.
fn configuration(url: &str) -> Value {
    let tags: BTreeMap<String, String> =
        (0..20).map(|tag| (format!("t{tag}"), "x".repeat(100))).collect();
    json!({
        "collector": {"server_url": url, "interval": "100ms", "api_key": KEY, "tags": tags},
        "metrics": {"disk": {"interval": "1s"}},
        "buffer": {"min_free": 0},
        "forwarder": {
            "timeout": "1s", "connect_timeout": "500ms",
            "retry": {"initial_interval": "50ms", "max_interval": "500ms"},
        },
        "logging": {"level": "DEBUG"},
    })
}
