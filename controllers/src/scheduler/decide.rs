//! Where a pod goes, or why nowhere. Pure.
//!
//! | pod | claims | nodes | verdict |
//! |---|---|---|---|
//! | finished, terminating, gated, another scheduler's | | | – |
//! | has a node | a late one without chosen node | its node is there | Select that node for the claims |
//! | has a node | else | | – |
//! | no node | one is missing, going, lost | | Unschedulable, naming it |
//! | no node | one unbound, its class binds at once | | wait a little, then Unschedulable |
//! | no node | | none can take it | Unschedulable, with all reasons counted |
//! | no node | late ones without chosen node | some can | Select the least loaded for the claims, and wait |
//! | no node | a late one, whose node was taken back just now | some can | Unschedulable until the next choice is due |
//! | no node | late ones, node chosen | that one can | wait for their volumes a little, then Unschedulable |
//! | no node | all bound, or none | some can | Assign the least loaded, with the pod's first attachment |
//!
//! Of several nodes those come first whose taints (PreferNoSchedule) do not ask the pod to go elsewhere, then those that can
//! export what is to be made for it.
//!
//! Pods are decided in the order of their age; what one gets, the next finds taken, and so is what is kept for pods whose
//! volumes are being made (`memory`).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use orlop_objects::Key;

use super::{
    filter,
    load::Load,
    memory::Place,
    view::{Bound, ClaimState, NodeFacts, PodFacts, View},
};
use crate::{
    attempts::Attempt,
    facts::{self, Claim, Volume},
    worker::Seen,
};

/// A wait that normally ends by itself is told only when it lasts longer than this.
const PATIENCE: Duration = Duration::from_secs(3);

/// When a pod that found no room looks again, while room is kept for others.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What to do about one pod.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Give it the node, and ask for its first attachment in the same transaction.
    Assign {
        /// The pod.
        pod: Arc<Seen<Pod>>,
        /// The node's name.
        node: String,
        /// Its claims, which must not change meanwhile.
        claims: Vec<Arc<Claim>>,
        /// The volume to attach.
        attach: Option<Arc<Volume>>,
    },
    /// Write the node that was chosen to claims that are bound where their pod goes.
    Select {
        /// The node's name, and how much room to keep there for the pod.
        place: Place,
        /// The claims, each with its class's provisioner.
        claims: Vec<(Arc<Claim>, String)>,
    },
    /// Nothing yet, and nothing worth telling before then.
    Patience {
        /// When to look again.
        until: Instant,
    },
    /// Nothing can be done until something changes: condition and Event say why.
    Unschedulable {
        /// The pod.
        pod: Arc<Seen<Pod>>,
        /// Kubernetes' words, then ours.
        message: String,
        /// When to look again, where time alone changes something.
        until: Option<Instant>,
    },
}

/// What this pass has given away already, beside what is kept for pods of earlier ones.
struct Given<'a> {
    /// Room kept, by pod.
    places: BTreeMap<&'a Key, &'a Place>,
    /// Room, by node.
    room: HashMap<&'a str, Load>,
    /// Claims that only one pod may use.
    exclusive: HashSet<&'a Key>,
}

impl<'a> Given<'a> {
    fn new(view: &'a View) -> Self {
        Self { places: view.places.iter().collect(), room: HashMap::new(), exclusive: HashSet::new() }
    }

    /// What is taken on a node, as one pod finds it: what is kept for itself is not.
    fn on(&self, node: &NodeFacts, pod: &PodFacts) -> Load {
        let name = node.node.name();
        let others = self.places.iter().filter(|(key, place)| place.node == name && **key != pod.pod.key());
        let kept = others.fold(Load::default(), |sum, (_, place)| sum.plus(place.load));
        self.room.get(name).copied().unwrap_or_default().plus(node.used).plus(kept)
    }

    fn note(&mut self, pod: &'a PodFacts, view: &'a View, verdict: &Verdict) {
        let (Verdict::Assign { node, .. } | Verdict::Select { place: Place { node, .. }, .. }) = verdict
        else {
            return;
        };
        self.places.remove(pod.pod.key());
        if let Some(facts) = view.nodes.iter().find(|facts| facts.node.name() == node) {
            let room = self.room.entry(facts.node.name()).or_default();
            *room = room.plus(pod.load);
        }
        if matches!(verdict, Verdict::Assign { .. }) {
            self.exclusive.extend(exclusive_claims(pod));
        }
    }
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    let mut given = Given::new(view);
    let mut verdicts = Vec::new();
    for pod in &view.pods {
        let Some(verdict) = decide_pod(pod, view, &given) else { continue };
        given.note(pod, view, &verdict);
        verdicts.push((pod.pod.key().clone(), verdict));
    }
    verdicts
}

/// The pod's claims that only one pod may use.
fn exclusive_claims(pod: &PodFacts) -> impl Iterator<Item = &Key> {
    let bound = pod.claims.iter().filter_map(|claim| as_bound(&claim.state));
    bound.filter(|bound| facts::is_for_one_pod(&bound.volume)).map(|bound| bound.claim.key())
}

