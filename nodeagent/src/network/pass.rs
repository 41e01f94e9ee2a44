//! Carrying out the network's plan, giving addresses to pods, and taking all of it off the machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use orlop_backends::host::{
    self, Cause,
    network::{Cable, Passage},
};
use orlop_objects::cidr::Cidr;
use tokio::{sync::Notify, time::Instant};

use super::{
    On, State, lease, names,
    plan::{LeftOut, Plan, Seen, Step, Want, plan},
    ranges,
};
use crate::{
    core::Core,
    error::Error,
    events::about,
    journal::{Intent, PodIntent},
    machine::Machine,
    plan::Look,
    world::Work,
};

/// How often the network is looked at though nothing says that it changed.
const AGAIN: Duration = Duration::from_secs(300);
/// How long at most until a failure is tried again: what is missing is an administrator's to add.
const RETRY: Duration = Duration::from_secs(60);

/// The network in this life of the agent.
pub(crate) struct Leases {
    state: Mutex<State>,
    /// What the Node was told last.
    told: Mutex<Option<State>>,
    /// What the last pass that had nothing to complain of was for.
    done: Mutex<Option<(Want, Instant)>>,
    failures: Mutex<u32>,
    given: Mutex<Given>,
    /// The state has changed.
    pub(crate) changed: Notify,
}

/// Addresses as they are given.
#[derive(Debug, Default)]
struct Given {
    /// The last one.
    last: Option<Ipv4Addr>,
    /// By pod, those that are on their way into the journal.
    under_way: BTreeMap<String, Ipv4Addr>,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            state: Mutex::new(State::Unknown("the pod network is being set up on this node".to_owned())),
            told: Mutex::default(),
            done: Mutex::default(),
            failures: Mutex::default(),
            given: Mutex::default(),
            changed: Notify::new(),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Leases {
    /// What pods can have.
    pub(crate) fn state(&self) -> State {
        lock(&self.state).clone()
    }

    fn set(&self, state: State) {
        *lock(&self.state) = state;
    }

    /// Whether the Node has not been told of this state yet.
    fn is_untold(&self, state: &State) -> bool {
        let mut told = lock(&self.told);
        let new = told.as_ref() != Some(state);
        *told = Some(state.clone());
        new
    }

    /// Something that was made is not there: the next pass looks whatever it is for.
    pub(crate) fn doubt(&self) {
        *lock(&self.done) = None;
    }
}

impl Core {
    /// One pass over the network: look, plan, execute; then pods and the Node are told.
    pub(crate) async fn network_pass(self: &Arc<Self>) -> Option<Instant> {
        let want = self.world().network(&self.machine.instance);
        let done = lock(&self.leases.done).clone();
        if let Some((_, at)) = done.filter(|(last, at)| *last == want && at.elapsed() < AGAIN) {
            return Some(at + AGAIN);
        }
        let look = self.machine.blocking(|m| m.look_at_network()).await;
        let (state, good) = match plan(&want, &Look::of(look)) {
            Plan::Wait(why) => (State::Unknown(why), false),
            Plan::Off(why) => (State::Off(why), false),
            Plan::On { bridge, steps, left_out } => {
                let on = |range, troubles| On { range, gateway: bridge.address, mtu: bridge.mtu, troubles };
                match (self.carry_out_network(steps).await, want.range) {
                    (Ok(mut troubles), Some(range)) => {
                        // Pods of this node reach each other from here on: they need not wait for the firewall.
                        if !matches!(self.leases.state(), State::On(_)) {
                            self.leases.set(State::On(on(range, troubles.clone())));
                            self.wake_pods();
                        }
                        troubles.extend(left_out.iter().map(|left| left.why.clone()));
                        troubles.extend(self.open_passage(range, &want, &left_out).await);
                        let good = troubles.is_empty();
                        (State::On(on(range, troubles)), good)
                    }
                    (Err(error), _) => (State::Off(without_rights(&error)), false),
                    (Ok(_), None) => (State::Unknown("the node's range is none".to_owned()), false),
                }
            }
        };
        self.tell_of_network(&state);
        let failures = {
            let mut failures = lock(&self.leases.failures);
            *failures = if good { 0 } else { failures.saturating_add(1) };
            *failures
        };
        *lock(&self.leases.done) = good.then(|| (want, Instant::now()));
        Some(Instant::now() + if good { AGAIN } else { crate::core::retry_after(failures).min(RETRY) })
    }

