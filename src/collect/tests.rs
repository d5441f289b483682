//! The loop under paused time: the tests move the clock, the jobs run on real threads.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::{
    sync::mpsc,
    task::{JoinHandle, yield_now},
    time::advance,
};

use super::*;
use crate::{
    clock::{Steps, SystemClock},
    sample::{Agent, Cpu, Disk, Memory, Metrics, Network},
    sampler::SampleError,
};

const SECOND: Duration = Duration::from_secs(1);
const REAL_DEADLINE: Duration = Duration::from_secs(20);

/// What a reading of a [`Fake`] does.
enum Step {
    Sample,
    Fail,
    Panic,
}

/// A sampler that is fast, or does what it is told, step by step, when it is told.
struct Fake(Group, Option<(SyncSender<()>, Receiver<Step>)>);

/// Tells a [`Fake`] what to do.
struct Script {
    begun: Receiver<()>,
    steps: SyncSender<Step>,
}

impl Script {
    /// Returns once a reading has begun that no earlier call has seen.
    async fn begun(&self) {
        let deadline = std::time::Instant::now() + REAL_DEADLINE;
        while self.begun.try_recv().is_err() {
            assert!(std::time::Instant::now() < deadline, "no reading");
            yield_now().await;
        }
    }

    fn tell(&self, step: Step) {
        self.steps.send(step).unwrap();
    }
}

impl Sampler for Fake {
    fn group(&self) -> Group {
        self.0
    }

    fn sample(&mut self) -> Result<Metrics, SampleError> {
        let step = self.1.as_ref().map(|(begun, steps)| {
            begun.send(()).unwrap();
            steps.recv().unwrap()
        });
        match step {
            None | Some(Step::Sample) => Ok(match self.0 {
                Group::Cpu => Metrics::Cpu(Cpu::default()),
                Group::Memory => Metrics::Memory(Memory::default()),
                Group::Disk => Metrics::Disk(Disk::default()),
                Group::Network => Metrics::Network(Network::default()),
                Group::Agent => Metrics::Agent(Agent::default()),
            }),
            Some(Step::Fail) => Err(SampleError::Malformed { what: "a test".into() }),
            Some(Step::Panic) => panic!("as the test told"),
        }
    }
}

fn fast(group: Group) -> Box<dyn Sampler> {
    Box::new(Fake(group, None))
}

fn told(group: Group) -> (Script, Box<dyn Sampler>) {
    let (beginning, begun) = sync_channel(100);
    let (steps, told) = sync_channel(100);
    (Script { begun, steps }, Box::new(Fake(group, Some((beginning, told)))))
}

struct Running {
    commits: mpsc::Receiver<Vec<Sample>>,
    stop: watch::Sender<bool>,
    summary: JoinHandle<Summary>,
}

/// Collects into a channel that holds more commits than any test makes.
fn start(groups: &[(Group, Duration)], samplers: Vec<Box<dyn Sampler>>) -> Running {
    let options = Options { groups: groups.to_vec() };
    let collector =
        Collector::new(&options, samplers, Arc::default(), (SystemClock, Steps::default()));
    let (sender, commits) = mpsc::channel(100);
    let (stop, stopped) = watch::channel(false);
    let sink = move |samples| sender.try_send(samples).unwrap();
    Running { commits, stop, summary: tokio::spawn(collector.run(sink, stopped)) }
}

impl Running {
    /// The groups of the next commit, without moving the clock.
    async fn next(&mut self) -> Vec<Group> {
        let deadline = std::time::Instant::now() + REAL_DEADLINE;
        loop {
            if let Ok(samples) = self.commits.try_recv() {
                return samples.iter().map(|sample| sample.metrics.group()).collect();
            }
            assert!(std::time::Instant::now() < deadline, "no commit");
            yield_now().await;
        }
    }

