//! Opens the queue beside the runtime: to wait for a lock or to mend a part may take seconds, in which
//! a signal to stop must be heard.

use std::{sync::Arc, thread, time::Duration};

use tokio::sync::oneshot;

use super::{AgentError, signals::Signals};
use crate::{
    clock::SystemClock,
    config::Config,
    host,
    queue::{self, Queue},
};

/// A `queue` command may hold the queue when the daemon starts: it is waited for so long.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Opens the queue; `None` when it is told to stop before that is done. What was begun goes on in its
/// thread and is left alone, as safe as in a process that is killed.
pub(super) async fn open(
    config: &Config,
    signals: &mut Signals,
) -> Result<Option<Queue>, AgentError> {
    let options = config.queue.clone();
    let (done, opened) = oneshot::channel();
    let open = move || {
        let machine_id = host::machine_id();
        let clock = Arc::new(SystemClock);
        // Where nobody waits any more it is closed again.
        done.send(queue::open(options, machine_id.as_deref(), clock, LOCK_PATIENCE)).ok();
    };
    thread::Builder::new().name("opening".into()).spawn(open).map_err(AgentError::Thread)?;
    tokio::select! {
        () = signals.stop() => Ok(None),
        opened = opened => Ok(Some(opened.map_err(|_| AgentError::Task("opening"))??)),
    }
}
