//! `collector queue peek`: the oldest samples, as a table or as one object.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, TableStyle};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::pages::Pages;
use crate::{
    cli::{
        ConfigArgs,
        words::{ago, size},
    },
    clock::{Clock as _, SystemClock},
    config::Config,
    control::Shown,
};

/// Arguments of `queue peek`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// How many samples
    #[arg(short, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    number: u16,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The object of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    samples: Vec<&'a RawValue>,
    more: bool,
    damaged: u64,
}

/// What the table shows of a sample.
#[derive(Deserialize)]
struct Row {
    seq: u64,
    timestamp: Timestamp,
    host: String,
    kind: String,
}

pub(super) async fn run(args: &Args, config: &Config) -> anyhow::Result<()> {
    let mut pages = Pages::of(config).await?;
    let mut shown = Vec::new();
    while shown.len() < args.number.into() && !pages.is_at_end() {
        shown.extend(pages.next(usize::from(args.number) - shown.len()).await?);
    }
    let mut out = io::stdout().lock();
    if args.json {
        let samples = shown.iter().map(|shown| &*shown.line).collect();
        let document = Document { samples, more: !pages.is_at_end(), damaged: pages.damaged };
        writeln!(out, "{}", serde_json::to_string(&document)?)?;
    } else {
        write!(out, "{}", text(&shown, &pages)?)?;
    }
    pages.warning().map_or(Ok(()), |warning| writeln!(io::stderr(), "{warning}"))?;
    Ok(())
}

fn text(shown: &[Shown], pages: &Pages) -> anyhow::Result<String> {
    if shown.is_empty() {
        return Ok("nothing is queued\n".to_owned());
    }
    let mut text = format!("{}\n", table(shown)?.trim_fmt());
    if !pages.is_at_end() {
        text.push_str("… and more\n");
    }
    Ok(text)
}

fn table(shown: &[Shown]) -> anyhow::Result<Table> {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(["seq", "taken", "", "kind", "payload", "host"]);
    let now = SystemClock.now();
    for Shown { bytes, line } in shown {
        let Row { seq, timestamp, host, kind } = serde_json::from_str(line.get())?;
        let taken = format!("{timestamp:.3}");
        // A name may hold anything.
        let host = host.escape_debug().to_string();
        table.add_row([seq.to_string(), taken, ago(timestamp, now), kind, size(*bytes), host]);
    }
    for column in [0, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    Ok(table)
}
