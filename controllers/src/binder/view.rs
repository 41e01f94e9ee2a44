//! What the binder knows about a set of claims and volumes: one snapshot.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::api::core::v1::{Node, Pod};
use orlop_objects::{DecodeError, Key, Object, index::Index, kind, phase::Binding};

use crate::{
    attacher,
    facts::{self, Claim, Class, Volume},
    worker::{Due, Reader, Seen},
};

/// The facts of one pass.
#[derive(Default)]
pub(crate) struct View {
    /// Claims, the oldest first.
    pub(crate) claims: Vec<ClaimFacts>,
    /// Volumes.
    pub(crate) volumes: Vec<VolumeFacts>,
}

/// All that matters for one claim.
pub(crate) struct ClaimFacts {
    /// The claim.
    pub(crate) claim: Arc<Claim>,
    /// The class that it names, where there is one of that name.
    pub(crate) class: Option<Arc<Class>>,
    /// The newest class that is marked as default.
    pub(crate) default_class: Option<String>,
    /// The volume that it names or is bound to.
    pub(crate) named: Option<Arc<Volume>>,
    /// Volumes kept for it, and free ones of its class and mode.
    pub(crate) candidates: Vec<Arc<Volume>>,
    /// The node that was chosen for it, where there is one of that name.
    pub(crate) node: Option<Arc<Seen<Node>>>,
    /// Unfinished pods that name it and have no node yet.
    pub(crate) waiting_pods: Vec<String>,
}

/// All that matters for one volume.
pub(crate) struct VolumeFacts {
    /// The volume.
    pub(crate) volume: Arc<Volume>,
    /// The claim of the name that its claimRef says, whatever its uid.
    pub(crate) claim: Option<Arc<Claim>>,
}

/// Reads each volume, and each set of free volumes, once per pass.
#[derive(Default)]
pub(crate) struct Finder {
    volumes: HashMap<Key, Arc<Volume>>,
    free: HashMap<String, Vec<Arc<Volume>>>,
}

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader) -> View {
    let (mut view, mut cache) = (View::default(), Finder::default());
    for Due { key, .. } in keys {
        if *key.kind == kind::PERSISTENT_VOLUME {
            view.volumes.extend(reader.about(key, |r| volume_facts(key, r)).flatten());
        } else {
            view.claims.extend(reader.about(key, |r| claim_facts(key, r, &mut cache)).flatten());
        }
    }
    view.claims.sort_by(|a, b| age(&a.claim).cmp(&age(&b.claim)));
    view
}

fn age(claim: &Claim) -> (&str, &Key) {
    (&claim.object.meta.creation_timestamp, claim.key())
}

fn volume_facts(key: &Key, reader: &Reader) -> Result<Option<VolumeFacts>, DecodeError> {
    let Some(volume) = reader.get::<_>(key)? else {
        return Ok(None);
    };
    let volume: Arc<Volume> = Arc::new(volume);
    let claim = match facts::claim_ref(&volume) {
        Some(reference) => reader.get(&claim_key(reference))?.map(Arc::new),
        None => None,
    };
    Ok(Some(VolumeFacts { volume, claim }))
}

/// The claim that a reference names.
pub(crate) fn claim_key(reference: &k8s_openapi::api::core::v1::ObjectReference) -> Key {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    Key::new(&kind::PERSISTENT_VOLUME_CLAIM, part(&reference.namespace), part(&reference.name))
}

fn claim_facts(key: &Key, reader: &Reader, cache: &mut Finder) -> Result<Option<ClaimFacts>, DecodeError> {
    let Some(claim) = reader.get(key)? else {
        return Ok(None);
    };
    let claim: Arc<Claim> = Arc::new(claim);
    let named = match facts::named_volume(&claim) {
        Some(name) => cache.volume(&Key::cluster(&kind::PERSISTENT_VOLUME, name), reader)?,
        None => None,
    };
    let mut facts = ClaimFacts {
        class: None,
        default_class: None,
        named,
        candidates: Vec::new(),
        node: None,
        waiting_pods: Vec::new(),
        claim,
    };
    // Who has a volume, or asks for a certain one, does not search.
    if facts::named_volume(&facts.claim).is_none() && !facts::was_bound(&facts.claim) {
        search(&mut facts, reader, cache)?;
    }
    Ok(Some(facts))
}

