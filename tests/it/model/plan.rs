//! What can happen to a queue, and when it makes sense. It knows the settings, not the contents.

use std::time::Duration;

use collector::queue::{Overflow, Sync};
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::crash::Loses;

/// What the queue is opened with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) max_bytes: u64,
    pub(super) overflow: Overflow,
    pub(super) max_age: Option<i64>,
    pub(super) sync: Sync,
    /// The floor of free space is higher than any disk: it counts as full.
    pub(super) disk_full: bool,
}

/// One step.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Samples of these sizes come in, in one call.
    Enqueue(Vec<usize>),
    /// So many samples of one size come in, one after the other: what waits is put into blocks.
    Trickle(usize, usize),
    /// So many samples of one size come in, in one call.
    Fill(usize, usize),
    /// At most so many samples and bytes are looked at.
    Peek(usize, u64),
    /// Of what was peeked last, those whose bit is set were delivered; `u64::MAX` is all.
    Acknowledge(u64),
    /// Only so many of the first ones were delivered.
    AcknowledgeFirst(usize),
    /// A request delivers the first of what was peeked last and tells at most so many losses.
    Report(usize),
    /// Of what was peeked last, those whose bit is set are refused: they become dead letters.
    SetAside(u64),
    /// All dead letters are sent again and taken; the process is killed in between, or not.
    Revive(bool),
    /// All dead letters are thrown away.
    PurgeDead,
    /// Seconds pass.
    Pass(i64),
    /// The process ends and another begins.
    Reopen,
    /// The process is killed and another begins.
    Kill,
    /// Something is confirmed, some of the oldest leave, and the power fails.
    PowerCut(Loses, u64),
    /// The process ends and another begins with another cap.
    Cap(u64),
    /// The process ends and another finds the disk full, or free again.
    DiskFull(bool),
}

/// What the plan remembers between steps.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) setting: Setting,
    /// Something was peeked by this process.
    peeked: bool,
}

impl Plan {
    fn of(setting: Setting) -> Self {
        Self { setting, peeked: false }
    }

    fn allows(&self, step: &Step) -> bool {
        let Setting { sync, overflow, max_bytes, max_age, disk_full } = self.setting;
        match step {
            Step::Acknowledge(_)
            | Step::AcknowledgeFirst(_)
            | Step::Report(_)
            | Step::SetAside(_) => self.peeked,
            // What isn't synced is only promised to survive a killed process. And what expires is
            // removed without a sync of its own, from the same file as what is acknowledged.
            Step::PowerCut(Loses::OldestFile, _) => sync == Sync::Always && max_age.is_none(),
            Step::PowerCut(..) => sync == Sync::Always,
            Step::Cap(cap) => overflow == Overflow::DropOldest && *cap != max_bytes,
            Step::DiskFull(full) => *full != disk_full,
            _ => true,
        }
    }

    fn after(mut self, step: &Step) -> Self {
        match step {
            Step::Peek(..) => self.peeked = true,
            Step::Reopen | Step::Kill | Step::PowerCut(..) | Step::Revive(_) => self.peeked = false,
            Step::Cap(cap) => (self.peeked, self.setting.max_bytes) = (false, *cap),
            Step::DiskFull(full) => (self.peeked, self.setting.disk_full) = (false, *full),
            _ => {}
        }
        self
    }
}

/// The plan of a queue far below its cap.
pub(super) struct Small;

impl ReferenceStateMachine for Small {
    type State = Plan;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Plan> {
        let max_age = prop::option::of(10_i64..60);
        (max_age, sync()).prop_map(|(max_age, sync)| Plan::of(small(max_age, sync))).boxed()
    }

