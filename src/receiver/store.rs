//! What was seen, and the file to which it is written. A sample counts as seen only when it was
//! written.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use hyper::StatusCode;
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    Totals,
    batch::{Batch, Loss, Refusal},
    ranges::Ranges,
};

/// Most agent ids that are told apart.
const MAX_AGENTS: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Store {
    agents: HashMap<Uuid, Known>,
    output: Option<File>,
    totals: watch::Sender<Totals>,
}

/// What is known of one agent id.
#[derive(Debug, Default)]
struct Known {
    seen: Ranges,
    /// Numbers that it says are lost.
    lost: Ranges,
}

impl Known {
    /// Gaps, and those of them that no report explains.
    fn gaps(&self) -> (u64, u64) {
        (self.seen.missing(), self.seen.missing_without(&self.lost))
    }
}

/// What became of the samples of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(super) struct Taken {
    accepted: u64,
    duplicates: u64,
}

impl Store {
    /// Opens the output file for appending, created when absent.
    pub(super) fn open(output: Option<&Path>, totals: watch::Sender<Totals>) -> io::Result<Self> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { agents: HashMap::new(), output: output.map(open).transpose()?, totals })
    }

    /// Takes a batch: writes the samples that are new, then remembers them. Blocks for as long as
    /// the write takes. After an error nothing was taken, and the file is as it was.
    pub(super) fn take(&mut self, batch: &Batch<'_>) -> Result<Taken, Refusal> {
        let id = batch.agent.id;
        let known = self.agents.get(&id);
        if known.is_none() && self.agents.len() >= MAX_AGENTS {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many agents"));
        }
        let mut lines = Vec::new();
        let mut accepted = 0;
        for sample in &batch.samples {
            if known.is_some_and(|known| known.seen.contains(sample.seq)) {
                continue;
            }
            accepted += 1;
            if self.output.is_some() {
                sample.append_line(id, &mut lines).map_err(|error| internal(&error))?;
            }
        }
        self.write(&lines).map_err(|error| internal(&error))?;
        self.remember(batch, accepted);
        Ok(Taken { accepted, duplicates: batch.samples.len() as u64 - accepted })
    }

    /// Counts a request that was refused.
    pub(super) fn refuse(&mut self) {
        self.totals.send_modify(|totals| {
            totals.requests += 1;
            totals.rejected += 1;
        });
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let before = output.metadata()?.len();
        output.write_all(lines).inspect_err(|_| {
            // Half a batch would be there twice after the retry. A pipe can't be cut; so be it.
            drop(output.set_len(before));
        })
    }

    fn remember(&mut self, batch: &Batch<'_>, accepted: u64) {
        let others = batch.losses.iter().filter_map(|loss| loss.agent_id);
        let ids: BTreeSet<_> = others.chain([batch.agent.id]).collect();
        let before = self.gaps(&ids);
        // Whatever the samples are: those of a repeated request are all known, the losses may be new.
        self.note_losses(batch);
        let known = self.agents.entry(batch.agent.id).or_default();
        for sample in &batch.samples {
            known.seen.insert(sample.seq);
        }
        let (now, agents) = (self.gaps(&ids), self.agents.len() as u64);
        self.totals.send_modify(|totals| {
            totals.requests += 1;
            totals.accepted += accepted;
            totals.duplicates += batch.samples.len() as u64 - accepted;
            totals.agents = agents;
            totals.gaps = totals.gaps.saturating_sub(before.0).saturating_add(now.0);
            totals.unexplained = totals.unexplained.saturating_sub(before.1).saturating_add(now.1);
        });
    }

    fn gaps(&self, ids: &BTreeSet<Uuid>) -> (u64, u64) {
        let known = ids.iter().filter_map(|id| self.agents.get(id)).map(Known::gaps);
        known.fold((0, 0), |sum, gaps| (sum.0.saturating_add(gaps.0), sum.1.saturating_add(gaps.1)))
    }

    fn note_losses(&mut self, batch: &Batch<'_>) {
        for Loss { reason, first_seq, last_seq, count, agent_id } in &batch.losses {
            let id = agent_id.unwrap_or(batch.agent.id);
            if !self.agents.contains_key(&id) && self.agents.len() >= MAX_AGENTS {
                continue;
            }
            tracing::info!(agent_id = %id, reason, first_seq, last_seq, count, "samples were lost");
            self.agents.entry(id).or_default().lost.insert_all(*first_seq, *last_seq);
        }
    }
}

fn internal(error: &dyn std::error::Error) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
