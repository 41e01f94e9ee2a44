//! The form of a daemon's pod, and which nodes it fits. Pure.
//!
//! | node | a new pod | one that is there |
//! |---|---|---|
//! | the template names another, or does not fit its labels | no | goes |
//! | taint NoExecute, not tolerated | no | goes |
//! | taint NoSchedule, not tolerated | no | stays |
//! | anything else, ready or not | yes | stays |
//!
//! A daemon tolerates what says that a node is not well: it is there to look after it.

use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use orlop_objects::Object;
use serde_json::{Value, json};

use crate::{affinity, edit, taints::tolerates, workloads::make};

/// The revision that a pod was made of: the hash alone.
pub(crate) const REVISION: &str = "controller-revision-hash";

/// Taints that a daemon tolerates.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// And that one in the node's own network, which works before that of pods does.
const NO_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// Whether a daemon fits a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It should be there.
    Should,
    /// It may stay where it is.
    May,
    /// It may not be there.
    Not,
}

/// Whether a pod of the template fits a node.
pub(crate) fn fit(pod: &Pod, node: &Node) -> Fit {
    let spec = pod.spec.as_ref();
    let named = spec.and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty());
    let other = named.is_some_and(|named| node.metadata.name.as_deref() != Some(named));
    if other || !affinity::accepts(pod, node) {
        return Fit::Not;
    }
    let mut tolerations = spec.and_then(|spec| spec.tolerations.clone()).unwrap_or_default();
    tolerations.extend(tolerated(spec.and_then(|spec| spec.host_network).unwrap_or(false)));
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let untolerated = |taint: &&Taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint));
    let mut fit = Fit::Should;
    for taint in taints.iter().filter(untolerated) {
        match taint.effect.as_str() {
            "NoExecute" => return Fit::Not,
            "NoSchedule" => fit = Fit::May,
            _ => {}
        }
    }
    fit
}

fn tolerated(host_network: bool) -> impl Iterator<Item = Toleration> {
    let extra = host_network.then_some(NO_NETWORK);
    TOLERATED.into_iter().chain(extra).map(|(key, effect)| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some(effect.to_owned()),
        ..Toleration::default()
    })
}

/// The pod for one node: its affinity names the node, so that the scheduler has no choice.
pub(crate) fn pod(set: &Object, template: &Value, hash: &str, node: &str) -> Value {
    let mut pod = make::pod(template, set);
    pod["metadata"]["generateName"] = format!("{}-", set.meta.name).into();
    edit::section(&mut pod, "metadata/labels").insert(REVISION.to_owned(), hash.into());
    let host_network = pod["spec"]["hostNetwork"] == true;
    let mut all = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    for toleration in tolerated(host_network) {
        let toleration =
            json!({"key": toleration.key, "operator": toleration.operator, "effect": toleration.effect});
        if !all.contains(&toleration) {
            all.push(toleration);
        }
    }
    let spec = edit::section(&mut pod, "spec");
    spec.insert("tolerations".to_owned(), all.into());
    let only = json!({"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]});
    edit::section(&mut pod, "spec/affinity/nodeAffinity")
        .insert("requiredDuringSchedulingIgnoredDuringExecution".to_owned(), only);
    pod
}

/// The node that a pod is on or for.
pub(crate) fn target(pod: &Object) -> Option<String> {
    let value = pod.value();
    let bound = value["spec"]["nodeName"].as_str().filter(|name| !name.is_empty());
    let required =
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0";
    let meant = || {
        let fields = value.pointer(required)?["matchFields"].as_array()?;
        fields.iter().find(|field| field["key"] == "metadata.name")?["values"][0].as_str()
    };
    bound.or_else(meant).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use orlop_objects::kind;

    use super::*;
    use crate::testing::read;

    #[test]
    fn every_row_of_the_table() {
        let taint = |key: &str, effect: &str| json!({"spec": {"taints": [{"key": key, "effect": effect}]}});
        let plain = || json!({"containers": []});
        let rows = [
            ("any", plain(), json!({}), Fit::Should),
            ("another is named", json!({"containers": [], "nodeName": "x"}), json!({}), Fit::Not),
            (
                "labels do not fit",
                json!({"containers": [], "nodeSelector": {"disk": "ssd"}}),
                json!({}),
                Fit::Not,
            ),
            ("NoExecute", plain(), taint("mine", "NoExecute"), Fit::Not),
            ("NoSchedule", plain(), taint("mine", "NoSchedule"), Fit::May),
            ("PreferNoSchedule", plain(), taint("mine", "PreferNoSchedule"), Fit::Should),
            (
                "tolerated",
                json!({"containers": [], "tolerations": [{"operator": "Exists"}]}),
                taint("mine", "NoExecute"),
                Fit::Should,
            ),
            ("not ready", plain(), taint("node.kubernetes.io/not-ready", "NoExecute"), Fit::Should),
            ("cordoned", plain(), taint("node.kubernetes.io/unschedulable", "NoSchedule"), Fit::Should),
            ("no network", plain(), taint("node.kubernetes.io/network-unavailable", "NoSchedule"), Fit::May),
            (
                "no network, needs none",
                json!({"containers": [], "hostNetwork": true}),
                taint("node.kubernetes.io/network-unavailable", "NoSchedule"),
                Fit::Should,
            ),
        ];
        for (row, spec, node, wanted) in rows {
            let mut node = node;
            node["metadata"] = json!({"name": "n1"});
            assert_eq!(fit(&read(json!({"metadata": {}, "spec": spec})), &read(node)), wanted, "{row}");
        }
    }

    #[test]
    fn a_pod_is_for_one_node() {
        let set = json!({"metadata": {"name": "logs", "namespace": "default", "uid": "u"}});
        let set = Object::from_value(&kind::DAEMON_SET, &set).expect("valid");
        let mut pod =
            pod(&set, &json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}), "h", "n2");
        assert_eq!(pod["metadata"]["labels"], json!({"a": "b", REVISION: "h"}));
        assert_eq!(pod["spec"]["tolerations"].as_array().map(Vec::len), Some(6));
        pod["metadata"]["name"] = "logs-x".into();
        let pod = Object::from_value(&kind::POD, &pod).expect("valid");
        assert_eq!(target(&pod).as_deref(), Some("n2"));
    }
}