    fn transitions(_: &Plan) -> BoxedStrategy<Step> {
        prop_oneof![
            6 => prop::collection::vec(size(), 1..8).prop_map(Step::Enqueue),
            1 => (60_usize..160, 20_usize..400)
                .prop_map(|(count, size)| Step::Trickle(count, size)),
            4 => (1_usize..12, prop_oneof![Just(1 << 20), 1_u64..20_000])
                .prop_map(|(samples, bytes)| Step::Peek(samples, bytes)),
            1 => (20_usize..120).prop_map(|samples| Step::Peek(samples, 1 << 20)),
            2 => Just(Step::Acknowledge(u64::MAX)),
            2 => any::<u64>().prop_map(Step::Acknowledge),
            1 => (0_usize..12).prop_map(Step::AcknowledgeFirst),
            2 => prop_oneof![1_usize..4, Just(1_000)].prop_map(Step::Report),
            1 => any::<u64>().prop_map(Step::SetAside),
            1 => any::<bool>().prop_map(Step::Revive),
            1 => Just(Step::PurgeDead),
            1 => (-20_i64..40).prop_map(Step::Pass),
            1 => Just(Step::Reopen),
            1 => Just(Step::Kill),
            1 => power_cut(),
        ]
        .boxed()
    }

    fn apply(plan: Plan, step: &Step) -> Plan {
        plan.after(step)
    }

    fn preconditions(plan: &Plan, step: &Step) -> bool {
        plan.allows(step)
    }
}

fn small(max_age: Option<i64>, sync: Sync) -> Setting {
    let (max_bytes, overflow) = (100_000_000, Overflow::DropOldest);
    Setting { max_bytes, overflow, max_age, sync, disk_full: false }
}

/// The plan of a full queue: megabytes come and go, generations rotate and are evicted.
pub(super) struct Large;

impl ReferenceStateMachine for Large {
    type State = Plan;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Plan> {
        let overflow = prop_oneof![Just(Overflow::DropOldest), Just(Overflow::DropNewest)];
        let setting = |(overflow, sync)| Setting {
            max_bytes: 8_000_000,
            overflow,
            max_age: None,
            sync,
            disk_full: false,
        };
        (overflow, sync()).prop_map(move |chosen| Plan::of(setting(chosen))).boxed()
    }

    fn transitions(_: &Plan) -> BoxedStrategy<Step> {
        prop_oneof![
            6 => (100_usize..250, 2_000_usize..9_000)
                .prop_map(|(count, size)| Step::Fill(count, size)),
            2 => Just(Step::Fill(4, 300)),
            2 => Just(Step::Fill(1, 400_000)),
            3 => (1_usize..300).prop_map(|samples| Step::Peek(samples, 1 << 20)),
            3 => Just(Step::Acknowledge(u64::MAX)),
            1 => any::<u64>().prop_map(Step::Acknowledge),
            2 => prop_oneof![1_usize..4, Just(1_000)].prop_map(Step::Report),
            1 => Just(Step::Reopen),
            1 => Just(Step::Kill),
            2 => power_cut(),
            1 => prop_oneof![Just(8_000_000), Just(11_000_000), Just(20_000_000)]
                .prop_map(Step::Cap),
            1 => any::<bool>().prop_map(Step::DiskFull),
        ]
        .boxed()
    }

    fn apply(plan: Plan, step: &Step) -> Plan {
        plan.after(step)
    }

    fn preconditions(plan: &Plan, step: &Step) -> bool {
        plan.allows(step)
    }
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0_usize..900, 2 => 3_000_usize..9_000, 1 => 33_000_usize..120_000]
}

fn sync() -> impl Strategy<Value = Sync> {
    prop_oneof![2 => Just(Sync::Always), 1 => Just(Sync::Every(Duration::from_mins(1)))]
}

fn power_cut() -> impl Strategy<Value = Step> {
    let loses = prop_oneof![
        2 => Just(Loses::AllSinceTheSync),
        1 => Just(Loses::RemovalsOfDirectories),
        1 => Just(Loses::OldestFile),
    ];
    let chosen = prop_oneof![Just(u64::MAX), any::<u64>()];
    (loses, chosen).prop_map(|(loses, chosen)| Step::PowerCut(loses, chosen))
}
