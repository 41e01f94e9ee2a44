//! What the controller of ranges knows: the nodes that are due, and the ranges that all nodes have.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Node;
use orlop_objects::cidr::Cidr;

use super::decide::{Facts, View};
use crate::worker::{Due, Reader, Seen};

/// Where an agent says which ranges are free on its machine, the best first, with commas between.
const PROPOSALS: &str = "network.orlop.dev/pod-cidrs";
/// How many of them are looked at: agents propose no more.
const LOOKED_AT: usize = 16;

/// Gathers the facts. Without all nodes nothing is known to be free.
pub(super) fn view(keys: &[Due], reader: &mut Reader, pool: &[Cidr]) -> View {
    let mut view = View { pool: pool.to_vec(), ..View::default() };
    for Due { key, .. } in keys {
        let seen = reader.about(key, |r| Ok((r.get::<Node>(key)?, r.all::<Node>()?)));
        let Some((Some(node), all)) = seen else { continue };
        view.taken.extend(all.iter().flat_map(ranges));
        view.addresses.extend(all.iter().flat_map(addresses));
        let proposed = node.metadata.annotations.as_ref().and_then(|all| all.get(PROPOSALS));
        let proposals = proposed.map(|text| {
            text.split(',').filter_map(|word| word.trim().parse().ok()).take(LOOKED_AT).collect()
        });
        let has = !ranges(&node).is_empty() || !node_text(&node).is_empty();
        view.nodes.push(Facts {
            node: std::sync::Arc::new(node),
            has,
            proposals: proposals.unwrap_or_default(),
        });
    }
    view
}

fn node_text(node: &Node) -> &str {
    node.spec.as_ref().and_then(|spec| spec.pod_cidr.as_deref()).unwrap_or_default()
}

/// The IPv4 ranges of a node.
fn ranges(node: &Seen<Node>) -> Vec<Cidr> {
    let spec = node.spec.as_ref();
    let all = spec.and_then(|spec| spec.pod_cidrs.as_deref()).unwrap_or_default();
    all.iter().map(String::as_str).chain([node_text(node)]).filter_map(|text| text.parse().ok()).collect()
}

/// The addresses of IPv4 by which other nodes reach a node.
fn addresses(node: &Seen<Node>) -> Vec<Ipv4Addr> {
    let all = node.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    all.iter().filter(|a| a.type_ == "InternalIP").filter_map(|a| a.address.parse().ok()).collect()
}
