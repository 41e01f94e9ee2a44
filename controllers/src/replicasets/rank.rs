//! Which pods are given up first. Pure; the order is Kubernetes'.
//!
//! | first go pods | before pods |
//! |---|---|
//! | without a node | with one |
//! | Pending | Unknown, before Running |
//! | not ready | ready |
//! | whose loss costs less (`controller.kubernetes.io/pod-deletion-cost`) | whose costs more |
//! | on nodes with more pods of the same deployment | on nodes with fewer |
//! | ready for a shorter time | ready for a longer one |
//! | restarted more often | restarted less often |
//! | made later | made earlier |
//!
//! Times count by their binary logarithm, so that pods of about the same age are alike; what is alike goes by uid.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use jiff::Timestamp;

use crate::workloads::pods::Pod;

/// The `count` pods to be given up.
pub(crate) fn lowest(
    pods: &[Arc<Pod>],
    crowd: &HashMap<String, usize>,
    now: Timestamp,
    count: usize,
) -> Vec<Arc<Pod>> {
    let mut ranked: Vec<&Arc<Pod>> = pods.iter().collect();
    ranked.sort_by_cached_key(|pod| {
        let company = pod.node.as_ref().and_then(|node| crowd.get(node)).copied().unwrap_or(0);
        let place = (pod.node.is_some(), pod.phase, pod.is_ready(), pod.deletion_cost, Reverse(company));
        let age =
            (pod.ready_since.map(|since| scale(since, now)), Reverse(pod.restarts), scale(pod.created, now));
        (place, age, pod.object.meta.uid.clone())
    });
    ranked.into_iter().take(count).cloned().collect()
}

/// How long ago, as the exponent of two.
fn scale(since: Timestamp, now: Timestamp) -> u32 {
    let seconds = now.duration_since(since).as_secs().max(0);
    u64::try_from(seconds).unwrap_or(0).checked_ilog2().map_or(0, |exponent| exponent + 1)
}
