//! Values that are no set of fields: plain ones, and the special forms that have a name of their own.

use orlop_objects::schema::table::Leaf;
use serde_json::{Value, json};

use super::{META, reference};

/// The schema of a leaf where a field has it: itself, or a reference to one of [`named`].
pub(super) fn inline(leaf: Leaf) -> Value {
    match leaf {
        Leaf::String => json!({"type": "string"}),
        Leaf::Boolean => json!({"type": "boolean"}),
        Leaf::Int32 => json!({"type": "integer", "format": "int32"}),
        Leaf::Int64 => json!({"type": "integer", "format": "int64"}),
        Leaf::Double => json!({"type": "number", "format": "double"}),
        Leaf::Bytes => json!({"type": "string", "format": "byte"}),
        Leaf::Quantity => reference("io.k8s.apimachinery.pkg.api.resource.Quantity"),
        Leaf::Time => reference(&format!("{META}.Time")),
        Leaf::MicroTime => reference(&format!("{META}.MicroTime")),
        Leaf::IntOrString => reference("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
        Leaf::Raw => reference("io.k8s.apimachinery.pkg.runtime.RawExtension"),
        Leaf::FieldsV1 => reference(&format!("{META}.FieldsV1")),
        Leaf::Any => json!({}),
    }
}

/// Schemas of the special leaves, which references name.
pub(super) fn named() -> [(&'static str, Value); 7] {
    [
        (
            "io.k8s.apimachinery.pkg.api.resource.Quantity",
            json!({"description": "An exact amount: a number with an optional suffix such as k, M, Gi or m.",
                "oneOf": [{"type": "string"}, {"type": "number"}]}),
        ),
        (
            "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
            json!({"description": "A moment in the form of RFC 3339, to the second.", "type": "string",
                "format": "date-time"}),
        ),
        (
            "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
            json!({"description": "A moment in the form of RFC 3339, to the microsecond.", "type": "string",
                "format": "date-time"}),
        ),
        (
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
            json!({"description": "An integer, or a text such as 25% or a port's name.", "format": "int-or-string",
                "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        ),
        (
            "io.k8s.apimachinery.pkg.runtime.RawExtension",
            json!({"description": "An object of any kind, kept as it is.", "type": "object"}),
        ),
        (
            "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
            json!({"description": "A set of field paths, as server-side apply writes them.", "type": "object"}),
        ),
        (
            "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
            json!({"description": "A change; its form is that of the content type.", "type": "object"}),
        ),
    ]
}