    fn tell_of_network(&self, state: &State) {
        self.leases.set(state.clone());
        if !self.leases.is_untold(state) {
            return;
        }
        let condition = state.condition();
        tracing::info!(?condition, "the pod network");
        let trouble = condition.filter(|(_, reason, _)| *reason != "PodNetworkReady");
        if let (Some((_, reason, message)), Some(node)) = (trouble, self.world().node(&self.node)) {
            self.events.warning(about(&node.object), reason, message);
        }
        self.leases.changed.notify_one();
        self.wake_pods();
    }

    fn wake_pods(&self) {
        let pods = self.world().all().into_iter().filter(|work| matches!(work, Work::Pod(_)));
        pods.for_each(|work| self.queue.wake(work));
    }

    /// Answers what of the firewall could not be opened.
    async fn open_passage(&self, range: Cidr, want: &Want, left_out: &[LeftOut]) -> Vec<String> {
        let is_reached = |peer: &Cidr| !left_out.iter().any(|left| left.range == *peer);
        let passage = Passage {
            mark: want.instance.clone(),
            bridge: names::bridge(&want.instance),
            range,
            peers: want.peers.iter().map(|peer| peer.range).filter(is_reached).collect(),
        };
        let opened = self.machine.blocking(move |m| Ok(m.network.open_passage(&passage)?)).await;
        opened.unwrap_or_else(|error| vec![error.chain()])
    }

    /// Answers what did not work though the bridge did.
    async fn carry_out_network(&self, steps: Vec<Step>) -> Result<Vec<String>, Error> {
        self.machine
            .blocking(move |m| {
                let mut troubles = Vec::new();
                for step in steps {
                    tracing::debug!(?step, "network step");
                    let outcome = match &step {
                        // All else stands on the bridge.
                        Step::SetBridge(bridge) => {
                            m.network.set_bridge(bridge)?;
                            continue;
                        }
                        Step::RemoveRoute(route) => m.network.remove_route(route),
                        Step::AddRoute(route) => m.network.add_route(route),
                    };
                    if let Err(error) = outcome {
                        troubles.push(format!(
                            "pods of another node are not reached: {}",
                            Error::from(error).chain()
                        ));
                    }
                }
                Ok(troubles)
            })
            .await
    }

    /// Puts a pod's intent on disk, with an address that is its alone.
    pub(crate) async fn lease(&self, intent: PodIntent, range: Cidr) -> Result<(), Error> {
        let cables = self.machine.blocking(Machine::cables).await?;
        let pod = intent.uid.clone();
        let Some(address) = self.reserve(&pod, range, &cables) else {
            return Err(Error::Refused(format!(
                "all addresses of the node's range {range} are in use; delete pods of it"
            )));
        };
        let intent = PodIntent { address: Some(address), ..intent };
        let written = self.machine.journal.begin(Intent::Pod(intent)).await;
        // The journal has it from here on, or nobody.
        lock(&self.leases.given).under_way.remove(&pod);
        written
    }

    /// Chooses an address and keeps it from other pods, until it is in the journal: so many may be written at once.
    fn reserve(&self, pod: &str, range: Cidr, cables: &[(String, Ipv4Addr)]) -> Option<Ipv4Addr> {
        // One that has ended for good needs none, and keeps its record until it is deleted.
        let world = self.world();
        let ended = |uid: &str| {
            world.pod(uid).is_some_and(|pod| pod.finished) && !cables.iter().any(|(pod, _)| pod == uid)
        };
        let mut given = lock(&self.leases.given);
        let recorded = self.machine.journal.pods();
        let recorded = recorded.iter().filter(|other| !ended(&other.uid));
        let recorded = recorded.filter_map(|other| Some((other.uid.as_str(), other.address?)));
        let cabled = cables.iter().map(|(uid, address)| (uid.as_str(), *address));
        let under_way = given.under_way.iter().map(|(uid, address)| (uid.as_str(), *address));
        let all = recorded.chain(cabled).chain(under_way);
        let used: BTreeSet<Ipv4Addr> =
            all.filter(|(uid, _)| *uid != pod).map(|(_, address)| address).collect();
        // A cable that outlived the journal keeps its address.
        let kept = cables.iter().find(|(uid, address)| uid == pod && !used.contains(address));
        let newest = given.last.or_else(|| used.last().copied());
        let address = kept.map(|(_, address)| *address).or_else(|| lease::free(range, &used, newest))?;
        given.last = Some(address);
        given.under_way.insert(pod.to_owned(), address);
        Some(address)
    }
}

/// The kernel has few words for what it lacks.
fn without_rights(error: &Error) -> String {
    let said = error.chain();
    let errno = match error {
        Error::Host { source: host::Error { source: Cause::Os(os), .. } } => os.raw_os_error(),
        _ => None,
    };
    match errno {
        Some(nix::libc::EPERM) => format!("{said}; give Orlop the capability NET_ADMIN"),
        Some(nix::libc::EOPNOTSUPP) => format!("{said}; load the kernel modules bridge and veth"),
        _ => said,
    }
}

impl Machine {
    pub(super) fn look_at_network(&self) -> Result<Seen, Error> {
        Ok(Seen {
            links: self.network.links()?,
            addresses: self.network.addresses()?,
            routes: self.network.routes()?,
        })
    }

