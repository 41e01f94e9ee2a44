//! Which labels a node may give itself, as Kubernetes' NodeRestriction bounds them. Pure.
//!
//! | label | may |
//! |---|---|
//! | `kubernetes.io/hostname` | yes, the node's own name: volumes of one host go by it |
//! | another of [`KNOWN`]; in `kubelet.kubernetes.io`, in `node.kubernetes.io`, or below one of them | yes |
//! | any other in or below `kubernetes.io` or `k8s.io`, such as `node-restriction.kubernetes.io/…` | no |
//! | any other | yes |
//!
//! By the last but one an administrator keeps pods to nodes that he trusts, whatever the others say of themselves.

use orlop_objects::keeper::HOSTNAME;
use serde_json::Value;

/// Labels of Kubernetes' own by which nodes say what they are.
const KNOWN: [&str; 10] = [
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// Whether the node may give itself this value; null takes the label away.
pub(super) fn may_set(node: &str, label: &str, value: &Value) -> bool {
    let namespace = label.split_once('/').map_or("", |(namespace, _)| namespace);
    let is_below =
        |of: &str| namespace == of || namespace.strip_suffix(of).is_some_and(|prefix| prefix.ends_with('.'));
    match label {
        HOSTNAME => value.is_null() || *value == *node,
        known if KNOWN.contains(&known) => true,
        _ if is_below("kubelet.kubernetes.io") || is_below("node.kubernetes.io") => true,
        _ => !is_below("kubernetes.io") && !is_below("k8s.io"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table() {
        let rows = [
            ("kubernetes.io/hostname", "n", true),
            ("kubernetes.io/hostname", "other", false),
            ("kubernetes.io/os", "linux", true),
            ("topology.kubernetes.io/zone", "z", true),
            ("node.kubernetes.io/anything", "x", true),
            ("gpu.node.kubernetes.io/model", "x", true),
            ("kubelet.kubernetes.io/x", "x", true),
            ("node-restriction.kubernetes.io/zone", "safe", false),
            ("x.node-restriction.kubernetes.io/zone", "safe", false),
            ("node-role.kubernetes.io/control-plane", "", false),
            ("kubernetes.io/anything", "x", false),
            ("x.k8s.io/y", "x", false),
            ("k8s.io/y", "x", false),
            ("topology.kubernetes.io/rack", "r", false),
            ("notkubernetes.io/x", "x", true),
            ("topology.orlop.dev/pool-x", "1f", true),
            ("disk", "ssd", true),
        ];
        for (label, value, may) in rows {
            assert_eq!(may_set("n", label, &value.into()), may, "{label}={value}");
            let taken = label == HOSTNAME || may;
            assert_eq!(may_set("n", label, &Value::Null), taken, "{label} taken away");
        }
    }
}
