//! Keeps sled's pool from waking an idle machine. Its seven threads wait for work in turns of one
//! second each; with a generous timer slack, which threads inherit from the one that starts them,
//! Linux lets those timers wait. Work itself wakes them at once as before.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the pool has been started: the first commit of the process does it.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Does `work`; if it may be what starts the pool, then under a generous timer slack.
pub(super) fn starting_pool<T>(work: impl FnOnce() -> T) -> T {
    if STARTED.load(Ordering::Relaxed) {
        return work();
    }
    let slack = Slack::generous();
    let done = work();
    drop(slack);
    STARTED.store(true, Ordering::Relaxed);
    done
}

#[cfg(target_os = "linux")]
mod slack {
    //! `prctl(PR_SET_TIMERSLACK)` of this thread, put back when dropped.
    use std::num::NonZeroU64;

    use rustix::thread::{current_timer_slack, set_current_timer_slack};

    /// The first that the kernel takes: 32-bit machines count nanoseconds in 32 bits.
    const NANOSECONDS: [u64; 2] = [60_000_000_000, 4_000_000_000];

    pub(super) struct Slack(Option<NonZeroU64>);

    impl Slack {
        pub(super) fn generous() -> Self {
            let before = current_timer_slack().ok().and_then(NonZeroU64::new);
            // Where it can't be set, the pool only wakes more often.
            let set = |ns: &u64| set_current_timer_slack(NonZeroU64::new(*ns)).is_ok();
            NANOSECONDS.iter().find(|ns| set(ns));
            Self(before)
        }
    }

    impl Drop for Slack {
        fn drop(&mut self) {
            // 0 restores the default.
            set_current_timer_slack(self.0).ok();
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod slack {
    //! Other systems coalesce timers by themselves.
    pub(super) struct Slack;

    impl Slack {
        pub(super) fn generous() -> Self {
            Self
        }
    }
}

use slack::Slack;
