//! `collector queue …`: works while the daemon runs and while it doesn't. Whoever answers on the
//! control socket is asked; where nobody does, the queue is opened here, through the same code.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{ConfigArgs, TryAgain, is_in_use, keep_private, runtime};
use crate::{
    clock::SystemClock,
    config::{self, Config},
    control::client::{Client, ClientError},
    host,
    queue::{self, Queue},
    telemetry::{self, Format, Level},
};

mod dead_letters;
mod export;
mod flush;
mod pages;
mod peek;
mod purge;
mod report;
mod stats;
mod verify;

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
    /// Show the oldest samples that are queued; removes nothing
    Peek(peek::Args),
    /// Write everything that is queued as NDJSON, one sample a line; removes nothing
    Export(export::Args),
    /// Examine the queue without changing it; exit code 1 if it is damaged
    Verify(verify::Args),
    /// The samples that the server refused alone, kept with its answer
    DeadLetters {
        /// What to do with them.
        #[command(subcommand)]
        command: dead_letters::Command,
    },
    /// Throw samples away; says what it would do, and does it with --yes
    Purge(purge::Args),
}

impl Command {
    fn config(&self) -> &ConfigArgs {
        match self {
            Self::Stats(args) => &args.config,
            Self::Flush(args) => &args.config,
            Self::Peek(args) => &args.config,
            Self::Export(args) => &args.config,
            Self::Verify(args) => &args.config,
            Self::Purge(args) => &args.config,
            Self::DeadLetters { command } => command.config(),
        }
    }
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
    let config = command.config().load()?;
    keep_private();
    // As whoever asked: the queue's owner may have no right to write there.
    let output = if let Command::Export(args) = command { args.open()? } else { None };
    // Before any other thread starts: they inherit the identity.
    become_owner(&config.queue.directory)?;
    let options = telemetry::Options { level: Level::Warning, file: None, format: Format::Text };
    let _log = telemetry::init(&options)?;
    let done = runtime()?.block_on(async {
        match command {
            Command::Stats(args) => stats::run(args, &config).await,
            Command::Flush(args) => flush::run(args, &config).await,
            Command::Peek(args) => peek::run(args, &config).await,
            Command::Export(args) => export::run(args, output, &config).await,
            Command::Verify(args) => verify::run(args, &config).await,
            Command::Purge(args) => purge::run(args, &config).await,
            Command::DeadLetters { command } => dead_letters::run(command, &config).await,
        }
    });
    done.map_err(|error| worth_another_try(error, &config))
}

/// A daemon that doesn't answer, or ends meanwhile: later it does, or the queue is free.
fn worth_another_try(error: anyhow::Error, config: &Config) -> anyhow::Error {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Silent | ClientError::Ended) => {
            TryAgain(format!("{error:#} ({})", config.socket.display())).into()
        }
        _ => error,
    }
}

/// The queue, through the daemon or by hand.
enum Access<Here = Box<Queue>> {
    Daemon(Client),
    Here(Here),
}

/// Reaches the queue: the socket answers, or the queue is free, or neither within two seconds.
async fn reach(config: &Config) -> anyhow::Result<Access> {
    reach_or(config, || open_here(config)).await
}

/// As [`reach`]; does `here` where no daemon answers.
async fn reach_or<Here>(
    config: &Config,
    mut here: impl FnMut() -> anyhow::Result<Here>,
) -> anyhow::Result<Access<Here>> {
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
        match here() {
            Ok(done) => return Ok(Access::Here(done)),
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

fn expect_queue(config: &Config) -> anyhow::Result<()> {
    let directory = &config.queue.directory;
    if !queue::exists(directory) {
        anyhow::bail!("there is no queue in {} yet", directory.display());
    }
    Ok(())
}

fn open_here(config: &Config) -> anyhow::Result<Box<Queue>> {
    expect_queue(config)?;
    let machine_id = host::machine_id();
    let clock = Arc::new(SystemClock);
    let queue = queue::open(config.queue.clone(), machine_id.as_deref(), clock, Duration::ZERO)?;
    Ok(Box::new(queue))
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
