//! What a server hears of many agents at the end of an outage: a simulation in virtual time that
//! drives the real forwarder and its backoff on a real queue.
//!
//! Agents meet in nothing but the server, which answers all alike. So they are played one after
//! another by one forwarder, each with dice of its own, and their requests are added up by the time
//! since the end of the outage.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use collector::{
    encode::Request,
    transport::{Delivery, Transport},
};
use tokio::time::{Instant, sleep_until};

use super::rig::{Rig, options, retry};

const AGENTS: usize = 1_000;
const OUTAGE: Duration = Duration::from_hours(1);
/// An agent samples one group in this time.
const TICK: Duration = Duration::from_secs(5);
const A_TICK: u64 = 1;
/// How long is looked at after the outage.
const AFTER: Duration = Duration::from_mins(1);

/// Of one minute, by seconds.
fn bins(requests: &[Duration]) -> Vec<usize> {
    let mut bins = vec![0; 60];
    for request in requests {
        if let Some(bin) = bins.get_mut(usize::try_from(request.as_secs()).unwrap()) {
            *bin += 1;
        }
    }
    bins
}

/// A server that is down until a moment, and tells when requests came.
#[derive(Clone)]
struct Server(Arc<Mutex<Heard>>);

struct Heard {
    down_until: Instant,
    /// Since then, in times after it.
    requests: Vec<Duration>,
}

impl Server {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Heard { down_until: Instant::now(), requests: Vec::new() })))
    }
}

impl Transport for Server {
    async fn send(&mut self, _: &Request) -> Delivery {
        let mut heard = self.0.lock().unwrap();
        if Instant::now() < heard.down_until {
            return retry();
        }
        let after = heard.down_until.elapsed();
        heard.requests.push(after);
        Delivery::Accepted
    }
}

/// An outage of the server as one agent meets it, and the minute after it.
async fn outage(rig: &mut Rig, server: &Server) {
    // Agents tick at times of their own, but it is one outage: nothing else sets them apart.
    let phase = fastrand::f64();
    let over = Instant::now() + OUTAGE + TICK.mul_f64(phase);
    server.0.lock().unwrap().down_until = over;
    rig.put(A_TICK).await;
    rig.status(|status| status.consecutive_failures > 0).await;
    // What is sampled in an hour, all at once: no timer but the forwarder's own may run while the
    // queue works, or time would leap.
    rig.put(A_TICK * OUTAGE.as_secs() / TICK.as_secs()).await;
    rig.idle().await;
    let mut tick = over + TICK.mul_f64(1.0 - phase);
    while tick < over + AFTER {
        sleep_until(tick).await;
        // What was sampled while the backlog left belongs to it; this is the end of it.
        let missed = Instant::now().duration_since(tick).as_secs() / TICK.as_secs();
        rig.put(A_TICK * (1 + missed)).await;
        rig.idle().await;
        tick += TICK * u32::try_from(1 + missed).unwrap();
    }
    sleep_until(over + AFTER).await;
}

#[tokio::test(start_paused = true)]
async fn thousand_agents_after_an_hour_do_not_come_all_at_once() {
    fastrand::seed(1);
    let server = Server::new();
    let mut rig = Rig::start(options(), server.clone(), 1).await;
    rig.idle().await;
    server.0.lock().unwrap().requests.clear();
    for _ in 0..AGENTS {
        outage(&mut rig, &server).await;
    }
    let bins = bins(&server.0.lock().unwrap().requests);
    let (peak, sum) = (*bins.iter().max().unwrap(), bins.iter().sum::<usize>());
    println!("{AGENTS} agents, {sum} requests in a minute, at most {peak} in a second: {bins:?}");
    assert!(peak * 60 < sum * 2, "peak {peak}, mean {}", sum / 60);
}
