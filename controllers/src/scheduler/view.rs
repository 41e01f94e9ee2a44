//! What the scheduler knows about a set of pods and all nodes: one snapshot.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use k8s_openapi::api::{
    core::v1::{Node, Pod},
    storage::v1::CSINode,
};
use orlop_objects::{DecodeError, Key, kind};

use super::{
    load::{Load, Room},
    memory::{Memory, Place},
};
use crate::{
    attacher::{self, request},
    attempts::{Attempt, Attempts},
    binder::view::Finder,
    drivers::Drivers,
    facts::{self, Claim, Class, Volume},
    worker::{Due, Reader, Seen},
};

/// The facts of one pass.
pub(crate) struct View {
    /// When they were gathered.
    pub(crate) now: Instant,
    /// Pods, the oldest first.
    pub(crate) pods: Vec<PodFacts>,
    /// All nodes, by name.
    pub(crate) nodes: Vec<NodeFacts>,
    /// Room that is kept for pods whose volumes are being made.
    pub(crate) places: BTreeMap<Key, Place>,
}

/// All that matters for one pod.
pub(crate) struct PodFacts {
    /// The pod.
    pub(crate) pod: Arc<Seen<Pod>>,
    /// Since when it has been waiting without a break.
    pub(crate) waiting_since: Option<Instant>,
    /// What it asks of a node.
    pub(crate) load: Load,
    /// Its claims.
    pub(crate) claims: Vec<ClaimFacts>,
}

/// One claim of a pod.
pub(crate) struct ClaimFacts {
    /// Its name.
    pub(crate) name: String,
    /// Where it stands.
    pub(crate) state: ClaimState,
}

/// Where a claim stands, as far as its pods' places depend on it.
pub(crate) enum ClaimState {
    /// There is none of that name.
    Missing,
    /// It is going.
    Terminating,
    /// It has lost its volume, or names one that is not there.
    Lost,
    /// Its class binds at once, and it has not been bound yet.
    Unbound,
    /// Its class binds late: the pod's place decides.
    Late(Late),
    /// It has its volume.
    Bound(Bound),
}

/// A claim that is bound where its pod goes.
pub(crate) struct Late {
    /// The claim.
    pub(crate) claim: Arc<Claim>,
    /// Its class.
    pub(crate) class: Arc<Class>,
    /// Whether the class's provisioner is carried out by nodes (which then need its driver).
    pub(crate) node_local: bool,
    /// Volumes kept for it, and free ones of its class and mode.
    pub(crate) candidates: Vec<Arc<Volume>>,
    /// The last choice of a node for it.
    pub(crate) attempt: Option<Attempt>,
}

/// A claim with its volume.
pub(crate) struct Bound {
    /// The claim.
    pub(crate) claim: Arc<Claim>,
    /// The volume.
    pub(crate) volume: Arc<Volume>,
    /// Whether the volume is attached before it is mounted.
    pub(crate) attaches: bool,
    /// Nodes that it is attached to, or being attached to or detached from.
    pub(crate) attached: BTreeSet<String>,
    /// For `ReadWriteOncePod`: another pod that uses the claim.
    pub(crate) held_by: Option<String>,
}

/// All that matters for one node.
pub(crate) struct NodeFacts {
    /// The node.
    pub(crate) node: Arc<Seen<Node>>,
    /// What it can give.
    pub(crate) room: Room,
    /// What its pods ask for already.
    pub(crate) used: Load,
    /// The storage drivers that it has.
    pub(crate) drivers: BTreeSet<String>,
}

/// What is known beside the store.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// The drivers carried here.
    pub(crate) drivers: &'a Drivers,
    /// The choices of late.
    pub(crate) attempts: &'a Attempts,
}

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader, known: Known<'_>, memory: &mut Memory) -> View {
    let mut view = View { now: reader.now, pods: Vec::new(), nodes: Vec::new(), places: BTreeMap::new() };
    let mut finder = Finder::default();
    for due in keys {
        let Some(pod) = reader.about(&due.key, |r| pod_facts(due, r, known, &mut finder)) else { continue };
        memory.see(&due.key, pod.as_ref());
        view.pods.extend(pod);
    }
    // A pod that is where it belongs needs no look at the nodes and all that runs there.
    let is_late = |claim: &ClaimFacts| matches!(claim.state, ClaimState::Late(_));
    let moves = |pod: &PodFacts| facts::pod_node(&pod.pod).is_none() || pod.claims.iter().any(is_late);
    if !view.pods.iter().any(moves) {
        return view;
    }
    view.pods.sort_by(|a, b| age(&a.pod).cmp(&age(&b.pod)));
    for key in reader.snapshot.list(&kind::NODE, None, None).map(|node| node.key.clone()).collect::<Vec<_>>()
    {
        view.nodes.extend(reader.about(&key, |r| node_facts(&key, r, memory)).flatten());
    }
    memory.tidy(reader);
    view.places = memory.places();
    view
}

