//! Counts the rows of `MIB_TCPTABLE_OWNER_PID` and `MIB_TCP6TABLE_OWNER_PID` by their state.

use crate::sample::TcpStates;

/// Which of the two tables it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::sampler) enum Family {
    /// Six words a row, the state first.
    V4,
    /// Fourteen words a row: two addresses of four words, each with scope and port, the state.
    V6,
}

/// Adds the sockets of a table: the number of rows, then the rows, in words of 32 bits.
pub(in crate::sampler) fn add(table: &[u32], family: Family, to: &mut TcpStates) {
    let (words, state) = match family {
        Family::V4 => (6, 0),
        Family::V6 => (14, 12),
    };
    let Some((&count, rows)) = table.split_first() else { return };
    let count = usize::try_from(count).unwrap_or_default();
    for row in rows.chunks_exact(words).take(count) {
        add_one(row[state], to);
    }
}

/// `MIB_TCP_STATE`.
fn add_one(number: u32, to: &mut TcpStates) {
    let count = match number {
        // 12: about to be deleted.
        1 | 12 => &mut to.close,
        2 => &mut to.listen,
        3 => &mut to.syn_sent,
        4 => &mut to.syn_recv,
        5 => &mut to.established,
        6 => &mut to.fin_wait1,
        7 => &mut to.fin_wait2,
        8 => &mut to.close_wait,
        9 => &mut to.closing,
        10 => &mut to.last_ack,
        11 => &mut to.time_wait,
        _ => return,
    };
    *count += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_both_families_are_counted_and_what_lies_behind_them_is_not() {
        let mut states = TcpStates::default();
        let v4 = [vec![2], vec![5, 0, 0, 0, 0, 0], vec![2, 9, 9, 9, 9, 9], vec![11; 6]].concat();
        add(&v4, Family::V4, &mut states);
        let mut row = vec![7; 14];
        row[12] = 5;
        add(&[vec![1], row].concat(), Family::V6, &mut states);
        assert_eq!(states, TcpStates { established: 2, listen: 1, ..TcpStates::default() });
    }

    #[test]
    fn cut_or_empty_table_does_no_harm() {
        let mut states = TcpStates::default();
        add(&[], Family::V4, &mut states);
        add(&[u32::MAX, 5, 0, 0], Family::V4, &mut states);
        assert_eq!(states, TcpStates::default());
    }
}
