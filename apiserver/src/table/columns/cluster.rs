//! Nodes, namespaces, and the small data kinds.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    AGE, Column, NAME, Printer,
    cells::{NONE, UNKNOWN, age, count, integer, labels, list, name, text, text_or},
};

pub(super) static PRINTERS: &[Printer] = &[
    Printer {
        kind: ("nodes", ""),
        columns: &[
            NAME,
            Column::new("Status", "Ready or not, and whether pods may be placed there"),
            Column::new("Roles", "Roles, from its labels"),
            AGE,
            Column::new("Version", "Version of the node's agent"),
            Column::wide("Internal-IP", "Address inside the cluster"),
            Column::wide("External-IP", "Address outside"),
            Column::wide("OS-Image", "Operating system"),
            Column::wide("Kernel-Version", "Kernel"),
            Column::wide("Container-Runtime", "What runs its containers"),
        ],
        row: node,
    },
    Printer {
        kind: ("namespaces", ""),
        columns: &[NAME, Column::new("Status", "Active or Terminating"), AGE],
        row: |object, now| vec![name(object), text(object, "/status/phase").into(), age(object, now)],
    },
    Printer {
        kind: ("secrets", ""),
        columns: &[
            NAME,
            Column::new("Type", "What it is for"),
            Column::new("Data", "How many entries it has").of_type("integer"),
            AGE,
        ],
        row: |object, now| {
            vec![name(object), text(object, "/type").into(), count(object, "/data").into(), age(object, now)]
        },
    },
    Printer {
        kind: ("configmaps", ""),
        columns: &[NAME, Column::new("Data", "How many entries it has").of_type("integer"), AGE],
        row: |object, now| {
            let entries = count(object, "/data") + count(object, "/binaryData");
            vec![name(object), entries.into(), age(object, now)]
        },
    },
    Printer {
        kind: ("serviceaccounts", ""),
        columns: &[NAME, Column::new("Secrets", "How many secrets it names").of_type("integer"), AGE],
        row: |object, now| vec![name(object), count(object, "/secrets").into(), age(object, now)],
    },
    Printer {
        kind: ("leases", "coordination.k8s.io"),
        columns: &[NAME, Column::new("Holder", "Who holds it"), AGE],
        row: |object, now| vec![name(object), text(object, "/spec/holderIdentity").into(), age(object, now)],
    },
    Printer {
        kind: ("services", ""),
        columns: &[
            NAME,
            Column::new("Type", "How it is reached"),
            Column::new("Cluster-IP", "Address inside the cluster"),
            Column::new("External-IP", "Addresses outside"),
            Column::new("Port(s)", "Ports"),
            AGE,
            Column::wide("Selector", "Labels of its pods"),
        ],
        row: service,
    },
];

fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let address = |kind: &str| {
        let found = list(object, "/status/addresses").iter().find(|a| a["type"] == kind);
        found.map_or(NONE, |a| text(a, "/address")).to_owned()
    };
    vec![
        name(object),
        readiness(object).into(),
        roles(object).into(),
        age(object, now),
        text(object, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        text_or(object, "/status/nodeInfo/osImage", UNKNOWN).into(),
        text_or(object, "/status/nodeInfo/kernelVersion", UNKNOWN).into(),
        text_or(object, "/status/nodeInfo/containerRuntimeVersion", UNKNOWN).into(),
    ]
}

fn readiness(object: &Value) -> String {
    let ready = list(object, "/status/conditions").iter().find(|c| c["type"] == "Ready");
    let word = match ready.map(|c| text(c, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let closed = object.pointer("/spec/unschedulable") == Some(&Value::Bool(true));
    if closed { format!("{word},SchedulingDisabled") } else { word.to_owned() }
}

fn roles(object: &Value) -> String {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let keys = labels.into_iter().flat_map(|l| l.keys());
    let roles: Vec<&str> = keys.filter_map(|k| k.strip_prefix("node-role.kubernetes.io/")).collect();
    if roles.is_empty() { NONE.to_owned() } else { roles.join(",") }
}

fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports = list(object, "/spec/ports").iter().map(|port| {
        let (number, protocol) = (integer(port, "/port"), text_or(port, "/protocol", "TCP"));
        match integer(port, "/nodePort") {
            0 => format!("{number}/{protocol}"),
            outside => format!("{number}:{outside}/{protocol}"),
        }
    });
    let ports: Vec<String> = ports.collect();
    let outside: Vec<&str> = list(object, "/spec/externalIPs").iter().filter_map(Value::as_str).collect();
    let external = match text(object, "/spec/type") {
        "ExternalName" => text(object, "/spec/externalName").to_owned(),
        _ if outside.is_empty() => NONE.to_owned(),
        _ => outside.join(","),
    };
    vec![
        name(object),
        text_or(object, "/spec/type", "ClusterIP").into(),
        text_or(object, "/spec/clusterIP", NONE).into(),
        external.into(),
        if ports.is_empty() { NONE.into() } else { ports.join(",").into() },
        age(object, now),
        labels(object, "/spec/selector").into(),
    ]
}
