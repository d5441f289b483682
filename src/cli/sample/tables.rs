//! The samples as tables for people: sizes and ratios in words, a dash for what is lacking.

use std::io::Write;

mod own;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, TableStyle};

use crate::sample::{
    Connections, Cpu, CpuTime, Disk, Filesystem, IoTime, Memory, Metrics, Mode, Network, Sample,
    TcpStates, Ticks, Unavailable,
};

/// Prints a table or more for each sample.
pub(super) fn print(samples: &[Sample], out: &mut impl Write) -> anyhow::Result<()> {
    for sample in samples {
        for (title, table) in tables(&sample.metrics) {
            writeln!(out, "{title}\n{}\n", table.trim_fmt()).context("can't print")?;
        }
    }
    Ok(())
}

fn tables(metrics: &Metrics) -> Vec<(String, Table)> {
    match metrics {
        Metrics::Cpu(cpu) => vec![(cpu_title(cpu), processors(cpu))],
        Metrics::Memory(memory) => vec![("Memory".into(), memory_table(memory))],
        Metrics::Disk(disk) => vec![
            ("File systems".into(), filesystems(disk)),
            ("Block devices".into(), devices(disk)),
        ],
        Metrics::Network(network) => vec![
            ("Interfaces".into(), interfaces(network)),
            ("Sockets".into(), sockets(network.connections.unwrap_or_default())),
        ],
        Metrics::Agent(agent) => vec![("Agent".into(), own::table(agent))],
    }
}

fn cpu_title(cpu: &Cpu) -> String {
    let load = cpu
        .load_average
        .map(|load| format!(", load {:.2} {:.2} {:.2}", load.one, load.five, load.fifteen));
    format!("Processors: {} online{}", cpu.logical_count, load.unwrap_or_default())
}

fn processors(cpu: &Cpu) -> Table {
    let mut table =
        table(["", "busy", "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"]);
    let total = [(String::from("all"), cpu.utilization, cpu.time)];
    let each = cpu.cpus.iter().flatten().map(|c| (c.id.to_string(), c.utilization, c.time));
    for (name, utilization, time) in total.into_iter().chain(each) {
        let optional = |time: Option<CpuTime>| shown(time, span);
        table.add_row([
            name,
            ratio(utilization),
            span(time.user),
            optional(time.nice),
            span(time.system),
            span(time.idle),
            optional(time.iowait),
            optional(time.interrupt),
            optional(time.softirq),
            optional(time.steal),
        ]);
    }
    table
}

fn memory_table(memory: &Memory) -> Table {
    let mut table =
        table(["", "total", "used", "free", "available", "use", "buffers", "cached", "in", "out"]);
    table.add_row([
        "memory".into(),
        size(memory.total),
        size(memory.used),
        size(memory.free),
        size(memory.available),
        ratio(memory.utilization),
        shown(memory.buffers, size),
        shown(memory.cached, size),
    ]);
    let swap = &memory.swap;
    table.add_row([
        "swap".into(),
        size(swap.total),
        size(swap.used),
        size(swap.free),
        String::new(),
        ratio(swap.utilization),
        String::new(),
        String::new(),
        shown(swap.swapped_in, size),
        shown(swap.swapped_out, size),
    ]);
    if let Some(limit) = memory.limit {
        table.add_row(["limit".into(), size(limit)]);
    }
    table
}

fn filesystems(disk: &Disk) -> Table {
    let mut table = table([
        "mounted on",
        "type",
        "mode",
        "total",
        "used",
        "available",
        "use",
        "inodes",
        "device",
    ]);
    for filesystem in &disk.filesystems {
        let Filesystem { mountpoint, kind, device, .. } = filesystem;
        table.add_row([
            mountpoint.clone(),
            kind.clone(),
            String::from(if filesystem.mode == Mode::ReadOnly { "ro" } else { "rw" }),
            filesystem.unavailable.map_or_else(|| shown(filesystem.total, size), unavailable),
            shown(filesystem.used, size),
            shown(filesystem.available, size),
            ratio(filesystem.utilization),
            ratio(filesystem.inodes.and_then(|inodes| inodes.utilization)),
            device.clone(),
        ]);
    }
    table
}

fn unavailable(why: Unavailable) -> String {
    String::from(match why {
        Unavailable::Hangs => "hangs",
        Unavailable::Refused => "refused",
    })
}

