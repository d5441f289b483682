//! The long-lived tasks. Each has a stop of its own, so that one can be replaced while the others go
//! on. Whoever holds them joins them; what is dropped is aborted.

use std::time::Duration;

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::{collect, forward::Forwarder, queue::Stats, transport::http::HttpTransport};

/// After a signal the process is gone within 5 s; this leaves some for the queue to close.
const STOP_TIME: Duration = Duration::from_secs(4);

/// One task.
pub(super) struct Task<T> {
    name: &'static str,
    stop: watch::Sender<bool>,
    /// `None` once it was joined.
    handle: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Task<T> {
    /// Starts a task that ends soon after what it is given turns true.
    pub(super) fn spawn<F: Future<Output = T> + Send + 'static>(
        name: &'static str,
        task: impl FnOnce(watch::Receiver<bool>) -> F,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { name, stop, handle: Some(tokio::spawn(task(stopped))) }
    }

    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the end; `None` when it panicked, or had been joined before. Cancel-safe.
    pub(super) async fn end(&mut self) -> Option<T> {
        let ended = self.handle.as_mut()?.await;
        self.handle = None;
        ended
            .inspect_err(|error| {
                tracing::error!(task = self.name, %error, critical = true, "a task panicked");
            })
            .ok()
    }

    /// Stops it and waits for its end; the error is the name of a task that panicked. Cancel-safe:
    /// what is called again goes on.
    pub(super) async fn stopped(&mut self) -> Result<T, &'static str> {
        self.stop();
        self.end().await.ok_or(self.name)
    }

    /// Ends, with its name, when the task ends. Never for one that was joined before. Cancel-safe.
    pub(super) async fn failed(&mut self) -> &'static str {
        if self.handle.is_none() {
            return std::future::pending().await;
        }
        self.end().await;
        self.name
    }

    /// Waits for the end of a task that was told to stop; its name if it panicked.
    pub(super) async fn leave(&mut self, deadline: Instant) -> Option<&'static str> {
        self.handle.as_ref()?;
        let ended = timeout_at(deadline, self.end()).await;
        // One that is late is abandoned, which loses nothing.
        matches!(ended, Ok(None)).then_some(self.name)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }
}

/// When tasks that are told to stop now are abandoned.
pub(super) fn stop_deadline() -> Instant {
    Instant::now() + STOP_TIME
}

/// The collecting loop.
pub(super) struct Collecting {
    pub(super) task: Task<collect::Summary>,
    /// Its next step.
    pub(super) planned: watch::Receiver<Instant>,
}

/// All of them.
pub(super) struct Tasks {
    pub(super) forward: Task<Forwarder<HttpTransport>>,
    pub(super) collect: Collecting,
    pub(super) receive: Option<Task<()>>,
    pub(super) control: Task<()>,
}

impl Tasks {
    /// Ends when a task ends that shouldn't, or the queue's owner, whose figures these are: the
    /// name.
    pub(super) async fn failed(&mut self, stats: &mut watch::Receiver<Stats>) -> &'static str {
        let receive = async {
            match &mut self.receive {
                Some(task) => task.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            name = self.forward.failed() => name,
            name = self.collect.task.failed() => name,
            name = self.control.failed() => name,
            name = receive => name,
            () = gone(stats) => "queue",
        }
    }

    /// Stops all but the control server and waits for them, not for ever; the name of one that
    /// panicked. Cancel-safe.
    pub(super) async fn stopped(&mut self) -> Option<&'static str> {
        let deadline = stop_deadline();
        self.forward.stop();
        self.collect.task.stop();
        if let Some(receive) = &self.receive {
            receive.stop();
        }
        let collect = self.collect.task.leave(deadline).await;
        let forward = self.forward.leave(deadline).await;
        let receive = match &mut self.receive {
            Some(receive) => receive.leave(deadline).await,
            None => None,
        };
        collect.or(forward).or(receive)
    }
}

/// Until nobody tells the queue's figures any more: its owner thread has ended.
async fn gone(stats: &mut watch::Receiver<Stats>) {
    while stats.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        clock::{Steps, SystemClock},
        collect::Collector,
        config::{Environment, parse},
        encode::json::Json,
        queue::{self, Owner, Queue},
    };

    /// Tasks around a queue of their own that do nothing, and what tells of its end.
    fn tasks(home: &std::path::Path) -> (Tasks, Owner, watch::Receiver<Stats>) {
        let text = format!("buffer: {{directory: '{}', min_free: 0}}", home.display());
        let environment = Environment::new(|_| None);
        let config = parse(&home.join("c.yaml"), text.as_bytes(), &environment).unwrap();
        let Queue { consumer, stats, owner, .. } =
            queue::open(config.queue, None, Arc::new(SystemClock), Duration::ZERO).unwrap();
        let transport = HttpTransport::new(config.http).unwrap();
        let encoder = Box::new(Json::new(config.forward.compression));
        let (forwarder, _) = Forwarder::new(config.forward, consumer, encoder, transport);
        let nothing = collect::Options { groups: Vec::new() };
        let collector =
            Collector::new(&nothing, Vec::new(), Arc::default(), (SystemClock, Steps::default()));
        let planned = collector.planned();
        // Held back: it would end with the queue, too.
        let forward = Task::spawn("forward", |mut stopped| async move {
            stopped.wait_for(|stop| *stop).await.ok();
            forwarder
        });
        let task = Task::spawn("collect", |stopped| collector.run(drop, stopped));
        let control = Task::spawn("control", |_| std::future::pending());
        let collect = Collecting { task, planned };
        (Tasks { forward, collect, receive: None, control }, owner, stats)
    }

    #[tokio::test]
    async fn panic_of_any_task_is_noticed_by_its_name_and_the_others_stop() {
        let home = tempfile::tempdir().unwrap();
        let (mut tasks, _owner, mut stats) = tasks(home.path());
        tasks.control = Task::spawn("control", |_| async { panic!("on purpose") });
        assert_eq!(tasks.failed(&mut stats).await, "control");
        tasks.receive = Some(Task::spawn("receive", |_| async { panic!("on purpose") }));
        assert_eq!(tasks.failed(&mut stats).await, "receive");
        assert_eq!(tasks.stopped().await, None);
    }

    #[tokio::test]
    async fn panic_while_stopping_is_noticed_too() {
        let home = tempfile::tempdir().unwrap();
        let (mut tasks, _owner, _stats) = tasks(home.path());
        tasks.receive = Some(Task::spawn("receive", |mut stopped| async move {
            stopped.wait_for(|stop| *stop).await.ok();
            panic!("on purpose")
        }));
        assert_eq!(tasks.stopped().await, Some("receive"));
    }

    #[tokio::test]
    async fn owner_that_ended_is_noticed_though_no_task_asks_it_anything() {
        let home = tempfile::tempdir().unwrap();
        let (mut tasks, owner, mut stats) = tasks(home.path());
        owner.close();
        let failed = tokio::time::timeout(Duration::from_secs(30), tasks.failed(&mut stats));
        assert_eq!(failed.await, Ok("queue"));
        assert_eq!(tasks.stopped().await, None);
    }
}
