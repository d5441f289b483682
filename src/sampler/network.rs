//! Interfaces and sockets. Chooses the interfaces and fills in their rates; the readings are the
//! platform's.

use std::time::{Duration, Instant};

use super::{
    SampleError, Sampler,
    filter::Globs,
    partial::Part,
    platform,
    rate::{Earlier, Previous, per_second},
    root::HostRoot,
};
use crate::sample::{Connections, Group, Interface, Metrics, Network, Traffic};

/// Samples [`Group::Network`].
pub(super) struct NetworkSampler {
    source: platform::NetworkSource,
    filter: Globs,
    connections: bool,
    tcp: Part,
    udp: Part,
    previous: Option<Previous<Vec<Interface>>>,
}

impl NetworkSampler {
    /// Tells of the interfaces that `filter` admits; counts sockets if `connections`.
    pub(super) fn new(root: &HostRoot, filter: Globs, connections: bool) -> Self {
        Self {
            source: platform::NetworkSource::new(root),
            filter,
            connections,
            tcp: Part::new("TCP sockets"),
            udp: Part::new("UDP sockets"),
            previous: None,
        }
    }

    fn connections(&mut self) -> Connections {
        Connections {
            tcp: self.tcp.settle(self.source.tcp_states()),
            udp: self.udp.settle(self.source.udp_sockets()),
        }
    }
}

impl Sampler for NetworkSampler {
    fn group(&self) -> Group {
        Group::Network
    }

    fn sample(&mut self) -> Result<Metrics, SampleError> {
        let mut interfaces = self.source.interfaces()?;
        let now = Instant::now();
        interfaces.retain(|interface| self.filter.admit(&[&interface.name]));
        if let Some(previous) = &self.previous {
            fill_rates(&mut interfaces, &previous.reading, previous.elapsed(now));
        }
        self.previous = Some(Previous::new(now, interfaces.clone()));
        self.source.describe(&mut interfaces);
        let (tcp, udp) = self.source.protocols();
        let connections = self.connections.then(|| self.connections());
        let conntrack = self.source.conntrack();
        Ok(Metrics::Network(Network { interfaces, connections, tcp, udp, conntrack }))
    }
}

fn fill_rates(now: &mut [Interface], before: &[Interface], elapsed: Duration) {
    let mut before = Earlier::new(before);
    for interface in now {
        if let Some(earlier) = before.find(|earlier| earlier.name == interface.name) {
            fill_traffic(&mut interface.receive, &earlier.receive, elapsed);
            fill_traffic(&mut interface.transmit, &earlier.transmit, elapsed);
        }
    }
}

fn fill_traffic(now: &mut Traffic, before: &Traffic, elapsed: Duration) {
    now.bytes_per_second = per_second(before.bytes, now.bytes, elapsed);
    now.packets_per_second = per_second(before.packets, now.packets, elapsed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, received: u64, sent: u64) -> Interface {
        let traffic = |bytes| Traffic { bytes, packets: bytes / 100, ..Traffic::default() };
        Interface {
            name: name.into(),
            receive: traffic(received),
            transmit: traffic(sent),
            ..Interface::default()
        }
    }

    fn after_two_seconds(before: &[Interface], mut now: Vec<Interface>) -> Vec<Interface> {
        fill_rates(&mut now, before, Duration::from_secs(2));
        now
    }

    #[test]
    fn rates_are_of_the_interface_with_the_same_name() {
        let before = [interface("eth1", 0, 0), interface("eth0", 1000, 500)];
        let now = after_two_seconds(&before, vec![interface("eth0", 3000, 700)]);
        assert_eq!(now[0].receive.bytes_per_second, Some(1000.0));
        assert_eq!(now[0].receive.packets_per_second, Some(10.0));
        assert_eq!(now[0].transmit.bytes_per_second, Some(100.0));
    }

    #[test]
    fn interface_that_was_made_anew_has_no_rate_in_the_direction_that_fell() {
        let now =
            after_two_seconds(&[interface("ppp0", 9000, 10)], vec![interface("ppp0", 10, 20)]);
        assert_eq!(now[0].receive.bytes_per_second, None);
        assert_eq!(now[0].transmit.bytes_per_second, Some(5.0));
    }

    #[test]
    fn new_interface_has_no_rate() {
        let now = after_two_seconds(&[], vec![interface("tun0", 1, 1)]);
        assert_eq!(now[0].receive.bytes_per_second, None);
    }
}
