//! The command line: its types, and the way from an error to an exit code. One file a command
//! group below. Results go to stdout, logs and errors to stderr.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    agent::{self, AgentError},
    clock::{Clock as _, SystemClock},
    config::{self, Config},
    control::client::Client,
    host,
    queue::{LockError, OpenError},
    sample::Agent,
    telemetry::{self, Format, Level},
    transport::http::{self, HttpTransport},
};

mod allocator;
pub mod check;
mod core_dump;
pub mod queue;
pub mod receive;
pub mod run;
pub mod sample;
#[cfg(windows)]
pub mod service;
pub(crate) mod words;

/// A store-and-forward agent for host metrics.
///
/// It samples CPU, memory, disk and network, keeps every sample in a durable queue, and removes it
/// only after the server has acknowledged it. Without a command it runs the agent.
#[derive(Debug, Parser)]
#[command(name = "collector", version)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 75 try again later, 78 the configuration is wrong."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Args,
}

#[cfg(unix)]
const ASK_FILE_SYSTEMS: &str = "ask-file-systems";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent: sample, queue, deliver (also what happens without a command)
    Run(run::Args),
    /// Look into the queue, or deliver it now
    Queue {
        #[command(subcommand)]
        command: queue::Command,
    },
    /// Take one sample of each enabled group and print it; nothing is queued or sent
    Sample(SampleArgs),
    /// Judge the configuration and print what is in force, secrets masked
    Check(CheckArgs),
    /// Run the built-in receiver, for trying out and for tests
    Receive(receive::Args),
    /// Ask file systems for their usage; what the agent starts for those that may hang
    #[cfg(unix)]
    #[command(hide = true, name = ASK_FILE_SYSTEMS)]
    AskFileSystems,
    /// Run the agent as a service of Windows
    #[cfg(windows)]
    Service {
        #[command(subcommand)]
        command: service::Command,
    },
}

/// Where the configuration is. It may be said before the command as well as behind it.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// The configuration [default: config/collector-config.yaml, else /etc/collector/collector-config.yaml]
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Variables for the configuration [default: .env, if there is one]
    #[arg(long, value_name = "FILE", global = true)]
    env_file: Option<PathBuf>,
}

impl ConfigArgs {
    /// Reads and judges the configuration; what is unwise about it is said on stderr.
    pub(crate) fn load(&self) -> Result<Config, config::Error> {
        config::load(self.config.as_deref(), self.env_file.as_deref())
    }
}

#[derive(Debug, Args)]
struct SampleArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also try the server, without sending samples
    #[arg(long)]
    connect: bool,
}

/// Entries are still queued, or the queue is in use: worth trying again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TryAgain(pub String);

/// The words of the command line don't fit.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Parses the arguments, does what they say, says what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    hide_guarded_panics();
    allocator::tune();
    if let Err(error) = core_dump::disable() {
        writeln!(io::stderr(), "collector: warning: core dumps can't be switched off: {error}")
            .ok();
    }
    announce_helper();
    let done = dispatch(Cli::parse());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // A stderr that is closed can't be told.
            writeln!(io::stderr(), "collector: {error:#}").ok();
            ExitCode::from(code(&error))
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<()> {
    let Cli { command, run } = cli;
    if command.is_some() && run.with_receiver {
        return Err(Usage("--with-receiver belongs behind `run`".into()).into());
    }
    match command.unwrap_or(Command::Run(run)) {
        Command::Run(args) => run::run(&args),
        Command::Queue { command } => queue::run(&command),
        Command::Sample(args) => sample_now(&args),
        Command::Check(args) => check_now(&args),
        Command::Receive(args) => receive_now(args),
        #[cfg(unix)]
        Command::AskFileSystems => {
            crate::sampler::ask_file_systems(io::stdin().lock(), io::stdout().lock())?;
            Ok(())
        }
        #[cfg(windows)]
        Command::Service { command } => service::run(command),
    }
}

/// What may hang is asked by this very program, on Linux even when its file has been replaced.
fn announce_helper() {
    #[cfg(target_os = "linux")]
    crate::sampler::ask_by("/proc/self/exe".into(), ASK_FILE_SYSTEMS);
    #[cfg(target_os = "macos")]
    if let Ok(program) = std::env::current_exe() {
        crate::sampler::ask_by(program, ASK_FILE_SYSTEMS);
    }
}

/// A damaged database may panic within its guard: the guard says what it means.
fn hide_guarded_panics() {
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        crate::queue::note_panic();
        if !crate::queue::is_guarded() {
            shown(panic);
        }
    }));
}

/// Who reads our output has read enough.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<config::Error>() || is_clash(error) {
        78
    } else if error.is::<Usage>() {
        2
    } else if error.is::<TryAgain>() || is_in_use(error) {
        75
    } else {
        1
    }
}

/// What this process creates is for its owner alone, whatever its parent thought.
fn keep_private() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Another process owns the queue.
fn is_in_use(error: &anyhow::Error) -> bool {
    let held = |error: &LockError| matches!(error, LockError::Held { .. });
    let in_use = |error: &OpenError| matches!(error, OpenError::Lock(error) if held(error));
    let of_agent = |error: &AgentError| matches!(error, AgentError::Queue(error) if in_use(error));
    error.downcast_ref().is_some_and(held)
        || error.downcast_ref().is_some_and(in_use)
        || error.downcast_ref().is_some_and(of_agent)
}

/// The configuration gives the control socket a place that isn't free.
fn is_clash(error: &anyhow::Error) -> bool {
    let taken = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    let of_agent =
        |error: &AgentError| matches!(error, AgentError::Control { source, .. } if taken(source));
    error.downcast_ref().is_some_and(of_agent)
}

/// A runtime on this thread alone: the daemon's work is small, and threads cost memory.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(16).build()
}

fn warn_of(config: &Config) -> io::Result<()> {
    config
        .warnings
        .iter()
        .try_for_each(|warning| writeln!(io::stderr(), "collector: warning: {warning}"))
}

fn sample_now(args: &SampleArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    warn_of(&config)?;
    let format = if args.json { sample::Format::Json } else { sample::Format::Tables };
    sample::run(&sample_options(config), format, &mut io::stdout().lock())
}

fn sample_options(config: Config) -> sample::Options {
    let origin = Arc::new(host::origin(&config.hostname, config.tags));
    let own = running(&config.socket);
    sample::Options { groups: config.collect, samplers: config.sampler, origin, own }
}

/// The process of the agent that runs, if one does, and what it tells of itself.
fn running(socket: &Path) -> Option<(u32, Agent)> {
    let asked = async { Client::connect(socket).await?.stats().await };
    let report = runtime().ok()?.block_on(asked).ok()?;
    let pid = report.pid?;
    let (stats, doing) = report.into();
    Some((pid, agent::figures(&stats, &doing, &SystemClock.moment())))
}

fn check_now(args: &CheckArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let mut connect = |options: &http::Options| -> anyhow::Result<String> {
        let mut transport = HttpTransport::new(options.clone())?;
        let probed = runtime()?.block_on(transport.probe());
        probed.map_err(|reason| anyhow::anyhow!("the server can't be used: {reason}"))
    };
    let connect = args.connect.then_some(&mut connect as check::Connect<'_>);
    check::check(&config, connect, &mut io::stdout().lock())
}

fn receive_now(args: receive::Args) -> anyhow::Result<()> {
    let options = telemetry::Options { level: Level::Info, file: None, format: Format::Text };
    let _log = telemetry::init(&options)?;
    runtime()?.block_on(receive::run(args))
}
