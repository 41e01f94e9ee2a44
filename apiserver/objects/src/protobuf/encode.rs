//! Writes objects as messages of the table, for tests: every field that the object has, nothing else.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::{
    schema::table::{Leaf, Shape, Type},
    time,
};

/// A body: the envelope with the object in it.
pub(crate) fn body(ty: &Type, api_version: &str, kind: &str, object: &Value) -> Vec<u8> {
    let mut meta = Vec::new();
    bytes(&mut meta, 1, api_version.as_bytes());
    bytes(&mut meta, 2, kind.as_bytes());
    let mut unknown = Vec::new();
    bytes(&mut unknown, 1, &meta);
    bytes(&mut unknown, 2, &message(ty, object.as_object().expect("an object")));
    bytes(&mut unknown, 3, b"");
    bytes(&mut unknown, 4, b"");
    [b"k8s\0", unknown.as_slice()].concat()
}

/// Fields that share an outer tag are written in messages of their own: readers lay them over each other.
fn message(ty: &Type, object: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for field in ty.fields.iter().filter(|field| !field.tag.is_empty()) {
        let Some(found) = object.get(field.name) else { continue };
        let mut tags = field.tag.split('/').rev().map(|tag| tag.parse().expect("a tag is a number"));
        let mut inner = Vec::new();
        write_field(&mut inner, tags.next().expect("there is a tag"), &field.shape, found);
        for tag in tags {
            let mut outer = Vec::new();
            bytes(&mut outer, tag, &inner);
            inner = outer;
        }
        out.extend(inner);
    }
    out
}

fn write_field(out: &mut Vec<u8>, tag: u64, shape: &Shape, found: &Value) {
    match (shape, found) {
        (Shape::List(item), Value::Array(items)) => items.iter().for_each(|i| value(out, tag, item, i)),
        (Shape::Map(item), Value::Object(entries)) => {
            for (key, entry) in entries {
                let mut pair = Vec::new();
                bytes(&mut pair, 1, key.as_bytes());
                value(&mut pair, 2, item, entry);
                bytes(out, tag, &pair);
            }
        }
        _ => value(out, tag, shape, found),
    }
}

fn value(out: &mut Vec<u8>, tag: u64, shape: &Shape, found: &Value) {
    match (shape, found) {
        (Shape::Object(ty), Value::Object(object)) => bytes(out, tag, &message(ty.get(), object)),
        (Shape::List(_), Value::Array(_)) => {
            let mut inner = Vec::new();
            write_field(&mut inner, 1, shape, found);
            bytes(out, tag, &inner);
        }
        (Shape::Leaf(form), found) => leaf(out, tag, *form, found),
        _ => panic!("{found} is no {shape:?}"),
    }
}

fn leaf(out: &mut Vec<u8>, tag: u64, form: Leaf, found: &Value) {
    let text = || found.as_str().unwrap_or_default();
    let mut inner = Vec::new();
    match form {
        Leaf::String => return bytes(out, tag, text().as_bytes()),
        Leaf::Bytes => return bytes(out, tag, &STANDARD.decode(text()).expect("base64")),
        Leaf::Boolean => return number(out, tag, u64::from(found == &Value::Bool(true))),
        Leaf::Int32 | Leaf::Int64 => {
            return number(out, tag, found.as_i64().expect("a number").cast_unsigned());
        }
        Leaf::Double => {
            varint(out, tag << 3 | 1);
            return out.extend(found.as_f64().expect("a number").to_le_bytes());
        }
        Leaf::Quantity => bytes(&mut inner, 1, text().as_bytes()),
        Leaf::Time | Leaf::MicroTime => {
            let time = time::parse(text()).expect("a time");
            number(&mut inner, 1, time.as_second().cast_unsigned());
            number(&mut inner, 2, i64::from(time.subsec_nanosecond()).cast_unsigned());
        }
        Leaf::IntOrString => {
            number(&mut inner, 1, u64::from(found.is_string()));
            number(&mut inner, 2, found.as_i64().unwrap_or(0).cast_unsigned());
            bytes(&mut inner, 3, text().as_bytes());
        }
        Leaf::Raw | Leaf::FieldsV1 | Leaf::Any => bytes(&mut inner, 1, found.to_string().as_bytes()),
    }
    bytes(out, tag, &inner);
}

pub(super) fn number(out: &mut Vec<u8>, tag: u64, number: u64) {
    varint(out, tag << 3);
    varint(out, number);
}

pub(super) fn bytes(out: &mut Vec<u8>, tag: u64, bytes: &[u8]) {
    varint(out, tag << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
