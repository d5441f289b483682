//! The agent's own group: its process, as the system tells, and what its other parts tell of themselves,
//! which whoever puts it together hands in.

use std::time::Instant;

use super::{SampleError, Sampler, platform, rate};
use crate::sample::{Agent, Group, Metrics, Ticks};

/// Tells all but the process.
pub type Tell = Box<dyn FnMut() -> Agent + Send>;

/// Samples [`Group::Agent`].
struct OwnSampler {
    tell: Tell,
    process: platform::ProcessSource,
    before: Option<rate::Previous<Ticks<1000>>>,
}

/// The sampler of the agent's own group, in the process `pid`. Reads nothing yet.
#[must_use]
pub fn own(pid: u32, tell: Tell) -> Box<dyn Sampler> {
    Box::new(OwnSampler { tell, process: platform::ProcessSource::new(pid), before: None })
}

impl Sampler for OwnSampler {
    fn group(&self) -> Group {
        Group::Agent
    }

    fn sample(&mut self) -> Result<Metrics, SampleError> {
        let mut agent = (self.tell)();
        agent.process = self.process.read()?;
        let now = Instant::now();
        if let Some(cpu_time) = agent.process.cpu_time {
            let before = self.before.replace(rate::Previous::new(now, cpu_time));
            agent.process.cpu_utilization = before.and_then(|before| {
                let used = rate::per_second(before.reading.0, cpu_time.0, before.elapsed(now))?;
                // Milliseconds a second, to four decimals.
                Some((used * 10.0).round() / 10_000.0)
            });
        }
        Ok(Metrics::Agent(agent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sampler: &mut dyn Sampler) -> Agent {
        let Metrics::Agent(agent) = sampler.sample().unwrap() else { panic!() };
        agent
    }

    #[test]
    fn this_process_has_memory_and_uses_processor_time() {
        let mut sampler = own(std::process::id(), Box::new(Agent::default));
        let first = read(&mut *sampler).process;
        assert_eq!(first.cpu_utilization, None, "there is nothing to compare with");
        assert!(first.memory.unwrap() > 1_000_000, "{first:?}");
        let began = Instant::now();
        let mut sum = 0_u64;
        while began.elapsed().as_millis() < 60 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let second = read(&mut *sampler).process;
        assert!(second.cpu_time > first.cpu_time, "{first:?} {second:?}");
        assert!(second.cpu_utilization.unwrap() > 0.0, "{second:?}");
        assert!(second.uptime >= first.uptime);
    }
}
