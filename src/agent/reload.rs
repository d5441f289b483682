//! A configuration that is read anew: judged whole, refused whole, and what of it a running agent
//! takes over. Never touches the queue: a forwarder that begins anew gets the same end of it.

use std::{error::Error as _, path::PathBuf};

use super::{Agent, encoder};
use crate::{
    config::{self, Change, Config},
    transport::http::{BuildError, HttpTransport},
};

/// Where the configuration came from; it is read there again.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) env_file: Option<PathBuf>,
}

/// Why the new configuration is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Transport(#[from] BuildError),
    /// Reading it panicked: a bug.
    #[error("it can't be read")]
    Reading,
}

impl Refused {
    /// Each fault a line.
    fn tell(&self) {
        tracing::error!("the new configuration is refused; the old one stays in force");
        match self {
            Self::Config(error) => {
                error.faults().iter().for_each(|fault| tracing::error!("{fault}"));
            }
            Self::Transport(error) => {
                let source = error.source().map(|source| format!(": {source}"));
                tracing::error!("{error}{}", source.unwrap_or_default());
            }
            Self::Reading => tracing::error!("{self}"),
        }
    }
}

/// Reads and judges everything that the new configuration names; files may take their time, so it
/// is done elsewhere.
async fn read(source: Source) -> Result<(Config, HttpTransport), Refused> {
    let read = tokio::task::spawn_blocking(move || {
        let config = config::load(Some(&source.file), source.env_file.as_deref())?;
        let transport = HttpTransport::new(config.http.clone())?;
        Ok((config, transport))
    });
    read.await.unwrap_or(Err(Refused::Reading))
}

impl Agent {
    /// Reads the configuration anew and goes on by it; a wrong one changes nothing. The error is
    /// the name of a task that panicked. Cancel-safe in that all tasks can still be stopped.
    pub(super) async fn reload(&mut self) -> Result<(), &'static str> {
        let (config, transport) = match read(self.source.clone()).await {
            Ok(read) => read,
            Err(refused) => {
                refused.tell();
                return Ok(());
            }
        };
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let changes = self.changes(&config);
        self.log.set(config.telemetry.level);
        if collects_otherwise(&self.config, &config) {
            self.tasks.collect.task.stopped().await?;
            self.tasks.collect = super::collect(&config, self.producer.clone(), &self.own);
        }
        // A request in flight may end first, so that its answer isn't lost.
        let forwarder = self.tasks.forward.stopped().await?;
        let forwarder = forwarder.renewed(config.forward.clone(), encoder(&config), transport);
        self.tasks.forward = super::forward(forwarder);
        self.config = config;
        self.supervise();
        tell(&changes);
        Ok(())
    }

    /// What is other than in force: since the last reload, or since the start for what only a start
    /// takes over.
    fn changes(&self, new: &Config) -> Vec<Change> {
        let live = self.config.changes(new).into_iter().filter(Change::is_live);
        let fixed = self.started.changes(new).into_iter().filter(|change| !change.is_live());
        live.chain(fixed).collect()
    }
}

/// Whether the collecting loop has to begin anew, which costs it its previous readings.
fn collects_otherwise(old: &Config, new: &Config) -> bool {
    old.collect != new.collect
        || old.sampler != new.sampler
        || old.hostname != new.hostname
        || old.tags != new.tags
}

fn tell(changes: &[Change]) {
    for Change { key, from, to } in changes.iter().filter(|change| change.is_live()) {
        tracing::info!(key, from, to, "changed");
    }
    for Change { key, from, to } in changes.iter().filter(|change| !change.is_live()) {
        tracing::warn!(key, in_force = from, new = to, "takes effect after a restart");
    }
    tracing::info!(changes = changes.len(), "the new configuration is in force");
}
