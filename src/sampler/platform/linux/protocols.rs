//! What TCP and UDP count, from `/proc/net/snmp` (RFC 2012 and 2013, IPv6 included for TCP),
//! `/proc/net/netstat` and `/proc/net/snmp6`. Columns go by their names: each kernel adds some.

use crate::sample::{TcpTraffic, UdpTraffic};

/// From `snmp` and `netstat`; `None` when there is nothing of TCP.
pub(super) fn tcp(snmp: &str, netstat: &str) -> Option<TcpTraffic> {
    let mut traffic = TcpTraffic::default();
    for (name, number) in columns(snmp, "Tcp:") {
        let figure = match name {
            "ActiveOpens" => &mut traffic.active_opens,
            "PassiveOpens" => &mut traffic.passive_opens,
            "AttemptFails" => &mut traffic.failed_opens,
            "EstabResets" => &mut traffic.resets,
            "InSegs" => &mut traffic.in_segments,
            "OutSegs" => &mut traffic.out_segments,
            "RetransSegs" => &mut traffic.retransmitted,
            "InErrs" => &mut traffic.in_errors,
            "OutRsts" => &mut traffic.out_resets,
            _ => continue,
        };
        *figure = number;
    }
    for (name, number) in columns(netstat, "TcpExt:") {
        match name {
            "ListenOverflows" => traffic.listen_overflows = number,
            "ListenDrops" => {
                traffic.listen_drops = number;
                break;
            }
            _ => {}
        }
    }
    Some(traffic).filter(|traffic| *traffic != TcpTraffic::default())
}

/// From `snmp` (IPv4) and `snmp6`, added; `None` when there is nothing of UDP.
pub(super) fn udp(snmp: &str, snmp6: &str) -> Option<UdpTraffic> {
    let mut traffic = UdpTraffic::default();
    for (name, number) in columns(snmp, "Udp:") {
        if let Some(figure) = figure(name, &mut traffic) {
            *figure = number;
        }
    }
    // Four of five lines are of other protocols.
    for line in snmp6.lines().filter_map(|line| line.strip_prefix("Udp6")) {
        let mut words = line.split_ascii_whitespace();
        let figure = words.next().and_then(|name| figure(name, &mut traffic));
        let number = words.next().and_then(|number| number.parse::<u64>().ok());
        if let (Some(figure), Some(number)) = (figure, number) {
            *figure = Some(figure.unwrap_or(0).saturating_add(number));
        }
    }
    Some(traffic).filter(|traffic| *traffic != UdpTraffic::default())
}

fn figure<'a>(name: &str, traffic: &'a mut UdpTraffic) -> Option<&'a mut Option<u64>> {
    Some(match name {
        "InDatagrams" => &mut traffic.in_datagrams,
        "OutDatagrams" => &mut traffic.out_datagrams,
        "NoPorts" => &mut traffic.no_ports,
        "InErrors" => &mut traffic.in_errors,
        "RcvbufErrors" => &mut traffic.receive_buffer_errors,
        "SndbufErrors" => &mut traffic.send_buffer_errors,
        _ => return None,
    })
}

/// The names of a line that begins with `protocol`, with the numbers of the next such line.
fn columns<'a>(text: &'a str, protocol: &str) -> impl Iterator<Item = (&'a str, Option<u64>)> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol));
    let names = lines.next().unwrap_or_default().split_ascii_whitespace();
    let numbers = lines.next().unwrap_or_default().split_ascii_whitespace();
    names.zip(numbers.map(|number| number.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &str = "Tcp: RtoAlgorithm MaxConn ActiveOpens RetransSegs\nTcp: 1 -1 15 6\n\
        Udp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 5 1 2 9\n\
        UdpLite: InDatagrams\nUdpLite: 77\n";

    #[test]
    fn columns_go_by_their_names() {
        let netstat = "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPHPHits\n\
            TcpExt: 0 3 4 5\nIpExt: InNoRoutes\nIpExt: 0\n";
        let tcp = tcp(SNMP, netstat).unwrap();
        assert_eq!((tcp.active_opens, tcp.retransmitted), (Some(15), Some(6)));
        assert_eq!((tcp.listen_overflows, tcp.listen_drops), (Some(3), Some(4)));
        assert_eq!(tcp.in_segments, None);
    }

    #[test]
    fn udp_of_both_families_is_added() {
        let udp =
            udp(SNMP, "Ip6InReceives 1\nUdp6InDatagrams                 \t10\nUdp6NoPorts \t3\n");
        let udp = udp.unwrap();
        assert_eq!((udp.in_datagrams, udp.no_ports), (Some(15), Some(4)));
        assert_eq!((udp.out_datagrams, udp.receive_buffer_errors), (Some(9), None));
    }

    #[test]
    fn nothing_is_not_zero() {
        assert_eq!((tcp("", ""), udp("", "")), (None, None));
        assert_eq!(tcp("Tcp: ActiveOpens\n", ""), None);
    }
}
