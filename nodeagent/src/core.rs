//! The agent's centre: what all its tasks share, and the loop that hands them their keys.
//!
//! ```text
//!  mirrors ──► World ──► keys ─┐
//!  exits ──────────────► keys ─┼─► Queue ─► one task per key: look ► plan ► execute ► look again ► status
//!  deadlines ──────────► keys ─┘
//! ```
//!
//! Nothing runs before every mirror has had its first full list: what the API does not know is torn down.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::FutureExt;
use orlop_client::{Client, Mirror};
use orlop_objects::{Key, Kind, Object, kind};
use tokio::{
    sync::{OwnedMutexGuard, Semaphore, watch},
    time::Instant,
};

use crate::{
    error::Error,
    events::Events,
    execute::{pod::PodMemory, volume::VolumeMemory},
    journal::Subject,
    machine::Machine,
    network::Leases,
    queue::Queue,
    slow,
    world::{Work, World},
};

/// Keys worked on at the same time.
const TASKS: usize = 64;
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(120);
/// How long stopping waits for passes that are under way. One in a call to a server that is gone does not end.
const LAST_PASSES: Duration = Duration::from_secs(10);
const AFTER_PANIC: Duration = Duration::from_secs(10);

/// What all tasks of one agent share.
pub(crate) struct Core {
    pub(crate) machine: Machine,
    pub(crate) client: Client,
    pub(crate) events: Events,
    pub(crate) node: String,
    pub(crate) address: String,
    pub(crate) queue: Queue<Work>,
    pub(crate) leases: Leases,
    pub(crate) pressure: crate::node::Pressure,
    pub(crate) kernel: crate::node::Kernel,
    tasks: Arc<Semaphore>,
    world: Mutex<World>,
    pods: Memories<String, PodMemory>,
    volumes: Memories<crate::ids::VolumeId, VolumeMemory>,
}

/// What is remembered of each key for this life of the agent. Losing it must never be wrong, only slower.
type Memories<K, M> = Mutex<HashMap<K, Arc<tokio::sync::Mutex<M>>>>;

async fn recall<K: Eq + std::hash::Hash + Clone, M: Default>(
    all: &Memories<K, M>,
    key: &K,
) -> OwnedMutexGuard<M> {
    let memory = all.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone();
    memory.lock_owned().await
}

