//! What `kubectl get` prints of each kind: its columns and how a row's cells are computed from the object.
//!
//! Names, order and wording are kubectl users' habits and therefore exact. Must not know HTTP, nor how a Table document
//! is put together: it answers cells.

use jiff::Timestamp;
use orlop_objects::Kind;
use serde_json::{Value, json};

use super::Column;

mod cells;
mod cluster;
mod event;
mod pod;
mod storage;
mod workloads;

#[cfg(test)]
mod tests;

impl Column {
    const fn new(name: &'static str, description: &'static str) -> Self {
        Self { name, r#type: "string", format: "", description, priority: 0 }
    }

    const fn wide(name: &'static str, description: &'static str) -> Self {
        Self { priority: 1, ..Self::new(name, description) }
    }

    const fn of_type(self, r#type: &'static str) -> Self {
        Self { r#type, ..self }
    }
}

const NAME: Column =
    Column { format: "name", ..Column::new("Name", "Name of the object, unique in its namespace") };
const AGE: Column = Column::new("Age", "Time since the object was created");

/// How one kind is printed.
pub(crate) struct Printer {
    /// Plural and group of the kind.
    kind: (&'static str, &'static str),
    columns: &'static [Column],
    row: fn(&Value, Timestamp) -> Vec<Value>,
}

/// For kinds that need no more than a name and an age.
static GENERIC: Printer = Printer {
    kind: ("", ""),
    columns: &[NAME, AGE],
    row: |object, now| vec![cells::name(object), cells::age(object, now)],
};

fn printer(kind: &Kind) -> &'static Printer {
    let all = [cluster::PRINTERS, storage::PRINTERS, workloads::PRINTERS, pod::PRINTERS, event::PRINTERS];
    let mut printers = all.into_iter().flatten();
    printers.find(|p| p.kind == (kind.plural, kind.group)).unwrap_or(&GENERIC)
}

/// The columns of a kind.
pub(crate) fn columns(kind: &Kind) -> &'static [Column] {
    printer(kind).columns
}

/// The cells of one object, as many as there are columns.
pub(crate) fn row(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    (printer(kind).row)(object, now)
}

/// Conditions of a row itself: finished pods carry one, so that clients can grey them out.
pub(crate) fn conditions(kind: &Kind, object: &Value) -> Vec<Value> {
    let phase = object["status"]["phase"].as_str().unwrap_or_default();
    if (kind.plural, kind.group) != ("pods", "") || !matches!(phase, "Succeeded" | "Failed") {
        return Vec::new();
    }
    let message =
        if phase == "Succeeded" { "The pod has completed successfully." } else { "The pod failed." };
    vec![json!({"type": "Completed", "status": "True", "reason": phase, "message": message})]
}
