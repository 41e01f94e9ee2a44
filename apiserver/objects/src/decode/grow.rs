//! Grows valid objects out of the schema table, for tests of every kind at once.

use serde_json::{Value, json};

use crate::schema::table::{Leaf, Shape, Type};

/// A valid value of any kind, grown out of the table by a seed; `depth` keeps it small.
pub(crate) struct Grower(pub(crate) u64);

impl Grower {
    /// A number below `below`.
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// An object of this type.
    pub(crate) fn object(&mut self, ty: &Type, depth: usize) -> Value {
        let mut out = serde_json::Map::new();
        for field in &ty.fields {
            if self.next(if depth > 3 { 12 } else { 3 }) == 0 && depth < 8 {
                out.insert(field.name.to_owned(), self.shape(&field.shape, depth + 1));
            }
        }
        Value::Object(out)
    }

    fn shape(&mut self, shape: &Shape, depth: usize) -> Value {
        let n = self.next(3);
        match shape {
            Shape::Object(ty) => self.object(ty.get(), depth),
            Shape::List(item) => (0..n).map(|_| self.shape(item, depth + 1)).collect(),
            Shape::Map(item) => {
                Value::Object((0..n).map(|k| (format!("k{k}.x/y"), self.shape(item, depth + 1))).collect())
            }
            Shape::Leaf(leaf) => self.leaf(*leaf),
        }
    }

    fn leaf(&mut self, leaf: Leaf) -> Value {
        let n = self.next(1000);
        match leaf {
            Leaf::String => format!("text \"{n}\" ä").into(),
            Leaf::Boolean => (n.is_multiple_of(2)).into(),
            Leaf::Int32 => (i64::from(i32::MIN) + i64::try_from(n).unwrap_or(0)).into(),
            Leaf::Int64 => (i64::MAX - i64::try_from(n).unwrap_or(0)).into(),
            Leaf::Double => json!(0.5),
            Leaf::Bytes => "eA==".into(),
            Leaf::Quantity => {
                if n.is_multiple_of(2) {
                    json!("1Gi")
                } else {
                    json!(n)
                }
            }
            Leaf::Time => "2026-01-31T12:00:00Z".into(),
            Leaf::MicroTime => "2026-01-31T12:00:00.123456Z".into(),
            Leaf::IntOrString => {
                if n.is_multiple_of(2) {
                    json!("25%")
                } else {
                    json!(n)
                }
            }
            Leaf::Raw | Leaf::FieldsV1 | Leaf::Any => json!({"f:a": {".": {}}, "null": null}),
        }
    }
}
