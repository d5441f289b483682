//! TCP sockets by state, without walking the kernel's table of connections when that can be spared.
//!
//! The walk takes as long as all other readings together. Between two walks, the kernel's own
//! counts show whether a socket came or went; while none did and there are few, asking for each
//! one's state is exact, but for a handshake from outside that is less than a second old.

use super::{
    inet_diag::{ALL_BUT_ESTABLISHED, ALL_STATES, InetDiag, Socket},
    sockets,
};
use crate::{sample::TcpStates, sampler::SampleError};

/// With more sockets the walk is as cheap.
const MAX_KNOWN: usize = 24;
/// With more, the kernel tells of each one that isn't established.
const MOST_LISTED: u64 = 4096;
/// Even if nothing seems to change.
const MAX_WITHOUT_WALK: u32 = 12;

const SYN_RECV: u8 = 3;
const TIME_WAIT: u8 = 6;
const LISTEN: u8 = 10;

/// Counts that change when a socket comes or goes: of `/proc/net/sockstat` and `sockstat6` the
/// sockets in use, of `/proc/net/snmp` the connections opened, failed, reset and established, and
/// the segments sent again (as a handshake that stays half-open makes the kernel do).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Population(Vec<u64>);

impl Population {
    /// From the three texts; `None` when one isn't as expected.
    pub(super) fn parse(sockstat: &str, sockstat6: &str, snmp: &str) -> Option<Self> {
        let of = |text: &str, key| sockets::figure(text, "TCP:", key);
        let mut counts = vec![of(sockstat, "inuse")?, of(sockstat, "tw")?];
        counts.push(sockets::figure(sockstat6, "TCP6:", "inuse").unwrap_or(0));
        // A line of names, then one of numbers; `MaxConn` may be -1.
        let numbers = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:")).nth(1)?;
        let number = |column| numbers.split_ascii_whitespace().nth(column)?.parse::<u64>().ok();
        let (opens_to_established, sent_again) = (4..9, 11);
        for column in opens_to_established.chain([sent_again]) {
            counts.push(number(column)?);
        }
        Some(Self(counts))
    }

    /// Whole sockets, of IPv4 and IPv6.
    fn in_use(&self) -> u64 {
        let count = |at| self.0.get(at).copied().unwrap_or_default();
        count(0_usize).saturating_add(count(2))
    }
}

/// What the last walk has found.
struct Known {
    population: Population,
    /// Sockets that only come and go.
    still: TcpStates,
    /// Sockets whose state may change otherwise.
    sockets: Vec<Socket>,
    good_for: u32,
}

/// Counts TCP sockets.
pub(super) struct TcpCounter {
    diag: InetDiag,
    known: Option<Known>,
}

impl TcpCounter {
    /// Touches nothing yet.
    pub(super) const fn new() -> Self {
        Self { diag: InetDiag::new(), known: None }
    }

    /// TCP sockets of this network namespace by state; `population` as read just before.
    pub(super) fn count(
        &mut self,
        population: Option<Population>,
    ) -> Result<TcpStates, SampleError> {
        if let Some(states) = self.recount(population.as_ref()) {
            return Ok(states);
        }
        let in_use = population.as_ref().map(Population::in_use);
        if let Some(in_use) = in_use.filter(|&in_use| in_use > MOST_LISTED) {
            return self.count_many(in_use);
        }
        let (mut states, mut still) = (TcpStates::default(), TcpStates::default());
        let mut moving = Vec::new();
        self.diag.list(ALL_STATES, |socket| {
            sockets::add(socket.state, &mut states);
            if matches!(socket.state, LISTEN | TIME_WAIT) {
                sockets::add(socket.state, &mut still);
            } else if moving.len() <= MAX_KNOWN {
                moving.push(socket);
            }
        })?;
        let few = moving.len() <= MAX_KNOWN && moving.iter().all(|socket| socket.state != SYN_RECV);
        self.known = population.filter(|_| few).map(|population| Known {
            population,
            still,
            sockets: moving,
            good_for: MAX_WITHOUT_WALK,
        });
        Ok(states)
    }

    /// Sockets by state, of `in_use` whole ones: without telling of those that are established, the walk
    /// takes a tenth of the time.
    fn count_many(&mut self, in_use: u64) -> Result<TcpStates, SampleError> {
        let (mut states, mut whole) = (TcpStates::default(), 0);
        self.diag.list(ALL_BUT_ESTABLISHED, |socket| {
            sockets::add(socket.state, &mut states);
            whole += u64::from(socket.is_whole);
        })?;
        states.established = in_use.saturating_sub(whole);
        Ok(states)
    }

