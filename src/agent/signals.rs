//! What tells the agent to stop, to read its configuration anew or to deliver now: SIGTERM, SIGINT,
//! SIGHUP and SIGUSR1, while SIGUSR2 is ignored; on
//! Windows Ctrl-C, the console's close and the system's shutdown, which have no signal for a reload.
//! Everywhere also whoever started the agent within its own process, as a service of Windows does.

use std::io;

use tokio::sync::watch;

/// What the agent is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// End.
    Stop,
    /// Read the configuration anew.
    Reload,
    /// Make an attempt to deliver now, whatever is waited for.
    Deliver,
}

/// See the module.
pub(super) struct Signals {
    system: System,
    service: Option<watch::Receiver<Option<Asked>>>,
}

impl Signals {
    /// From now on signals don't end the process. `service` tells what else is asked.
    pub(super) fn new(service: Option<watch::Receiver<Option<Asked>>>) -> io::Result<Self> {
        Ok(Self { system: System::new()?, service })
    }

    /// Ends at the next signal. Cancel-safe.
    pub(super) async fn next(&mut self) -> Asked {
        let (signal, asked) = tokio::select! {
            signal = self.system.next() => signal,
            asked = asked(&mut self.service) => ("service control", asked),
        };
        match asked {
            Asked::Stop => tracing::info!(signal, "asked to stop"),
            Asked::Reload => tracing::info!(signal, "asked to read the configuration anew"),
            Asked::Deliver => tracing::info!(signal, "asked to deliver now"),
        }
        asked
    }

    /// Ends at the next signal to stop. Cancel-safe.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}

/// What the service asks next; never, if there is none.
async fn asked(service: &mut Option<watch::Receiver<Option<Asked>>>) -> Asked {
    if let Some(service) = service {
        while service.changed().await.is_ok() {
            if let Some(asked) = *service.borrow_and_update() {
                return asked;
            }
        }
    }
    std::future::pending().await
}

#[cfg(unix)]
struct System {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    user1: tokio::signal::unix::Signal,
    user2: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl System {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> (&'static str, Asked) {
        loop {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => return ("SIGTERM", Asked::Stop),
                _ = self.interrupt.recv() => return ("SIGINT", Asked::Stop),
                _ = self.hangup.recv() => return ("SIGHUP", Asked::Reload),
                _ = self.user1.recv() => return ("SIGUSR1", Asked::Deliver),
                // Its default would end the agent, which nobody who sends it expects.
                _ = self.user2.recv() => tracing::info!(signal = "SIGUSR2", "ignored"),
            }
        }
    }
}

#[cfg(windows)]
struct System {
    ctrl_c: tokio::signal::windows::CtrlC,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl System {
    fn new() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_c, ctrl_close, ctrl_shutdown};
        Ok(Self { ctrl_c: ctrl_c()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
    }

    async fn next(&mut self) -> (&'static str, Asked) {
        let signal = tokio::select! {
            _ = self.ctrl_c.recv() => "Ctrl-C",
            _ = self.close.recv() => "close",
            _ = self.shutdown.recv() => "shutdown",
        };
        (signal, Asked::Stop)
    }
}
