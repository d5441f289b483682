//! Interfaces from `/proc/net/dev`; sockets from netlink and `/proc/net/sockstat`.

use super::{
    proc_file::ProcFile,
    sockets,
    tcp::{Population, TcpCounter},
};
use crate::{
    sample::{Interface, TcpStates, Traffic},
    sampler::SampleError,
};

/// Reads interfaces and sockets of this network namespace.
pub(in crate::sampler) struct NetworkSource {
    dev: ProcFile,
    sockstat: ProcFile,
    sockstat6: ProcFile,
    tcp: ProcFile,
    tcp6: ProcFile,
    snmp: ProcFile,
    counter: TcpCounter,
}

impl NetworkSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new() -> Self {
        Self {
            dev: ProcFile::new("/proc/net/dev"),
            sockstat: ProcFile::new("/proc/net/sockstat"),
            sockstat6: ProcFile::new("/proc/net/sockstat6"),
            tcp: ProcFile::new("/proc/net/tcp"),
            tcp6: ProcFile::new("/proc/net/tcp6"),
            snmp: ProcFile::new("/proc/net/snmp"),
            counter: TcpCounter::new(),
        }
    }

    /// Counters since boot; `/proc/net/dev`.
    pub(in crate::sampler) fn interfaces(&mut self) -> Result<Vec<Interface>, SampleError> {
        let parsed = parse(&self.dev.read()?);
        parsed.ok_or_else(|| self.dev.malformed())
    }

    /// TCP sockets by state: netlink's inet_diag, and where a sandbox forbids that the far dearer
    /// `/proc/net/tcp` and `tcp6`.
    pub(in crate::sampler) fn tcp_states(&mut self) -> Result<TcpStates, SampleError> {
        let population = self.population();
        if let Ok(states) = self.counter.count(population) {
            return Ok(states);
        }
        let mut states = TcpStates::default();
        sockets::add_listed(&self.tcp.read()?, &mut states);
        sockets::add_listed(&self.tcp6.read_if_there()?, &mut states);
        Ok(states)
    }

    fn population(&mut self) -> Option<Population> {
        let sockstat = self.sockstat.read().ok()?;
        let sockstat6 = self.sockstat6.read_if_there().ok()?;
        Population::parse(&sockstat, &sockstat6, &self.snmp.read().ok()?)
    }

    /// Open UDP sockets: `/proc/net/sockstat` and, unless IPv6 is off, `sockstat6`.
    pub(in crate::sampler) fn udp_sockets(&mut self) -> Result<u64, SampleError> {
        let v4 = sockets::figure(&self.sockstat.read()?, "UDP:", "inuse");
        let v4 = v4.ok_or_else(|| self.sockstat.malformed())?;
        let v6 = sockets::figure(&self.sockstat6.read_if_there()?, "UDP6:", "inuse");
        Ok(v4 + v6.unwrap_or(0))
    }
}

/// Two lines of headings, then `name: 8 columns received, 8 columns sent`.
fn parse(text: &str) -> Option<Vec<Interface>> {
    text.lines().skip(2).map(interface).collect()
}

fn interface(line: &str) -> Option<Interface> {
    // Old kernels put no space behind the colon; very old ones have colons in names.
    let (name, columns) = line.rsplit_once(':')?;
    let mut numbers = [0; 12];
    let mut columns = columns.split_ascii_whitespace();
    for number in &mut numbers {
        *number = columns.next()?.parse().ok()?;
    }
    // Between the directions: fifo, frame, compressed, multicast.
    let [received @ .., _, _, _, _, b, p, e, d] = numbers;
    Some(Interface {
        name: name.trim_start().to_owned(),
        receive: traffic(received),
        transmit: traffic([b, p, e, d]),
    })
}

fn traffic([bytes, packets, errors, dropped]: [u64; 4]) -> Traffic {
    Traffic { bytes, packets, errors: Some(errors), dropped: Some(dropped), ..Traffic::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
  eth0: 76159541    2849    1    2    3     4          5         6   158392    1495    7    8    9    10      11         12
wlp0s20f3:18446744073709551615 1 0 0 0 0 0 0 2 3 0 0 0 0 0 0
";

    #[test]
    fn both_directions_of_each_interface() {
        let interfaces = parse(DEV).unwrap();
        assert_eq!(interfaces.len(), 3);
        let traffic = |bytes, packets, errors, dropped| Traffic {
            bytes,
            packets,
            errors: Some(errors),
            dropped: Some(dropped),
            ..Traffic::default()
        };
        assert_eq!(interfaces[1].name, "eth0");
        assert_eq!(interfaces[1].receive, traffic(76_159_541, 2849, 1, 2));
        assert_eq!(interfaces[1].transmit, traffic(158_392, 1495, 7, 8));
    }

    #[test]
    fn long_name_and_full_counter_without_a_space() {
        let interfaces = parse(DEV).unwrap();
        assert_eq!(interfaces[2].name, "wlp0s20f3");
        assert_eq!(interfaces[2].receive.bytes, u64::MAX);
        assert_eq!(interfaces[2].transmit.bytes, 2);
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(parse("a\nb\neth0 1 2 3\n"), None);
        assert_eq!(parse("a\nb\neth0: 1 2 3\n"), None);
        assert_eq!(parse("a\nb\n").unwrap(), []);
    }
}
