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

const OUTAGE: Duration = Duration::from_hours(1);
/// How long is looked at after the outage.
const AFTER: Duration = Duration::from_mins(1);

/// Agents that are configured alike, and what one of them has to deliver.
struct Region {
    agents: usize,
    tick: Duration,
    /// Samples of one tick.
    a_tick: u64,
    max_samples: usize,
}

/// A thousand agents: such as are shipped, such as send small requests, such as sample rarely.
const REGIONS: [Region; 3] = [
    Region { agents: 250, tick: Duration::from_secs(5), a_tick: 3, max_samples: 500 },
    Region { agents: 400, tick: Duration::from_secs(10), a_tick: 1, max_samples: 25 },
    Region { agents: 350, tick: Duration::from_mins(1), a_tick: 4, max_samples: 500 },
];

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
async fn outage(rig: &mut Rig<Server>, server: &Server, region: &Region) {
    let &Region { tick, a_tick, .. } = region;
    // Agents tick at times of their own, but it is one outage: nothing else sets them apart.
    let phase = fastrand::f64();
    let over = Instant::now() + OUTAGE + tick.mul_f64(phase);
    server.0.lock().unwrap().down_until = over;
    rig.put(a_tick).await;
    rig.status(|status| status.consecutive_failures > 0).await;
    // What is sampled in an hour, all at once: no timer but the forwarder's own may run while the
    // queue works, or time would leap.
    rig.put(a_tick * OUTAGE.as_secs() / tick.as_secs()).await;
    rig.idle().await;
    let mut next = over + tick.mul_f64(1.0 - phase);
    while next < over + AFTER {
        sleep_until(next).await;
        // What was sampled while the backlog left belongs to it; this is the end of it.
        let missed = Instant::now().duration_since(next).as_secs() / tick.as_secs();
        rig.put(a_tick * (1 + missed)).await;
        rig.idle().await;
        next += tick * u32::try_from(1 + missed).unwrap();
    }
    sleep_until(over + AFTER).await;
}

/// What the server hears of a region in each second of the minute.
async fn minute(region: &Region) -> Vec<usize> {
    let server = Server::new();
    let mut options = options();
    options.limits.max_samples = region.max_samples;
    let mut rig = Rig::start(options, server.clone(), 1).await;
    rig.idle().await;
    server.0.lock().unwrap().requests.clear();
    for _ in 0..region.agents {
        outage(&mut rig, &server, region).await;
    }
    bins(&server.0.lock().unwrap().requests)
}

/// The busiest second as a multiple of the mean.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn peak(bins: &[usize]) -> f64 {
    let mean = bins.iter().sum::<usize>() as f64 / bins.len() as f64;
    bins.iter().copied().max().unwrap() as f64 / mean
}

#[tokio::test(start_paused = true)]
async fn thousand_agents_after_an_hour_do_not_come_all_at_once() {
    fastrand::seed(1);
    let mut all = vec![0; 60];
    for region in &REGIONS {
        let bins = minute(region).await;
        println!("{} agents, peak {:.2} of the mean: {bins:?}", region.agents, peak(&bins));
        all.iter_mut().zip(&bins).for_each(|(all, bin)| *all += bin);
    }
    println!("all agents, peak {:.2} of the mean: {all:?}", peak(&all));
    assert!(peak(&all) < 2.0, "{all:?}");
}
