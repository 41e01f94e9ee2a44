//! What the scheduler remembers from pass to pass. After a start it is empty, and the first pass fills it again.
//!
//! Loads: a pass decodes only those pods on nodes that have changed since the last one.
//!
//! Places: room is kept for pods that are not on their node yet, because their volumes are being made there. Else it
//! would be given to others meanwhile, and the volumes be where their pods cannot go.
//!
//! | pod | its claims | kept for it |
//! |---|---|---|
//! | gone, finished, terminating, or on its node | | – |
//! | waits | one is missing, going, lost, or its class binds at once | – |
//! | waits | a late one with a chosen node | that node |
//! | waits | late ones, none with a chosen node | – |
//! | waits | all bound by now, or none | as before |

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::Pod;
use orlop_objects::{DecodeError, Key, Revision, index::Index};

use super::{
    load::Load,
    view::{ClaimState, PodFacts},
};
use crate::{
    facts,
    worker::{Reader, Seen},
};

/// Room that is kept for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The node's name.
    pub(crate) node: String,
    /// How much.
    pub(crate) load: Load,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What each pod on a node asks for, and in which version.
    loads: HashMap<Key, (Revision, Load)>,
    /// What is kept for pods that wait.
    places: BTreeMap<Key, Place>,
}

impl Memory {
    /// Takes in how a pod is now; `None` when it is gone.
    pub(crate) fn see(&mut self, key: &Key, pod: Option<&PodFacts>) {
        let before = self.places.remove(key);
        if let Some(place) = pod.and_then(|pod| place(pod, before)) {
            self.places.insert(key.clone(), place);
        }
    }

    /// Keeps a place for a pod.
    pub(crate) fn keep(&mut self, key: &Key, place: Place) {
        self.places.insert(key.clone(), place);
    }

    /// What is kept for pods that are on no node yet. To be asked after the loads of all nodes.
    pub(crate) fn places(&self) -> BTreeMap<Key, Place> {
        let waits = |(key, _): &(&Key, &Place)| !self.loads.contains_key(*key);
        self.places.iter().filter(waits).map(|(key, place)| (key.clone(), place.clone())).collect()
    }

    /// What the unfinished pods on a node ask for together.
    pub(crate) fn used(&mut self, node: &str, reader: &Reader) -> Result<Load, DecodeError> {
        let mut used = Load::default();
        for object in reader.snapshot.having(Index::PodsByNode, node) {
            let load = match self.loads.get(&object.key) {
                Some((revision, load)) if *revision == object.revision => *load,
                _ => {
                    let pod = Seen::<Pod>::new(object.clone())?;
                    let load = if facts::is_finished(&pod) { Load::default() } else { Load::of_pod(&pod) };
                    self.loads.insert(object.key.clone(), (object.revision, load));
                    load
                }
            };
            used = used.plus(load);
        }
        Ok(used)
    }

    /// Forgets the loads of pods that are gone, or not what they were.
    pub(crate) fn tidy(&mut self, reader: &Reader) {
        self.loads
            .retain(|key, (revision, _)| reader.snapshot.get(key).is_some_and(|o| o.revision == *revision));
    }
}

/// What is to be kept for a pod: the table.
fn place(pod: &PodFacts, before: Option<Place>) -> Option<Place> {
    if facts::pod_node(&pod.pod).is_some() || pod.pod.is_terminating() || facts::is_finished(&pod.pod) {
        return None;
    }
    let (mut chosen, mut late) = (None, false);
    for claim in &pod.claims {
        match &claim.state {
            ClaimState::Bound(_) => {}
            ClaimState::Late(facts) => {
                late = true;
                chosen = chosen.or(facts::selected_node(&facts.claim));
            }
            ClaimState::Missing | ClaimState::Terminating | ClaimState::Lost | ClaimState::Unbound => {
                return None;
            }
        }
    }
    match chosen {
        Some(node) => Some(Place { node: node.to_owned(), load: pod.load }),
        None if late => None,
        None => before,
    }
}