fn age(pod: &Seen<Pod>) -> (&str, &Key) {
    (&pod.object.meta.creation_timestamp, pod.key())
}

fn node_facts(key: &Key, reader: &Reader, memory: &mut Memory) -> Result<Option<NodeFacts>, DecodeError> {
    let Some(node) = reader.get::<Node>(key)? else {
        return Ok(None);
    };
    let csi: Option<Seen<CSINode>> = reader.get(&Key::cluster(&kind::CSI_NODE, &*key.name))?;
    let drivers = csi.map(|csi| csi.spec.drivers.iter().map(|d| d.name.clone()).collect());
    let used = memory.used(&key.name, reader)?;
    let room = Room::of_node(&node);
    Ok(Some(NodeFacts { node: Arc::new(node), room, used, drivers: drivers.unwrap_or_default() }))
}

fn pod_facts(
    due: &Due,
    reader: &Reader,
    known: Known<'_>,
    finder: &mut Finder,
) -> Result<Option<PodFacts>, DecodeError> {
    let Some(pod) = reader.get::<Pod>(&due.key)? else {
        return Ok(None);
    };
    let names = facts::pod_claims(&pod);
    let mut claims = Vec::with_capacity(names.len());
    for name in names {
        let key = Key::new(&kind::PERSISTENT_VOLUME_CLAIM, &*due.key.namespace, &*name);
        let state = claim_state(&pod, &key, reader, known, finder)?;
        claims.push(ClaimFacts { name, state });
    }
    let load = Load::of_pod(&pod);
    Ok(Some(PodFacts { pod: Arc::new(pod), waiting_since: due.waiting_since, load, claims }))
}

fn claim_state(
    pod: &Seen<Pod>,
    key: &Key,
    reader: &Reader,
    known: Known<'_>,
    finder: &mut Finder,
) -> Result<ClaimState, DecodeError> {
    let Some(claim) = reader.get(key)? else {
        return Ok(ClaimState::Missing);
    };
    let claim: Arc<Claim> = Arc::new(claim);
    if claim.is_terminating() {
        return Ok(ClaimState::Terminating);
    }
    if facts::claim_phase(&claim) == "Lost" {
        return Ok(ClaimState::Lost);
    }
    match facts::named_volume(&claim) {
        Some(name) => named(pod, claim.clone(), name, reader, known),
        None => unbound(claim, reader, known, finder),
    }
}

fn named(
    pod: &Seen<Pod>,
    claim: Arc<Claim>,
    name: &str,
    reader: &Reader,
    known: Known<'_>,
) -> Result<ClaimState, DecodeError> {
    let volume: Option<Volume> = reader.get(&Key::cluster(&kind::PERSISTENT_VOLUME, name))?;
    let Some(volume) = volume.filter(|volume| facts::is_bound(&claim, volume)) else {
        return Ok(if facts::was_bound(&claim) { ClaimState::Lost } else { ClaimState::Unbound });
    };
    let attaches = match request::csi(&volume) {
        Some((driver, _)) => known.drivers.attaches(driver, reader)?,
        None => false,
    };
    let attachments = attacher::view::attachments(&volume, reader)?;
    let held_by = exclusive_holder(pod, &claim, &volume, reader)?;
    let attached = attachments.iter().map(|a| a.spec.node_name.clone()).collect();
    Ok(ClaimState::Bound(Bound { claim, volume: Arc::new(volume), attaches, attached, held_by }))
}

/// Another pod that has a node and the one volume that only one pod may use.
fn exclusive_holder(
    pod: &Seen<Pod>,
    claim: &Claim,
    volume: &Volume,
    reader: &Reader,
) -> Result<Option<String>, DecodeError> {
    if !facts::is_for_one_pod(volume) {
        return Ok(None);
    }
    let users = attacher::view::pods_naming(claim, reader)?;
    let other = |user: &&Seen<Pod>| user.uid() != pod.uid() && facts::pod_node(user).is_some();
    Ok(users.iter().find(other).map(|user| user.name().to_owned()))
}

fn unbound(
    claim: Arc<Claim>,
    reader: &Reader,
    known: Known<'_>,
    finder: &mut Finder,
) -> Result<ClaimState, DecodeError> {
    let class: Option<Class> = match facts::claim_class(&claim) {
        Some(name) if !name.is_empty() => reader.get(&Key::cluster(&kind::STORAGE_CLASS, name))?,
        _ => None,
    };
    let Some(class) = class.filter(|class| facts::binds_late(class)) else {
        return Ok(ClaimState::Unbound);
    };
    let node_local = known.drivers.get(facts::driver(&class)).is_some_and(|driver| driver.node_local);
    let candidates = finder.candidates(&claim, reader)?;
    let attempt = known.attempts.of(claim.uid());
    Ok(ClaimState::Late(Late { claim, attempt, class: Arc::new(class), node_local, candidates }))
}
