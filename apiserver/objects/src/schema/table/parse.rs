//! Reads the table's text; the form stands in its first lines.

use std::collections::HashMap;

use super::{Field, Leaf, Shape, Type, TypeRef, short_of};
use crate::schema::{Immutable, Rule};

/// All types, in the text's order, which is that of their names.
pub(super) fn parse(text: &'static str) -> Vec<Type> {
    let names = || text.lines().filter_map(|l| l.strip_prefix("type ")).filter_map(|l| l.split(' ').next());
    let places: HashMap<&str, usize> = names().enumerate().map(|(n, full)| (short_of(full), n)).collect();
    let mut types: Vec<Type> = Vec::with_capacity(places.len());
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (facts, doc) = line.split_once(" :: ").unwrap_or((line, ""));
        match (facts.strip_prefix("type "), types.last_mut()) {
            (Some(head), _) => types.push(parse_type(head, doc)),
            (None, Some(last)) => parse_line(last, facts.trim_start(), doc, &places),
            (None, None) => {}
        }
    }
    types
}

fn parse_type(head: &'static str, doc: &'static str) -> Type {
    let (name, rest) = head.split_once(' ').unwrap_or((head, ""));
    Type { name, atomic: rest == "struct=atomic", doc, fields: Vec::new(), rules: Vec::new() }
}

fn parse_line(to: &mut Type, facts: &'static str, doc: &'static str, places: &HashMap<&str, usize>) {
    if let Some((rule, path)) = facts.strip_prefix('@').and_then(|r| r.split_once(' ')) {
        let rule = match rule {
            "fixed" => Rule::Fixed,
            "set-once" => Rule::SetOnce,
            _ => Rule::Free,
        };
        to.rules.push(Immutable { path, rule });
        return;
    }
    let mut words = facts.split(' ');
    let (Some(name), Some(shape)) = (words.next(), words.next()) else {
        return;
    };
    to.fields.push(parse_field(name, parse_shape(shape, places), words, doc));
}

fn parse_field(
    name: &'static str,
    shape: Shape,
    words: std::str::Split<'static, char>,
    doc: &'static str,
) -> Field {
    let mut field = Field {
        name,
        shape,
        required: false,
        pointer: false,
        list: "",
        keys: "",
        map: "",
        patch: "",
        key: "",
        values: "",
        default: "",
        tag: "",
        doc,
    };
    for word in words {
        let (attribute, value) = word.split_once('=').unwrap_or((word, ""));
        match attribute {
            "required" => field.required = true,
            "pointer" => field.pointer = true,
            "list" => field.list = value,
            "keys" => field.keys = value,
            "map" => field.map = value,
            "patch" => field.patch = value,
            "key" => field.key = value,
            "enum" => field.values = value,
            "default" => field.default = value,
            "pb" => field.tag = value,
            _ => {}
        }
    }
    field
}

fn parse_shape(word: &str, places: &HashMap<&str, usize>) -> Shape {
    let inside = |open, close| word.strip_prefix(open).and_then(|w: &str| w.strip_suffix(close));
    if let Some(item) = inside('[', ']') {
        Shape::List(Box::new(parse_shape(item, places)))
    } else if let Some(value) = inside('{', '}') {
        Shape::Map(Box::new(parse_shape(value, places)))
    } else {
        let leaf = Leaf::named(word).map(Shape::Leaf);
        leaf.or_else(|| places.get(word).map(|at| Shape::Object(TypeRef(*at))))
            .unwrap_or(Shape::Leaf(Leaf::Any))
    }
}

impl Leaf {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "string" => Self::String,
            "boolean" => Self::Boolean,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "double" => Self::Double,
            "bytes" => Self::Bytes,
            "quantity" => Self::Quantity,
            "time" => Self::Time,
            "microtime" => Self::MicroTime,
            "intstr" => Self::IntOrString,
            "raw" => Self::Raw,
            "fields" => Self::FieldsV1,
            "any" => Self::Any,
            _ => return None,
        })
    }
}
