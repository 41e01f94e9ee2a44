//! Canonical JSON: keys sorted, no blanks, `metadata.resourceVersion` absent, `metadata.managedFields` last so that it
//! can be cut out without a parse.

use serde_json::{Map, Value};

/// The canonical bytes of an object.
pub fn to_bytes(object: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    match object {
        Value::Object(fields) => write_fields(&mut out, fields.iter(), |out, key, value| match value {
            Value::Object(meta) if key == "metadata" => write_metadata(out, meta),
            _ => write(out, value),
        }),
        other => write(&mut out, other),
    }
    out
}

fn write_metadata(out: &mut Vec<u8>, meta: &Map<String, Value>) {
    let first = meta.iter().filter(|(k, _)| !matches!(k.as_str(), "managedFields" | "resourceVersion"));
    let last = meta.get_key_value("managedFields");
    write_fields(out, first.chain(last), |out, _, value| write(out, value));
}

fn write_fields<'a>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'a String, &'a Value)>,
    mut write_value: impl FnMut(&mut Vec<u8>, &str, &Value),
) {
    out.push(b'{');
    for (n, (key, value)) in fields.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write(out, &Value::from(key.as_str()));
        out.push(b':');
        write_value(out, key, value);
    }
    out.push(b'}');
}

/// `serde_json` keeps its maps sorted (its `preserve_order` feature is banned), so its compact form is canonical.
fn write(out: &mut Vec<u8>, value: &Value) {
    // Writing a Value to memory cannot fail: there is no I/O and every key is a string.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::to_bytes;
    use crate::{Object, kind};

    #[test]
    fn keys_are_sorted_and_managed_fields_come_last() {
        let value = json!({"metadata": {"name": "a", "managedFields": [], "labels": {"b": "1", "a": "2"},
            "resourceVersion": "7"}, "kind": "ConfigMap"});
        let text = String::from_utf8(to_bytes(&value)).expect("JSON is UTF-8");
        assert_eq!(
            text,
            r#"{"kind":"ConfigMap","metadata":{"labels":{"a":"2","b":"1"},"name":"a","managedFields":[]}}"#
        );
    }

    #[test]
    fn the_version_goes_into_the_objects_own_metadata() {
        let value = json!({"data": {"metadata": {"x": 1}}, "metadata": {"name": "a"}});
        let object = Object::from_value(&kind::CONTROLLER_REVISION, &value).expect("has metadata").at(1007);
        let mut out = Vec::new();
        object.write_versioned(&mut out);
        let text = String::from_utf8(out).expect("JSON is UTF-8");
        assert_eq!(text, r#"{"data":{"metadata":{"x":1}},"metadata":{"resourceVersion":"1007","name":"a"}}"#);
        assert_eq!(object.versioned()["metadata"]["resourceVersion"], "1007");
    }
}