impl Core {
    pub(crate) fn new(machine: Machine, client: Client, events: Events, node: &str, address: String) -> Self {
        Self {
            machine,
            client,
            events,
            node: node.to_owned(),
            address,
            queue: Queue::new(),
            leases: Leases::default(),
            pressure: crate::node::Pressure::default(),
            kernel: crate::node::Kernel::default(),
            tasks: Arc::new(Semaphore::new(TASKS)),
            world: Mutex::new(World::new(node)),
            pods: Mutex::default(),
            volumes: Mutex::default(),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the server's answer to a write of ours, ahead of the mirror.
    pub(crate) fn learn(&self, object: Object) {
        let object = Arc::new(object);
        let work = self.world().refresh(&object);
        work.into_iter().for_each(|w| self.queue.wake(w));
    }

    /// As [`Self::learn`], without waking the pod that wrote.
    pub(crate) fn learn_of(&self, object: Object, uid: &str) {
        let work = self.world().refresh(&Arc::new(object));
        let own = Work::Pod(uid.to_owned());
        work.into_iter().filter(|w| *w != own).for_each(|w| self.queue.wake(w));
    }

    /// Wakes every pod that wants to run with a volume.
    pub(crate) fn wake_users(&self, volume: &crate::world::VolumeFacts) {
        let users = self.world().users(volume);
        users.iter().for_each(|pod| self.queue.wake(Work::Pod(pod.uid.clone())));
    }

    /// Follows one kind: `synced` counts the kinds that had their first full list.
    pub(crate) async fn follow(self: Arc<Self>, mut mirror: Mirror, synced: Arc<watch::Sender<usize>>) {
        let mut first = true;
        loop {
            let keys = mirror.changed().await;
            let all = mirror.all().unwrap_or_default();
            for key in keys {
                let work = self.world().apply(&key, all.get(&key));
                work.into_iter().for_each(|w| self.queue.wake(w));
            }
            if std::mem::take(&mut first) {
                synced.send_modify(|n| *n += 1);
            }
        }
    }

    /// Everything that the API, the journal or the machine knows of.
    pub(crate) async fn wake_all(&self) -> Result<(), Error> {
        let here = self.machine.blocking(Machine::pods_here).await?;
        let journal = self.machine.journal.subjects().into_iter().map(|subject| match subject {
            Subject::Making(id) | Subject::Volume(id) => Work::Volume(id),
            Subject::Pod(uid) => Work::Pod(uid),
        });
        let served = self.machine.served().await?;
        let known = self.world().all();
        known
            .into_iter()
            .chain(journal)
            .chain(served.into_iter().map(Work::Volume))
            .chain(here.into_iter().map(Work::Pod))
            .chain([Work::Network])
            .for_each(|w| self.queue.wake(w));
        Ok(())
    }

    /// Hands out keys for ever.
    pub(crate) async fn run(self: Arc<Self>, mut synced: watch::Receiver<usize>) {
        if synced.wait_for(|n| *n >= KINDS.len()).await.is_err() {
            return;
        }
        while let Err(error) = self.wake_all().await {
            tracing::error!(error = error.chain(), "look at what is here");
            tokio::time::sleep(FIRST_RETRY).await;
        }
        let tasks = self.tasks.clone();
        loop {
            let Ok(permit) = tasks.clone().acquire_owned().await else { return };
            let work = self.queue.next().await;
            let core = self.clone();
            // Stopping waits for the permits: a pass that can end is not cut off between an effect and its journal.
            tokio::spawn(async move {
                let again = outlive(&work, Box::pin(core.work(&work))).await;
                core.queue.done(work, again);
                drop(permit);
            });
        }
    }

    /// Begins nothing more and waits for what is under way, but not for ever: what is cut off then is as after a crash,
    /// which the next start finishes.
    pub(crate) async fn close(&self) {
        let all = u32::try_from(TASKS).unwrap_or(u32::MAX);
        if tokio::time::timeout(LAST_PASSES, self.tasks.acquire_many(all)).await.is_err() {
            let work = self.queue.running();
            tracing::warn!(?work, "stopping amid work that does not end; the next start goes on with it");
        }
        self.tasks.close();
        if let Err(error) = self.machine.journal.settle().await {
            tracing::warn!(
                error = error.chain(),
                "write the last of the journal; the next start looks at more than it must"
            );
        }
    }

    /// Whether neither the API nor the journal knows of a volume any more.
    fn is_forgotten(&self, id: &crate::ids::VolumeId) -> bool {
        let world = self.world();
        let touched = |subject: Subject| self.machine.journal.find(&subject).is_some();
        world.volume(id).is_none()
            && world.making(id).is_none()
            && !touched(Subject::Volume(id.clone()))
            && !touched(Subject::Making(id.clone()))
    }

    async fn work(self: &Arc<Self>, work: &Work) -> Option<Instant> {
        match work {
            Work::Network => self.network_pass().await,
            Work::Pod(uid) => {
                let mut memory = recall(&self.pods, uid).await;
                let again = self.pod_pass(uid, &mut memory).await;
                if memory.over {
                    self.pods.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
                }
                again
            }
            Work::Volume(id) => {
                let mut memory = recall(&self.volumes, id).await;
                let again = self.volume_pass(id, &mut memory).await;
                if again.is_none() && self.is_forgotten(id) {
                    self.volumes.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
                }
                again
            }
        }
    }
}

/// When a pass wants to be run again. One that panics is: its key would otherwise count as being worked on for ever.
async fn outlive(work: &Work, pass: impl Future<Output = Option<Instant>>) -> Option<Instant> {
    let outcome = slow::told("pass", work, AssertUnwindSafe(pass).catch_unwind()).await;
    outcome.unwrap_or_else(|_| {
        // What it said is in the log already, from where it panicked.
        tracing::error!(?work, again_in = ?AFTER_PANIC, "a pass panicked: this is a fault of Orlop's");
        Some(Instant::now() + AFTER_PANIC)
    })
}

/// The kinds that an agent follows, and which of their objects.
pub(crate) const KINDS: [(&Kind, Option<&str>); 6] = [
    (&kind::POD, Some("spec.nodeName=")),
    (&kind::PERSISTENT_VOLUME_CLAIM, None),
    (&kind::PERSISTENT_VOLUME, None),
    (&kind::VOLUME_ATTACHMENT, None),
    (&kind::STORAGE_CLASS, None),
    (&kind::NODE, None),
];

/// A mirror for each of [`KINDS`].
pub(crate) fn mirrors(client: &Client, node: &str) -> Vec<Mirror> {
    let open = |(kind, field): (&'static Kind, Option<&str>)| match field {
        Some(field) => client.mirror(kind, &[("fieldSelector", &format!("{field}{node}"))]),
        None => client.mirror(kind, &[]),
    };
    KINDS.into_iter().map(open).collect()
}

/// How long to wait before the `count`th retry.
pub(crate) fn retry_after(count: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1_u32.checked_shl(count.saturating_sub(1)).unwrap_or(u32::MAX)).min(LAST_RETRY)
}

/// Finalizers without one of them, under the version that they were read at: nobody else's change is lost.
pub(crate) fn without_finalizer(object: &Object, finalizer: &str) -> serde_json::Value {
    let left: Vec<&String> = object.meta.finalizers.iter().filter(|f| *f != finalizer).collect();
    serde_json::json!({"metadata": {"finalizers": left, "resourceVersion": object.revision.to_string()}})
}

/// The key of a cluster-scoped volume object.
pub(crate) fn volume_key(name: &str) -> Key {
    Key::cluster(&kind::PERSISTENT_VOLUME, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_whose_pass_panics_is_worked_on_again() {
        let (queue, work) = (Queue::new(), Work::Network);
        queue.wake(work.clone());
        let begun = Instant::now();
        let taken = queue.next().await;
        let again = outlive(&work, async { panic!("a fault") }).await;
        queue.done(taken, again);
        assert_eq!((queue.next().await, begun.elapsed()), (work, AFTER_PANIC));
    }

    #[test]
    fn retries_double_to_two_minutes() {
        let seconds = [1, 2, 3, 9, 40, u32::MAX].map(|n| retry_after(n).as_secs_f32());
        assert_eq!(seconds, [0.5, 1.0, 2.0, 120.0, 120.0, 120.0]);
    }
}
