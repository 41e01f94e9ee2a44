//! The Node, CSINode and Lease of this machine as JSON. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use orlop_objects::keeper::HOSTNAME;
use serde_json::{Value, json};

use super::{Facts, kernel::Condition};
use crate::clock::{micro, text};

const VERSION: &str = concat!("v1.36.0-orlop", env!("CARGO_PKG_VERSION"));
/// Begins every label by which a driver of ours says where a node's volumes are.
const PLACES: &str = "topology.orlop.dev/";
/// Ends the name of every driver of ours.
const OURS: &str = ".orlop.dev";

/// The Node without its status. `drivers` are the labels that its drivers give it; `old` are those that it has: what an
/// earlier life said of places that it has no more is taken back.
pub(super) fn node(name: &str, facts: &Facts, drivers: &BTreeMap<String, String>, old: &Value) -> Value {
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            HOSTNAME: name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": facts.architecture,
        }},
        "spec": {},
    });
    let labels = &mut node["metadata"]["labels"];
    for label in old.as_object().into_iter().flat_map(|old| old.keys()).filter(|l| l.starts_with(PLACES)) {
        labels[label] = Value::Null;
    }
    for (label, value) in drivers {
        labels[label] = value.as_str().into();
    }
    node
}

/// The Node's status. `disks` says whether volumes may run out of room before they are full.
pub(super) fn status(facts: &Facts, disks: &Condition, now: Timestamp) -> Value {
    let resources = json!({
        "cpu": facts.cpus.to_string(),
        "memory": format!("{}Ki", facts.memory_kib),
        "ephemeral-storage": format!("{}Ki", facts.storage / 1024),
        "pods": facts.pods.to_string(),
    });
    json!({
        "addresses": [
            {"type": "InternalIP", "address": facts.address},
            {"type": "Hostname", "address": facts.hostname},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": facts.port.unwrap_or_default()}},
        "capacity": resources, "allocatable": resources,
        "conditions": conditions(disks, now),
        "nodeInfo": {
            "architecture": facts.architecture, "operatingSystem": "linux",
            "kernelVersion": facts.kernel, "osImage": facts.os_image,
            "machineID": facts.machine_id, "systemUUID": facts.machine_id, "bootID": facts.boot_id,
            "containerRuntimeVersion": "runc://orlop",
            "kubeletVersion": VERSION, "kubeProxyVersion": VERSION,
        },
    })
}

fn conditions(disks: &Condition, now: Timestamp) -> Value {
    let now = text(now);
    let one = |name: &str, status: &str, reason: &str, message: &str| {
        json!({"type": name, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now})
    };
    json!([
        one(disks.name, disks.status, disks.reason, &disks.message),
        one("Ready", "True", "KubeletReady", "the node agent is ready to run pods"),
    ])
}

/// Adds what is known of the pods' network: status, reason, message.
pub(super) fn add_network(status: &mut Value, is: Option<(&str, &str, String)>, now: Timestamp) {
    if let (Some((is, reason, message)), Some(conditions)) = (is, status["conditions"].as_array_mut()) {
        conditions
            .push(json!({"type": "NetworkUnavailable", "status": is, "reason": reason, "message": message,
            "lastHeartbeatTime": text(now), "lastTransitionTime": text(now)}));
    }
}

/// Adds what is known of what the kernel has left, before the others, as kubelet does.
pub(super) fn add_kernel(status: &mut Value, known: [Condition; 2], now: Timestamp) {
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    for Condition { name, status, reason, message } in known.into_iter().rev() {
        let condition = json!({"type": name, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": text(now), "lastTransitionTime": text(now)});
        conditions.insert(0, condition);
    }
}

/// A condition that has not changed keeps the time of its last change.
pub(super) fn keep_transitions(new: &mut Value, old: &Value) {
    let Some(conditions) = new["conditions"].as_array_mut() else { return };
    for condition in conditions {
        let same = |o: &&Value| o["type"] == condition["type"] && o["status"] == condition["status"];
        if let Some(old) = old["conditions"].as_array().into_iter().flatten().find(same) {
            condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
        }
    }
}

/// What a CSINode says of this node's drivers, each with the labels by which its volumes are placed.
pub(super) fn drivers<'a>(
    node: &str,
    drivers: impl Iterator<Item = (&'a str, BTreeMap<String, String>)>,
) -> Vec<Value> {
    let one = |(driver, topology): (&str, BTreeMap<String, String>)| {
        let keys: Vec<&str> = std::iter::once(HOSTNAME).chain(topology.keys().map(String::as_str)).collect();
        json!({"name": driver, "nodeID": node, "topologyKeys": keys})
    };
    drivers.map(one).collect()
}

/// The lists of drivers to write, one after the other, until the stored one says what is wanted of ours and still what it
/// says of others': none where it does, and one without our entries first where an entry of ours has to change.
///
/// | stored | written |
/// |---|---|
/// | says of ours what is wanted | nothing |
/// | lacks ours | others' and ours |
/// | says something else of ours, or names one that is no more | others' alone, then others' and ours |
pub(super) fn rewritten(stored: &Value, wanted: &[Value]) -> Vec<Vec<Value>> {
    let is_ours = |driver: &Value| driver["name"].as_str().is_some_and(|name| name.ends_with(OURS));
    let stored = stored.as_array().map(Vec::as_slice).unwrap_or_default();
    let (ours, others): (Vec<Value>, Vec<Value>) = stored.iter().cloned().partition(is_ours);
    let all = [others.as_slice(), wanted].concat();
    let says = |driver: &Value| ["name", "nodeID", "topologyKeys"].map(|field| driver[field].clone());
    let is_said = |list: &[Value], driver: &Value| list.iter().any(|other| says(other) == says(driver));
    match (ours.iter().all(|driver| is_said(wanted, driver)), ours.len() == wanted.len()) {
        (true, true) => Vec::new(),
        (true, false) => vec![all],
        (false, _) => vec![others, all],
    }
}

/// The CSINode with these drivers. Whoever else has written it since `version` is not overwritten.
pub(super) fn csi_node(name: &str, drivers: &[Value], version: &Value) -> Value {
    let mut body = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSINode",
        "metadata": {"name": name}, "spec": {"drivers": drivers},
    });
    if version.is_string() {
        body["metadata"]["resourceVersion"] = version.clone();
    }
    body
}

/// Whether two statuses say the same of every condition that this agent answers for.
pub(super) fn say_the_same(stored: &Value, said: &Value) -> bool {
    let in_both = |condition: &Value| {
        let same = |other: &Value| {
            ["type", "status", "reason", "message"].iter().all(|field| other[*field] == condition[*field])
        };
        stored["conditions"].as_array().into_iter().flatten().any(same)
    };
    said["conditions"].as_array().into_iter().flatten().all(in_both)
}

/// The Lease by which the server sees that this node lives. How long it lasts is the server's to say.
pub(super) fn lease(name: &str, now: Timestamp) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "renewTime": micro(now)},
    })
}

