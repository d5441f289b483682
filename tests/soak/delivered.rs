//! What the server got, judged while it comes: nothing of it is kept but a number and a hash.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use anyhow::{bail, ensure};

use crate::server::Received;

#[derive(Default)]
pub(crate) struct Delivered {
    agent: Option<String>,
    /// By number, a hash of the content.
    seen: BTreeMap<u64, u64>,
    repeats: u64,
}

impl Delivered {
    /// One agent, first seen in order, never two contents under one number.
    pub(crate) fn add(&mut self, received: Vec<Received>) -> anyhow::Result<()> {
        for Received { agent, seq, sample } in received {
            let known = self.agent.get_or_insert_with(|| agent.clone());
            ensure!(*known == agent, "two agents: {known} and {agent}");
            let mut hasher = DefaultHasher::new();
            sample.to_string().hash(&mut hasher);
            let content = hasher.finish();
            let highest = self.seen.last_key_value().map_or(0, |(seq, _)| *seq);
            match self.seen.insert(seq, content) {
                Some(before) if before == content => self.repeats += 1,
                Some(_) => bail!("two contents under number {seq}"),
                None => ensure!(seq > highest, "{seq} came after {highest}"),
            }
        }
        Ok(())
    }

    /// Checks that 1 to `last` came but for `dead`, and nothing else.
    pub(crate) fn judge(&self, last: u64, dead: &BTreeSet<u64>) -> anyhow::Result<()> {
        let missing: BTreeSet<u64> =
            (1..=last).filter(|seq| !self.seen.contains_key(seq)).collect();
        ensure!(missing == *dead, "missing: {missing:?}; dead letters: {dead:?}");
        let most = self.seen.last_key_value().map_or(0, |(seq, _)| *seq);
        ensure!(most <= last, "{most} came, of {last}");
        Ok(())
    }

    pub(crate) fn repeats(&self) -> u64 {
        self.repeats
    }
}
