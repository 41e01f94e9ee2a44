//! What the deployment controller knows: deployments and their replica sets.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use orlop_objects::{DecodeError, Key, Object, kind};
use serde_json::Value;

use crate::{
    replicasets::decide as sets,
    worker::{Due, Reader, Seen},
    workloads::{
        family::{self, Moves},
        hash, make, pass,
    },
};

/// The label by which the pods of one template are told from those of another.
pub(crate) const HASH: &str = "pod-template-hash";

/// The facts of one pass.
pub(crate) type View = pass::View<Facts>;

/// All that matters for one deployment.
pub(crate) struct Facts {
    /// The deployment.
    pub(crate) deployment: Arc<Seen<Deployment>>,
    /// Its template, as it is stored.
    pub(crate) template: Value,
    /// Its replica sets, the oldest first.
    pub(crate) sets: Vec<Arc<Set>>,
    /// What changes its controller first.
    pub(crate) moves: Moves,
    /// The name that a set of the template gets.
    pub(crate) name: String,
    /// The hash in it.
    pub(crate) hash: String,
    /// Whether there is a set of this name, of whatever template.
    pub(crate) taken: bool,
    /// Whether its namespace is going.
    pub(crate) namespace_going: bool,
    /// Since when it waits.
    pub(crate) waiting_since: Option<Instant>,
}

/// One replica set.
pub(crate) struct Set {
    /// The set.
    pub(crate) set: Seen<ReplicaSet>,
    /// Its template, without the hash.
    pub(crate) template: Value,
}

impl Set {
    /// Reads a set.
    pub(crate) fn new(object: Arc<Object>) -> Result<Self, DecodeError> {
        let template = template(&object);
        Ok(Self { set: Seen::new(object)?, template })
    }

    /// How many pods it wants.
    pub(crate) fn wants(&self) -> i32 {
        self.set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }

    /// What its status says.
    pub(crate) fn told(&self) -> sets::Status {
        sets::told(&self.set)
    }

    /// Whether its status speaks of what it wants now.
    pub(crate) fn is_observed(&self) -> bool {
        self.told().generation >= self.set.object.meta.generation
    }

    /// One of its annotations.
    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.set.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// The template of a deployment or of a set, without the hash.
fn template(object: &Object) -> Value {
    let mut template = object.value()["spec"]["template"].take();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    template
}

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader, clock: Timestamp) -> View {
    View::gather(keys, reader, clock, facts)
}

fn facts(due: &Due, reader: &Reader) -> Result<Option<Facts>, DecodeError> {
    let key = &due.key;
    let Some(deployment) = reader.get::<Deployment>(key)? else { return Ok(None) };
    let Some(selector) = deployment.spec.as_ref().and_then(|spec| family::selector(&spec.selector)) else {
        return Ok(None);
    };
    let family = family::of(&reader.snapshot, &deployment.object, &selector, &kind::REPLICA_SET);
    let mut sets =
        family.own.into_iter().map(|set| Set::new(set).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    sets.sort_by(|a, b| age(a).cmp(&age(b)));
    let template = template(&deployment.object);
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let hash = hash::of(&template, collisions);
    let name = format!("{}-{hash}", key.name);
    let namesake = reader.snapshot.get(&Key::new(&kind::REPLICA_SET, &*key.namespace, &*name));
    Ok(Some(Facts {
        template,
        moves: family.moves,
        taken: namesake.is_some(),
        sets,
        name,
        hash,
        namespace_going: make::is_going(&reader.snapshot, &key.namespace),
        waiting_since: due.waiting_since,
        deployment: Arc::new(deployment),
    }))
}

fn age(set: &Set) -> (&str, &str) {
    (&set.set.object.meta.creation_timestamp, set.set.name())
}