fn search(found: &mut ClaimFacts, reader: &Reader, cache: &mut Finder) -> Result<(), DecodeError> {
    let claim = found.claim.clone();
    found.candidates = cache.candidates(&claim, reader)?;
    match facts::claim_class(&claim) {
        Some("") => {}
        Some(name) => found.class = reader.get(&Key::cluster(&kind::STORAGE_CLASS, name))?.map(Arc::new),
        None => found.default_class = default_class(reader)?,
    }
    if let Some(node) = facts::selected_node(&claim) {
        found.node = reader.get(&Key::cluster(&kind::NODE, node))?.map(Arc::new);
    }
    found.waiting_pods = waiting_pods(&claim, reader)?;
    Ok(())
}

/// The newest default class; of equally old ones the first by name.
fn default_class(reader: &Reader) -> Result<Option<String>, DecodeError> {
    let mut classes: Vec<Class> = reader.all()?;
    classes.retain(|class| facts::is_default_class(class));
    classes.sort_by(|a, b| {
        let newest = b.object.meta.creation_timestamp.cmp(&a.object.meta.creation_timestamp);
        newest.then_with(|| a.name().cmp(b.name()))
    });
    Ok(classes.first().map(|class| class.name().to_owned()))
}

fn waiting_pods(claim: &Claim, reader: &Reader) -> Result<Vec<String>, DecodeError> {
    let pods = attacher::view::pods_naming(claim, reader)?;
    let waits = |pod: &&Seen<Pod>| facts::pod_node(pod).is_none();
    Ok(pods.iter().filter(waits).map(|pod| pod.name().to_owned()).collect())
}

impl Finder {
    /// The facts about one claim.
    pub(crate) fn claim(&mut self, key: &Key, reader: &Reader) -> Result<Option<ClaimFacts>, DecodeError> {
        claim_facts(key, reader, self)
    }

    fn volume(&mut self, key: &Key, reader: &Reader) -> Result<Option<Arc<Volume>>, DecodeError> {
        if let Some(known) = self.volumes.get(key) {
            return Ok(Some(known.clone()));
        }
        let volume: Option<Arc<Volume>> = reader.get(key)?.map(Arc::new);
        if let Some(volume) = &volume {
            self.volumes.insert(key.clone(), volume.clone());
        }
        Ok(volume)
    }

    /// Volumes whose claimRef names the claim, and free ones of its class and mode.
    pub(crate) fn candidates(
        &mut self,
        claim: &Claim,
        reader: &Reader,
    ) -> Result<Vec<Arc<Volume>>, DecodeError> {
        let key = claim.key();
        let kept = format!("{}\0{}", key.namespace, key.name);
        let class = facts::claim_class(claim).unwrap_or_default();
        let free = format!("{class}\0{}\0", facts::claim_volume_mode(claim));
        let mut all = self.volumes(reader.snapshot.having(Index::VolumesByClaim, &kept), reader)?;
        all.retain(|volume| facts::binding(claim, volume) != Binding::Taken);
        if !self.free.contains_key(&free) {
            let listed = self.volumes(reader.snapshot.indexed(Index::FreeVolumes, &free), reader)?;
            self.free.insert(free.clone(), listed);
        }
        all.extend(self.free.get(&free).into_iter().flatten().cloned());
        Ok(all)
    }

    fn volumes<'a>(
        &mut self,
        found: impl Iterator<Item = &'a Arc<Object>>,
        reader: &Reader,
    ) -> Result<Vec<Arc<Volume>>, DecodeError> {
        found.filter_map(|object| self.volume(&object.key, reader).transpose()).collect()
    }
}
