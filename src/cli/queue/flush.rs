//! `collector queue flush`: delivers now what is queued now, through the daemon or by hand.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Access, FlushArgs, reach};
use crate::{
    agent,
    cli::{
        TryAgain,
        words::{count, many},
    },
    config::Config,
    forward::flush::{Outcome, Progress},
};

pub(super) async fn run(args: &FlushArgs, config: &Config) -> anyhow::Result<()> {
    let bar = bar(args.json);
    let progress = |Progress { delivered, remaining }: Progress| {
        bar.set_length(delivered + remaining);
        bar.set_position(delivered);
    };
    let outcome = match reach(config).await? {
        Access::Daemon(mut client) => client.flush(args.timeout, progress).await?,
        Access::Here(queue) => agent::flush(*queue, config, args.timeout, progress).await?,
    };
    bar.finish_and_clear();
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
    }
    match words(&outcome) {
        Ok(done) if args.json => drop(done),
        Ok(done) => writeln!(out, "{done}")?,
        Err(why) => return Err(why.into()),
    }
    Ok(())
}

/// A bar on a terminal, nothing elsewhere.
fn bar(json: bool) -> ProgressBar {
    if json || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let style = "{bar:40} {human_pos} of {human_len} samples, {per_sec}, {eta} left";
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

fn words(outcome: &Outcome) -> Result<String, TryAgain> {
    let left = |delivered: u64, remaining: u64, why: &str| {
        let (delivered, remaining) = (many(delivered, "sample"), count(remaining));
        Err(TryAgain(format!("{why}; {delivered} delivered, {remaining} still queued, none lost")))
    };
    match outcome {
        Outcome::Drained { delivered: 0, dead_lettered: 0, dropped: 0 } => {
            Ok("nothing was queued".to_owned())
        }
        Outcome::Drained { delivered, dead_lettered, dropped } => {
            let mut text = [&many(*delivered, "sample"), " delivered"].concat();
            if *dead_lettered > 0 {
                text.push_str(&[", ", &many(*dead_lettered, "new dead letter")].concat());
            }
            if *dropped > 0 {
                text.push_str(&[", ", &count(*dropped), " dropped meanwhile"].concat());
            }
            Ok(text)
        }
        Outcome::Held { delivered, remaining, reason } => {
            left(*delivered, *remaining, &format!("delivery is held: {reason}"))
        }
        Outcome::TimedOut { delivered, remaining, reason: Some(reason) } => {
            left(*delivered, *remaining, &format!("time ran out: {reason}"))
        }
        Outcome::TimedOut { delivered, remaining, reason: None } => {
            left(*delivered, *remaining, "time ran out")
        }
        Outcome::Stopped { delivered, remaining } => {
            left(*delivered, *remaining, "the agent ended first")
        }
    }
}
