//! The composition root: builds the parts, spawns the long-lived tasks, waits, and shuts down in
//! order. Nothing below it sees the whole configuration.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::lookup_host,
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, timeout_at},
};

use crate::{
    clock::SystemClock,
    collect::Collector,
    config::Config,
    control::server::{Server, View},
    encode::{Encoder, json::Json},
    forward::{
        Forwarder, Handle,
        flush::{self, Outcome, Progress},
    },
    host,
    queue::{self, Consumer, OpenError, Owner, Producer, Queue, Stats},
    receiver::{self, Receiver},
    sampler,
    transport::http::{ApiKey, BuildError, HttpTransport},
};

mod signals;

use signals::Signals;

/// A `queue` command may hold the queue when the daemon starts: it is waited for so long.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// After a signal the process is gone within 5 s; this leaves some for the queue to close.
const STOP_TIME: Duration = Duration::from_secs(4);
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
        path: std::path::PathBuf,
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
    /// A task ended that shouldn't: a bug. What was queued is durable.
    #[error("the task {0} ended unexpectedly; what was queued is safe")]
    Task(&'static str),
}

/// The host and port of `server_url`, for the built-in receiver: `localhost` or a loopback address
/// over plain HTTP. The error is the address that isn't.
pub fn loopback(config: &Config) -> Result<String, String> {
    let url = &config.http.url;
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost"
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if !is_loopback || url.scheme_str() != Some("http") {
        return Err(format!("{}://{host}", url.scheme_str().unwrap_or_default()));
    }
    Ok(format!("{host}:{}", url.port_u16().unwrap_or(80)))
}

/// Runs the agent until a signal; `receiver` is the address of the built-in receiver, if it is to
/// run. When this returns, everything that was sampled is durable.
pub async fn run(config: Config, receiver: Option<String>) -> Result<(), AgentError> {
    let mut signals = Signals::new().map_err(AgentError::Signals)?;
    let (stop, stopped) = watch::channel(false);
    let mut tasks = Tasks::default();
    let transport = HttpTransport::new(config.http.clone())?;
    let Queue { producer, consumer, inspector, stats, owner } = open(&config)?;
    if let Some(address) = receiver {
        tasks.receive(&config, &address, stopped.clone()).await?;
    }
    let (forwarder, handle) = forwarder(&config, consumer, transport);
    let Handle { status: forwarder_status, nudge } = handle;
    let view = View { stats: stats.clone(), forwarder: forwarder_status, nudge, inspector };
    let control = Server::bind(&config.socket, view)
        .map_err(|source| AgentError::Control { path: config.socket.clone(), source })?;
    announce(&config, &stats.borrow());
    tasks.spawn("forward", forwarder.run(stopped.clone()));
    tasks.collect(&config, producer, stopped);
    // It serves until the very end: it goes with `tasks`.
    tasks.control.spawn(control.serve());
    let failed = tokio::select! {
        () = signals.stop() => None,
        failed = tasks.failed() => Some(failed),
    };
    stop.send_replace(true);
    let failed = tokio::select! {
        // Whoever asks twice doesn't want to wait: what is durable stays so.
        () = signals.stop() => failed,
        late = tasks.stopped() => failed.or(late),
    };
    drop(tasks);
    close(owner, &stats).await;
    failed.map_or(Ok(()), |task| Err(AgentError::Task(task)))
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
    let (stop, stopped) = watch::channel(false);
    let mut tasks = Tasks::default();
    tasks.spawn("forward", forwarder.run(stopped));
    let outcome = tokio::select! {
        outcome = flush::drain(stats, status, nudge, timeout, progress) => outcome,
        failed = tasks.failed() => return Err(AgentError::Task(failed)),
    };
    stop.send_replace(true);
    tasks.stopped().await;
    owner.close();
    Ok(outcome)
}

fn open(config: &Config) -> Result<Queue, OpenError> {
    let machine_id = host::machine_id();
    queue::open(config.queue.clone(), machine_id.as_deref(), Arc::new(SystemClock), LOCK_PATIENCE)
}

fn forwarder(
    config: &Config,
    consumer: Consumer,
    transport: HttpTransport,
) -> (Forwarder<HttpTransport>, Handle) {
    let encoder: Box<dyn Encoder> = Box::new(Json::new(config.forward.compression));
    Forwarder::new(config.forward.clone(), consumer, encoder, transport)
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
    let closed = tokio::task::spawn_blocking(move || owner.close());
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

/// The long-lived tasks, by name.
#[derive(Default)]
struct Tasks {
    set: JoinSet<&'static str>,
    control: JoinSet<()>,
}

impl Tasks {
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(async move {
            task.await;
            name
        });
    }

    fn collect(&mut self, config: &Config, producer: Producer, stopped: watch::Receiver<bool>) {
        let groups = config.collect.groups.iter().map(|(group, _)| *group);
        let samplers = sampler::build(&config.sampler, groups);
        let origin = Arc::new(host::origin(&config.hostname, config.tags.clone()));
        let collector = Collector::new(&config.collect, samplers, origin, SystemClock);
        self.spawn("collect", async move {
            let (stuck, mut is_stuck) = watch::channel(false);
            // Whatever the disk does, it takes them at once, and tells of what it can't keep.
            let offer = |samples| {
                producer.offer(samples);
                if producer.is_stuck() {
                    stuck.send_replace(true);
                }
            };
            tokio::select! {
                _ = collector.run(offer, stopped) => {}
                _ = is_stuck.wait_for(|stuck| *stuck) => {
                    tracing::error!(critical = true, "the database doesn't come back from a write");
                }
            }
        });
    }

    async fn receive(
        &mut self,
        config: &Config,
        address: &str,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<(), AgentError> {
        let unknown = || AgentError::NotLoopback(address.to_owned());
        let found = lookup_host(address).await.map_err(|_| unknown())?;
        // IPv4 first: the client tries both, other tools may not.
        let mut found: Vec<SocketAddr> =
            found.filter(|address| address.ip().is_loopback()).collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        let listen = *found.first().ok_or_else(unknown)?;
        let api_key = config.http.api_key.as_ref().map(ApiKey::secret).transpose()?;
        let receiver = Receiver::bind(receiver::Options { listen, api_key, output: None });
        let receiver = receiver.await.map_err(AgentError::Receiver)?;
        tracing::info!(address = %receiver.local_addr(), "the built-in receiver listens");
        self.spawn("receive", async move {
            let stop = async move {
                // A sender that is gone stops it as well.
                stopped.wait_for(|stop| *stop).await.ok();
            };
            let totals = receiver.serve(stop).await;
            tracing::info!(%totals, "the built-in receiver stops");
        });
        Ok(())
    }

    /// Ends when a task ends that shouldn't; its name.
    async fn failed(&mut self) -> &'static str {
        match self.set.join_next().await {
            Some(ended) => name(ended),
            None => std::future::pending().await,
        }
    }

    /// Waits for all tasks, not for ever; the name of one that panicked.
    async fn stopped(&mut self) -> Option<&'static str> {
        let deadline = Instant::now() + STOP_TIME;
        let mut failed = None;
        while let Ok(Some(ended)) = timeout_at(deadline, self.set.join_next()).await {
            if ended.is_err() {
                failed = Some(name(ended));
            }
        }
        failed
    }
}

fn name(ended: Result<&'static str, JoinError>) -> &'static str {
    ended.unwrap_or_else(|error| {
        tracing::error!(%error, critical = true, "a task panicked");
        "that panicked"
    })
}