    /// The sockets that the last walk has found, if they are still all there are.
    fn recount(&mut self, population: Option<&Population>) -> Option<TcpStates> {
        let mut known = self.known.take().filter(|known| known.good_for > 0)?;
        if population? != &known.population {
            return None;
        }
        // Should the kernel not answer that, the walk will tell why.
        self.diag.update(&mut known.sockets).ok().filter(|&all_there| all_there)?;
        let mut states = known.still;
        for socket in &known.sockets {
            sockets::add(socket.state, &mut states);
        }
        known.good_for -= 1;
        self.known = Some(known);
        Some(states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &str = "Ip: Forwarding DefaultTTL\nIp: 2 64\n\
        Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets \
        CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n\
        Tcp: 1 200 120000 -1 15 2 3 5 4 2848 1492 6 0 7 0\n";
    const SOCKSTAT: &str = "sockets: used 12\nTCP: inuse 8 orphan 0 tw 9 alloc 1 mem 170\n";

    #[test]
    fn population_is_made_of_what_comes_and_goes() {
        let population = Population::parse(SOCKSTAT, "TCP6: inuse 1\n", SNMP).unwrap();
        assert_eq!(population.0, [8, 9, 1, 15, 2, 3, 5, 4, 6]);
        assert_eq!(population.in_use(), 9);
        assert_eq!(Population::parse(SOCKSTAT, "", SNMP).unwrap().0[2], 0);
        assert_eq!(Population::parse("", "", SNMP), None);
        assert_eq!(Population::parse(SOCKSTAT, "", "Tcp: 1\n"), None);
    }

    mod on_this_host {
        use std::net::{Shutdown, TcpListener, TcpStream};

        use super::*;

        /// Counts as if no socket came or went since `known` were all there are.
        fn count_known(counter: &mut TcpCounter, known: &[Socket]) -> TcpStates {
            let known = Known {
                population: Population(Vec::new()),
                still: TcpStates::default(),
                sockets: known.to_vec(),
                good_for: 1,
            };
            counter.known = Some(known);
            counter.count(Some(Population(Vec::new()))).unwrap()
        }

        fn established(counter: &mut TcpCounter) -> Vec<Socket> {
            let mut sockets = Vec::new();
            counter.diag.list(ALL_STATES, |socket| sockets.push(socket)).unwrap();
            sockets.retain(|socket| socket.state == 1);
            sockets
        }

        #[test]
        fn state_that_changed_is_seen_without_a_walk() {
            let mut counter = TcpCounter::new();
            let before = established(&mut counter);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, _) = listener.accept().unwrap();
            let mut ours = established(&mut counter);
            ours.retain(|socket| !before.contains(socket));
            // Other tests may have opened sockets meanwhile.
            assert!(ours.len() >= 2);
            client.shutdown(Shutdown::Write).unwrap();
            let states = count_known(&mut counter, &ours);
            // The peer may take its time to acknowledge the end.
            assert!(states.close_wait >= 1, "{states:?}");
            assert!(states.fin_wait1 + states.fin_wait2 >= 1, "{states:?}");
            drop(server);
        }

        #[test]
        fn of_many_those_are_established_that_the_others_leave() {
            let mut counter = TcpCounter::new();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let in_use = 1_000_000;
            let states = counter.count_many(in_use).unwrap();
            assert!(states.listen >= 1, "{client:?}");
            let others = states.listen + states.close_wait + states.fin_wait1 + states.closing;
            // What the other tests have open is among them, but for what remains of closed ones.
            assert!(states.established <= in_use - others, "{states:?}");
            assert!(states.established > in_use - 10_000, "{states:?}");
            assert_eq!(counter.count_many(0).unwrap().established, 0);
        }

        #[test]
        fn without_a_connection_there_is_nothing_to_ask_for() {
            let states = count_known(&mut TcpCounter::new(), &[]);
            assert_eq!(states, TcpStates::default());
        }

        #[test]
        fn socket_that_is_gone_makes_it_walk() {
            let mut counter = TcpCounter::new();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let gone = Socket::gone();
            let states = count_known(&mut counter, &[gone]);
            assert!(states.listen >= 1, "{listener:?}");
        }
    }
}
