//! Looks whether the disks below this node's pools and its own files still have the room that they have promised: others
//! write to the same disks, logs, images and containers among them. When one has not, a pod may fail to write within the
//! size of its volume, so the Node says it before that happens (condition DiskPressure, and an Event when it begins).
//! Nothing is evicted for it. What is said when is `disks`'s to decide.
//!
//! The heartbeat reads what the last look has found and waits for none.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use orlop_backends::{driver::Disk, drivers::loop_file};
use tokio::time::sleep;

use super::{
    disks::{self, Disks, Turn},
    kernel::Condition,
};
use crate::{core::Core, events::about_node};

/// Between two looks. A place that does not answer one is not asked again before it has, so there is no need to wait longer.
const PAUSE: Duration = Duration::from_secs(5);

/// What is known of it; nothing before the first look.
#[derive(Debug, Default)]
pub(crate) struct Pressure(Mutex<Option<Disks>>);

impl Pressure {
    /// What the Node says of it.
    pub(super) fn condition(&self) -> Condition {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map_or_else(disks::not_seen, Disks::condition)
    }

    fn learn(&self, found: &[Disk]) -> Vec<Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().learn(found)
    }
}

/// Looks again and again, for ever.
pub(crate) async fn watch(core: Arc<Core>) {
    let driver = core.machine.driver(loop_file::NAME);
    let mut said = core.pressure.condition();
    loop {
        let found = match &driver {
            Ok(driver) => driver.disks(core.machine.layout.data().to_owned()).await,
            Err(_) => Vec::new(),
        };
        for turn in core.pressure.learn(&found) {
            tell(&core, turn);
        }
        let now = core.pressure.condition();
        if now != said {
            said = now;
            // The Node's status is looked at with the next renewal of its lease, which is now.
            core.leases.changed.notify_one();
        }
        sleep(PAUSE).await;
    }
}

fn tell(core: &Core, turn: Turn) {
    let node = about_node(&core.node);
    match turn {
        Turn::Short(why) => {
            tracing::warn!(node = core.node, why, "disk pressure");
            core.events.warning(node, "NodeHasDiskPressure", why);
        }
        Turn::Room(disk) => {
            core.events.normal(
                node,
                "NodeHasNoDiskPressure",
                format!("{disk}: there is room for all volumes again"),
            );
        }
        Turn::Silent(why) => {
            tracing::warn!(why, "what is known of the room on its disk stays until it answers");
        }
    }
}
