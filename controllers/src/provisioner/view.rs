//! What the provisioner knows about a set of claims, the nodes and their drivers: one snapshot.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    core::v1::Node,
    storage::v1::{CSIDriver, CSINode},
};
use orlop_objects::{DecodeError, Key, kind};

use crate::{
    attempts::{Attempt, Attempts},
    binder::view::{ClaimFacts, Finder},
    drivers::Drivers,
    facts,
    worker::{Due, Reader, Seen},
};

/// The facts of one pass.
pub(crate) struct View {
    /// When they were gathered.
    pub(crate) now: std::time::Instant,
    /// Claims, as the binder sees them, each with the last choice of a node for it.
    pub(crate) claims: Vec<(ClaimFacts, Option<Attempt>)>,
    /// Nodes that can make volumes.
    pub(crate) makers: Vec<Maker>,
    /// Drivers carried here whose volumes are made by nodes.
    pub(crate) node_local: BTreeSet<String>,
    /// Drivers that somebody has installed: carried here, on a node, or announced by a CSIDriver object.
    pub(crate) installed: BTreeSet<String>,
}

/// A node that can make volumes.
pub(crate) struct Maker {
    /// The node.
    pub(crate) node: Seen<Node>,
    /// Its drivers.
    pub(crate) drivers: BTreeSet<String>,
    /// How many volumes have been made there.
    pub(crate) volumes: usize,
}

/// Gathers the facts.
pub(crate) fn view(keys: &[Due], reader: &mut Reader, drivers: &Drivers, attempts: &Attempts) -> View {
    let mut view = View {
        now: reader.now,
        claims: Vec::new(),
        makers: Vec::new(),
        node_local: drivers
            .names()
            .into_iter()
            .filter(|n| drivers.get(n).is_some_and(|d| d.node_local))
            .collect(),
        installed: drivers.names().into_iter().collect(),
    };
    let mut finder = Finder::default();
    for Due { key, .. } in keys {
        let found = reader.about(key, |r| finder.claim(key, r)).flatten();
        let searching =
            found.filter(|f| facts::named_volume(&f.claim).is_none() && !facts::was_bound(&f.claim));
        view.claims.extend(searching.map(|found| {
            let attempt = attempts.of(found.claim.uid());
            (found, attempt)
        }));
    }
    if let Some((first, _)) = view.claims.first() {
        let key = first.claim.key().clone();
        let all = reader.about(&key, |r| Ok((makers(r)?, r.all::<CSIDriver>()?)));
        if let Some((makers, announced)) = all {
            view.installed.extend(makers.iter().flat_map(|maker| maker.drivers.iter().cloned()));
            view.installed.extend(announced.iter().map(|driver| driver.name().to_owned()));
            view.makers = makers;
        } else {
            // Without the nodes nothing can be said about any claim of this pass.
            view.claims.clear();
        }
    }
    view
}

fn makers(reader: &Reader) -> Result<Vec<Maker>, DecodeError> {
    let nodes: Vec<Seen<Node>> = reader.all()?;
    let maker = |node: Seen<Node>| {
        let csi: Option<Seen<CSINode>> = reader.get(&Key::cluster(&kind::CSI_NODE, node.name()))?;
        let drivers = csi.map(|csi| csi.spec.drivers.iter().map(|driver| driver.name.clone()).collect());
        let attached = reader.snapshot.having(orlop_objects::index::Index::AttachmentsByNode, node.name());
        Ok(Maker { drivers: drivers.unwrap_or_default(), volumes: attached.count(), node })
    };
    nodes.into_iter().map(maker).collect()
}
