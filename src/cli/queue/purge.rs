//! `collector queue purge`: throws samples away, through the daemon or by hand. Without `--yes` it says
//! what it would do.

use std::{
    io::{self, Write},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

use super::{Access, duration, reach};
use crate::{
    cli::{
        ConfigArgs,
        words::{many, size},
    },
    clock::{Clock as _, SystemClock},
    config::Config,
    control::PurgeRequest,
    queue::{Amount, Selection},
};

/// Arguments of `queue purge`.
#[derive(Debug, clap::Args)]
#[group(id = "which", required = true, multiple = false, args = ["older_than", "all"])]
pub struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Samples that are older than this, from the oldest on up to the first that isn't
    #[arg(long, value_name = "AGE", value_parser = duration)]
    older_than: Option<Duration>,
    /// Everything that is queued
    #[arg(long)]
    all: bool,
    /// Do it; without this, say what would be done
    #[arg(long)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Args {
    fn selection(&self, now: Timestamp) -> Selection {
        match self.older_than {
            None => Selection::All,
            // Nothing is older than time itself.
            Some(age) => Selection::OlderThan(now.checked_sub(age).unwrap_or(Timestamp::MIN)),
        }
    }
}

/// The object of `--json`.
#[derive(Serialize)]
struct Document {
    purged: bool,
    #[serde(flatten)]
    amount: Amount,
}

pub(super) async fn run(args: &Args, config: &Config) -> anyhow::Result<()> {
    let selection = args.selection(SystemClock.now());
    let amount = match reach(config).await? {
        Access::Daemon(mut client) => {
            client.purge(PurgeRequest { selection, commit: args.yes }, |_| ()).await?
        }
        Access::Here(queue) if args.yes => queue.inspector.purge(selection, |_| ()).await?,
        Access::Here(queue) => queue.inspector.measure(selection).await?,
    };
    let mut out = io::stdout().lock();
    if args.json {
        let document = Document { purged: args.yes, amount };
        writeln!(out, "{}", serde_json::to_string(&document)?)?;
    } else {
        writeln!(out, "{}", words(amount, args.yes))?;
    }
    Ok(())
}

fn words(amount: Amount, done: bool) -> String {
    let what = match amount.samples {
        0 if done => return "nothing was purged".to_owned(),
        0 => return "nothing would be purged".to_owned(),
        samples => format!("{} with {} of payload", many(samples, "sample"), size(amount.bytes)),
    };
    if done {
        format!("purged {what}")
    } else {
        format!("would purge {what}; nothing was removed, --yes does it")
    }
}
