//! A clock that only the test moves, so that minutes pass in milliseconds and in the same order every time.

use std::{sync::mpsc, time::Duration};

use orlop_objects::{Key, kind};
use orlop_registry::{Part, Registry};
use orlop_store::Snapshot;
use serde_json::json;

use super::{Cluster, who};

/// Commits that are waited for after each step of the clock: whatever a step woke has come that far.
const COMMITS: usize = 3;
/// Steps of the clock, shorter than anything that a controller measures.
const STEP: Duration = Duration::from_secs(3);
/// Rounds without the clock after which a test gives up.
const ROUNDS: usize = 2000;

/// Holds the clock still; belongs to one test on one thread.
pub(crate) struct Clock {
    /// A clock that is paused goes on by itself when all tasks wait, as they do while the store's thread works. A blocking
    /// task, which ends with this sender, keeps it from that.
    _still: mpsc::Sender<()>,
}

impl Clock {
    /// Stops the clock.
    pub(crate) fn stop() -> Self {
        tokio::time::pause();
        let (still, ended) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || ended.recv());
        Self { _still: still }
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, cluster: &Cluster, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(STEP);
            tokio::time::advance(step).await;
            left -= step;
            settle(&cluster.registry).await;
        }
    }

    /// Waits, without any time passing, until the world is so.
    pub(crate) async fn until(&self, cluster: &Cluster, what: &str, reached: impl Fn(&Snapshot) -> bool) {
        for _ in 0..ROUNDS {
            if reached(&cluster.registry.snapshot()) {
                return;
            }
            settle(&cluster.registry).await;
        }
        panic!("not reached: {what}\n{}", cluster.describe());
    }
}

/// Lets every task run that can, and what it commits be committed: the store commits in the order in which it was asked.
async fn settle(registry: &Registry) {
    let key = Key::new(&kind::CONFIG_MAP, "kube-system", "settle");
    for _ in 0..COMMITS {
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        let revision = registry.snapshot().revision().to_string();
        let body = json!({"metadata": {"name": &key.name}, "data": {"at": &revision}});
        if registry.snapshot().get(&key).is_none() {
            registry
                .create(&kind::CONFIG_MAP, "kube-system", body, &who(), false)
                .await
                .expect("it is valid");
        } else {
            let change = |mut value: serde_json::Value| {
                value["data"]["at"] = revision.clone().into();
                Ok(value)
            };
            registry.change(&key, Part::Main, &who(), false, change).await.expect("it is valid");
        }
    }
}
