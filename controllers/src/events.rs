//! Tells people what happened: Events through the registry, without making a verdict wait for them.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use orlop_objects::Object;
use orlop_registry::{Note, Registry};

use crate::worker::now;

/// A sentence about the same object is not repeated within this time, however often its reason is found again.
const QUIET: Duration = Duration::from_secs(30);
/// More sentences than this are not remembered: forgetting only means that one may be repeated.
const REMEMBERED: usize = 4096;

/// Something to tell about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Warning rather than Normal.
    pub(crate) warning: bool,
    /// The reason in CamelCase, Kubernetes' own where it has one.
    pub(crate) reason: &'static str,
    /// Kubernetes' words first, then what to do.
    pub(crate) message: String,
}

impl Said {
    /// Something that went, or will go, as it should.
    pub(crate) fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self { warning: false, reason, message: message.into() }
    }

    /// Something that somebody should look at.
    pub(crate) fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self { warning: true, reason, message: message.into() }
    }
}

/// Where a controller leaves what it has to tell.
#[derive(Clone)]
pub(crate) struct Teller {
    registry: Registry,
    source: &'static str,
    told: Arc<Mutex<HashMap<u64, Instant>>>,
}

impl Teller {
    /// A teller that speaks as `source`.
    pub(crate) fn new(registry: Registry, source: &'static str) -> Self {
        Self { registry, source, told: Arc::default() }
    }

    /// Records `said` about `object` in a task of its own: whoever tells goes on.
    pub(crate) fn tell(&self, object: &Arc<Object>, said: Said) {
        if !self.is_new(object, &said) {
            return;
        }
        let (registry, source, object) = (self.registry.clone(), self.source, object.clone());
        tokio::spawn(async move {
            let note = Note { warning: said.warning, reason: said.reason, message: &said.message, source };
            registry.event(&object, note).await;
        });
    }

    fn is_new(&self, object: &Object, said: &Said) -> bool {
        let mut hasher = DefaultHasher::new();
        (&object.meta.uid, said.reason, &said.message).hash(&mut hasher);
        let (id, now) = (hasher.finish(), now());
        // A poisoned lock only means that a task died while it remembered something: the map is whole.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(&id).is_some_and(|at| now.duration_since(*at) < QUIET) {
            return false;
        }
        if told.len() >= REMEMBERED {
            told.retain(|_, at| now.duration_since(*at) < QUIET);
        }
        if told.len() < REMEMBERED {
            told.insert(id, now);
        }
        true
    }
}
