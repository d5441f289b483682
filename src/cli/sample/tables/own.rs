//! The agent's own figures as a table, one a line.

use comfy_table::Table;

use super::{ratio, shown, size, span};
use crate::{
    cli::words::count,
    sample::{Agent, Ticks},
};

pub(super) fn table(agent: &Agent) -> Table {
    let Agent { process, queue, ledger, forwarder, .. } = agent;
    let seconds = |seconds: Option<u64>| shown(seconds.map(Ticks::<1>), span);
    let dropped = ledger.dropped;
    let lost = dropped.overflow + dropped.expired + dropped.corrupt + dropped.purged;
    let lines = [
        ("running for", shown(process.uptime, span)),
        ("processor time", shown(process.cpu_time, span)),
        ("processors used", ratio(process.cpu_utilization)),
        ("memory", shown(process.memory, size)),
        ("queued", format!("{}, {}", count(queue.samples), size(queue.bytes))),
        ("on disk", format!("{} of {}", size(queue.disk_bytes), size(queue.max_bytes))),
        ("oldest", shown(queue.oldest_age, span)),
        ("room for another", seconds(queue.remaining_seconds)),
        ("enqueued", count(ledger.enqueued)),
        ("acknowledged", count(ledger.acknowledged)),
        ("dead letters", count(ledger.dead_lettered)),
        ("dropped", count(lost)),
        ("losses to be told", count(ledger.unreported)),
        ("delivery", forwarder.state.clone()),
        ("failures in a row", count(forwarder.consecutive_failures)),
        ("last success", shown(forwarder.last_success_age, |age| format!("{} ago", span(age)))),
    ];
    let mut table = super::table(["", ""]);
    for (name, figure) in lines {
        table.add_row([name.to_owned(), figure]);
    }
    table
}
