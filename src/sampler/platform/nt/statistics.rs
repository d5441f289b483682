//! What TCP and UDP have done: `MIB_TCPSTATS` and `MIB_UDPSTATS` of both IP versions, told as one.
//! The counters have 32 bits; so has their sum, which wraps where each of them does.

use super::super::bytes::word;
use crate::sample::{TcpTraffic, UdpTraffic};

/// What `MIB_TCPSTATS` takes.
pub(in crate::sampler) const TCP_BYTES: usize = 60;
/// What `MIB_UDPSTATS` takes.
pub(in crate::sampler) const UDP_BYTES: usize = 20;

/// TCP, of as many IP versions as there are; `None` of none.
pub(in crate::sampler) fn tcp(versions: &[Vec<u8>]) -> Option<TcpTraffic> {
    let number = |place| sum(versions, place);
    Some(TcpTraffic {
        active_opens: Some(number(4)?),
        passive_opens: Some(number(5)?),
        failed_opens: Some(number(6)?),
        resets: Some(number(7)?),
        in_segments: Some(number(9)?),
        out_segments: Some(number(10)?),
        retransmitted: Some(number(11)?),
        in_errors: Some(number(12)?),
        out_resets: Some(number(13)?),
        ..TcpTraffic::default()
    })
}

/// UDP, of as many IP versions as there are; `None` of none.
pub(in crate::sampler) fn udp(versions: &[Vec<u8>]) -> Option<UdpTraffic> {
    let number = |place| sum(versions, place);
    Some(UdpTraffic {
        in_datagrams: Some(number(0)?),
        no_ports: Some(number(1)?),
        in_errors: Some(number(2)?),
        out_datagrams: Some(number(3)?),
        ..UdpTraffic::default()
    })
}

/// Open UDP sockets; `None` of no IP version.
pub(in crate::sampler) fn udp_sockets(versions: &[Vec<u8>]) -> Option<u64> {
    sum(versions, 4)
}

/// The sum of the words at that place; `None` when a structure lacks it or there is none.
fn sum(versions: &[Vec<u8>], place: usize) -> Option<u64> {
    let mut numbers = versions.iter().map(|structure| word(structure, 4 * place));
    let first = numbers.next()??;
    let sum = numbers.try_fold(first, |sum, number| Some(sum.wrapping_add(number?)))?;
    Some(sum.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::platform::bytes::structure;

    fn numbered(length: usize, step: u32) -> Vec<u8> {
        let words: Vec<_> = (0..length).step_by(4).zip((0..).map(|place| place * step)).collect();
        structure(length, &words, &[])
    }

    #[test]
    fn both_ip_versions_are_one_figure() {
        let tcp = tcp(&[numbered(TCP_BYTES, 1), numbered(TCP_BYTES, 100)]).unwrap();
        assert_eq!((tcp.active_opens, tcp.passive_opens), (Some(404), Some(505)));
        assert_eq!((tcp.failed_opens, tcp.resets), (Some(606), Some(707)));
        assert_eq!((tcp.in_segments, tcp.out_segments), (Some(909), Some(1010)));
        assert_eq!((tcp.retransmitted, tcp.in_errors), (Some(1111), Some(1212)));
        assert_eq!((tcp.out_resets, tcp.listen_drops), (Some(1313), None));
        let versions = [numbered(UDP_BYTES, 1), numbered(UDP_BYTES, 100)];
        let udp = udp(&versions).unwrap();
        assert_eq!((udp.in_datagrams, udp.no_ports), (Some(0), Some(101)));
        assert_eq!((udp.in_errors, udp.out_datagrams), (Some(202), Some(303)));
        assert_eq!(udp_sockets(&versions), Some(404));
    }

    #[test]
    fn sum_wraps_where_each_counter_does() {
        let full = structure(UDP_BYTES, &[(0, u32::MAX)], &[]);
        let one = structure(UDP_BYTES, &[(0, 2)], &[]);
        assert_eq!(udp(&[full, one]).unwrap().in_datagrams, Some(1));
    }

    #[test]
    fn no_ip_version_and_a_cut_structure_have_no_figures() {
        assert_eq!((tcp(&[]), udp(&[]), udp_sockets(&[])), (None, None, None));
        assert_eq!(tcp(&[vec![0; TCP_BYTES], vec![0; 20]]), None);
    }
}
