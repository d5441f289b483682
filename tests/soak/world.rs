//! The agent, the link and the server, and the faults between them.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{
    agent::{Agent, KEY},
    delivered::Delivered,
    fault::{Fault, Place},
    figures::Figures,
    relay::{Relay, Weather},
    server::{Mode, Server},
};

/// Between two looks at the agent.
const LOOK: Duration = Duration::from_millis(200);
/// A recovery takes seconds; more on a machine that is busy with other things.
const RECOVERY: Duration = Duration::from_mins(1);
/// What is queued between two ticks of the agent, and what may come while it is counted.
const NEXT_TO_NOTHING: u64 = 20;

pub(crate) struct World {
    agent: Agent,
    server: Server,
    relay: Option<Relay>,
    link: SocketAddr,
    bad: BTreeSet<u64>,
    delivered: Delivered,
    figures: Figures,
}

impl World {
    pub(crate) fn new(binary: &Path) -> anyhow::Result<Self> {
        let server = Server::start(Mode::Accept);
        server.want_key(KEY);
        // Beside the server's address, so that nobody takes the port while nobody listens.
        let relay = Relay::between(SocketAddr::new(server.address.ip(), 0), server.address);
        let (link, url) = (relay.address, relay.url());
        Ok(Self {
            agent: Agent::start(binary, &url)?,
            server,
            relay: Some(relay),
            link,
            bad: BTreeSet::new(),
            delivered: Delivered::default(),
            figures: Figures::default(),
        })
    }

    /// Lets the agent work for a while, and watches it.
    pub(crate) fn pass(&mut self, time: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            self.figures.footprints.push(self.agent.footprint()?);
            self.delivered.add(self.server.take())?;
            let Some(left) = time.checked_sub(start.elapsed()) else { return Ok(()) };
            thread::park_timeout(left.min(LOOK));
        }
    }

    pub(crate) fn strike(&mut self, fault: Fault) -> anyhow::Result<()> {
        match fault.place() {
            Place::Link(weather) => self.turn(weather),
            Place::Server(mode, _) => self.server.turn(mode),
            Place::Sample => {
                // One that doesn't exist yet.
                let last = number(&self.agent.stats()?, &["ledger", "enqueued"])?;
                let bad = last + fastrand::u64(10..40);
                self.bad.insert(bad);
                self.server.refuse(bad);
            }
            Place::Down(all) => {
                if all {
                    self.relay = None;
                }
                self.server.stop();
            }
        }
        Ok(())
    }

    /// How often the fault has struck so far.
    pub(crate) fn strikes(&self, fault: Fault) -> anyhow::Result<u64> {
        Ok(match fault.place() {
            Place::Link(_) => self.relay.as_ref().map_or(0, Relay::struck),
            Place::Server(_, status) => self.server.answered(status),
            Place::Sample => number(&self.agent.stats()?, &["ledger", "dead_lettered"])?,
            Place::Down(_) => number(&self.agent.stats()?, &["forwarder", "consecutive_failures"])?,
        })
    }

    fn turn(&self, weather: Weather) {
        if let Some(relay) = &self.relay {
            relay.turn(weather);
        }
    }

    /// Whatever was struck works again.
    pub(crate) fn mend(&mut self) -> anyhow::Result<()> {
        self.server.resume(Mode::Accept);
        if self.relay.is_none() {
            self.relay = Some(Relay::between(self.link, self.server.address));
        }
        self.turn(Weather::Clear);
        self.pass(Duration::ZERO)
    }

    /// Until what had piled up is delivered.
    pub(crate) fn recover(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + RECOVERY;
        loop {
            self.pass(Duration::from_millis(500))?;
            let stats = self.agent.stats()?;
            let has_delivered = !stats["forwarder"]["last_success"].is_null();
            let works = has_delivered && stats["forwarder"]["last_error"].is_null();
            if works && number(&stats, &["queue", "samples"])? <= NEXT_TO_NOTHING {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "no recovery within {RECOVERY:?}: {stats:#}");
        }
    }

    /// Has a wrong configuration refused: the agent tells how many tasks are alive then.
    pub(crate) fn count_tasks(&mut self) -> anyhow::Result<()> {
        self.agent.mistype()?;
        self.figures.tasks.push(self.agent.tasks()?);
        Ok(())
    }

    pub(crate) fn log_end(&self) -> String {
        let log = self.agent.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Delivers the rest, stops the agent and judges all that was seen.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        self.agent.flush()?;
        let took = self.agent.stop()?;
        self.agent.flush()?;
        self.delivered.add(self.server.take())?;
        let stats = self.agent.stats()?;
        let enqueued = number(&stats, &["ledger", "enqueued"])?;
        let dead = number(&stats, &["ledger", "dead_lettered"])?;
        let acknowledged = number(&stats, &["ledger", "acknowledged"])?;
        println!(
            "{enqueued} samples, {acknowledged} acknowledged, {dead} dead letters, {} repeats, \
             stopped within {took:.1?}",
            self.delivered.repeats(),
        );
        ensure!(acknowledged + dead == enqueued, "the ledger: {stats:#}");
        self.delivered.judge(enqueued, &self.bad)?;
        let log = self.agent.log()?;
        ensure!(!log.contains("panicked"), "it panicked:\n{}", self.log_end());
        ensure!(!log.contains(KEY), "the key stands in the log");
        self.figures.judge()
    }
}

fn number(stats: &Value, path: &[&str]) -> anyhow::Result<u64> {
    let found = path.iter().fold(stats, |at, key| &at[key]);
    found.as_u64().with_context(|| format!("{path:?} isn't a number in {stats:#}"))
}
