//! Walks a value beside the schema table: prunes what the table does not know, notes wrong JSON types.
//!
//! | found                         | becomes                                            |
//! |-------------------------------|----------------------------------------------------|
//! | null where a field may be     | nothing                                            |
//! | a field that the type lacks   | nothing, noted as unknown                          |
//! | the JSON type of the table    | itself                                             |
//! | a time that is no RFC 3339    | a type fault                                       |
//! | another JSON type             | a type fault that names what is expected           |
//! | an object above the most      | one fault; nothing below it, nor behind it, is read |

use serde_json::{Map, Value};

use super::{MOST, MOST_OBJECTS, hint};
use crate::{
    Cause, FieldError,
    schema::table::{Leaf, Shape, Type},
};

/// What a walk finds.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Paths of unknown fields, each with what was probably meant.
    pub unknown: Vec<(String, Option<&'static str>)>,
    /// Type faults.
    pub faults: Vec<FieldError>,
    /// How many objects it has come to.
    objects: usize,
}

impl Findings {
    /// Checks the object at `path` in place.
    pub(super) fn object(&mut self, ty: &Type, value: &mut Value, path: &str) {
        self.objects += 1;
        if self.objects > MOST_OBJECTS {
            return self.too_many(path);
        }
        let Value::Object(fields) = value else {
            return self.fault(path, "an object", value);
        };
        fields.retain(|_, v| !v.is_null());
        let unknown: Vec<String> = fields.keys().filter(|k| ty.field(k).is_none()).cloned().collect();
        for name in unknown {
            fields.remove(&name);
            // Each has a path: no more are kept than are told.
            if self.unknown.len() == MOST {
                continue;
            }
            // Looking for what was meant costs time that a hostile body must not multiply.
            let slip = self.unknown.len() < 20 && name.len() <= 64;
            let meant = slip.then(|| hint::nearest(ty, &name)).flatten();
            self.unknown.push((below(path, &name), meant));
        }
        for (name, value) in fields.iter_mut() {
            if let Some(field) = ty.field(name) {
                self.shape(&field.shape, value, &below(path, name));
            }
        }
    }

    fn shape(&mut self, shape: &Shape, value: &mut Value, path: &str) {
        match shape {
            Shape::Object(ty) => self.object(ty.get(), value, path),
            Shape::List(item) => self.list(item, value, path),
            Shape::Map(item) => self.map(item, value, path),
            Shape::Leaf(leaf) => {
                if let Some(expected) = expected(*leaf, value) {
                    self.fault(path, expected, value);
                }
            }
        }
    }

    fn list(&mut self, item: &Shape, value: &mut Value, path: &str) {
        let Value::Array(items) = value else {
            return self.fault(path, "a list", value);
        };
        for (n, value) in items.iter_mut().enumerate() {
            self.shape(item, value, &format!("{path}[{n}]"));
        }
    }

    fn map(&mut self, item: &Shape, value: &mut Value, path: &str) {
        let Value::Object(entries) = value else {
            return self.fault(path, "an object", value);
        };
        drop_nulls(item, entries);
        for (name, value) in entries.iter_mut() {
            self.shape(item, value, &below(path, name));
        }
    }

    fn too_many(&mut self, path: &str) {
        if self.objects == MOST_OBJECTS + 1 {
            let detail =
                format!("is one object too many: a body may hold {MOST_OBJECTS}; make several of it");
            self.faults.push(FieldError::new(path, Cause::TypeInvalid, detail));
        }
    }

    fn fault(&mut self, path: &str, expected: &str, found: &Value) {
        if self.faults.len() >= MOST {
            return;
        }
        let detail = format!("must be {expected}, but is {}", word(found));
        self.faults.push(FieldError::new(path, Cause::TypeInvalid, detail));
    }
}

/// A null in a map of text is the empty text, as clients in Go send it; elsewhere it is nothing.
fn drop_nulls(item: &Shape, entries: &mut Map<String, Value>) {
    if matches!(item, Shape::Leaf(Leaf::String | Leaf::Bytes)) {
        entries.values_mut().filter(|v| v.is_null()).for_each(|v| *v = "".into());
    }
    entries.retain(|_, v| !v.is_null());
}

/// `None` when the value fits, else what it should be.
fn expected(leaf: Leaf, value: &Value) -> Option<&'static str> {
    let (fits, expected) = match leaf {
        Leaf::String => (value.is_string(), "a string"),
        Leaf::Boolean => (value.is_boolean(), "true or false"),
        Leaf::Int32 => (value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()), "an integer of 32 bits"),
        Leaf::Int64 => (value.as_i64().is_some(), "an integer"),
        Leaf::Double => (value.is_number(), "a number"),
        Leaf::Bytes => (value.as_str().is_some_and(is_base64), "a string in base64"),
        Leaf::Quantity => (value.is_string() || value.is_number(), "a quantity such as \"1Gi\""),
        Leaf::Time | Leaf::MicroTime => {
            (value.as_str().is_some_and(is_time), "a time such as \"2026-01-31T12:00:00Z\"")
        }
        Leaf::IntOrString => (value.is_string() || value.as_i64().is_some(), "an integer or a string"),
        Leaf::Raw | Leaf::FieldsV1 => (value.is_object(), "an object"),
        Leaf::Any => (true, ""),
    };
    (!fits).then_some(expected)
}

fn is_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok()
}

fn is_base64(text: &str) -> bool {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text).is_ok()
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.len() <= 64 => value.to_string(),
        Value::String(_) => "a long string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
