//! What TCP and UDP have done: the first fields of `tcpstat` and `udpstat` (xnu's
//! bsd/netinet/tcp_var.h, udp_var.h), which no crate declares. They have 32 bits and wrap; what is
//! computed of several wraps with them. The kernel may give all zeros to whoever isn't root.

use super::super::bytes::word;
use crate::sample::{TcpTraffic, UdpTraffic};

/// Where each number lies in `tcpstat`, in words.
mod tcp_at {
    pub(super) const CONNATTEMPT: usize = 0;
    pub(super) const ACCEPTS: usize = 1;
    pub(super) const DROPS: usize = 3;
    pub(super) const CONNDROPS: usize = 4;
    pub(super) const SNDTOTAL: usize = 15;
    pub(super) const SNDREXMITPACK: usize = 18;
    pub(super) const RCVTOTAL: usize = 25;
    /// Wrong sum, wrong offset, no memory, too short.
    pub(super) const RCVBAD: [usize; 4] = [28, 29, 30, 31];
    pub(super) const LISTENDROP: usize = 60;
}

/// Where each number lies in `udpstat`, in words.
mod udp_at {
    pub(super) const IPACKETS: usize = 0;
    /// Cut header, wrong sum, wrong length, full buffer of a socket.
    pub(super) const BAD: [usize; 4] = [1, 2, 3, FULLSOCK];
    pub(super) const NOPORT: usize = 4;
    pub(super) const NOPORTBCAST: usize = 5;
    pub(super) const FULLSOCK: usize = 6;
    pub(super) const OPACKETS: usize = 9;
    pub(super) const FILTERMCAST: usize = 13;
}

/// TCP; `None` when the structure is too short or all zero.
pub(in crate::sampler) fn tcp(structure: &[u8]) -> Option<TcpTraffic> {
    if is_hidden(structure) {
        return None;
    }
    let at = |place: usize| word(structure, 4 * place);
    let again = at(tcp_at::SNDREXMITPACK)?;
    let number = |place| at(place).map(u64::from);
    Some(TcpTraffic {
        active_opens: Some(number(tcp_at::CONNATTEMPT)?),
        passive_opens: Some(number(tcp_at::ACCEPTS)?),
        failed_opens: Some(number(tcp_at::CONNDROPS)?),
        resets: Some(number(tcp_at::DROPS)?),
        in_segments: Some(number(tcp_at::RCVTOTAL)?),
        out_segments: Some(at(tcp_at::SNDTOTAL)?.wrapping_sub(again).into()),
        retransmitted: Some(again.into()),
        in_errors: Some(sum(structure, &tcp_at::RCVBAD)?.into()),
        listen_drops: Some(number(tcp_at::LISTENDROP)?),
        ..TcpTraffic::default()
    })
}

/// UDP; `None` when the structure is too short or all zero.
pub(in crate::sampler) fn udp(structure: &[u8]) -> Option<UdpTraffic> {
    if is_hidden(structure) {
        return None;
    }
    let at = |place: usize| word(structure, 4 * place);
    let bad = sum(structure, &udp_at::BAD)?;
    let unwanted = sum(structure, &[udp_at::NOPORT, udp_at::NOPORTBCAST, udp_at::FILTERMCAST])?;
    Some(UdpTraffic {
        in_datagrams: Some(at(udp_at::IPACKETS)?.wrapping_sub(bad).wrapping_sub(unwanted).into()),
        out_datagrams: Some(at(udp_at::OPACKETS)?.into()),
        no_ports: Some(at(udp_at::NOPORT)?.into()),
        in_errors: Some(bad.into()),
        receive_buffer_errors: Some(at(udp_at::FULLSOCK)?.into()),
        send_buffer_errors: None,
    })
}

/// No system that runs has sent and received nothing.
fn is_hidden(structure: &[u8]) -> bool {
    structure.iter().all(|&byte| byte == 0)
}

fn sum(structure: &[u8], places: &[usize]) -> Option<u32> {
    places.iter().try_fold(0_u32, |sum, place| Some(sum.wrapping_add(word(structure, 4 * place)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::platform::bytes::structure;

    /// Each word is the square of its place.
    fn squares(count: u32) -> Vec<u8> {
        let words: Vec<_> = (0..count).map(|place| (4 * place as usize, place * place)).collect();
        structure(4 * count as usize, &words, &[])
    }

    #[test]
    fn segments_sent_again_are_no_part_of_those_sent() {
        let tcp = tcp(&squares(61)).unwrap();
        assert_eq!((tcp.active_opens, tcp.passive_opens), (Some(0), Some(1)));
        assert_eq!((tcp.resets, tcp.failed_opens), (Some(9), Some(16)));
        // The word of all segments is less than that of the repeated ones here: it has wrapped.
        let wrapped = u64::from((15_u32 * 15).wrapping_sub(18 * 18));
        assert_eq!((tcp.out_segments, tcp.retransmitted), (Some(wrapped), Some(324)));
        assert_eq!((tcp.in_segments, tcp.in_errors), (Some(625), Some(784 + 841 + 900 + 961)));
        assert_eq!((tcp.listen_drops, tcp.listen_overflows), (Some(3600), None));
    }

    #[test]
    fn datagrams_that_reached_nobody_are_no_part_of_those_received() {
        let mut words: Vec<_> = (1..14).map(|place| (4 * place, 1)).collect();
        words.push((0, 1000));
        let udp = udp(&structure(56, &words, &[])).unwrap();
        assert_eq!((udp.in_datagrams, udp.in_errors), (Some(993), Some(4)));
        assert_eq!((udp.no_ports, udp.receive_buffer_errors), (Some(1), Some(1)));
        assert_eq!((udp.out_datagrams, udp.send_buffer_errors), (Some(1), None));
    }

    #[test]
    fn zeros_given_to_the_unprivileged_are_no_figures_and_a_cut_structure_has_none() {
        assert_eq!((tcp(&[0; 800]), udp(&[0; 88])), (None, None));
        assert_eq!((tcp(&squares(60)), udp(&squares(13))), (None, None));
    }
}
