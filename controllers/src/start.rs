//! Spawns one task per controller, and ends them.

use std::time::Duration;

use orlop_objects::cidr::Cidr;
use orlop_registry::Registry;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use crate::{
    attacher::Attacher,
    attempts::Attempts,
    binder::Binder,
    daemonsets::DaemonSets,
    deployments::Deployments,
    drivers::{DriverInfo, Drivers},
    evictor::Evictor,
    exports::Exports,
    garbage::Garbage,
    namespaces::Namespaces,
    nodes::Nodes,
    protector::Protector,
    provisioner::Provisioner,
    ranges::Ranges,
    reclaimer::Reclaimer,
    replicasets::ReplicaSets,
    scheduler::Scheduler,
    serviceaccounts::ServiceAccounts,
    statefulsets::StatefulSets,
    worker::{Controller, Worker},
};

/// How long a controller that panicked rests before it starts again.
const REST: Duration = Duration::from_secs(1);

/// What the binary may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a node's lease may go without renewal before its conditions become Unknown and it is tainted.
    pub node_grace: Duration,
    /// How often Events that nobody repeats are swept away.
    pub sweep_every: Duration,
    /// Where the addresses of all nodes' pods may be.
    pub pod_ranges: Vec<Cidr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_grace: Duration::from_secs(20),
            sweep_every: Duration::from_secs(300),
            pod_ranges: vec![Cidr::PODS],
        }
    }
}

/// The running controllers. Dropping it ends them without waiting.
pub struct Controllers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Starts all controllers. They look at everything once, then at what changes.
pub fn start(registry: Registry, drivers: Vec<DriverInfo>, settings: Settings) -> Controllers {
    let (stop, stopped) = watch::channel(false);
    let Settings { node_grace, sweep_every, pod_ranges } = settings;
    let drivers = Drivers::new(drivers);
    let mut tasks = JoinSet::new();
    let mut run = Runner { registry: &registry, stopped: &stopped, tasks: &mut tasks };
    run.controller(Binder::new);
    let attempts = Attempts::default();
    let (known, tried) = (drivers.clone(), attempts.clone());
    run.controller(move |registry| Scheduler::new(registry, known.clone(), tried.clone()));
    let (known, tried) = (drivers.clone(), attempts);
    run.controller(move |registry| Provisioner::new(registry, known.clone(), tried.clone()));
    let known = drivers.clone();
    run.controller(move |registry| Attacher::new(registry, known.clone()));
    run.controller(move |registry| Reclaimer::new(registry, drivers.clone()));
    run.controller(Exports::new);
    run.controller(Protector::new);
    run.controller(move |registry| Nodes::new(registry, node_grace));
    run.controller(move |registry| Ranges::new(registry, pod_ranges.clone()));
    run.controller(Evictor::new);
    run.controller(Namespaces::new);
    run.controller(ServiceAccounts::new);
    run.controller(Garbage::new);
    run.controller(ReplicaSets::new);
    run.controller(Deployments::new);
    run.controller(StatefulSets::new);
    run.controller(DaemonSets::new);
    tasks.spawn(sweep(registry, sweep_every, stopped.clone()));
    Controllers { stop, tasks }
}

impl Controllers {
    /// Ends all controllers; returns when what they had begun is done.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

struct Runner<'a> {
    registry: &'a Registry,
    stopped: &'a watch::Receiver<bool>,
    tasks: &'a mut JoinSet<()>,
}

impl Runner<'_> {
    fn controller<C: Controller>(&mut self, make: impl Fn(Registry) -> C + Send + 'static) {
        let (registry, stopped) = (self.registry.clone(), self.stopped.clone());
        self.tasks.spawn(supervise(registry, stopped, make));
    }
}

/// A panic in a controller is a defect, but not a reason for the others, or for it, to stop for ever: it forgets what
/// it knew and looks at everything anew.
async fn supervise<C: Controller>(
    registry: Registry,
    stopped: watch::Receiver<bool>,
    make: impl Fn(Registry) -> C + Send,
) {
    while !*stopped.borrow() {
        let worker = Worker::new(make(registry.clone()), registry.clone());
        let mut task = JoinSet::new();
        task.spawn(worker.run(stopped.clone()));
        if let Some(Err(error)) = task.join_next().await.filter(is_panic) {
            tracing::error!(controller = C::NAME, %error, "the controller panicked and starts again");
            tokio::time::sleep(REST).await;
        }
    }
}

fn is_panic(ended: &Result<(), JoinError>) -> bool {
    ended.as_ref().is_err_and(JoinError::is_panic)
}

async fn sweep(registry: Registry, every: Duration, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        tokio::select! {
            _ = stopped.changed() => {}
            () = tokio::time::sleep(every) => {
                let swept = registry.sweep_events().await;
                tracing::debug!(swept, "old events removed");
            }
        }
    }
}