    async fn stop(self) -> Summary {
        self.stop.send(true).unwrap();
        self.summary.await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn groups_that_are_due_together_share_a_commit() {
    let samplers = vec![fast(Group::Disk), fast(Group::Cpu)];
    let mut running = start(&[(Group::Cpu, SECOND), (Group::Disk, SECOND * 2)], samplers);
    assert_eq!(running.next().await, [Group::Cpu, Group::Disk]);
    advance(SECOND).await;
    assert_eq!(running.next().await, [Group::Cpu]);
    advance(SECOND).await;
    assert_eq!(running.next().await, [Group::Cpu, Group::Disk]);
    let summary = running.stop().await;
    assert_eq!(summary, Summary { samples: 5, failed: 0, missed: 0 });
}

#[tokio::test(start_paused = true)]
async fn group_that_is_not_enabled_is_not_sampled() {
    let samplers = Group::ALL.into_iter().map(fast).collect();
    let mut running = start(&[(Group::Memory, SECOND)], samplers);
    assert_eq!(running.next().await, [Group::Memory]);
}

#[tokio::test(start_paused = true)]
async fn hanging_group_delays_no_other_and_comes_back() {
    let (script, hanging) = told(Group::Cpu);
    let groups = [(Group::Cpu, SECOND), (Group::Memory, SECOND), (Group::Disk, SECOND)];
    let samplers = vec![hanging, fast(Group::Memory), fast(Group::Disk)];
    let mut running = start(&groups, samplers);
    script.begun().await;
    advance(GATHER).await;
    assert_eq!(running.next().await, [Group::Memory, Group::Disk]);
    for _ in 0..3 {
        advance(SECOND).await;
        assert_eq!(running.next().await, [Group::Memory, Group::Disk]);
    }
    script.tell(Step::Sample);
    assert_eq!(running.next().await, [Group::Cpu], "a straggler has a commit of its own");
    script.tell(Step::Sample);
    advance(SECOND).await;
    assert_eq!(running.next().await, [Group::Cpu, Group::Memory, Group::Disk]);
    assert_eq!(running.stop().await.missed, 3);
}

#[tokio::test(start_paused = true)]
async fn several_hanging_groups_delay_the_last_one_by_less_than_an_interval() {
    let (cpu_script, cpu) = told(Group::Cpu);
    let (disk_script, disk) = told(Group::Disk);
    let groups = [(Group::Cpu, SECOND), (Group::Disk, SECOND), (Group::Network, SECOND)];
    let mut running = start(&groups, vec![cpu, disk, fast(Group::Network)]);
    for script in [&cpu_script, &disk_script] {
        script.begun().await;
        advance(GATHER).await;
    }
    assert_eq!(running.next().await, [Group::Network]);
    // So that the threads end.
    cpu_script.tell(Step::Sample);
    disk_script.tell(Step::Sample);
}

#[tokio::test(start_paused = true)]
async fn failing_group_stops_no_other() {
    let (script, failing) = told(Group::Memory);
    let groups = [(Group::Cpu, SECOND), (Group::Memory, SECOND)];
    let mut running = start(&groups, vec![fast(Group::Cpu), failing]);
    for step in [Step::Fail, Step::Panic] {
        script.tell(step);
        assert_eq!(running.next().await, [Group::Cpu]);
        advance(SECOND).await;
    }
    script.tell(Step::Sample);
    assert_eq!(running.next().await, [Group::Cpu, Group::Memory]);
    let summary = running.stop().await;
    assert_eq!(summary, Summary { samples: 4, failed: 2, missed: 0 });
}

#[tokio::test(start_paused = true)]
async fn ticks_of_a_suspended_process_are_counted_not_made_up_for() {
    let mut running = start(&[(Group::Cpu, SECOND)], vec![fast(Group::Cpu)]);
    assert_eq!(running.next().await, [Group::Cpu]);
    advance(Duration::from_millis(60_500)).await;
    assert_eq!(running.next().await, [Group::Cpu]);
    advance(Duration::from_millis(400)).await;
    yield_now().await;
    assert!(running.commits.try_recv().is_err());
    advance(Duration::from_millis(100)).await;
    assert_eq!(running.next().await, [Group::Cpu]);
    assert_eq!(running.stop().await, Summary { samples: 3, failed: 0, missed: 59 });
}

#[tokio::test(start_paused = true)]
async fn shutdown_hands_over_what_was_taken_and_waits_for_nothing_else() {
    let (script, hanging) = told(Group::Disk);
    let groups = [(Group::Cpu, SECOND), (Group::Disk, SECOND)];
    let mut running = start(&groups, vec![fast(Group::Cpu), hanging]);
    script.begun().await;
    running.stop.send(true).unwrap();
    assert_eq!(running.next().await, [Group::Cpu]);
    let summary = running.summary.await.unwrap();
    assert_eq!(summary, Summary { samples: 1, failed: 0, missed: 0 });
    script.tell(Step::Sample);
}
