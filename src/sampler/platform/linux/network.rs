//! Interfaces from `/proc/net/dev` and `/sys`; sockets from netlink and `/proc/net/sockstat`;
//! protocols from `/proc/net/snmp` and its like.

use super::{
    attribute::Attribute,
    links::Links,
    proc_file::ProcFile,
    protocols, sockets,
    tcp::{Population, TcpCounter},
};
use crate::{
    sample::{Conntrack, Interface, TcpStates, TcpTraffic, Traffic, UdpTraffic},
    sampler::{SampleError, root::HostRoot},
};

/// Reads interfaces and sockets of this network namespace, or of the host's.
pub(in crate::sampler) struct NetworkSource {
    dev: ProcFile,
    links: Links,
    sockstat: ProcFile,
    sockstat6: ProcFile,
    tcp: ProcFile,
    tcp6: ProcFile,
    snmp: ProcFile,
    /// What was read of it for this sample.
    snmp_text: Option<String>,
    snmp6: ProcFile,
    netstat: ProcFile,
    /// `None` for another network namespace than our own, whose sockets netlink doesn't tell.
    counter: Option<TcpCounter>,
    /// The same goes for `/proc/sys/net`.
    conntrack: Option<[Attribute; 2]>,
}

impl NetworkSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(root: &HostRoot) -> Self {
        let net = |name| ProcFile::new(root.net(name));
        let at_once = |name| ProcFile::at_once(root.net(name));
        let conntrack = ["nf_conntrack_count", "nf_conntrack_max"];
        let conntrack =
            conntrack.map(|name| Attribute::new(format!("/proc/sys/net/netfilter/{name}")));
        let own = root.0.is_none();
        Self {
            dev: net("dev"),
            links: Links::new(root),
            sockstat: at_once("sockstat"),
            sockstat6: at_once("sockstat6"),
            tcp: net("tcp"),
            tcp6: net("tcp6"),
            snmp: at_once("snmp"),
            snmp_text: None,
            snmp6: at_once("snmp6"),
            netstat: at_once("netstat"),
            counter: own.then(TcpCounter::new),
            conntrack: own.then_some(conntrack),
        }
    }

    /// Counters since boot; `/proc/net/dev`.
    pub(in crate::sampler) fn interfaces(&mut self) -> Result<Vec<Interface>, SampleError> {
        let parsed = parse(&self.dev.read()?);
        parsed.ok_or_else(|| self.dev.malformed())
    }

    /// Fills in what those interfaces are and how they do.
    pub(in crate::sampler) fn describe(&mut self, interfaces: &mut [Interface]) {
        self.links.describe(interfaces, std::time::Instant::now());
    }

    /// What TCP and UDP count.
    pub(in crate::sampler) fn protocols(&mut self) -> (Option<TcpTraffic>, Option<UdpTraffic>) {
        let Ok(snmp) = self.snmp.read().map(String::from) else { return (None, None) };
        let netstat = self.netstat.read_if_there().unwrap_or_default();
        let tcp = protocols::tcp(&snmp, &netstat);
        let udp = protocols::udp(&snmp, &self.snmp6.read_if_there().unwrap_or_default());
        self.snmp_text = Some(snmp);
        (tcp, udp)
    }

    /// Connections that the firewall follows, if it does.
    pub(in crate::sampler) fn conntrack(&mut self) -> Option<Conntrack> {
        let [count, max] = self.conntrack.as_mut()?;
        Some(Conntrack { count: count.number(true)?, max: max.number(true) })
    }

    /// TCP sockets by state: netlink's inet_diag, and where a sandbox forbids that the far dearer
    /// `/proc/net/tcp` and `tcp6`.
    pub(in crate::sampler) fn tcp_states(&mut self) -> Result<TcpStates, SampleError> {
        let population = self.population();
        if let Some(Ok(states)) = self.counter.as_mut().map(|counter| counter.count(population)) {
            return Ok(states);
        }
        let mut states = TcpStates::default();
        sockets::add_listed(&self.tcp.read()?, &mut states);
        sockets::add_listed(&self.tcp6.read_if_there()?, &mut states);
        Ok(states)
    }

    fn population(&mut self) -> Option<Population> {
        let snmp = match self.snmp_text.take() {
            Some(text) => text,
            None => self.snmp.read().ok()?.into_owned(),
        };
        let sockstat = self.sockstat.read().ok()?;
        let sockstat6 = self.sockstat6.read_if_there().ok()?;
        Population::parse(&sockstat, &sockstat6, &snmp)
    }

    /// Open UDP sockets: `/proc/net/sockstat` and, unless IPv6 is off, `sockstat6`.
    pub(in crate::sampler) fn udp_sockets(&mut self) -> Result<u64, SampleError> {
        let v4 = sockets::figure(&self.sockstat.read()?, "UDP:", "inuse");
        let v4 = v4.ok_or_else(|| self.sockstat.malformed())?;
        let v6 = sockets::figure(&self.sockstat6.read_if_there()?, "UDP6:", "inuse");
        Ok(v4.saturating_add(v6.unwrap_or(0)))
    }
}

/// Two lines of headings, then `name: 8 columns received, 8 columns sent`.
pub(super) fn parse(text: &str) -> Option<Vec<Interface>> {
    text.lines().skip(2).map(interface).collect()
}

fn interface(line: &str) -> Option<Interface> {
    // Old kernels put no space behind the colon; very old ones have colons in names.
    let (name, columns) = line.rsplit_once(':')?;
    let mut numbers = [None; 16];
    for (number, column) in numbers.iter_mut().zip(columns.split_ascii_whitespace()) {
        *number = Some(column.parse().ok()?);
    }
    let (received, sent) = numbers.split_at(8);
    let mut receive = traffic(received)?;
    [receive.frame, receive.compressed, receive.multicast] =
        [received[5], received[6], received[7]];
    let mut transmit = traffic(sent)?;
    [transmit.collisions, transmit.carrier, transmit.compressed] = [sent[5], sent[6], sent[7]];
    let name = name.trim_start().to_owned();
    Some(Interface { name, receive, transmit, ..Interface::default() })
}

/// The columns that both directions have: bytes, packets, errors, dropped, fifo.
fn traffic(columns: &[Option<u64>]) -> Option<Traffic> {
    Some(Traffic {
        bytes: columns[0]?,
        packets: columns[1]?,
        errors: columns[2],
        dropped: columns[3],
        fifo: columns[4],
        ..Traffic::default()
    })
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
        assert_eq!(interfaces[1].name, "eth0");
        let expected = Traffic {
            bytes: 76_159_541,
            packets: 2849,
            errors: Some(1),
            dropped: Some(2),
            fifo: Some(3),
            frame: Some(4),
            compressed: Some(5),
            multicast: Some(6),
            ..Traffic::default()
        };
        assert_eq!(interfaces[1].receive, expected);
        let expected = Traffic {
            bytes: 158_392,
            packets: 1495,
            errors: Some(7),
            dropped: Some(8),
            fifo: Some(9),
            collisions: Some(10),
            carrier: Some(11),
            compressed: Some(12),
            ..Traffic::default()
        };
        assert_eq!(interfaces[1].transmit, expected);
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
