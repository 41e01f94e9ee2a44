//! The kinds of apps/v1.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    AGE, Column, NAME, Printer,
    cells::{NONE, age, integer, joined, labels, list, name, selector, text},
};

const APPS: &str = "apps";
const CONTAINERS: Column = Column::wide("Containers", "Names of the template's containers");
const IMAGES: Column = Column::wide("Images", "Images of the template's containers");
const SELECTOR: Column = Column::wide("Selector", "Labels of its pods");

pub(super) static PRINTERS: &[Printer] = &[
    Printer {
        kind: ("deployments", APPS),
        columns: &[
            NAME,
            Column::new("Ready", "Pods that are ready, of those wanted"),
            Column::new("Up-to-date", "Pods made from the current template"),
            Column::new("Available", "Pods that have been ready long enough"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        row: |object, now| {
            let mut row = vec![
                name(object),
                format!("{}/{}", status(object, "readyReplicas"), wanted(object)).into(),
                status(object, "updatedReplicas").into(),
                status(object, "availableReplicas").into(),
                age(object, now),
            ];
            row.extend(template_and_selector(object));
            row
        },
    },
    Printer {
        kind: ("replicasets", APPS),
        columns: &[
            NAME,
            Column::new("Desired", "Pods wanted").of_type("integer"),
            Column::new("Current", "Pods there are").of_type("integer"),
            Column::new("Ready", "Pods that are ready").of_type("integer"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        row: |object, now| {
            let mut row = vec![
                name(object),
                wanted(object).into(),
                status(object, "replicas").into(),
                status(object, "readyReplicas").into(),
                age(object, now),
            ];
            row.extend(template_and_selector(object));
            row
        },
    },
    Printer {
        kind: ("statefulsets", APPS),
        columns: &[
            NAME,
            Column::new("Ready", "Pods that are ready, of those wanted"),
            AGE,
            CONTAINERS,
            IMAGES,
        ],
        row: |object, now| {
            let ready = format!("{}/{}", status(object, "readyReplicas"), wanted(object));
            let mut row = vec![name(object), ready.into(), age(object, now)];
            row.extend(template(object));
            row
        },
    },
    Printer {
        kind: ("daemonsets", APPS),
        columns: &[
            NAME,
            Column::new("Desired", "Nodes that should run it").of_type("integer"),
            Column::new("Current", "Nodes that run it").of_type("integer"),
            Column::new("Ready", "Nodes where it is ready").of_type("integer"),
            Column::new("Up-to-date", "Nodes that run the current template").of_type("integer"),
            Column::new("Available", "Nodes where it has been ready long enough").of_type("integer"),
            Column::new("Node Selector", "Labels of its nodes"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        row: daemon_set,
    },
    Printer {
        kind: ("controllerrevisions", APPS),
        columns: &[
            NAME,
            Column::new("Controller", "Whose template it remembers"),
            Column::new("Revision", "Number of the revision").of_type("integer"),
            AGE,
        ],
        row: |object, now| {
            vec![
                name(object),
                controller(object).into(),
                integer(object, "/revision").into(),
                age(object, now),
            ]
        },
    },
];

fn status(object: &Value, field: &str) -> i64 {
    integer(object, &format!("/status/{field}"))
}

fn wanted(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn template(object: &Value) -> [Value; 2] {
    const PATH: &str = "/spec/template/spec/containers";
    [joined(object, PATH, "/name").into(), joined(object, PATH, "/image").into()]
}

fn template_and_selector(object: &Value) -> [Value; 3] {
    let [containers, images] = template(object);
    [containers, images, selector(object, "/spec/selector").into()]
}

fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let counts = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ];
    let mut row = vec![name(object)];
    row.extend(counts.map(|field| Value::from(status(object, field))));
    row.push(labels(object, "/spec/template/spec/nodeSelector").into());
    row.push(age(object, now));
    row.extend(template_and_selector(object));
    row
}

/// `statefulset.apps/web`, as kubectl names an owner.
fn controller(object: &Value) -> String {
    let owner = list(object, "/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true);
    let Some(owner) = owner else {
        return NONE.to_owned();
    };
    let kind = text(owner, "/kind").to_lowercase();
    match text(owner, "/apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", text(owner, "/name")),
        None => format!("{kind}/{}", text(owner, "/name")),
    }
}