    /// Pods that have a cable, with their addresses.
    pub(crate) fn cables(&self) -> Result<Vec<(String, Ipv4Addr)>, Error> {
        let links = self.network.links()?;
        Ok(links.iter().filter_map(|link| names::described(&self.instance, link)).collect())
    }

    /// Ranges that are free on this machine and in `others`, the best first.
    pub(crate) fn propose_ranges(&self, node: &str, others: &[Cidr]) -> Result<Vec<Cidr>, Error> {
        let seen = self.look_at_network()?;
        let bridge = names::bridge(&self.instance);
        let own = seen.links.iter().find(|link| link.name == bridge).map(|link| link.index);
        let has = seen.addresses.iter().find(|a| Some(a.link) == own);
        let has = has.and_then(|a| Cidr::around(a.address, a.length));
        let near = seen.addresses.iter().filter(|a| Some(a.link) != own);
        let routes = seen.routes.iter().filter(|r| r.to.length() > 0 && (r.link.is_none() || r.link != own));
        let mut taken: Vec<Cidr> = others.to_vec();
        taken.extend(near.filter_map(|a| Cidr::around(a.address, a.length)));
        taken.extend(routes.map(|route| route.to));
        let seed = format!("{}/{node}", self.instance);
        Ok(ranges::proposals(self.pod_range, &seed, has, &taken))
    }

    /// Ensures that a pod whose namespaces are pinned has its cable.
    pub(crate) fn connect(&self, pod: &str, address: Ipv4Addr, on: &On) -> Result<(), Error> {
        Ok(self.network.connect(&self.cable(pod, address, on))?)
    }

    fn cable(&self, pod: &str, address: Ipv4Addr, on: &On) -> Cable {
        Cable {
            name: names::cable(&self.instance, pod),
            alias: names::description(&self.instance, pod, address),
            bridge: names::bridge(&self.instance),
            namespace: self.net_namespace(pod),
            address,
            length: on.range.length(),
            gateway: on.gateway,
            mtu: on.mtu,
        }
    }

    fn net_namespace(&self, pod: &str) -> PathBuf {
        self.layout.namespaces(pod).join("net")
    }

    /// Ensures that a pod has no cable.
    pub(crate) fn disconnect(&self, pod: &str) -> Result<(), Error> {
        let name = names::cable(&self.instance, pod);
        // Where nothing may be changed, nothing is there: that must not keep a pod from going.
        if self.network.link(&name)?.is_some() {
            self.network.remove_link(&name)?;
        }
        Ok(())
    }

    /// Takes the instance's network off the machine; answers what stays, in words.
    pub(crate) fn take_down_network(&self) -> Result<Vec<String>, Error> {
        let instance = &*self.instance;
        let mut left = Vec::new();
        let mut note = |what: String, outcome: host::Result<()>| {
            if let Err(error) = outcome {
                left.push(format!("{what}: {}", Error::from(error).chain()));
            }
        };
        let number = names::number(instance);
        for route in self.network.routes()?.into_iter().filter(|r| r.instance == Some(number)) {
            note(format!("route to {}", route.to), self.network.remove_route(&route));
        }
        note(format!("firewall rules ORLOP-{instance}"), self.network.close_passage(instance));
        let mut ours: Vec<String> = self.network.links()?.into_iter().map(|link| link.name).collect();
        ours.retain(|name| names::is_ours(instance, name));
        // The bridge last: a pod whose containers did not end keeps what it needs to end well.
        ours.sort_by_key(|name| *name == names::bridge(instance));
        for name in ours {
            note(format!("interface {name}"), self.network.remove_link(&name));
        }
        Ok(left)
    }
}
