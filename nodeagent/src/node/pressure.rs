//! Whether the pools on this node's own disks still have the room that they have promised: others write to the same disk,
//! logs, images and containers among them. When not, a pod may fail to write within the size of its volume, so the Node
//! says it before that happens (condition DiskPressure, and an Event when it begins). Nothing is evicted for it.
//!
//! | pools | promised to volumes | DiskPressure |
//! |---|---|---|
//! | could not be looked at | – | as before |
//! | seen | no more than free space and what the volumes occupy | False |
//! | seen | more: the disk was filled, or the class overcommits | True, with the arithmetic and the way out |

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use orlop_backends::{driver::Capacity, drivers::loop_file};
use serde_json::json;
use tokio::time::sleep;

use crate::core::Core;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(10);
/// The longest between two looks that fail: a disk that hangs must not get one caller after another.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
const MIB: u64 = 1 << 20;

/// What is known of it.
#[derive(Debug, Default)]
pub(crate) struct Pressure(Mutex<Option<String>>);

impl Pressure {
    /// Why there is pressure, in words, when there is.
    pub(super) fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in a look; answers whether the pressure began or ended with it. The words stay as long as it lasts: numbers that
    /// change with every look are no reason to write the Node again.
    fn learn(&self, now: Option<String>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turned = known.is_some() != now.is_some();
        if turned {
            *known = now;
        }
        turned
    }
}

/// The table.
fn decide(pools: &Capacity) -> Option<String> {
    (pools.promised > pools.total).then(|| {
        format!(
            "{} MiB are promised to volumes and there is room for {} MiB of them: their pods may fail to write although \
             the volumes are not full. Remove images (orlop image rm) or other files from the disks of the pools, or volumes \
             that nobody needs",
            pools.promised / MIB,
            pools.total / MIB
        )
    })
}

/// Looks again and again, for ever.
pub(crate) async fn watch(core: Arc<Core>) {
    let Ok(driver) = core.machine.driver(loop_file::NAME) else { return };
    let mut pause = PAUSE;
    loop {
        match driver.own_capacity().await {
            Ok(pools) => {
                pause = PAUSE;
                let why = pools.as_ref().and_then(decide);
                if core.pressure.learn(why.clone()) {
                    tell(&core, why);
                }
            }
            Err(error) => {
                tracing::warn!(error = crate::error::chain(&error), "look for room in the pools");
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        sleep(pause).await;
    }
}

fn tell(core: &Core, why: Option<String>) {
    let node =
        json!({"apiVersion": "v1", "kind": "Node", "namespace": "", "name": core.node, "uid": core.node});
    match why {
        Some(why) => {
            tracing::warn!(node = core.node, why, "disk pressure");
            core.events.warning(node, "NodeHasDiskPressure", why);
        }
        None => core.events.normal(node, "NodeHasNoDiskPressure", "there is room for all volumes again"),
    }
    // The Node's status is looked at with the next renewal of its lease, which is now.
    core.leases.changed.notify_one();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table.
    #[test]
    fn a_promise_without_room_is_told() {
        let pools = |promised, total| Capacity { available: 0, promised: promised * MIB, total: total * MIB };
        assert_eq!(decide(&pools(0, 0)), None);
        assert_eq!(decide(&pools(100, 100)), None);
        let why = decide(&pools(101, 100)).unwrap();
        for part in ["101 MiB are promised", "room for 100 MiB", "orlop image rm"] {
            assert!(why.contains(part), "{why}");
        }
        let pressure = Pressure::default();
        assert!(!pressure.learn(None) && pressure.learn(Some(why.clone())) && !pressure.learn(Some(why)));
        assert!(pressure.learn(None) && pressure.why().is_none());
    }
}