fn decide_pod(pod: &PodFacts, view: &View, given: &Given<'_>) -> Option<Verdict> {
    if !is_ours(&pod.pod) {
        return None;
    }
    if let Some(node) = facts::pod_node(&pod.pod) {
        return select_for(pod, view.nodes.iter().find(|facts| facts.node.name() == node)?.node.name());
    }
    if let Some(reason) = blocked(pod) {
        return Some(unschedulable(pod, view, &reason.words, &reason.advice, None));
    }
    if let Some(name) = unbound(pod) {
        let advice =
            format!("Claim {name:?} is not bound yet: kubectl describe pvc {name} says what it waits for");
        return Some(patience(pod, view, None, "pod has unbound immediate PersistentVolumeClaims", &advice));
    }
    if exclusive_claims(pod).any(|claim| given.exclusive.contains(claim)) {
        // The next look finds the pod that got it in this pass.
        return Some(Verdict::Patience { until: view.now });
    }
    let refusals: Vec<Vec<String>> =
        view.nodes.iter().map(|node| filter::refusals(pod, node, given.on(node, pod))).collect();
    let fit = view.nodes.iter().zip(&refusals).filter(|(_, refused)| refused.is_empty());
    let best = fit.map(|(node, _)| node).min_by_key(|node| {
        let used = given.on(node, pod);
        let name = node.node.name();
        let unwelcome = filter::unwelcome(&pod.pod, &node.node);
        let second = filter::second_choice(pod, node);
        (is_repeat(pod, name), unwelcome, second, node.room.fullness(used), used.pods, name.to_owned())
    });
    match best {
        Some(node) => Some(pause(pod, view).unwrap_or_else(|| place(pod, view, node.node.name()))),
        None => Some(nowhere(pod, view, &refusals)),
    }
}

/// Whether it is for this scheduler to place, now.
fn is_ours(pod: &Seen<Pod>) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let name = spec.scheduler_name.as_deref().unwrap_or("default-scheduler");
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    !pod.is_terminating() && !facts::is_finished(pod) && !gated && name == "default-scheduler"
}

struct Blocked {
    words: String,
    advice: String,
}

/// A claim that no node can make up for.
fn blocked(pod: &PodFacts) -> Option<Blocked> {
    pod.claims.iter().find_map(|claim| {
        let name = &claim.name;
        let (words, advice) = match claim.state {
            ClaimState::Missing => (
                format!("persistentvolumeclaim {name:?} not found"),
                "Create the claim, in the pod's namespace; the pod then goes on by itself".to_owned(),
            ),
            ClaimState::Terminating => (
                format!("persistentvolumeclaim {name:?} is being deleted"),
                "It goes when no pod on a node uses it any more; create it anew then, and the pod goes on by itself"
                    .to_owned(),
            ),
            ClaimState::Lost => (
                format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume"),
                format!("Its volume is gone: kubectl describe pvc {name} says which; make a new claim"),
            ),
            _ => return None,
        };
        Some(Blocked { words, advice })
    })
}

fn unbound(pod: &PodFacts) -> Option<&str> {
    let unbound = |state: &ClaimState| matches!(state, ClaimState::Unbound);
    pod.claims.iter().find(|claim| unbound(&claim.state)).map(|claim| claim.name.as_str())
}

/// The last choices for late claims whose node was taken back.
fn failed_attempts(pod: &PodFacts) -> impl Iterator<Item = (&str, &Attempt)> {
    pod.claims.iter().filter_map(|claim| match &claim.state {
        ClaimState::Late(late) if facts::selected_node(&late.claim).is_none() => {
            Some((claim.name.as_str(), late.attempt.as_ref()?))
        }
        _ => None,
    })
}

fn is_repeat(pod: &PodFacts, node: &str) -> bool {
    failed_attempts(pod).any(|(_, attempt)| attempt.node == node)
}

/// A driver that just took a node back would do so again: the next choice waits.
fn pause(pod: &PodFacts, view: &View) -> Option<Verdict> {
    let (claim, attempt) = failed_attempts(pod).max_by_key(|(_, attempt)| attempt.next())?;
    let until = attempt.next();
    let words = format!("the volume of claim {claim:?} could not be provisioned on node {}", attempt.node);
    let advice = format!("kubectl describe pvc {claim} says why; it is tried again");
    let verdict = unschedulable(pod, view, &words, &advice, Some(until));
    (view.now < until).then_some(verdict)
}

