//! The table itself: parsed once from the embedded text, every string a slice of it.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Immutable, Rule};
use crate::Kind;

static TEXT: &str = include_str!("../../schema/table.txt");
static TABLE: LazyLock<Table> = LazyLock::new(|| Table::parse(TEXT));

/// The hash that `FORMAT` keeps is made of this text: a changed table means changed defaults.
pub fn text() -> &'static str {
    TEXT
}

/// All types, sorted by name.
pub fn types() -> &'static [Type] {
    &TABLE.types
}

/// The type of this full name.
pub fn named(full: &str) -> Option<&'static Type> {
    TABLE.types.binary_search_by(|t| t.name.cmp(full)).ok().map(|at| &TABLE.types[at])
}

/// The type of this short name, `core.v1.Pod`.
pub fn short(name: &str) -> Option<&'static Type> {
    TABLE.types.iter().find(|t| short_of(t.name) == name)
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
        &TABLE.types[self.0]
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

struct Table {
    types: Vec<Type>,
}

impl Table {
    fn parse(text: &'static str) -> Self {
        let names =
            || text.lines().filter_map(|l| l.strip_prefix("type ")).filter_map(|l| l.split(' ').next());
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
        Self { types }
    }
}

fn short_of(full: &str) -> &str {
    full.rmatch_indices('.').nth(2).map_or(full, |(at, _)| &full[at + 1..])
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Leaf, Shape, TEXT, Table, named, root, short, types};
    use crate::kind;

    #[test]
    fn every_kind_has_its_root_and_every_name_is_found() {
        for kind in kind::ALL {
            let root = root(kind);
            assert!(
                matches!(root.field("metadata").map(|f| &f.shape), Some(Shape::Object(_))),
                "{}",
                kind.kind
            );
        }
        assert!(types().iter().all(|t| named(t.name).is_some_and(|found| std::ptr::eq(found, t))));
        assert!(types().iter().all(|t| t.fields.is_sorted_by_key(|f| f.name)));
    }

    #[test]
    fn no_word_of_the_table_is_left_unread() {
        let untyped = |shape: &Shape| format!("{shape:?}").contains("Any");
        let lost: Vec<_> = types()
            .iter()
            .flat_map(|t| t.fields.iter().filter(|f| untyped(&f.shape)).map(move |f| (t.name, f.name)))
            .collect();
        assert_eq!(lost, [], "a shape that the parser does not know becomes Any");
        let bad: Vec<_> = types()
            .iter()
            .flat_map(|t| {
                t.fields
                    .iter()
                    .filter(|f| !f.default.is_empty() && f.default_value().is_none())
                    .map(|f| f.default)
            })
            .collect();
        assert_eq!(bad, [""; 0], "defaults are JSON");
    }

    #[test]
    fn facts_arrive() {
        let container = short("core.v1.Container").expect("there is a Container");
        let ports = container.field("ports").expect("with ports");
        assert_eq!(
            (ports.keys, ports.key, ports.merges(), ports.tag),
            ("containerPort,protocol", "containerPort", true, "6")
        );
        let volume = short("core.v1.Volume").and_then(|t| t.field("csi")).expect("volumes have csi");
        assert_eq!(volume.tag, "2/28", "an embedded struct gives a tag of two steps");
        assert!(matches!(container.field("image").map(|f| &f.shape), Some(Shape::Leaf(Leaf::String))));
    }

    #[test]
    fn every_kind_and_its_fields_are_explained() {
        let silent: Vec<_> = kind::ALL
            .iter()
            .map(|k| root(k))
            .flat_map(|t| {
                t.fields.iter().map(move |f| (t.name, f.name, t.doc.is_empty() || f.doc.is_empty()))
            })
            .filter(|(_, _, silent)| *silent)
            .collect();
        assert_eq!(silent, [], "lines are missing in docs.txt");
    }

    #[test]
    fn the_table_is_small() {
        let started = Instant::now();
        let table = Table::parse(TEXT);
        println!("{} types in {:?}, {} bytes of text", table.types.len(), started.elapsed(), TEXT.len());
        let fields: usize = table.types.iter().map(|t| t.fields.capacity()).sum();
        assert!(fields * size_of::<super::Field>() + TEXT.len() < 2 << 20);
    }
}
