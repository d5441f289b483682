//! The composition root: builds the parts, spawns the long-lived tasks, waits, and shuts down in
//! order. Nothing below it sees the whole configuration.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout_at},
};
use tracing::instrument::WithSubscriber as _;

use crate::{
    clock::{Steps, SystemClock},
    collect::{Collector, Summary},
    config::Config,
    control::server::{Server, View},
    encode::{Encoder, json::Json},
    forward::{
        Forwarder, Handle, Nudge,
        flush::{self, Outcome, Progress},
    },
    host,
    queue::{Consumer, OpenError, Owner, Producer, Queue, Stats},
    receiver, sampler, telemetry,
    transport::http::{BuildError, HttpTransport},
};

mod opening;
mod own;
mod receive;
mod reload;
mod signals;
mod supervision;
mod supervisor;
mod tasks;

use own::Own;
pub use own::figures;
pub use receive::loopback;
use receive::receive;
use reload::Source;
pub use signals::Asked;
use signals::Signals;
use supervision::{Sight, judge::Bounds};
pub use supervisor::{News, Supervisor};
use tasks::{Collecting, Task, Tasks};

/// How long the queue may take to close: after a signal the process is gone within 5 s.
const CLOSE_TIME: Duration = Duration::from_millis(700);

/// Why the agent didn't start, or didn't end well.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The queue can't be opened.
    #[error(transparent)]
    Queue(#[from] OpenError),
    /// The transport can't be built.
    #[error(transparent)]
    Transport(#[from] BuildError),
    /// The control socket can't be bound.
    #[error("can't listen on the control socket {path}")]
    Control {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The built-in receiver can't listen.
    #[error("can't start the built-in receiver")]
    Receiver(#[source] receiver::BindError),
    /// The address of the built-in receiver isn't known.
    #[error("{0} isn't a loopback address")]
    NotLoopback(String),
    /// The system doesn't hand out signals.
    #[error("can't wait for signals")]
    Signals(#[source] io::Error),
    /// There is no thread to be had.
    #[error("can't start a thread")]
    Thread(#[source] io::Error),
    /// A task ended that shouldn't: a bug. What was queued is durable.
    #[error("the task {0} ended unexpectedly; what was queued is safe")]
    Task(&'static str),
}

/// How the agent is started.
pub struct Start {
    /// The address of the built-in receiver, if it is to run.
    pub receiver: Option<String>,
    /// The file of variables that was given; read again with the configuration.
    pub env_file: Option<PathBuf>,
    /// The log's level, which follows the configuration.
    pub log: telemetry::Threshold,
    /// Who started it as a service.
    pub supervisor: Option<Supervisor>,
    /// What is asked of it where that isn't a signal.
    pub asked: Option<watch::Receiver<Option<Asked>>>,
}

/// Runs the agent until it is told to stop. When this returns, everything that was sampled is
/// durable. SIGHUP has it read the configuration anew, SIGUSR1 deliver without waiting.
pub async fn run(config: Config, mut start: Start) -> Result<(), AgentError> {
    let mut signals = Signals::new(start.asked.take()).map_err(AgentError::Signals)?;
    // First, so that a configuration that can't work touches no queue.
    let transport = HttpTransport::new(config.http.clone())?;
    let Some(queue) = opening::open(&config, &mut signals).await? else { return Ok(()) };
    let (mut agent, owner) = Agent::begin(config, start, transport, queue).await?;
    agent.tell(News::Ready);
    let failed = agent.serve(&mut signals).await;
    agent.tell(News::Stopping);
    let failed = tokio::select! {
        // Whoever asks twice doesn't want to wait: what is durable stays so.
        () = signals.stop() => failed,
        late = agent.tasks.stopped() => failed.or(late),
    };
    let stats = agent.sight.stats.clone();
    drop(agent);
    close(owner, &stats).await;
    failed.map_or(Ok(()), |task| Err(AgentError::Task(task)))
}

/// A running agent.
struct Agent {
    /// In force now.
    config: Config,
    /// In force at the start.
    started: Config,
    source: Source,
    log: telemetry::Threshold,
    producer: Producer,
    own: Own,
    tasks: Tasks,
    sight: Sight,
    nudge: Nudge,
    supervisor: Option<Supervisor>,
    supervision: Option<Task<()>>,
}

impl Agent {
    /// Starts the tasks around the open queue.
    async fn begin(
        config: Config,
        start: Start,
        transport: HttpTransport,
        queue: Queue,
    ) -> Result<(Self, Owner), AgentError> {
        let Start { receiver, env_file, log, supervisor, .. } = start;
        let Queue { producer, consumer, inspector, stats, owner } = queue;
        let receive = match receiver {
            Some(address) => Some(receive(&config, &address).await?),
            None => None,
        };
        let (forwarder, Handle { status, nudge }) = forwarder(&config, consumer, transport);
        let sight = Sight { stats, forwarder: status, inspector, bounds: bounds(&config) };
        let control = Server::bind(&config.socket, view(&sight, nudge.clone()))
            .map_err(|source| AgentError::Control { path: config.socket.clone(), source })?;
        announce(&config, &sight.stats.borrow());
        let own = Own {
            stats: sight.stats.clone(),
            forwarder: sight.forwarder.clone(),
            steps: Steps::default(),
        };
        let tasks = Tasks {
            forward: forward(forwarder),
            collect: collect(&config, producer.clone(), &own),
            receive,
            // It serves until the very end: it goes with the agent.
            control: Task::spawn("control", |_| control.serve()),
        };
        let source = Source { file: config.file.clone(), env_file };
        let started = config.clone();
        let supervision = None;
        let mut agent = Self {
            config,
            started,
            source,
            log,
            producer,
            own,
            tasks,
            sight,
            nudge,
            supervisor,
            supervision,
        };
        agent.supervise();
        Ok((agent, owner))
    }

    /// Until it is asked to stop, or a task ends that shouldn't: its name.
    async fn serve(&mut self, signals: &mut Signals) -> Option<&'static str> {
        let mut stats = self.sight.stats.clone();
        loop {
            let asked = tokio::select! {
                asked = signals.next() => asked,
                failed = self.tasks.failed(&mut stats) => return Some(failed),
            };
            match asked {
                Asked::Stop => return None,
                Asked::Deliver => {
                    self.nudge.nudge();
                    continue;
                }
                Asked::Reload => {}
            }
            tracing::debug!(
                tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks(),
                "alive"
            );
            self.tell(News::Reloading);
            tokio::select! {
                () = signals.stop() => return None,
                reloaded = self.reload() => if let Err(failed) = reloaded {
                    return Some(failed);
                }
            }
            self.tell(News::Ready);
        }
    }

    fn tell(&self, news: News) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell(news);
        }
    }

    /// Has the service manager told how the agent does, by the configuration in force.
    fn supervise(&mut self) {
        let Some(supervisor) = self.supervisor.clone() else { return };
        self.sight.bounds = bounds(&self.config);
        let sight = self.sight.clone();
        let planned = self.tasks.collect.planned.clone();
        self.supervision = Some(Task::spawn("supervision", |_| {
            supervision::supervise(supervisor, sight, planned)
        }));
    }
}

fn view(sight: &Sight, nudge: Nudge) -> View {
    View {
        stats: sight.stats.clone(),
        forwarder: sight.forwarder.clone(),
        nudge,
        inspector: sight.inspector.clone(),
    }
}

fn bounds(config: &Config) -> Bounds {
    Bounds { exchange: config.http.timeout, linger: config.forward.linger }
}

fn forward(forwarder: Forwarder<HttpTransport>) -> Task<Forwarder<HttpTransport>> {
    Task::spawn("forward", |stopped| forwarder.run(stopped))
}

/// The collecting loop, whose own plan is watched.
fn collect(config: &Config, producer: Producer, own: &Own) -> Collecting {
    let groups = config.collect.groups.iter().map(|(group, _)| *group);
    let mut samplers = sampler::build(&config.sampler, groups);
    samplers.push(sampler::own(std::process::id(), own.tell()));
    let origin = Arc::new(host::origin(&config.hostname, config.tags.clone()));
    let collector =
        Collector::new(&config.collect, samplers, origin, (SystemClock, own.steps.clone()));
    let planned = collector.planned();
    // Whatever the disk does, it takes them at once, and tells of what it can't keep.
    let task = Task::spawn("collect", |stopped| async move {
        let (stuck, mut is_stuck) = watch::channel(false);
        let sink = |samples| {
            producer.offer(samples);
            if producer.is_stuck() {
                stuck.send_replace(true);
            }
        };
        tokio::select! {
            summary = collector.run(sink, stopped) => summary,
            _ = is_stuck.wait_for(|stuck| *stuck) => {
                tracing::error!(critical = true, "the database doesn't come back from a write");
                Summary::default()
            }
        }
    });
    Collecting { task, planned }
}

/// Delivers what is queued, without a daemon: the same forwarder, no samplers.
pub async fn flush(
    queue: Queue,
    config: &Config,
    timeout: Duration,
    progress: impl FnMut(Progress),
) -> Result<Outcome, AgentError> {
    let transport = HttpTransport::new(config.http.clone())?;
    let Queue { consumer, stats, owner, .. } = queue;
    let (forwarder, Handle { status, nudge }) = forwarder(config, consumer, transport);
    // How it goes is the outcome, and on a terminal a bar: nobody needs the log of it as well.
    let mut task = Task::spawn("forward", |stopped| {
        forwarder.run(stopped).with_subscriber(tracing::subscriber::NoSubscriber::new())
    });
    let outcome = tokio::select! {
        outcome = flush::drain(stats, status, nudge, timeout, progress) => outcome,
        failed = task.failed() => return Err(AgentError::Task(failed)),
    };
    task.stop();
    task.leave(tasks::stop_deadline()).await;
    drop(task);
    owner.close();
    Ok(outcome)
}

fn encoder(config: &Config) -> Box<dyn Encoder> {
    Box::new(Json::new(config.forward.compression))
}

fn forwarder(
    config: &Config,
    consumer: Consumer,
    transport: HttpTransport,
) -> (Forwarder<HttpTransport>, Handle) {
    Forwarder::new(config.forward.clone(), consumer, encoder(config), transport)
}

fn announce(config: &Config, stats: &Stats) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        config = %config.file.display(),
        server = %config.http.url,
        queue = %config.queue.directory.display(),
        queued = stats.queue.samples,
        agent_id = %stats.agent_id,
        "collector starts"
    );
}

/// Makes everything durable and says what is queued, as the seed promises.
async fn close(owner: Owner, stats: &watch::Receiver<Stats>) {
    let (open, closed) = oneshot::channel::<()>();
    let close = move || {
        owner.close();
        drop(open);
    };
    // Where no thread is to be had, what was to run on it is dropped, which closes here and now.
    if let Err(error) = std::thread::Builder::new().name("close".into()).spawn(close) {
        tracing::warn!(%error, "no thread to close the queue on");
    }
    if timeout_at(Instant::now() + CLOSE_TIME, closed).await.is_err() {
        // Every enqueue that returned is durable already.
        tracing::warn!("the disk is slow: the queue is left to close by itself");
    }
    let Stats { queue, ledger, .. } = &*stats.borrow();
    tracing::info!(
        queued = queue.samples,
        queued_bytes = queue.bytes,
        disk_bytes = queue.disk_bytes,
        enqueued = ledger.enqueued,
        acknowledged = ledger.acknowledged,
        dead_lettered = ledger.dead_lettered,
        dropped = ledger.dropped.total(),
        "collector stops; queue statistics"
    );
}
