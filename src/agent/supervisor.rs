//! What the agent tells whoever started it as a service: systemd's notification socket, or what a
//! platform's own service makes of it. Without a service manager there is none of this.

use std::{fmt, sync::Arc, time::Duration};

#[cfg(unix)]
mod notify;

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The queue is open and the control socket is bound; after [`News::Reloading`]: it is done.
    Ready,
    /// The configuration is being read anew.
    Reloading,
    /// The agent is about to end.
    Stopping,
    /// What it is doing, in one line without a secret.
    Status(String),
    /// All loops make progress.
    Alive,
}

/// The way to the service manager.
#[derive(Clone)]
pub struct Supervisor {
    tell: Arc<dyn Fn(News) + Send + Sync>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Has news told by `tell`, which must not block for long. With `watchdog` the agent says that
    /// it is alive twice within this time, as long as it is.
    pub fn new(tell: impl Fn(News) + Send + Sync + 'static, watchdog: Option<Duration>) -> Self {
        Self { tell: Arc::new(tell), watchdog }
    }

    /// The service manager that the environment names by `NOTIFY_SOCKET`, if it does.
    #[cfg(unix)]
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        notify::supervisor(|name| std::env::var_os(name))
    }

    /// Tells the news.
    pub(super) fn tell(&self, news: News) {
        (self.tell)(news);
    }

    /// Within what time the manager wants to hear that the agent is alive.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("watchdog", &self.watchdog).finish_non_exhaustive()
    }
}
