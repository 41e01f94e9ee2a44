//! One way to write each value: quantities (`1024Mi` is stored as `1Gi`, a plain number as text) and times (UTC).
//!
//! Kubernetes' types do the same when they are read and written again; stock typed clients cannot read anything else.

use serde_json::Value;

use super::Quantity;
use crate::{
    Kind,
    schema::table::{self, Leaf, Shape, Type},
    time,
};

/// Rewrites every quantity and time of an object. What cannot be read stays for validation to name.
pub fn canonicalize(kind: &'static Kind, object: &mut Value) {
    in_type(table::root(kind), object);
}

fn in_type(ty: &Type, value: &mut Value) {
    for (name, value) in value.as_object_mut().into_iter().flatten() {
        if let Some(field) = ty.field(name).filter(|f| f.name != "managedFields") {
            in_shape(&field.shape, value);
        }
    }
}

fn in_shape(shape: &Shape, value: &mut Value) {
    match shape {
        Shape::Leaf(leaf) => {
            if let Some(text) = canonical(*leaf, value).filter(|text| value.as_str() != Some(text)) {
                *value = text.into();
            }
        }
        Shape::Object(ty) => in_type(ty.get(), value),
        Shape::List(item) => value.as_array_mut().into_iter().flatten().for_each(|v| in_shape(item, v)),
        Shape::Map(item) => {
            value.as_object_mut().into_iter().flatten().for_each(|(_, v)| in_shape(item, v));
        }
    }
}

fn canonical(leaf: Leaf, value: &Value) -> Option<String> {
    match leaf {
        Leaf::Quantity => Quantity::from_value(value).ok().map(|quantity| quantity.to_string()),
        Leaf::Time => time::parse(value.as_str()?).map(time::seconds),
        Leaf::MicroTime => time::parse(value.as_str()?).map(time::micros),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::canonicalize;
    use crate::kind;

    #[test]
    fn values_have_one_form() {
        let mut pod = json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 0.5, "memory":
            "1024Mi", "x": "1Gi1"}, "requests": {"cpu": "0.1"}}}]}, "metadata": {"creationTimestamp":
            "2026-01-01T01:00:00.25+01:00", "name": "1024Mi"}, "status": {"message": "1024Mi"}});
        canonicalize(&kind::POD, &mut pod);
        let resources = &pod["spec"]["containers"][0]["resources"];
        assert_eq!(resources["limits"], json!({"cpu": "500m", "memory": "1Gi", "x": "1Gi1"}));
        assert_eq!(resources["requests"], json!({"cpu": "100m"}));
        assert_eq!(pod["metadata"], json!({"creationTimestamp": "2026-01-01T00:00:00Z", "name": "1024Mi"}));
        assert_eq!(pod["status"]["message"], "1024Mi");
        let mut lease = json!({"spec": {"renewTime": "2026-01-01T00:00:00Z"}});
        canonicalize(&kind::LEASE, &mut lease);
        assert_eq!(lease["spec"]["renewTime"], "2026-01-01T00:00:00.000000Z");
    }
}
