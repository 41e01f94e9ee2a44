//! What the protector knows about a set of claims and volumes: one snapshot.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use orlop_objects::{DecodeError, Key, kind};

use crate::{
    attacher,
    binder::view::claim_key,
    facts::{self, Claim, Volume},
    worker::{Due, Reader, Seen},
};

type ClaimFacts = (Arc<Claim>, Vec<Arc<Seen<Pod>>>);
type VolumeFacts = (Arc<Volume>, Option<Key>);

/// The facts of one pass; only terminating objects matter.
#[derive(Default)]
pub(crate) struct View {
    /// Claims, each with the unfinished pods that name it.
    pub(crate) claims: Vec<ClaimFacts>,
    /// Volumes, each with the claim that it is bound to.
    pub(crate) volumes: Vec<VolumeFacts>,
}

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader) -> View {
    let mut view = View::default();
    for Due { key, .. } in keys {
        let terminating = reader.snapshot.get(key).is_some_and(|object| object.meta.is_terminating());
        if !terminating {
            continue;
        }
        if *key.kind == kind::PERSISTENT_VOLUME {
            view.volumes.extend(reader.about(key, |r| volume_facts(key, r)).flatten());
        } else {
            view.claims.extend(reader.about(key, |r| claim_facts(key, r)).flatten());
        }
    }
    view
}

fn claim_facts(key: &Key, reader: &Reader) -> Result<Option<ClaimFacts>, DecodeError> {
    let Some(claim) = reader.get(key)? else {
        return Ok(None);
    };
    let claim: Claim = claim;
    let pods = attacher::view::pods_naming(&claim, reader)?;
    Ok(Some((Arc::new(claim), pods.into_iter().map(Arc::new).collect())))
}

fn volume_facts(key: &Key, reader: &Reader) -> Result<Option<VolumeFacts>, DecodeError> {
    let Some(volume) = reader.get(key)? else {
        return Ok(None);
    };
    let volume: Volume = volume;
    let claim: Option<Claim> = match facts::claim_ref(&volume) {
        Some(reference) => reader.get(&claim_key(reference))?,
        None => None,
    };
    let bound = claim.filter(|claim| facts::is_bound(claim, &volume)).map(|claim| claim.key().clone());
    Ok(Some((Arc::new(volume), bound)))
}
