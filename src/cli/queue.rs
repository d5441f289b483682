//! `collector queue …`: works while the daemon runs and while it doesn't. Whoever answers on the
//! control socket is asked; where nobody does, the queue is opened here, through the same code.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{ConfigArgs, TryAgain, is_in_use, keep_private, runtime, warn_of};
use crate::{
    clock::SystemClock,
    config::{self, Config},
    control::client::{Client, ClientError},
    host,
    queue::{self, Queue},
    telemetry::{self, Format, Level},
};

mod flush;
mod report;
mod stats;

/// A daemon that is just starting holds the lock before it listens: it is waited for so long.
const STARTING: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(50);

/// What can be done with the queue.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what is queued, what became of everything that ever was, what the forwarder is doing
    Stats(StatsArgs),
    /// Deliver everything that is queued now, without waiting out a backoff; discards nothing
    Flush(FlushArgs),
}

/// Arguments of `queue stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Repeat every two seconds (with --json: one object a line)
    #[arg(long)]
    watch: bool,
    /// For monitoring: exit with 1 and say why if delivery is held or stuck, or data was dropped in the last hour
    #[arg(long, conflicts_with = "watch")]
    check: bool,
}

/// Arguments of `queue flush`.
#[derive(Debug, Args)]
pub struct FlushArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Give up after this long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = config::parse_duration(text).filter(|timeout| !timeout.is_zero());
    parsed.ok_or_else(|| "expected a duration such as 60s, 5m or 500ms".to_owned())
}

/// Does what `command` says.
pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    let config = match command {
        Command::Stats(args) => &args.config,
        Command::Flush(args) => &args.config,
    };
    let config = config.load()?;
    warn_of(&config)?;
    keep_private();
    // Before any other thread starts: they inherit the identity.
    become_owner(&config.queue.directory)?;
    let options = telemetry::Options { level: Level::Warning, file: None, format: Format::Text };
    let _log = telemetry::init(&options)?;
    runtime()?.block_on(async {
        match command {
            Command::Stats(args) => stats::run(args, &config).await,
            Command::Flush(args) => flush::run(args, &config).await,
        }
    })
}

/// The queue, through the daemon or by hand.
enum Access {
    Daemon(Client),
    Here(Box<Queue>),
}

/// Reaches the queue: the socket answers, or the queue is free, or neither within two seconds.
async fn reach(config: &Config) -> anyhow::Result<Access> {
    let deadline = Instant::now() + STARTING;
    loop {
        match Client::connect(&config.socket).await {
            Ok(client) => return Ok(Access::Daemon(client)),
            Err(ClientError::Absent(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(error)
                    .context(format!("can't use the control socket {}", config.socket.display()));
            }
            Err(_) => {}
        }
        match open_here(config) {
            Ok(queue) => return Ok(Access::Here(Box::new(queue))),
            Err(error) if is_in_use(&error) && Instant::now() < deadline => {
                tokio::time::sleep(POLL).await;
            }
            Err(error) if is_in_use(&error) => {
                return Err(TryAgain(format!(
                    "{error:#}, and it doesn't answer on {}",
                    config.socket.display()
                ))
                .into());
            }
            Err(error) => return Err(error),
        }
    }
}

fn open_here(config: &Config) -> anyhow::Result<Queue> {
    let directory = &config.queue.directory;
    if !queue::exists(directory) {
        anyhow::bail!("there is no queue in {} yet", directory.display());
    }
    let machine_id = host::machine_id();
    let clock = Arc::new(SystemClock);
    Ok(queue::open(config.queue.clone(), machine_id.as_deref(), clock, Duration::ZERO)?)
}

/// Run as root, takes the identity of the directory's owner, so that nothing is left that the
/// service can't open.
#[cfg(unix)]
fn become_owner(directory: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt;

    use nix::unistd::{Gid, Uid, geteuid, setgid, setuid};

    let Ok(metadata) = std::fs::metadata(directory) else { return Ok(()) };
    if !geteuid().is_root() || metadata.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    // macOS keeps a process's groups elsewhere, and they own nothing that is made here.
    #[cfg(not(target_os = "macos"))]
    nix::unistd::setgroups(&[group]).context("can't leave root's groups")?;
    let taken = setgid(group).and_then(|()| setuid(user));
    taken.with_context(|| format!("can't become the owner of {}", directory.display()))
}

/// Windows: files belong to the administrators' group then, which the service's account reads.
#[cfg(not(unix))]
fn become_owner(_directory: &std::path::Path) -> anyhow::Result<()> {
    Ok(())
}
