//! Volumes, claims, classes, attachments and drivers.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    AGE, Column, NAME, Printer,
    cells::{NONE, UNSET, access_modes, age, boolean, count, joined, list, name, text, text_or},
};

const STORAGE: &str = "storage.k8s.io";

pub(super) static PRINTERS: &[Printer] = &[
    Printer {
        kind: ("persistentvolumes", ""),
        columns: &[
            NAME,
            Column::new("Capacity", "Size of the volume"),
            Column::new("Access Modes", "How it may be mounted: RWO, ROX, RWX, RWOP"),
            Column::new("Reclaim Policy", "What becomes of it when its claim goes"),
            Column::new("Status", "Phase, or Terminating"),
            Column::new("Claim", "The claim it is bound to or kept for"),
            Column::new("StorageClass", "Class"),
            Column::new("VolumeAttributesClass", "Class of its changeable attributes"),
            Column::new("Reason", "Why it is in this phase"),
            AGE,
            Column::wide("VolumeMode", "Filesystem or Block"),
        ],
        row: volume,
    },
    Printer {
        kind: ("persistentvolumeclaims", ""),
        columns: &[
            NAME,
            Column::new("Status", "Phase, or Terminating"),
            Column::new("Volume", "The volume it is bound to"),
            Column::new("Capacity", "Size of that volume"),
            Column::new("Access Modes", "How that volume may be mounted: RWO, ROX, RWX, RWOP"),
            Column::new("StorageClass", "Class"),
            Column::new("VolumeAttributesClass", "Class of its changeable attributes"),
            AGE,
            Column::wide("VolumeMode", "Filesystem or Block"),
        ],
        row: claim,
    },
    Printer {
        kind: ("storageclasses", STORAGE),
        columns: &[
            NAME,
            Column::new("Provisioner", "Driver that makes its volumes"),
            Column::new("ReclaimPolicy", "What becomes of a volume when its claim goes"),
            Column::new("VolumeBindingMode", "When claims are bound"),
            Column::new("AllowVolumeExpansion", "Whether claims may grow").of_type("boolean"),
            AGE,
        ],
        row: class,
    },
    Printer {
        kind: ("volumeattachments", STORAGE),
        columns: &[
            NAME,
            Column::new("Attacher", "Driver that attaches"),
            Column::new("PV", "The volume"),
            Column::new("Node", "The node"),
            Column::new("Attached", "Whether it is attached").of_type("boolean"),
            AGE,
        ],
        row: attachment,
    },
    Printer {
        kind: ("csidrivers", STORAGE),
        columns: &[
            NAME,
            Column::new("AttachRequired", "Whether its volumes are attached before they are mounted")
                .of_type("boolean"),
            Column::new("PodInfoOnMount", "Whether it is told which pod mounts").of_type("boolean"),
            Column::new("StorageCapacity", "Whether the scheduler asks for its capacity").of_type("boolean"),
            Column::new("TokenRequests", "Audiences of the tokens it is given"),
            Column::new("RequiresRepublish", "Whether it is called again while mounted").of_type("boolean"),
            Column::new("Modes", "Lifecycles of its volumes"),
            AGE,
        ],
        row: driver,
    },
    Printer {
        kind: ("csinodes", STORAGE),
        columns: &[NAME, Column::new("Drivers", "How many drivers run there").of_type("integer"), AGE],
        row: |object, now| vec![name(object), count(object, "/spec/drivers").into(), age(object, now)],
    },
];

fn phase(object: &Value) -> &str {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        "Terminating"
    } else {
        text(object, "/status/phase")
    }
}

fn volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let claim = match (text(object, "/spec/claimRef/namespace"), text(object, "/spec/claimRef/name")) {
        (_, "") => String::new(),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    vec![
        name(object),
        text(object, "/spec/capacity/storage").into(),
        access_modes(object, "/spec/accessModes").into(),
        text(object, "/spec/persistentVolumeReclaimPolicy").into(),
        phase(object).into(),
        claim.into(),
        text(object, "/spec/storageClassName").into(),
        text_or(object, "/spec/volumeAttributesClassName", UNSET).into(),
        text(object, "/status/reason").into(),
        age(object, now),
        text_or(object, "/spec/volumeMode", UNSET).into(),
    ]
}

fn claim(object: &Value, now: Timestamp) -> Vec<Value> {
    // What the status says counts only once a volume is named: before, it is somebody's leftover.
    let named = !text(object, "/spec/volumeName").is_empty();
    let (capacity, modes) = if named {
        (text(object, "/status/capacity/storage"), access_modes(object, "/status/accessModes"))
    } else {
        ("", String::new())
    };
    vec![
        name(object),
        phase(object).into(),
        text(object, "/spec/volumeName").into(),
        capacity.into(),
        modes.into(),
        text(object, "/spec/storageClassName").into(),
        text_or(object, "/spec/volumeAttributesClassName", UNSET).into(),
        age(object, now),
        text_or(object, "/spec/volumeMode", UNSET).into(),
    ]
}

fn class(object: &Value, now: Timestamp) -> Vec<Value> {
    const MARKS: [&str; 2] = [
        "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
        "/metadata/annotations/storageclass.beta.kubernetes.io~1is-default-class",
    ];
    let mark = if MARKS.iter().any(|mark| text(object, mark) == "true") { " (default)" } else { "" };
    vec![
        format!("{}{mark}", text(object, "/metadata/name")).into(),
        text(object, "/provisioner").into(),
        text_or(object, "/reclaimPolicy", "Delete").into(),
        text_or(object, "/volumeBindingMode", "Immediate").into(),
        boolean(object, "/allowVolumeExpansion", false).into(),
        age(object, now),
    ]
}

fn attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/spec/attacher").into(),
        text(object, "/spec/source/persistentVolumeName").into(),
        text(object, "/spec/nodeName").into(),
        boolean(object, "/status/attached", false).into(),
        age(object, now),
    ]
}

fn driver(object: &Value, now: Timestamp) -> Vec<Value> {
    let audiences = joined(object, "/spec/tokenRequests", "/audience");
    let modes: Vec<&str> =
        list(object, "/spec/volumeLifecycleModes").iter().filter_map(Value::as_str).collect();
    vec![
        name(object),
        boolean(object, "/spec/attachRequired", true).into(),
        boolean(object, "/spec/podInfoOnMount", false).into(),
        boolean(object, "/spec/storageCapacity", false).into(),
        if audiences.is_empty() { UNSET.into() } else { audiences.into() },
        boolean(object, "/spec/requiresRepublish", false).into(),
        if modes.is_empty() { NONE.into() } else { modes.join(",").into() },
        age(object, now),
    ]
}
