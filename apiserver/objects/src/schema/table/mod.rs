//! The table itself: parsed once from the embedded text, every string a slice of it.

mod parse;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use super::Immutable;
use crate::Kind;

static TEXT: &str = include_str!("../../../schema/table.txt");
static TYPES: LazyLock<Vec<Type>> = LazyLock::new(|| parse::parse(TEXT));

/// The hash that `FORMAT` keeps is made of this text: a changed table means changed defaults.
pub fn text() -> &'static str {
    TEXT
}

/// All types, sorted by name.
pub fn types() -> &'static [Type] {
    &TYPES
}

/// The type of this full name.
pub fn named(full: &str) -> Option<&'static Type> {
    TYPES.binary_search_by(|t| t.name.cmp(full)).ok().map(|at| &TYPES[at])
}

/// The type of this short name, `core.v1.Pod`.
pub fn short(name: &str) -> Option<&'static Type> {
    TYPES.iter().find(|t| short_of(t.name) == name)
}

/// The root type of a kind.
pub fn root(kind: &'static Kind) -> &'static Type {
    named(kind.schema).expect("a test reads the root type of every kind")
}

/// A set of fields.
#[derive(Debug)]
pub struct Type {
    /// Definition name, `io.k8s.api.core.v1.Pod`.
    pub name: &'static str,
    /// Whether server-side apply replaces it as a whole.
    pub atomic: bool,
    /// One line of documentation; empty where there is none yet.
    pub doc: &'static str,
    /// Fields, sorted by name.
    pub fields: Vec<Field>,
    /// What may change on update, for roots.
    pub rules: Vec<Immutable>,
}

impl Type {
    /// The field of this JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.binary_search_by(|f| f.name.cmp(name)).ok().map(|at| &self.fields[at])
    }
}

/// One field.
#[derive(Debug)]
pub struct Field {
    /// JSON name.
    pub name: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// Whether the schema requires it.
    pub required: bool,
    /// Whether `""`, `0` or `false` says something else than nothing at all: a pointer in Kubernetes' own types.
    pub pointer: bool,
    /// `map`, `set`, `atomic`; empty: not said.
    pub list: &'static str,
    /// Keys of a list of kind map, joined by commas.
    pub keys: &'static str,
    /// `atomic`, `granular`; empty: not said.
    pub map: &'static str,
    /// Strategic merge: `merge`, `retainKeys`, both joined by a comma, or empty for replace.
    pub patch: &'static str,
    /// The key by which a strategic merge joins list items; empty for lists of plain values.
    pub key: &'static str,
    /// Allowed values, joined by `|`; empty: any.
    pub values: &'static str,
    /// The default as JSON text; empty: none.
    pub default: &'static str,
    /// Protobuf tags from outside in, joined by `/`; empty: not known.
    pub tag: &'static str,
    /// One line of documentation; empty where there is none yet.
    pub doc: &'static str,
}

impl Field {
    /// The default as a value.
    pub fn default_value(&self) -> Option<serde_json::Value> {
        (!self.default.is_empty()).then(|| serde_json::from_str(self.default).ok()).flatten()
    }

    /// The allowed values; none where any will do.
    pub fn allowed(&self) -> impl Iterator<Item = &'static str> {
        self.values.split('|').filter(|v| !v.is_empty())
    }

    /// Whether a strategic merge joins instead of replacing.
    pub fn merges(&self) -> bool {
        self.patch.split(',').any(|p| p == "merge")
    }
}

/// What a value looks like.
#[derive(Debug)]
pub enum Shape {
    /// One JSON value of a known form.
    Leaf(Leaf),
    /// An object of a type in the table.
    Object(TypeRef),
    /// A list.
    List(Box<Shape>),
    /// An object with free keys.
    Map(Box<Shape>),
}

/// A place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeRef(usize);

impl TypeRef {
    /// The type there.
    pub fn get(self) -> &'static Type {
        &TYPES[self.0]
    }
}

/// Forms of single values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Text.
    String,
    /// `true` or `false`.
    Boolean,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// A number.
    Double,
    /// Bytes in base64.
    Bytes,
    /// `1Gi`, or a plain number.
    Quantity,
    /// RFC 3339, seconds.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    /// An integer, or text such as `25%`.
    IntOrString,
    /// An object of any kind.
    Raw,
    /// A set of field paths.
    FieldsV1,
    /// Anything.
    Any,
}

fn short_of(full: &str) -> &str {
    full.rmatch_indices('.').nth(2).map_or(full, |(at, _)| &full[at + 1..])
}
