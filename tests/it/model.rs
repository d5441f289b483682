//! Does the queue do what a plain list would do, whatever happens in whatever order? A state machine
//! over the real store: `plan` says what can happen, `world` does it and compares order, contents,
//! ledger and disk with the list after each step, `crash` builds what a crash leaves.

mod crash;
mod dead;
mod plan;
mod report;
mod world;

use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use self::{
    plan::{Large, Plan, Small, Step},
    world::World,
};

/// Small samples and every kind of step.
struct Queue;

/// A queue at its cap, where megabytes come and go.
struct FullQueue;

/// Both worlds run the same steps against the same list; they differ in the plan alone.
macro_rules! machine {
    ($test:ident, $plan:ident) => {
        impl StateMachineTest for $test {
            type SystemUnderTest = World;
            type Reference = $plan;

            fn init_test(plan: &Plan) -> World {
                World::new(plan.setting)
            }

            fn apply(mut world: World, plan: &Plan, step: Step) -> World {
                world.step(plan.setting, &step);
                world
            }

            fn teardown(mut world: World, _: <$plan as ReferenceStateMachine>::State) {
                world.drain();
            }
        }
    };
}

machine!(Queue, Small);
machine!(FullQueue, Large);

fn config(cases: u32, max_shrink_iters: u32) -> Config {
    Config { cases, max_shrink_iters, failure_persistence: None, ..Config::default() }
}

prop_state_machine! {
    #![proptest_config(config(40, 300))]

    #[test]
    fn queue_does_what_a_list_would_do(sequential 1..40 => Queue);
}

prop_state_machine! {
    #![proptest_config(config(6, 10))]

    #[test]
    fn full_queue_does_what_a_bounded_list_would_do(sequential 20..40 => FullQueue);
}