/// An object without its status, as a patch of its main part.
pub(super) fn without_status(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("status");
    }
    body
}

#[cfg(test)]
mod tests {
    use super::{super::disks, *};

    #[test]
    fn a_pool_that_a_node_has_no_more_is_taken_back() {
        let pools = BTreeMap::from([("topology.orlop.dev/pool-fast".to_owned(), "1f".to_owned())]);
        let old = json!({"topology.orlop.dev/pool-slow": "2e", "rack": "4"});
        let facts = Facts {
            address: String::new(),
            port: None,
            hostname: String::new(),
            architecture: "amd64",
            kernel: String::new(),
            os_image: String::new(),
            machine_id: String::new(),
            boot_id: String::new(),
            cpus: 1,
            memory_kib: 1,
            storage: 1,
            pods: 1,
        };
        let node = node("n", &facts, &pools, &old);
        let labels = &node["metadata"]["labels"];
        assert_eq!(labels["topology.orlop.dev/pool-fast"], "1f");
        assert!(labels["topology.orlop.dev/pool-slow"].is_null() && labels.get("rack").is_none(), "{labels}");
        let drivers = drivers("n", [("loop.orlop.dev", pools)].into_iter());
        let keys = json!(["kubernetes.io/hostname", "topology.orlop.dev/pool-fast"]);
        assert_eq!(drivers[0]["topologyKeys"], keys);
    }

    /// The rows of the table.
    #[test]
    fn of_drivers_only_what_has_changed_is_written_and_others_stay() {
        let driver = |name: &str, key: &str| json!({"name": name, "nodeID": "n", "topologyKeys": [key]});
        let (ours, changed) = (driver("loop.orlop.dev", "a"), driver("loop.orlop.dev", "b"));
        let (more, other) = (driver("nfs.orlop.dev", "a"), driver("csi.example.org", "a"));
        // A server may have filled in what nobody said.
        let mut filled = ours.clone();
        filled["allocatable"] = Value::Null;
        let none: Vec<Vec<Value>> = Vec::new();
        for (stored, wanted, written) in [
            (json!([filled, other]), vec![ours.clone()], none),
            (Value::Null, vec![ours.clone()], vec![vec![ours.clone()]]),
            (
                json!([ours, other]),
                vec![ours.clone(), more.clone()],
                vec![vec![other.clone(), ours.clone(), more.clone()]],
            ),
            (
                json!([other, ours]),
                vec![changed.clone()],
                vec![vec![other.clone()], vec![other.clone(), changed]],
            ),
            (
                json!([ours, more, other]),
                vec![ours.clone()],
                vec![vec![other.clone()], vec![other.clone(), ours.clone()]],
            ),
        ] {
            assert_eq!(rewritten(&stored, &wanted), written, "{stored}");
        }
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_changes() {
        let mut new = json!({"conditions": conditions(&disks::not_seen(), Timestamp::UNIX_EPOCH)});
        let old = json!({"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "DiskPressure", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        keep_transitions(&mut new, &old);
        let time = |n: usize| new["conditions"][n]["lastTransitionTime"].clone();
        assert_eq!(time(1), "2026-01-01T00:00:00Z");
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
    }
    #[test]
    fn a_node_that_was_taken_for_silent_has_to_speak() {
        let said = json!({"conditions": conditions(&disks::not_seen(), Timestamp::UNIX_EPOCH)});
        let with = |n: usize, status: &str| {
            let mut stored = said.clone();
            stored["conditions"][n]["status"] = status.into();
            stored
        };
        let mut more = said.clone();
        more["conditions"]
            .as_array_mut()
            .expect("a list")
            .push(json!({"type": "NetworkUnavailable", "status": "True"}));
        assert!(say_the_same(&said, &said) && say_the_same(&more, &said), "others' conditions are theirs");
        assert!(!say_the_same(&with(1, "Unknown"), &said) && !say_the_same(&with(0, "True"), &said));
        assert!(!say_the_same(&json!({}), &said));
    }
}
