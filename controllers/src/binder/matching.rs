//! Which volume is the best for a claim. Pure.
//!
//! | volume | candidate when |
//! |---|---|
//! | holds the claim's uid, or is kept for it by name | volume mode, access modes and size fit: a person said so, class and selector do not matter |
//! | nobody's | also class and selector fit, and it can be reached from the node chosen, where one is |
//! | terminating, another's, given away in this pass | never |
//!
//! Of those the first that was made or kept for the claim wins; else the smallest, then the one with the fewest modes to spare,
//! then the first by name.

use std::{collections::HashSet, sync::Arc};

use k8s_openapi::api::core::v1::Node;
use orlop_objects::phase::Binding;

use crate::{
    affinity,
    facts::{self, Claim, Volume},
};

/// Why a volume is not right for a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Smaller than asked for.
    TooSmall,
    /// Of another class.
    Class,
    /// File system instead of block device, or the other way round.
    VolumeMode,
    /// Lacks an access mode.
    AccessModes,
    /// Not taken by the claim's label selector.
    Selector,
}

impl Misfit {
    /// Kubernetes' words for it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::TooSmall => "requested PV is too small",
            Self::Class => "storageClassName does not match",
            Self::VolumeMode => "incompatible volumeMode",
            Self::AccessModes => "incompatible accessMode",
            Self::Selector => "labels do not match the claim's selector",
        }
    }
}

/// Whether what is inside fits: the things that no reservation can make up for.
pub(crate) fn content_fits(claim: &Claim, volume: &Volume) -> Result<(), Misfit> {
    let offered = facts::volume_modes(volume);
    if facts::claim_volume_mode(claim) != facts::volume_mode(volume) {
        Err(Misfit::VolumeMode)
    } else if !facts::claim_modes(claim).iter().all(|mode| offered.contains(mode)) {
        Err(Misfit::AccessModes)
    } else if facts::capacity(volume) < facts::requested(claim) {
        Err(Misfit::TooSmall)
    } else {
        Ok(())
    }
}

/// Whether a volume that a claim names is what it asks for (its labels do not matter then).
pub(crate) fn named_fits(claim: &Claim, volume: &Volume) -> Result<(), Misfit> {
    if facts::claim_class(claim).unwrap_or_default() == facts::volume_class(volume) {
        content_fits(claim, volume)
    } else {
        Err(Misfit::Class)
    }
}

fn free_fits(claim: &Claim, volume: &Volume) -> Result<(), Misfit> {
    named_fits(claim, volume)?;
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let labels = facts::labels(volume.metadata.labels.as_ref());
    if selector.is_none_or(|s| affinity::selects(s, labels)) { Ok(()) } else { Err(Misfit::Selector) }
}

/// Where a claim may look for its volume.
#[derive(Clone, Copy)]
pub(crate) enum Reach<'a> {
    /// Only among those kept for it: its node is not known yet.
    Kept,
    /// Among those that this node reaches.
    From(&'a Node),
    /// Anywhere.
    Anywhere,
}

/// The best of `candidates` for the claim.
pub(crate) fn best<'a>(
    claim: &Claim,
    candidates: &'a [Arc<Volume>],
    reach: Reach<'_>,
    taken: &HashSet<String>,
) -> Option<&'a Arc<Volume>> {
    let usable = |v: &&Arc<Volume>| !v.is_terminating() && !taken.contains(v.name());
    let those = |wanted: &'static [Binding]| {
        candidates.iter().filter(usable).filter(move |v| wanted.contains(&facts::binding(claim, v)))
    };
    let kept = |wanted: &'static [Binding]| {
        let held = those(wanted);
        held.filter(|v| content_fits(claim, v).is_ok()).min_by_key(|v| order(v))
    };
    let reached = |v: &&Arc<Volume>| match reach {
        Reach::Kept => false,
        Reach::From(node) => affinity::reaches(v, node),
        Reach::Anywhere => true,
    };
    let free = || {
        those(&[Binding::Asked, Binding::Free])
            .filter(reached)
            .filter(|v| free_fits(claim, v).is_ok())
            .min_by_key(|v| order(v))
    };
    kept(&[Binding::Held, Binding::Bound]).or_else(|| kept(&[Binding::Reserved])).or_else(free)
}

fn order(volume: &Volume) -> (u128, usize, String) {
    (facts::capacity(volume), facts::volume_modes(volume).len(), volume.name().to_owned())
}
