//! Ends of containers, told to the pods that they belong to.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{core::Core, ids::ContainerId, world::Work};

/// How often the thread looks whether the agent still lives.
const PULSE: Duration = Duration::from_secs(1);

/// Follows ends on a thread of its own, which ends with the agent.
pub(crate) fn follow(core: &Arc<Core>) {
    let weak = Arc::downgrade(core);
    let runtime = core.machine.runtime.clone();
    let watch = move || {
        let mut known = BTreeSet::new();
        while let Some(core) = weak.upgrade() {
            wake(&core, &mut known);
            drop(core);
            if let Err(error) = runtime.wait_for_exit(PULSE) {
                tracing::warn!(error = crate::error::chain(&error), "wait for containers to end");
                std::thread::sleep(PULSE);
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("orlop-exits".to_owned()).spawn(watch) {
        tracing::error!(%error, "containers that end are noticed late: no thread for them");
    }
}

fn wake(core: &Core, known: &mut BTreeSet<String>) {
    let ended = match core.machine.ended() {
        Ok(ended) => ended,
        Err(error) => {
            tracing::warn!(error = error.chain(), "look for containers that ended");
            return;
        }
    };
    for id in ended.difference(known).filter_map(|id| id.parse::<ContainerId>().ok()) {
        core.queue.wake(Work::Pod(id.pod));
    }
    *known = ended;
}
