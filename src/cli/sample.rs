//! `collector sample`: one sample of each enabled group on standard output. Queues and sends
//! nothing.

use std::{io::Write, sync::Arc, time::Duration};

use anyhow::Context;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    clock::{Clock, Moment, SystemClock},
    collect,
    sample::{Agent, Group, Line, Metrics, Origin, Sample},
    sampler::{self, SampleError, Sampler},
};

mod tables;

/// Between the two readings that rates and utilisations need; some kernels renew the times of
/// processors only every 200 ms.
const BETWEEN_READINGS: Duration = Duration::from_millis(250);

/// What is sampled.
#[derive(Debug, Clone)]
pub struct Options {
    /// The enabled groups.
    pub groups: collect::Options,
    /// What the samplers leave out or add.
    pub samplers: sampler::Options,
    /// Host and labels.
    pub origin: Arc<Origin>,
    /// The process of the agent that runs, and what it tells of itself.
    pub own: Option<(u32, Agent)>,
}

/// How the samples are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Tables for people; may change.
    Tables,
    /// One JSON object on one line; stable.
    Json,
}

/// Takes two readings of each group and prints the second one. Takes about 250 ms.
///
/// The JSON object is `{"schema": 1, "samples": [{"timestamp", "boot_id", "uptime", "host", "tags", "interval", "kind",
/// "metrics"}, …]}`, the samples as they would be sent, in the order cpu, memory, disk, network, agent.
/// Where no agent runs there is none of the last. A group that can't be read is left out and, after the others have been printed, an error.
pub fn run(options: &Options, format: Format, out: &mut impl Write) -> anyhow::Result<()> {
    let (taken, failures) = take(options);
    match format {
        Format::Json => print_json(&taken, out)?,
        Format::Tables => tables::print(&taken, out)?,
    }
    failures.into_iter().next().map_or(Ok(()), Err)
}

/// Takes two readings of each group, in the order of the groups: the second ones, and what failed.
pub(super) fn take(options: &Options) -> (Vec<Sample>, Vec<anyhow::Error>) {
    let groups = options.groups.groups.iter().map(|&(group, _)| group);
    let mut samplers = sampler::build(&options.samplers, groups.clone());
    let own = options.own.clone().filter(|_| groups.clone().any(|group| group == Group::Agent));
    samplers.extend(own.map(|(pid, agent)| sampler::own(pid, Box::new(move || agent.clone()))));
    samplers.sort_by_key(|sampler| sampler.group());
    for sampler in &mut samplers {
        // An error shows again at the reading that counts.
        drop(sampler.sample());
    }
    pause();
    read(&mut samplers, options)
}

#[expect(clippy::disallowed_methods, reason = "a command line tool without a runtime to block")]
fn pause() {
    std::thread::sleep(BETWEEN_READINGS);
}

fn read(samplers: &mut [Box<dyn Sampler>], options: &Options) -> (Vec<Sample>, Vec<anyhow::Error>) {
    let (mut taken, mut failures) = (Vec::new(), Vec::new());
    for sampler in samplers {
        match sample(&mut **sampler, options) {
            Ok(sample) => taken.push(sample),
            Err(error) => {
                let group = sampler.group();
                failures.push(anyhow::Error::new(error).context(format!("no sample of {group}")));
            }
        }
    }
    (taken, failures)
}

fn sample(sampler: &mut dyn Sampler, options: &Options) -> Result<Sample, SampleError> {
    let now = SystemClock.moment();
    Ok(stamped(sampler.sample()?, &now, options))
}

/// What an agent tells of itself that has just begun.
pub(super) fn of_new_agent(options: &Options) -> Sample {
    stamped(Metrics::Agent(Agent::default()), &SystemClock.moment(), options)
}

fn stamped(metrics: Metrics, now: &Moment, options: &Options) -> Sample {
    let interval = options.groups.groups.iter().find(|enabled| enabled.0 == metrics.group());
    Sample {
        timestamp: Timestamp::from_microsecond(now.wall.as_microsecond()).unwrap_or(now.wall),
        since_boot: now.since_boot,
        origin: Arc::clone(&options.origin),
        interval: interval.map(|enabled| enabled.1).unwrap_or_default(),
        metrics,
    }
}

/// The object of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    samples: Vec<Line<'a>>,
}

/// A sample as it would be sent, but without the identity that only the queue gives.
fn line(sample: &Sample) -> Line<'_> {
    Line::new(sample)
}

fn print_json(samples: &[Sample], out: &mut impl Write) -> anyhow::Result<()> {
    let document = Document { schema: 1, samples: samples.iter().map(line).collect() };
    let json = serde_json::to_string(&document).context("can't encode the samples")?;
    writeln!(out, "{json}").context("can't print")
}

#[cfg(test)]
mod tests;