fn devices(disk: &Disk) -> Table {
    let mut table = table([
        "",
        "kind",
        "reads",
        "read",
        "writes",
        "written",
        "busy",
        "reads/s",
        "read/s",
        "writes/s",
        "written/s",
    ]);
    for device in disk.devices.iter().flatten() {
        table.add_row([
            device.device.clone(),
            shown(device.kind, |kind| format!("{kind:?}").to_lowercase()),
            shown(device.reads, |count| count.to_string()),
            shown(device.read_bytes, size),
            shown(device.writes, |count| count.to_string()),
            shown(device.write_bytes, size),
            shown(device.io_time, |time: IoTime| span(time)),
            shown(device.reads_per_second, |rate| format!("{rate:.1}")),
            shown(device.read_bytes_per_second, |rate| words(rate.into())),
            shown(device.writes_per_second, |rate| format!("{rate:.1}")),
            shown(device.write_bytes_per_second, |rate| words(rate.into())),
        ]);
    }
    table
}

fn interfaces(network: &Network) -> Table {
    let mut table =
        table(["", "", "state", "bytes", "packets", "errors", "dropped", "bytes/s", "packets/s"]);
    for interface in &network.interfaces {
        for (way, traffic) in [("in", interface.receive), ("out", interface.transmit)] {
            table.add_row([
                interface.name.clone(),
                way.into(),
                shown(interface.state.clone(), |state| state),
                size(traffic.bytes),
                traffic.packets.to_string(),
                shown(traffic.errors, |count| count.to_string()),
                shown(traffic.dropped, |count| count.to_string()),
                shown(traffic.bytes_per_second, |rate| words(rate.into())),
                shown(traffic.packets_per_second, |rate| format!("{rate:.1}")),
            ]);
        }
    }
    table
}

fn sockets(connections: Connections) -> Table {
    let mut table = table(["state", "sockets"]);
    if let Some(tcp) = connections.tcp {
        for (state, count) in states(&tcp).into_iter().filter(|(_, count)| *count > 0) {
            table.add_row([format!("tcp {state}"), count.to_string()]);
        }
    } else {
        table.add_row([String::from("tcp"), shown(None, size)]);
    }
    table.add_row([String::from("udp"), shown(connections.udp, |count| count.to_string())]);
    table
}

fn states(tcp: &TcpStates) -> [(&'static str, u64); 11] {
    [
        ("established", tcp.established),
        ("syn sent", tcp.syn_sent),
        ("syn received", tcp.syn_recv),
        ("fin wait 1", tcp.fin_wait1),
        ("fin wait 2", tcp.fin_wait2),
        ("time wait", tcp.time_wait),
        ("close", tcp.close),
        ("close wait", tcp.close_wait),
        ("last ack", tcp.last_ack),
        ("listen", tcp.listen),
        ("closing", tcp.closing),
    ]
}

/// Names on the left, figures on the right.
fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn shown<T>(figure: Option<T>, show: impl Fn(T) -> String) -> String {
    figure.map_or_else(|| String::from("-"), show)
}

fn ratio(share: Option<f32>) -> String {
    shown(share, |share| format!("{:.1} %", share * 100.0))
}

/// Days, hours, minutes and seconds, the two largest that count.
fn span<const PER_SECOND: u32>(time: Ticks<PER_SECOND>) -> String {
    let seconds = time.0 / u64::from(PER_SECOND);
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let first = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut words = Vec::new();
    for (unit, name) in units.iter().skip(first).take(2) {
        words.push(format!("{}{name}", rest / unit));
        rest %= unit;
    }
    words.join(" ")
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn size(bytes: u64) -> String {
    words(bytes as f64)
}

/// Three digits or so and a binary unit.
fn words(bytes: f64) -> String {
    let (mut rest, mut units) = (bytes, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].iter());
    let mut unit = units.next();
    while rest >= 1023.95 && units.len() > 0 {
        rest /= 1024.0;
        unit = units.next();
    }
    let unit = unit.copied().unwrap_or_default();
    if unit == "B" { format!("{rest:.0} {unit}") } else { format!("{rest:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_a_person_would_choose() {
        let shown: Vec<_> = [0, 1023, 1024, 1024 * 1024 - 1, 25_276_502_016, u64::MAX]
            .into_iter()
            .map(size)
            .collect();
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "23.5 GiB", "16.0 EiB"]);
    }

    #[test]
    fn spans_show_their_two_largest_units() {
        let shown: Vec<_> = [0, 599, 6_100, 360_000, 20_000_000]
            .into_iter()
            .map(|t| span(Ticks::<100>(t)))
            .collect();
        assert_eq!(shown, ["0s", "5s", "1m 1s", "1h 0m", "2d 7h"]);
    }

    #[test]
    fn lacking_figure_is_a_dash() {
        assert_eq!(ratio(None), "-");
        assert_eq!(ratio(Some(0.1234)), "12.3 %");
    }
}