/// A node that fits was found.
fn place(pod: &PodFacts, view: &View, node: &str) -> Verdict {
    if let Some(select) = select_for(pod, node) {
        return select;
    }
    let begun = pod.claims.iter().find_map(|claim| match &claim.state {
        ClaimState::Late(late) => Some((&claim.name, late.attempt.as_ref().map(|attempt| attempt.at))),
        _ => None,
    });
    if let Some((claim, since)) = begun {
        let words = format!("waiting for the volume of claim {claim:?} on node {node}");
        let advice = format!("kubectl describe pvc {claim} says how far it is");
        return patience(pod, view, since, &words, &advice);
    }
    let bound = || pod.claims.iter().filter_map(|claim| as_bound(&claim.state));
    Verdict::Assign {
        pod: pod.pod.clone(),
        node: node.to_owned(),
        claims: bound().map(|bound| bound.claim.clone()).collect(),
        attach: bound().find(|bound| may_attach(bound)).map(|bound| bound.volume.clone()),
    }
}

fn as_bound(state: &ClaimState) -> Option<&Bound> {
    match state {
        ClaimState::Bound(bound) => Some(bound),
        _ => None,
    }
}

/// Attached nowhere yet: then the request can share the pod's transaction. All else is left to the attacher.
fn may_attach(bound: &Bound) -> bool {
    bound.attaches && bound.attached.is_empty()
}

/// The claims that still have to hear of the node; `None` when all have.
fn select_for(pod: &PodFacts, node: &str) -> Option<Verdict> {
    let unheard = |state: &ClaimState| match state {
        ClaimState::Late(late) if facts::selected_node(&late.claim).is_none() => {
            Some((late.claim.clone(), facts::driver(&late.class).to_owned()))
        }
        _ => None,
    };
    let claims: Vec<_> = pod.claims.iter().filter_map(|claim| unheard(&claim.state)).collect();
    let place = Place { node: node.to_owned(), load: pod.load };
    (!claims.is_empty()).then_some(Verdict::Select { place, claims })
}

/// Waits in silence for a while, since most such waits are over in milliseconds; then tells. The while begins when a
/// node was chosen last, else when the pod began to wait.
fn patience(pod: &PodFacts, view: &View, since: Option<Instant>, words: &str, advice: &str) -> Verdict {
    let until = since.or(pod.waiting_since).unwrap_or(view.now) + PATIENCE;
    if view.now < until { Verdict::Patience { until } } else { unschedulable(pod, view, words, advice, None) }
}

fn unschedulable(pod: &PodFacts, view: &View, words: &str, advice: &str, until: Option<Instant>) -> Verdict {
    let message = format!("0/{} nodes are available: {words}. {advice}.", view.nodes.len());
    Verdict::Unschedulable { pod: pod.pod.clone(), message, until }
}

fn nowhere(pod: &PodFacts, view: &View, refusals: &[Vec<String>]) -> Verdict {
    if refusals.is_empty() {
        let message = "no nodes available to schedule pods. Start an agent: orlop up brings one with it.";
        return Verdict::Unschedulable { pod: pod.pod.clone(), message: message.to_owned(), until: None };
    }
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for words in refusals.iter().flatten() {
        *counted.entry(words).or_default() += 1;
    }
    let advice =
        counted.keys().map(|words| advice(words)).find(|advice| !advice.is_empty()).unwrap_or_default();
    let reasons: Vec<String> = counted.iter().map(|(words, count)| format!("{count} {words}")).collect();
    // A place that is kept may be given back without a change that concerns this pod.
    let until = (!view.places.is_empty()).then(|| view.now + LOOK_AGAIN);
    unschedulable(pod, view, &reasons.join(", "), advice, until)
}

/// What a person can do about a refusal.
fn advice(words: &str) -> &'static str {
    let rows = [
        ("being deleted", "kubectl get node NODE -o yaml shows the finalizers that hold it"),
        ("not ready", "kubectl describe node says what the node lacks"),
        ("unschedulable", "kubectl uncordon NODE lets it take pods again"),
        (
            "{node.kubernetes.io/unreachable: ",
            "Nobody hears from the node: kubectl describe node says since when; start its agent",
        ),
        ("{node.kubernetes.io/not-ready: ", "kubectl describe node says what the node lacks"),
        ("{node.kubernetes.io/unschedulable: ", "kubectl uncordon NODE lets it take pods again"),
        ("untolerated taint", "Give the pod a toleration, or take the taint away with kubectl taint"),
        (
            "affinity/selector",
            "Compare the pod's nodeSelector and affinity with kubectl get nodes --show-labels",
        ),
        (
            "Insufficient",
            "Lower the pod's requests, or delete pods; kubectl describe node shows what is allocated",
        ),
        ("Too many pods", "Delete pods that are not needed, or add a node"),
        ("affinity conflict", "The volume lives on another node, and the pod must run there"),
        ("ReadWriteOncePod", "Delete the other pod that uses the claim; this one then goes on by itself"),
        ("parameter pool", crate::pools::ADVICE),
        ("persistent volumes to bind", "kubectl describe pvc says what the claim waits for"),
    ];
    rows.into_iter().find(|(part, _)| words.contains(part)).map_or("", |(_, advice)| advice)
}
