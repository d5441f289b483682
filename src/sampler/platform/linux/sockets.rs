//! Counts of sockets from the texts of `/proc/net`, and the kernel's numbers of TCP states.

use crate::sample::TcpStates;

/// Adds one socket of the kernel's state `number` (include/net/tcp_states.h).
pub(super) fn add(number: u8, to: &mut TcpStates) {
    let count = match number {
        1 => &mut to.established,
        2 => &mut to.syn_sent,
        // 12 is a half-open connection that has no socket yet.
        3 | 12 => &mut to.syn_recv,
        4 => &mut to.fin_wait1,
        5 => &mut to.fin_wait2,
        6 => &mut to.time_wait,
        7 => &mut to.close,
        8 => &mut to.close_wait,
        9 => &mut to.last_ack,
        10 => &mut to.listen,
        11 => &mut to.closing,
        _ => return,
    };
    *count += 1;
}

/// Adds the sockets of a `/proc/net/tcp` or `tcp6`: `sl local_address rem_address st …`.
pub(super) fn add_listed(text: &str, to: &mut TcpStates) {
    for line in text.lines().skip(1) {
        let state = line.split_ascii_whitespace().nth(3);
        if let Some(number) = state.and_then(|state| u8::from_str_radix(state, 16).ok()) {
            add(number, to);
        }
    }
}

/// The number behind `key` in the line of `protocol`, like `UDP: inuse 5 mem 2`.
pub(super) fn figure(text: &str, protocol: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(protocol))?;
    line.split_ascii_whitespace().skip_while(|&word| word != key).nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_sockets_are_counted_by_state() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n\
            \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n\
            \x20  1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000\n\
            \x20  2: 0100007F:1F90 0100007F:C351 06 00000000:00000000 00:00000000 00000000\n\
            \x20  3: 0100007F:1F90 0100007F:C352 0C 00000000:00000000 00:00000000 00000000\n";
        let mut states = TcpStates::default();
        add_listed(text, &mut states);
        let expected = TcpStates {
            listen: 1,
            established: 1,
            time_wait: 1,
            syn_recv: 1,
            ..TcpStates::default()
        };
        assert_eq!(states, expected);
    }

    #[test]
    fn udp_is_not_taken_for_udplite() {
        let text = "sockets: used 12\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 170\n\
            UDPLITE: inuse 9\nUDP: inuse 3 mem 0\n";
        assert_eq!(figure(text, "UDP:", "inuse"), Some(3));
        assert_eq!(figure("", "UDP6:", "inuse"), None);
    }
}
