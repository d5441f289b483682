//! `collector run`: the daemon.

use super::{ConfigArgs, Usage, keep_private, runtime};
use crate::{
    agent::{self, Start},
    config::Config,
    telemetry,
};

/// Arguments of `run`, and of a bare `collector`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also run the built-in receiver on server_url's loopback address, to try things out
    #[arg(long)]
    pub(super) with_receiver: bool,
}

/// Runs the agent until a signal stops it.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    keep_private();
    check_descriptors()?;
    let config = args.config.load()?;
    let receiver = args.with_receiver.then(|| agent::loopback(&config)).transpose();
    let receiver = receiver.map_err(|address| {
        Usage(format!("--with-receiver listens on loopback only, and server_url is {address}"))
    })?;
    let log = telemetry::init(&config.telemetry)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let start = Start {
        receiver,
        env_file: args.config.env_file.clone(),
        log: log.threshold(),
        supervisor: supervisor(),
        asked: None,
    };
    run_until_stopped(config, start)
}

/// Runs the agent on a runtime of its own.
pub(super) fn run_until_stopped(config: Config, start: Start) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let done = runtime.block_on(agent::run(config, start));
    // A sampler that hangs in the kernel must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    Ok(done?)
}

/// With fewer descriptors the start fails in places that have no better word for it.
#[cfg(unix)]
fn check_descriptors() -> anyhow::Result<()> {
    const LEAST: u64 = 16;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if let Some(limit) = limit.filter(|limit| *limit < LEAST) {
        anyhow::bail!("only {limit} files may be open at once (ulimit -n); at least 64 are needed");
    }
    Ok(())
}

/// Windows has no such limit.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "other systems have a limit")]
fn check_descriptors() -> anyhow::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn supervisor() -> Option<agent::Supervisor> {
    agent::Supervisor::from_environment()
}

/// A service of Windows isn't run by this command.
#[cfg(windows)]
fn supervisor() -> Option<agent::Supervisor> {
    None
}
